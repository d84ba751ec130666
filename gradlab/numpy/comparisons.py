"""Questions with one answer for whole arrays, and of what numbers are complex."""

from __future__ import annotations

from typing import Any

from ..ir.errors import ShapeError
from ..ir.graph import Aval
from ..ops.operands import BOOL
from .dispatch import public
from .elementwise import equal
from .formulas import imag, isclose, isnan, logical_and, logical_or
from .promote import broadcast_shapes, home
from .reductions import all as all_


@public("allclose")
def allclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Any:
    """`jax.numpy.allclose`, on tracers too."""
    return all_(isclose(a, b, rtol, atol, equal_nan))


@public("array_equal")
def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    """`jax.numpy.array_equal`, on tracers too."""
    at = home(a1, a2)
    x, y = at.operand(a1, None), at.operand(a2, None)
    if x.shape != y.shape:
        return at.literal(False, Aval((), BOOL))
    same = equal(x, y)
    return all_(logical_or(same, logical_and(isnan(x), isnan(y))) if equal_nan else same)


@public("array_equiv")
def array_equiv(a1: Any, a2: Any) -> Any:
    """`jax.numpy.array_equiv`, on tracers too."""
    at = home(a1, a2)
    x, y = at.operand(a1, None), at.operand(a2, None)
    try:
        broadcast_shapes([x.shape, y.shape])
    except ShapeError:
        return at.literal(False, Aval((), BOOL))
    return all_(equal(x, y))


@public("iscomplex")
def iscomplex(x: Any) -> Any:
    """`jax.numpy.iscomplex`, on tracers too."""
    return imag(x) != 0


@public("isreal")
def isreal(x: Any) -> Any:
    """`jax.numpy.isreal`, on tracers too."""
    return imag(x) == 0
