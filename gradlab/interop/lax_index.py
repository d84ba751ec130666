"""XLA's gather and scatter in the IR's words, where one index names one element along each axis it indexes.

XLA moves *windows*: `indices[..., k]` is where the window begins along one axis of the array, and the window's sizes
along all axes are given. The IR indexes neighbouring axes by one array each. So every axis along which windows begin
somewhere gets an array of positions (the beginning, and what the window counts from there), the array is transposed
until these axes are neighbours, and the result's axes are put where XLA has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..ir.errors import DTypeError
from ..ir.graph import Aval
from ..ops import index as ops
from ..ops.arith import add, clamp
from ..ops.compare import ge, le, select
from ..ops.convert import convert
from ..ops.elementwise import bitwise_and
from ..ops.operands import BOOL, fill, kind
from ..ops.shape import broadcast, iota, permute, reshape, slice_in_dim
from .jaxpr import reads

_MODES = {"CLIP": "clip", "FILL_OR_DROP": "fill", "PROMISE_IN_BOUNDS": "promise_in_bounds"}

Ints = tuple[int, ...]


class _Windows(NamedTuple):
    """Which windows of an array an equation moves.

    **Attributes:** `indexed`: the axes along which they begin somewhere, with the number of the index, in order;
    `paired`: axes shared with the indices, with the indices' axis; `sizes`: the window's sizes; `gone`: the axes, of
    window size 1, that a window is written without.
    """

    indexed: dict[int, int]
    paired: dict[int, int]
    sizes: Ints
    gone: Ints


def _positions(indices: Any, windows: _Windows, x: Aval, mode: str) -> tuple[list[Any], Ints, Ints, str]:
    """Arrays of positions, the axes of x they index, their windowed axes, and the mode that is left to honour.

    The arrays have the shape (*batch, *window sizes along those axes).
    """
    batch = indices.shape[:-1]
    # An axis that windows cover whole, and begin at 0 or would be moved back to 0, is not indexed at all.
    at = {a: k for a, k in windows.indexed.items() if windows.sizes[a] != x.shape[a] or mode == "fill"}
    axes = tuple(sorted({*at, *windows.paired}))
    wide = tuple(a for a in axes if a in at and windows.sizes[a] != 1)
    full = (*batch, *(windows.sizes[a] for a in wide))
    inside, arrays = None, []
    for a in axes:
        if a in windows.paired:
            arrays.append(iota(indices.dtype, full, windows.paired[a]))
            continue
        start = reshape(slice_in_dim(indices, at[a], at[a] + 1, axis=indices.ndim - 1), batch)
        last = fill(x.shape[a] - windows.sizes[a], start.aval)
        if mode == "clip":
            start = clamp(fill(0, start.aval), start, last)
        elif mode == "fill" and wide:
            ok = bitwise_and(ge(start, fill(0, start.aval)), le(start, last))
            inside = ok if inside is None else bitwise_and(inside, ok)
        start = broadcast(start, full, range(len(batch)))
        if a in wide:
            start = add(start, iota(indices.dtype, full, len(batch) + wide.index(a)))
        arrays.append(start)
    if inside is not None:
        # A window that sticks out is left out whole: all of it is sent out of bounds.
        inside = broadcast(inside, full, range(len(batch)))
        arrays = [select(inside, i, fill(x.shape[a], i.aval)) for a, i in zip(axes, arrays, strict=True)]
    return arrays, axes, wide, "promise_in_bounds" if mode == "clip" else mode


def _neighbours(axes: Ints, ndim: int) -> tuple[Ints, Ints]:
    """An order of all axes in which `axes` are neighbours, and where they are then."""
    if axes == tuple(range(axes[0], axes[0] + len(axes))):
        return tuple(range(ndim)), axes
    return (*axes, *(a for a in range(ndim) if a not in axes)), tuple(range(len(axes)))


def _inverse(order: Sequence[int]) -> Ints:
    return tuple(int(i) for i in np.argsort(order))


def _signed(indices: Any) -> Any:
    """Indices in which positions can be counted: narrow ones are widened, for a window may reach beyond."""
    return indices if indices.dtype.itemsize >= 4 else convert(indices, dtype=np.dtype("int32"))


# -- gather


@reads("gather")
def _gather(xs, outs, *, dimension_numbers, slice_sizes, mode, fill_value=None, **hints):
    x, indices = xs
    name = _MODES.get(mode.name)
    if name is None or 0 in outs[0].shape or 0 in x.shape:
        return NotImplemented
    d = dimension_numbers
    windows = _Windows(
        {a: k for k, a in enumerate(d.start_index_map)},
        dict(zip(d.operand_batching_dims, d.start_indices_batching_dims, strict=True)),
        tuple(slice_sizes),
        (*d.collapsed_slice_dims, *d.operand_batching_dims),
    )
    for a, n in enumerate(slice_sizes):
        if n != x.shape[a] and a not in windows.indexed and a not in windows.paired:
            x = slice_in_dim(x, 0, n, axis=a)
    indices = _signed(indices)
    arrays, axes, wide, name = _positions(indices, windows, x.aval, name)
    batch = indices.ndim - 1
    if not axes:  # every window is all of the array, its axes that are indexed away being of length one
        layout = [a for a in range(x.ndim) if a not in windows.gone]
        x = reshape(x, tuple([x.shape[a] for a in layout]))
        order = tuple(range(batch, batch + x.ndim))
        out = broadcast(x, (*indices.shape[:-1], *x.shape), order)
        return _placed(out, tuple(range(batch)), dict(zip(layout, order, strict=True)), windows, d.offset_dims, outs[0])
    order, at = _neighbours(axes, x.ndim)
    out = _filled_gather(permute(x, order), arrays, at, name, fill_value)
    # The result's axes: those of x before the indexed ones, the batch, the windowed ones, the rest of x.
    grown = batch + len(wide)
    where = {}
    for k, a in enumerate(order):
        if k not in at:
            where[a] = k if k < at[0] else k - len(at) + grown
    where.update({a: at[0] + batch + k for k, a in enumerate(wide)})
    return _placed(out, tuple(range(at[0], at[0] + batch)), where, windows, d.offset_dims, outs[0])


def _filled_gather(x: Any, arrays: Sequence[Any], at: Ints, mode: str, value: Any) -> Any:
    if mode != "fill" or value is None:
        return ops.gather(x, *arrays, axes=at, mode=mode)
    out = ops.gather(x, *arrays, axes=at, mode="zero")
    if value == 0:
        return out
    there = ops.gather(fill(True, x.aval.retyped(BOOL)), *arrays, axes=at, mode="zero")
    return select(there, out, fill(np.asarray(value).item(), out.aval))


def _placed(out: Any, batch: Ints, where: dict[int, int], windows: _Windows, offsets: Sequence[int], aval: Aval) -> Any:
    """The gathered windows with their axes where XLA has them: the windows' at `offsets`, the batch at the others."""
    kept = [a for a in range(len(windows.sizes)) if a not in windows.gone]
    # An axis kept in a window of size 1 was indexed away: reshape makes it again.
    present = [a for a in kept if a in where]
    order: list[int] = []
    rest = iter(batch)
    for k in range(aval.ndim):
        if k in offsets:
            a = kept[list(offsets).index(k)]
            if a in present:
                order.append(where[a])
        else:
            order.append(next(rest))
    return reshape(permute(out, tuple(order)), aval.shape)


# -- scatter

_SCATTERS = {
    "scatter": (ops.scatter_set, True), "scatter_add": (ops.scatter_add, False),
    "scatter_mul": (ops.scatter_mul, True), "scatter_min": (ops.scatter_min, False),
    "scatter_max": (ops.scatter_max, False),
}  # fmt: skip


def _scatter(name: str):
    function, knows_unique = _SCATTERS[name]

    def rule(xs, outs, *, dimension_numbers, mode, unique_indices, update_jaxpr=None, **hints):
        x, indices, updates = xs
        how = _MODES.get(mode.name)
        if how is None or 0 in updates.shape or 0 in x.shape:
            return NotImplemented
        if name == "scatter" and update_jaxpr is not None and update_jaxpr.eqns:
            return NotImplemented  # x.at[...].apply(f)
        if kind(x.dtype) == "b" and name != "scatter":
            raise DTypeError(f"{name} of booleans")
        d = dimension_numbers
        gone = (*d.inserted_window_dims, *d.operand_batching_dims)
        kept = [a for a in range(x.ndim) if a not in gone]
        sizes = {a: updates.shape[k] for a, k in zip(kept, d.update_window_dims, strict=True)}
        windows = _Windows(
            {a: k for k, a in enumerate(d.scatter_dims_to_operand_dims)},
            dict(zip(d.operand_batching_dims, d.scatter_indices_batching_dims, strict=True)),
            tuple(sizes.get(a, 1) for a in range(x.ndim)),
            gone,
        )
        if any(n != x.shape[a] and a not in windows.indexed and a not in windows.paired for a, n in sizes.items()):
            return NotImplemented
        indices = _signed(indices)
        arrays, axes, wide, how = _positions(indices, windows, x.aval, how)
        if not axes:
            return NotImplemented
        order, at = _neighbours(axes, x.ndim)
        batch = [k for k in range(updates.ndim) if k not in d.update_window_dims]
        place = dict(zip(kept, d.update_window_dims, strict=True))
        # The window as the IR has it: x's axes before the indexed ones, the batch, the windowed ones, the rest of x.
        turned = [place[a] for k, a in enumerate(order) if k < at[0]]
        turned += batch + [place[a] for a in wide]
        turned += [place[a] for k, a in enumerate(order) if k > at[-1]]
        dropped = [k for k in range(updates.ndim) if k not in turned]
        updates = reshape(permute(updates, (*turned, *dropped)), tuple(updates.shape[k] for k in turned))
        extra = {"unique": True} if knows_unique and unique_indices else {}
        out = function(permute(x, order), updates, *arrays, axes=at, mode="drop" if how == "fill" else how, **extra)
        return permute(out, _inverse(order))

    return rule


for _name in _SCATTERS:
    reads(_name)(_scatter(_name))
