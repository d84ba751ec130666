"""Order: sorting, positions in order, and the statistics that need it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..ops import shape
from ..ops import sort as ops
from ..trace.avals import canonical_dtype
from . import axes as ax
from . import elementwise as ew
from .choose import where
from .dispatch import public
from .formulas import isnan
from .manipulation import cut, flip, moveaxis
from .promote import lift, promote
from .reductions import any as any_
from .reductions import sum as sum_


@public("sort")
def sort(a: Any, axis: int | None = -1, *, kind: None = None, order: None = None, stable: bool = True,
         descending: bool = False) -> Any:  # fmt: skip
    """`jax.numpy.sort`, on tracers too."""
    x = lift(a)
    if axis is None:
        x, axis = shape.reshape(x, (x.size,)), 0
    axis = ax.one(axis, x.ndim)
    out = ops.sort(x, axis=axis, stable=stable)[0]
    return flip(out, axis) if descending else out


@public("argsort")
def argsort(a: Any, axis: int | None = -1, *, kind: None = None, order: None = None, stable: bool = True,
            descending: bool = False) -> Any:  # fmt: skip
    """`jax.numpy.argsort`, on tracers too."""
    x = lift(a)
    if axis is None:
        x, axis = shape.reshape(x, (x.size,)), 0
    axis = ax.one(axis, x.ndim)
    x = flip(x, axis) if descending else x
    found = ops.argsort(x, axis=axis, stable=stable, dtype=canonical_dtype(int))
    # Turned before and after, equal elements keep their order though the larger come first.
    return (x.shape[axis] - 1) - flip(found, axis) if descending else found


@public("quantile")
def quantile(a: Any, q: Any, axis: Any = None, out: None = None, overwrite_input: bool = False, method: str = "linear",
             keepdims: bool = False, **ignored: Any) -> Any:  # fmt: skip
    """`jax.numpy.quantile` by linear interpolation, at numbers q known now, on tracers too."""
    if method not in ("linear", "lower", "higher", "midpoint", "nearest"):
        raise ValueError(f"quantile knows linear, lower, higher, midpoint and nearest, got method={method!r}.")
    if hasattr(q, "builder"):
        q = q.tolist()
    (x,) = promote(lift(a), inexact=True)
    axes = ax.several(axis, x.ndim)
    kept = tuple(n for i, n in enumerate(x.shape) if i not in axes)
    x = (
        shape.reshape(moveaxis(x, axes, tuple(range(len(axes)))), (math.prod(x.shape[i] for i in axes), *kept))
        if axes
        else x
    )
    return _quantile(x, np.asarray(q, float), axes, kept, keepdims, method)


def _quantile(x: Any, q: np.ndarray, axes: tuple[int, ...], kept: tuple[int, ...], keepdims: bool, method: str) -> Any:
    bad = any_(isnan(x), 0)
    x = ops.sort(x, axis=0)[0]
    n = x.shape[0]
    rows = []
    for place in (q.reshape(-1) * (n - 1)).tolist():
        low, high = int(np.floor(place)), int(np.ceil(place))
        if method in ("lower", "higher", "nearest"):
            low = high = {"lower": low, "higher": high, "nearest": round(place)}[method]
        part = 0.5 if method == "midpoint" else place - low
        row = cut(x, 0, low, low + 1)
        if low != high:
            row = row * (1.0 - part) + cut(x, 0, high, high + 1) * part
        rows.append(where(bad, np.nan, row))
    found = rows[0] if len(rows) == 1 else shape.concatenate(rows, 0)
    if keepdims:
        rest = iter(kept)
        kept = tuple(1 if i in axes else next(rest) for i in range(len(axes) + len(kept)))
    return shape.reshape(found, (*q.shape, *kept))


@public("percentile")
def percentile(a: Any, q: Any, axis: Any = None, **options: Any) -> Any:
    """`jax.numpy.percentile` by linear interpolation, on tracers too."""
    return quantile(a, np.asarray(q.tolist() if hasattr(q, "tolist") else q, float) / 100, axis, **options)


@public("median")
def median(a: Any, axis: Any = None, out: None = None, overwrite_input: bool = False, keepdims: bool = False) -> Any:
    """`jax.numpy.median`, on tracers too."""
    return quantile(a, 0.5, axis, keepdims=keepdims)


@public("searchsorted")
def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None, **ignored: Any) -> Any:
    """`jax.numpy.searchsorted` by comparing with all of a, on tracers too."""
    a = lift(a) if sorter is None else lift(a)[sorter]
    v = lift(v)
    column = shape.reshape(v, (*v.shape, 1))
    before = ew.less(a, column) if side == "left" else ew.less_equal(a, column)
    return sum_(before, -1, "int32")
