"""`root`: the x at which as many equations as unknowns vanish, by Newton's method or Broyden's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import jax.numpy as jnp

from ..api.arguments import name_of
from ..ir.errors import ArgumentError, ShapeError
from .broyden import Equations, RootFinder
from .least_squares import require_derivative
from .minimize import limits_of, require_args, require_callback, require_limits, rows_of
from .residuals import read_residuals
from .result import Result, Status
from .solved import implicitly
from .solver import Solver

METHODS = ("newton", "broyden")


class Found(NamedTuple):
    """What `root` adds to a result: `residuals`, F(x) as a vector; `jacobian` (n, n); how many were taken."""

    residuals: Any
    jacobian: Any
    n_jacobians: Any


class RootSolver(Solver):
    """A `Solver` for equations."""

    objective: Any

    def _problem(self, box: tuple[Any, Any], inputs: Any) -> tuple[Any, Any, Any]:
        problem = Equations(self.objective, tuple(inputs[self.n_x :]))
        return problem, self.flat.vector(inputs[: self.n_x]).astype(problem.dtype), False

    @cached_property
    def _traced(self) -> dict[str, Callable]:
        def equation(x: Any, rest: Any) -> Any:
            return self.objective.at(rest).residuals(x)

        def value(x: Any, rest: Any) -> Any:
            return jnp.sum(equation(x, rest) ** 2) / 2

        return {"unroll": self.unrolled, "implicit": implicitly(self.whole, self.flat, equation, value)}

    def _result(self, problem: Any, ran: Any, projected: Any) -> Result:
        result, state = super()._result(problem, ran, projected), ran.state
        small = (state.status == Status.CONVERGED_GRADIENT) | (state.status == Status.STATIONARY_START)
        code = jnp.where(small, Status.CONVERGED_RESIDUAL, state.status).astype(jnp.int32)
        return replace(result, code=code, grad=None, extra=Found(state.r, state.jacobian, state.n_jacobians))


def root(
    fun: Callable,
    x0: Any,
    method: str = "newton",
    *,
    args: tuple = (),
    tol: float | None = None,
    max_iters: int = 200,
    max_evals: int = 2**31 - 1,
    callback: Callable[[Result], Any] | None = None,
    history: bool = False,
    differentiate: str = "implicit",
) -> Result:
    """An x near x0 with `fun(x, *args)` = 0.

    **Arguments:** `fun`: returns a pytree of real or complex arrays, as many numbers in all as x has. `x0`: any pytree
    of real and complex arrays. `method`: "newton" (a Jacobian each iteration) or "broyden" (one at the start, updated
    from then on). Both search along the step, so that ‖fun‖ falls. `tol`: on the largest entry of |fun|; ε^(2/3) of the
    dtype unless given. `differentiate`: as in `minimize`.
    **Returns:** a `Result`: `f` is ½‖fun(x)‖², `gnorm` the largest entry of |fun(x)|, `extra` a `Found`.
    **Raises:** `ShapeError` if there are more or fewer equations than unknowns; as `least_squares`.
    """
    if method not in METHODS:
        raise ArgumentError(f"method must be one of {', '.join(METHODS)}, got {method!r}.")
    require_derivative(differentiate)
    require_args(args)
    if tol is not None:
        require_limits(tol=tol)
    found, inputs = read_residuals(fun, x0, args, "root")
    n, m = found.flat.size, found.out.size
    if n != m:
        raise ShapeError(
            f"root needs as many equations as unknowns, but {name_of(fun)} returns {m} numbers for {n}. "
            "For the x that makes them smallest there is gradlab.optim.least_squares."
        )
    rows = rows_of(history, max_iters)
    chosen = RootFinder(broyden=method == "broyden")
    solver = found.solvers.get((chosen, rows))
    if solver is None:
        solver = found.solvers.setdefault((chosen, rows), RootSolver(found, chosen, rows))
    tol = found.eps ** (2 / 3) if tol is None else tol
    limits = limits_of(tol, 0.0, 0.0, max_iters, max_evals, found.flat.dtype)
    if callback is not None:
        require_callback(callback, inputs)
        return solver.stepwise(limits, (None, None), inputs, callback)
    return solver.run(limits, (None, None), inputs, differentiate)
