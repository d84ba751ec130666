"""`minimize`: read f once, compile one loop around it, run it, and say how it ended.

Contract for a method's file (see method.py): a frozen dataclass `class NewtonCG(Method)`, its options the fields, with
`init(problem, x0) -> state` and `tell(problem, state, f, g) -> state`; the state is a NamedTuple with the fields of
`method.State`. `problem` (objective.py) offers value_and_grad, hvp, hessian over one flat vector (flat.py), all
JAX-traceable. Add the class to METHODS in methods.py: `minimize(method="newton-cg", options={...})` calls
`METHODS[name](**options)`. Inner loops (CG) live inside `tell`; f is evaluated by the loop of iterate.py only, at
`state.trial`, once a trip. `least_squares` and `root` read their function with `objective.Read` too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..ir.errors import ArgumentError
from ..trace.avals import is_jax_tracer
from ..trace.tracer import Tracer
from .iterate import Limits
from .methods import method_named
from .options import COUNT, Number, require
from .result import Result
from .solver import box_of, solver_of

_UNLIMITED = 2**31 - 1
_PLAIN = frozenset((int, float))
_GTOL = {np.dtype(np.float64): 1e-6, np.dtype(np.float32): 1e-4}
_TOLERANCE = Number(least=0)
_LIMITS = {
    "gtol": _TOLERANCE,
    "ftol": _TOLERANCE,
    "xtol": _TOLERANCE,
    "tol": _TOLERANCE,
    "max_iters": Number(least=0, whole=True),
    "max_evals": COUNT,
}
_USUAL = {"gtol": 1e-6, "ftol": 0.0, "xtol": 0.0, "tol": 1e-10, "max_iters": 10_000, "max_evals": _UNLIMITED}


def minimize(
    fun: Callable,
    x0: Any,
    method: Any = "lbfgs",
    *,
    args: tuple = (),
    bounds: tuple[Any, Any] | None = None,
    gtol: float | None = None,
    ftol: float = 0.0,
    xtol: float = 0.0,
    max_iters: int = 10_000,
    max_evals: int = 2**31 - 1,
    has_aux: bool = False,
    callback: Callable[[Result], Any] | None = None,
    history: bool = False,
    differentiate: str = "implicit",
    options: Mapping[str, Any] | None = None,
) -> Result:
    """A local minimum of `fun(x, *args)` near x0, found by one compiled program.

    **Arguments:** `fun`: returns one real number (with `has_aux`, a pair of it and anything). `x0`: any pytree of real
    and complex arrays. `method`: a name in `optim.METHODS`, a `Method`, or an Optax transformation. `args`: further
    arguments of `fun`, not optimised. `bounds`: (lower, upper), each a number, None, or a pytree of such shaped like
    x0 (±inf where free); "lbfgs" then means "lbfgsb". `gtol`: stop where every entry of the gradient (with bounds, of
    its part that points into the box) is at most this; 1e-6 in float64, 1e-4 in float32 unless given. `ftol`, `xtol`:
    stop after a step that lowers f by at most ftol·|f|, or is at most xtol·‖x‖∞ long; 0: never. `max_iters`,
    `max_evals`: limits. `callback`: called with the `Result` so far after each iteration, in a loop of Python's; stops
    it by returning True. `history`: keep f, ‖g‖∞, step and evaluations of each iteration (up to max_iters rows).
    `differentiate`: how derivatives of the result with respect to args are taken: "implicit", as of the solution of
    gradient = 0; or "unroll", through the iterations (forward mode only outside gradlab). `options`: the method's own.
    **Returns:** a `Result`; look at its `status` and `message`.
    **Raises:** `DTypeError` for integer leaves; `NonScalarError`; `ArgumentError` for an unknown method or option.
    """
    if differentiate not in ("implicit", "unroll"):
        raise ArgumentError(f'differentiate must be "implicit" or "unroll", got {differentiate!r}.')
    chosen = method_named(method, options, bounds is not None)
    require_args(args)
    if chosen.bounded and bounds is None:
        bounds = (None, None)
    solver, inputs, put_aux, concrete = solver_of(fun, x0, args, chosen, has_aux, rows_of(history, max_iters))
    gtol = _GTOL.get(solver.flat.dtype, 1e-4) if gtol is None else gtol
    limits = limits_of(gtol, ftol, xtol, max_iters, max_evals, solver.flat.dtype)
    box = box_of(solver.flat, bounds)
    if callback is not None:
        require_callback(callback, inputs)
        result = solver.stepwise(limits, box, inputs, lambda found: callback(replace(found, aux=put_aux(found.aux))))
    elif concrete and bounds is None and limits.concrete():
        result = solver.concrete(limits, box, inputs)
    else:
        result = solver.run(limits, box, inputs, differentiate)
    return replace(result, aux=put_aux(result.aux)) if has_aux else result


def require_args(args: Any) -> None:
    """**Raises:** `ArgumentError` unless the further arguments of a function come as a tuple."""
    if not isinstance(args, tuple | list):
        raise ArgumentError(f"args must be a tuple of further arguments, got {type(args).__name__}: write args=(a,).")


def require_callback(callback: Any, inputs: Sequence[Any]) -> None:
    """**Raises:** `ArgumentError` unless it can be called between the iterations of this solve."""
    if not callable(callback):
        raise ArgumentError(f"callback must be a function of a Result, got {callback!r}.")
    if any(is_jax_tracer(x) or type(x) is Tracer for x in inputs):
        raise ArgumentError(
            "a callback is called from a loop of Python's, which cannot be part of a program under jit, vmap or grad. "
            "Leave it out there (history=True keeps what happened), or call the solver outside."
        )


def require_limits(**given: Any) -> None:
    """**Raises:** `ArgumentError` unless each limit is such a number, or an array that may hold one."""
    numbers = {name: x for name, x in given.items() if not _is_scalar(x, whole=_LIMITS[name].whole)}
    require("a solve", {name: _LIMITS[name] for name in numbers}, numbers, _USUAL)


def _is_scalar(x: Any, whole: bool) -> bool:
    if not isinstance(x, jax.Array | np.ndarray | Tracer) or x.shape != ():
        return False
    return any(jnp.issubdtype(x.dtype, kind) for kind in (jnp.integer, *(() if whole else (jnp.floating,))))


def rows_of(history: bool, max_iters: Any) -> int:
    """How many rows of history are kept."""
    if not history:
        return 0
    require("a solve with history=True", {"max_iters": _LIMITS["max_iters"]}, {"max_iters": max_iters}, _USUAL)
    return max_iters + 1


def limits_of(gtol: Any, ftol: Any, xtol: Any, max_iters: Any, max_evals: Any, dtype: Any) -> Limits:
    """The limits as arrays; kept where they are plain numbers.

    **Raises:** `ArgumentError` where they are not what `require_limits` asks for.
    """
    numbers = (gtol, ftol, xtol, max_iters, max_evals)
    if _PLAIN.issuperset(map(type, numbers)):
        return _kept_limits(*numbers, dtype)
    require_limits(gtol=gtol, ftol=ftol, xtol=xtol, max_iters=max_iters, max_evals=max_evals)
    return Limits(
        jnp.stack([jnp.asarray(x, dtype) for x in (gtol, ftol)]),
        jnp.stack([jnp.asarray(x, jnp.int32) for x in (max_iters, max_evals)]),
        jnp.asarray(xtol, dtype),
    )


@lru_cache(64)
def _kept_limits(gtol: float, ftol: float, xtol: float, max_iters: int, max_evals: int, dtype: Any) -> Limits:
    require_limits(gtol=gtol, ftol=ftol, xtol=xtol, max_iters=max_iters, max_evals=max_evals)
    counts = np.minimum([max_iters, max_evals], _UNLIMITED).astype(np.int32)
    with jax.ensure_compile_time_eval():
        steps = jnp.asarray(xtol, dtype) if xtol > 0 else None
        return Limits(jnp.asarray([gtol, ftol], dtype), jnp.asarray(counts), steps)
