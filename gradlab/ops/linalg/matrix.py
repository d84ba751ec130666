"""The words that rules about matrices are written in: products, transposes, triangles, diagonals of stacks of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...ir.errors import DTypeError, ShapeError
from ...ir.graph import Aval, Lit
from ...ir.primitive import Primitive
from ...trace.builder import bind
from ..arith import add, mul, sub
from ..compare import eq, ge, select
from ..contract import dot_general, eye
from ..convert import conj, convert, real
from ..families import batch_size, with_axis
from ..operands import fill, zeros_like
from ..shape import broadcast, broadcast_to, concatenate, iota, permute, reshape, slice_in_dim

INT32 = np.dtype("int32")
DTYPES = ("float32", "float64", "complex64", "complex128")

# -- what a factorization asks of its operands


def require_matrices(name: str, aval: Aval, square: bool = False) -> None:
    """**Raises:** `ShapeError`, `DTypeError` unless these are matrices (square ones) in single or double precision."""
    if aval.ndim < 2:
        raise ShapeError(f"{name} needs a matrix, or a stack of them, got {aval}. Reshape it to two axes.")
    if square and aval.shape[-1] != aval.shape[-2]:
        raise ShapeError(f"{name} needs square matrices, got {aval}. (qr, svd and lstsq take others.)")
    if aval.dtype.name not in DTYPES:
        raise DTypeError(f"{name} needs {', '.join(DTYPES)}; got {aval}. Convert it first with .astype(...).")


def require_right_side(name: str, a: Aval, b: Aval, rows: int) -> None:
    """**Raises:** `ShapeError` unless b is a stack of matrices that fits, of a's dtype and with a's leading axes."""
    if b.ndim != a.ndim or b.shape[:-2] != a.shape[:-2] or b.shape[rows] != a.shape[-1] or b.dtype != a.dtype:
        raise ShapeError(
            f"{name} needs a right-hand side of the dtype and leading axes of {a}, with {a.shape[-1]} "
            f"{'rows' if rows == -2 else 'columns'}, got {b}. gradlab.numpy broadcasts and promotes; primitives do not."
        )


def batch_stacks(prim: Callable[[], Primitive]) -> Callable[..., Any]:
    """The batch rule of a function of stacks: all operands get the axis, in front, and so do all results."""

    def batch(xs, dims, **params):
        size = batch_size(xs, dims)
        outs = bind(prim(), *[with_axis(x, d, 0, size) for x, d in zip(xs, dims, strict=True)], **params)
        return outs, (0,) * len(outs)

    return batch


# -- products and transposes


def dot(x: Any, y: Any) -> Any:
    """x·y, matrix by matrix, in full precision: derivatives of factorizations would not survive less."""
    n = x.ndim
    batch = tuple(range(n - 2))
    return dot_general(x, y, contract=((n - 1,), (n - 2,)), batch=(batch, batch), precision="highest")


def transpose(x: Any) -> Any:
    """xᵀ."""
    return permute(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


def conjugate(x: Any) -> Any:
    """x̄; a real x is its own."""
    return conj(x) if x.dtype.kind == "c" else x


def adjoint(x: Any) -> Any:
    """xᴴ."""
    return transpose(conjugate(x))


def hermitian_part(x: Any) -> Any:
    """(x + xᴴ)/2."""
    return half(add(x, adjoint(x)))


def real_part(x: Any) -> Any:
    return real(x) if x.dtype.kind == "c" else x


def half(x: Any) -> Any:
    return mul(0.5, x)


def like(x: Any, y: Any) -> Any:
    """x in y's dtype: real numbers made complex where y is."""
    return x if x.dtype == y.dtype else convert(x, dtype=y.dtype)


# -- vectors beside matrices


def across(v: Any, rows: int) -> Any:
    """The vectors v (..., n) as each of the rows of matrices (..., rows, n): v[j] in column j."""
    lead = v.ndim - 1
    return broadcast(v, (*v.shape[:-1], rows, v.shape[-1]), (*range(lead), lead + 1))


def down(v: Any, columns: int) -> Any:
    """The vectors v (..., m) as each of the columns of matrices (..., m, columns): v[i] in row i."""
    return broadcast(v, (*v.shape, columns), range(v.ndim))


def identity(x: Any, n: int | None = None) -> Any:
    """Identity matrices of x's dtype and leading axes, of size n or x's number of columns."""
    size = x.shape[-1] if n is None else n
    return broadcast_to(eye(size, x.dtype), (*x.shape[:-2], size, size))


# -- parts


def _rows(x: Any) -> Any:
    return iota(INT32, x.shape[-2:], 0)


def _columns(x: Any) -> Any:
    return iota(INT32, x.shape[-2:], 1)


def _where(mask: Any, x: Any, y: Any) -> Any:
    return select(broadcast_to(mask, x.shape), x, y)


def lower(x: Any, k: int = 0) -> Any:
    """x on and below its k-th diagonal, zeros above."""
    rows = add(_rows(x), k) if k else _rows(x)
    return _where(ge(rows, _columns(x)), x, zeros_like(x))


def upper(x: Any, k: int = 0) -> Any:
    """x on and above its k-th diagonal, zeros below."""
    columns = sub(_columns(x), k) if k else _columns(x)
    return _where(ge(columns, _rows(x)), x, zeros_like(x))


def on_diagonal(x: Any, diagonal: Any) -> Any:
    """x with its diagonal replaced by that of `diagonal`, or by a number."""
    other = fill(diagonal, x.aval) if isinstance(diagonal, float | int) else diagonal
    return _where(eq(_rows(x), _columns(x)), other, x)


def diagonal(x: Any) -> Any:
    """The diagonals (..., min(m, n)) of matrices."""
    if x.shape[-2] > x.shape[-1]:
        x = rows_of(x, 0, x.shape[-1])
    elif x.shape[-1] > x.shape[-2]:
        x = columns_of(x, 0, x.shape[-2])
    n = x.shape[-1]
    # Every (n + 1)th element of the rows laid end to end: no mask, no sum.
    flat = reshape(x, (*x.shape[:-2], n * n))
    return slice_in_dim(flat, 0, n * n, n + 1, axis=flat.ndim - 1)


def columns_of(x: Any, start: int, stop: int) -> Any:
    return slice_in_dim(x, start, stop, axis=x.ndim - 1)


def rows_of(x: Any, start: int, stop: int) -> Any:
    return slice_in_dim(x, start, stop, axis=x.ndim - 2)


def beside(x: Any, y: Any) -> Any:
    """[x y]."""
    return concatenate([x, y], x.ndim - 1)


def above(x: Any, y: Any) -> Any:
    """x on top of y."""
    return concatenate([x, y], x.ndim - 2)


def zeros(x: Any, rows: int, columns: int) -> Lit:
    """Matrices of zeros with x's dtype and leading axes."""
    return fill(0.0, Aval((*x.shape[:-2], rows, columns), x.dtype))
