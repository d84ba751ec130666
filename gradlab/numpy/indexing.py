"""`x[...]`: an index written as Python's is read once, then becomes slices, one reshape and at most one gather."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from ..ir.errors import ConcretizationError, DTypeError, IndexingError
from ..ir.graph import Aval
from ..ops import index as index_ops
from ..ops import shape as ops
from ..ops.arith import add
from ..ops.compare import lt, select
from ..ops.operands import fill
from ..trace.avals import is_jax_tracer
from ..trace.tracer import Tracer
from .manipulation import permuted
from .promote import aval as aval_of
from .promote import home, lift, stretch


class Plan(NamedTuple):
    """An index as it is applied: slices first, then axes of length 1, then arrays of positions.

    `slices` has (start, stop, step) per axis; `shape` is the shape after the new axes; `at` says which of its axes are
    indexed by `arrays` (all of one shape, counted from 0); `dropped` are axes of length 1 that an integer left.
    """

    slices: tuple[tuple[int, int, int], ...]
    new: tuple[int, ...]
    dropped: tuple[int, ...]
    at: tuple[int, ...]
    arrays: tuple[Any, ...]


def read(index: Any, x: Aval, strict: bool = True, wrap: bool = True) -> Plan:
    """The plan of `x[index]`.

    **Arguments:** `strict`: whether positions known now must lie within x. `wrap`: whether negative ones count from
    the end.
    **Raises:** `IndexingError` where the index does not fit.
    """
    items = _expanded(index, x)
    slices, new, dropped, arrays = [], [], [], {}
    axis = out = 0
    for item in items:
        if item is None:
            new.append(out)
            out += 1
            continue
        n = x.shape[axis]
        if isinstance(item, slice):
            slices.append(_slice(item, n))
        elif isinstance(item, int) and (-n if wrap else 0) <= item < n:
            slices.append((item % n, item % n + 1, 1))
            dropped.append(out)
        else:
            slices.append((0, n, 1))
            arrays[out] = positions(np.asarray(item) if isinstance(item, int) else item, n, axis, x, strict, wrap)
        axis += 1
        out += 1
    if not arrays:
        return Plan(tuple(slices), tuple(new), tuple(dropped), (), ())
    return _with_arrays(slices, new, dropped, arrays)


def _with_arrays(slices: list, new: list, dropped: list, arrays: dict[int, Any]) -> Plan:
    """NumPy counts an integer beside arrays as an array: it decides where the result's axes go."""
    if any(i not in range(min(arrays), max(arrays)) for i in dropped) or dropped:
        spread = sorted([*arrays, *dropped])
        if spread == list(range(spread[0], spread[-1] + 1)) or all(not np.shape(a) for a in arrays.values()):
            # Integers in the same run as the arrays are simply dropped; what remains is where it was.
            return Plan(tuple(slices), tuple(new), tuple(dropped), tuple(sorted(arrays)), _agreed(arrays))
        zero = {i: np.zeros((), np.int64) for i in dropped}
        arrays = {**arrays, **zero}
        return Plan(tuple(slices), tuple(new), (), tuple(sorted(arrays)), _agreed(arrays))
    return Plan(tuple(slices), tuple(new), (), tuple(sorted(arrays)), _agreed(arrays))


def _agreed(arrays: dict[int, Any]) -> tuple[Any, ...]:
    """The arrays of positions, in order of their axes, with one shape and one dtype."""
    xs = [arrays[i] for i in sorted(arrays)]
    if not any(type(a) is Tracer for a in xs):
        try:
            shape = np.broadcast_shapes(*(a.shape for a in xs))
        except ValueError:
            shapes = ", ".join(str(a.shape) for a in xs)
            raise IndexingError(f"index arrays must broadcast together, got shapes {shapes}.") from None
        return tuple(np.ascontiguousarray(np.broadcast_to(a, shape)) for a in xs)
    shape = np.broadcast_shapes(*(a.shape for a in xs))
    dtypes = {a.dtype for a in xs if type(a) is Tracer}
    dtype = dtypes.pop() if len(dtypes) == 1 else np.dtype("int64" if np.dtype("int64") in dtypes else "int32")
    at = home(*xs)
    return tuple(stretch(_as_dtype(at.operand(a, None), dtype), shape) for a in xs)


def _as_dtype(x: Any, dtype: np.dtype) -> Any:
    return x if x.dtype == dtype and not x.aval.weak else x.astype(dtype)


def _expanded(index: Any, x: Aval) -> list[Any]:
    """One item per axis of x, None where an axis is made; masks are the positions of what is true in them."""
    items: list[Any] = []
    for item in index if isinstance(index, tuple) else (index,):
        items += _one(item)
    taken = sum(item is not None and item is not Ellipsis for item in items)
    if taken > x.ndim:
        raise IndexingError(f"too many indices: {x} has {x.ndim} axes, {taken} were indexed.")
    dots = [i for i, item in enumerate(items) if item is Ellipsis]
    if len(dots) > 1:
        raise IndexingError("an index can have only one ellipsis (...).")
    at = dots[0] if dots else len(items)
    _check_masks(items, x, at)
    return [*items[:at], *[slice(None)] * (x.ndim - taken), *items[at + 1 :]]


class _Masked(NamedTuple):
    """The positions along one axis of the true elements of a mask, and the mask's shape, to be checked."""

    positions: np.ndarray
    shape: tuple[int, ...]
    axis: int


def _one(item: Any) -> list[Any]:
    if item is None or item is Ellipsis or isinstance(item, slice):
        return [item]
    if is_truth(item) and not np.ndim(item):
        raise IndexingError(
            "a single True or False is an index alone, not beside others; use gradlab.numpy.where, or None for an axis."
        )
    if isinstance(item, int | np.integer):
        return [int(item)]
    if isinstance(item, list | tuple):
        item = np.asarray(item, dtype=None if len(item) else int)
    if isinstance(item, np.ndarray | jax.Array | Tracer):
        if item.dtype.kind == "b":
            return _mask(item)
        if item.dtype.kind not in "iu":
            raise DTypeError(
                f"indices are integers, slices, None, ... or boolean masks; got an array {aval_of(item)}. "
                "Convert it with .astype(int)."
            )
        if type(item) is not Tracer and not is_jax_tracer(item):
            item = np.asarray(item)
            return [int(item)] if not item.ndim else [item]
        return [item]
    try:
        return [operator.index(item)]
    except TypeError:
        raise DTypeError(
            f"{item!r} of type {type(item).__name__} is no index. Index with integers, slices, ..., None, or arrays of "
            "integers or booleans."
        ) from None


def is_truth(item: Any) -> bool:
    """Whether an index is boolean: a mask, or a single truth."""
    return isinstance(item, bool | np.bool_) or (
        isinstance(item, np.ndarray | jax.Array | Tracer) and item.dtype.kind == "b"
    )


def _known_mask(item: Any) -> np.ndarray:
    try:
        return np.asarray(item.value("a boolean mask") if type(item) is Tracer else item)
    except (ConcretizationError, jax.errors.TracerArrayConversionError):
        raise ConcretizationError(
            f"the size of x[mask] depends on the values of the mask {aval_of(item)}, which are not known here: under "
            "jit and vmap a function is read before there are numbers. Use gradlab.numpy.where(mask, x, 0), or, with a "
            "size of your own, x[gradlab.numpy.nonzero(mask, size=n)]. x.at[mask].set(v) of one value v needs no size."
        ) from None


def _mask(item: Any) -> list[Any]:
    item = _known_mask(item)
    return [_Masked(p, item.shape, i) for i, p in enumerate(np.nonzero(item))]


def _check_masks(items: list[Any], x: Aval, dots: int) -> None:
    axis = 0
    behind = sum(i is not None for i in items[dots + 1 :])
    for k, item in enumerate(items):
        if item is Ellipsis:
            axis = x.ndim - behind
            continue
        if isinstance(item, _Masked):
            if item.shape[item.axis] != x.shape[axis]:
                raise IndexingError(
                    f"a mask of shape {item.shape} does not fit {x}: axis {axis} has size {x.shape[axis]}."
                )
            items[k] = item.positions
        axis += item is not None


def _slice(item: slice, n: int) -> tuple[int, int, int]:
    try:
        start, stop, step = item.indices(n)
    except ConcretizationError:
        raise IndexingError(
            "the bounds of a slice must be known while the function is read, for they decide a shape. "
            "For a window of fixed size at a traced place, index with x[start + gradlab.numpy.arange(size)]."
        ) from None
    return start, max(start, stop) if step > 0 else min(start, stop), step


def positions(item: Any, n: int, axis: int, x: Aval, strict: bool = True, wrap: bool = True) -> Any:
    """Positions counted from 0, those outside as they are."""
    if isinstance(item, np.ndarray):
        least = -n if wrap else 0
        if strict and item.size and not (least <= item.min() and item.max() < n):
            worst = int(item.min()) if item.min() < least else int(item.max())
            raise IndexingError(f"index {worst} is out of bounds for axis {axis} of {x}, which has size {n}.")
        return np.where(item < 0, item + n, item) if wrap else item
    item = lift(item)
    if item.dtype.kind == "u" or not wrap:
        return item
    zero = fill(0, item.aval)
    return select(lt(item, zero), add(item, fill(n, item.aval)), item)


# -- reading


def apply_slices(x: Any, slices: Sequence[tuple[int, int, int]]) -> Any:
    low, high, steps, turned = [], [], [], []
    for axis, (start, stop, step) in enumerate(slices):
        if step < 0:
            count = max(0, -(-(start - stop) // -step))
            turned.append(axis)
            first = start + (count - 1) * step if count else 0
            low.append(first)
            high.append(start + 1 if count else 0)
        else:
            low.append(start)
            high.append(stop)
        steps.append(abs(step) if high[-1] > low[-1] else 1)
    if low != [0] * len(low) or tuple(high) != x.shape or steps != [1] * len(steps):
        x = ops.slice_(x, tuple(low), tuple(high), tuple(steps))
    return ops.rev(x, tuple(turned)) if turned else x


def getitem(x: Any, index: Any, mode: str = "promise_in_bounds", wrap: bool = True) -> Any:
    """`x[index]`; positions known now must lie within x unless another `mode` says what outside means."""
    if is_truth(index) and not np.ndim(index):
        x, index = ops.reshape(x, (1, *x.shape)), slice(bool(_known_mask(index)))
    plan = read(index, x.aval, mode == "promise_in_bounds", wrap)
    x = apply_slices(x, plan.slices)
    if plan.new:
        rest = iter(x.shape)
        ndim = x.ndim + len(plan.new)
        x = ops.reshape(x, tuple(1 if i in plan.new else next(rest) for i in range(ndim)))
    if plan.arrays:
        drop = set(plan.dropped)
        at = [i - sum(d < i for d in drop) for i in plan.at]
        x = _without(x, plan.dropped)
        return gathered(x, plan.arrays, at, mode)
    return _without(x, plan.dropped)


def _without(x: Any, axes: Sequence[int]) -> Any:
    if not axes:
        return x
    return ops.reshape(x, tuple(n for i, n in enumerate(x.shape) if i not in axes))


def gathered(x: Any, arrays: Sequence[Any], at: Sequence[int], mode: str) -> Any:
    """x indexed by arrays on the axes `at`; where these are no neighbours the arrays' axes come first."""
    x, at = _neighbours(x, at)
    if arrays[0].size and any(x.shape[a] == 0 for a in at):
        raise IndexingError(f"nothing to index: {x.aval} is empty along an axis of {tuple(at)}.")
    return index_ops.gather(x, *(home(x, *arrays).operand(a, None) for a in arrays), axes=tuple(at), mode=mode)


def _neighbours(x: Any, at: Sequence[int]) -> tuple[Any, list[int]]:
    if list(at) == list(range(at[0], at[0] + len(at))):
        return x, list(at)
    return permuted(x, (*at, *(i for i in range(x.ndim) if i not in at))), list(range(len(at)))
