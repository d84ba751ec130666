"""The L-BFGS matrix in compact form: a ring of pairs, and the small matrices that make its product two passes.

H g = γ g + S u − γ Y p with p = R⁻¹ Sᵀg and u = R⁻ᵀ(D p + γ (YᵀY p − Yᵀg)), where R holds s_i·y_j for i no newer
than j. R⁻¹ is kept, not R: a pair appends a column to it, and dropping the oldest pair drops its row and column.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax

from .method import once


class Pairs(NamedTuple):
    """The last m steps and gradient changes, in a ring of m + 1 places; place `slot` is scratch, and counts once added.

    **Attributes:** `w` (2(m+1), n): rows 2i and 2i+1 are the step s [x] and gradient change y [f/x] of place i; `rinv`
    (m+1, m+1): R⁻¹ in the ring's order, zero in rows and columns that do not count; `yy` (m+1, m+1): YᵀY; `sy` (m+1,):
    s·y; `gamma` () [x²/f]: the scale of the initial matrix; `slot` () int32; `wg` (2(m+1),): the rows times the
    gradient, from which those times the next y follow without a pass over the rows.
    """

    w: Any
    rinv: Any
    yy: Any
    sy: Any
    gamma: Any
    slot: Any
    wg: Any


def empty(memory: int, n: int, dtype: Any) -> Pairs:
    """No pairs yet: H is the identity."""
    places = memory + 1
    square = jnp.zeros((places, places), dtype)
    w = jnp.zeros((2 * places, n), dtype)
    return Pairs(
        w, square, square, square[0], jnp.ones((), dtype), jnp.zeros((), jnp.int32), w[:, 0] if n else w.sum(1)
    )


def write(pairs: Any, s: Any, y: Any, lanes: Any = None) -> Any:
    """The pair written into the scratch place, in place (`lanes`: by a mask); it does not count yet."""
    if lanes is not None:
        row = jnp.arange(pairs.w.shape[0])[:, None] - 2 * pairs.slot
        return pairs._replace(w=jnp.where(row == 0, s, jnp.where(row == 1, y, pairs.w)))
    w = lax.dynamic_update_slice_in_dim(pairs.w, jnp.stack([s, y]), 2 * pairs.slot, 0)
    return pairs._replace(w=w)


def forget(pairs: Pairs, really: Any) -> Pairs:
    """No pair counts any more, if `really`; the scale stays."""
    return pairs._replace(rinv=jnp.where(really, 0, pairs.rinv), sy=jnp.where(really, 0, pairs.sy))


def add_and_apply(pairs: Pairs, g: Any, s: Any, y: Any, wanted: Any, eps: Any, lanes: Any = None) -> tuple[Pairs, Any]:
    """(the pairs with the one written counted, if `wanted` and its curvature is positive; H g).

    **Arguments:** `g` (n,): the gradient; `s`, `y` (n,): the pair just written. A pair with s·y ≤ ε‖s‖‖y‖ is refused:
    that test has no scale.
    **Source:** Nocedal & Wright, theorem 7.4 and (7.24); 8mn operations in two passes over the ring.
    """
    small = _SMALL if lanes is None else 0
    places, slot, gamma = pairs.sy.shape[0], pairs.slot, pairs.gamma
    wg = _over(pairs.w, g, small)
    sg, yg = wg.reshape(places, 2).T
    s_y, y_y = (wg - pairs.wg).reshape(places, 2).T
    s_y = jnp.where(jnp.arange(places) == slot, 0, s_y)  # what was in the scratch place may have been anything
    sy, yy = jnp.vdot(s, y), jnp.vdot(y, y)
    ss = jnp.vdot(s, s)
    good = once(lanes, lambda: wanted & (sy > eps * jnp.sqrt(ss * yy)))
    ring = jnp.arange(places)
    here = good & (ring == slot)
    after = jnp.where(good, (slot + 1) % places, slot)
    kept = ring != after  # the new scratch place: its pair, the oldest, no longer counts
    before = _over(pairs.rinv, s_y, small)
    column = once(lanes, lambda: jnp.where(here, 1, -before) / sy)
    rinv = jnp.where(here, column[:, None], pairs.rinv) * (kept & kept[:, None])
    y_y = jnp.where(here, yy, y_y)
    gram = jnp.where(here, y_y[:, None], jnp.where(here[:, None], y_y, pairs.yy))
    d = jnp.where(here, sy, pairs.sy) * kept
    gamma = jnp.where(good, sy / yy, gamma)
    p = _over(rinv, sg, small)
    u = _under(d * p + gamma * (_over(gram, p, small) - yg), rinv, small)
    hg = gamma * g + _under(jnp.stack([u, -gamma * p], 1).reshape(-1), pairs.w, small)
    return Pairs(pairs.w, rinv, gram, d, gamma, after, wg), hg


_SMALL = 4096  # entries of a matrix whose product is cheaper as one fused loop than as a call of the matrix library


def _over(a: Any, x: Any, small: int) -> Any:
    """a @ x."""
    return a @ x if a.size > small else jnp.sum(a * x, 1)


def _under(x: Any, a: Any, small: int) -> Any:
    """x @ a."""
    return x @ a if a.size > small else jnp.sum(x[:, None] * a, 0)
