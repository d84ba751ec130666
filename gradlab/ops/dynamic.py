"""Blocks of fixed size at a place known only at run time: `dynamic_slice` reads, `dynamic_update_slice` writes.

A start that would let the block stick out is moved back, as XLA does: to max(0, min(start, size − block)).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ir.errors import DTypeError, ShapeError
from ..ir.graph import Aval
from ..ir.primitive import Primitive
from ..trace.builder import bind, bind1
from .arith import add, clamp
from .costs import MOVES
from .families import batch_size, with_axis
from .index import gather, scatter_set, together
from .operands import fill, or_zeros, zeros_like
from .shape import broadcast, iota

Ints = tuple[int, ...]


def dynamic_slice(x: Any, *starts: Any, sizes: Sequence[int]) -> Any:
    """`x[i : i + size]` on every axis, with scalar integers `starts`, one per axis, of one dtype (or Python ints)."""
    return bind1(dynamic_slice_p, x, *_scalars(starts), sizes=tuple(sizes))


def dynamic_update_slice(x: Any, update: Any, *starts: Any) -> Any:
    """`x` with the block that begins at `starts` replaced by `update`, of as many axes."""
    return bind1(dynamic_update_slice_p, x, update, *_scalars(starts))


def _scalars(starts: Sequence[Any]) -> list[Any]:
    dtype = next((s.dtype for s in starts if not isinstance(s, int)), np.dtype("int32"))
    return [fill(s, Aval((), dtype)) if isinstance(s, int) else s for s in starts]


def _require_block(name: str, x: Aval, sizes: Ints, starts: Sequence[Aval]) -> None:
    if len(sizes) != x.ndim or any(not 0 <= m <= n for m, n in zip(sizes, x.shape, strict=True)):
        raise ShapeError(f"{name} needs a block that fits into {x}, got one of shape {sizes}.")
    if len(starts) != x.ndim or len({(s.shape, s.dtype) for s in starts} | {((), s.dtype) for s in starts}) > 1:
        got = ", ".join(map(str, starts))
        raise ShapeError(f"{name} needs one scalar start of one dtype for each axis of {x}, got ({got}).")
    if any(s.dtype.kind not in "iu" for s in starts):
        raise DTypeError(f"{name} starts at integers, got {starts[0]}. Convert them with .astype(int).")


def _positions(starts: Sequence[Any], at: Sequence[int | None], shape: Ints, sizes: Ints) -> tuple[list[Any], Ints]:
    """Where a batch of blocks lies: index arrays (batch, *block), and the axes they index (none if all are full)."""
    moving = [a for a, (m, n) in enumerate(zip(sizes, shape, strict=True)) if m != n]
    if not moving:
        return [], ()
    axes = tuple(range(moving[0], moving[-1] + 1))
    block = (batch_size(starts, at), *(sizes[a] for a in axes))
    positions = []
    for k, a in enumerate(axes):
        start, along = starts[a], iota(starts[a].dtype, block, k + 1)
        if a in moving:
            start = clamp(fill(0, start.aval), start, fill(shape[a] - sizes[a], start.aval))
            along = add(broadcast(start, block, (0,) if at[a] is not None else ()), along)
        positions.append(along)
    return positions, axes


# -- dynamic_slice


def _slice_infer(x: Aval, *starts: Aval, sizes: Ints) -> tuple[Aval]:
    _require_block("dynamic_slice", x, sizes, starts)
    return (x.reshaped(sizes),)


def _starts_text(starts: Sequence[str]) -> str:
    return f"({', '.join(starts)}{',' if len(starts) == 1 else ''})"


def _slice_emit(x, *starts, sizes):
    return f"lax.dynamic_slice({x}, {_starts_text(starts)}, {sizes}, allow_negative_indices=False)"


def _slice_jvp(xs, ts, *, sizes):
    x, *starts = xs
    return bind(dynamic_slice_p, *xs, sizes=sizes), bind(dynamic_slice_p, ts[0], *starts, sizes=sizes)


def _slice_transpose(cts, active, x, *starts, sizes):
    return (dynamic_update_slice(zeros_like(x), cts[0], *starts), *(None for _ in starts))


def _slice_batch(xs, dims, *, sizes):
    x, *starts = xs
    d, *at = dims
    if all(s is None for s in at):
        starts.insert(d, fill(0, starts[0].aval) if starts else 0)
        return (dynamic_slice(x, *starts, sizes=(*sizes[:d], x.shape[d], *sizes[d:])),), (d,)
    shape = x.shape if d is None else (*x.shape[:d], *x.shape[d + 1 :])
    positions, axes = _positions(starts, at, shape, sizes)
    if not axes:
        return (x,), (d,)
    if d is None:
        return (gather(x, *positions, axes=axes, mode="promise_in_bounds"),), (axes[0],)
    (x,), positions, axes, to = together([x], [d], positions, [0] * len(positions), axes)
    return (gather(x, *positions, axes=axes, mode="promise_in_bounds"),), (to,)


dynamic_slice_p = Primitive(
    name="dynamic_slice",
    infer=_slice_infer,
    emit=_slice_emit,
    jvp=_slice_jvp,
    transpose=_slice_transpose,
    batch=_slice_batch,
    cost=MOVES,
)


# -- dynamic_update_slice


def _update_infer(x: Aval, update: Aval, *starts: Aval) -> tuple[Aval]:
    _require_block("dynamic_update_slice", x, update.shape, starts)
    if update.dtype != x.dtype:
        raise DTypeError(f"dynamic_update_slice into {x} needs an update of its dtype, got {update}. Convert it first.")
    return (Aval(x.shape, x.dtype, x.weak and update.weak),)


def _update_emit(x, update, *starts):
    return f"lax.dynamic_update_slice({x}, {update}, {_starts_text(starts)}, allow_negative_indices=False)"


def _update_jvp(xs, ts):
    x, update, *starts = xs
    t, du = or_zeros(ts[:2], (x, update))
    return bind(dynamic_update_slice_p, *xs), bind(dynamic_update_slice_p, t, du, *starts)


def _update_transpose(cts, active, x, update, *starts):
    cx = dynamic_update_slice(cts[0], zeros_like(update), *starts) if active[0] else None
    cu = dynamic_slice(cts[0], *starts, sizes=update.shape) if active[1] else None
    return (cx, cu, *(None for _ in starts))


def _update_batch(xs, dims):
    x, update, *starts = xs
    d, du, *at = dims
    size = batch_size(xs, dims)
    if all(s is None for s in at):
        to = du if d is None else d
        x, update = with_axis(x, d, to, size), with_axis(update, du, to, size)
        starts.insert(to, fill(0, starts[0].aval) if starts else 0)
        return (dynamic_update_slice(x, update, *starts),), (to,)
    shape, block = ((y.shape if i is None else (*y.shape[:i], *y.shape[i + 1 :])) for y, i in ((x, d), (update, du)))
    positions, axes = _positions(starts, at, shape, block)
    if not axes:
        return (update,), (du,)
    (x, update), positions, axes, to = together([x, update], [d, du], positions, [0] * len(positions), axes)
    return (scatter_set(x, update, *positions, axes=axes, mode="promise_in_bounds", unique=True),), (to,)


dynamic_update_slice_p = Primitive(
    name="dynamic_update_slice",
    infer=_update_infer,
    emit=_update_emit,
    jvp=_update_jvp,
    transpose=_update_transpose,
    batch=_update_batch,
    cost=MOVES,
)
