"""The Cholesky factor of a positive definite matrix, and solutions by it."""

from __future__ import annotations

from typing import Any

from ...ir.errors import ShapeError
from ...ir.graph import Aval
from ...ir.primitive import Primitive, Refused
from ...trace.builder import bind1
from ..arith import neg, sub
from ..costs import of_matrix, solves
from .matrix import batch_stacks, conjugate, dot, half, lower, on_diagonal, require_matrices, require_right_side
from .triangular import triangular_solve


def cholesky(a: Any) -> Any:
    """The lower triangular L with L·Lᴴ = a, which is Hermitian: the lower triangle is read; NaN if not definite.

    Its derivative takes a's tangent for Hermitian too.
    """
    return bind1(cholesky_p, a)


def _infer(a: Aval) -> tuple[Aval]:
    require_matrices("cholesky", a, square=True)
    return (a,)


def _jvp(xs, tangents):
    """L⁻¹ dA L⁻ᴴ = L⁻¹ dL + (L⁻¹ dL)ᴴ, whose first term is lower triangular (Murray, arXiv:1602.07527)."""
    (a,), (da,) = xs, tangents
    factor = cholesky(a)
    inside = triangular_solve(factor, da, left=False, lower=True, trans="C")
    inside = lower(triangular_solve(factor, inside, lower=True))
    return (factor,), (dot(factor, on_diagonal(inside, half(inside))),)


cholesky_p = Primitive(
    name="cholesky",
    infer=_infer,
    emit="lax.linalg.cholesky({}, symmetrize_input=False)".format,
    jvp=_jvp,
    transpose=Refused("cholesky is not linear; only linear equations are transposed"),
    batch=batch_stacks(lambda: cholesky_p),
    cost=of_matrix(lambda n, _: n**3 / 3),
)


def positive_solve(a: Any, factor: Any, b: Any, *, conjugated: bool = False) -> Any:
    """X of a·X = b for Hermitian positive definite a with the lower Cholesky factor `factor`.

    The factor is a constant to every derivative; that belongs to `a`, of which all elements count. `conjugated`: of
    conj(a)·X = b.
    """
    return bind1(positive_solve_p, a, factor, b, conjugated=bool(conjugated) and a.dtype.kind == "c")


def _positive_infer(a: Aval, factor: Aval, b: Aval, *, conjugated: bool) -> tuple[Aval]:
    require_matrices("solve", a, square=True)
    require_right_side("solve", a, b, -2)
    if factor[:2] != a[:2]:
        raise ShapeError(f"positive_solve needs the factor of {a}, got {factor}.")
    return (b,)


def _positive_emit(a, factor, b, *, conjugated):
    # A real factor has a transpose only, which says the same.
    bar, both = (", conjugate_a=True", "") if conjugated else ("", ", conjugate_a=True")
    inner = f"lax.linalg.triangular_solve({factor}, {b}, left_side=True, lower=True{bar})"
    outer = f"left_side=True, lower=True, transpose_a=True{both if a.aval.dtype.kind == 'c' else ''}"
    return f"lax.linalg.triangular_solve({factor}, {inner}, {outer})"


def _positive_jvp(xs, tangents, *, conjugated):
    a, factor, _ = xs
    da, _, db = tangents
    x = positive_solve(*xs, conjugated=conjugated)
    if da is not None:
        moved = dot(conjugate(da) if conjugated else da, x)
        db = neg(moved) if db is None else sub(db, moved)
    return (x,), (None if db is None else positive_solve(a, factor, db, conjugated=conjugated),)


positive_solve_p = Primitive(
    name="positive_solve",
    infer=_positive_infer,
    emit=_positive_emit,
    jvp=_positive_jvp,
    transpose=lambda cts, active, a, factor, b, *, conjugated: (
        None, None, positive_solve(a, factor, cts[0], conjugated=not conjugated)
    ),
    batch=batch_stacks(lambda: positive_solve_p),
    cost=solves(lambda n: 0, at=2),
)  # fmt: skip
