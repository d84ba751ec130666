"""The L-BFGS matrix written out, for few variables: H = γ A + C, with A = V D² Vᵀ, V the product of the I − s yᵀ/s·y.

The history is limited as in the compact form, yet no pair is kept: of two such matrices the younger one was begun
`memory` pairs after the older one, whose place it takes when it is as old. So H holds the last m to 2m pairs. D is the
identity, until curvatures so far apart are met that the variables must have different units: then D is the sizes they
have there.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

_UNITS = 1e10  # the condition from which on the variables are taken to have different units


class Dense(NamedTuple):
    """**Attributes:** `h` (2, 2, n, n): A and C of the older matrix, then of the younger; `sy`: s·y of the last pair, 0
    for none; `gamma` (): the scale of the initial matrix γ D²; `sizes` (n,): D², 0 while it is the identity; `age` ()
    int32: the pairs in the younger matrix; `bends` (2,): as of `lbfgs.State`; `w`: nothing, there are no pairs.
    """

    h: Any
    sy: Any
    gamma: Any
    sizes: Any
    age: Any
    bends: Any
    w: Any = ()


def identity(n: int, dtype: Any) -> Dense:
    """No pairs yet: H is the identity."""
    zero, zeros = jnp.zeros((), dtype), jnp.zeros((n,), dtype)
    start = jnp.broadcast_to(_empty(zeros), (2, 2, n, n))
    return Dense(start, zero, zero + 1, zeros, jnp.zeros((), jnp.int32), jnp.full((2,), jnp.inf, dtype))


def add_and_apply(
    matrix: Dense, memory: int, x: Any, g: Any, s: Any, y: Any, wanted: Any, restart: Any, eps: Any
) -> tuple[Dense, Any]:
    """(the matrix, told of the pair if that is `wanted` and its curvature is positive; −H g).

    **Arguments:** as of `compact.add_and_apply`; `memory`: pairs remembered at least, once there are so many; `x` (n,):
    where g was taken.
    **Source:** Nocedal & Wright, (6.17), linear in the matrix it begins with.
    """
    sy, ss, yy = jnp.sum(s * y), jnp.sum(s * s), jnp.sum(y * y)
    good = wanted & (sy > eps * jnp.sqrt(ss * yy))
    bends = jnp.where(good, jnp.minimum(matrix.bends, sy / jnp.stack([ss, yy])), matrix.bends)
    units = good & (bends[0] * bends[1] * _UNITS < 1) & ~jnp.any(matrix.sizes > 0)
    sizes = jnp.where(units, _sizes(x), matrix.sizes)
    full = good & (matrix.age >= memory)  # a matrix that is told of no pair is the one it was
    older, younger = matrix.h
    empty = _empty(sizes)
    h = jnp.stack([jnp.where(full, younger, older), jnp.where(full, empty, younger)])
    h = jnp.where(restart | units, empty, h)
    hy = h @ y
    yhy = jnp.sum(hy * y, -1)
    half = s * (0.5 * (np.arange(2.0, dtype=g.dtype) + yhy / sy))[..., None] - hy  # H + (s halfᵀ + half sᵀ)/sy: H y = s
    change = (s[:, None] * half[..., None, :] + half[..., None] * s) / sy
    h = jnp.where(good, h + change, h)
    gamma = jnp.where(good, sy / jnp.sum(_squares(sizes) * y * y), matrix.gamma)
    age = jnp.where(full | restart | units, 0, matrix.age) + good
    new = Dense(h, jnp.where(good, sy, jnp.where(restart, 0, matrix.sy)), gamma, sizes, age, bends)
    return new, (-gamma * h[0, 0] - h[0, 1]) @ g


def _sizes(x: Any) -> Any:
    """x², and where that is 0 the greatest of them, or 1; none is less than 1e-12 of the greatest."""
    squares = x * x
    most = jnp.max(squares, initial=0)
    most = jnp.where(most > 0, most, 1)
    return jnp.where(squares > 0, jnp.maximum(squares, 1e-12 * most), most)


def _squares(sizes: Any) -> Any:
    """The diagonal of D²."""
    return jnp.where(sizes > 0, sizes, 1)


def _empty(sizes: Any) -> Any:
    """A and C without pairs."""
    eye = np.eye(sizes.shape[0], dtype=sizes.dtype)
    return np.stack([eye, 0 * eye]) * _squares(sizes)
