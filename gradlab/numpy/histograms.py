"""Histograms: each element looks up its bin. Counts are differentiable in the weights, steps in the elements."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ir.errors import ArgumentError, ShapeError
from ..ir.graph import Aval
from ..ops import index
from ..ops import shape as ops
from ..ops.operands import fill
from ..trace.tracer import Tracer
from .choose import where
from .creation import asarray, linspace
from .dispatch import no_sharding, public
from .manipulation import cut, ravel
from .promote import aval as aval_of
from .promote import home, result_dtype, retype, stretch
from .reductions import max as max_
from .reductions import min as min_
from .reductions import sum as sum_
from .searching import searchsorted
from .selection import diff


def _edges(a: Any, bins: Any, limits: Any) -> Any:
    """The edges of the bins: given, or equally far from each other between the limits, or the extremes of `a`."""
    if isinstance(bins, str):
        raise ArgumentError(f"histogram cannot choose bins by {bins!r}. Give their number or their edges.")
    dtype, _ = result_dtype([a.aval], inexact=True)
    if (aval_of(bins).ndim if type(bins) is Tracer else np.ndim(bins)) == 1:
        return retype(asarray(bins), dtype)
    number = operator.index(bins)
    if limits is None:
        low, high = (min_(a), max_(a)) if a.size else (0.0, 1.0)
    else:
        if len(limits) != 2:
            raise ArgumentError(f"range has two numbers, the least and the greatest, got {limits!r}.")
        low, high = limits[0], limits[1]
    low, high = (retype(asarray(v), dtype) for v in (low, high))
    flat = high == low
    return retype(linspace(where(flat, low - 0.5, low), where(flat, high + 0.5, high), number + 1), dtype)


@public("histogram_bin_edges")
def histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Any:
    """`jax.numpy.histogram_bin_edges`, on tracers too."""
    return _edges(home(a, bins, range).operand(a, None), bins, range)


def _numbers(a: Any, weights: Any) -> tuple[Any, Any]:
    """The elements and their weights, or None, of one floating dtype."""
    xs = [home(a, weights).operand(v, None) for v in (a, weights) if v is not None]
    dtype, _ = result_dtype([x.aval for x in xs], inexact=True)
    xs = [retype(x, dtype) for x in xs]
    return xs[0], xs[1] if len(xs) > 1 else None


@public("histogram")
def histogram(a: Any, bins: Any = 10, range: Any = None, weights: Any = None, density: bool | None = None,
              out_sharding: Any = None) -> tuple[Any, Any]:  # fmt: skip
    """`jax.numpy.histogram`, on tracers too."""
    no_sharding("histogram", out_sharding)
    x, w = _numbers(a, weights)
    if w is not None and w.shape != x.shape:
        raise ShapeError(f"histogram needs one weight for each element, got {w.aval} for {x.aval}.")
    x = ravel(x)
    edges = _edges(x, bins, range)
    n = edges.shape[0]
    # The last bin has both its edges; what is left of the first has a place of its own, 0, that is dropped.
    place = searchsorted(edges, x, "right")
    place = where(x == edges[n - 1], n - 1, place)
    one = fill(1.0, x.aval) if w is None else ravel(w)
    counts = _added((n,), one, place, x)
    counts = cut(counts, 0, 1, n)
    if density:
        counts = counts / diff(edges) / sum_(counts)
    return counts, edges


def _added(shape: Sequence[int], values: Any, place: Any, x: Any) -> Any:
    board = fill(values.dtype.type(0).item(), Aval(tuple(shape), values.dtype))
    if not x.size:
        return x.builder.operand(board, None)
    return index.scatter_add(board, values, place, axes=(0,), mode="drop")


def _count(bins: Any) -> int:
    if isinstance(bins, list | tuple):
        return len(bins)
    shape = aval_of(bins).shape
    return shape[0] if shape else 1


@public("histogram2d")
def histogram2d(x: Any, y: Any, bins: Any = 10, range: Any = None, weights: Any = None,
                density: bool | None = None) -> tuple[Any, Any, Any]:  # fmt: skip
    """`jax.numpy.histogram2d`, on tracers too."""
    if _count(bins) not in (1, 2):
        bins = [asarray(bins)] * 2
    x, y = (home(x, y).operand(v, None) for v in (x, y))
    dtype, _ = result_dtype([x.aval, y.aval])
    columns = [ops.reshape(retype(v, dtype), (v.size, 1)) for v in (x, y)]
    counts, edges = histogramdd(ops.concatenate(columns, 1), bins, range, weights, density)
    return counts, edges[0], edges[1]


@public("histogramdd")
def histogramdd(sample: Any, bins: Any = 10, range: Any = None, weights: Any = None,
                density: bool | None = None) -> tuple[Any, list[Any]]:  # fmt: skip
    """`jax.numpy.histogramdd`, on tracers too."""
    x, w = _numbers(sample, weights)
    if x.ndim != 2:
        raise ShapeError(f"histogramdd needs a row for each observation and a column for each dimension, got {x.aval}.")
    n, dims = x.shape
    if w is not None and w.shape != (n,):
        raise ShapeError(f"histogramdd needs one weight for each observation, got {w.aval} for {x.aval}.")
    limits = [None] * dims if range is None else list(range)
    each = list(bins) if isinstance(bins, list | tuple) or getattr(bins, "ndim", 0) else [bins] * dims
    if len(limits) != dims or len(each) != dims:
        raise ArgumentError(f"histogramdd needs bins and a range for each of {dims} dimensions; got {bins}, {range}.")
    columns = [ops.reshape(cut(x, 1, i, i + 1), (n,)) for i, _ in enumerate(limits)]
    edges = [_edges(c, b, r) for c, b, r in zip(columns, each, limits, strict=True)]
    places = []
    for column, edge in zip(columns, edges, strict=True):
        place = searchsorted(edge, column, "right")
        places.append(where(column == edge[edge.shape[0] - 1], place - 1, place))
    sizes = [edge.shape[0] + 1 for edge in edges]
    flat = places[0]
    for place, size in zip(places[1:], sizes[1:], strict=True):
        flat = flat * size + place
    one = fill(1, Aval((n,), result_dtype([aval_of(1)])[0])) if w is None else w
    counts = ops.reshape(_added((math.prod(sizes),), one, flat, x), sizes)
    counts = counts[tuple(slice(1, size - 1) for size in sizes)]
    if density:
        counts = retype(counts, x.dtype)
        counts = counts / sum_(counts)
        for i, edge in enumerate(edges):
            width = diff(edge)
            counts = counts / stretch(ops.reshape(width, (width.size, *(1,) * (dims - 1 - i))), counts.shape)
    return counts, edges
