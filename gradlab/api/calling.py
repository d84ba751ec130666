"""One call of a transformed function: read it, find its program in the cache (or make it), run it.

Three kinds of call meet here. Concrete inputs: the recorded rows are the cache key, and the executable found there
runs. Tracers of an enclosing gradlab trace: the program is made (or found) as a graph and inlined. JAX tracers (under
jax.jit, jax.vmap, jax.grad): the program's Python function is called on them, so JAX sees plain jax.numpy.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any

from ..control.reroll import ROLLING, rolled
from ..control.stacks import stacks_of
from ..ir.errors import ConversionError, DTypeError, GradlabError, HandedTracerError
from ..ir.graph import Aval, Graph, Lit, scalar_key
from ..ir.where import INTERNAL
from ..lower.compile import LRU, SLICES, STATS, CacheInfo, evaluate
from ..trace.avals import NO_KEYS, aval_of, is_jax_tracer, is_key_dtype
from ..trace.builder import Builder, innermost, run_time
from ..trace.patience import LONG, patient
from ..trace.stage import inline
from ..trace.tracer import Tracer
from .dialect import DIALECTS, Dialect
from .programs import Program

EXECUTABLES = LRU(512)  # (transformation, rows) -> Entry, for calls on arrays
TRANSFORMED = LRU(512)  # (transformation, graph, lines) -> Program, for calls inside a trace

_is_jax_tracer: dict[type, bool] = {}  # type -> `is_jax_tracer` of its instances, which is slow to ask


class _Fresh(threading.local):
    on = False


FRESH = _Fresh()  # set while a program is read to be shown: cached programs may carry another function's names


def cache_info() -> CacheInfo:
    """What the graph cache has done: `CacheInfo(hits, misses, compiles, currsize, maxsize)`.

    `compiles` counts the programs handed to XLA since the last `cache_clear`.
    """
    return CacheInfo(EXECUTABLES.hits, EXECUTABLES.misses, STATS["compiles"], len(EXECUTABLES), EXECUTABLES.maxsize)


def cache_clear() -> None:
    """Forget every cached program and reset the counters of `cache_info`."""
    for cache in (EXECUTABLES, TRANSFORMED, SLICES):
        cache.clear()
    STATS["compiles"] = 0


class _Builders(threading.local):
    make: Callable[..., Builder] = Builder


BUILDERS = _Builders()  # what makes the trace a function is read into; set where more is to be known of it


class Reading:
    """A function read once: its trace, still open, and what came out.

    **Attributes:** `given`: the values of the explicit inputs; `result`: what the function returned; `outs`: the array
    results as tracers; `slots`: how to put auxiliary ones back (None for an array, a 1-tuple for a leaf passed on).
    **Arguments:** `names()`: names for the inputs, asked for only when a graph is built. `fun`: the user's function
    behind `call`, by which is remembered that another library (`DIALECTS`) has to read it; None if none may.
    """

    __slots__ = ("builder", "given", "names", "outs", "result", "slots")

    def __init__(
        self,
        call: Callable[[Sequence[Any]], Any],
        given: Sequence[Any],
        avals: Sequence[Aval] | None = None,
        concrete: bool = True,
        names: Callable[[], Sequence[str]] = tuple,
        fun: Callable | None = None,
    ):
        self.given = given
        self.names = names
        self.outs: list[Tracer] = []
        self.slots: list[tuple | None] = []
        avals = [aval_of(x) for x in given] if avals is None else avals
        values = given if concrete else None
        dialect = DIALECTS[0] if DIALECTS else None
        known = dialect if dialect is not None and fun is not None and dialect.knows(fun) else None
        if known is None or not self._read_otherwise(known, call, avals, values):
            try:
                self._read(call, avals, values)
            except Exception as error:
                if dialect is not None and fun is not None and dialect.concerns(error):
                    self._read(partial(dialect.read, call), avals, values)
                    dialect.remember(fun)
                else:
                    if isinstance(error, TypeError | ValueError | IndexError | AttributeError):
                        _explain(error)
                    raise

    def _read_otherwise(self, dialect: Dialect, call: Callable, avals: Sequence[Aval], values: Any) -> bool:
        """Whether the other library could read the function again: this time it may be readable only as it stands."""
        try:
            self._read(partial(dialect.read, call), avals, values)
        except ConversionError:
            return False
        return True

    def _read(self, call: Callable[[Sequence[Any]], Any], avals: Sequence[Aval], values: Sequence[Any] | None) -> None:
        builder = self.builder = BUILDERS.make(evaluate if values is not None else None)
        with builder:
            if values is not None:
                tracers = [builder.input(aval, x) for aval, x in zip(avals, values, strict=True)]
            else:
                tracers = [builder.input(aval) for aval in avals]
            self.result = call(tracers)

    def take(self, leaf: Any) -> None:
        """Record `leaf`, an array, as a result of the trace."""
        self.outs.append(self.builder.operand(leaf, None))

    def take_aux(self, leaves: Sequence[Any]) -> None:
        """Auxiliary leaves: tracers of this trace become results, anything else is passed on as it is."""
        for leaf in leaves:
            if type(leaf) is Tracer and leaf.builder is self.builder:
                self.outs.append(leaf)
                self.slots.append(None)
            else:
                if type(leaf) is Tracer:
                    _ = leaf.builder.level  # raises for a view whose memory was assigned to since
                self.slots.append((leaf,))

    def put_aux(self, values: Sequence[Any]) -> list[Any]:
        """The auxiliary leaves again, from the values of those that were results."""
        got = iter(values)
        return [next(got) if slot is None else slot[0] for slot in self.slots]

    def graph(self) -> Graph:
        """The closed graph: (inputs*, captured*) -> (outs*), its long repetitions rolled into loops."""
        return rolled(self.builder, self.outs, len(self.given), names=self.names())

    def inputs(self) -> list[Any]:
        """What the closed graph is of: the values given, then those captured, many small ones as one."""
        builder = self.builder
        if not builder.captured:
            return list(self.given)
        return [*self.given, *[x for _, x in builder.apart()], *[stack.array for stack in builder.stacks]]

    def end(self) -> tuple[Graph, list[Any]]:
        """The closed graph and its inputs. The trace is over: a tracer used after this has escaped."""
        self.builder.stacks = stacks_of(self.builder)
        graph, inputs = self.graph(), self.inputs()
        self.builder.close()
        return graph, inputs

    def end_as_body(self) -> tuple[Graph, list[Any]]:
        """`end`, for a graph that an equation will carry: its scalars are inputs too.

        As operands they are literals of the program around it, where a scalar that varies does not recompile.
        """
        builder = self.builder
        builder.stacks = stacks_of(builder)
        scalars = [Lit(value, builder.aval(id).reshaped(())) for id, value in builder.scalars]
        graph = rolled(builder, self.outs, len(self.given), frozenset(range(len(scalars))), self.names())
        inputs = [*self.inputs(), *scalars]
        builder.close()
        return graph, inputs

    def program(self, spec: Hashable, make: Callable[[Graph], Program]) -> tuple[Program, list[Any]]:
        """The program `make(graph)` and the inputs to run it on; `spec` names the transformation in the cache."""
        size = len(self.builder.rows)
        if size < LONG:
            return self._program(spec, make)
        with patient(size):
            return self._program(spec, make)

    def _program(self, spec: Hashable, make: Callable[[Graph], Program]) -> tuple[Program, list[Any]]:
        builder = self.builder
        builder.stacks = stacks_of(builder)
        inputs = self.inputs()
        if innermost(inputs) is not None:
            program = self._transformed(spec, make)
        elif FRESH.on:
            program = make(self.graph())
        else:
            stacked = tuple([stack.ids for stack in builder.stacks]) if builder.stacks else ()
            key = (spec, ROLLING.on, tuple(builder.rows), tuple([out.id for out in self.outs]), stacked)
            entry = EXECUTABLES.get(key)
            if entry is None:
                entry = EXECUTABLES.put(key, Entry(builder))
            program, varying = entry.program(self, make)
            if varying:
                scalars = builder.scalars
                inputs += [run_time(scalars[k][1], builder.aval(scalars[k][0])) for k in varying]
        builder.close()
        return program, inputs

    def _transformed(self, spec: Hashable, make: Callable[[Graph], Program]) -> Program:
        graph = self.graph()
        if FRESH.on:
            return make(graph)
        key = (spec, graph, _lines(graph))
        found = TRANSFORMED.get(key)
        return TRANSFORMED.put(key, make(graph)) if found is None else found


def _lines(graph: Graph) -> tuple:
    """Where its equations stand, and those of the programs they carry: an equal graph may stand elsewhere."""
    found: list[Any] = []
    for eqn in graph.eqns:
        where = eqn.where
        found.append(None if where is None else (id(where[0]), *where[1:]))
        if eqn.prim.graphs:
            found += [_lines(inner) for _, inner in eqn.graphs]
    return tuple(found)


class Entry:
    """What the cache holds for one program with its scalars masked.

    The first scalars are compiled in. One that comes with another value becomes a run-time input from then on.
    """

    __slots__ = ("known", "latest")

    def __init__(self, builder: Builder):
        self.known = [scalar_key(value) for _, value in builder.scalars]
        self.latest: tuple[Program | None, tuple[int, ...]] = (None, ())  # one value: threads read and set it whole

    def program(self, reading: Reading, make: Callable[[Graph], Program]) -> tuple[Program, tuple[int, ...]]:
        made, varying = self.latest
        now = [scalar_key(value) for _, value in reading.builder.scalars]
        if now != self.known:
            changed = {k for k, (a, b) in enumerate(zip(self.known, now, strict=True)) if a != b}
            if not changed <= set(varying):
                varying = tuple(sorted({*varying, *changed}))
                made = None
        if made is None:
            made = make(rolled(reading.builder, reading.outs, len(reading.given), frozenset(varying), reading.names()))
            self.latest = made, varying
        return made, varying


def run(program: Program, inputs: Sequence[Any]) -> Sequence[Any]:
    """The program's outputs: inlined into an enclosing trace, called on JAX's tracers, or executed."""
    traced = False
    for x in inputs:
        kind = type(x)
        if kind is Tracer:
            builder = innermost(inputs)
            assert builder is not None
            return [builder.operand(out, None) for out in inline(program.graph, builder, inputs)]
        known = _is_jax_tracer.get(kind)
        if known is None:
            known = _is_jax_tracer[kind] = is_jax_tracer(x)
        traced = traced or known
    return program.composable.traced(inputs) if traced else program.executable.jitted(*inputs)


def _explain(error: TypeError | ValueError | IndexError | AttributeError) -> None:
    """Turn another library's complaint about our tracer into one that names the user's line and the remedy."""
    if isinstance(error.__cause__, GradlabError) and not isinstance(error, GradlabError):
        raise error.__cause__  # NumPy's y[i] = x hides the reason behind its own error
    indexed = isinstance(error, IndexError) and "Tracer<" in str(error)
    named = "gradlab.trace.tracer.Tracer" in str(error) + repr(error.args)
    # What asks a key's dtype for its kind, or NumPy for what it is, expected numbers.
    keyed = "'key<" in str(error) if isinstance(error, TypeError) else is_key_dtype(getattr(error, "obj", None))
    if isinstance(error, GradlabError) or not (indexed or named or keyed):
        return
    line, step = None, error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        if not INTERNAL[code.co_filename]:
            line = f"{code.co_filename}:{step.tb_lineno} in {code.co_name}"
        step = step.tb_next
    if keyed:
        raise DTypeError(f"an operation on numbers was given random keys. {NO_KEYS}").at(line) from error
    if indexed:
        raise HandedTracerError(
            "an array of JAX's or NumPy's own, x, was indexed by a gradlab tracer i, which it cannot read. "
            f"Write gradlab.numpy.asarray(x)[i]. It said: {error}"
        ).at(line) from error
    raise HandedTracerError(
        "a jax.numpy or NumPy function was handed a gradlab tracer, which it cannot read. Import gradlab.numpy in "
        f"place of jax.numpy in the function being differentiated. It said: {error}"
    ).at(line) from error
