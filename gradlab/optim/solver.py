"""A solver: an objective and a method compiled into one program, kept for the next call with the same types."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from types import FunctionType
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from ..api.arguments import tree_unflatten
from ..api.dialect import DIALECTS
from ..ir.errors import ArgumentError
from ..lower import small
from ..lower.compile import LRU
from ..trace.avals import is_jax_tracer, x64
from ..trace.builder import innermost
from ..trace.tracer import Tracer
from .flat import Flat, tree_flatten
from .footprint import Footprint, array_type
from .implicit import implicit
from .iterate import Limits, Ran, solve, start, trip
from .lanes import looped
from .method import Method
from .objective import Objective, Read
from .result import Result, Status


class Solver:
    """A method on an objective, as JAX functions of the inputs of its graph.

    **Attributes:** `flat`: how x lies in a vector; `rows`: of history kept (0: none).
    """

    def __init__(self, objective: Objective, method: Method, rows: int):
        self.objective, self.method, self.rows = objective, method, rows
        self.flat: Flat = objective.flat
        self.n_x = len(self.flat.avals)

    def whole(self, limits: Limits, box: tuple[Any, Any], inputs: Sequence[Any]) -> Result:
        """The solve from start to end, on JAX arrays or tracers."""
        problem, _, projected = self._problem(box, inputs)
        return self._result(problem, self._loop(limits, box, list(inputs)), projected)

    def unrolled(self, limits: Limits, box: tuple[Any, Any], inputs: Sequence[Any]) -> Result:
        """The same for JAX to differentiate turn by turn, which its rule for a loop of many lanes does not stand."""
        problem, x0, projected = self._problem(box, inputs)
        return self._result(problem, solve(problem, self.method, x0, limits, self.rows), projected)

    def in_one_kernel(self, limits: Limits, box: tuple[Any, Any], inputs: Sequence[Any]) -> Result:
        """The same for a kernel that holds all of it.

        XLA hands a program of 1,000 FLOPs or more to another thread, which takes longer than some solves do; a loop
        it counts once. So rows of matrices are taken in a loop where that makes the difference.
        """
        problem, x0, projected = self._problem(box, inputs)
        cost = small.flops(self.objective.value_and_grad.composable.graph)
        if problem.n > _SQUARE and _LOOPED + _ROW * problem.n + cost < _LONG:
            problem.each = jax.lax.map
        return self._result(problem, solve(problem, self.method, x0, limits, self.rows, apart=True), projected)

    def begin(self, box: tuple[Any, Any], inputs: Sequence[Any]) -> Ran:
        problem, x0, _ = self._problem(box, inputs)
        return start(problem, self.method, x0, self.rows)

    def trip(self, limits: Limits, box: tuple[Any, Any], inputs: Sequence[Any], ran: Ran) -> tuple[Ran, Result]:
        """One evaluation, and what the answer would be after it."""
        problem, _, projected = self._problem(box, inputs)
        ran = trip(problem, self.method, limits, ran)
        return ran, self._result(problem, ran, projected)

    def run(self, limits: Limits, box: tuple[Any, Any], inputs: Sequence[Any], differentiate: str) -> Result:
        """The solve: compiled; or as part of the program that a trace of gradlab's or of JAX's is recording."""
        leaves, tree = tree_flatten((limits, box, list(inputs)))
        builder = innermost(leaves)
        if builder is None:
            if not any(is_jax_tracer(x) for x in leaves):
                return self.concrete(limits, box, inputs)
            return self._traced[differentiate](limits, box, list(inputs))
        # gradlab reads JAX's loops: the solve becomes part of its program, with the derivative JAX sees.
        places = [k for k, leaf in enumerate(leaves) if type(leaf) is Tracer]

        def call(new: Sequence[Any]) -> Result:
            every = list(leaves)
            for k, x in zip(places, new, strict=True):
                every[k] = x
            return self._traced[differentiate](*tree_unflatten(tree, every))

        return DIALECTS[0].read(call, [leaves[k] for k in places])

    def concrete(self, limits: Limits, box: tuple[Any, Any], inputs: Sequence[Any]) -> Result:
        """The solve, compiled and run at once: within somebody's trace too, where nothing of it is traced."""
        try:
            return self.compiled(limits, box, inputs)
        except ValueError:  # within a trace JAX takes no options for the compiler; to ask first would take 3 µs
            with jax.ensure_compile_time_eval():
                return self.compiled(limits, box, inputs)

    @cached_property
    def _loop(self) -> Callable[..., Ran]:
        return looped(self._problem, lambda: self.objective.at(()), self.method, self.rows)

    @cached_property
    def _traced(self) -> dict[str, Callable]:
        return {"unroll": self.unrolled, "implicit": implicit(self)}

    @cached_property
    def compiled(self) -> Any:
        """`whole`, compiled: as one kernel where that is arithmetic on few numbers."""
        plain = jax.jit(self.whole, compiler_options=quick())
        if not self._small or small.options() is None:
            return plain
        options = {**(quick() or {}), **(small.options() or {})}

        def values(*args: Any) -> dict[str, Any]:
            return vars(self.in_one_kernel(*args))

        if len(self.objective.graph.inputs) == self.n_x:  # every solve reads these and the limits
            kernel = jax.jit(small.part_in_one_kernel(values), compiler_options=options)
            return lambda *args: Result.of(kernel(*args))
        reading = jax.jit(small.in_one_kernel(values), compiler_options=options)
        return lambda *args: Result.of(reading(*args)[0])

    @property
    def _small(self) -> bool:
        if not self.method.alone or self.rows or not 0 < self.flat.size <= small.FEW:
            return False
        of = self.objective
        programs = [of.value_and_grad, of.values, *([of.hvp] if self.method.derivative == 2 else [])]
        return all(small.fits(program.composable.graph) for program in programs)

    @cached_property
    def jitted(self) -> Callable[..., Result]:
        """`whole`, compiled; within another program (under jit, vmap or grad) with the options of that one."""
        alone, within = self.compiled, jax.jit(self.whole)

        def call(*args: Any) -> Result:
            traced = any(is_jax_tracer(leaf) for leaf in jax.tree_util.tree_leaves(args))
            return (within if traced else alone)(*args)

        return call

    def stepwise(
        self, limits: Limits, box: tuple[Any, Any], inputs: Sequence[Any], callback: Callable[[Result], Any]
    ) -> Result:
        """The solve in a loop of Python's, which calls `callback` after each iteration."""
        begin, step = self._steps
        ran, told = begin(box, inputs), -1
        while True:
            ran, result = step(limits, box, inputs, ran)
            if int(result.n_iters) > told:
                told = int(result.n_iters)
                if callback(result) and result.status == Status.RUNNING:
                    return replace(result, code=jnp.asarray(Status.CALLBACK, jnp.int32))
            if result.status != Status.RUNNING:
                return result

    @cached_property
    def _steps(self) -> tuple[Callable, Callable]:
        return jax.jit(self.begin), jax.jit(self.trip, compiler_options=quick())

    def _problem(self, box: tuple[Any, Any], inputs: Sequence[Any]) -> tuple[Any, Any, Any]:
        x0 = self.flat.vector(inputs[: self.n_x])
        lower, upper = box
        problem = self.objective.at(inputs[self.n_x :], lower, upper)
        if lower is None:
            return problem, x0, None
        inside = jnp.clip(x0, lower, upper)
        return problem, inside, jnp.any(inside != x0)

    def _result(self, problem: Any, ran: Ran, projected: Any) -> Result:
        state, flat = self.method.finish(problem, ran.state), self.flat
        x = state.x
        active = None
        if problem.lower is not None:
            active = flat.unflatten((x >= problem.upper).astype(x.dtype) - (x <= problem.lower).astype(x.dtype))
        return Result(
            x=flat.unflatten(x), f=state.f, grad=flat.unflatten(state.g, conjugate=True), gnorm=state.gnorm,
            code=state.status, n_iters=state.n_iters, n_evals=ran.n_evals, n_nonfinite=ran.n_nonfinite,
            projected=projected, history=ran.history, aux=problem.aux(x), active=active,
            extra=self.method.extra(state),
        )  # fmt: skip


@lru_cache(1)
def quick() -> dict[str, Any] | None:
    """Options for XLA that halve the time it takes to compile many small kernels, where this version knows them."""
    options = {"xla_cpu_use_fusion_emitters": False}
    try:
        jax.jit(lambda: jnp.zeros(()), compiler_options=options).lower().compile()
    except jax.errors.JaxRuntimeError:
        return None
    return options


_LONG = 1000  # FLOPs of a program for another thread
_LOOPED, _ROW = 460, 84  # about what is counted of a turn with rows in loops, and what more for each unknown
_SQUARE = 3  # unknowns whose matrices are never too much
_SOLVERS = LRU(256)  # (what fun reaches, the types of x0 and args, method, ...) -> _Found
_LATELY: dict[Any, _Found] = {}  # (fun, the types of x0 and args, method, ...) -> _Found, while fun reaches the same
_MOST = 64  # of these; then all are forgotten


class _Found(NamedTuple):
    """A solver, which leaves of (x0, *args) are inputs of its graph, the inputs beyond them, and how to put aux back.

    **Attributes:** `footprint`: what fun reaches; it keeps alive what the key names by its address.
    """

    solver: Solver
    chosen: list[int]
    tail: list[Any]
    put_aux: Callable[[Sequence[Any]], Any]
    footprint: Footprint


class Prepared(NamedTuple):
    """A solver, the inputs of its graph, and how to put the auxiliary value back from its outputs.

    **Attributes:** `concrete`: whether every input is known to be no tracer.
    """

    solver: Solver
    inputs: list[Any]
    put_aux: Callable[[Sequence[Any]], Any]
    concrete: bool = False


def solver_of(fun: Callable, x0: Any, args: tuple, method: Method, has_aux: bool, rows: int) -> Prepared:
    """What solves `fun` from x0: kept from an earlier call where it is sure that `fun` is what it was."""
    leaves, tree = tree_flatten((x0, *args))
    kinds = tuple([_kind(leaf) for leaf in leaves])
    known = None not in kinds
    call = (tree, kinds, method, has_aux, rows, x64())
    named = (fun, *call) if known and type(fun) is FunctionType else None
    if named is not None:
        found = _LATELY.get(named)
        if found is not None and found.footprint.unchanged():
            return _prepared(found, leaves)
    footprint = Footprint(fun) if known else None
    key = None
    if footprint is not None and footprint.key is not None:
        key = (footprint.key, *call)
        found = _SOLVERS.get(key)
        if found is not None:
            if named is not None and footprint.found is not None:
                if len(_LATELY) >= _MOST:
                    _LATELY.clear()
                _LATELY[named] = found._replace(footprint=footprint)
            return _prepared(found, leaves)
    read = Read(fun, x0, args, "minimize")
    _, put_aux = read.scalar(has_aux)
    flat = read.flat
    make: Any = lambda graph: Objective(graph, flat)  # noqa: E731  (the cache keeps whatever is made of a graph)
    found_or_made, inputs = read.reading.program(("minimize", flat), make)
    objective = cast(Objective, found_or_made)
    solver = objective.solvers.get((method, rows))
    if solver is None:
        solver = objective.solvers.setdefault((method, rows), Solver(objective, method, rows))
    if key is not None and footprint is not None:
        tail = inputs[len(read.chosen) :]
        among = {id(x) for x in tail}
        # An array whose entries may have been looked at while reading could change without being noticed.
        if all(id(array) in among for array in footprint.arrays):
            _SOLVERS.put(key, _Found(solver, read.chosen, tail, put_aux, footprint))
    return Prepared(solver, inputs, put_aux)


def _prepared(found: _Found, leaves: Sequence[Any]) -> Prepared:
    return Prepared(found.solver, [*[leaves[k] for k in found.chosen], *found.tail], found.put_aux, True)


def _kind(leaf: Any) -> Any:
    """The type of a leaf that is an array or a number with a value; None for anything else."""
    kind = type(leaf)
    if kind is array_type():
        return leaf.shape, leaf.dtype, leaf.weak_type
    if kind is np.ndarray:
        return leaf.shape, leaf.dtype
    return kind if kind is float or kind is complex else None


def box_of(flat: Flat, bounds: Any) -> tuple[Any, Any]:
    """The bounds as two vectors, or (None, None).

    **Raises:** `ArgumentError` if they are no pair or a lower one is above its upper one; as `Flat.spread`.
    """
    if bounds is None:
        return None, None
    if not isinstance(bounds, tuple | list) or len(bounds) != 2:
        raise ArgumentError(f"bounds must be a pair (lower, upper), got {bounds!r}.")
    lower, upper = (
        flat.spread(bound, name, default)
        for bound, name, default in zip(bounds, ("the lower bound", "the upper bound"), (-np.inf, np.inf), strict=True)
    )
    full = (flat.size,)
    lower = jnp.full(full, -np.inf, flat.dtype) if lower is None else lower
    upper = jnp.full(full, np.inf, flat.dtype) if upper is None else upper
    if not (is_jax_tracer(lower) or is_jax_tracer(upper)) and bool(jnp.any(~(lower <= upper))):
        raise ArgumentError("every lower bound must be at most its upper bound. Exchange them, or drop one.")
    return lower, upper
