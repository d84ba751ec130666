"""Arrays with elements put in, taken out and replaced: new arrays, for these do not change."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..ir.errors import ArgumentError, ConcretizationError, DTypeError, ShapeError
from ..ops import compare, cumulative, index
from ..ops import shape as ops
from ..trace.avals import canonical_dtype
from ..trace.tracer import Tracer
from . import axes as ax
from .creation import array, zeros
from .dispatch import public
from .formulas import truth
from .manipulation import concatenate, cut, moveaxis, ravel, tile
from .padding import by_runs
from .promote import alike, home, retype, stretch
from .promote import aval as aval_of
from .sorting import argsort, sort

# -- of blocks


@public("block")
def block(arrays: Any) -> Any:
    """`jax.numpy.block`, on tracers too: nested lists of blocks joined, the innermost along the last axis."""

    def depth_of(x: Any) -> int:
        if not isinstance(x, list):
            return 0
        depths = {depth_of(item) for item in x}
        if len(depths) != 1:
            raise ShapeError("block needs lists nested to one depth everywhere, and none of them empty.")
        return 1 + depths.pop()

    def leaves(x: Any) -> list[Any]:
        return [leaf for item in x for leaf in leaves(item)] if isinstance(x, list) else [x]

    depth = depth_of(arrays)
    ndim = max(depth, *(aval_of(leaf).ndim for leaf in leaves(arrays)))

    def joined(x: Any, level: int) -> Any:
        if isinstance(x, list):
            return concatenate([joined(item, level - 1) for item in x], ndim - level)
        x = home(*leaves(arrays)).operand(x, None)
        return ops.reshape(x, (1,) * (ndim - x.ndim) + x.shape)

    return joined(arrays, depth)


@public("resize")
def resize(a: Any, new_shape: Any) -> Any:
    """`jax.numpy.resize`, on tracers too: the elements in order, repeated until the shape is full."""
    x = ravel(a)
    shape = ax.shape_of(new_shape)
    size = math.prod(shape)
    if not size or not x.shape[0]:
        return zeros(shape, x.dtype)
    times = -(-size // x.shape[0])
    x = tile(x, times) if times > 1 else x
    return ops.reshape(cut(x, 0, 0, size), shape)


# -- taken out, put in


def _positions(obj: Any, n: int, limit: int, name: str) -> Any:
    """What is named along an axis of n, counted from 0, within 0..limit: a NumPy array, or a tracer without value."""
    if isinstance(obj, slice):
        return np.arange(n)[obj]
    if isinstance(obj, list | tuple):
        obj = array(obj) if any(type(item) is Tracer for item in obj) else np.asarray(obj, None if len(obj) else int)
    if type(obj) is Tracer:
        try:
            obj = obj.value(name)
        except ConcretizationError:
            if obj.dtype.kind not in "iu":
                raise
            return compare.select(compare.lt(obj, 0), obj + n, obj)
    obj = np.asarray(obj)
    if obj.dtype.kind == "b":
        if obj.shape != (n,):
            raise ShapeError(f"{name} with a mask needs one of length {n}, got shape {obj.shape}.")
        return np.flatnonzero(obj)
    if obj.dtype.kind not in "iu":
        raise DTypeError(f"{name} needs integers, a slice or a mask, got {aval_of(obj)}. Convert it with .astype(int).")
    return np.clip(np.where(obj < 0, obj + n, obj), 0, limit)


@public("delete")
def delete(arr: Any, obj: Any, axis: int | None = None, *, assume_unique_indices: bool = False) -> Any:
    """`jax.numpy.delete`, on tracers too; of traced positions without value, one, or several that differ."""
    x = home(arr, obj).operand(arr, None)
    x, axis = (ravel(x), 0) if axis is None else (x, ax.one(axis, x.ndim))
    n = x.shape[axis]
    gone = _positions(obj, n, n, "delete")
    if type(gone) is not Tracer:
        kept = np.delete(np.arange(n), gone[gone < n])
        return by_runs(x, kept, axis) if len(kept) else cut(x, axis, 0, 0)
    if gone.ndim and not assume_unique_indices:
        raise ConcretizationError(
            f"how many elements delete leaves depends on the values of {gone.aval}, which are not known here. "
            "If no position occurs twice, say so with assume_unique_indices=True."
        )
    gone = ravel(gone).clip(0, n)
    # Of those that stay, the k-th stands behind as many deleted ones as are, less their own number, no higher than k.
    gone = sort(gone) - ops.iota(gone.dtype, gone.shape, 0)
    m = n - gone.shape[0]
    k = ops.iota(gone.dtype, (m,), 0)
    before = retype(gone[None, :] <= k[:, None], gone.dtype).sum(1)
    return _taken(x, k + retype(before, gone.dtype), axis)


def _taken(x: Any, places: Any, axis: int) -> Any:
    return index.gather(x, places, axes=(axis,), mode="promise_in_bounds")


@public("insert")
def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    """`jax.numpy.insert`, on tracers too, also at traced positions."""
    at = home(arr, obj, values)
    x, new = at.operand(arr, None), at.operand(array(values) if isinstance(values, list | tuple) else values, None)
    x, axis = (ravel(x), 0) if axis is None else (x, ax.one(axis, x.ndim))
    n = x.shape[axis]
    places = _positions(obj, n, n, "insert")
    new = retype(new, x.dtype)
    rest = (*x.shape[:axis], *x.shape[axis + 1 :])
    if not places.ndim:
        # Behind one position: everything, the values' first axis being the one that grows.
        new = ops.reshape(new, (1,) * (x.ndim - new.ndim) + new.shape)
        new = moveaxis(new, 0, axis)
        places = places.reshape((1,))
        places = places * np.ones(new.shape[axis], places.dtype) if new.shape[axis] != 1 else places
    elif places.shape == (1,) and new.ndim == x.ndim:
        places = places * np.ones(new.shape[axis], places.dtype)
    k = places.shape[0]
    new = stretch(new, (*rest[:axis], k, *rest[axis:]))
    whole = concatenate([x, new], axis)
    if type(places) is not Tracer:
        return by_runs(whole, np.insert(np.arange(n), places, n + np.arange(k)), axis)
    # Twice the numbers of the elements, and just below those the new ones: sorted, what goes where.
    keys = concatenate([2 * ops.iota(places.dtype, (n,), 0) + 1, 2 * places.clip(0, n)])
    return _taken(whole, argsort(keys, stable=True), axis)


# -- replaced


def _out_of_place(name: str, inplace: bool) -> None:
    if inplace:
        raise ValueError(
            f"gradlab.numpy.{name} cannot change an array in place. Write x = {name}(x, ..., inplace=False)."
        )


def _cycled(v: Any, n: int) -> Any:
    """The elements of v, from the front again when they run out, to the number of n."""
    v = ravel(array(v) if isinstance(v, list | tuple) else v)
    if n and not v.shape[0]:
        raise ShapeError("there is nothing to put: the values are empty.")
    return resize(v, n) if v.shape[0] != n else v


@public("put")
def put(a: Any, ind: Any, v: Any, mode: str | None = None, *, inplace: bool = True) -> Any:
    """`jax.numpy.put` with inplace=False, on tracers too: elements of the flattened array replaced."""
    _out_of_place("put", inplace)
    x = home(a, ind, v).operand(a, None)
    (places,) = alike(array(ind) if isinstance(ind, list | tuple) else ind)
    places = ravel(places)
    values = _cycled(v, places.shape[0])
    if mode not in (None, "clip", "wrap"):
        raise ArgumentError(f"put knows the modes clip and wrap (None drops what is out of bounds), got {mode!r}.")
    places = places % x.size if mode == "wrap" else places.clip(0, x.size - 1) if mode == "clip" else places
    flat = ravel(x).at[places].set(values, mode="drop")
    return ops.reshape(flat, x.shape)


@public("place")
def place(arr: Any, mask: Any, vals: Any, *, inplace: bool = True) -> Any:
    """`jax.numpy.place` with inplace=False, on tracers too: the k-th element under the mask becomes the k-th value."""
    _out_of_place("place", inplace)
    at = home(arr, mask, vals)
    x, chosen = at.operand(arr, None), truth(at.operand(mask, None))
    if chosen.shape != x.shape:
        raise ShapeError(f"place needs a mask of the array's shape {x.shape}, got {chosen.aval}.")
    values = retype(ravel(array(vals) if isinstance(vals, list | tuple) else vals), x.dtype)
    if not x.size:
        return x
    if not values.shape[0]:
        raise ShapeError("place needs at least one value to put, got none.")
    flat = ravel(chosen)
    rank = cumulative.cumsum(retype(flat, canonical_dtype(int)), axis=0) - 1
    new = _taken(values, rank % values.shape[0], 0)
    return ops.reshape(compare.select(flat, new, ravel(x)), x.shape)


@public("put_along_axis")
def put_along_axis(
    arr: Any, indices: Any, values: Any, axis: int | None, inplace: bool = True, *, mode: str | None = None
) -> Any:
    """`jax.numpy.put_along_axis` with inplace=False, on tracers too."""
    _out_of_place("put_along_axis", inplace)
    at = home(arr, indices, values)
    x, places = at.operand(arr, None), at.operand(indices, None)
    if axis is None:
        return ops.reshape(ravel(x).at[ravel(places)].set(values, mode=mode), x.shape)
    axis = ax.one(axis, x.ndim)
    if places.ndim != x.ndim:
        raise ShapeError(f"put_along_axis needs indices with the array's axes, got {places.aval} for {x.aval}.")
    shape = tuple(places.shape[i] if i == axis else n for i, n in enumerate(x.shape))
    places = stretch(places, shape)
    where = tuple(places if i == axis else ops.iota(places.dtype, shape, i) for i in range(x.ndim))
    return x.at[where].set(stretch(at.operand(values, x.aval.reshaped(())), shape), mode=mode)


@public("fill_diagonal")
def fill_diagonal(a: Any, val: Any, wrap: bool = False, *, inplace: bool = True) -> Any:
    """`jax.numpy.fill_diagonal` with inplace=False, on tracers too."""
    _out_of_place("fill_diagonal", inplace)
    x = home(a, val).operand(a, None)
    if x.ndim < 2 or (x.ndim > 2 and len(set(x.shape)) > 1):
        raise ShapeError(f"fill_diagonal needs a matrix, or several axes of one length, got {x.aval}.")
    # Of a tall matrix that wraps, the diagonal starts again one row below its end.
    rows = np.arange(x.shape[0])
    if wrap and x.ndim == 2:
        rows = rows[rows % (x.shape[1] + 1) < x.shape[1]]
        columns = rows % (x.shape[1] + 1)
    else:
        rows = columns = rows[: min(x.shape)]
    places = (rows, *(columns,) * (x.ndim - 1))
    return x.at[places].set(_cycled(val, len(rows)), unique_indices=True)
