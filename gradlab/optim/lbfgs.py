"""Limited-memory BFGS (Nocedal & Wright, algorithm 7.5) with a strong-Wolfe search, as one state machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from .compact import add_and_apply, empty, forget, write
from .linesearch import Search, Wolfe, advance, begin
from .method import RUNNING, Method, Problem, blank, choose
from .result import Status


class Aside(NamedTuple):
    """A point met on the way that is lower than the iterate; f is inf while there is none."""

    x: Any
    f: Any
    g: Any


class State(NamedTuple):
    """`method.State`, and what L-BFGS carries besides.

    **Attributes:** `d` (n,): the direction; `slope`: g·d; `aside`: what is better than x, if anything is; `low` (2,):
    the least f and ‖g‖∞ of the iterates; `stalled`: iterations in a row without progress that rounding could not make.
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
    pairs: Any
    search: Search
    aside: Aside
    low: Any
    stalled: Any


@dataclass(frozen=True)
class LBFGS(Method):
    """**Attributes:** `memory`: pairs kept (m), 20 up to n = 1000 and 10 beyond unless given; `c1`, `c2`: the Wolfe
    constants; `max_trials`: evaluations a search; `patience`: iterations without progress before it says so.
    """

    memory: int | None = None
    c1: float = 1e-4
    c2: float = 0.9
    max_trials: int = 30
    patience: int = 12

    def init(self, problem: Problem, x0: jax.Array) -> State:
        zero = jnp.zeros((), problem.dtype)
        inf = zero + jnp.inf
        memory = self.memory or (20 if problem.n <= 1000 else 10)
        return State(
            **blank(problem, x0), d=jnp.zeros_like(x0), slope=zero, pairs=self.no_pairs(memory, problem),
            search=begin(zero, zero, zero, inf if self.bounded else None), aside=Aside(x0, inf, jnp.zeros_like(x0)), low=jnp.stack([inf, inf]),
            stalled=jnp.zeros((), jnp.int32),
        )  # fmt: skip

    def tell(self, problem: Any, state: State, f: jax.Array, g: jax.Array) -> State:
        first = jnp.isinf(state.f)
        eps = problem.eps
        noise = eps ** (2 / 3) * jnp.abs(state.f)
        search, wolfe = advance(
            state.search, Wolfe(self.c1, self.c2), state.f, state.slope, noise, f, jnp.vdot(g, state.d)
        )
        invisible = jnp.isfinite(search.hi[0]) & (-search.alpha * state.slope <= eps * jnp.abs(state.f))
        ended = ~wolfe & ~first & ((search.trials >= self.max_trials) | invisible)
        endless = jnp.isinf(search.hi[0])  # no step was too far
        rescued = ended & ~endless & (state.aside.f < state.f)
        restart = ended & ~endless & ~rescued & jnp.any(state.pairs.sy != 0)
        failed = ended & ~rescued & ~restart

        # The iterate to come: the trial, or the best of a search that failed.
        to_x, to_f, to_g = jax.tree_util.tree_map(
            lambda a, b: jnp.where(rescued, a, b), tuple(state.aside), (state.trial, f, g)
        )
        accept = wolfe | first | rescued
        to_gnorm = problem.optimality(to_x, to_g)

        # Rows that do not count are multiplied by zero, so what is written must be finite.
        s, y = to_x - state.x, jnp.where(jnp.isfinite(to_f) & jnp.isfinite(to_g), to_g - state.g, 0)
        pairs = self.write(state.pairs, s, y)

        def turn(pairs: Any) -> tuple:
            x, value, g = jax.tree_util.tree_map(
                lambda a, b: jnp.where(restart, a, b), (state.x, state.f, state.g), (to_x, to_f, to_g)
            )
            kept, d, cap = self.direction(problem, pairs, x, g, s, y, accept & ~first, restart)
            slope, gg = jnp.vdot(g, d), jnp.vdot(d, d)
            alpha = jnp.where(first, self.first_step(problem, value, gg), 1.0)
            return kept._replace(w=None), d, slope, begin(alpha, value, slope, cap)

        def stay(pairs: Any) -> tuple:
            return pairs._replace(w=None), state.d, state.slope, search

        kept, d, slope, search = choose(problem.n, accept | restart, turn, stay, pairs)
        x, f_at, g_at, gnorm, step = jax.tree_util.tree_map(
            lambda a, b: jnp.where(accept, a, b),
            (to_x, to_f, to_g, to_gnorm, state.search.alpha),
            (state.x, state.f, state.g, state.gnorm, state.step),
        )
        better = jnp.isfinite(f) & jnp.all(jnp.isfinite(g)) & (f < jnp.minimum(state.f, state.aside.f))
        aside = choose(
            problem.n, ~accept & better | accept & (state.f < to_f),
            lambda aside: Aside(*jax.tree_util.tree_map(lambda a, b: jnp.where(accept, a, b), (state.x, state.f, state.g), (state.trial, f, g))),
            lambda aside: aside, state.aside,
        )  # fmt: skip
        aside = aside._replace(f=jnp.where(accept & (to_f <= aside.f), jnp.inf, aside.f))
        now = jnp.stack([f_at, gnorm])
        progress = jnp.any(now < jnp.stack([state.low[0] - 4 * eps * jnp.abs(state.low[0]), 0.9 * state.low[1]]))
        stalled = jnp.where(accept, jnp.where(progress, 0, state.stalled + 1), state.stalled)

        status = jnp.where(stalled >= self.patience, Status.PRECISION_LIMIT, RUNNING)
        hidden = -state.slope <= noise
        why = jnp.where(hidden, Status.PRECISION_LIMIT, Status.LINE_SEARCH_FAILED)
        why = jnp.where(jnp.isinf(search.hi[1]), Status.NONFINITE, why)
        why = jnp.where(endless | (state.f < -_far(problem.dtype)), Status.UNBOUNDED, why)
        status = jnp.where(failed, why, status)
        status = jnp.where(f == -jnp.inf, Status.UNBOUNDED, status)
        return State(
            trial=self.move(problem, x, d, search.alpha), x=x, f=f_at, g=g_at, gnorm=gnorm, step=step,
            n_iters=state.n_iters + (accept & ~first), status=status, d=d, slope=slope,
            pairs=kept._replace(w=pairs.w), search=search, aside=aside, low=jnp.minimum(state.low, now), stalled=stalled,
        )  # fmt: skip

    def no_pairs(self, memory: int, problem: Problem) -> Any:
        """The matrix to begin with."""
        return empty(memory, problem.n, problem.dtype)

    def write(self, pairs: Any, s: Any, y: Any) -> Any:
        """The pair put where it may come to count."""
        return write(pairs, s, y)

    def direction(
        self, problem: Any, pairs: Any, x: Any, g: Any, s: Any, y: Any, wanted: Any, restart: Any
    ) -> tuple[Any, Any, Any]:
        """(the matrix, told of the pair just written if `wanted`; the direction from x; the longest step along it)."""
        pairs, hg = add_and_apply(forget(pairs, restart), g, y, jnp.vdot(s, s), wanted, problem.eps)
        return pairs, jnp.where(jnp.vdot(g, hg) > 0, -hg, -g), None

    def first_step(self, problem: Any, f: Any, dd: Any) -> Any:
        """The first step along d, −g or like it, with d·d = `dd`."""
        return first_step(f, dd, problem.eps)

    def move(self, problem: Any, x: Any, d: Any, alpha: Any) -> Any:
        """Where a step leads."""
        return x + alpha * d

    def finish(self, problem: Any, state: State) -> State:
        swap = (state.aside.f < state.f) & ((state.status <= 0) | (state.status == Status.PRECISION_LIMIT))
        x, f, g = jax.tree_util.tree_map(lambda a, b: jnp.where(swap, a, b), tuple(state.aside), (state.x, state.f, state.g))
        return state._replace(x=x, f=f, g=g, gnorm=problem.optimality(x, g))


def first_step(f: Any, gg: Any, eps: Any) -> Any:
    """A step along d ≈ −g to begin with: of length at most 1, unless that could not be seen in f.

    **Arguments:** `gg`: ‖d‖².
    """
    alpha = jnp.minimum(1.0, 1 / jnp.sqrt(gg))
    return jnp.where(alpha * gg > 10 * eps * jnp.abs(f), alpha, 1e-3 * jnp.abs(f) / gg)


def _far(dtype: Any) -> float:
    """Where f has fallen further than any minimum lies."""
    return float(jnp.finfo(dtype).max) ** 0.5
