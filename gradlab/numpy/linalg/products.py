"""Products of matrices and vectors whose arguments jax.numpy.linalg takes differently from jax.numpy, and powers."""

from __future__ import annotations

import itertools
import operator
from typing import Any

import jax.numpy as jnp

from ...ir.errors import ArgumentError, ShapeError
from ...ops.linalg import inverse
from ...ops.linalg.matrix import identity
from .. import axes as ax
from .. import matmul as products
from .. import selection
from ..dispatch import public
from ..einsum import einsum
from ..promote import lift, promote


@public(jnp.linalg.cross)
def cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """`jax.numpy.linalg.cross`, on tracers too."""
    x, y = lift(x1), lift(x2)
    if any(z.shape[ax.one(axis, z.ndim)] != 3 for z in (x, y)):
        raise ShapeError(f"cross needs vectors of 3 components along axis {axis}, got {x.aval} and {y.aval}.")
    return products.cross(x, y, axis=axis)


@public(jnp.linalg.outer)
def outer(x1: Any, x2: Any, /) -> Any:
    """`jax.numpy.linalg.outer`, on tracers too."""
    x, y = lift(x1), lift(x2)
    if x.ndim != 1 or y.ndim != 1:
        raise ShapeError(f"outer needs two vectors, got {x.aval} and {y.aval}. gradlab.numpy.outer flattens others.")
    return products.outer(x, y)


@public(jnp.linalg.diagonal)
def diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """`jax.numpy.linalg.diagonal`, on tracers too: of the last two axes."""
    return selection.diagonal(lift(x), offset, -2, -1)


@public(jnp.linalg.trace)
def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """`jax.numpy.linalg.trace`, on tracers too: of the last two axes."""
    return selection.trace(lift(x), offset, -2, -1, dtype)


@public(jnp.linalg.multi_dot)
def multi_dot(arrays: Any, *, precision: Any = None) -> Any:
    """`jax.numpy.linalg.multi_dot`, on tracers too: a product of matrices in the cheapest order."""
    xs = [lift(x) for x in arrays]
    inner = all(x.ndim == 2 for x in xs[1:-1]) and all(x.ndim in (1, 2) for x in (xs[0], xs[-1]))
    if len(xs) < 2 or not inner or any(x.shape[-1] != y.shape[0] for x, y in itertools.pairwise(xs)):
        got = ", ".join(str(x.aval) for x in xs)
        raise ShapeError(f"multi_dot needs two or more matrices (vectors at the ends) whose sizes chain, got {got}.")
    names: list[tuple[int, ...]] = [(i, i + 1) for i in range(len(xs))]
    names[0] = names[0][2 - xs[0].ndim :]
    names[-1] = names[-1][: xs[-1].ndim]
    return einsum(*itertools.chain(*zip(xs, names, strict=True)), optimize="auto", precision=precision)


@public(jnp.linalg.matrix_power)
def matrix_power(a: Any, n: int) -> Any:
    """`jax.numpy.linalg.matrix_power`, on tracers too, by repeated squaring; a negative power is one of the inverse."""
    x = lift(a)
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"matrix_power needs square matrices, got {x.aval}.")
    try:
        n = operator.index(n)
    except TypeError:
        raise ArgumentError(f"matrix_power takes whole powers, got {n!r}. See gradlab.scipy.linalg.sqrtm.") from None
    if n == 0:
        return identity(x)
    if n < 0:
        (x,) = promote(x, inexact=True)
        x, n = inverse.inv(x), -n
    result = None
    while True:
        if n & 1:
            result = x if result is None else products.matmul(result, x)
        n >>= 1
        if not n:
            return result
        x = products.matmul(x, x)
