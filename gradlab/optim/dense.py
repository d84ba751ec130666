"""The L-BFGS matrix written out, for few variables: H = γ A + C, with A = V D² Vᵀ, V the product of the I − s yᵀ/s·y.

The history is limited as in the compact form, yet no pair is kept: of two such matrices the younger one was begun
`memory` pairs after the older one, whose place it takes when it is as old. So H holds the last m to 2m pairs. D is the
identity, until curvatures so far apart are met that the variables must have different units: from then on it is the
sizes they have where a matrix is begun.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from .pair import Pair

KEPT = 26  # pairs remembered at least: they cost the same whatever their number
_UNITS = 1e10  # the condition from which on the variables are taken to have different units
_IS_A = np.asarray([True, False, True, False])


class Dense(NamedTuple):
    """**Attributes:** `h` (n, 4, n): the rows of A and C of the one matrix, then of the other; `older` () int32: which
    is the older one; `sy`: s·y of the last pair, 0 for none; `gamma` (): the scale of the initial matrix γ D²; `sizes`
    (2, n): the diagonals of D²; `plain`: whether they are the identity; `age` () int32: the pairs in the younger
    matrix; `w`: nothing, there are no pairs.
    """

    h: Any
    older: Any
    sy: Any
    gamma: Any
    sizes: Any
    plain: Any
    age: Any
    w: Any = ()


def identity(n: int, dtype: Any) -> Dense:
    """No pairs yet: H is the identity."""
    zero, none = jnp.zeros((), dtype), jnp.zeros((), jnp.int32)
    start = jnp.asarray(np.eye(n)[:, None] * _IS_A[:, None], dtype)
    return Dense(start, none, zero, zero + 1, jnp.ones((2, n), dtype), jnp.asarray(True), none)


def add_and_apply(
    matrix: Dense, memory: int, x: Any, g: Any, pair: Pair, restart: Any, each: Callable
) -> tuple[Dense, Any]:
    """(the matrix, told of the pair if it is good; −H g).

    **Arguments:** `memory`: pairs remembered at least, once there are so many; `x` (n,): where g was taken; `restart`:
    no pair counts any more, the scale stays; `each`: (f, arrays) -> f of their rows, stacked: one after the other, or
    all at once.
    **Source:** Nocedal & Wright, (6.17), linear in the matrix it begins with.
    """
    s, y, sy, good = pair.s, pair.y, pair.sy, pair.good
    units = good & (pair.bends[0] * pair.bends[1] * _UNITS < 1) & matrix.plain
    full, anew = good & (matrix.age >= memory), restart | units
    plain = matrix.plain & ~units
    # When the younger matrix is as old as that, the two change roles, and the one that was the older begins anew.
    older = jnp.where(full, 1 - matrix.older, matrix.older)
    case = jnp.where(anew, 1, 2 * (1 - older))  # which are begun: the first, both, the second
    h, sizes = lax.cond(
        full | anew, lambda: _begun(matrix, case, jnp.where(plain, 1, _sizes(x))), lambda: (matrix.h, matrix.sizes)
    )
    hy = each(lambda row: jnp.sum(row * y, 1), h)
    share = jnp.where(good, 1 / sy, 0)  # told of no pair, it is the matrix it was
    twice = share * (~_IS_A + jnp.sum(hy * y[:, None], 0) * share)
    gamma = jnp.where(good, sy / jnp.sum(jnp.where(older == 0, sizes[0], sizes[1]) * y * y), matrix.gamma)
    columns = hy.T

    def updated(row: tuple) -> tuple:  # H + c s sᵀ − (s (H y)ᵀ + H y sᵀ)/s·y, with c so that it takes y to s
        h, s_of, hy_of = row
        new = h + (s_of * twice - share * hy_of)[:, None] * s - share * s_of * columns
        a, c = jnp.where(older == 0, new[:2], new[2:])
        return new, -jnp.sum((gamma * a + c) * g)

    h, d = each(updated, (h, s, hy))
    age = jnp.where(full | anew, 0, matrix.age) + good
    sy = jnp.where(good, sy, jnp.where(restart, 0, matrix.sy))
    return Dense(h, older, sy, gamma, sizes, plain, age), d


def _begun(matrix: Dense, case: Any, fresh: Any) -> tuple[Any, Any]:
    """h and sizes with A = D² and C = 0 in one matrix or in both, written over them and the room beside them."""
    n = fresh.shape[0]
    one = jnp.pad(fresh[:, None], ((0, 0), (0, 2 * n))).reshape(-1)[: 2 * n * n].reshape(n, 2, n)
    new = jnp.concatenate([one, one], 1)
    h = jnp.pad(matrix.h, ((0, 0), (2, 2), (0, 0)))
    sizes = jnp.pad(matrix.sizes, ((1, 1), (0, 0)))
    h = lax.dynamic_update_slice_in_dim(h, new, 2 * case, 1)
    return h[:, 2:6], lax.dynamic_update_slice_in_dim(sizes, jnp.stack([fresh, fresh]), case, 0)[1:3]


def _sizes(x: Any) -> Any:
    """x², and where that is 0 the greatest of them, or 1; none is less than 1e-12 of the greatest."""
    most = jnp.max(jnp.abs(x), initial=0)
    most = jnp.where(most > 0, most * most, 1)
    return jnp.where(x == 0, most, jnp.maximum(x * x, 1e-12 * most))
