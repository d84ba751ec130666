"""Roots of a system of equations: Newton's method or Broyden's, with a search along each step and a way out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from .levenberg import Seen
from .method import RUNNING, Method, blank
from .options import Number
from .result import Status

_RESCUE_AFTER = 4  # shortened steps, after which the direction is damped
_GIVE_UP_AFTER = 16


class State(NamedTuple):
    """`method.State`, with f = ½‖F‖² and gnorm = ‖F‖∞, and what the search carries besides.

    **Attributes:** `r` (n,): F at `x`; `jacobian` (n, n): at `x`, or Broyden's estimate; `d`: the direction; `slope`:
    of f along it; `alpha`: the step being tried; `trials`: refused since the last accepted; `fresh`: whether the
    Jacobian is the true one at `x`; `n_jacobians`.
    """

    trial: Any
    x: Any
    f: Any
    g: Any
    gnorm: Any
    step: Any
    n_iters: Any
    status: Any
    r: Any
    jacobian: Any
    d: Any
    slope: Any
    alpha: Any
    trials: Any
    fresh: Any
    n_jacobians: Any


@dataclass(frozen=True)
class RootFinder(Method):
    """One evaluation of F a trial; a new Jacobian each iteration, or only where Broyden's estimate fails.

    **Attributes:** `broyden`: whether the Jacobian is updated by rank one from F itself; `c1`: the share of the
    slope's promise that ½‖F‖² must keep; `damping`: of the step where the Jacobian is singular, relative to its size;
    `rescue`: of the step where Newton's had to be shortened again and again.
    **Source:** Dennis & Schnabel, *Numerical Methods for Unconstrained Optimization and Nonlinear Equations* (1983),
    algorithms 6.5.1, A8.3.1. A nearly singular Jacobian gives way to (JᵀJ + μ²)⁻¹JᵀF, their section 6.5.
    """

    broyden: bool = False
    c1: float = 1e-4
    damping: float = 1e-7
    rescue: float = 0.02

    bounded: ClassVar[bool] = False
    needs: ClassVar[Mapping[str, Number]] = {
        "c1": Number(above=0, below=1),
        "damping": Number(above=0, below=1),
        "rescue": Number(above=0, below=1),
    }

    def init(self, problem: Any, x0: jax.Array) -> State:
        n, none = problem.n, jnp.zeros((), jnp.int32)
        zero, zeros = jnp.zeros((), problem.dtype), jnp.zeros((n,), problem.dtype)
        return State(
            **blank(problem, x0.astype(problem.dtype)), r=zeros, jacobian=jnp.zeros((n, n), problem.dtype), d=zeros,
            slope=zero, alpha=zero, trials=none, fresh=jnp.zeros((), bool), n_jacobians=none,
        )  # fmt: skip

    def tell(self, problem: Any, state: State, f: jax.Array, g: Any) -> State:
        first = jnp.isinf(state.f)
        r = g.r
        finite = jnp.isfinite(f)
        promise = -state.alpha * state.slope
        accept = finite & (first | (f <= state.f - self.c1 * promise))
        # Broyden's slope is only an estimate: any real decrease will do, or else the true Jacobian is asked for.
        hopeless = ~accept & ~state.fresh & (state.trials >= 1) if self.broyden else jnp.zeros((), bool)

        x, f_now, r_now = (
            jnp.where(accept, new, old) for new, old in ((state.trial, state.x), (f, state.f), (r, state.r))
        )

        def turned(_: Any) -> tuple:
            if self.broyden:
                s = state.trial - state.x
                ss = jnp.vdot(s, s)
                miss = r - state.r - state.jacobian @ s
                updated = state.jacobian + jnp.outer(miss, s) / jnp.where(ss > 0, ss, 1)
                again = first | hopeless | ~jnp.all(jnp.isfinite(updated))
                jacobian = lax.cond(again, lambda _: problem.jacobian(x), lambda _: updated, None)
            else:
                jacobian, again = problem.jacobian(x), jnp.ones((), bool)
            d = newton_direction(jacobian, r_now, self.damping, False)
            slope = jnp.vdot(r_now, jacobian @ d)
            return jacobian, d, slope, jnp.ones_like(f), again

        def nearer(_: Any) -> tuple:
            lowest = promise / (2 * (f - state.f + promise))
            shrink = jnp.where(finite, jnp.clip(lowest, 0.1, 0.5), 0.1)
            damp = state.fresh & (state.trials + 1 == _RESCUE_AFTER)
            d = lax.cond(
                damp, lambda _: newton_direction(state.jacobian, state.r, self.rescue, True), lambda _: state.d, None
            )
            slope = jnp.vdot(state.r, state.jacobian @ d)
            return state.jacobian, d, slope, jnp.where(damp, 1, shrink * state.alpha), state.fresh

        jacobian, d, slope, alpha, fresh = lax.cond(accept | hopeless, turned, nearer, None)
        trial = x + alpha * d
        trials = jnp.where(accept | hopeless, 0, state.trials + 1)
        steepest, most = jnp.linalg.norm(r_now @ jacobian), jnp.linalg.norm(r_now) * jnp.linalg.norm(jacobian)
        failed = jnp.where(steepest <= problem.eps**0.25 * most, Status.NO_ROOT, Status.LINE_SEARCH_FAILED)
        failed = jnp.where(finite, failed, Status.NONFINITE)
        stuck = (jnp.all(trial == x) | ~(slope < 0) | (trials >= _GIVE_UP_AFTER)) & fresh
        status = jnp.where(~first & stuck, failed, RUNNING)
        return State(
            trial=trial, x=x, f=f_now, g=r_now, gnorm=problem.optimality(x, r_now),
            step=jnp.where(accept, state.alpha, state.step), n_iters=state.n_iters + (accept & ~first),
            status=status.astype(jnp.int32), r=r_now, jacobian=jacobian, d=d, slope=slope, alpha=alpha, trials=trials,
            fresh=fresh, n_jacobians=state.n_jacobians + (fresh & (accept | hopeless)),
        )  # fmt: skip


class Equations:
    """Residuals as the loop of iterate.py asks for them: f = ½‖F‖², and what must vanish is F itself."""

    def __init__(self, residuals: Any, rest: tuple):
        self.given = residuals.at(rest)
        self.n, self.dtype, self.eps = self.given.n, self.given.dtype, self.given.eps
        self.jacobian = self.given.jacobian
        self.lower = self.upper = None

    def value_and_grad(self, x: jax.Array) -> tuple[jax.Array, Seen]:
        r = self.given.residuals(x)
        return jnp.vdot(r, r) / 2, Seen(r)

    def optimality(self, x: jax.Array, g: Any) -> jax.Array:
        return jnp.max(jnp.abs(g.r if isinstance(g, Seen) else g), initial=0)

    def aux(self, x: jax.Array) -> tuple:
        return ()


def newton_direction(jacobian: jax.Array, r: jax.Array, damping: float, always: bool) -> jax.Array:
    """−J⁻¹ r, or −(JᵀJ + μ²)⁻¹ Jᵀ r with μ = damping·‖J‖ where J is singular (or `always`)."""
    safe = jnp.where(jnp.all(jnp.isfinite(jacobian)), jacobian, 0)

    def damped(_: Any) -> jax.Array:
        u, s, vt = jnp.linalg.svd(safe)
        mu = damping * jnp.max(s, initial=0)
        return -((s / jnp.where(s + mu > 0, s * s + mu * mu, 1)) * (r @ u)) @ vt

    if always:
        return damped(None)
    q, upper = jnp.linalg.qr(safe)
    diagonal = jnp.abs(jnp.diagonal(upper))
    whole = jnp.min(diagonal, initial=jnp.inf) > jnp.finfo(r.dtype).eps * jnp.max(diagonal, initial=0)

    def solved(_: Any) -> jax.Array:
        return -jax.scipy.linalg.solve_triangular(upper, r @ q)

    return lax.cond(whole, solved, damped, None)
