"""Shape manipulation: the same elements in another arrangement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ir.errors import ArgumentError, ShapeError
from ..ops import shape as ops
from ..ops.dynamic import dynamic_slice
from . import axes as ax
from .dispatch import no_sharding, public
from .promote import aval as aval_of
from .promote import broadcast_shapes, home, lift, result_dtype, retype, stretch


@public("reshape")
def reshape(a: Any, shape: Any, order: str = "C", *, copy: bool | None = None, out_sharding: Any = None) -> Any:
    """`jax.numpy.reshape`, on tracers too."""
    no_sharding("reshape", out_sharding)
    a = lift(a)
    new = ax.resolved(shape if isinstance(shape, tuple | list) else (shape,), a.aval)
    if order == "F":
        return transpose(ops.reshape(transpose(a), new[::-1])) if new != a.shape else a
    return a if new == a.aval.shape else ops.reshape(a, new)


@public("ravel")
def ravel(a: Any, order: str = "C", *, out_sharding: Any = None) -> Any:
    """`jax.numpy.ravel`, on tracers too."""
    no_sharding("ravel", out_sharding)
    return reshape(a, (-1,) if aval_of(a).size else (0,), order)


@public("transpose")
def transpose(a: Any, axes: Any = None) -> Any:
    """`jax.numpy.transpose`, on tracers too."""
    a = lift(a)
    ndim = a.ndim
    order = tuple(range(ndim))[::-1] if axes is None else ax.several(axes, ndim, "axes")
    if len(order) != ndim:
        raise ShapeError(f"transpose of {a.aval} needs all of its {ndim} axes, got axes={axes}.")
    return permuted(a, order)


def permuted(a: Any, order: Sequence[int]) -> Any:
    order = tuple(order)
    return a if order == tuple(range(len(order))) else ops.permute(a, order)


@public("permute_dims")
def permute_dims(a: Any, /, axes: Any) -> Any:
    """`jax.numpy.permute_dims`, on tracers too."""
    return transpose(a, axes)


@public("matrix_transpose")
def matrix_transpose(x: Any, /) -> Any:
    """`jax.numpy.matrix_transpose`, on tracers too."""
    return swapaxes(x, -1, -2)


@public("swapaxes")
def swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    """`jax.numpy.swapaxes`, on tracers too."""
    a = lift(a)
    i, j = ax.one(axis1, a.ndim, "axis1"), ax.one(axis2, a.ndim, "axis2")
    order = list(range(a.ndim))
    order[i], order[j] = j, i
    return permuted(a, order)


@public("moveaxis")
def moveaxis(a: Any, source: Any, destination: Any) -> Any:
    """`jax.numpy.moveaxis`, on tracers too."""
    a = lift(a)
    start = ax.several(source, a.ndim, "source")
    end = ax.several(destination, a.ndim, "destination")
    if len(start) != len(end):
        raise ShapeError(f"moveaxis needs as many sources as destinations, got {source} and {destination}.")
    order = [i for i in range(a.ndim) if i not in start]
    for to, i in sorted(zip(end, start, strict=True)):
        order.insert(to, i)
    return permuted(a, order)


@public("rollaxis")
def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    """`jax.numpy.rollaxis`, on tracers too."""
    a = lift(a)
    axis = ax.one(axis, a.ndim)
    start = start + a.ndim if start < 0 else start
    return moveaxis(a, axis, start - (axis < start))


@public("expand_dims")
def expand_dims(a: Any, axis: Any) -> Any:
    """`jax.numpy.expand_dims`, on tracers too."""
    a = lift(a)
    new = axis if isinstance(axis, tuple | list) else (axis,)
    ndim = a.ndim + len(new)
    at = ax.several(tuple(new), ndim)
    rest = iter(a.shape)
    return ops.reshape(a, tuple(1 if i in at else next(rest) for i in range(ndim)))


@public("squeeze")
def squeeze(a: Any, axis: Any = None) -> Any:
    """`jax.numpy.squeeze`, on tracers too."""
    a = lift(a)
    gone = tuple(i for i, n in enumerate(a.shape) if n == 1) if axis is None else ax.several(axis, a.ndim)
    if any(a.shape[i] != 1 for i in gone):
        raise ShapeError(f"squeeze of {a.aval} at axis={axis}: only axes of length 1 can be dropped.")
    return ops.reshape(a, tuple(n for i, n in enumerate(a.shape) if i not in gone)) if gone else a


@public("broadcast_to")
def broadcast_to(array: Any, shape: Any, *, out_sharding: Any = None) -> Any:
    """`jax.numpy.broadcast_to`, on tracers too."""
    no_sharding("broadcast_to", out_sharding)
    return stretch(lift(array), ax.shape_of(shape))


@public("broadcast_arrays")
def broadcast_arrays(*args: Any) -> list[Any]:
    """`jax.numpy.broadcast_arrays`, on tracers too."""
    shape = broadcast_shapes([aval_of(a).shape for a in args])
    return [stretch(home(*args).operand(a, None), shape) for a in args]


# -- joining


def _alike(arrays: Any) -> list[Any]:
    """The arrays as tracers of one dtype."""
    arrays = list(arrays)
    if not arrays:
        raise ShapeError("at least one array is needed to join.")
    dtype, weak = result_dtype([aval_of(a) for a in arrays])
    at = home(*arrays)
    return [retype(at.operand(a, None), dtype, weak and aval_of(a).weak) for a in arrays]


@public("concatenate")
def concatenate(arrays: Any, axis: int | None = 0, dtype: Any = None) -> Any:
    """`jax.numpy.concatenate`, on tracers too."""
    xs = _alike(arrays if isinstance(arrays, tuple | list) else list(arrays))
    if dtype is not None:
        xs = [retype(x, np.dtype(dtype)) for x in xs]
    if axis is None:
        xs, axis = [ravel(x) for x in xs], 0
    if not xs[0].ndim:
        raise ShapeError("zero-dimensional arrays cannot be concatenated; use stack.")
    axis = ax.one(axis, xs[0].ndim)
    rests = {(*x.shape[:axis], *x.shape[axis + 1 :]) for x in xs}
    if len(rests) > 1:
        got = ", ".join(str(x.shape) for x in xs)
        raise ShapeError(f"concatenate along axis {axis} needs shapes that agree on every other axis, got {got}.")
    return ops.concatenate(xs, axis)


@public("concat")
def concat(arrays: Any, /, *, axis: int | None = 0) -> Any:
    """`jax.numpy.concat`, on tracers too."""
    return concatenate(arrays, axis)


@public("stack")
def stack(arrays: Any, axis: int = 0, out: None = None, dtype: Any = None) -> Any:
    """`jax.numpy.stack`, on tracers too."""
    xs = list(arrays)
    shapes = {aval_of(x).shape for x in xs}
    if len(shapes) != 1:
        raise ShapeError(f"stack needs arrays of one shape, got {', '.join(str(aval_of(x).shape) for x in xs)}.")
    axis = ax.one(axis, len(shapes.pop()) + 1)
    return concatenate([expand_dims(home(*xs).operand(x, None), axis) for x in xs], axis, dtype)


def _at_least(name: str, ndim: int, place: Any):
    def one(x: Any) -> Any:
        x = lift(x)
        return x if x.ndim >= ndim else ops.reshape(x, place(x.shape))

    @public(name)
    def call(*arys: Any) -> Any:
        out = [one(x) for x in arys]
        return out[0] if len(out) == 1 else out

    call.__name__ = call.__qualname__ = name
    return call


atleast_1d = _at_least("atleast_1d", 1, lambda s: (1,))
atleast_2d = _at_least("atleast_2d", 2, lambda s: (1, *s) if s else (1, 1))
atleast_3d = _at_least("atleast_3d", 3, lambda s: {0: (1, 1, 1), 1: (1, *s, 1), 2: (*s, 1)}[len(s)])


def _listed(x: Any) -> list[Any]:
    return x if isinstance(x, list) else [x]


@public("vstack")
def vstack(tup: Any, dtype: Any = None) -> Any:
    """`jax.numpy.vstack`, on tracers too."""
    return concatenate(_listed(atleast_2d(*tup)), 0, dtype)


@public("hstack")
def hstack(tup: Any, dtype: Any = None) -> Any:
    """`jax.numpy.hstack`, on tracers too."""
    xs = _listed(atleast_1d(*tup))
    return concatenate(xs, 0 if xs[0].ndim == 1 else 1, dtype)


@public("dstack")
def dstack(tup: Any, dtype: Any = None) -> Any:
    """`jax.numpy.dstack`, on tracers too."""
    return concatenate(_listed(atleast_3d(*tup)), 2, dtype)


@public("column_stack")
def column_stack(tup: Any) -> Any:
    """`jax.numpy.column_stack`, on tracers too."""
    return concatenate([lift(x) if lift(x).ndim > 1 else reshape(x, (-1, 1)) for x in tup], 1)


@public("append")
def append(arr: Any, values: Any, axis: int | None = None) -> Any:
    """`jax.numpy.append`, on tracers too."""
    return concatenate([arr, values], axis)


@public("meshgrid")
def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> list[Any]:
    """`jax.numpy.meshgrid`, on tracers too."""
    xs = [ravel(x) for x in xi]
    order = [1, 0, *range(2, len(xs))] if indexing == "xy" and len(xs) > 1 else list(range(len(xs)))
    full = [1] * len(xs)
    for x, at in zip(xs, order, strict=True):
        full[at] = x.shape[0]
    out = [reshape(x, [x.shape[0] if i == at else 1 for i in range(len(xs))]) for x, at in zip(xs, order, strict=True)]
    return out if sparse else [stretch(x, tuple(full)) for x in out]


# -- taking apart


@public("split")
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """`jax.numpy.split`, on tracers too."""
    ary = lift(ary)
    axis = ax.one(axis, ary.ndim)
    n = ary.shape[axis]
    if isinstance(indices_or_sections, int | np.integer) and n % int(indices_or_sections):
        raise ShapeError(
            f"split of axis {axis} of {ary.aval} into {indices_or_sections} parts does not divide; use array_split."
        )
    return array_split(ary, indices_or_sections, axis)


@public("array_split")
def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """`jax.numpy.array_split`, on tracers too."""
    ary = lift(ary)
    axis = ax.one(axis, ary.ndim)
    n = ary.shape[axis]
    if isinstance(indices_or_sections, int | np.integer):
        each, more = divmod(n, int(indices_or_sections))
        sizes = [each + (i < more) for i in range(int(indices_or_sections))]
        ends = [sum(sizes[:i]) for i in range(len(sizes) + 1)]
    else:
        cuts = [int(i) for i in indices_or_sections]
        ends = [0, *(min(max(i + n if i < 0 else i, 0), n) for i in cuts), n]
    return [cut(ary, axis, i, max(i, j)) for i, j in zip(ends, ends[1:], strict=False)]


def cut(a: Any, axis: int, start: int, stop: int, step: int = 1) -> Any:
    """`a[..., start:stop:step, ...]` along one axis, with 0 <= start <= stop and step > 0."""
    low, high, steps = [0] * a.ndim, list(a.shape), [1] * a.ndim
    low[axis], high[axis], steps[axis] = start, stop, step
    return a if (start, stop, step) == (0, a.shape[axis], 1) else ops.slice_(a, tuple(low), tuple(high), tuple(steps))


def _split_along(name: str, axis: Any):
    @public(name)
    def call(ary: Any, indices_or_sections: Any) -> list[Any]:
        return split(ary, indices_or_sections, axis(lift(ary)))

    call.__name__ = call.__qualname__ = name
    return call


vsplit = _split_along("vsplit", lambda a: 0)
hsplit = _split_along("hsplit", lambda a: 1 if a.ndim > 1 else 0)
dsplit = _split_along("dsplit", lambda a: 2)


@public("unstack")
def unstack(x: Any, /, *, axis: int = 0) -> tuple[Any, ...]:
    """`jax.numpy.unstack`, on tracers too."""
    x = lift(x)
    axis = ax.one(axis, x.ndim)
    rest = (*x.shape[:axis], *x.shape[axis + 1 :])
    return tuple(reshape(cut(x, axis, i, i + 1), rest) for i in range(x.shape[axis]))


# -- repeating, turning


@public("tile")
def tile(A: Any, reps: Any) -> Any:
    """`jax.numpy.tile`, on tracers too."""
    A = lift(A)
    reps = ax.shape_of(reps)
    ndim = max(len(reps), A.ndim)
    reps = (1,) * (ndim - len(reps)) + reps
    shape = (1,) * (ndim - A.ndim) + A.shape
    apart = ops.reshape(A, tuple(n for s in shape for n in (1, s)))
    full = stretch(apart, tuple(n for r, s in zip(reps, shape, strict=True) for n in (r, s)))
    return ops.reshape(full, tuple(r * s for r, s in zip(reps, shape, strict=True)))


@public("repeat")
def repeat(a: Any, repeats: Any, axis: int | None = None, *, total_repeat_length: int | None = None,
           out_sharding: Any = None) -> Any:  # fmt: skip
    """`jax.numpy.repeat`, on tracers too; `repeats` must have a value."""
    no_sharding("repeat", out_sharding)
    a = lift(a)
    if axis is None:
        a, axis = ravel(a), 0
    axis = ax.one(axis, a.ndim)
    n = a.shape[axis]
    counts = np.asarray(repeats.value("an index or a size") if hasattr(repeats, "value") else repeats)
    if counts.dtype.kind not in "iub" or np.any(counts < 0):
        raise ArgumentError(f"repeat needs counts that are integers and not negative, got {counts.tolist()}.")
    if counts.size == 1 and total_repeat_length is None:
        k = int(counts.reshape(()))
        apart = ops.reshape(a, (*a.shape[: axis + 1], 1, *a.shape[axis + 1 :]))
        full = ops.broadcast(
            apart, shape=(*a.shape[: axis + 1], k, *a.shape[axis + 1 :]), axes=tuple(range(a.ndim + 1))
        )
        return ops.reshape(full, (*a.shape[:axis], n * k, *a.shape[axis + 1 :]))
    places = np.repeat(np.arange(n), counts)
    if total_repeat_length is not None:
        places = (
            np.resize(places, total_repeat_length)
            if len(places) >= total_repeat_length
            else np.concatenate([places, np.full(total_repeat_length - len(places), places[-1])])
        )
    return a[(slice(None),) * axis + (places,)]


@public("flip")
def flip(m: Any, axis: Any = None) -> Any:
    """`jax.numpy.flip`, on tracers too."""
    m = lift(m)
    at = tuple(sorted(ax.several(axis, m.ndim)))
    return ops.rev(m, at) if at else m


@public("fliplr")
def fliplr(m: Any) -> Any:
    """`jax.numpy.fliplr`, on tracers too."""
    return flip(m, 1)


@public("flipud")
def flipud(m: Any) -> Any:
    """`jax.numpy.flipud`, on tracers too."""
    return flip(m, 0)


@public("rot90")
def rot90(m: Any, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Any:
    """`jax.numpy.rot90`, on tracers too."""
    m = lift(m)
    i, j = ax.several(tuple(axes), m.ndim, "axes")
    if k % 4 == 0:
        return m
    if k % 4 == 2:
        return flip(m, (i, j))
    return swapaxes(flip(m, j), i, j) if k % 4 == 1 else flip(swapaxes(m, i, j), j)


@public("roll")
def roll(a: Any, shift: Any, axis: Any = None) -> Any:
    """`jax.numpy.roll`, on tracers too; the shift may be traced as well."""
    a = home(a, shift).operand(a, None)
    if axis is None:
        return reshape(roll(ravel(a), shift, 0), a.shape)
    at = axis if isinstance(axis, tuple | list) else (axis,)
    if hasattr(shift, "shape") and len(shift.shape) > 1:
        raise ShapeError(f"roll needs a number, or a shift for each of its axes, got {aval_of(shift)}.")
    several = isinstance(shift, tuple | list) or bool(getattr(shift, "shape", ()))
    by = [shift[k] for k in range(len(shift))] if several else [shift]
    if len(by) != len(at) and 1 not in (len(by), len(at)):
        raise ShapeError(f"roll needs as many shifts as axes, or one of either; got {len(by)} and {len(at)}.")
    many = max(len(by), len(at))
    for s, i in zip(by * (many // len(by)), tuple(at) * (many // len(at)), strict=True):
        a = _rolled(a, s, ax.one(i, a.ndim))
    return a


def _rolled(a: Any, shift: Any, axis: int) -> Any:
    n = a.shape[axis]
    if not n:
        return a
    if hasattr(shift, "builder"):
        twice = ops.concatenate([a, a], axis)
        starts = [n - shift % n if i == axis else 0 for i in range(a.ndim)]
        return dynamic_slice(twice, *starts, sizes=a.shape)
    shift = int(shift) % n
    return ops.concatenate([cut(a, axis, n - shift, n), cut(a, axis, 0, n - shift)], axis) if shift else a


@public("copy")
def copy(a: Any, order: str | None = None) -> Any:
    """`jax.numpy.copy`, on tracers too; tracers never change, so a copy is the array itself."""
    return lift(a)
