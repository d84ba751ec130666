"""Parts of arrays: taken by position, diagonals, triangles, differences."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir.errors import ArgumentError, ConcretizationError, DTypeError, IndexingError, ShapeError
from ..ops import index as index_ops
from ..ops import shape
from ..ops.compare import select
from ..ops.index import gather, scatter_set
from ..ops.operands import fill, zeros_like
from . import axes as ax
from .creation import array, lower_mask
from .dispatch import public, sized_by_values
from .formulas import truth
from .indexing import getitem, positions
from .manipulation import concatenate, cut, expand_dims, permuted, ravel
from .places import counted, length, true_places
from .promote import aval as aval_of
from .promote import broadcast_shapes, home, lift, result_dtype, retype, stretch
from .reductions import sum as sum_


@public("take")
def take(a: Any, indices: Any, axis: int | None = None, out: None = None, mode: str | None = None,
         unique_indices: bool = False, indices_are_sorted: bool = False, fill_value: Any = None) -> Any:  # fmt: skip
    """`jax.numpy.take`, on tracers too."""
    x = home(a, indices).operand(a, None)
    if axis is None:
        x, axis = ravel(x), 0
    axis = ax.one(axis, x.ndim)
    mode = mode or "fill"
    if mode not in ("fill", "wrap", "clip"):
        raise ArgumentError(f"take knows the modes fill, wrap and clip, got {mode!r}.")
    if mode == "fill" and fill_value is not None:
        return x.at[(slice(None),) * axis + (indices,)].get(mode="fill", fill_value=fill_value)
    if mode == "wrap":
        indices = indices % x.shape[axis]
    elif mode == "clip" and not hasattr(indices, "builder"):
        indices = np.clip(np.asarray(indices), 0, x.shape[axis] - 1)
    elif isinstance(indices, int | np.integer):
        indices = int(indices)
    if mode == "clip":
        indices = lift(indices).clip(0, x.shape[axis] - 1)
    return getitem(x, (slice(None),) * axis + (indices,), "promise_in_bounds" if mode in ("wrap", "clip") else mode)


@public("choose")
def choose(a: Any, choices: Any, out: None = None, mode: str = "raise") -> Any:
    """`jax.numpy.choose`, on tracers too: of each place the element of the array that `a` numbers."""
    listed = list(choices) if isinstance(choices, list | tuple) else [lift(choices)[i] for i in range(len(choices))]
    at = home(a, *listed)
    which, n = at.operand(a, None), len(listed)
    if which.dtype.kind not in "iu":
        raise DTypeError(f"choose numbers its choices by integers, got {which.aval}. See select for conditions.")
    if mode == "raise":
        known = np.asarray(which.value("choose(mode='raise')"))
        if known.size and not (known.min() >= 0 and known.max() < n):
            raise IndexingError(f"choose has choices 0 to {n - 1}, and was asked for {known.min()} to {known.max()}.")
    elif mode not in ("wrap", "clip"):
        raise ArgumentError(f"choose knows the modes raise, wrap and clip; got {mode!r}.")
    which = which % n if mode == "wrap" else which.clip(0, n - 1)
    dtype, _ = result_dtype([aval_of(c) for c in listed])
    shape_ = broadcast_shapes([which.shape, *(aval_of(c).shape for c in listed)])
    rows = [expand_dims(stretch(retype(at.operand(c, None), dtype), shape_), 0) for c in listed]
    found = index_ops.take_along_axis(concatenate(rows, 0), expand_dims(stretch(which, shape_), 0), axis=0)
    return shape.reshape(found, shape_)


@sized_by_values("compress")
def compress(condition: Any, a: Any, axis: int | None = None, *, size: int | None = None, fill_value: Any = 0,
             out: None = None) -> Any:  # fmt: skip
    """`jax.numpy.compress`, on tracers too."""
    condition = array(condition) if isinstance(condition, list | tuple) else condition
    at = home(condition, a)
    mask, x = truth(at.operand(condition, None)), at.operand(a, None)
    if mask.ndim != 1:
        raise ShapeError(f"compress needs a condition along one axis, got {mask.aval}. See extract, or x[mask].")
    x, axis = (ravel(x), 0) if axis is None else (x, ax.one(axis, x.ndim))
    n = x.shape[axis]
    if mask.shape[0] > n and size is None and any(cut(mask, 0, n, mask.shape[0]).tolist()):
        raise ShapeError(f"the condition {mask.aval} is true beyond the {n} elements along the axis of {x.aval}.")
    mask = cut(mask, 0, 0, min(n, mask.shape[0]))
    size = length("compress", size, counted(mask), "; what is missing is filled with fill_value")
    return take(x, true_places(mask, size, n), axis, mode="fill", fill_value=fill_value)


@sized_by_values("extract")
def extract(condition: Any, arr: Any, *, size: int | None = None, fill_value: Any = 0) -> Any:
    """`jax.numpy.extract`, on tracers too."""
    at = home(condition, arr)
    flat = (ravel(at.operand(v, None)) for v in (condition, arr))
    return compress(*flat, size=size, fill_value=fill_value)


@sized_by_values("trim_zeros")
def trim_zeros(filt: Any, trim: str = "fb", axis: Any = None) -> Any:
    """`jax.numpy.trim_zeros`, on tracers that have a value too."""
    x = lift(filt)
    axes = ax.several(axis, x.ndim)
    bounds = [slice(None)] * x.ndim
    try:
        full = np.asarray(truth(x).value("trim_zeros"))
    except ConcretizationError:
        raise ConcretizationError(
            f"how much trim_zeros leaves of {x.aval} depends on values, which are not known here (under jit and vmap). "
            "Slice with bounds known now, or set what is outside to 0 with gradlab.numpy.where."
        ) from None
    for i in axes:
        some = np.flatnonzero(full.any(tuple(j for j in range(x.ndim) if j != i)))
        front, back = "f" in trim.lower(), "b" in trim.lower()
        if front or back:
            stop = int(some[-1]) + 1 if len(some) else 0
            bounds[i] = slice(int(some[0]) if front and len(some) else None, stop if back or not len(some) else None)
    return x[tuple(bounds)]


@public("take_along_axis")
def take_along_axis(arr: Any, indices: Any, axis: int | None = -1, mode: str | None = None, fill_value: Any = None, *,
                    wrap_negative_indices: bool | None = True) -> Any:  # fmt: skip
    """`jax.numpy.take_along_axis`, on tracers too."""
    at = home(arr, indices)
    x, i = at.operand(arr, None), at.operand(indices, None)
    if axis is None:
        x, axis = ravel(x), 0
    axis = ax.one(axis, x.ndim)
    if i.ndim != x.ndim:
        raise ShapeError(f"take_along_axis needs indices with as many axes as the array, got {i.aval} for {x.aval}.")
    rest = list(
        broadcast_shapes([x.shape[:axis] + (1,) + x.shape[axis + 1 :], i.shape[:axis] + (1,) + i.shape[axis + 1 :]])
    )
    x = stretch(x, (*rest[:axis], x.shape[axis], *rest[axis + 1 :]))
    i = stretch(i, (*rest[:axis], i.shape[axis], *rest[axis + 1 :]))
    if wrap_negative_indices or wrap_negative_indices is None:
        i = positions(i, x.shape[axis], axis, x.aval)
    if fill_value is None or mode not in (None, "fill"):
        return index_ops.take_along_axis(x, i, axis=axis, mode=mode or "fill")
    found = index_ops.take_along_axis(x, i, axis=axis, mode="zero")
    inside = (i >= 0) & (i < x.shape[axis])
    return select(inside, found, stretch(retype(at.operand(fill_value, None), x.dtype), found.shape))


@public("diagonal")
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """`jax.numpy.diagonal`, on tracers too."""
    x = lift(a)
    i, j = ax.several((axis1, axis2), x.ndim)
    rest = [k for k in range(x.ndim) if k not in (i, j)]
    m, n = x.shape[i], x.shape[j]
    size = max(0, min(m + min(offset, 0), n - max(offset, 0)))
    x = permuted(x, [*rest, i, j])
    if not size:
        return shape.slice_(x, (0,) * x.ndim, (*x.shape[:-2], 0, 1), (1,) * x.ndim)[..., 0]
    return gather(x, *_on_diagonal(size, offset), axes=(x.ndim - 2, x.ndim - 1), mode="promise_in_bounds")


def _on_diagonal(size: int, offset: int) -> tuple[Any, Any]:
    """The rows and the columns of the elements of a diagonal."""
    along = shape.iota("int32", (size,))
    return along + max(-offset, 0), along + max(offset, 0)


@public("diag")
def diag(v: Any, k: int = 0) -> Any:
    """`jax.numpy.diag`, on tracers too."""
    x = lift(v)
    if x.ndim == 2:
        return diagonal(x, k)
    if x.ndim != 1:
        raise ShapeError(f"diag needs a vector or a matrix, got {x.aval}. Use diagonal for more axes.")
    return _with_diagonal(x, k)


def _with_diagonal(x: Any, k: int) -> Any:
    n = x.shape[0] + abs(k)
    zeros = fill(x.dtype.type(0).item(), x.aval.reshaped((n, n)))
    at = _on_diagonal(x.shape[0], k)
    return scatter_set(zeros, x, *at, axes=(0, 1), mode="promise_in_bounds", unique=True)


@public("diagflat")
def diagflat(v: Any, k: int = 0) -> Any:
    """`jax.numpy.diagflat`, on tracers too."""
    return _with_diagonal(ravel(v), k)


@public("trace")
def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: None = None) -> Any:
    """`jax.numpy.trace`, on tracers too."""
    return sum_(diagonal(a, offset, axis1, axis2), -1, dtype)


def _triangle(name: str, lower: bool) -> Any:
    @public(name)
    def call(m: Any, k: int = 0) -> Any:
        x = lift(m)
        if x.ndim < 2:
            raise ShapeError(f"{name} needs a matrix, got {x.aval}.")
        mask = stretch(lower_mask(x.shape[-2], x.shape[-1], k if lower else k - 1), x.shape)
        return select(mask, x, zeros_like(x)) if lower else select(mask, zeros_like(x), x)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"`jax.numpy.{name}`, on tracers too."
    return call


tril = _triangle("tril", True)
triu = _triangle("triu", False)


@public("diff")
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """`jax.numpy.diff`, on tracers too."""
    x = lift(a)
    axis = ax.one(axis, x.ndim)

    def edge(value: Any) -> Any:
        value = retype(lift(value), x.dtype)
        return value if value.ndim else stretch(value, (*x.shape[:axis], 1, *x.shape[axis + 1 :]))

    parts = [*([edge(prepend)] if prepend is not None else []), x, *([edge(append)] if append is not None else [])]
    x = concatenate(parts, axis) if len(parts) > 1 else x
    for _ in range(n):
        size = x.shape[axis]
        later, earlier = cut(x, axis, min(1, size), size), cut(x, axis, 0, max(size - 1, 0))
        x = later ^ earlier if x.dtype.kind == "b" else later - earlier
    return x


@public("trapezoid")
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """`jax.numpy.trapezoid`, on tracers too."""
    y = home(y, x, dx).operand(y, None)
    axis = ax.one(axis, y.ndim)
    if x is not None:
        x = home(y, x).operand(x, None)
        dx = diff(x) if x.ndim == 1 else diff(x, axis=axis)
        if x.ndim == 1:
            dx = shape.reshape(dx, (*dx.shape, *(1,) * (y.ndim - axis - 1)))
    n = y.shape[axis]
    return 0.5 * (dx * (cut(y, axis, 1, n) + cut(y, axis, 0, n - 1))).sum(axis)
