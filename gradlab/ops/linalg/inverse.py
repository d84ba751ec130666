"""Inverses: the matrix that undoes a product, or comes nearest to it."""

from __future__ import annotations

from typing import Any

from ...ir.errors import ShapeError
from ...ir.graph import Aval
from ...ir.primitive import Primitive, Refused
from ...trace.builder import bind1
from ..arith import add, neg, sub
from ..convert import part_dtype
from ..costs import of_matrix, tall
from .matrix import adjoint, batch_stacks, dot, require_matrices


def inv(a: Any) -> Any:
    """a⁻¹, for square matrices."""
    return bind1(inv_p, a)


def _inv_infer(a: Aval) -> tuple[Aval]:
    require_matrices("inv", a, square=True)
    return (a,)


def _inv_jvp(xs, tangents):
    out = inv(*xs)
    return (out,), (neg(dot(dot(out, tangents[0]), out)),)


inv_p = Primitive(
    name="inv",
    infer=_inv_infer,
    emit="jnp.linalg.inv({})".format,
    jvp=_inv_jvp,
    transpose=Refused("inv is not linear; only linear equations are transposed"),
    batch=batch_stacks(lambda: inv_p),
    cost=of_matrix(lambda n, _: 2 * n**3),
)


def pinv(a: Any, rtol: Any, *, hermitian: bool = False) -> Any:
    """The pseudo-inverse; singular values up to `rtol` (...,) times the largest count as zero.

    The derivative is that among matrices of the same rank; on the others the pseudo-inverse is not continuous.
    """
    return bind1(pinv_p, a, rtol, hermitian=bool(hermitian))


def _pinv_infer(a: Aval, rtol: Aval, *, hermitian: bool) -> tuple[Aval]:
    require_matrices("pinv", a, square=hermitian)
    if rtol.shape != a.shape[:-2] or rtol.dtype != part_dtype(a.dtype):
        raise ShapeError(f"pinv of {a} needs rtol of shape {a.shape[:-2]} and the real dtype, got {rtol}.")
    return (a.reshaped((*a.shape[:-2], a.shape[-1], a.shape[-2])),)


def _pinv_jvp(xs, tangents, *, hermitian):
    """Golub and Pereyra 1973: dP = -P da P + P Pᴴ daᴴ (1 - a P) + (1 - P a) daᴴ Pᴴ P."""
    (a, rtol), da = xs, tangents[0]
    p = pinv(a, rtol, hermitian=hermitian)
    if da is None:
        return (p,), (None,)
    # The order in which no product is larger than the smaller side of a allows.
    product = _left_first if a.shape[-2] >= a.shape[-1] else _right_first
    ph, dah = adjoint(p), adjoint(da)
    left, right = product(p, ph, dah), product(dah, ph, p)
    out = sub(add(left, right), product(p, da, p))
    return (p,), (sub(out, add(product(left, a, p), product(p, a, right))),)


def _left_first(x: Any, y: Any, z: Any) -> Any:
    return dot(dot(x, y), z)


def _right_first(x: Any, y: Any, z: Any) -> Any:
    return dot(x, dot(y, z))


pinv_p = Primitive(
    name="pinv",
    infer=_pinv_infer,
    emit=lambda a, rtol, *, hermitian: f"jnp.linalg.pinv({a}, rtol={rtol}{', hermitian=True' if hermitian else ''})",
    jvp=_pinv_jvp,
    transpose=Refused("pinv is not linear; only linear equations are transposed"),
    batch=batch_stacks(lambda: pinv_p),
    cost=tall(lambda m, n: 8 * m * n**2 + 20 * n**3),
)
