"""Reading JAX's programs: each equation of a jaxpr becomes the IR's equations, or one opaque one.

`RULES` says how, for each of JAX's primitives that has a counterpart; the files `lax_*.py` fill it. What it does not
know, and what a rule declines (`NotImplemented`), is opaque: a `JaxFunction`, which asks JAX for its derivative, its
transpose and its batch, and reads the answers, which are jaxprs again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal, primitives

from ..control.opaque import opaque
from ..ir.errors import DTypeError, InvalidGraphError, MissingRuleError
from ..ir.graph import Aval, Graph, Lit, is_inexact
from ..ir.where import INTERNAL, Where
from ..ops.convert import convert
from ..ops.weaken import weaken
from ..trace.avals import aval_of, is_key_dtype
from ..trace.builder import AMBIENT, Builder, innermost
from ..trace.stage import current, inline, trace_graph
from ..trace.tracer import Tracer
from .identity import params_key

Rule = Callable[..., Any]

RULES: dict[Any, Rule] = {}  # JAX's primitive -> rule(xs, outs, **params) -> results; outs are their types
CALLS: dict[Any, Rule] = {}  # those that carry programs: rule(eqn, xs) -> results
NAMES: list[str] = []  # the names of all of them


def reads(*names: str, into: dict[Any, Rule] = RULES) -> Callable[[Rule], Rule]:
    """Registers a rule for JAX's primitives of these names; one that JAX does not publish is known by its name."""

    def register(rule: Rule) -> Rule:
        into.update((getattr(primitives, f"{name}_p", name), rule) for name in names)
        NAMES.extend(names)
        return rule

    return register


def rule_of(primitive: Any, rules: dict[Any, Rule]) -> Rule | None:
    """The rule for a primitive, or None."""
    return rules.get(primitive) or rules.get(primitive.name)


# -- types


def aval_from(aval: Any) -> Aval:
    """The type of a variable of a jaxpr."""
    dtype = aval.dtype if is_key_dtype(aval.dtype) else np.dtype(aval.dtype)
    return Aval(tuple(aval.shape), dtype, bool(getattr(aval, "weak_type", False)))


def struct(aval: Aval) -> jax.ShapeDtypeStruct:
    """The type in JAX's words."""
    return jax.ShapeDtypeStruct(aval.shape, aval.dtype, weak_type=aval.weak)


def with_type(x: Any, aval: Aval) -> Any:
    """`x` with the weakness of `aval`, whose shape and dtype it has."""
    if x.aval.weak == aval.weak:
        return x
    if type(x) is Lit:
        return Lit(x.value, aval)
    return weaken(x, dtype=aval.dtype) if aval.weak else convert(x, dtype=aval.dtype)


def evaluate(eqn: Any, xs: Sequence[Any]) -> list[Any]:
    """The results of an equation on JAX's arrays or tracers."""
    with eqn.ctx.manager:
        found = eqn.primitive.bind(*xs, **eqn.primitive.get_bind_params(eqn.params))
    return list(found) if eqn.primitive.multiple_results else [found]


# -- reading


def operand(value: Any) -> Any:
    """A constant of a jaxpr as a value of the trace at hand: a number as a literal, an array captured."""
    if isinstance(value, Tracer | Lit):
        return value
    if isinstance(value, bool | int | float | complex):
        return Lit(value, aval_of(value))
    if not isinstance(value, jax.Array) and not np.ndim(value):
        return Lit(np.asarray(value).item(), aval_of(value))
    return AMBIENT.stack[-1].operand(value, None)


def read(jaxpr: Any, consts: Sequence[Any], xs: Sequence[Any]) -> list[Any]:
    """The outputs of a jaxpr on tracers and literals, its equations recorded in the trace at hand."""
    env: dict[Any, Any] = dict(zip(jaxpr.constvars, map(operand, consts), strict=True))
    env.update(zip(jaxpr.invars, xs, strict=True))

    def value(atom: Any) -> Any:
        return _literal(atom) if isinstance(atom, Literal) else env[atom]

    builder = current(xs) if AMBIENT.stack or innermost(xs) is not None else None
    kept = None if builder is None else builder.where
    try:
        for eqn in live(jaxpr):
            if builder is not None:
                builder.where = line_of(eqn) or kept
            env.update(zip(eqn.outvars, read_eqn(eqn, tuple(map(value, eqn.invars))), strict=True))
    finally:
        if builder is not None:
            builder.where = kept
    return list(map(value, jaxpr.outvars))


def line_of(eqn: Any) -> Where | None:
    """The user's line that JAX traced an equation at; None where JAX kept none."""
    trace = getattr(getattr(eqn, "source_info", None), "traceback", None)
    frames = getattr(trace, "raw_frames", None)
    if frames is None:
        return None
    for code, lasti in zip(*frames(), strict=True):
        if not INTERNAL[code.co_filename]:
            return Where(code, lasti)
    return None


def live(jaxpr: Any) -> list[Any]:
    """The equations whose results are read, in order."""
    wanted = {v for v in jaxpr.outvars if not isinstance(v, Literal)}
    kept = []
    for eqn in reversed(jaxpr.eqns):
        if not wanted.isdisjoint(eqn.outvars):
            kept.append(eqn)
            wanted.update(v for v in eqn.invars if not isinstance(v, Literal))
    return kept[::-1]


def _literal(atom: Any) -> Any:
    value = np.asarray(atom.val)
    return operand(value) if value.ndim else Lit(value.item(), aval_from(atom.aval))


def read_eqn(eqn: Any, xs: tuple) -> list[Any]:
    """The results of one equation of a jaxpr."""
    rule = rule_of(eqn.primitive, CALLS)
    if rule is not None:
        found = rule(eqn, xs)
        if found is not NotImplemented:
            return list(found)
    outs = tuple([aval_from(v.aval) for v in eqn.outvars])
    rule = rule_of(eqn.primitive, RULES)
    if rule is not None:
        try:
            found = rule(xs, outs, **eqn.params)
        except DTypeError:  # a dtype that JAX has the operation for and the IR has not
            found = NotImplemented
        if found is not NotImplemented:
            found = list(found) if isinstance(found, tuple | list) else [found]
            for got, aval in zip(found, outs, strict=True):
                if (got.shape, got.dtype) != (aval.shape, aval.dtype):
                    raise InvalidGraphError(f"JAX's {eqn.primitive} gives {aval}, but was read as {got.aval}")
            return found
    return list(opaque(of_eqn(eqn, xs, outs), xs))


# -- functions of JAX's that are no equations


def of_eqn(eqn: Any, xs: Sequence[Any], outs: tuple[Aval, ...]) -> JaxFunction:
    """An equation as a function of its operands."""
    kept: list[Any] = [eqn]
    key = (eqn.primitive, params_key(eqn.params, kept))
    run = _custom_lin(eqn) if eqn.primitive is primitives.custom_lin_p else None

    def call(*xs: Any) -> list[Any]:
        return evaluate(eqn, xs)

    name = eqn.params.get("name") if rule_of(eqn.primitive, CALLS) else None
    return JaxFunction(call, key, [x.aval for x in xs], outs, name or eqn.primitive.name, kept, run)


def _custom_lin(eqn: Any) -> Callable[..., list[Any]]:
    """What stands for the derivative of a jax.custom_vjp: only its transpose is known, so it is transposed twice."""
    n = eqn.params["num_res"]

    def run(*xs: Any) -> list[Any]:
        residuals, moving = xs[:n], xs[n:]
        backward = jax.linear_transpose(lambda *d: evaluate(eqn, (*residuals, *d)), *moving)
        types = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in eqn.outvars]
        (found,) = jax.linear_transpose(backward, types)(moving)
        return list(found)

    return run


def program(fun: Callable[..., Any], avals: Sequence[Aval]) -> Any:
    """The jaxpr of a function of arrays, read outside of any trace of ours."""
    kept, AMBIENT.stack = AMBIENT.stack, ()
    try:
        return jax.make_jaxpr(lambda *xs: fun(*xs))(*map(struct, avals))  # a function that make_jaxpr has not met
    finally:
        AMBIENT.stack = kept


def graph_of(closed: Any, avals: Sequence[Aval]) -> Graph:
    """A closed jaxpr as a graph; arrays among its constants are opaque functions of nothing."""
    jaxpr, consts = opened(closed)
    return _closed(lambda *xs: read(jaxpr, [_constant(c) for c in consts], xs), avals)


def _closed(run: Callable[..., Sequence[Any]], avals: Sequence[Aval]) -> Graph:
    """The graph of `run(*tracers)`, which may read jaxprs whose inner programs and literals hold arrays too."""
    builder = Builder()
    with builder:
        outs = run(*[builder.input(aval) for aval in avals])
    graph, held = builder.graph(outs), [value for _, value in builder.captured]
    builder.close()
    if not held:
        return graph
    return trace_graph(lambda builder, *xs: inline(graph, builder, [*xs, *map(_constant, held)]), avals)


def opened(program: Any) -> tuple[Any, Sequence[Any]]:
    """A jaxpr and its constants, from a closed one or one that has none."""
    return getattr(program, "jaxpr", program), getattr(program, "consts", ())


def _constant(value: Any) -> Any:
    """An array that a program of JAX's refers to, in a graph that has no inputs but its own."""
    if not np.ndim(value) and not isinstance(value, jax.Array):
        return operand(value)
    aval = aval_of(value)
    fun = JaxFunction(lambda: [jnp.asarray(value)], ("constant", id(value)), [], (aval,), "constant", [value])
    return opaque(fun, ())[0]


class JaxFunction:
    """A function of JAX's (x*) -> (y*), for operands of fixed types: what an opaque equation holds.

    **Arguments:** `call`: of JAX's tracers, linear where it is transposed; `run`, where that differs: what is executed,
    differentiated and batched; `key`: what it means; `kept`: what must live as long as the key does.
    """

    __slots__ = ("_call", "_hash", "_kept", "_key", "_memo", "in_avals", "name", "out_avals", "run", "word")

    def __init__(
        self,
        call: Callable[..., Sequence[Any]],
        key: tuple,
        in_avals: Sequence[Aval],
        out_avals: tuple[Aval, ...],
        name: str,
        kept: list[Any],
        run: Callable[..., Sequence[Any]] | None = None,
    ):
        self._call, self.run = call, run or call
        self.in_avals, self.out_avals = tuple(in_avals), out_avals
        self.name, self.word = name, "jax_" + "".join(c if c.isalnum() else "_" for c in name)
        self._key, self._kept = (key, self.in_avals, out_avals), kept
        self._hash = hash(self._key)
        self._memo: dict[tuple, Any] = {}

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (type(other) is JaxFunction and self._hash == other._hash and self._key == other._key)

    def __repr__(self) -> str:
        return f"JAX's {self.name}"

    def linearized(self, active: tuple[bool, ...]) -> tuple[Graph, Graph, tuple[bool, ...]]:
        return self._once(("linearized", active), lambda: self._linearize(active))

    def transposed(self, active: tuple[bool, ...], seeded: tuple[bool, ...]) -> Graph:
        return self._once(("transposed", active, seeded), lambda: self._transpose(active, seeded))

    def batched(self, dims: tuple[int | None, ...], size: int) -> Graph:
        return self._once(("batched", dims, size), lambda: self._batch(dims, size))

    def _once(self, what: tuple, make: Callable[[], Any]) -> Any:
        if what not in self._memo:
            self._memo[what] = make()
        return self._memo[what]

    def _linearize(self, active: tuple[bool, ...]) -> tuple[Graph, Graph, tuple[bool, ...]]:
        moving = [aval for aval, on in zip(self.in_avals, active, strict=True) if on]
        inexact = [is_inexact(aval.dtype) for aval in self.out_avals]
        linear: list[Any] = []

        def first(*xs: Any) -> list[Any]:
            of_moving = _with_others(self.run, xs, active)
            outs, push = jax.linearize(of_moving, *[x for x, on in zip(xs, active, strict=True) if on])
            types = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in moving]
            found = jax.make_jaxpr(lambda *d: [t for t, on in zip(push(*d), inexact, strict=True) if on])(*types)
            linear.append(found)
            return [*outs, *found.consts]

        primal = graph_of(program(first, self.in_avals), self.in_avals)
        jaxpr = linear[-1].jaxpr
        depends = set(jaxpr.invars)
        for eqn in jaxpr.eqns:
            if not depends.isdisjoint(v for v in eqn.invars if not isinstance(v, Literal)):
                depends.update(eqn.outvars)
        on = iter([not isinstance(v, Literal) and v in depends for v in jaxpr.outvars])
        alive = tuple([is_real and next(on) for is_real in inexact])
        kept = [not isinstance(v, Literal) and v in depends for v in jaxpr.outvars]

        def run(*args: Any) -> list[Any]:
            n = len(jaxpr.constvars)
            outs = read(jaxpr, args[:n], args[n:])
            return [x for x, yes in zip(outs, kept, strict=True) if yes]

        avals = [aval_from(v.aval) for v in jaxpr.constvars]
        return primal, _closed(run, [*avals, *[a.retyped(a.dtype) for a in moving]]), alive

    def _transpose(self, active: tuple[bool, ...], seeded: tuple[bool, ...]) -> Graph:
        n_given = active.count(False)

        def backward(*args: Any) -> Any:
            given, cts = iter(args[:n_given]), args[n_given:]
            xs = [None if on else next(given) for on in active]

            def forward(*moving: Any) -> list[Any]:
                outs = _with_others(self._call, xs, active)(*moving)
                return [y for y, on in zip(outs, seeded, strict=True) if on]

            types = [struct(a) for a, on in zip(self.in_avals, active, strict=True) if on]
            try:
                return jax.linear_transpose(forward, *types)(list(cts))
            except (NotImplementedError, ValueError, AssertionError) as error:
                raise MissingRuleError(f"JAX has no transpose of {self.name} in these operands: {error}") from error

        avals = [a for a, on in zip(self.in_avals, active, strict=True) if not on]
        avals += [a for a, on in zip(self.out_avals, seeded, strict=True) if on]
        return graph_of(program(backward, avals), avals)

    def _batch(self, dims: tuple[int | None, ...], size: int) -> Graph:
        avals = [
            a if d is None else a.reshaped((*a.shape[:d], size, *a.shape[d:]))
            for a, d in zip(self.in_avals, dims, strict=True)
        ]
        batched = jax.vmap(lambda *xs: list(self.run(*xs)), in_axes=dims, out_axes=0, axis_size=size)
        return graph_of(program(batched, avals), avals)


def _with_others(fun: Callable[..., Any], xs: Sequence[Any], active: Sequence[bool]) -> Callable[..., list[Any]]:
    """`fun` of its active operands, the others held."""

    def of_moving(*moving: Any) -> list[Any]:
        new = iter(moving)
        return list(fun(*[next(new) if on else x for x, on in zip(xs, active, strict=True)]))

    return of_moving
