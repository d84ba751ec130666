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

from .method import at_once

KEPT = 26  # pairs remembered at least: they cost the same whatever their number
_SHORT = 6  # entries of a row, beyond which its four parts are taken one after the other where rows are
_UNITS = 1e10  # the condition from which on the variables are taken to have different units


class Dense(NamedTuple):
    """**Attributes:** `h` (n, 4, n): the rows of A and C of the older matrix, then of the younger; `sy`: s·y of the
    last pair, 0 for none; `gamma` (): the scale of the initial matrix γ D²; `sizes` (2, n): the diagonals of D²;
    `plain`: whether they are the identity; `age` () int32: the pairs in the younger matrix; `bends` (2,): as of
    `lbfgs.State`; `w`: nothing, there are no pairs.
    """

    h: Any
    sy: Any
    gamma: Any
    sizes: Any
    plain: Any
    age: Any
    bends: Any
    w: Any = ()


def identity(n: int, dtype: Any) -> Dense:
    """No pairs yet: H is the identity."""
    zero = jnp.zeros((), dtype)
    start = jnp.asarray(np.stack([np.eye(n), 0 * np.eye(n)] * 2, 1), dtype)
    return Dense(
        start, zero, zero + 1, jnp.ones((2, n), dtype), jnp.asarray(True), jnp.zeros((), jnp.int32),
        jnp.full((2,), jnp.inf, dtype),
    )  # fmt: skip


def add_and_apply(
    matrix: Dense, memory: int, x: Any, g: Any, s: Any, y: Any, wanted: Any, restart: Any, eps: Any, each: Callable
) -> tuple[Dense, Any]:
    """(the matrix, told of the pair if that is `wanted` and its curvature is positive; −H g).

    **Arguments:** as of `compact.add_and_apply`; `memory`: pairs remembered at least, once there are so many; `x` (n,):
    where g was taken; `each`: (f, arrays) -> f of their rows, stacked: one after the other, or all at once.
    **Source:** Nocedal & Wright, (6.17), linear in the matrix it begins with.
    """
    sy, ss, yy = jnp.sum(s * y), jnp.sum(s * s), jnp.sum(y * y)
    good = wanted & (sy > eps * jnp.sqrt(ss * yy))
    bends = jnp.where(good, jnp.minimum(matrix.bends, sy / jnp.stack([ss, yy])), matrix.bends)
    units = good & (bends[0] * bends[1] * _UNITS < 1) & matrix.plain
    full, anew = good & (matrix.age >= memory), restart | units  # told of no pair, it is the matrix it was
    plain = matrix.plain & ~units
    # Curvatures that far apart are rare, and so is a new matrix: what is done then is done in a branch.
    case = jnp.where(anew, 2, jnp.where(full, 1, 0))
    fresh = lax.cond((case > 0) & ~plain, lambda: _sizes(x, each), lambda: jnp.ones_like(x))
    h, sizes = lax.switch(case, (_kept, _younger, _empty), matrix.h, matrix.sizes, fresh)

    four = each if g.shape[0] > _SHORT else at_once

    def product(row: tuple) -> tuple:
        old, y_of, size = row
        found = four(lambda part: jnp.sum(part * y), old)
        return found, found * y_of, size * y_of * y_of

    hy, yhy, squares = each(product, (h, y, sizes[0]))
    share = jnp.where(good, 1 / sy, 0)
    twice = share * (np.asarray([0, 1, 0, 1], g.dtype) + jnp.sum(yhy, 0) * share)
    columns = hy.T
    gamma = jnp.where(good, sy / jnp.sum(squares), matrix.gamma)

    def part(given: tuple) -> tuple:  # H + c s sᵀ − (s (H y)ᵀ + H y sᵀ)/s·y, with c so that it takes y to s
        old, of_s, of_hy, hy = given
        return old + of_s * s - of_hy * hy

    def updated(row: tuple) -> tuple:
        old, s_of, hy_of = row
        of_s, of_hy = s_of * twice - share * hy_of, jnp.broadcast_to(share * s_of, (4,))
        new = four(part, (old, of_s, of_hy, columns))
        return new, -jnp.sum((gamma * new[0] + new[1]) * g)

    h, d = each(updated, (h, s, hy))
    new = Dense(
        h, jnp.where(good, sy, jnp.where(restart, 0, matrix.sy)), gamma, sizes,
        plain, jnp.where(full | anew, 0, matrix.age) + good, bends,
    )  # fmt: skip
    return new, d


def _sizes(x: Any, each: Callable) -> Any:
    """x², and where that is 0 the greatest of them, or 1; none is less than 1e-12 of the greatest."""
    most = jnp.max(jnp.abs(x), initial=0)
    most = jnp.where(most > 0, most * most, 1)
    return each(lambda x: jnp.where(x == 0, most, jnp.maximum(x * x, 1e-12 * most)), x)


def _kept(h: Any, sizes: Any, fresh: Any) -> tuple[Any, Any]:
    return h, sizes


def _younger(h: Any, sizes: Any, fresh: Any) -> tuple[Any, Any]:
    """The younger matrix in the place of the older, and in its own one without pairs."""
    empty, both = _empty(h, sizes, fresh)
    return jnp.concatenate([h[:, 2:], empty[:, 2:]], 1), jnp.stack([sizes[1], both[1]])


def _empty(h: Any, sizes: Any, fresh: Any) -> tuple[Any, Any]:
    """A = D² and C = 0, twice."""
    n = fresh.shape[0]
    diagonal = jnp.pad(fresh[:, None], ((0, 0), (0, n))).reshape(-1)[: n * n].reshape(n, 1, n)
    return jnp.concatenate([diagonal, jnp.zeros_like(diagonal)] * 2, 1), jnp.stack([fresh, fresh])
