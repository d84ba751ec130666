"""Newton's method with directions from conjugate gradients and a backtracking search: no matrix, only products."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from .method import RUNNING, Method, Problem, blank
from .options import COUNT, Number
from .result import Status
from .subproblem import Products, conjugate_step

_SUSPICIOUS = 6  # refusals in a row that rounding alone does not explain
_NOISE = 10  # rounding errors of f's size that a difference of two values may hold


class State(NamedTuple):
    """`method.State`, and what the search carries besides.

    **Attributes:** `d` (n,): the direction; `slope`: g·d; `alpha`: the step being tried; `trials`: refused since the
    last accepted; `walled`: whether trials of this search were not finite; `size0`: ‖g‖ at the start; `products`: with
    the Hessian so far.
    """

    trial: Any
    x: Any
    f: Any
    g: Any
    gnorm: Any
    step: Any
    n_iters: Any
    status: Any
    d: Any
    slope: Any
    alpha: Any
    trials: Any
    walled: Any
    size0: Any
    products: Any


@dataclass(frozen=True)
class NewtonCG(Method):
    """One run of conjugate gradients an iteration, ended at ‖Hd + g‖ ≤ tolerance·‖g‖.

    **Attributes:** `tolerance`: at the start; it falls with √(‖g‖/‖g0‖), so convergence is faster than linear;
    `max_products`: of one run; `c1`: the share of the slope's promise that f must keep; `max_trials`: in one search.
    **Source:** Nocedal & Wright, algorithm 7.1. On negative curvature the direction so far is prolonged by as much as
    if the curvature were positive.
    """

    tolerance: float = 0.1
    max_products: int = 20_000
    c1: float = 1e-4
    max_trials: int = 40

    derivative: ClassVar[int] = 2
    alone: ClassVar[bool] = True
    needs: ClassVar[Mapping[str, Number]] = {
        "tolerance": Number(above=0, below=1),
        "max_products": COUNT,
        "c1": Number(above=0, below=1),
        "max_trials": COUNT,
    }

    def init(self, problem: Problem, x0: jax.Array) -> State:
        zero, none = jnp.zeros((), problem.dtype), jnp.zeros((), jnp.int32)
        return State(
            **blank(problem, x0),
            d=jnp.zeros_like(x0),
            slope=zero,
            alpha=zero,
            trials=none,
            walled=jnp.zeros((), bool),
            size0=zero,
            products=none,
        )

    def tell(self, problem: Any, state: State, f: jax.Array, g: jax.Array) -> State:
        first = jnp.isinf(state.f)
        gnorm = problem.optimality(state.trial, g)
        finite = jnp.isfinite(f) & jnp.isfinite(gnorm)
        noise = _NOISE * problem.eps * jnp.abs(state.f)
        promise = -state.alpha * state.slope
        enough = f <= state.f - self.c1 * promise
        # What the slope promises is too little to be seen in f: then the gradient has to fall.
        seen = ~(promise <= noise)
        unseen_but_better = (f <= state.f + noise) & (gnorm < state.gnorm)
        accept = finite & (first | jnp.where(seen, enough, unseen_but_better))

        x, f_now, g_now, gnorm = (
            jnp.where(accept, new, old)
            for new, old in ((state.trial, state.x), (f, state.f), (g, state.g), (gnorm, state.gnorm))
        )
        size0 = jnp.where(first, jnp.linalg.norm(g), state.size0)

        def turned(_: Any) -> tuple:
            size = jnp.linalg.norm(g_now)
            tolerance = self.tolerance * jnp.minimum(1, jnp.sqrt(size / size0))
            step = conjugate_step(lambda v: problem.hvp(x, v), g_now, jnp.inf, tolerance, self.max_products)
            return step.p, jnp.vdot(g_now, step.p), jnp.ones_like(f), step.products

        def nearer(_: Any) -> tuple:
            # The parabola through both values and the slope; where f is not finite, a tenth.
            lowest = promise / (2 * (f - state.f + promise))
            shrink = jnp.where(finite, jnp.clip(lowest, 0.1, 0.5), 0.1)
            return state.d, state.slope, shrink * state.alpha, jnp.zeros_like(state.products)

        d, slope, alpha, products = lax.cond(accept, turned, nearer, None)
        # Behind a wall of infinities the full step fails every time: the next search starts near where this one ended.
        walled = state.walled | ~finite
        alpha = jnp.where(accept & walled, jnp.minimum(1, 4 * jnp.where(first, 1, state.alpha)), alpha)
        walled = walled & ~(accept & (alpha >= 1))
        trial = x + alpha * d
        trials = jnp.where(accept, 0, state.trials + 1)
        stuck = jnp.all(trial == x) | (trials >= self.max_trials) | (slope >= 0)
        suspicious = seen | (trials > _SUSPICIOUS)
        failed = jnp.where(suspicious, Status.LINE_SEARCH_FAILED, Status.PRECISION_LIMIT)
        failed = jnp.where(finite, failed, Status.NONFINITE)
        status = jnp.where(~first & (stuck | (~seen & ~accept)), failed, RUNNING)
        endless = (f_now < 0) & (jnp.linalg.norm(x) > problem.eps**-2)
        status = jnp.where(endless | (f == -jnp.inf), Status.UNBOUNDED, status)
        return State(
            trial=trial, x=x, f=f_now, g=g_now, gnorm=gnorm, step=jnp.where(accept, state.alpha, state.step),
            n_iters=state.n_iters + (accept & ~first), status=status.astype(jnp.int32), d=d, slope=slope, alpha=alpha,
            trials=trials, walled=walled, size0=size0, products=state.products + products,
        )  # fmt: skip

    def extra(self, state: State) -> Products:
        return Products(state.products)
