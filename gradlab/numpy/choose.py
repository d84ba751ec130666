"""Choosing elements by a condition, and bounding them."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp

from ..ir.errors import ArgumentError
from ..ir.graph import is_inexact
from ..ops import compare, convert
from .dispatch import public
from .elementwise import maximum, minimum
from .formulas import isnan, truth
from .places import nonzero
from .promote import SCALARS, alike, broadcast_shapes, lift, promote, stretch

# -- choosing


@public("where")
def where(condition: Any, x: Any = None, y: Any = None, /, *, size: Any = None, fill_value: Any = None) -> Any:
    """`jax.numpy.where`, on tracers too; of a condition alone it is `nonzero`."""
    if x is None and y is None:
        return nonzero(condition, size=size, fill_value=fill_value)
    if x is None or y is None:
        raise ArgumentError("where takes a condition alone, or where(condition, x, y); got one of x and y.")
    if size is not None or fill_value is not None:
        raise ArgumentError("size and fill_value belong to where(condition) alone; where(condition, x, y) has a shape.")
    return select_of(condition, *promote(x, y))


def select_of(mask: Any, x: Any, y: Any) -> Any:
    """x where mask, else y; x and y agree, the mask broadcasts with them."""
    (mask,) = alike(mask)
    mask = truth(mask)
    if mask.aval.shape != x.aval.shape:
        mask, x, y = stretched(mask, x, y)
    return compare.select(mask, x, y)


def stretched(*xs: Any) -> list[Any]:
    shape = broadcast_shapes([x.aval.shape for x in xs])
    return [stretch(x, shape) for x in xs]


@public("select")
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """`jax.numpy.select`, on tracers too."""
    if len(condlist) != len(choicelist) or not condlist:
        raise ArgumentError(f"select needs as many conditions as choices, got {len(condlist)} and {len(choicelist)}.")
    *choices, out = promote(*choicelist, default)
    for mask, choice in zip(condlist[::-1], choices[::-1], strict=True):
        out = select_of(mask, choice, out)
    return out


@public("clip")
def clip(
    arr: Any = None, /, min: Any = None, max: Any = None, *, a: Any = None, a_min: Any = None, a_max: Any = None
) -> Any:
    """`jax.numpy.clip`, on tracers too."""
    arr = a if arr is None else arr
    low, high = (a_min if min is None else min), (a_max if max is None else max)
    if low is not None:
        arr = maximum(arr, low)
    if high is not None:
        arr = minimum(arr, high)
    return lift(arr)


@public("nan_to_num")
def nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    """`jax.numpy.nan_to_num`, on tracers too."""
    (x,) = alike(x)
    if not is_inexact(x.aval.dtype):
        return x
    if x.aval.dtype.kind == "c":
        parts = (nan_to_num(p, copy, nan, posinf, neginf) for p in (convert.real(x), convert.imag(x)))
        return convert.complex(*parts)
    info = jnp.finfo(x.dtype)
    posinf = float(info.max) if posinf is None else posinf
    neginf = float(info.min) if neginf is None else neginf
    x = where(isnan(x), alike(nan, x)[0] if type(nan) not in SCALARS else nan, x)
    return where(compare.eq(x, -math.inf), neginf, where(compare.eq(x, math.inf), posinf, x))
