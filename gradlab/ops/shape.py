"""Movement of elements along static axes: nothing is computed, so every derivative is the movement undone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ir.errors import ArgumentError, ShapeError
from ..ir.graph import Aval, Lit
from ..ir.primitive import Primitive, Refused
from ..trace.builder import bind, bind1
from .compare import select
from .costs import MOVES
from .families import (
    aligned,
    batch_size,
    broadcast_p,
    linear,
    moves_data,
    permute_p,
    reduce_sum_p,
    reshape_p,
    with_axis,
)
from .operands import BOOL, dtype_text, fill, require_axes, require_kind, zeros_like

Ints = tuple[int, ...]


# -- broadcast, reshape, permute: the primitives stand in families, because rules of every family need them


def broadcast(x: Any, shape: Sequence[int], axes: Sequence[int]) -> Any:
    """`x` repeated to `shape`: its axis i becomes axis `axes[i]` (increasing), of the same size or grown from 1."""
    shape, axes = tuple(shape), tuple(axes)
    if shape == x.shape and axes == tuple(range(len(shape))):
        return x
    if type(x) is Lit:
        return Lit(x.value, x.aval.reshaped(shape))
    return bind1(broadcast_p, x, shape=shape, axes=axes)


def broadcast_to(x: Any, shape: Sequence[int]) -> Any:
    """`x` repeated to `shape`, its axes aligned with the last ones as NumPy does."""
    shape = tuple(shape)
    if len(shape) < x.ndim:
        raise ShapeError(f"broadcast_to cannot drop axes: got {x.aval} and shape {shape}. Reduce or reshape it first.")
    return broadcast(x, shape, range(len(shape) - x.ndim, len(shape)))


def reshape(x: Any, shape: Sequence[int]) -> Any:
    """The elements of `x` in row-major order, in the given shape (no -1 here)."""
    shape = tuple(shape)
    if shape == x.shape:
        return x
    if isinstance(x, Lit) and math.prod(shape) == x.aval.size:
        return Lit(x.value, x.aval.reshaped(shape))
    return bind1(reshape_p, x, shape=shape)


def permute(x: Any, order: Sequence[int]) -> Any:
    """Axis i of the result is axis `order[i]` of `x`."""
    order = tuple(order)
    if order == tuple(range(x.ndim)):
        return x
    if isinstance(x, Lit) and sorted(order) == list(range(x.ndim)):
        return Lit(x.value, x.aval.reshaped(x.shape[i] for i in order))
    return bind1(permute_p, x, order=order)


def moveaxis(x: Any, source: int, to: int) -> Any:
    """`x` with one axis taken out and put back in at position `to` of the result."""
    order = [i for i in range(x.ndim) if i != source]
    order.insert(to, source)
    return permute(x, order)


def expand_dims(x: Any, axes: Sequence[int]) -> Any:
    """`x` with axes of size 1, at positions `axes` of the result."""
    require_axes("expand_dims", x.aval.reshaped((*x.shape, *(1 for _ in axes))), tuple(axes))
    sizes = iter(x.shape)
    return reshape(x, tuple(1 if i in axes else next(sizes) for i in range(x.ndim + len(axes))))


def squeeze(x: Any, axes: Sequence[int]) -> Any:
    """`x` without its axes `axes`, each of size 1."""
    require_axes("squeeze", x.aval, tuple(axes))
    if any(x.shape[a] != 1 for a in axes):
        raise ShapeError(
            f"squeeze drops axes of size 1, got axes {tuple(axes)} of {x.aval}. Index or reduce them instead."
        )
    return reshape(x, tuple(n for i, n in enumerate(x.shape) if i not in axes))


def merge_axes(x: Any, axes: Sequence[int]) -> tuple[Any, int]:
    """`x` with `axes` made one, in row-major order, and where it stands. Neighbours stay in place."""
    axes = sorted(axes)
    if not axes:
        return expand_dims(x, (0,)), 0
    first, size = axes[0], math.prod(x.shape[a] for a in axes)
    kept = [i for i in range(x.ndim) if i not in axes]
    if axes[-1] - first + 1 != len(axes):
        first = len(kept)
    rest = [x.shape[i] for i in kept]
    x = permute(x, (*kept[:first], *axes, *kept[first:]))
    return reshape(x, (*rest[:first], size, *rest[first:])), first


# -- rev


def rev(x: Any, axes: Sequence[int]) -> Any:
    """`x` read backwards along `axes`."""
    axes = tuple(sorted(axes))
    return bind1(rev_p, x, axes=axes) if axes else x


def _rev_infer(x: Aval, *, axes: Ints) -> tuple[Aval]:
    require_axes("rev", x, axes)
    return (x,)


rev_p = moves_data(
    "rev",
    infer=_rev_infer,
    emit=lambda x, *, axes: f"jnp.flip({x}, {axes[0] if len(axes) == 1 else axes})",
    transpose=lambda cts, active, x, *, axes: bind(rev_p, cts[0], axes=axes),
    batch=lambda xs, dims, *, axes: (bind(rev_p, *xs, axes=tuple(a + (a >= dims[0]) for a in axes)), dims),
)


# -- slice


def slice_(x: Any, start: Sequence[int], limit: Sequence[int], strides: Sequence[int] | None = None) -> Any:
    """`x[start:limit:stride]` on every axis, 0 ≤ start ≤ limit ≤ size, stride ≥ 1 (1 unless given)."""
    start, limit = tuple(start), tuple(limit)
    strides = (1,) * x.ndim if strides is None else tuple(strides)
    if start == (0,) * x.ndim and limit == x.shape and strides == (1,) * x.ndim:
        return x
    return bind1(slice_p, x, start=start, limit=limit, strides=strides)


def slice_in_dim(x: Any, start: int, limit: int, stride: int = 1, *, axis: int) -> Any:
    """`x[start:limit:stride]` on one axis, all of the others."""
    starts, limits, strides = [0] * x.ndim, list(x.shape), [1] * x.ndim
    starts[axis], limits[axis], strides[axis] = start, limit, stride
    return slice_(x, starts, limits, strides)


def split(x: Any, sizes: Sequence[int], *, axis: int) -> list[Any]:
    """Consecutive pieces of the given sizes along an axis; together they are all of it."""
    if sum(sizes) != x.shape[axis]:
        raise ShapeError(
            f"split needs sizes that add up to axis {axis} of {x.aval}, got {tuple(sizes)} ({sum(sizes)})."
        )
    ends = np.cumsum([0, *sizes]).tolist()
    return [slice_in_dim(x, a, b, axis=axis) for a, b in zip(ends, ends[1:], strict=False)]


def _slice_infer(x: Aval, *, start: Ints, limit: Ints, strides: Ints) -> tuple[Aval]:
    fits = len(start) == len(limit) == len(strides) == x.ndim
    if not fits or any(
        not 0 <= a <= b <= n or s < 1 for a, b, s, n in zip(start, limit, strides, x.shape, strict=True)
    ):
        raise ShapeError(
            f"slice needs 0 <= start <= limit <= size and stride >= 1 for each axis of {x}, "
            f"got start {start}, limit {limit}, strides {strides}."
        )
    return (x.reshaped(-((a - b) // s) for a, b, s in zip(start, limit, strides, strict=True)),)


def _slice_emit(x, *, start, limit, strides):
    parts = []
    for a, b, s, n in zip(start, limit, strides, x.aval.shape, strict=True):
        low, high = "" if a == 0 else str(a), "" if b == n else str(b)
        parts.append(f"{low}:{high}" + ("" if s == 1 else f":{s}"))
    while len(parts) > 1 and parts[-1] == ":":
        parts.pop()
    return f"{x}[{', '.join(parts) or '...'}]"


def _slice_call(x, *, start, limit, strides):
    return f"lax.slice({x}, {start}, {limit}{f', {strides}' if any(s != 1 for s in strides) else ''})"


def _slice_transpose(cts, active, x, *, start, limit, strides):
    taken = [(n - 1) * s + 1 if n else 0 for n, s in zip(cts[0].shape, strides, strict=True)]
    high = tuple(n - a - m for n, a, m in zip(x.shape, start, taken, strict=True))
    return (pad(cts[0], 0, start, high, tuple(s - 1 for s in strides)),)


def _slice_batch(xs, dims, *, start, limit, strides):
    (x,), (d,) = xs, dims
    whole = {"start": _insert(start, d, 0), "limit": _insert(limit, d, x.shape[d]), "strides": _insert(strides, d, 1)}
    return bind(slice_p, x, **whole), (d,)


def _insert(values: Ints, at: int, value: int) -> Ints:
    return (*values[:at], value, *values[at:])


slice_p = moves_data("slice", _slice_infer, _slice_emit, _slice_transpose, _slice_batch, _slice_call)


# -- concatenate


def concatenate(xs: Sequence[Any], axis: int) -> Any:
    """The arrays one after another along an axis; all of one dtype, and of one shape but for that axis."""
    if not xs:
        raise ArgumentError("concatenate needs at least one array, got none.")
    return xs[0] if len(xs) == 1 else bind1(concatenate_p, *xs, axis=axis)


def _concatenate_infer(*xs: Aval, axis: int) -> tuple[Aval]:
    first = xs[0]
    require_axes("concatenate", first, (axis,))
    rest = {(x.dtype, x.shape[:axis], x.shape[axis + 1 :]) for x in xs}
    if len(rest) > 1:
        raise ShapeError(
            f"concatenate along axis {axis} needs arrays of one dtype that agree on the other axes, "
            f"got {', '.join(map(str, xs))}."
        )
    total = sum(x.shape[axis] for x in xs)
    return (Aval((*first.shape[:axis], total, *first.shape[axis + 1 :]), first.dtype, all(x.weak for x in xs)),)


def _concatenate_transpose(cts, active, *xs, axis):
    ends = np.cumsum([0, *(x.shape[axis] for x in xs)]).tolist()
    return tuple(
        slice_in_dim(cts[0], a, b, axis=axis) if on else None for on, a, b in zip(active, ends, ends[1:], strict=False)
    )


def _concatenate_batch(xs, dims, *, axis):
    xs, to = aligned(xs, dims)
    return bind(concatenate_p, *xs, axis=axis + (axis >= to)), (to,)


concatenate_p = Primitive(
    name="concatenate",
    infer=_concatenate_infer,
    emit=lambda *xs, axis: f"jnp.concatenate([{', '.join(xs)}]{f', {axis}' if axis else ''})",
    call=lambda *xs, axis: f"lax.concatenate([{', '.join(xs)}], {axis})",
    jvp=linear(lambda: concatenate_p),
    transpose=_concatenate_transpose,
    batch=_concatenate_batch,
    cost=MOVES,
)


# -- pad


def pad(x: Any, value: Any, low: Sequence[int], high: Sequence[int], interior: Sequence[int] | None = None) -> Any:
    """`x` with the scalar `value` put before, after and between its elements: XLA's Pad.

    **Arguments:** `value`: a scalar of x's dtype, or a Python number. `low`, `high`: how many before and after, for
    each axis; a negative number cuts elements off, after the interior is in. `interior`: how many between neighbours.
    """
    low, high = tuple(low), tuple(high)
    between = (0,) * x.ndim if interior is None else tuple(interior)
    if not any((*low, *high, *between)):
        return x
    if isinstance(value, bool | int | float | complex):
        value = fill(value, Aval((), x.dtype))
    return bind1(pad_p, x, value, low=low, high=high, interior=between)


def _pad_infer(x: Aval, value: Aval, *, low: Ints, high: Ints, interior: Ints) -> tuple[Aval]:
    if value.shape != () or value.dtype != x.dtype:
        raise ShapeError(f"pad needs a scalar value of the dtype of {x}, got {value}. Convert it with .astype(...).")
    fits = len(low) == len(high) == len(interior) == x.ndim and all(i >= 0 for i in interior)
    shape = tuple(a + n + max(n - 1, 0) * i + b for a, n, i, b in zip(low, x.shape, interior, high, strict=False))
    if not fits or any(n < 0 for n in shape):
        raise ShapeError(
            f"pad needs low, high and interior >= 0 for each axis of {x}, and may not cut off more than there is; "
            f"got low {low}, high {high}, interior {interior}."
        )
    return (x.reshaped(shape),)


def _outside(x: Any, **params: Any) -> Any:
    """True where the padding stands, False where elements of x do."""
    return bind1(pad_p, fill(False, x.aval.retyped(BOOL)), fill(True, Aval((), BOOL)), **params)


def _pad_transpose(cts, active, x, value, *, low, high, interior):
    (ct,), cx, cv = cts, None, None
    if active[0]:
        whole = pad(ct, 0, tuple(-a for a in low), tuple(-b for b in high))
        cx = slice_(whole, (0,) * whole.ndim, whole.shape, tuple(i + 1 for i in interior))
    if active[1]:
        # Not the sum of everything less the sum of x's part: that would cancel.
        padding = select(_outside(x, low=low, high=high, interior=interior), ct, zeros_like(ct))
        cv = bind1(reduce_sum_p, padding, axes=tuple(range(ct.ndim))) if ct.ndim else padding
    return cx, cv


def _pad_batch(xs, dims, *, low, high, interior):
    (x, value), (d, dv) = xs, dims
    if dv is None:
        low, high, interior = (_insert(sizes, d, 0) for sizes in (low, high, interior))
        return bind(pad_p, x, value, low=low, high=high, interior=interior), (d,)
    x = with_axis(x, d, 0, batch_size(xs, dims))
    params = {"low": (0, *low), "high": (0, *high), "interior": (0, *interior)}
    inside = bind1(pad_p, x, fill(0, value.aval.reshaped(())), **params)
    return (select(_outside(x, **params), broadcast(value, inside.shape, (0,)), inside),), (0,)


pad_p = Primitive(
    name="pad",
    infer=_pad_infer,
    emit=lambda x, v, *, low, high, interior: f"lax.pad({x}, {v}, {tuple(zip(low, high, interior, strict=True))})",
    jvp=linear(lambda: pad_p),
    transpose=_pad_transpose,
    batch=_pad_batch,
    cost=MOVES,
)


# -- iota


def iota(dtype: Any, shape: Sequence[int], axis: int = 0) -> Any:
    """The array whose element is its own position along `axis`."""
    return bind1(iota_p, dtype=np.dtype(dtype), shape=tuple(shape), axis=axis)


def _iota_infer(*, dtype: np.dtype, shape: Ints, axis: int) -> tuple[Aval]:
    aval = Aval(shape, dtype)
    require_axes("iota", aval, (axis,))
    require_kind("iota", aval, "iufc")
    return (aval,)


def _iota_emit(*, dtype, shape, axis):
    if len(shape) == 1:
        return f"jnp.arange({shape[0]}, dtype={dtype_text(dtype)})"
    return f"lax.broadcasted_iota({dtype_text(dtype)}, {shape}, {axis})"


_NO_OPERAND = Refused("iota has no operand, so there is nothing to differentiate or batch it by")

iota_p = Primitive(
    name="iota",
    infer=_iota_infer,
    emit=_iota_emit,
    call=lambda *, dtype, shape, axis: f"lax.broadcasted_iota({dtype_text(dtype)}, {shape}, {axis})",
    jvp=_NO_OPERAND,
    transpose=_NO_OPERAND,
    batch=_NO_OPERAND,
    cost=MOVES,
)
