"""`x.at[index].set(v)` and its kin: the array with some elements replaced, out of place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..ir.errors import ArgumentError, IndexingError
from ..ir.graph import Aval
from ..ops import index as index_ops
from ..ops import shape as ops
from ..ops.compare import select
from ..ops.dynamic import dynamic_update_slice
from ..ops.operands import BOOL, fill
from ..trace.tracer import Tracer
from . import elementwise as ew
from . import formulas
from .aliasing import own
from .choose import where as choose
from .indexing import Plan, getitem, is_truth, read
from .manipulation import permuted
from .promote import home, retype, stretch

_DUPLICATES_MATTER = {
    "add": index_ops.scatter_add,
    "multiply": index_ops.scatter_mul,
    "min": index_ops.scatter_min,
    "max": index_ops.scatter_max,
    "set": index_ops.scatter_set,
}
_MODES = {
    "fill": "drop", "drop": "drop", "fill_or_drop": "drop", "clip": "clip", "promise_in_bounds": "promise_in_bounds",
}  # fmt: skip


class At:
    """`x.at`: index it, then say what to do there."""

    __slots__ = ("x",)

    def __init__(self, x: Any):
        self.x = x

    def __getitem__(self, index: Any) -> Place:
        return Place(self.x, index)


class Place:
    """`x.at[index]`. Every method returns a new array; x is as it was."""

    __slots__ = ("index", "x")

    def __init__(self, x: Any, index: Any):
        self.x = x
        self.index = index

    def get(self, *, indices_are_sorted: bool = False, unique_indices: bool = False, mode: Any = None,
            fill_value: Any = None, out_sharding: Any = None, wrap_negative_indices: bool = True) -> Any:  # fmt: skip
        """`x[index]`; `mode` says what out of bounds means, `fill_value` what is found there."""
        mode = _mode(mode, "promise_in_bounds" if fill_value is None else "fill")
        mode = "fill" if mode == "drop" else mode
        x, wrap = self.x, wrap_negative_indices
        if fill_value is None or mode != "fill":
            return own(getitem(x, self.index, mode, wrap), (x,))
        inside = getitem(x.builder.literal(True, Aval(x.shape, BOOL)), self.index, "zero", wrap)
        found = getitem(x, self.index, "zero", wrap)
        instead = retype(home(x, fill_value).operand(fill_value, None), x.dtype)
        return own(choose(inside, found, instead), (x,))

    def set(self, values: Any, **how: Any) -> Any:
        """The elements replaced by `values`."""
        return _update(self, "set", values, lambda old, new: new, **how)

    def add(self, values: Any, **how: Any) -> Any:
        """`values` added, as often as an element is named."""
        return _update(self, "add", values, ew.add, **how)

    def subtract(self, values: Any, **how: Any) -> Any:
        """`values` subtracted, as often as an element is named."""
        return _update(
            self, "add", ew.negative(home(self.x, values).operand(values, self.x.aval.reshaped(()))), ew.add, **how
        )

    def multiply(self, values: Any, **how: Any) -> Any:
        """The elements multiplied by `values`."""
        return _update(self, "multiply", values, ew.multiply, **how)

    mul = multiply

    def divide(self, values: Any, **how: Any) -> Any:
        """The elements divided by `values`."""
        factor = self.apply_to_ones(values, **how)
        return retype(self.x / factor, self.x.dtype)

    def apply_to_ones(self, values: Any, **how: Any) -> Any:
        """Ones, multiplied by `values` at the index."""
        return Place(ones_of(self.x), self.index).multiply(values, **how)

    def power(self, values: Any, **how: Any) -> Any:
        """The elements raised to `values`."""
        exponent = self.apply_to_ones(values, **how)
        return retype(formulas.power(self.x, exponent), self.x.dtype)

    def min(self, values: Any, **how: Any) -> Any:
        """The smaller of element and value."""
        return _update(self, "min", values, ew.minimum, **how)

    def max(self, values: Any, **how: Any) -> Any:
        """The larger of element and value."""
        return _update(self, "max", values, ew.maximum, **how)

    def apply(self, ufunc: Callable[[Any], Any], **how: Any) -> Any:
        """The elements replaced by `ufunc` of them."""
        return self.set(ufunc(self.get()), **how)


def ones_of(x: Any) -> Tracer:
    return x.builder.literal(x.dtype.type(1).item(), Aval(x.shape, x.dtype))


def _mode(mode: Any, default: str) -> str:
    if mode is None:
        return default
    name = str(getattr(mode, "name", mode)).lower()  # jax.lax.GatherScatterMode too
    if name not in _MODES:
        raise ArgumentError(f"x.at[...] knows the modes fill, drop, clip and promise_in_bounds, got {mode!r}.")
    return _MODES[name]


def _mask_of_elements(index: Any, x: Any, values: Any) -> tuple[Any, Any] | None:
    """A boolean mask as index, and one value for all it names, both of x's axes: nothing depends on their number."""
    items = index if isinstance(index, tuple) else (index,)
    masks = [i for i in items if is_truth(i)]
    rest = [i for i in items if not is_truth(i)]
    if len(masks) != 1 or any(i is not Ellipsis and i != slice(None) for i in rest) or rest.count(Ellipsis) > 1:
        return None
    (mask,) = masks
    covered = np.ndim(mask)
    at = next(k for k, i in enumerate(items) if i is mask)
    before = at if Ellipsis not in items[:at] else x.ndim - covered - (len(items) - 1 - at)
    behind = x.ndim - before - covered
    if behind < 0 or tuple(np.shape(mask)) != x.shape[before : before + covered]:
        raise IndexingError(f"a mask of shape {tuple(np.shape(mask))} does not fit {x.aval} at axis {before}.")
    if values.ndim > behind:
        if values.shape[values.ndim - behind - 1] != 1:
            return None  # one value for each element named
        shape = values.shape
        cutting = values.ndim - behind - 1
        values = ops.reshape(values, (*shape[:cutting], *(1,) * covered, *shape[cutting + 1 :]))
    mask = home(x, mask).operand(mask, None)
    mask = ops.broadcast(mask, x.shape, tuple(range(before, before + covered)))
    return mask, stretch(values, x.shape)


def _where(masked: tuple[Any, Any], x: Any, method: str, pair: Any) -> Any:
    mask, values = masked
    if method in ("add", "multiply"):
        # The neutral element elsewhere: x is not computed with where it stays, so no derivative is 0 times infinity.
        neutral = fill(x.dtype.type(method == "multiply").item(), values.aval)
        return retype(pair(x, select(mask, values, neutral)), x.dtype)
    return select(mask, retype(pair(x, values), x.dtype), x)


def _update(place: Place, method: str, values: Any, pair: Any, **how: Any) -> Any:
    return own(_updated(place, method, values, pair, **how), (place.x, values))


def _updated(place: Place, method: str, values: Any, pair: Any, *, mode: str | None = None,
             unique_indices: bool = False, indices_are_sorted: bool = False,
             wrap_negative_indices: bool = True) -> Any:  # fmt: skip
    strict, mode = mode is None, _mode(mode, "drop")
    at = home(place.x, values)
    x = at.operand(place.x, None)
    values = at.operand(values, x.aval.reshaped(()))
    values = retype(values, x.dtype, values.aval.weak and x.aval.weak)
    masked = _mask_of_elements(place.index, x, values)
    if masked is not None:
        return _where(masked, x, method, pair)
    plan = read(place.index, x.aval, strict, wrap_negative_indices)
    if not plan.arrays and all(step == 1 for _, _, step in plan.slices):
        return _block(x, plan, values, method, pair)
    scatter: Any = _DUPLICATES_MATTER[method]
    extra = {"unique": True} if method in ("set", "multiply") and (unique_indices or distinct(plan)) else {}
    whole = all(s == (0, n, 1) for s, n in zip(plan.slices, x.shape, strict=True))
    if plan.arrays and whole and not plan.new and not plan.dropped:
        return _window(x, plan, values, scatter, mode, extra)
    # Any other index: see which positions of the flattened array it names, and write there.
    reading = "fill" if mode == "drop" else mode
    positions = getitem(_numbered(x, plan), place.index, reading, wrap_negative_indices)
    flat = ops.reshape(x, (x.size,))
    new = ops.reshape(stretch(values, positions.shape), (positions.size,))
    out = scatter(flat, new, ops.reshape(positions, (positions.size,)), axes=(0,), mode=mode, **extra)
    return ops.reshape(out, x.shape)


def distinct(plan: Plan) -> bool:
    """Whether it is known that no element is named twice: the index is static, and none is."""
    if any(type(a) is Tracer for a in plan.arrays):
        return False
    if not plan.arrays:
        return True
    places = np.stack([np.ravel(a) for a in plan.arrays])
    return np.unique(places, axis=1).shape == places.shape


def _numbered(x: Any, plan: Plan) -> Any:
    """Each position's number in the flattened array."""
    if any(type(a) is Tracer for a in plan.arrays):
        return ops.reshape(ops.iota("int32", (x.size,), 0), x.shape)
    return x.builder.operand(np.arange(x.size, dtype=np.int32).reshape(x.shape), None)


def _block(x: Any, plan: Plan, values: Any, method: str, pair: Any) -> Any:
    """A static index that names a contiguous block."""
    low = [start for start, _, _ in plan.slices]
    high = [stop for _, stop, _ in plan.slices]
    sizes = tuple(j - i for i, j in zip(low, high, strict=True))
    full = list(sizes)
    for i in plan.new:
        full.insert(i, 1)
    shown = tuple(n for i, n in enumerate(full) if i not in plan.dropped)
    values = ops.reshape(stretch(values, shown), sizes)
    if sizes == x.shape:
        return retype(pair(x, values), x.dtype)
    if 0 in sizes:
        return x
    if method == "add":
        zero = x.builder.literal(x.dtype.type(0).item(), Aval((), x.dtype))
        behind = tuple(n - j for n, j in zip(x.shape, high, strict=True))
        return ew.add(x, ops.pad(values, zero, tuple(low), behind, (0,) * x.ndim))
    if method != "set":
        values = pair(ops.slice_(x, tuple(low), tuple(high), (1,) * x.ndim), values)
    return dynamic_update_slice(x, values, *low)


def _window(x: Any, plan: Plan, values: Any, scatter: Any, mode: str, extra: dict[str, Any]) -> Any:
    """Arrays of positions on some axes, all of the others."""
    at = list(plan.at)
    order = list(range(x.ndim))
    if at != list(range(at[0], at[0] + len(at))):
        order = [*at, *(i for i in order if i not in at)]
        at = list(range(len(at)))
    x = permuted(x, order)
    arrays = [home(x, *plan.arrays).operand(a, None) for a in plan.arrays]
    window = (*x.shape[: at[0]], *arrays[0].shape, *x.shape[at[-1] + 1 :])
    out = scatter(x, stretch(values, window), *arrays, axes=tuple(at), mode=mode, **extra)
    return permuted(out, [int(i) for i in np.argsort(order)])
