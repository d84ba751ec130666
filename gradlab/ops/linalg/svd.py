"""The singular value decomposition.

Where two singular values are equal the factor 1/(sj² - si²) of a derivative counts as 0, and so does 1/s where s is 0:
what depends on the values only, and treats equal ones alike, has its right first derivative there.
"""

from __future__ import annotations

from typing import Any

from ...ir.graph import Aval
from ...ir.primitive import Primitive, Refused
from ...trace.builder import bind
from ..arith import add, mul, neg, reciprocal, sub
from ..compare import eq, select
from ..convert import part_dtype
from ..costs import tall
from ..operands import fill, zeros_like
from ..reduce import reduce_sum
from . import matrix as m


def svd(a: Any, *, full: bool = False) -> tuple[Any, Any, Any]:
    """u, s and vᴴ with u·diag(s)·vᴴ = a, s (..., k) descending, for matrices m×n with k = min(m, n).

    `full`: u is m×m and vᴴ is n×n, instead of m×k and k×n.
    """
    return bind(svd_p, a, full=bool(full))  # type: ignore[return-value]


def _infer(a: Aval, *, full: bool) -> tuple[Aval, Aval, Aval]:
    m.require_matrices("svd", a)
    *lead, rows, columns = a.shape
    k = min(rows, columns)
    u = a.reshaped((*lead, rows, rows if full else k))
    return u, Aval((*lead, k), part_dtype(a.dtype)), a.reshaped((*lead, columns if full else k, columns))


def _inverse(x: Any) -> Any:
    """1/x, and 0 where x is 0."""
    none = eq(x, zeros_like(x))
    return select(none, zeros_like(x), reciprocal(select(none, fill(1.0, x.aval), x)))


def _jvp(xs, tangents, *, full):
    """With x = uᴴ da v: ds = Re diag x, uᴴdu = F ∘ (x s + s xᴴ), vᴴdv = F ∘ (s x + xᴴ s), F[i, j] = 1/(sj² - si²).

    The diagonal of x may turn a pair of vectors (its imaginary part, which u is given); and a rectangular a moves the
    vectors of its longer side out of their space.
    """
    (a,), (da,) = xs, tangents
    u, s, vh = svd(a, full=full)
    rows, columns = a.shape[-2:]
    k = min(rows, columns)
    u1, v1h = m.columns_of(u, 0, k), m.rows_of(vh, 0, k)
    moved_v, moved_u = m.dot(da, m.adjoint(v1h)), m.dot(m.adjoint(u1), da)
    if rows >= columns:
        ds = reduce_sum(m.real_part(mul(m.conjugate(u1), moved_v)), axes=(a.ndim - 2,))
        x = m.dot(m.adjoint(u1), moved_v)
    else:
        ds = reduce_sum(m.real_part(mul(moved_u, m.conjugate(v1h))), axes=(a.ndim - 1,))
        x = m.dot(moved_u, m.adjoint(v1h))
    right, left = m.across(s, k), m.down(s, k)
    # The squares' difference as a product: it keeps its digits where the values are close.
    factor = m.like(_inverse(mul(add(right, left), sub(right, left))), a)
    right, left, xh = m.like(right, a), m.like(left, a), m.adjoint(x)
    uu = mul(factor, add(mul(x, right), mul(left, xh)))
    vv = mul(factor, add(mul(left, x), mul(xh, right)))
    inverse = m.like(_inverse(s), a)
    if a.dtype.kind == "c":
        skew = m.half(sub(x, xh))
        uu = m.on_diagonal(uu, mul(skew, m.across(inverse, k)))
    du, dv = m.dot(u1, uu), m.dot(m.adjoint(v1h), vv)
    if rows > k:
        du = _leave(du, u, u1, moved_v, inverse, full)
    if columns > k:
        dv = _leave(dv, m.adjoint(vh), m.adjoint(v1h), m.adjoint(moved_u), inverse, full)
    return (u, s, vh), (du, ds, m.adjoint(dv))


def _leave(du: Any, u: Any, u1: Any, moved: Any, inverse: Any, full: bool) -> Any:
    """du, with the part of `moved`/s that lies outside of the columns u1; the rest of a full u turns against it."""
    k = u1.shape[-1]
    if not full:
        outside = sub(moved, m.dot(u1, m.dot(m.adjoint(u1), moved)))
        return add(du, mul(outside, m.across(inverse, u1.shape[-2])))
    u2 = m.columns_of(u, k, u.shape[-1])
    turn = mul(m.dot(m.adjoint(u2), moved), m.across(inverse, u2.shape[-1]))
    return m.beside(add(du, m.dot(u2, turn)), neg(m.dot(u1, m.adjoint(turn))))


svd_p = Primitive(
    name="svd",
    infer=_infer,
    emit=lambda a, *, full: f"jnp.linalg.svd({a}{'' if full else ', full_matrices=False'})",
    jvp=_jvp,
    transpose=Refused("svd is not linear; only linear equations are transposed"),
    batch=m.batch_stacks(lambda: svd_p),
    cost=tall(lambda m, n: 6 * m * n**2 + 20 * n**3),
)


def svdvals(a: Any) -> Any:
    """The singular values alone, in less time."""
    return bind(svdvals_p, a)[0]


def _svdvals_jvp(xs, tangents):
    u, s, vh = svd(*xs)
    # Along the shorter side the sum is over fewer products.
    if xs[0].shape[-2] >= xs[0].shape[-1]:
        moved = mul(m.conjugate(u), m.dot(tangents[0], m.adjoint(vh)))
        ds = reduce_sum(m.real_part(moved), axes=(u.ndim - 2,))
    else:
        moved = mul(m.dot(m.adjoint(u), tangents[0]), m.conjugate(vh))
        ds = reduce_sum(m.real_part(moved), axes=(u.ndim - 1,))
    return (s,), (ds,)


svdvals_p = Primitive(
    name="svdvals",
    infer=lambda a: _infer(a, full=False)[1:2],
    emit="jnp.linalg.svd({}, compute_uv=False)".format,
    jvp=_svdvals_jvp,
    transpose=Refused("svdvals is not linear; only linear equations are transposed"),
    batch=m.batch_stacks(lambda: svdvals_p),
    cost=tall(lambda m, n: 4 * m * n**2 - 4 / 3 * n**3),
)
