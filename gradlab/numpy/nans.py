"""Reductions that pass over NaN: it is replaced before anything is computed, so its derivative is 0, no NaN."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..ir.graph import is_inexact
from ..ops.guarded import root
from . import reductions as red
from .choose import where as choose
from .dispatch import public
from .formulas import isnan
from .promote import lift, retype


def _without(x: Any, instead: float) -> Any:
    return choose(isnan(x), instead, x) if is_inexact(x.dtype) else x


def _unless_all_nan(x: Any, found: Any, axis: Any, keepdims: bool) -> Any:
    if not is_inexact(x.dtype):
        return found
    return choose(red.all(isnan(x), axis, keepdims=keepdims), math.nan, found)


@public("nansum")
def nansum(a: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: bool = False, initial: Any = None,
           where: Any = None) -> Any:  # fmt: skip
    """`jax.numpy.nansum`, on tracers too."""
    return red.sum(_without(lift(a), 0.0), axis, dtype, None, keepdims, initial, where)


@public("nanprod")
def nanprod(a: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: bool = False, initial: Any = None,
            where: Any = None) -> Any:  # fmt: skip
    """`jax.numpy.nanprod`, on tracers too."""
    return red.prod(_without(lift(a), 1.0), axis, dtype, None, keepdims, initial, where)


def _extremum(name: str, fn: Any, instead: float) -> Any:
    @public(name)
    def call(a: Any, axis: Any = None, out: None = None, keepdims: bool = False, initial: Any = None,
             where: Any = None) -> Any:  # fmt: skip
        x = lift(a)
        found = fn(_without(x, instead), axis, None, keepdims, initial, where)
        return found if initial is not None else _unless_all_nan(x, found, axis, keepdims)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"`jax.numpy.{name}`, on tracers too."
    return call


nanmax = _extremum("nanmax", red.max, -math.inf)
nanmin = _extremum("nanmin", red.min, math.inf)


def _position(name: str, fn: Any, instead: float) -> Any:
    @public(name)
    def call(a: Any, axis: int | None = None, out: None = None, keepdims: bool | None = None) -> Any:
        x = lift(a)
        found = fn(_without(x, instead), axis, None, keepdims)
        if not is_inexact(x.dtype):
            return found
        return choose(red.all(isnan(x), axis, keepdims=bool(keepdims)), -1, found)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"`jax.numpy.{name}`, on tracers too; -1 where all are NaN."
    return call


nanargmax = _position("nanargmax", red.argmax, -math.inf)
nanargmin = _position("nanargmin", red.argmin, math.inf)


def _how_many(x: Any, axis: Any, keepdims: bool, where: Any, dtype: np.dtype) -> Any:
    return red.sum(~isnan(x), axis, dtype, None, keepdims, None, where)


@public("nanmean")
def nanmean(a: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: bool = False,
            where: Any = None) -> Any:  # fmt: skip
    """`jax.numpy.nanmean`, on tracers too; NaN where all are."""
    x = lift(a)
    if not is_inexact(x.dtype):
        return red.mean(x, axis, dtype, None, keepdims, where=where)
    dtype = red.given_dtype(dtype, jnp.mean, x)
    return nansum(x, axis, dtype, None, keepdims, None, where) / _how_many(x, axis, keepdims, where, dtype)


@public("nanvar")
def nanvar(a: Any, axis: Any = None, dtype: Any = None, out: None = None, ddof: int = 0, keepdims: bool = False,
           where: Any = None, mean: Any = None) -> Any:  # fmt: skip
    """`jax.numpy.nanvar`, on tracers too; NaN where no element is left after `ddof` of them."""
    x = lift(a)
    result, wide = red.variance_dtypes(x, dtype)
    x = retype(x, wide)
    # 0 where all are NaN: the answer there is NaN, its derivative 0.
    count = _how_many(x, axis, True, where, wide)
    total = nansum(x, axis, wide, None, True, None, where)
    centre = total / choose(count == 0, 1, count) if mean is None else mean
    centred = choose(isnan(x), 0, x - centre)
    square = red.squared_size(centred)
    left = _how_many(x, axis, keepdims, where, square.dtype) - ddof
    some = left > 0
    total = red.sum(square, axis, square.dtype, None, keepdims, None, where)
    return retype(choose(some, total / choose(some, left, 1.0), math.nan), result)


@public("nanstd")
def nanstd(a: Any, axis: Any = None, dtype: Any = None, out: None = None, ddof: int = 0, keepdims: bool = False,
           where: Any = None, mean: Any = None) -> Any:  # fmt: skip
    """`jax.numpy.nanstd`, on tracers too; where it is 0, its derivative is 0."""
    return root(nanvar(lift(a), axis, dtype, None, ddof, keepdims, where, mean))


def _running(name: str, fn: Any, instead: float) -> Any:
    @public(name)
    def call(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Any:
        return fn(_without(lift(a), instead), axis, dtype)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"`jax.numpy.{name}`, on tracers too."
    return call


nancumsum = _running("nancumsum", red.cumsum, 0.0)
nancumprod = _running("nancumprod", red.cumprod, 1.0)
