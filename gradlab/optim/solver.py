"""A solver: an objective and a method compiled into one program, kept for the next call with the same types."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp

from ..trace.avals import is_jax_tracer
from .flat import Flat
from .iterate import Limits, Ran, solve, start, trip
from .method import Method
from .objective import Objective, Read
from .result import Result, Status


class Solver:
    """A method on an objective, as JAX functions of the inputs of its graph.

    **Attributes:** `flat`: how x lies in a vector; `put_aux`: the auxiliary value from its outputs.
    """

    def __init__(self, objective: Objective, method: Method, rows: int, differentiate: str):
        self.objective, self.method, self.rows, self.differentiate = objective, method, rows, differentiate
        self.flat: Flat = objective.flat
        self.n_x = len(self.flat.avals)

    def call(self, limits: Limits, inputs: Sequence[Any], lower: Any, upper: Any) -> Result:
        """The whole solve, on JAX arrays or tracers."""
        problem, x0, projected = self._problem(inputs, lower, upper)
        ran = solve(problem, self.method, x0, limits, self.rows)
        return self._result(problem, ran, projected)

    @cached_property
    def jitted(self) -> Callable[..., Result]:
        """`call`, compiled."""
        return jax.jit(self.call)

    def _problem(self, inputs, lower, upper):
        x0 = self.flat.vector(inputs[: self.n_x])
        problem = self.objective.at(inputs[self.n_x :], lower, upper)
        if lower is None:
            return problem, x0, False
        inside = jnp.clip(x0, lower, upper)
        return problem, inside, jnp.any(inside != x0)

    def _result(self, problem: Any, ran: Ran, projected: Any) -> Result:
        state, flat = ran.state, self.flat
        x, f, g = state.x, state.f, state.g
        active = None
        if problem.lower is not None:
            active = flat.unflatten((x >= problem.upper).astype(jnp.int8) - (x <= problem.lower).astype(jnp.int8))
        return Result(
            x=flat.unflatten(x), f=f, grad=flat.unflatten(g, conjugate=True), gnorm=state.gnorm, code=state.status,
            n_iters=state.n_iters, n_evals=ran.n_evals, n_nonfinite=ran.n_nonfinite, projected=projected,
            history=ran.history, aux=None, active=active,
        )  # fmt: skip
