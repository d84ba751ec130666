"""Triangular systems: linear in the right-hand side, and the workhorse of every other derivative here."""

from __future__ import annotations

from typing import Any

from ...ir.errors import ShapeError
from ...ir.graph import Aval
from ...ir.primitive import Primitive
from ...trace.builder import bind, bind1
from ..arith import neg, sub
from ..costs import substitutes
from ..families import batch_size, with_axis
from ..shape import merge_axes, moveaxis, reshape
from .matrix import adjoint, conjugate, dot, lower, require_matrices, require_right_side, transpose, upper


def triangular_solve(a: Any, b: Any, *, left: bool = True, lower: bool, trans: str = "N", unit: bool = False) -> Any:
    """X of op(a)·X = b, or with `left` false of X·op(a) = b, for triangular matrices a.

    **Arguments:** `lower`: which triangle of `a` is read. `trans`: op(a) is a ("N"), aᵀ ("T") or aᴴ ("C"). `unit`: the
    diagonal counts as ones and is not read.
    """
    trans = "T" if trans == "C" and a.dtype.kind != "c" else trans
    return bind1(triangular_solve_p, a, b, left=bool(left), lower=bool(lower), trans=trans, unit=bool(unit))


def _infer(a: Aval, b: Aval, *, left: bool, lower: bool, trans: str, unit: bool) -> tuple[Aval]:
    require_matrices("triangular_solve", a, square=True)
    require_right_side("triangular_solve", a, b, -2 if left else -1)
    if trans not in ("N", "T", "C", "R"):
        raise ShapeError(f"triangular_solve takes trans 'N', 'T' or 'C', got {trans!r}.")
    return (Aval(b.shape, b.dtype, a.weak and b.weak),)


def _emit(a, b, *, left, lower, trans, unit):
    flags = {
        "left_side": left, "lower": lower, "transpose_a": trans in "TC", "conjugate_a": trans in "CR",
        "unit_diagonal": unit,
    }  # fmt: skip
    said = "".join(f", {name}=True" for name, on in flags.items() if on)
    return f"lax.linalg.triangular_solve({a}, {b}{said})"


_OP = {"N": lambda a: a, "T": transpose, "C": adjoint, "R": conjugate}
_TRANSPOSED = {"N": "T", "T": "N", "C": "R", "R": "C"}  # R, the conjugate alone, comes up as the transpose of C


def _jvp(xs, tangents, **params):
    a, b = xs
    da, db = tangents
    x = bind1(triangular_solve_p, a, b, **params)
    if da is not None:
        k = 1 if params["unit"] else 0
        da = _OP[params["trans"]](lower(da, -k) if params["lower"] else upper(da, k))
        moved = dot(da, x) if params["left"] else dot(x, da)
        db = neg(moved) if db is None else sub(db, moved)
    return (x,), (bind1(triangular_solve_p, a, db, **params),)


def _transpose(cts, active, a, b, *, trans, **params):
    return None, bind1(triangular_solve_p, a, cts[0], **{**params, "trans": _TRANSPOSED[trans]})


def _batch(xs, dims, *, left, lower, trans, unit):
    (a, b), (da, db) = xs, dims
    params = {"left": left, "lower": lower, "trans": trans, "unit": unit}
    if da is None and a.ndim == 2:
        # One matrix for all of the batch: its right-hand sides stand side by side.
        at = 1 if left else 0
        b = moveaxis(b, db, at)
        wide, _ = merge_axes(b, (at, at + 1))
        x = bind1(triangular_solve_p, a, wide, **params)
        return (reshape(x, b.shape),), (at,)
    size = batch_size(xs, dims)
    return bind(triangular_solve_p, with_axis(a, da, 0, size), with_axis(b, db, 0, size), **params), (0,)


triangular_solve_p = Primitive(
    name="triangular_solve",
    infer=_infer,
    emit=_emit,
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    cost=substitutes,
)
