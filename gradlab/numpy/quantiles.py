"""Quantiles: sort, then read between two neighbours. Of equal elements the sort's first has the derivative.

A quantile is linear between the knots q = k/(n-1). At a knot its derivative by q is the slope to the right (at q = 1 to
the left), its derivative by the data that of the one element it is.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..ir.errors import ArgumentError, DTypeError, ShapeError
from ..ops import arith, compare, cumulative, reduce
from ..ops import shape as ops
from ..ops import sort as sort_ops
from ..ops.index import take_along_axis
from ..ops.operands import fill, kind
from . import axes as ax
from .choose import where
from .creation import array
from .dispatch import has_jax_tracer, has_tracer, no_sharding, public
from .elementwise import AND, OR
from .formulas import isinf, isnan
from .manipulation import cut, moveaxis, permuted
from .promote import alike, lift, retype, stretch

METHODS = ("linear", "lower", "higher", "midpoint", "nearest", "inverted_cdf")


# -- the axes reduced, as one: the last


class _Lines:
    """The array with the axes it is reduced over made one, the last; and the way back."""

    def __init__(self, x: Any, axis: Any, keepdims: bool):
        self.shape = x.shape
        self.axes = ax.several(axis, x.ndim)
        self.kept = [i for i in range(x.ndim) if i not in self.axes]
        self.n = math.prod(x.shape[i] for i in self.axes)
        self.keepdims = keepdims

    def of(self, x: Any) -> Any:
        x = permuted(x, (*self.kept, *sorted(self.axes)))
        return ops.reshape(x, (*(self.shape[i] for i in self.kept), self.n))

    def back(self, found: Any, q_shape: tuple[int, ...]) -> Any:
        """(*kept, m) as the result is shaped."""
        found = moveaxis(found, -1, 0)
        rest = (1 if i in self.axes else n for i, n in enumerate(self.shape) if self.keepdims or i not in self.axes)
        return ops.reshape(found, (*q_shape, *rest))


def _quantile(name: str, a: Any, q: Any, axis: Any, out: Any, overwrite_input: bool, method: str, keepdims: bool,
              weights: Any, squash: bool) -> Any:  # fmt: skip
    """`squash`: NaN is passed over."""
    if method not in METHODS:
        raise ArgumentError(f"{name} knows the methods {', '.join(METHODS)}; got {method!r}.")
    if overwrite_input or out is not None:
        raise ArgumentError(f"{name} writes into no array: leave out= and overwrite_input= away.")
    if weights is not None and method != "inverted_cdf":
        raise ArgumentError(f"{name} takes weights with method='inverted_cdf' only, got method={method!r}.")
    x, *weight = alike(lift(a), inexact=True) if weights is None else _weighted(lift(a), lift(weights), axis)
    if kind(x.dtype) == "c":
        raise DTypeError(f"{name} needs numbers that have an order, got {x.aval}. Take its absolute value or a part.")
    lines = _Lines(x, axis, keepdims)
    if squash and not lines.n:  # as NumPy's, which asks nanmean then
        return lines.back(_full(x, math.nan, (*(x.shape[i] for i in lines.kept), 1)), ())
    if not lines.n:
        raise ShapeError(f"{name} of no elements does not exist: {x.aval} over axes {lines.axes}.")
    static = not _is_traced(q)
    q = np.asarray(q, float) if static else q
    x = lines.of(x)
    if static and not squash and method != "inverted_cdf":
        return lines.back(_at_known(x, q.reshape(-1), method), q.shape)
    q = retype(array(q), x.dtype)
    q_shape = q.shape
    q = ops.reshape(q, (q.size,))
    if method == "inverted_cdf":
        found = _by_weight(x, lines.of(weight[0]) if weight else None, q, squash)
    else:
        found = _at_traced(x, q, method, squash)
    return lines.back(found, q_shape)


def _full(x: Any, value: float, shape: tuple[int, ...]) -> Any:
    return x.builder.literal(value, x.aval.reshaped(shape))


def _weighted(a: Any, w: Any, axis: Any) -> list[Any]:
    if w.dtype.kind == "c":
        raise DTypeError(f"weights must be real, got {w.aval}.")
    if w.shape != a.shape:
        axes = ax.several(axis, a.ndim)
        if axis is None or w.shape != tuple(a.shape[i] for i in axes):
            raise ShapeError(f"weights need the shape of {a.aval}, or of its axes that are reduced; got {w.aval}.")
        order = np.argsort(axes)
        w = ops.broadcast(permuted(w, [int(i) for i in order]), a.shape, sorted(axes))
    return alike(a, w, inexact=True)


# -- between neighbours


def _at_known(x: Any, q: np.ndarray, method: str) -> Any:
    """(*kept, len(q)): at numbers known now, the neighbours are slices of the sorted lines."""
    last = x.ndim - 1
    bad = reduce.reduce_or(isnan(x), axes=(last,))
    x = sort_ops.sort(x, axis=last)[0]
    n = x.shape[-1]
    columns = []
    for place in (q.astype(float) * (n - 1)).tolist():
        if place != place:
            columns.append(_full(x, math.nan, (*x.shape[:-1], 1)))
            continue
        low, high = (min(max(int(f(place)), 0), n - 1) for f in (np.floor, np.ceil))
        if method in ("lower", "higher", "nearest"):
            low = high = {"lower": low, "higher": high, "nearest": low if place - low <= 0.5 else high}[method]
        part = 0.5 if method == "midpoint" else place - low
        column = cut(x, last, low, low + 1)
        if low != high and part:
            column = column * (1.0 - part) + cut(x, last, high, high + 1) * part
        columns.append(column)
    found = ops.concatenate(columns, last) if len(columns) > 1 else columns[0] if columns else cut(x, last, 0, 0)
    return where(ops.reshape(bad, (*bad.shape, 1)), math.nan, found)


def _at_traced(x: Any, q: Any, method: str, squash: bool) -> Any:
    """(*kept, len(q)): at numbers known only at run time, or among as many elements as are not NaN."""
    last = x.ndim - 1
    x, top, bad = _ascending(x, squash)
    shape = (*x.shape[:-1], q.shape[0])
    top = stretch(top, shape)
    # Without an element there is no knot; the answer will be NaN.
    place = stretch(q, shape) * arith.maximum(top, fill(0.0, top.aval))
    floor = arith.floor(place)
    low = _within(floor, top) if method != "linear" else _within(arith.minimum(floor, top - 1.0), top)
    high = _within(arith.ceil(place) if method != "linear" else low + 1.0, top)
    below, above = (take_along_axis(x, retype(i, np.dtype("int32")), axis=last) for i in (low, high))
    if method == "lower":
        found = below
    elif method == "higher":
        found = above
    elif method == "nearest":
        found = compare.select(compare.le(place - floor, fill(0.5, place.aval)), below, above)
    elif method == "midpoint":
        found = (below + above) * 0.5
    else:
        part = place - low
        # At a knot the other neighbour may be infinite, and 0 times that is NaN.
        left = compare.select(AND(isinf(below), compare.eq(part, fill(1.0, part.aval))), above, below)
        right = compare.select(AND(isinf(above), compare.eq(part, fill(0.0, part.aval))), below, above)
        found = left * (1.0 - part) + right * part
    found = where(isnan(stretch(q, shape)), math.nan, found)
    return where(bad, math.nan, found)


def _within(place: Any, top: Any) -> Any:
    return arith.maximum(arith.minimum(place, top), fill(0.0, place.aval))


def _ascending(x: Any, squash: bool) -> tuple[Any, Any, Any]:
    """The lines sorted; the number of their last element that counts; whether they have no quantile: (*kept, 1)."""
    last, n = x.ndim - 1, x.shape[-1]
    ill = isnan(x)
    one = (*x.shape[:-1], 1)
    if squash:
        x = where(ill, math.nan, x)
        ill_ones = reduce.reduce_sum(retype(ill, x.dtype), axes=(last,))
        top = ops.reshape((n - 1.0) - ill_ones, one)
        bad = compare.lt(top, fill(0.0, top.aval))
    else:
        top = _full(x, n - 1.0, one)
        bad = ops.reshape(reduce.reduce_or(ill, axes=(last,)), one)
    return sort_ops.sort(x, axis=last)[0], top, bad


def _by_weight(x: Any, w: Any, q: Any, squash: bool) -> Any:
    """(*kept, len(q)): the first element by which a share q of the weight is reached."""
    last = x.ndim - 1
    ill = isnan(x)
    w = _full(x, 1.0, x.shape) if w is None else w
    refused = OR(compare.lt(w, fill(0.0, w.aval)), isnan(w))
    weight = compare.select(OR(refused, ill), fill(0.0, w.aval), w)
    one = (*x.shape[:-1], 1)
    x = where(ill, math.nan, x)
    x, weight = sort_ops.sort(x, weight, axis=last)
    sums = cumulative.cumsum(weight, axis=last)
    n, m = x.shape[-1], q.shape[0]
    target = stretch(cut(sums, last, n - 1, n), (*x.shape[:-1], m)) * q
    grid = (*x.shape[:-1], m, n)
    rows = tuple(range(last))
    short = compare.lt(ops.broadcast(sums, grid, (*rows, last + 1)), ops.broadcast(target, grid, (*rows, last)))
    at = reduce.reduce_sum(retype(short, np.dtype("int32")), axes=(last + 1,))
    good = reduce.reduce_sum(retype(~ill, np.dtype("int32")), axes=(last,))
    top = stretch(ops.reshape(good - 1, one), at.shape)
    at = arith.maximum(arith.minimum(at, top), fill(0, at.aval))
    found = take_along_axis(x, at, axis=last)
    bad = reduce.reduce_and(ill, axes=(last,)) if squash else reduce.reduce_or(ill, axes=(last,))
    bad = OR(bad, reduce.reduce_or(refused, axes=(last,)))
    return where(ops.reshape(bad, one), math.nan, found)


# -- the functions


def _is_traced(q: Any) -> bool:
    return has_tracer((q,)) or has_jax_tracer((q,))


def _hundredths(q: Any) -> Any:
    return alike(array(q), inexact=True)[0] / 100 if _is_traced(q) else np.asarray(q, float) / 100


@public("quantile")
def quantile(a: Any, q: Any, axis: Any = None, out: None = None, overwrite_input: bool = False, method: str = "linear",
             keepdims: bool = False, *, weights: Any = None) -> Any:  # fmt: skip
    """`jax.numpy.quantile`, on tracers too; differentiable in q as well."""
    return _quantile("quantile", a, q, axis, out, overwrite_input, method, keepdims, weights, False)


@public("nanquantile")
def nanquantile(a: Any, q: Any, axis: Any = None, out: None = None, overwrite_input: bool = False,
                method: str = "linear", keepdims: bool = False, *, weights: Any = None) -> Any:  # fmt: skip
    """`jax.numpy.nanquantile`, on tracers too; differentiable in q as well."""
    return _quantile("nanquantile", a, q, axis, out, overwrite_input, method, keepdims, weights, True)


@public("percentile")
def percentile(a: Any, q: Any, axis: Any = None, out: None = None, overwrite_input: bool = False,
               method: str = "linear", keepdims: bool = False, *, weights: Any = None,
               out_sharding: Any = None) -> Any:  # fmt: skip
    """`jax.numpy.percentile`, on tracers too; differentiable in q as well."""
    no_sharding("percentile", out_sharding)
    return _quantile("percentile", a, _hundredths(q), axis, out, overwrite_input, method, keepdims, weights, False)


@public("nanpercentile")
def nanpercentile(a: Any, q: Any, axis: Any = None, out: None = None, overwrite_input: bool = False,
                  method: str = "linear", keepdims: bool = False, *, weights: Any = None) -> Any:  # fmt: skip
    """`jax.numpy.nanpercentile`, on tracers too; differentiable in q as well."""
    return _quantile("nanpercentile", a, _hundredths(q), axis, out, overwrite_input, method, keepdims, weights, True)


@public("median")
def median(a: Any, axis: Any = None, out: None = None, overwrite_input: bool = False, keepdims: bool = False) -> Any:
    """`jax.numpy.median`, on tracers too."""
    return _quantile("median", a, 0.5, axis, out, overwrite_input, "midpoint", keepdims, None, False)


@public("nanmedian")
def nanmedian(a: Any, axis: Any = None, out: None = None, overwrite_input: bool = False, keepdims: bool = False) -> Any:
    """`jax.numpy.nanmedian`, on tracers too."""
    return _quantile("nanmedian", a, 0.5, axis, out, overwrite_input, "midpoint", keepdims, None, True)
