"""Eigenvalues and eigenvectors, of Hermitian matrices and of any.

The derivative of an eigenvector divides by the differences of its eigenvalue to the others. Where two are equal the
factor 1/(λi - λj) counts as 0: what depends on the eigenvalues only, and treats equal ones alike (a trace of f(a)), has
its right first derivative there. That of the vectors themselves does not exist there.
"""

from __future__ import annotations

from typing import Any

from ...ir.graph import Aval
from ...ir.primitive import Primitive, Refused
from ...trace.builder import bind
from ..arith import abs, mul, reciprocal, sub
from ..compare import eq, select
from ..convert import complex, conj, imag, part_dtype
from ..costs import of_matrix
from ..operands import fill, zeros_like
from ..reduce import argmax, pick, reduce_sum
from . import matrix as m
from .lu import fixed_factors, solve


def eigh(a: Any, *, lower: bool = True) -> tuple[Any, Any]:
    """Eigenvalues in ascending order (..., n), and the eigenvectors as columns, of Hermitian matrices.

    `lower`: which triangle is read. The derivative takes a's tangent for Hermitian too.
    """
    return bind(eigh_p, a, lower=bool(lower))  # type: ignore[return-value]


def inverse_differences(x: Any, y: Any) -> Any:
    """1/(x[j] - y[i]) in row i and column j, for vectors (..., n); 0 where they are equal."""
    n = x.shape[-1]
    gap = sub(m.across(x, n), m.down(y, n))
    same = eq(gap, zeros_like(gap))
    return select(same, zeros_like(gap), reciprocal(select(same, fill(1.0, gap.aval), gap)))


def _eigh_infer(a: Aval, *, lower: bool) -> tuple[Aval, Aval]:
    m.require_matrices("eigh", a, square=True)
    return Aval(a.shape[:-1], part_dtype(a.dtype)), Aval(a.shape, a.dtype)


def _eigh_jvp(xs, tangents, *, lower):
    """dλ = diag(vᴴ da v), dv = v (F ∘ vᴴ da v) with F[i, j] = 1/(λj - λi)."""
    w, v = eigh(*xs, lower=lower)
    moved = m.dot(tangents[0], v)
    dw = reduce_sum(m.real_part(mul(m.conjugate(v), moved)), axes=(v.ndim - 2,))
    dv = m.dot(v, mul(m.like(inverse_differences(w, w), v), m.dot(m.adjoint(v), moved)))
    return (w, v), (dw, dv)


eigh_p = Primitive(
    name="eigh",
    infer=_eigh_infer,
    emit=lambda a, *, lower: f"jnp.linalg.eigh({a}, UPLO={'L' if lower else 'U'!r}, symmetrize_input=False)",
    jvp=_eigh_jvp,
    transpose=Refused("eigh is not linear; only linear equations are transposed"),
    batch=m.batch_stacks(lambda: eigh_p),
    cost=of_matrix(lambda n, _: 9 * n**3),
)


# -- any square matrix


def eig(a: Any) -> tuple[Any, Any]:
    """Eigenvalues (..., n) in no order, and eigenvectors as columns of length 1 whose largest element is real."""
    return bind(eig_p, a)  # type: ignore[return-value]


def _eig_infer(a: Aval) -> tuple[Aval, Aval]:
    m.require_matrices("eig", a, square=True)
    dtype = a.dtype if a.dtype.kind == "c" else {"float32": "complex64", "float64": "complex128"}[a.dtype.name]
    out = a.retyped(dtype)
    return out.reshaped(a.shape[:-1]), out


def _eig_jvp(xs, tangents):
    """dλ = diag(v⁻¹ da v), dv = v (F ∘ v⁻¹ da v + a diagonal that keeps lengths, and the largest elements real)."""
    w, v = eig(*xs)
    da = m.like(tangents[0], v)
    inside = solve(v, fixed_factors(v), m.dot(da, v))
    dw = m.diagonal(inside)
    dv = m.dot(v, mul(inverse_differences(w, w), inside))
    rows = v.ndim - 2
    size = abs(v)
    k = argmax(size, axis=rows)
    stretch = m.real_part(reduce_sum(mul(conj(v), dv), axes=(rows,)))
    at_top, top = pick(dv, k, axis=rows), pick(v, k, axis=rows)
    turn = imag(mul(at_top, reciprocal(select(eq(top, zeros_like(top)), fill(1.0, top.aval), top))))
    dv = sub(dv, mul(v, m.across(complex(stretch, turn), v.shape[-1])))
    return (w, v), (dw, dv)


eig_p = Primitive(
    name="eig",
    infer=_eig_infer,
    emit="jnp.linalg.eig({})".format,
    jvp=_eig_jvp,
    transpose=Refused("eig is not linear; only linear equations are transposed"),
    batch=m.batch_stacks(lambda: eig_p),
    cost=of_matrix(lambda n, _: 25 * n**3),
)


def eigvals(a: Any) -> Any:
    """The eigenvalues alone, in half the time."""
    return bind(eigvals_p, a)[0]


def _eigvals_jvp(xs, tangents):
    w, v = eig(*xs)
    inside = solve(v, fixed_factors(v), m.dot(m.like(tangents[0], v), v))
    return (w,), (m.diagonal(inside),)


eigvals_p = Primitive(
    name="eigvals",
    infer=lambda a: _eig_infer(a)[:1],
    emit="jnp.linalg.eigvals({})".format,
    jvp=_eigvals_jvp,
    transpose=Refused("eigvals is not linear; only linear equations are transposed"),
    batch=m.batch_stacks(lambda: eigvals_p),
    cost=of_matrix(lambda n, _: 10 * n**3),
)
