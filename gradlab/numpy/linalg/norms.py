"""Norms, and what is read off the singular values: condition number and rank."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp

from ...ir.errors import ArgumentError, ShapeError
from ...ops import arith, convert, reduce
from ...ops import shape as shape_ops
from ...ops.guarded import root
from ...ops.linalg.inverse import inv
from ...ops.linalg.matrix import require_matrices
from ...ops.operands import kind
from .. import axes as ax
from .. import reductions as red
from ..choose import where
from ..dispatch import public
from ..formulas import isnan
from ..manipulation import permuted
from ..promote import lift, promote
from .decompositions import svd, svdvals


@public(jnp.linalg.norm)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """`jax.numpy.linalg.norm`, on tracers too; where a norm is 0, its derivative is 0 and no NaN."""
    (x,) = promote(lift(x), inexact=True)
    if axis is None and ord is None:
        axes: tuple[int, ...] = tuple(range(x.ndim))
        return _kept(_euclidean(x, axes), x, axes, keepdims)
    axes = ax.several(axis, x.ndim)
    if len(axes) == 1:
        return _kept(_vector_norm(x, ord, axes), x, axes, keepdims)
    if len(axes) != 2:
        raise ShapeError(f"norm is of a vector (one axis) or a matrix (two), got {x.aval} with axis={axis}.")
    return _kept(_matrix_norm(x, ord, axes), x, axes, keepdims)


def _kept(out: Any, x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    return shape_ops.reshape(out, tuple(1 if i in axes else n for i, n in enumerate(x.shape))) if keepdims else out


def _euclidean(x: Any, axes: tuple[int, ...]) -> Any:
    square = convert.real(arith.mul(x, convert.conj(x))) if kind(x.dtype) == "c" else arith.mul(x, x)
    return root(reduce.reduce_sum(square, axes=axes))


def _vector_norm(x: Any, ord: Any, axes: tuple[int, ...]) -> Any:
    if ord is None or ord == 2:
        return _euclidean(x, axes)
    size = arith.abs(x)
    if ord == math.inf:
        return red.max(size, axes)
    if ord == -math.inf:
        return red.min(size, axes)
    if ord == 0:
        return red.sum((x != 0).astype(size.dtype), axes)
    if ord == 1:
        return red.sum(size, axes)
    if isinstance(ord, str):
        raise ArgumentError(f"a vector has no norm {ord!r}: give a number.")
    total = red.sum(size**ord, axes)
    length = total ** (1.0 / ord)
    return where(total == 0, 0.0, length) if isinstance(ord, int | float) and ord > 0 else length


def _matrix_norm(x: Any, ord: Any, axes: tuple[int, ...]) -> Any:
    row, column = axes
    if ord is None or ord in ("f", "fro"):
        return _euclidean(x, axes)
    if ord in (1, -1, math.inf, -math.inf):
        summed, other = (row, column) if abs(ord) == 1 else (column, row)
        sums = red.sum(arith.abs(x), summed)
        other -= summed < other
        return red.max(sums, other) if ord > 0 else red.min(sums, other)
    if ord in (2, -2, "nuc"):
        values = svdvals(permuted(x, [*(i for i in range(x.ndim) if i not in axes), row, column]))
        return red.sum(values, -1) if ord == "nuc" else red.max(values, -1) if ord == 2 else red.min(values, -1)
    raise ArgumentError(f"a matrix has the norms None, 'fro', 1, -1, inf, -inf, 2, -2 and 'nuc', got {ord!r}.")


@public(jnp.linalg.vector_norm)
def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """`jax.numpy.linalg.vector_norm`, on tracers too."""
    (x,) = promote(lift(x), inexact=True)
    axes = ax.several(axis, x.ndim)
    if len(axes) != 1 and ord not in (2, 1, 0, math.inf, -math.inf):
        raise ShapeError(
            "vector_norm over several axes knows the orders 0, 1, 2, inf and -inf; reshape to one axis first."
        )
    return _kept(_vector_norm(x, ord, axes), x, axes, keepdims)


@public(jnp.linalg.matrix_norm)
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """`jax.numpy.linalg.matrix_norm`, on tracers too."""
    return norm(x, ord, (-2, -1), keepdims)


@public(jnp.linalg.cond)
def cond(x: Any, p: Any = None) -> Any:
    """`jax.numpy.linalg.cond`, on tracers too."""
    (x,) = promote(lift(x), inexact=True)
    require_matrices("cond", x.aval, square=p not in (None, 2, -2))
    if 0 in x.shape[-2:]:
        raise ShapeError(f"cond of no elements does not exist: {x.aval}.")
    if p in (None, 2, -2):
        s = svdvals(x)
        largest, smallest = s[..., 0], s[..., -1]
        if p != -2:
            return largest / smallest
        out = smallest / largest
    else:
        out = norm(x, p, (-2, -1)) * norm(inv(x), p, (-2, -1))
    return where(isnan(out) & ~red.any(isnan(x), (-2, -1)), math.inf, out)


@public(jnp.linalg.matrix_rank)
def matrix_rank(M: Any, rtol: Any = None, *, hermitian: bool = False, tol: Any = None) -> Any:
    """`jax.numpy.linalg.matrix_rank`, on tracers too: an integer, so without a derivative."""
    if tol is not None and rtol is not None:
        raise ArgumentError("matrix_rank takes rtol or tol, which mean the same; got both.")
    limit = tol if rtol is None else rtol
    (x,) = promote(lift(M), inexact=True)
    if x.ndim < 2:
        return red.any(x != 0).astype("int32")
    s = svd(x, full_matrices=False, compute_uv=False, hermitian=hermitian)
    if limit is None:
        limit = red.max(s, -1) * (max(x.shape[-2:]) * float(jnp.finfo(s.dtype).eps))
    limit = lift(limit)
    return red.sum(s > shape_ops.reshape(limit, (*limit.shape, 1)), -1)
