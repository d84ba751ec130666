"""Limited-memory BFGS (Nocedal & Wright, algorithm 7.5) with a strong-Wolfe search, as one state machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from .linesearch import Search, Wolfe, advance, begin
from .method import RUNNING, Method, Problem, blank
from .result import Status


class Pairs(NamedTuple):
    """The last m steps and gradient changes, in a ring of m + 1 rows: row `slot` is scratch, written before it counts.

    **Attributes:** `s` (m+1, n) [x]; `y` (m+1, n) [f/x]; `rho` (m+1,) = 1/(s·y), 0 in rows that do not count;
    `gamma` () [x²/f]: the scale of the initial matrix; `slot` () int32.
    """

    s: Any
    y: Any
    rho: Any
    gamma: Any
    slot: Any


class State(NamedTuple):
    """`method.State`, and what L-BFGS carries besides.

    **Attributes:** `d` (n,): the direction; `slope`: g·d; `best_x`, `best_f`, `best_g`: a point lower than the
    iterate, if `best_f` is finite; `stalled`: iterations without progress in f or ‖g‖ that rounding cannot explain;
    `best_gnorm`: the smallest ‖g‖∞ so far.
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
    pairs: Pairs
    search: Search
    best_x: Any
    best_f: Any
    best_g: Any
    best_gnorm: Any
    stalled: Any


@dataclass(frozen=True)
class LBFGS(Method):
    """**Attributes:** `memory`: pairs kept (m); `c1`, `c2`: the Wolfe constants; `max_trials`: evaluations a search."""

    memory: int = 10
    c1: float = 1e-4
    c2: float = 0.9
    max_trials: int = 30

    def init(self, problem: Problem, x0: jax.Array) -> State:
        common = blank(problem, x0)
        dtype, rows = problem.dtype, self.memory + 1
        zero, zeros = jnp.zeros((), dtype), jnp.zeros((rows, problem.n), dtype)
        pairs = Pairs(zeros, zeros, jnp.zeros((rows,), dtype), zero + 1, jnp.zeros((), jnp.int32))
        return State(
            **common, d=jnp.zeros_like(x0), slope=zero, pairs=pairs, search=begin(zero, zero, zero), best_x=x0,
            best_f=zero + jnp.inf, best_g=jnp.zeros_like(x0), best_gnorm=zero + jnp.inf,
            stalled=jnp.zeros((), jnp.int32),
        )  # fmt: skip

    def tell(self, problem: Any, state: State, f: jax.Array, g: jax.Array) -> State:
        first = jnp.isinf(state.f)
        eps = problem.eps
        noise = eps ** (2 / 3) * jnp.abs(state.f)
        search, accept = advance(
            state.search, Wolfe(self.c1, self.c2), state.f, state.slope, noise, f, jnp.vdot(g, state.d)
        )
        accept = accept | first
        s, y = state.trial - state.x, g - state.g
        pairs = state.pairs
        pairs = pairs._replace(
            s=lax.dynamic_update_index_in_dim(pairs.s, s, pairs.slot, 0),
            y=lax.dynamic_update_index_in_dim(pairs.y, y, pairs.slot, 0),
        )

        def moved(_):
            sy, yy, ss = jnp.vdot(s, y), jnp.vdot(y, y), jnp.vdot(s, s)
            good = ~first & (sy > eps * jnp.sqrt(ss * yy))
            rho = lax.dynamic_update_index_in_dim(pairs.rho, jnp.where(good, 1 / sy, 0.0), pairs.slot, 0)
            slot = jnp.where(good, (pairs.slot + 1) % (self.memory + 1), pairs.slot)
            rho = lax.dynamic_update_index_in_dim(rho, 0.0, slot, 0)
            gamma = jnp.where(good, sy / yy, pairs.gamma)
            d = -two_loop(pairs.s, pairs.y, rho, gamma, slot, g)
            slope = jnp.vdot(g, d)
            gg = jnp.vdot(g, g)
            alpha = jnp.where(first, jnp.minimum(1.0, 1 / jnp.sqrt(gg)), 1.0)
            return rho, slot, gamma, d, slope, begin(alpha, f, slope)

        def refused(_):
            return pairs.rho, pairs.slot, pairs.gamma, state.d, state.slope, search

        rho, slot, gamma, d, slope, search = lax.cond(accept, moved, refused, None)
        x, f, g = (jnp.where(accept, new, old) for new, old in ((state.trial, state.x), (f, state.f), (g, state.g)))
        status = jnp.where(search.trials >= self.max_trials, Status.LINE_SEARCH_FAILED, RUNNING)
        return state._replace(
            trial=x + search.alpha * d, x=x, f=f, g=g, gnorm=problem.optimality(x, g),
            step=jnp.where(accept, state.search.alpha, state.step), n_iters=state.n_iters + (accept & ~first),
            status=status, d=d, slope=slope, pairs=pairs._replace(rho=rho, slot=slot, gamma=gamma), search=search,
        )  # fmt: skip


def two_loop(s: Any, y: Any, rho: Any, gamma: Any, slot: Any, g: Any) -> Any:
    """The L-BFGS inverse-Hessian estimate applied to a gradient, without forming the matrix.

    **Source:** Nocedal & Wright, algorithm 7.4; 4mn products. A row with rho 0 changes nothing.
    """
    rows = rho.shape[0]

    def newest_first(i, carry):
        q, alphas = carry
        j = (slot + rows - 1 - i) % rows
        alpha = rho[j] * jnp.vdot(s[j], q)
        return q - alpha * y[j], alphas.at[j].set(alpha)

    def oldest_first(i, r):
        j = (slot + 1 + i) % rows
        return r + (alphas[j] - rho[j] * jnp.vdot(y[j], r)) * s[j]

    q, alphas = lax.fori_loop(0, rows - 1, newest_first, (g, jnp.zeros_like(rho)))
    return lax.fori_loop(0, rows - 1, oldest_first, gamma * q)
