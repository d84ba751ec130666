"""Limited-memory BFGS (Nocedal & Wright, algorithm 7.5) with a strong-Wolfe search, as one state machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from . import dense
from .compact import add_and_apply, empty, write
from .linesearch import Search, Wolfe, advance, begin
from .method import RUNNING, Method, Problem, blank, once
from .options import COUNT, Number
from .pair import Pair, measured
from .result import Status

MEMORY, FEW = 20, 12  # pairs kept unless n is large; variables whose matrix is smaller than its pairs
ILL, MANY = 1e3, 100  # the condition that is to blame where a limit ends a solve, if it left so many iterations
SEARCHING, ACCEPTED, RESCUED, RESTART, FAILED, FIRST = range(6)  # what a search has come to


class State(NamedTuple):
    """`method.State`, and what L-BFGS carries besides.

    **Attributes:** `xs`, `gs` (3, n): the iterate, in row `at`; in row `aside` a point met on the way that is lower,
    with its value `f_aside` (inf while there is none); and room for the next: which is which changes, and nothing is
    copied. `d` (n,): the direction; `slope`: g·d; `low` (2,): the least f and ‖g‖∞ of the iterates; `stalled`:
    iterations in a row without progress that rounding could not make; `bends` (2,): as of `pair.Pair`.
    """

    trial: Any
    xs: Any
    gs: Any
    at: Any
    aside: Any
    f: Any
    f_aside: Any
    gnorm: Any
    step: Any
    n_iters: Any
    status: Any
    d: Any
    slope: Any
    pairs: Any
    search: Search
    low: Any
    stalled: Any
    bends: Any

    @property
    def x(self) -> Any:
        return row(self.xs, self.at)

    @property
    def g(self) -> Any:
        return row(self.gs, self.at)


@dataclass(frozen=True)
class LBFGS(Method):
    """**Attributes:** `memory`: pairs kept (m); unless given 20, beyond n = 1000 10, and for few variables 26 to 52 of
    them in a matrix written out (dense.py); `c1`, `c2`: the Wolfe constants; `max_trials`: evaluations a search;
    `patience`: iterations without progress before it says so.
    """

    memory: int | None = None
    c1: float = 1e-4
    c2: float = 0.9
    max_trials: int = 30
    patience: int = 12

    alone: ClassVar[bool] = True
    needs: ClassVar[Mapping[str, Number]] = {
        "memory": Number(least=1, whole=True, optional=True),
        "c1": Number(above=0, below="c2"),
        "c2": Number(above="c1", below=1),
        "max_trials": COUNT,
        "patience": COUNT,
    }

    def init(self, problem: Problem, x0: jax.Array) -> State:
        zero = jnp.zeros((), problem.dtype)
        inf = zero + jnp.inf
        memory = self.memory or (MEMORY if problem.n <= 1000 else 10)
        fields, count, rows = blank(problem, x0), jnp.zeros((), jnp.int32), jnp.broadcast_to(x0, (3, *x0.shape))
        del fields["x"], fields["g"]
        return State(
            **fields, xs=rows, gs=jnp.zeros_like(rows), at=count, aside=count + 1, f_aside=inf, d=jnp.zeros_like(x0),
            slope=zero, pairs=self.no_pairs(memory, problem),
            search=begin(zero, zero, zero, inf if self.bounded else None),
            low=jnp.stack([inf, inf]), stalled=count, bends=jnp.stack([inf, inf]),
        )  # fmt: skip

    def tell(self, problem: Any, state: State, f: jax.Array, g: jax.Array) -> State:
        first = jnp.isinf(state.f)
        if problem.lanes is not None:  # told again after its end, it changes nothing of its matrix
            first = first & (state.status == RUNNING)
        eps = problem.eps
        noise = eps ** (2 / 3) * jnp.abs(state.f)
        slope = jnp.vdot(g, state.d)

        def advanced() -> tuple[Search, Any]:
            search, wolfe = advance(state.search, Wolfe(self.c1, self.c2), state.f, state.slope, noise, f, slope)
            bracketed = jnp.isfinite(search.hi[0])
            invisible = bracketed & (-search.alpha * state.slope <= eps * jnp.abs(state.f))
            ended = (search.trials >= self.max_trials) | invisible
            again = jnp.where(jnp.any(state.pairs.sy != 0), RESTART, FAILED)
            end = jnp.where(bracketed, jnp.where(state.f_aside < state.f, RESCUED, again), FAILED)
            # A direction that is none: g·H g is a sum of squares, but what is left of it may be rounding.
            end, ended = jnp.where(state.slope < 0, end, again), ended | ~(state.slope < 0)
            return search, jnp.where(wolfe, ACCEPTED, jnp.where(ended, end, SEARCHING)).astype(jnp.int32)

        def decided() -> tuple[Search, Any]:
            # A branch, so that XLA computes the decision once and not again in all that depends on it.
            search, outcome = lax.cond(first, lambda: (state.search, jnp.asarray(FIRST, jnp.int32)), advanced)
            return search, outcome if problem.lanes is None else jnp.where(state.status == RUNNING, outcome, SEARCHING)

        search, outcome = once(problem.lanes, decided)
        wolfe, rescued, restart, failed = (outcome == k for k in (ACCEPTED, RESCUED, RESTART, FAILED))
        moved, changed = wolfe | first, wolfe | first | rescued
        trial_gnorm = problem.optimality(state.trial, g)
        finite = jnp.isfinite(f) & jnp.isfinite(trial_gnorm)
        here = 3 - state.at - state.aside
        xs, gs = (put(rows, here, new, problem.lanes) for rows, new in ((state.xs, state.trial), (state.gs, g)))
        passed = moved & (state.f < f)
        lower = ~changed & finite & (f < jnp.minimum(state.f, state.f_aside))
        at = jnp.where(moved, here, jnp.where(rescued, state.aside, state.at))
        aside = jnp.where(passed | rescued, state.at, jnp.where(lower, here, state.aside))
        f_at = jnp.where(moved, f, jnp.where(rescued, state.f_aside, state.f))
        gnorm = jnp.where(moved, trial_gnorm, state.gnorm)
        f_aside = jnp.where(passed, state.f, jnp.where(lower, f, state.f_aside))
        f_aside = jnp.where(changed & (f_at <= f_aside), jnp.inf, f_aside)
        # Rows that do not count are multiplied by zero, so what is written must be finite.
        s = state.trial - row(xs, state.at, problem.lanes)
        y = jnp.where(finite, g - row(gs, state.at, problem.lanes), 0)
        pairs = self.write(problem, state.pairs, s, y)
        x, g_at = row(xs, at, problem.lanes), row(gs, at, problem.lanes)

        def turn(pairs: Any) -> tuple:
            pair = once(problem.lanes, lambda: measured(s, y, wolfe, state.bends, eps))
            kept, d, cap = self.direction(problem, pairs, x, g_at, pair, restart)
            slope = jnp.vdot(g_at, d)
            alpha = lax.cond(first, lambda: self.first_step(problem, x, f_at, d), lambda: jnp.ones_like(f_at))
            return kept._replace(w=None), d, slope, begin(alpha, f_at, slope, cap), pair.bends

        def stay(pairs: Any) -> tuple:
            return pairs._replace(w=None), state.d, state.slope, search, state.bends

        turns = changed | restart
        if problem.lanes is not None:  # all lanes take both branches; a matrix told of no pair is the one it was
            kept, *turned = turn(pairs)
            d, slope, search, bends = jax.tree_util.tree_map(
                lambda a, b: jnp.where(turns, a, b), tuple(turned), (state.d, state.slope, search, state.bends)
            )
        else:
            kept, d, slope, search, bends = lax.cond(turns, turn, stay, pairs)
        now = jnp.stack([f_at, gnorm])
        progress = jnp.any(now < jnp.stack([state.low[0] - 4 * eps * jnp.abs(state.low[0]), 0.9 * state.low[1]]))
        stalled = jnp.where(changed, jnp.where(progress, 0, state.stalled + 1), state.stalled)

        status = jnp.where(stalled >= self.patience, Status.PRECISION_LIMIT, RUNNING)
        hidden = (-state.slope <= noise) | jnp.all(jnp.abs(state.d) <= 4 * eps * jnp.abs(x))
        why = jnp.where(hidden, Status.PRECISION_LIMIT, Status.LINE_SEARCH_FAILED)
        beyond, height, _ = search.hi
        why = jnp.where(jnp.isfinite(beyond) & jnp.isinf(height), Status.NONFINITE, why)
        # Without a bracket, each slope was c2 of the first or steeper. Half of that fall and twice the steepest bound
        # what a true gradient lets f do: beyond them it is not f that has no end.
        alpha, f_end, end = search.lo
        rate = (f_end - state.f) / alpha
        true = (rate <= 0.5 * self.c2 * state.slope) & (rate >= 2 * jnp.minimum(end, state.slope))
        endless = (jnp.isinf(beyond) & (true | (alpha == 0))) | (state.f < -_far(problem.dtype))
        why = jnp.where(endless, Status.UNBOUNDED, why)
        status = jnp.where(failed, why, status)
        status = jnp.where(f == -jnp.inf, Status.UNBOUNDED, status)
        return State(
            trial=self.move(problem, x, d, search.alpha), xs=xs, gs=gs, at=at, aside=aside, f=f_at, f_aside=f_aside,
            gnorm=gnorm,
            step=jnp.where(wolfe, state.search.alpha, state.step),
            n_iters=state.n_iters + (changed & ~first), status=status, d=d, slope=slope,
            pairs=kept._replace(w=pairs.w), search=search, low=jnp.minimum(state.low, now), stalled=stalled,
            bends=bends,
        )  # fmt: skip

    def no_pairs(self, memory: int, problem: Problem) -> Any:
        """The matrix to begin with."""
        if self.memory is None and problem.n <= FEW:
            return dense.identity(problem.n, problem.dtype)
        return empty(memory, problem.n, problem.dtype)

    def write(self, problem: Any, pairs: Any, s: Any, y: Any) -> Any:
        """The pair put where it may come to count."""
        if isinstance(pairs, dense.Dense):
            return pairs
        return write(pairs, s, y, problem.lanes)

    def still(self, on: Any, new: Any, old: Any) -> Any:
        # `tell` leaves the matrix of an ended solve as it was, but for the scratch place.
        return super().still(on, new._replace(pairs=None), old._replace(pairs=None))._replace(pairs=new.pairs)

    def direction(self, problem: Any, pairs: Any, x: Any, g: Any, pair: Pair, restart: Any) -> tuple[Any, Any, Any]:
        """(the matrix, told of the pair just written if it is good; the direction from x; its longest step)."""
        if isinstance(pairs, dense.Dense):
            pairs, d = dense.add_and_apply(pairs, dense.KEPT, x, g, pair, restart, problem.each)
        else:
            pairs, d = add_and_apply(pairs, g, pair, restart, problem.lanes)
        return pairs, d, None

    def first_step(self, problem: Any, x: Any, f: Any, d: Any) -> Any:
        """The first step along d = −g: it moves x by a hundredth, or further where f falls by less than a hundredth.

        **Source:** Hager & Zhang (2006), I0, but for a start near zero.
        """
        one = 1 / jnp.sqrt(jnp.vdot(d, d))
        by_f = jnp.minimum(0.01 * jnp.abs(f) * one * one, one)
        alpha = jnp.maximum(0.01 * jnp.max(jnp.abs(x), initial=0) / jnp.max(jnp.abs(d), initial=0), by_f)
        return jnp.where(alpha > 0, alpha, one)

    def move(self, problem: Any, x: Any, d: Any, alpha: Any) -> Any:
        """Where a step leads."""
        return x + alpha * d

    def finish(self, problem: Any, state: State) -> State:
        swap = (state.f_aside < state.f) & ((state.status <= 0) | (state.status == Status.PRECISION_LIMIT))
        f, at = (jnp.where(swap, a, b) for a, b in ((state.f_aside, state.f), (state.aside, state.at)))
        state = state._replace(f=f, at=at)
        limited = (state.status == Status.MAX_ITERS) | (state.status == Status.MAX_EVALS)
        ill = limited & (state.bends[0] * state.bends[1] * ILL < 1) & (state.n_iters >= MANY)
        status = jnp.where(ill, Status.ILL_CONDITIONED, state.status)
        return state._replace(gnorm=problem.optimality(state.x, state.g), status=status)


def row(rows: Any, k: Any, lanes: Any = None) -> Any:
    """Row k of three."""
    if lanes is None:
        return lax.dynamic_index_in_dim(rows, k, keepdims=False, allow_negative_indices=False)
    return jnp.where(k == 0, rows[0], jnp.where(k == 1, rows[1], rows[2]))


def put(rows: Any, k: Any, new: Any, lanes: Any) -> Any:
    """The rows with `new` as row k."""
    if lanes is None:
        return lax.dynamic_update_index_in_dim(rows, new, k, 0, allow_negative_indices=False)
    return jnp.where((jnp.arange(len(rows), dtype=jnp.int32) == k)[:, None], new, rows)


def _far(dtype: Any) -> float:
    """Where f has fallen further than any minimum lies."""
    return float(jnp.finfo(dtype).max) ** 0.5
