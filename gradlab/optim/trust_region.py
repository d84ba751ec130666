"""Newton's method within a trust region: the Hessian's spectrum for small n, conjugate gradients for large."""

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
from .subproblem import Products, Spectrum, Step, conjugate_step, exact_step, newton_length, spectrum

_SUSPICIOUS = 6  # refusals in a row that rounding alone does not explain
_NOISE = 10  # rounding errors of f's size that a difference of two values may hold


class State(NamedTuple):
    """`method.State`, and what the trust region carries besides.

    **Attributes:** `radius`: of the ball around `x`, 0 before there is one; `predicted`: how far the model falls at
    `trial`; `length`: ‖trial − x‖; `refused`: trials refused since the last accepted; `finite`: whether the last one
    was finite; `size0`: ‖g‖ at the start; `spectrum`: of the Hessian at `x`, or None; `products`: with the Hessian.
    """

    trial: Any
    x: Any
    f: Any
    g: Any
    gnorm: Any
    step: Any
    n_iters: Any
    status: Any
    radius: Any
    predicted: Any
    length: Any
    refused: Any
    size0: Any
    spectrum: Any
    products: Any


@dataclass(frozen=True)
class TrustRegion(Method):
    """One evaluation of f and its gradient a trial, one Hessian (or a run of conjugate gradients) an iteration.

    **Attributes:** `exact_below`: for n up to this the Hessian is formed and diagonalised, above it there are only
    products with it; `initial_radius`: ‖x0‖ unless given, for x0 = 0 the length of the Newton step; `max_radius`;
    `max_products`: of one run of conjugate gradients.
    **Source:** Conn, Gould & Toint, *Trust-Region Methods* (2000), algorithm 6.1.1. After a bad step the radius
    shrinks to the minimum of the parabola through the values and the slope, after a good one it is twice the step.
    """

    exact_below: int = 200
    initial_radius: float | None = None
    max_radius: float = float("inf")
    max_products: int = 20_000

    derivative: ClassVar[int] = 2
    needs: ClassVar[Mapping[str, Number]] = {
        "exact_below": Number(least=0, whole=True),
        "initial_radius": Number(above=0, most="max_radius", below=float("inf"), optional=True),
        "max_radius": Number(above=0),
        "max_products": COUNT,
    }

    def init(self, problem: Problem, x0: jax.Array) -> State:
        zero, none = jnp.zeros((), problem.dtype), jnp.zeros((), jnp.int32)
        n = problem.n
        kept = None
        if self._is_exact(n):
            kept = Spectrum(jnp.zeros_like(x0), jnp.zeros((n, n), problem.dtype), jnp.zeros_like(x0))
        return State(
            **blank(problem, x0), radius=zero, predicted=zero, length=zero, refused=none, size0=zero, spectrum=kept,
            products=none,
        )  # fmt: skip

    def tell(self, problem: Any, state: State, f: jax.Array, g: jax.Array) -> State:
        first = jnp.isinf(state.f)
        gnorm = problem.optimality(state.trial, g)
        finite = jnp.isfinite(f) & jnp.isfinite(gnorm)
        noise = _NOISE * problem.eps * jnp.abs(state.f)
        seen = ~(state.predicted <= noise)  # whether such a step shows in f at all
        ratio = (state.f - f) / state.predicted
        unseen_but_better = (f <= state.f + noise) & (gnorm < state.gnorm)
        accept = finite & (first | jnp.where(seen, ratio > 1e-4, unseen_but_better))

        slope, change = jnp.vdot(state.g, state.trial - state.x), f - state.f
        lowest = -slope / (2 * (change - slope))
        shrink = jnp.where(finite, jnp.clip(jnp.where(change > slope, lowest, 0.5), 0.1, 0.5), 0.1)
        poor = ~finite | (seen & (ratio < 0.25))
        good = seen & (ratio > 0.75)
        radius = jnp.where(good, jnp.maximum(state.radius, 2 * state.length), state.radius)
        radius = jnp.minimum(jnp.where(poor, shrink * state.length, radius), self.max_radius)

        x, f_now, g_now, gnorm = (
            jnp.where(accept, new, old)
            for new, old in ((state.trial, state.x), (f, state.f), (g, state.g), (gnorm, state.gnorm))
        )
        size0 = jnp.where(first, jnp.linalg.norm(g), state.size0)
        seen_spectrum = state.spectrum
        if seen_spectrum is not None:
            # Refused trials leave the Hessian where it was, and so all that is known about it.
            seen_spectrum = lax.cond(
                accept, lambda at: spectrum(problem.hessian(at[0]), at[1]), lambda _: seen_spectrum, (x, g_now)
            )
        radius = jnp.where(first, self._first_radius(x, g_now, seen_spectrum), radius)
        step = self._step(problem, seen_spectrum, x, g_now, radius, size0)
        trial = x + step.p

        refused = jnp.where(accept, 0, state.refused + 1)
        at_limit = ~seen & ~accept & ~first
        no_motion = jnp.all(trial == x) & ~first
        failed = jnp.where(refused > _SUSPICIOUS, Status.LINE_SEARCH_FAILED, Status.PRECISION_LIMIT)
        failed = jnp.where(finite, failed, Status.NONFINITE)
        status = jnp.where(at_limit | no_motion, failed, RUNNING)
        endless = (f_now < 0) & (radius > problem.eps**-2)  # each good step doubles it: a hundred of them
        status = jnp.where(endless | (f == -jnp.inf), Status.UNBOUNDED, status)
        return State(
            trial=trial, x=x, f=f_now, g=g_now, gnorm=gnorm, step=jnp.where(accept, state.length, state.step),
            n_iters=state.n_iters + (accept & ~first), status=status.astype(jnp.int32), radius=radius,
            predicted=step.decrease, length=step.length, refused=refused, size0=size0, spectrum=seen_spectrum,
            products=state.products + step.products,
        )  # fmt: skip

    def extra(self, state: State) -> Products:
        return Products(state.products)

    def _is_exact(self, n: int) -> bool:
        return 0 < n <= self.exact_below

    def _first_radius(self, x: Any, g: Any, known: Spectrum | None) -> jax.Array:
        if self.initial_radius is not None:
            return jnp.asarray(self.initial_radius, x.dtype)
        length = jnp.linalg.norm(g) if known is None else newton_length(known)
        size = jnp.linalg.norm(x)
        return jnp.minimum(jnp.where(size > 0, size, length), self.max_radius)

    def _step(self, problem: Any, known: Spectrum | None, x: Any, g: Any, radius: Any, size0: Any) -> Step:
        if known is not None:
            return exact_step(known, radius)
        tolerance = jnp.minimum(0.1, jnp.sqrt(jnp.linalg.norm(g) / size0))
        return conjugate_step(lambda v: problem.hvp(x, v), g, radius, tolerance, self.max_products)
