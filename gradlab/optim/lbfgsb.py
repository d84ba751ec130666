"""L-BFGS-B: limited-memory BFGS in a box (Byrd, Lu, Nocedal & Zhu 1995), the Cauchy point found without a loop.

B = θ I − Uᵀ M U with the rows of U being y and θ s of each pair, and M the inverse of [[−D, Lᵀ], [L, θ SᵀS]].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp

from .lbfgs import LBFGS
from .method import Problem
from .pair import Pair


class BoxPairs(NamedTuple):
    """The last m pairs, in a ring of m + 1 places; place `slot` is scratch (as `compact.Pairs`).

    **Attributes:** `w`: (S, Y), each (m+1, n), the steps and gradient changes; `sy`, `ss` (m+1, m+1): SᵀY, SᵀS; `order`
    (m+1,) int32: the age, larger is newer, 0 where a place does not count; `theta` () = 1/γ; `slot` () int32.
    """

    w: Any
    sy: Any
    ss: Any
    order: Any
    theta: Any
    slot: Any


@dataclass(frozen=True)
class LBFGSB(LBFGS):
    """As `LBFGS`, within bounds. Steps end at bounds more often than where the slope is small, so c2 asks for more."""

    c2: float = 0.8

    bounded: ClassVar[bool] = True
    alone: ClassVar[bool] = False

    def no_pairs(self, memory: int, problem: Problem) -> BoxPairs:
        places = memory + 1
        square = jnp.zeros((places, places), problem.dtype)
        rows = jnp.zeros((places, problem.n), problem.dtype)
        order = jnp.zeros((places,), jnp.int32)
        return BoxPairs((rows, rows), square, square, order, jnp.ones((), problem.dtype), order[0])

    def direction(self, problem, pairs, x, g, pair, restart):
        pairs = _added(pairs, pair, restart)
        u, m = _compact(pairs)
        lower, upper, theta = problem.lower, problem.upper, pairs.theta
        cauchy, c, fixed = cauchy_point(x, g, lower, upper, theta, u, m)
        target = subspace_minimum(x, g, lower, upper, theta, u, m, cauchy, c, fixed)
        d = target - x
        # Where projecting spoilt the descent, go as far towards the subspace's minimum as the box lets; at worst
        # to the Cauchy point, along the projected gradient.
        d = jnp.where(jnp.vdot(g, d) < 0, d, cauchy - x)
        d = jnp.where(jnp.vdot(g, d) < 0, d, jnp.clip(x - g, lower, upper) - x)
        room = jnp.where(d > 0, (upper - x) / d, jnp.where(d < 0, (lower - x) / d, jnp.inf))
        return pairs, d, jnp.maximum(jnp.min(room, initial=jnp.inf), 1.0)

    def first_step(self, problem, x, f, d):
        # Of length at most 1, unless that could not be seen in f.
        dd = jnp.vdot(d, d)
        alpha = jnp.minimum(1.0, 1 / jnp.sqrt(dd))
        alpha = jnp.where(alpha * dd > 10 * problem.eps * jnp.abs(f), alpha, 1e-3 * jnp.abs(f) / dd)
        # A box closed on all sides has a scale: the model's minimum within it is worth a try.
        closed = jnp.all(jnp.isfinite(problem.lower) & jnp.isfinite(problem.upper))
        return jnp.where(closed, 1.0, alpha)

    def move(self, problem, x, d, alpha):
        return jnp.clip(x + alpha * d, problem.lower, problem.upper)


def _added(pairs: BoxPairs, pair: Pair, restart: Any) -> BoxPairs:
    places, slot, good = pairs.order.shape[0], pairs.slot, pair.good
    steps, changes = pairs.w
    s_y, s_s, y_s = steps @ pair.y, steps @ pair.s, changes @ pair.s
    here = good & (jnp.arange(places) == slot)
    after = jnp.where(good, (slot + 1) % places, slot)
    order = jnp.where(restart, 0, jnp.where(here, jnp.max(pairs.order) + 1, pairs.order))
    return BoxPairs(
        pairs.w,
        jnp.where(here, s_y[:, None], jnp.where(here[:, None], y_s, pairs.sy)),
        jnp.where(here, s_s[:, None], jnp.where(here[:, None], s_s, pairs.ss)),
        jnp.where(jnp.arange(places) == after, 0, order),
        jnp.where(good, pair.yy / pair.sy, pairs.theta),
        after,
    )


def _compact(pairs: BoxPairs) -> tuple[Any, Any]:
    """U (2k, n) and M (2k, 2k), zero in rows that do not count."""
    counts = pairs.order > 0
    both = counts & counts[:, None]
    lower = jnp.where(both & (pairs.order[:, None] > pairs.order), pairs.sy, 0)
    unused = jnp.diag(jnp.where(counts, 0.0, 1.0))
    d = jnp.diag(jnp.where(counts, jnp.diagonal(pairs.sy), 0)) + unused
    ss = pairs.theta * jnp.where(both, pairs.ss, 0) + unused
    m = jnp.linalg.inv(jnp.block([[-d, lower.T], [lower, ss]]))
    steps, changes = pairs.w
    u = jnp.concatenate([changes, pairs.theta * steps])
    return jnp.where(jnp.tile(counts, 2)[:, None], u, 0), m


def cauchy_point(x: Any, g: Any, lower: Any, upper: Any, theta: Any, u: Any, m: Any) -> tuple[Any, Any, Any]:
    """The first minimum of the model along P(x − t g), t ≥ 0: (the point, U times the way there, what is at a bound).

    The breakpoints are sorted, and the model's slope at all of them comes from running sums: no loop.
    **Source:** Byrd et al., algorithm CP.
    """
    n = x.shape[0]
    t = jnp.where(g < 0, (x - upper) / g, jnp.where(g > 0, (x - lower) / g, jnp.inf))
    t = jnp.maximum(t, 0)
    by = jnp.argsort(t)
    ts, gs, us = t[by], g[by], u[:, by]
    leaving = gs * us  # (2k, n): what U d gains when a variable stops moving
    ends = jnp.where(jnp.isinf(ts), 0, ts)
    zero = jnp.zeros((u.shape[0], 1), u.dtype)
    gone = jnp.concatenate([zero, jnp.cumsum(leaving, 1)], 1)
    p = gone - gone[:, -1:]  # U d on each interval: the variables still moving
    way = jnp.concatenate([zero, jnp.cumsum(-ends * leaving, 1)], 1)  # U (x(t) − x) of those that stopped
    dd = jnp.concatenate([jnp.cumsum((gs * gs)[::-1])[::-1], jnp.zeros((1,), g.dtype)])  # ‖d‖² on each interval
    begins = jnp.concatenate([jnp.zeros((1,), ts.dtype), ts])
    start = jnp.where(jnp.isinf(begins), 0, begins)
    c = way + start * p
    mp = m @ p
    slope = -dd + theta * start * dd - jnp.sum(mp * c, 0)
    bend = theta * dd - jnp.sum(mp * p, 0)
    length = jnp.concatenate([ts, jnp.full((1,), jnp.inf, ts.dtype)]) - start
    inside = jnp.where(bend > 0, -slope / bend, jnp.inf)
    stops = (slope >= 0) | (inside < length) | (jnp.arange(n + 1) == n) | (dd == 0)
    k = jnp.argmax(stops)
    ahead = jnp.where((slope[k] >= 0) | (dd[k] == 0), 0, jnp.minimum(inside[k], length[k]))
    at = start[k] + jnp.where(jnp.isfinite(ahead), ahead, 0)
    fixed = t <= at
    point = jnp.where(fixed, jnp.where(g < 0, upper, jnp.where(g > 0, lower, x)), x - at * g)
    return jnp.clip(point, lower, upper), way[:, k] + at * p[:, k], fixed


def subspace_minimum(
    x: Any, g: Any, lower: Any, upper: Any, theta: Any, u: Any, m: Any, cauchy: Any, c: Any, fixed: Any
) -> Any:
    """The model's minimum over the variables not at a bound in the Cauchy point, projected into the box.

    **Source:** Byrd et al., section 5.1 (direct primal method), with the projection of Morales & Nocedal (2011).
    """
    free = ~fixed & (cauchy > lower) & (cauchy < upper)
    r = jnp.where(free, g + theta * (cauchy - x) - (m @ c) @ u, 0)
    uz = jnp.where(free, u, 0)
    v = m @ (uz @ r)
    n = jnp.eye(m.shape[0], dtype=m.dtype) - m @ (uz @ uz.T) / theta
    v = jnp.linalg.solve(n, v)
    d = jnp.where(free, -r / theta - (v @ uz) / theta**2, 0)
    whole = cauchy + d
    return jnp.where(jnp.all(jnp.isfinite(d)), jnp.clip(whole, lower, upper), cauchy)
