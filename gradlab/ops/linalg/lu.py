"""LU factors, and the solutions made of them.

`solve` takes a matrix together with its factors, which are constants to every derivative: that belongs to the matrix.
So the reverse pass solves with the factors of the forward pass, and none is differentiated that nobody asked for.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ...ir.errors import ShapeError
from ...ir.graph import Aval
from ...ir.primitive import Primitive, Refused
from ...trace.builder import bind, bind1
from ..arith import add, neg, sub
from ..convert import stop_gradient
from ..costs import MOVES, solves, tall
from ..families import batch_size, no_derivative, with_axis
from ..index import gather
from ..shape import iota, merge_axes, moveaxis, reshape
from ..sort import argsort
from . import matrix as m
from .triangular import triangular_solve

INT32 = np.dtype("int32")


class Factors(NamedTuple):
    """P·a = L·U: `lu` (..., m, n) holds U and, below its diagonal, L without its ones; row i of P·a is row
    `permutation[i]` of a; it came about by swapping row i with row `pivots[i]`, for each i in turn.
    """

    lu: Any
    pivots: Any
    permutation: Any


# -- the factors


def lu(a: Any) -> Factors:
    """The LU factors of matrices, by partial pivoting."""
    return Factors(*bind(lu_p, a))


def fixed_factors(a: Any) -> Factors:
    """The LU factors, constant to every derivative: for `solve`, `det`, `slogdet`."""
    return lu(stop_gradient(a))


def _lu_infer(a: Aval) -> tuple[Aval, ...]:
    m.require_matrices("lu", a)
    *lead, rows, columns = a.shape
    return a, Aval((*lead, min(rows, columns)), INT32), Aval((*lead, rows), INT32)


def _padded(x: Any, n: int) -> Any:
    """x, with rows or columns of the identity matrix put behind until it has n of each."""
    if x.shape[-1] < n:
        rest = n - x.shape[-1]
        x = m.beside(x, m.above(m.zeros(x, x.shape[-2] - rest, rest), m.identity(x, rest)))
    if x.shape[-2] < n:
        rest = n - x.shape[-2]
        x = m.above(x, m.beside(m.zeros(x, rest, n - rest), m.identity(x, rest)))
    return x


def _lu_jvp(xs, tangents):
    """L⁻¹·P dA·U⁻¹ = L⁻¹ dL + dU U⁻¹: strictly lower plus upper triangular (de Hoog, Anderssen, Lukas 2011)."""
    (a,), (da,) = xs, tangents
    found = lu(a)
    rows, columns = a.shape[-2:]
    k = min(rows, columns)
    moved = reordered(da, found.permutation)
    if k == 0:
        return found, (moved, None, None)
    lower = _padded(m.on_diagonal(m.lower(m.columns_of(found.lu, 0, k)), 1.0), rows)
    upper = _padded(m.upper(m.rows_of(found.lu, 0, k)), columns)
    inside = triangular_solve(lower, moved, lower=True, unit=True)
    inside = triangular_solve(upper, inside, left=False, lower=False)
    dlu = add(m.dot(lower, m.lower(inside, -1)), m.dot(m.upper(inside), upper))
    return found, (dlu, None, None)


def reordered(x: Any, order: Any) -> Any:
    """The rows of each matrix in the order given for it: row i of the result is row `order[..., i]` of x."""
    lead = order.ndim - 1
    if not lead:
        return gather(x, order, axes=(0,), mode="promise_in_bounds")
    positions = [iota(INT32, order.shape, i) for i in range(lead)]
    return gather(x, *positions, order, axes=range(lead + 1), mode="promise_in_bounds")


def inverted(order: Any) -> Any:
    """The permutations that undo these."""
    return argsort(order, axis=order.ndim - 1)


lu_p = Primitive(
    name="lu",
    infer=_lu_infer,
    emit="lax.linalg.lu({})".format,
    jvp=_lu_jvp,
    transpose=Refused("lu is not linear; only linear equations are transposed"),
    batch=m.batch_stacks(lambda: lu_p),
    cost=tall(lambda m, n: m * n**2 - n**3 / 3),
)


def pivots_to_permutation(pivots: Any, *, size: int) -> Any:
    """The order of `size` rows after the swaps that `pivots` says."""
    return bind1(pivots_to_permutation_p, pivots, size=size)


pivots_to_permutation_p = no_derivative(
    "pivots_to_permutation",
    infer=lambda pivots, *, size: (pivots.reshaped((*pivots.shape[:-1], size)),),
    emit=lambda pivots, *, size: f"lax.linalg.lu_pivots_to_permutation({pivots}, {size})",
    batch=m.batch_stacks(lambda: pivots_to_permutation_p),
    cost=MOVES,
    scalars=False,
)


# -- solve


def solve(a: Any, factors: Factors, b: Any, *, trans: str = "N") -> Any:
    """X of a·X = b (or aᵀ·X = b with `trans` "T", aᴴ·X = b with "C"), for matrices b."""
    trans = "T" if trans == "C" and a.dtype.kind != "c" else trans
    return bind1(solve_p, a, factors.lu, factors.permutation, b, trans=trans)


def _solve_infer(a: Aval, lu: Aval, permutation: Aval, b: Aval, *, trans: str) -> tuple[Aval]:
    m.require_matrices("solve", a, square=True)
    m.require_right_side("solve", a, b, -2)
    if lu[:2] != a[:2] or permutation.shape != a.shape[:-1]:
        raise ShapeError(f"solve needs the factors of {a}, got {lu} and a permutation {permutation}.")
    return (Aval(b.shape, b.dtype, a.weak and b.weak),)


def _reordered_text(x, ndim, order):
    return f"{x}[{order}]" if ndim == 2 else f"jnp.take_along_axis({x}, {order}[..., None], axis=-2)"


_FLAGS = {"N": "", "T": ", transpose_a=True", "C": ", transpose_a=True, conjugate_a=True", "R": ", conjugate_a=True"}
_TRIANGLES = (", lower=True, unit_diagonal=True", "")


def _solve_emit(a, lu, permutation, b, *, trans):
    ndim, first = b.aval.ndim, trans in "NR"
    x = _reordered_text(b, ndim, permutation) if first else b
    for triangle in _TRIANGLES if first else _TRIANGLES[::-1]:
        x = f"lax.linalg.triangular_solve({lu}, {x}, left_side=True{triangle}{_FLAGS[trans]})"
    return x if first else _reordered_text(x, ndim, f"jnp.argsort({permutation})")


_OP = {"N": lambda a: a, "T": m.transpose, "C": m.adjoint, "R": m.conjugate}
_TRANSPOSED = {"N": "T", "T": "N", "C": "R", "R": "C"}  # R, the conjugate alone, comes up as the transpose of C


def _solve_jvp(xs, tangents, *, trans):
    a, lu, permutation, b = xs
    da, _, _, db = tangents
    x = bind1(solve_p, *xs, trans=trans)
    if da is not None:
        moved = m.dot(_OP[trans](da), x)
        db = neg(moved) if db is None else sub(db, moved)
    return (x,), (None if db is None else bind1(solve_p, a, lu, permutation, db, trans=trans),)


def _solve_transpose(cts, active, a, lu, permutation, b, *, trans):
    return None, None, None, bind1(solve_p, a, lu, permutation, cts[0], trans=_TRANSPOSED[trans])


def _solve_batch(xs, dims, *, trans):
    *of_a, b = xs
    *a_dims, d = dims
    if a_dims == [None] * 3 and of_a[0].ndim == 2:
        # One matrix for all of the batch: its right-hand sides stand side by side.
        b = moveaxis(b, d, 1)
        wide, _ = merge_axes(b, (1, 2))
        return (reshape(bind1(solve_p, *of_a, wide, trans=trans), b.shape),), (1,)
    size = batch_size(xs, dims)
    return bind(solve_p, *[with_axis(x, i, 0, size) for x, i in zip(xs, dims, strict=True)], trans=trans), (0,)


solve_p = Primitive(
    name="solve",
    infer=_solve_infer,
    emit=_solve_emit,
    jvp=_solve_jvp,
    transpose=_solve_transpose,
    batch=_solve_batch,
    cost=solves(lambda n: 0, at=3),
)
