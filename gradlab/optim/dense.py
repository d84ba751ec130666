"""The L-BFGS matrix written out, for few variables: H = γ A + C, with A = V Vᵀ and V the product of the I − y sᵀ/s·y.

The history is limited as in the compact form, yet no pair is kept: of two such matrices the younger one was begun
`memory` pairs after the older one, whose place it takes when it is as old. So H holds the last m to 2m pairs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np


class Dense(NamedTuple):
    """**Attributes:** `h` (2, 2, n, n): A and C of the older matrix, then of the younger; `sy`: s·y of the last pair, 0
    for none; `gamma` () [x²/f]: the scale of the initial matrix; `age` () int32: the pairs in the younger matrix; `w`:
    nothing, there are no pairs.
    """

    h: Any
    sy: Any
    gamma: Any
    age: Any
    w: Any = ()


def identity(n: int, dtype: Any) -> Dense:
    """No pairs yet: H is the identity."""
    return Dense(
        jnp.broadcast_to(_empty(n, dtype), (2, 2, n, n)),
        jnp.zeros((), dtype), jnp.ones((), dtype), jnp.zeros((), jnp.int32),
    )  # fmt: skip


def add_and_apply(
    matrix: Dense, memory: int, g: Any, s: Any, y: Any, wanted: Any, restart: Any, eps: Any
) -> tuple[Dense, Any]:
    """(the matrix, told of the pair if that is `wanted` and its curvature is positive; −H g).

    **Arguments:** as of `compact.add_and_apply`; `memory`: pairs remembered at least, once there are so many.
    **Source:** Nocedal & Wright, (6.17), linear in the matrix it begins with.
    """
    sy, ss, yy = jnp.sum(s * y), jnp.sum(s * s), jnp.sum(y * y)
    good = wanted & (sy > eps * jnp.sqrt(ss * yy))
    full = matrix.age >= memory
    older, younger = matrix.h
    empty = _empty(g.shape[0], g.dtype)
    h = jnp.stack([jnp.where(full, younger, older), jnp.where(full, empty, younger)])
    h = jnp.where(restart, empty, h)
    hy = h @ y
    yhy = jnp.sum(hy * y, -1)
    half = s * (0.5 * (np.arange(2.0, dtype=g.dtype) + yhy / sy))[..., None] - hy  # H + (s halfᵀ + half sᵀ)/sy: H y = s
    change = (s[:, None] * half[..., None, :] + half[..., None] * s) / sy
    h = jnp.where(good, h + change, h)
    gamma = jnp.where(good, sy / yy, matrix.gamma)
    age = jnp.where(full | restart, 0, matrix.age) + good
    new = Dense(h, jnp.where(good, sy, jnp.where(restart, 0, matrix.sy)), gamma, age)
    return new, (-gamma * h[0, 0] - h[0, 1]) @ g


def _empty(n: int, dtype: Any) -> Any:
    """A and C without pairs."""
    eye = np.eye(n, dtype=dtype)
    return np.stack([eye, 0 * eye])
