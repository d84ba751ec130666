"""The L-BFGS matrix in compact form: a ring of pairs, and a small matrix that makes its product two passes.

H g = γ v + S u with p = R⁻¹ Sᵀg, v = g − Y p and u = R⁻ᵀ(D p − γ Yᵀv), where R holds s_i·y_j for i no newer than j.
R⁻¹ is kept, not R: a pair appends a column to it, and dropping the oldest pair drops its row and column.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax

from .method import once
from .pair import Pair


class Pairs(NamedTuple):
    """The last m steps and gradient changes, in a ring of m + 1 places; place `slot` is scratch, and counts once added.

    **Attributes:** `w`: (S, Y), each (m+1, n), the steps s [x] and gradient changes y [f/x]; `rinv` (m+1, m+1): R⁻¹ in
    the ring's order, zero in rows and columns that do not count; `sy` (m+1,): s·y; `gamma` () [x²/f]: the scale of the
    initial matrix; `slot` () int32; `sg` (m+1,): the steps times the gradient, from which those times the next y
    follow without a pass over them.
    """

    w: Any
    rinv: Any
    sy: Any
    gamma: Any
    slot: Any
    sg: Any


def empty(memory: int, n: int, dtype: Any) -> Pairs:
    """No pairs yet: H is the identity."""
    places = memory + 1
    rows, square = jnp.zeros((places, n), dtype), jnp.zeros((places, places), dtype)
    return Pairs((rows, rows), square, square[0], jnp.ones((), dtype), jnp.zeros((), jnp.int32), square[0])


def write(pairs: Any, s: Any, y: Any, lanes: Any = None) -> Any:
    """The pair written into the scratch place, in place (with `lanes`, by a mask); it does not count yet."""
    if lanes is None:
        w = tuple(lax.dynamic_update_index_in_dim(a, b, pairs.slot, 0) for a, b in zip(pairs.w, (s, y), strict=True))
    else:
        here = (_ring(pairs) == pairs.slot)[:, None]
        w = tuple(jnp.where(here, b, a) for a, b in zip(pairs.w, (s, y), strict=True))
    return pairs._replace(w=w)


def add_and_apply(pairs: Pairs, g: Any, pair: Pair, restart: Any, lanes: Any = None) -> tuple[Pairs, Any]:
    """(the pairs with the one written counted, if it is good; −H g).

    **Arguments:** `g` (n,): the gradient; `pair`: the one just written; `restart`: no pair counts any more, the scale
    stays.
    **Source:** Nocedal & Wright, theorem 7.4 and (7.24); 8mn operations, each row read twice.
    """
    small = _SMALL if lanes is None else 0
    (steps, changes), slot, ring = pairs.w, pairs.slot, _ring(pairs)
    sg = _over(steps, g, small)
    s_y = jnp.where(ring == slot, 0, sg - pairs.sg)  # what was in the scratch place may have been anything
    before = _over(pairs.rinv, s_y, small)

    def added() -> tuple:
        good, sy, yy = pair.good, pair.sy, pair.yy
        here = good & (ring == slot)
        after = jnp.where(good, (slot + 1) % ring.size, slot)
        # In the new scratch place was the oldest pair, which counts no longer.
        kept = (ring != after) & jnp.logical_not(restart)
        column = jnp.where(here, 1, -before) / sy
        d = jnp.where(here, sy, pairs.sy) * kept
        return here, kept, column, d, jnp.where(good, sy / yy, pairs.gamma), after

    here, kept, column, d, gamma, after = once(lanes, added)
    rinv = jnp.where(here, column[:, None], pairs.rinv) * (kept & kept[:, None])
    p = _over(rinv, sg, small)
    v = g - _under(p, changes, small)
    minus_u = _under(gamma * _over(changes, v, small) - d * p, rinv, small)
    return Pairs(pairs.w, rinv, d, gamma, after, sg), _under(minus_u, steps, small) - gamma * v


_SMALL = 4096  # entries of a matrix whose product is cheaper as one fused loop than as a call of the matrix library


def _ring(pairs: Pairs) -> Any:
    return jnp.arange(pairs.sy.shape[0], dtype=jnp.int32)


def _over(a: Any, x: Any, small: int) -> Any:
    """a @ x."""
    return a @ x if a.size > small else jnp.sum(a * x, 1)


def _under(x: Any, a: Any, small: int) -> Any:
    """x @ a."""
    return x @ a if a.size > small else jnp.sum(x[:, None] * a, 0)
