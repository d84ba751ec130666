"""`least_squares`: the x that makes residuals small, by Levenberg–Marquardt or a dogleg, in one compiled program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..ir.errors import ArgumentError
from ..trace.avals import is_jax_tracer
from .levenberg import Cost, LevenbergMarquardt
from .losses import require_loss
from .minimize import limits_of, require_args, require_callback, rows_of
from .residuals import read_residuals
from .result import Result
from .solved import implicitly
from .solver import Solver, box_of

PATHS = ("lm", "dogleg")
_DENSE_UP_TO = 4_000_000  # entries of a Jacobian that is formed rather than only multiplied with


class Fit(NamedTuple):
    """What `least_squares` adds to a result.

    **Attributes:** `residuals` (m,) at x, before the loss; `jacobian` (m, n): of the loss's Gauss–Newton model, columns
    in the order of x's numbers, or None if it was never formed; `n_jacobians`, `n_products`: how many Jacobians, and
    products with one, were taken.
    """

    residuals: Any
    jacobian: Any
    n_jacobians: Any
    n_products: Any


class LeastSquaresSolver(Solver):
    """A `Solver` for residuals."""

    method: Any

    def _problem(self, box: tuple[Any, Any], inputs: Any) -> tuple[Any, Any, Any]:
        method, x0 = self.method, self.flat.vector(inputs[: self.n_x])
        lower, upper = box
        problem = Cost(self.objective, tuple(inputs[self.n_x :]), lower, upper, method.loss, method.f_scale)
        x0 = x0.astype(problem.dtype)
        if lower is None:
            return problem, x0, False
        inside = jnp.clip(x0, lower, upper)
        return problem, inside, jnp.any(inside != x0)

    @cached_property
    def _traced(self) -> dict[str, Callable]:
        def cost(rest: Any) -> Cost:
            return Cost(self.objective, tuple(rest), None, None, self.method.loss, self.method.f_scale)

        def gradient(x: Any, rest: Any) -> Any:
            return cost(rest).gradient(x)

        def value(x: Any, rest: Any) -> Any:
            return cost(rest).value_and_grad(x)[0]

        return {"unroll": self.unrolled, "implicit": implicitly(self.whole, self.flat, gradient, value)}

    def _result(self, problem: Any, ran: Any, projected: Any) -> Result:
        result = super()._result(problem, ran, projected)
        state = ran.state
        fit = Fit(problem.residuals(state.x), state.jacobian, state.n_jacobians, state.products)
        return Result(**{**vars(result), "extra": fit})


def least_squares(
    residuals: Callable,
    x0: Any,
    method: str = "lm",
    *,
    args: tuple = (),
    bounds: tuple[Any, Any] | None = None,
    loss: str | Callable[[Any], Any] = "linear",
    f_scale: float = 1.0,
    jacobian: str = "auto",
    gtol: float | None = None,
    ftol: float | None = None,
    xtol: float | None = None,
    max_iters: int = 1000,
    max_evals: int = 2**31 - 1,
    callback: Callable[[Result], Any] | None = None,
    history: bool = False,
    differentiate: str = "implicit",
) -> Result:
    """A local minimum of ½ Σ f_scale² ρ((r/f_scale)²), r = `residuals(x, *args)`, near x0.

    **Arguments:** `residuals`: returns a pytree of real or complex arrays. `x0`: any pytree of real and complex
    arrays. `method`: "lm" (Levenberg–Marquardt) or "dogleg" (Gauss–Newton). `bounds`: as in `minimize`. `loss`:
    "linear", "soft_l1", "huber", "cauchy", "arctan", or a function ρ(z) of squared residuals, elementwise; `f_scale`:
    the size of a residual from which it counts as an outlier. `jacobian`: "dense", "products" (only J·v and Jᵀ·u, no
    bounds), or "auto", by its size. `gtol`: as in `minimize`, 1e-8 in float64, 1e-4 in float32 unless given. `ftol`,
    `xtol`: stop after a step that lowers the cost by at most ftol of it, or is at most xtol·‖x‖∞ long; ε^(2/3) unless
    given, 0 for never. `differentiate`: as in `minimize`: the derivative of the solution with respect to args and
    bounds, "implicit" or by "unroll".
    **Returns:** a `Result`: `f` is the cost, `extra` a `Fit` with residuals and Jacobian.
    **Raises:** `DTypeError` for integers; `StructureError`; `ArgumentError` for an unknown method, loss or jacobian.
    """
    if method not in PATHS:
        raise ArgumentError(f"method must be one of {', '.join(PATHS)}, got {method!r}.")
    require_loss(loss)
    require_derivative(differentiate)
    require_args(args)
    chosen = LevenbergMarquardt(loss, _plain(f_scale), method)
    found, inputs = read_residuals(residuals, x0, args, "least_squares")
    dense = _is_dense(jacobian, found.flat.size * found.out.size)
    if bounds is not None and not dense:
        raise ArgumentError('least_squares with bounds forms the Jacobian. Pass jacobian="dense".')
    chosen = replace(chosen, dense=dense)
    rows = rows_of(history, max_iters)
    solver = found.solvers.get((chosen, rows))
    if solver is None:
        solver = found.solvers.setdefault((chosen, rows), LeastSquaresSolver(found, chosen, rows))
    limits = limits_of(*tolerances(found.eps, gtol, ftol, xtol), max_iters, max_evals, found.flat.dtype)
    box = box_of(found.flat, bounds)
    if callback is not None:
        require_callback(callback, inputs)
        return solver.stepwise(limits, box, inputs, callback)
    return solver.run(limits, box, inputs, differentiate)


def require_derivative(differentiate: str) -> None:
    """**Raises:** `ArgumentError` unless it is a known way to differentiate a solution."""
    if differentiate not in ("implicit", "unroll"):
        raise ArgumentError(f'differentiate must be "implicit" or "unroll", got {differentiate!r}.')


def tolerances(eps: float, gtol: float | None, ftol: float | None, xtol: float | None) -> tuple[float, float, float]:
    """gtol, ftol and xtol with their defaults at this precision."""
    small = eps ** (2 / 3)
    return (
        (1e-8 if eps < 1e-10 else 1e-4) if gtol is None else gtol,
        small if ftol is None else ftol,
        small if xtol is None else xtol,
    )


def _plain(x: Any) -> Any:
    """The number that a concrete array without axes holds; anything else as it is."""
    arrays = np.ndarray | jax.Array
    return x.item() if isinstance(x, arrays) and np.ndim(x) == 0 and not is_jax_tracer(x) else x


def _is_dense(jacobian: str, entries: int) -> bool:
    if jacobian not in ("auto", "dense", "products"):
        raise ArgumentError(f'jacobian must be "auto", "dense" or "products", got {jacobian!r}.')
    return entries <= _DENSE_UP_TO if jacobian == "auto" else jacobian == "dense"
