"""Limited-memory BFGS (Nocedal & Wright, algorithm 7.5) with a strong-Wolfe search, as one state machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from .compact import Pairs, add_and_apply, empty, write
from .linesearch import Search, Wolfe, advance, begin
from .method import RUNNING, Method, Problem, blank
from .result import Status


class State(NamedTuple):
    """`method.State`, and what L-BFGS carries besides.

    **Attributes:** `d` (n,): the direction; `slope`: g·d; `pairs`, `search`.
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


@dataclass(frozen=True)
class LBFGS(Method):
    """**Attributes:** `memory`: pairs kept (m); `c1`, `c2`: the Wolfe constants; `max_trials`: evaluations a search."""

    memory: int = 10
    c1: float = 1e-4
    c2: float = 0.9
    max_trials: int = 30

    def init(self, problem: Problem, x0: jax.Array) -> State:
        zero = jnp.zeros((), problem.dtype)
        return State(
            **blank(problem, x0), d=jnp.zeros_like(x0), slope=zero,
            pairs=empty(self.memory, problem.n, problem.dtype), search=begin(zero, zero, zero),
        )  # fmt: skip

    def tell(self, problem: Any, state: State, f: jax.Array, g: jax.Array) -> State:
        first = jnp.isinf(state.f)
        eps = problem.eps
        noise = eps ** (2 / 3) * jnp.abs(state.f)
        search, accept = advance(
            state.search, Wolfe(self.c1, self.c2), state.f, state.slope, noise, f, jnp.vdot(g, state.d)
        )
        accept = accept | first
        # What is written must be finite: rows that do not count are multiplied by zero.
        s, y = state.trial - state.x, jnp.where(jnp.isfinite(f) & jnp.isfinite(g), g - state.g, 0)
        written = write(state.pairs, s, y)
        pairs, hg, _ = add_and_apply(written, g, y, jnp.vdot(s, s), accept & ~first, eps)
        gnorm = problem.optimality(state.trial, g)
        alpha = jnp.where(first, jnp.minimum(1.0, 1 / jnp.sqrt(jnp.vdot(g, g))), 1.0)
        slope = jnp.vdot(g, -hg)
        new = (state.trial, f, g, gnorm, state.search.alpha, -hg, slope, begin(alpha, f, slope))
        old = (state.x, state.f, state.g, state.gnorm, state.step, state.d, state.slope, search)
        x, f, g, gnorm, step, d, slope, search = jax.tree_util.tree_map(lambda a, b: jnp.where(accept, a, b), new, old)
        status = jnp.where(search.trials >= self.max_trials, Status.LINE_SEARCH_FAILED, RUNNING)
        return State(
            trial=x + search.alpha * d, x=x, f=f, g=g, gnorm=gnorm, step=step,
            n_iters=state.n_iters + (accept & ~first), status=status, d=d, slope=slope, pairs=pairs, search=search,
        )  # fmt: skip
