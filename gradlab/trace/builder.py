"""`Builder`: equations as they are recorded, hash-consed; closures become captured inputs.

A trace is a list of rows, numbered as they come, one tuple each: `(INPUT, aval)`, `(CAPTURE, aval)`, `(LITERAL, aval)`
or `(prim, operand numbers, parameter values)`. The rows *are* the structural key of the program with its scalars
masked, so a program seen before is recognised by one dictionary look-up, before any `Graph` is built.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from sys import _getframe
from types import CodeType
from typing import Any, NamedTuple

import numpy as np

from ..ir.errors import ConversionError, EscapedTracerError, GradlabError, MissingRuleError
from ..ir.graph import Aval, Eqn, Graph, Lit, Var, scalar_key
from ..ir.primitive import Primitive
from ..ir.where import INTERNAL, Where
from .avals import aval_of, canonical_dtype, is_jax_tracer
from .patience import LONG, PATIENCE, patient
from .tracer import Held, Tracer, escaped, no_value

Head = tuple[list[Var], list[Eqn], dict[int, Any]]
INPUT, CAPTURE, LITERAL = "input", "capture", "literal"
NO_PARAMS: dict[str, Any] = {}  # shared by all equations without parameters; nobody writes into it


class _Ambient(threading.local):
    stack: tuple[Builder, ...] = ()


AMBIENT = _Ambient()  # per thread; `Builder.__enter__` pushes and `__exit__` restores


class Kind(NamedTuple):
    """What an equation does, whatever it does it to: primitive, operands' types, parameter values, results' types."""

    prim: Primitive
    avals: tuple[Aval, ...]
    values: tuple
    outs: tuple[Aval, ...]


_INFERRED: dict[tuple, Kind] = {}  # (prim, avals, params) -> with infer's answer, which depends on nothing else


class Builder:
    """Records equations. Used as a context: inside it, operations without a tracer operand are recorded here too.

    **Arguments:** `evaluate(graph, inputs) -> values` computes the concrete value of a tracer when Python asks for it.
    **Attributes:** `rows`, and beside them `kinds`, `wheres` and `params`; `given`, `captured`, `scalars`: values of
    inputs, captured inputs and literals, each with its number; `values`: those computed since, by number; `memo`: row
    -> the number of its first result and the types of all; `where`: the line that new equations get, if it is not the
    running one; `level`: how deep this trace is nested; `is_long`: whether the garbage collector waits for it.
    A line in `wheres` is (code, instruction) until somebody looks (`where_of`).
    """

    __slots__ = (
        "captured", "closed", "evaluate", "given", "is_long", "kinds", "level", "memo", "n_inputs", "origin", "params",
        "places", "previous", "rows", "scalars", "snapshots", "stacks", "values", "where", "wheres",
    )  # fmt: skip

    def __init__(self, evaluate: Callable[[Graph, list], Sequence] | None = None):
        self.level = AMBIENT.stack[-1].level + 1 if AMBIENT.stack else 0
        self.rows: list[tuple] = []
        self.kinds: list[Kind | None] = []  # none of what comes from outside
        self.wheres: list[Where | tuple[CodeType, int] | None] = []
        self.places: dict[tuple[int, int], Where] = {}  # each line once; what it holds keeps the code's id its own
        self.params: list[dict[str, Any]] = []
        self.origin: list[int] = []  # value number -> the row that defines it
        self.memo: dict[Any, Any] = {}
        self.given: list[tuple[int, Any]] = []
        self.captured: list[tuple[int, Any]] = []
        self.snapshots: dict[int, np.ndarray] = {}
        self.stacks: Sequence[Any] = ()  # groups of captured values that are inputs together; put here from above
        self.scalars: list[tuple[int, Any]] = []
        self.values: dict[int, Any] = {}
        self.n_inputs = 0
        self.where: Where | None = None
        self.evaluate = evaluate
        self.closed = False
        self.is_long = False
        self.previous: tuple[Builder, ...] | None = None  # None of what is never left (a tape's)

    # -- the ambient trace

    def __enter__(self) -> Builder:
        self.previous = AMBIENT.stack
        AMBIENT.stack = (*self.previous, self)
        return self

    def __exit__(self, *exc: object) -> None:
        AMBIENT.stack = self.previous or ()
        if self.is_long:
            self.is_long = False
            outer = AMBIENT.stack[-1] if AMBIENT.stack else None
            if outer is not None and outer.previous is not None and not outer.is_long:
                outer.is_long = True  # what was kept here is still there
            else:
                PATIENCE.end()

    def close(self) -> None:
        """No more equations: what is used after this has escaped. Breaks the reference cycles with the tracers."""
        self.closed = True
        self.memo = {}
        self.values = {}
        self.given = []
        self.evaluate = None
        if len(self.rows) >= LONG:  # nothing for the garbage collector to walk over, should somebody keep a tracer
            self.rows, self.kinds, self.wheres, self.params, self.origin = [], [], [], [], []

    # -- recording

    recording = True  # whether what is done to its tracers may be differentiated (a tape stops)

    def shown(self, tracer: Tracer) -> str:
        """How a tracer is printed."""
        return f"Tracer<{tracer.aval}>"

    def handed(self, tracer: Tracer, to: Builder) -> Tracer:
        """A tracer of this trace as a value of one that is not inside it: it has escaped. (A tape's has not.)"""
        raise escaped(tracer)

    def _source(self, kind: str, aval: Aval) -> Tracer:
        tracer = Tracer(aval, self, len(self.origin), kind)
        self.origin.append(len(self.rows))
        self.rows.append((kind, aval))
        self.kinds.append(None)
        self.wheres.append(None)
        self.params.append(NO_PARAMS)
        return tracer

    def input(self, aval: Aval, value: Any = None) -> Tracer:
        """One more explicit input; all of them come before anything else is recorded."""
        tracer = self._source(INPUT, aval)
        self.n_inputs += 1
        if value is not None:
            self.given.append((tracer.id, value))
        return tracer

    def literal(self, value: bool | int | float | complex, aval: Aval) -> Tracer:
        """The scalar constant `value` filling `aval`; masked in the rows, its value kept aside in `scalars`."""
        key = (LITERAL, value if value and value == value else scalar_key(value), aval)
        found = self.memo.get(key)
        if found is None:
            found = self.memo[key] = self._source(LITERAL, aval)
            self.scalars.append((found.id, value))
        return found

    def capture(self, x: Any) -> Tracer:
        """A value from outside this trace (an outer tracer, a closed-over array) as an extra input."""
        # Item assignment may give a tracer another number: it is captured as what it is now.
        key = (CAPTURE, id(x.builder), x.id) if type(x) is Tracer else (CAPTURE, id(x))
        found = self.memo.get(key)
        if isinstance(x, np.ndarray):
            if isinstance(x, np.matrix | np.ma.MaskedArray):
                raise ConversionError(
                    f"plain arrays were needed, got a NumPy {type(x).__name__} of shape {x.shape}, whose operators "
                    "mean something else. Convert it: np.asarray(x), with @ for matrices, where() for masks."
                )
            # The caller may write into its array while we trace: keep what it held, and tell two contents apart.
            if found is not None and _same_bytes(self.snapshots[id(x)], x):
                return found
            kept = x.copy()
            self.snapshots[id(x)] = kept
            self.memo[(CAPTURE, "alive", len(self.captured))] = x  # so that its id stays its own
            found, x = None, kept
        if found is None:
            found = self.memo[key] = self._source(CAPTURE, aval_of(x))
            self.captured.append((found.id, x.fresh() if type(x) is Tracer else x))
        return found

    def operand(self, x: Any, like: Aval | None) -> Tracer:
        """`x` as a value of this trace; a Python scalar takes the shape and dtype of its neighbour."""
        kind = type(x)
        if kind is Tracer:
            if x.builder is self:
                return x
            if x.builder.closed or x.builder.level >= self.level:
                return x.builder.handed(x, self)
            return self.capture(x)
        if kind is Lit:
            return self.literal(x.value, x.aval)
        if kind is float or kind is int or kind is bool or kind is complex:
            return self.literal(x, aval_of(x) if like is None else like)
        if kind is Var:  # what a transpose rule is given for an operand that is linear, and so has no value
            raise MissingRuleError(
                "a program that is not linear in its argument was transposed: a value that depends on the argument "
                f"({x.aval}) is a factor of another, or an operand of a nonlinear operation. "
                "Transpose its derivative (linearize, vjp)."
            )
        if isinstance(x, np.generic):
            return self.literal(x.item(), aval_of(x))
        return self.operand(x.read(), like) if isinstance(x, Held) else self.capture(x)

    def record(self, prim: Primitive, xs: tuple, params: dict[str, Any]) -> tuple[Tracer, ...]:
        """The results of `prim(*xs, **params)`: recorded once, however often it is written."""
        if self.closed:
            for x in xs:
                if type(x) is Tracer and x.builder is self:
                    raise escaped(x)
            raise EscapedTracerError("an operation was recorded into a trace that had ended")
        ids = []
        like = None
        for x in xs:
            if type(x) is Tracer and x.builder is self:
                ids.append(x.id)
            elif type(x) is Tracer and x.builder.level > self.level and not x.builder.closed:
                return x.builder.record(prim, xs, params)
            else:
                if like is None:
                    like = next((y.aval for y in xs if type(y) is Tracer or type(y) is Lit), None)
                ids.append(self.operand(x, like).id)
        values = tuple(params.values())
        row = (prim, tuple(ids), values)
        found = self.memo.get(row)
        if found is None:
            avals = tuple([x.aval if type(x) is Tracer else self.aval(i) for x, i in zip(xs, ids, strict=True)])
            found = self._new(row, prim, avals, values, params)
        first, out_avals = found
        if len(out_avals) == 1:
            return (Tracer(out_avals[0], self, first),)
        return tuple([Tracer(aval, self, first + i) for i, aval in enumerate(out_avals)])

    def unary(self, prim: Primitive, x: Tracer) -> Tracer:
        """The result of `prim(x)` for a tracer of this trace: `record` without its generality, for speed."""
        row = (prim, (x.id,), ())
        found = self.memo.get(row)
        if found is None:
            if self.closed:
                raise escaped(x)
            found = self._new(row, prim, (x.aval,), (), NO_PARAMS, 3)
        return Tracer(found[1][0], self, found[0])

    def binary(self, prim: Primitive, x: Tracer, y: Tracer) -> Tracer:
        """The result of `prim(x, y)` for two tracers of this trace: `record` without its generality, for speed."""
        row = (prim, (x.id, y.id), ())
        found = self.memo.get(row)
        if found is None:
            if self.closed:
                raise escaped(x)
            found = self._new(row, prim, (x.aval, y.aval), (), NO_PARAMS, 3)
        return Tracer(found[1][0], self, found[0])

    def _new(
        self, row: tuple, prim: Primitive, avals: tuple, values: tuple, params: dict[str, Any], depth: int = 2
    ) -> tuple[int, tuple[Aval, ...]]:
        """The entry in `memo` of an equation not yet written; `depth` frames up the user's line may be looked for."""
        kind = _INFERRED.get((prim, avals, values))
        if kind is None:
            kind = self._inferred(prim, avals, values, params)
        out_avals = kind[3]
        where = self.where
        if where is None:
            frame = _getframe(depth)
            while INTERNAL[frame.f_code.co_filename]:
                frame = frame.f_back
                if frame is None:
                    break
            else:
                where = (frame.f_code, frame.f_lasti)
        rows, origin = self.rows, self.origin
        number = len(rows)
        if number >= LONG and not self.is_long and self.previous is not None and self in AMBIENT.stack[-1:]:
            self.is_long = True
            PATIENCE.begin()
        rows.append(row)
        self.kinds.append(kind)
        self.wheres.append(where)
        self.params.append(params)
        found = self.memo[row] = (len(origin), out_avals)
        if len(out_avals) == 1:
            origin.append(number)
        else:
            origin.extend([number] * len(out_avals))
        return found

    def place(self, outs: Iterable[Any], where: Where | None) -> None:
        """Say that the equations which made `outs` stand at `where`."""
        for out in outs:
            if type(out) is Tracer and out.builder is self:
                self.wheres[self.origin[out.id]] = where

    def entitle(self, outs: Iterable[Any], title: Callable[[Where], Where]) -> None:
        """Say which of the user's variables the derivatives `outs` belong to, where they belong to none yet."""
        for out in outs:
            if type(out) is Tracer and out.builder is self:
                row = self.origin[out.id]
                where = self.where_of(row)
                if where is not None and where.suffix is None:
                    self.wheres[row] = title(where)

    def where_of(self, number: int) -> Where | None:
        """The user's line of a row."""
        where = self.wheres[number]
        if type(where) is not tuple:
            return where  # type: ignore[return-value]
        found = self.wheres[number] = self.places.setdefault((id(where[0]), where[1]), Where(*where))
        return found

    def aval(self, id: int) -> Aval:
        """The type of the value of that number."""
        row = self.rows[self.origin[id]]
        if len(row) == 2:
            return row[1]
        first, avals = self.memo[row]
        return avals[id - first]

    def _inferred(self, prim: Primitive, avals: tuple, values: tuple, params: dict[str, Any]) -> Kind:
        try:
            out_avals = tuple(prim.infer(*avals, **params))
        except GradlabError as error:
            raise error.at(self.where) from None
        if len(_INFERRED) > 100_000:
            _INFERRED.clear()
        kind = _INFERRED[prim, avals, values] = Kind(prim, avals, values, out_avals)
        return kind

    # -- values

    def value_of(self, tracer: Tracer, wanted_by: str) -> Any:
        """The concrete value of a tracer: the equations it needs are run once, and their values kept."""
        if self.closed:
            raise escaped(tracer)
        if tracer.id not in self.values:
            self._evaluate(tracer, wanted_by)
        return self.values[tracer.id]

    def _evaluate(self, tracer: Tracer, wanted_by: str) -> None:
        wanted, needed, frontier = [tracer.id], set(), set()
        scalars, sources = dict(self.scalars), dict((*self.given, *self.captured))
        if tracer.id in scalars:
            self.values[tracer.id] = np.full(tracer.shape, run_time(scalars[tracer.id], tracer.aval), tracer.dtype)
            return
        while wanted:
            id = wanted.pop()
            if id in needed or id in frontier:
                continue
            row = self.rows[self.origin[id]]
            if id in sources and id not in self.values:  # only what is needed: the others may have no value
                known = sources[id].value(wanted_by) if type(sources[id]) is Tracer else sources[id]
                if not is_jax_tracer(known):
                    self.values[id] = known
            if id in self.values or row[0] is LITERAL:
                frontier.add(id)
            elif len(row) == 2 or self.evaluate is None:
                raise no_value(tracer.aval, wanted_by)
            else:
                first, avals = self.memo[row]
                needed.update(range(first, first + len(avals)))
                wanted.extend(row[1])
        if not needed:
            return
        # Literals come in as run-time scalars, so that a loop which asks every turn compiles once.
        known, found = sorted(frontier), sorted(needed)
        inputs = [run_time(scalars[id], self.aval(id)) if id in scalars else self.values[id] for id in known]
        assert self.evaluate is not None
        self.values.update(zip(found, self.evaluate(self._slice(known, found), inputs), strict=True))

    # -- the result

    def _slice(self, known: Sequence[int], needed: Sequence[int]) -> Graph:
        """(known*) -> (needed*): the equations between the values of these numbers."""
        var: dict[int, Any] = {}
        inputs: list[Var] = []
        fills: list[Eqn] = []
        for id in known:
            aval = self.aval(id)
            if self.rows[self.origin[id]][0] is LITERAL:
                inputs.append(Var(aval.reshaped(())))
                var[id] = _filled(inputs[-1], aval, fills)
            else:
                inputs.append(Var(aval))
                var[id] = inputs[-1]
        numbers = sorted({self.origin[id] for id in needed})
        eqns = [*fills, *self._eqns(numbers, var)]
        return Graph(inputs, eqns, [var[id] for id in needed])

    def _eqns(self, numbers: Iterable[int], var: dict[int, Any]) -> list[Eqn]:
        eqns = []
        rows, where_of, params, memo = self.rows, self.where_of, self.params, self.memo
        new = tuple.__new__  # half the time of Eqn(...)
        for number in numbers:
            row = rows[number]
            first, avals = memo[row]
            if len(avals) == 1:
                v = var[first] = Var(avals[0])
                made = (v,)
            else:
                made = tuple([Var(aval) for aval in avals])
                var.update(enumerate(made, first))
            eqns.append(new(Eqn, (row[0], tuple([var[i] for i in row[1]]), made, params[number], where_of(number))))
        return eqns

    def graph(
        self, outputs: Sequence[Tracer | Lit], varying: frozenset[int] = frozenset(), names: Sequence[str] = ()
    ) -> Graph:
        """(inputs*, captured*, stacks*, varying scalars*) -> (outputs*).

        `varying` numbers the entries of `scalars` that become run-time inputs instead of literals.
        """
        inputs, first, var = self.head(varying, names)
        with patient(len(self.rows)):
            eqns = self._eqns((n for n, row in enumerate(self.rows) if len(row) == 3), var)
        outs = [Lit(a.value, a.aval) if type(a) is Lit else var[a.id] for a in outputs]
        return Graph(inputs, first + eqns, outs)

    def apart(self) -> list[tuple[int, Any]]:
        """The captured values that are in no stack."""
        if not self.stacks:
            return self.captured
        inside = {id for stack in self.stacks for id in stack.ids}
        return [(id, x) for id, x in self.captured if id not in inside]

    def head(self, varying: frozenset[int] = frozenset(), names: Sequence[str] = ()) -> Head:
        """How its graph begins: the inputs, equations that cut or fill them, what stands for values by number."""
        var: dict[int, Any] = {}
        inputs = [Var(self.rows[i][1], names[i] if i < len(names) else None) for i in range(self.n_inputs)]
        var.update(enumerate(inputs))
        for id, _ in self.apart():
            var[id] = Var(self.aval(id))
            inputs.append(var[id])
        fills: list[Eqn] = []
        for stack in self.stacks:
            whole, cuts = stack.begin(var)
            inputs.append(whole)
            fills += cuts
        for k, (id, value) in enumerate(self.scalars):
            aval = self.aval(id)
            if k in varying:
                inputs.append(Var(aval.reshaped(())))
                var[id] = _filled(inputs[-1], aval, fills)
            else:
                var[id] = Lit(value, aval)
        return inputs, fills, var


def run_time(value: bool | int | float | complex, aval: Aval) -> Any:
    """A scalar constant as the run-time input that has its dtype, and its weakness where only Python's numbers do."""
    if aval.weak and canonical_dtype(kind := _KINDS[aval.dtype.kind]) == aval.dtype:
        return kind(value)
    with np.errstate(over="ignore"):  # 1e300 is inf in float32, as it is for JAX
        return aval.dtype.type(value)


_KINDS: dict[str, Any] = {"b": bool, "i": int, "u": int, "f": float, "c": complex, "V": float}
FILL: list[Primitive] = []  # the broadcast primitive, put here by ops.families: a scalar made into an array


def _filled(scalar: Var, aval: Aval, eqns: list[Eqn]) -> Var:
    """A variable full of `scalar`; the equation that fills it, where one is needed, joins `eqns`."""
    if not aval.shape:
        return scalar
    full = Var(aval)
    eqns.append(Eqn(FILL[0], (scalar,), (full,), {"shape": aval.shape, "axes": ()}))
    return full


def _same_bytes(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and (a.tobytes() == b.tobytes() if a.size else True)


def innermost(xs: Iterable[Any]) -> Builder | None:
    """The innermost open trace among the tracers in `xs`; None where there is no tracer."""
    found: Builder | None = None
    for x in xs:
        if type(x) is Tracer and (found is None or x.builder.level > found.level):
            found = x.builder
    return found


def bind(prim: Primitive, *xs: Any, **params: Any) -> tuple[Tracer, ...]:
    """The results of a primitive, recorded in the innermost trace among its operands, or in the ambient one.

    A Python scalar among `xs` stands for an array like its neighbours.
    """
    builder = innermost(xs)
    if builder is None:
        if not AMBIENT.stack:
            raise ConversionError(f"{prim.name}: no operand is a tracer and no trace is open")
        builder = AMBIENT.stack[-1]
    return builder.record(prim, xs, params)


def bind1(prim: Primitive, *xs: Any, **params: Any) -> Tracer:
    """`bind` of a primitive with one result."""
    if not params:
        if len(xs) == 1:
            (x,) = xs
            if type(x) is Tracer:
                return x.builder.unary(prim, x)
        elif len(xs) == 2:
            x, y = xs
            if type(x) is Tracer and type(y) is Tracer and x.builder is y.builder:
                return x.builder.binary(prim, x, y)
    return bind(prim, *xs, **params)[0]
