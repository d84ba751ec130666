"""Looking up: where elements belong in an order, and how often they occur."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ..ir.errors import DTypeError, ShapeError
from ..ir.graph import Aval
from ..ops import compare, index, reduce
from ..ops import sort as ops
from ..ops.operands import fill
from ..trace.avals import canonical_dtype
from .choose import where
from .dispatch import no_sharding, public, sized_by_values
from .manipulation import flip
from .places import length as size_of
from .promote import home, result_dtype, retype


@public("searchsorted")
def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None, *, method: str = "scan") -> Any:
    """`jax.numpy.searchsorted`, on tracers too."""
    line = home(a, v, sorter).operand(a, None)
    if line.ndim != 1:
        raise ShapeError(f"searchsorted looks into one line in ascending order, got {line.aval}. Map it with vmap.")
    return _sought(line if sorter is None else line[sorter], v, side, method)


def _sought(line: Any, v: Any, side: str, method: str) -> Any:
    v = home(line, v).operand(v, None)
    dtype, _ = result_dtype([line.aval, v.aval])
    return ops.searchsorted(retype(line, dtype), retype(v, dtype), side=side, method=method)


@public("digitize")
def digitize(x: Any, bins: Any, right: bool = False, *, method: str | None = None) -> Any:
    """`jax.numpy.digitize`, on tracers too; the bins may ascend or descend."""
    at = home(x, bins)
    x, line = at.operand(x, None), at.operand(bins, None)
    if line.ndim != 1:
        raise ShapeError(f"digitize needs bins along one axis, got {line.aval}.")
    n = line.shape[0]
    if not n:
        return at.literal(0, Aval(x.shape, np.dtype("int32")))
    side, method = "left" if right else "right", method or "scan"
    up = _sought(line, x, side, method)
    down = n - _sought(flip(line), x, side, method)
    return where(line[-1] >= line[0], up, down)


@sized_by_values("bincount")
def bincount(x: Any, weights: Any = None, minlength: int = 0, *, length: int | None = None,
             out_sharding: Any = None) -> Any:  # fmt: skip
    """`jax.numpy.bincount`, on tracers too; the weights are differentiable."""
    no_sharding("bincount", out_sharding)
    x = home(x, weights).operand(x, None)
    if x.dtype.kind == "b":
        x = retype(x, np.dtype("int32"))
    if x.dtype.kind not in "iu" or x.ndim != 1:
        raise DTypeError(f"bincount counts integers along one axis, got {x.aval}. Convert them with .astype(int).")
    if length is None:
        length = operator.index(minlength)
        if x.size:
            largest = reduce.reduce_max(retype(x, canonical_dtype(int)), axes=(0,))
            length = max(length, 1, size_of("bincount", None, largest + 1, keyword="length"))
    if weights is None:
        w = home(x).literal(1, Aval(x.shape, canonical_dtype(int)))
    else:
        w = home(x, weights).operand(weights, None)
        if w.shape != x.shape:
            raise ShapeError(f"bincount needs one weight for each element, got {w.aval} for {x.aval}.")
    board = fill(w.dtype.type(0).item(), Aval((length,), w.dtype))
    place = x if x.dtype.kind == "u" else compare.select(compare.lt(x, fill(0, x.aval)), fill(0, x.aval), x)
    if not length or not x.size:
        return w.builder.operand(board, None)
    return index.scatter_add(board, retype(w, w.dtype), place, axes=(0,), mode="drop")
