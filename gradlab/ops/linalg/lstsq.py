"""Least squares: the pseudo-inverse times right-hand sides, without the derivative of the pseudo-inverse.

`lstsq` takes a matrix together with its pseudo-inverse, which is constant to every derivative: that belongs to the
matrix. So a derivative is some more products with the right-hand sides, and none of matrix with matrix.
"""

from __future__ import annotations

import math
from typing import Any

from ...ir.errors import ShapeError
from ...ir.graph import Aval
from ...ir.primitive import Primitive
from ...ir.work import Work
from ...trace.builder import bind1
from ..arith import add, neg, sub
from ..costs import is_complex
from . import matrix as m

# What is done to the matrix; R, the conjugate alone, comes up as the transpose of C.
_OP = {"N": lambda a: a, "T": m.transpose, "C": m.adjoint, "R": m.conjugate}
_TEXT = {"N": "{}", "T": "jnp.matrix_transpose({})", "C": "jnp.conj(jnp.matrix_transpose({}))", "R": "jnp.conj({})"}
_TRANSPOSED = {"N": "T", "T": "N", "C": "R", "R": "C"}
_ADJOINT = {"N": "C", "C": "N", "T": "R", "R": "T"}


def lstsq(a: Any, inverse: Any, b: Any, *, trans: str = "N") -> Any:
    """Of the X that minimise |a·X - b|, for matrices b, the shortest; or with aᵀ ("T"), aᴴ ("C"), or ā ("R") for a."""
    if a.dtype.kind != "c":
        trans = {"C": "T", "R": "N"}.get(trans, trans)
    return bind1(lstsq_p, a, inverse, b, trans=trans)


def _infer(a: Aval, inverse: Aval, b: Aval, *, trans: str) -> tuple[Aval]:
    m.require_matrices("lstsq", a)
    *lead, rows, columns = a.shape
    if inverse.shape != (*lead, columns, rows) or inverse.dtype != a.dtype:
        raise ShapeError(f"lstsq needs the pseudo-inverse of {a}, got {inverse}.")
    given, found = (rows, columns) if trans in "NR" else (columns, rows)
    if b.shape[:-1] != (*lead, given) or b.dtype != a.dtype:
        raise ShapeError(f"lstsq of {a} needs right-hand sides with {given} rows, of its dtype and axes; got {b}.")
    return (Aval((*lead, found, b.shape[-1]), b.dtype, a.weak and b.weak),)


def _emit(a, inverse, b, *, trans):
    return f'jnp.matmul({_TEXT[trans].format(inverse)}, {b}, precision="highest")'


def _jvp(xs, tangents, *, trans):
    """Golub and Pereyra 1973, times b: with r = b - aX, the tangent is P(db - da·X + Pᴴ(daᴴ·r)) + (1 - Pa)·daᴴ·PᴴX."""
    (a, inverse, b), (da, _, db) = xs, tangents
    x = lstsq(a, inverse, b, trans=trans)
    if da is None:
        return (x,), (None if db is None else lstsq(a, inverse, db, trans=trans),)
    a_, da_ = _OP[trans](a), _OP[trans](da)
    back, dah = _ADJOINT[trans], m.adjoint(da_)
    moved = neg(m.dot(da_, x))
    if db is not None:
        moved = add(db, moved)
    turned = lstsq(a, inverse, m.dot(dah, sub(b, m.dot(a_, x))), trans=back)
    reached = m.dot(dah, lstsq(a, inverse, x, trans=back))
    inside = sub(add(moved, turned), m.dot(a_, reached))
    return (x,), (add(lstsq(a, inverse, inside, trans=trans), reached),)


def _transpose(cts, active, a, inverse, b, *, trans):
    return None, None, lstsq(a, inverse, cts[0], trans=_TRANSPOSED[trans])


def _cost(outs: tuple[Aval, ...], a: Aval, inverse: Aval, b: Aval, **params: Any) -> Work:
    return Work((4 if is_complex(a) else 1) * 2 * math.prod(a.shape) * b.shape[-1])


lstsq_p = Primitive(
    name="lstsq",
    infer=_infer,
    emit=_emit,
    jvp=_jvp,
    transpose=_transpose,
    batch=m.batch_stacks(lambda: lstsq_p),
    cost=_cost,
)
