"""Linear systems: solutions, inverses and determinants."""

from __future__ import annotations

import math
import operator
from typing import Any, NamedTuple

import jax.numpy as jnp

from ...ir.errors import ArgumentError, ShapeError
from ...ir.graph import Aval
from ...ops import shape
from ...ops.convert import part_dtype, stop_gradient
from ...ops.linalg import determinant, inverse, lu
from ...ops.linalg import lstsq as fit
from ...ops.linalg.matrix import dot, hermitian_part, require_matrices
from ...ops.linalg.svd import svd
from ...ops.operands import fill
from ...trace.avals import canonical_dtype
from .. import reductions as red
from ..choose import where
from ..dispatch import public
from ..manipulation import moveaxis, ravel, reshape
from ..promote import broadcast_shapes, lift, result_dtype, retype, stretch
from .decompositions import matrices
from .norms import norm


class SlogdetResult(NamedTuple):
    sign: Any
    logabsdet: Any


# -- solve


def pair(a: Any, b: Any) -> tuple[Any, Any]:
    """A matrix and a right-hand side, lifted and of one inexact dtype, each with its own shape."""
    a, b = lift(a), lift(b)
    dtype, weak = result_dtype([a.aval, b.aval], inexact=True)
    return retype(a, dtype, weak), retype(b, dtype, weak)


def with_columns(name: str, a: Any, b: Any, rows: int, system: Any) -> Any:
    """`system(a, b)` for right-hand sides b that are vectors (one axis) or matrices, leading axes broadcast.

    One matrix for many right-hand sides is used once: they stand side by side in b.
    """
    require_matrices(name, a.aval)
    if b.ndim == 1:
        # A vector serves every matrix.
        b = stretch(b, (*a.shape[:-2], *b.shape))
        out = with_columns(name, a, shape.reshape(b, (*b.shape, 1)), rows, system)
        return shape.reshape(out, out.shape[:-1])
    if b.ndim < 1 or b.shape[-2] != rows:
        remedy = "Several vectors for several matrices are solve(a, b[..., None])[..., 0]."
        raise ShapeError(f"{name} of {a.aval} needs right-hand sides with {rows} rows, got {b.aval}. {remedy}")
    lead = broadcast_shapes([a.shape[:-2], b.shape[:-2]])
    if math.prod(a.shape[:-2]) == 1 and b.ndim > 2 and math.prod(lead):
        a = shape.reshape(a, a.shape[-2:])
        b = shape.reshape(stretch(b, (*lead, *b.shape[-2:])), (math.prod(lead), *b.shape[-2:]))
        b = shape.permute(b, (1, 0, 2))
        out = system(a, shape.reshape(b, (b.shape[0], b.shape[1] * b.shape[2])))
        out = shape.permute(shape.reshape(out, (out.shape[0], *b.shape[1:])), (1, 0, 2))
        return shape.reshape(out, (*lead, *out.shape[1:]))
    return system(stretch(a, (*lead, *a.shape[-2:])), stretch(b, (*lead, *b.shape[-2:])))


@public(jnp.linalg.solve)
def solve(a: Any, b: Any) -> Any:
    """`jax.numpy.linalg.solve`, on tracers too; derivatives of all orders use the one LU factorization."""
    a, b = pair(a, b)
    require_matrices("solve", a.aval, square=True)
    return with_columns("solve", a, b, a.shape[-1], lambda a, b: lu.solve(a, lu.fixed_factors(a), b))


@public(jnp.linalg.inv)
def inv(a: Any) -> Any:
    """`jax.numpy.linalg.inv`, on tracers too."""
    return inverse.inv(matrices(a))


@public(jnp.linalg.tensorsolve)
def tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    """`jax.numpy.tensorsolve`, on tracers too."""
    a, b = lift(a), lift(b)
    if axes is not None:
        a = moveaxis(a, axes, len(axes) * (a.ndim - 1,))
    out = a.shape[b.ndim :]
    if a.shape[: b.ndim] != b.shape or b.size != math.prod(out):
        raise ShapeError(f"tensorsolve needs the first axes of a to be b's, and as many elements in the others, "
                         f"got {a.aval} and {b.aval}.")  # fmt: skip
    return reshape(solve(reshape(a, (b.size, b.size)), ravel(b)), out)


@public(jnp.linalg.tensorinv)
def tensorinv(a: Any, ind: int = 2) -> Any:
    """`jax.numpy.tensorinv`, on tracers too."""
    a, ind = lift(a), operator.index(ind)
    first, rest = a.shape[:ind], a.shape[ind:]
    if ind <= 0 or math.prod(first) != math.prod(rest):
        raise ShapeError(f"tensorinv needs as many elements in the first ind={ind} axes as in the rest, got {a.aval}.")
    return reshape(inv(reshape(a, (math.prod(first), math.prod(rest)))), (*rest, *first))


# -- pseudo-inverses


@public(jnp.linalg.pinv)
def pinv(a: Any, rtol: Any = None, hermitian: bool = False, *, rcond: Any = None) -> Any:
    """`jax.numpy.linalg.pinv`, on tracers too: its derivative, also at a matrix without full rank, keeps the rank."""
    if rcond is not None and rtol is not None:
        raise ArgumentError("pinv takes rtol or rcond, which mean the same; got both.")
    rtol = rcond if rtol is None else rtol
    x = matrices(a)
    require_matrices("pinv", x.aval)
    rows, columns = x.shape[-2:]
    if not rows or not columns:
        return shape.permute(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))
    own = part_dtype(x.dtype)
    if rtol is None:
        rtol = 10.0 * max(rows, columns) * float(jnp.finfo(own).eps)
    rtol = stop_gradient(stretch(retype(lift(rtol), own), x.shape[:-2]))
    return inverse.pinv(hermitian_part(x) if hermitian else x, rtol, hermitian=hermitian)


@public(jnp.linalg.lstsq)
def lstsq(a: Any, b: Any, rcond: Any = None, *, numpy_resid: bool = False) -> tuple[Any, Any, Any, Any]:
    """`jax.numpy.linalg.lstsq`, on tracers too: of the best solutions the shortest, also without full rank."""
    a, b = pair(a, b)
    if a.ndim != 2 or b.ndim not in (1, 2) or a.shape[0] != b.shape[0]:
        raise ShapeError(f"lstsq needs a matrix, and a vector or matrix with as many rows; got {a.aval} and {b.aval}.")
    rows, columns = a.shape
    right = b if b.ndim == 2 else shape.reshape(b, (rows, 1))
    own = part_dtype(a.dtype)
    if not rows or not columns:
        s, rank = fill(0.0, Aval((0,), own)), fill(0, Aval((), canonical_dtype(int)))
        x = fill(0.0, Aval((columns, right.shape[1]), a.dtype))
        x, s, rank = lift(x), lift(s), lift(rank)
    else:
        eps = float(jnp.finfo(own).eps)
        if rcond is None:
            limit = lift(fill(eps * max(rows, columns), Aval((), own)))
        else:
            limit = retype(lift(rcond), own)
            limit = stop_gradient(where(limit < 0, eps, limit))
        s = svd(a)[1]
        rank = red.sum((s > 0) & (s >= limit * s[0]))
        # pinv takes what is above its limit, lstsq what is not below.
        x = fit.lstsq(a, inverse.pinv(stop_gradient(a), limit * (1.0 - eps)), right)
    if numpy_resid and (rows <= columns or int(rank) < columns):
        residuals = lift(fill(0.0, Aval((0,), own)))
    else:
        residuals = norm(right - dot(a, x), axis=0) ** 2
    return (x if b.ndim == 2 else ravel(x)), residuals, rank, s


# -- determinants


@public(jnp.linalg.det)
def det(a: Any) -> Any:
    """`jax.numpy.linalg.det`, on tracers too; its gradient is the cofactor matrix, also of singular matrices."""
    x = matrices(a)
    require_matrices("det", x.aval, square=True)
    n = x.shape[-1]
    if n > 3:
        return determinant.det(x, lu.fixed_factors(x))
    if not n:
        return lift(fill(1.0, x.aval.reshaped(x.shape[:-2])))
    rows = [[x[..., i, j] for j in range(n)] for i in range(n)]
    return _expanded(rows)


def _expanded(rows: list[list[Any]]) -> Any:
    """Laplace's expansion: of small matrices it is cheapest, and a polynomial, so all its derivatives are right."""
    if len(rows) == 1:
        return rows[0][0]
    if len(rows) == 2:
        (a, b), (c, d) = rows
        return a * d - b * c
    (a, b, c), first, second = rows[0], rows[1], rows[2]
    minors = [_expanded([[r[j] for j in range(3) if j != k] for r in (first, second)]) for k in range(3)]
    return a * minors[0] - b * minors[1] + c * minors[2]


@public(jnp.linalg.slogdet)
def slogdet(a: Any, *, method: str | None = None) -> SlogdetResult:
    """`jax.numpy.linalg.slogdet`, on tracers too, by LU factors whatever the `method`.

    A singular matrix has sign 0, logarithm -inf, and no finite gradient.
    """
    if method not in (None, "lu", "qr"):
        raise ArgumentError(f"slogdet has the methods 'lu' (None) and 'qr', got {method!r}.")
    x = matrices(a)
    require_matrices("slogdet", x.aval, square=True)
    return SlogdetResult(*determinant.slogdet(x, lu.fixed_factors(x)))
