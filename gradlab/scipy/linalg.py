"""`gradlab.scipy.linalg`: what jax.scipy.linalg adds to gradlab.numpy.linalg, and its spelling of what stands there.

All take stacks of matrices too. `overwrite_a`, `check_finite` and their like are taken and mean nothing, as in JAX.
The derivative of `solve(assume_a="pos")` is that of the full matrix, as in JAX; that of `cholesky` takes it for
Hermitian. `schur`, `hessenberg`, `polar`, `funm` and `eigh_tridiagonal` are not here: write them with jax.scipy and
`gradlab.from_jax`.
"""

from __future__ import annotations

from typing import Any

import jax.scipy.linalg as jsl
import numpy as np
from jax.scipy.linalg import hilbert as hilbert
from jax.scipy.linalg import pascal as pascal

from ..ir.errors import ArgumentError, MissingRuleError, ShapeError
from ..numpy import linalg as nl
from ..numpy.dispatch import public
from ..numpy.linalg.decompositions import matrices
from ..numpy.linalg.solving import pair, with_columns
from ..numpy.manipulation import atleast_1d, atleast_2d, concatenate, flip
from ..numpy.promote import broadcast_shapes, lift, result_dtype, retype, stretch
from ..ops import convert, shape
from ..ops.linalg import cholesky as chol
from ..ops.linalg import functions
from ..ops.linalg import lu as factors
from ..ops.linalg.matrix import (
    adjoint,
    columns_of,
    conjugate,
    identity,
    on_diagonal,
    require_matrices,
    rows_of,
    upper,
)
from ..ops.linalg.matrix import (
    lower as lower_part,
)
from ..ops.linalg.triangular import triangular_solve

_TRANS = {0: "N", 1: "T", 2: "C", "N": "N", "T": "T", "C": "C"}


def _trans(trans: Any) -> str:
    if trans not in _TRANS:
        raise ArgumentError(f"trans is 0 ('N'), 1 ('T') or 2 ('C'); got {trans!r}.")
    return _TRANS[trans]


# -- triangular systems


@public(jsl.solve_triangular)
def solve_triangular(a: Any, b: Any, trans: Any = 0, lower: bool = False, unit_diagonal: bool = False,
                     overwrite_b: bool = False, debug: Any = None, check_finite: bool = True) -> Any:  # fmt: skip
    """`jax.scipy.linalg.solve_triangular`, on tracers too."""
    a, b = pair(a, b)
    require_matrices("solve_triangular", a.aval, square=True)
    how = {"lower": lower, "trans": _trans(trans), "unit": unit_diagonal}
    return with_columns("solve_triangular", a, b, a.shape[-1], lambda a, b: triangular_solve(a, b, **how))


# -- Cholesky


@public(jsl.cholesky)
def cholesky(a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """`jax.scipy.linalg.cholesky`, on tracers too: the upper factor unless `lower`, of a matrix whose half is read."""
    x = matrices(a)
    require_matrices("cholesky", x.aval, square=True)
    factor = chol.cholesky(x if lower else adjoint(x))
    return factor if lower else adjoint(factor)


@public(jsl.cho_factor)
def cho_factor(a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> tuple[Any, bool]:
    """`jax.scipy.linalg.cho_factor`, on tracers too: what `cho_solve` takes."""
    return cholesky(lift(a), lower), lower


@public(jsl.cho_solve)
def cho_solve(c_and_lower: tuple[Any, bool], b: Any, overwrite_b: bool = False, check_finite: bool = True) -> Any:
    """`jax.scipy.linalg.cho_solve`, on tracers too."""
    c, lower = c_and_lower
    c, b = pair(c, b)
    require_matrices("cho_solve", c.aval, square=True)

    def system(c: Any, b: Any) -> Any:
        first, second = ("N", "C") if lower else ("C", "N")
        return triangular_solve(c, triangular_solve(c, b, lower=lower, trans=first), lower=lower, trans=second)

    return with_columns("cho_solve", c, b, c.shape[-1], system)


# -- general systems


@public(jsl.solve)
def solve(a: Any, b: Any, lower: bool = False, overwrite_a: bool = False, overwrite_b: bool = False,
          debug: bool = False, check_finite: bool = True, assume_a: str = "gen") -> Any:  # fmt: skip
    """`jax.scipy.linalg.solve`, on tracers too; with `assume_a` "pos" by the Cholesky factor, once for all derivatives.

    With "pos" the matrix is read in one triangle, and differentiated as a whole.
    """
    if assume_a not in ("gen", "sym", "her", "pos"):
        raise ArgumentError(f"assume_a is 'gen', 'sym', 'her' or 'pos'; got {assume_a!r}.")
    if assume_a != "pos":
        return nl.solve(lift(a), b)
    a, b = pair(a, b)
    require_matrices("solve", a.aval, square=True)

    def system(a: Any, b: Any) -> Any:
        held = convert.stop_gradient(a)
        return chol.positive_solve(a, chol.cholesky(held if lower else adjoint(held)), b)

    return with_columns("solve", a, b, a.shape[-1], system)


@public(jsl.lu_factor)
def lu_factor(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> tuple[Any, Any]:
    """`jax.scipy.linalg.lu_factor`, on tracers too: what `lu_solve` takes."""
    found = factors.lu(matrices(a))
    return found.lu, found.pivots


@public(jsl.lu_solve)
def lu_solve(lu_and_piv: tuple[Any, Any], b: Any, trans: int = 0, overwrite_b: bool = False,
             check_finite: bool = True) -> Any:  # fmt: skip
    """`jax.scipy.linalg.lu_solve`, on tracers too."""
    packed, pivots = lu_and_piv
    packed, b = pair(packed, b)
    require_matrices("lu_solve", packed.aval, square=True)
    n, how = packed.shape[-1], _trans(trans)
    order = factors.pivots_to_permutation(lift(pivots), size=n)
    rows = factors.reordered
    if packed.ndim == 2 and b.ndim > 2:
        raise ShapeError(f"lu_solve of one matrix takes a vector or a matrix, got {b.aval}. Map it with gradlab.vmap.")

    def system(packed: Any, b: Any) -> Any:
        triangles = ({"lower": True, "unit": True}, {"lower": False})
        x = rows(b, order) if how == "N" else b
        for triangle in triangles if how == "N" else triangles[::-1]:
            x = triangular_solve(packed, x, trans=how, **triangle)
        return x if how == "N" else rows(x, factors.inverted(order))

    return with_columns("lu_solve", packed, b, n, system)


@public(jsl.lu)
def lu(a: Any, permute_l: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> tuple[Any, ...]:
    """`jax.scipy.linalg.lu`, on tracers too: p, l and u, or p·l and u with `permute_l`."""
    x = matrices(a)
    found = factors.lu(x)
    rows, columns = x.shape[-2:]
    k = min(rows, columns)
    left = on_diagonal(lower_part(columns_of(found.lu, 0, k)), 1.0)
    right = upper(rows_of(found.lu, 0, k))
    back = factors.inverted(found.permutation)
    if permute_l:
        return factors.reordered(left, back), right
    return factors.reordered(identity(x, rows), back), left, right


# -- the names that gradlab.numpy.linalg has too, as scipy spells them


@public(jsl.inv)
def inv(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """`jax.scipy.linalg.inv`, on tracers too."""
    return nl.inv(lift(a))


@public(jsl.det)
def det(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """`jax.scipy.linalg.det`, on tracers too."""
    return nl.det(lift(a))


@public(jsl.svd)
def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, overwrite_a: bool = False,
        check_finite: bool = True, lapack_driver: str = "gesdd") -> Any:  # fmt: skip
    """`jax.scipy.linalg.svd`, on tracers too."""
    found = nl.svd(lift(a), full_matrices, compute_uv)
    return tuple(found) if compute_uv else found


@public(jsl.qr)
def qr(a: Any, overwrite_a: bool = False, lwork: Any = None, mode: str = "full", pivoting: bool = False,
       check_finite: bool = True) -> Any:  # fmt: skip
    """`jax.scipy.linalg.qr`, on tracers too, without pivoting."""
    if pivoting:
        raise MissingRuleError("qr with pivoting has no derivative. Reorder the columns first, and take qr of those.")
    if mode not in ("full", "r", "economic"):
        raise ArgumentError(f"qr has the modes 'full', 'economic' and 'r', got {mode!r}.")
    found = tuple(nl.qr(lift(a), "reduced" if mode == "economic" else "complete"))
    return found[1:] if mode == "r" else found


@public(jsl.eigh)
def eigh(a: Any, b: Any = None, lower: bool = True, eigvals_only: bool = False, overwrite_a: bool = False,
         overwrite_b: bool = False, turbo: bool = True, eigvals: None = None, type: int = 1,
         check_finite: bool = True) -> Any:  # fmt: skip
    """`jax.scipy.linalg.eigh`, on tracers too, of the ordinary eigenvalue problem."""
    if b is not None or type != 1 or eigvals is not None:
        raise MissingRuleError(
            "eigh solves a·v = λ·v for all λ. For a·v = λ·b·v take l = cholesky(b, lower=True) and "
            "eigh of l⁻¹·a·l⁻ᴴ (solve_triangular)."
        )
    found = nl.eigh(lift(a), "L" if lower else "U")
    return found[0] if eigvals_only else tuple(found)


# -- functions of matrices


@public(jsl.expm)
def expm(A: Any, *, upper_triangular: bool = False, max_squarings: int = 16) -> Any:
    """`jax.scipy.linalg.expm`, on tracers too."""
    return functions.expm(matrices(A), upper_triangular=upper_triangular, max_squarings=max_squarings)


@public(jsl.expm_frechet)
def expm_frechet(A: Any, E: Any, *, method: str | None = None, compute_expm: bool = True) -> Any:
    """`jax.scipy.linalg.expm_frechet`, on tracers too, by JAX's default `method`."""
    a, e = pair(A, E)
    moved = functions.expm_frechet(a, e)
    return (functions.expm(a), moved) if compute_expm else moved


@public(jsl.sqrtm)
def sqrtm(A: Any, blocksize: int = 1) -> Any:
    """`jax.scipy.linalg.sqrtm`, on tracers too: complex; on CPU only, as JAX's."""
    x = matrices(A)
    if x.dtype.kind != "c":
        x = convert.convert(x, dtype=np.result_type(x.dtype, np.complex64))
    return functions.sqrtm(x)


@public(jsl.solve_sylvester)
def solve_sylvester(A: Any, B: Any, C: Any, *, method: str = "schur", tol: float = 1e-08) -> Any:
    """`jax.scipy.linalg.solve_sylvester`, on tracers too: X of A·X + X·B = C; on CPU only, as JAX's `method`."""
    if method != "schur":
        raise ArgumentError(f"solve_sylvester of traced matrices knows the method 'schur', got {method!r}.")
    xs = [lift(x) for x in (A, B, C)]
    dtype, weak = result_dtype([x.aval for x in xs], inexact=True)
    return functions.sylvester(*[retype(x, dtype, weak) for x in xs])


# -- matrices made of vectors and blocks


@public(jsl.block_diag)
def block_diag(*arrs: Any) -> Any:
    """`jax.scipy.linalg.block_diag`, on tracers too."""
    xs = [lift(x) for x in arrs]
    dtype, weak = result_dtype([x.aval for x in xs])
    if any(x.ndim > 2 for x in xs):
        raise ShapeError(f"block_diag takes matrices, vectors and numbers, got {', '.join(str(x.aval) for x in xs)}.")
    xs = [atleast_2d(retype(x, dtype, weak)) for x in xs]
    total, start, rows = sum(x.shape[1] for x in xs), 0, []
    for x in xs:
        rest = total - start - x.shape[1]
        rows.append(shape.pad(x, np.zeros((), dtype).item(), (0, start), (0, rest)))
        start += x.shape[1]
    return concatenate(rows, 0)


@public(jsl.toeplitz)
def toeplitz(c: Any, r: Any = None) -> Any:
    """`jax.scipy.linalg.toeplitz`, on tracers too: constant along diagonals, c the first column and r the first row."""
    c = atleast_1d(lift(c))
    c, r = _joined(c, conjugate(c) if r is None else atleast_1d(lift(r)))
    values = concatenate([flip(r[..., 1:], -1), c], -1)
    return _diagonals(values, c.shape[-1], r.shape[-1], 1)


@public(jsl.hankel)
def hankel(c: Any, r: Any = None) -> Any:
    """`jax.scipy.linalg.hankel`, on tracers too: constant along anti-diagonals, c first column and r the last row."""
    c = atleast_1d(lift(c))
    c, r = _joined(c, c * 0 if r is None else atleast_1d(lift(r)))
    return _diagonals(concatenate([c, r[..., 1:]], -1), c.shape[-1], r.shape[-1], -1)


def _joined(c: Any, r: Any) -> tuple[Any, Any]:
    """Vectors of one dtype and the same leading axes."""
    dtype, weak = result_dtype([c.aval, r.aval])
    lead = broadcast_shapes([c.shape[:-1], r.shape[:-1]])
    return tuple(stretch(retype(x, dtype, weak), (*lead, x.shape[-1])) for x in (c, r))  # type: ignore[return-value]


def _diagonals(values: Any, rows: int, columns: int, sign: int) -> Any:
    i, j = np.ogrid[:rows, :columns]
    return values[..., i - j + columns - 1 if sign > 0 else i + j]
