"""The QR factorization."""

from __future__ import annotations

from typing import Any

from ...ir.graph import Aval
from ...ir.primitive import Primitive, Refused
from ...trace.builder import bind
from ..arith import add, neg, sub
from ..costs import tall
from . import matrix as m
from .triangular import triangular_solve


def qr(a: Any, *, full: bool = False) -> tuple[Any, Any]:
    """q with orthonormal columns and r upper triangular, q·r = a, for matrices m×n with k = min(m, n).

    `full`: q is m×m and r is m×n, instead of m×k and k×n. The derivative needs the first k columns of a independent.
    """
    return bind(qr_p, a, full=bool(full))  # type: ignore[return-value]


def _infer(a: Aval, *, full: bool) -> tuple[Aval, Aval]:
    m.require_matrices("qr", a)
    *lead, rows, columns = a.shape
    k = rows if full else min(rows, columns)
    return a.reshaped((*lead, rows, k)), a.reshaped((*lead, k, columns))


def _jvp(xs, tangents, *, full):
    """Of the first k columns: q₁ᴴ da r⁻¹ = q₁ᴴ dq₁ + dr r⁻¹, a skew-Hermitian and an upper triangular matrix.

    The latter's diagonal is real. What dq has outside of the columns of q₁ turns the other columns of a full q against
    it. The other columns of r are qᴴ a.
    """
    (a,), (da,) = xs, tangents
    q, r = qr(a, full=full)
    rows, columns = a.shape[-2:]
    k = min(rows, columns)
    q1 = m.columns_of(q, 0, k)
    square = m.columns_of(m.rows_of(r, 0, k), 0, k)
    first = m.columns_of(da, 0, k)
    moved = triangular_solve(square, first, left=False, lower=False)
    inside = m.dot(m.adjoint(q1), moved)
    below = m.lower(inside, -1)
    turn = sub(below, m.adjoint(below))
    if a.dtype.kind == "c":
        # Twice the skew part is x - xᴴ: on the diagonal the imaginary part, once.
        turn = m.on_diagonal(turn, m.half(sub(inside, m.adjoint(inside))))
    grow = sub(inside, turn)
    dq = sub(moved, m.dot(q1, grow))
    if full and rows > k:
        q2 = m.columns_of(q, k, rows)
        dq = m.beside(dq, neg(m.dot(q1, m.adjoint(m.dot(m.adjoint(q2), dq)))))
    dr = m.dot(grow, square)
    if columns > k:
        rest, drest = (m.columns_of(x, k, columns) for x in (a, da))
        dr = m.beside(dr, add(m.dot(m.adjoint(dq), rest), m.dot(m.adjoint(q), drest)))
    if full and rows > k:
        dr = m.above(dr, m.zeros(dr, rows - k, columns))
    return (q, r), (dq, dr)


qr_p = Primitive(
    name="qr",
    infer=_infer,
    emit=lambda a, *, full: f"jnp.linalg.qr({a}{', mode=' + repr('complete') if full else ''})",
    jvp=_jvp,
    transpose=Refused("qr is not linear; only linear equations are transposed"),
    batch=m.batch_stacks(lambda: qr_p),
    cost=tall(lambda m, n: 4 * m * n**2 - 4 / 3 * n**3),
)
