"""`x.at[index].set(v)` and its kin: the array with some elements replaced, out of place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..ir.errors import ArgumentError
from ..ir.graph import Aval
from ..ops import index as index_ops
from ..ops import shape as ops
from ..ops.dynamic import dynamic_update_slice
from ..trace.tracer import Tracer
from . import elementwise as ew
from . import formulas
from .indexing import Plan, getitem, read
from .manipulation import permuted
from .promote import home, retype, stretch

_DUPLICATES_MATTER = {
    "add": index_ops.scatter_add,
    "multiply": index_ops.scatter_mul,
    "min": index_ops.scatter_min,
    "max": index_ops.scatter_max,
    "set": index_ops.scatter_set,
}
_MODES = {None: "drop", "fill": "drop", "drop": "drop", "clip": "clip", "promise_in_bounds": "promise_in_bounds"}


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

    def get(
        self, *, mode: str | None = None, fill_value: Any = None, unique_indices: bool = False, **hints: Any
    ) -> Any:
        """`x[index]`; `mode` says what out of bounds means."""
        if fill_value is not None and fill_value != 0:
            inside = getitem(ones_of(self.x), self.index, "zero")
            found = getitem(self.x, self.index, "zero")
            return found + (1 - inside) * fill_value
        mode = "zero" if fill_value == 0 and fill_value is not None else mode
        mode = "promise_in_bounds" if mode is None else "fill" if mode == "drop" else mode
        return getitem(self.x, self.index, mode)

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


def _update(place: Place, method: str, values: Any, pair: Any, *, mode: str | None = None, unique_indices: bool = False,
            indices_are_sorted: bool = False, wrap_negative_indices: bool = True) -> Any:  # fmt: skip
    if mode not in _MODES:
        raise ArgumentError(f"x.at[...] knows the modes fill, drop, clip and promise_in_bounds, got {mode!r}.")
    at = home(place.x, values)
    x = at.operand(place.x, None)
    plan = read(place.index, x.aval)
    values = at.operand(values, x.aval.reshaped(()))
    values = retype(values, x.dtype, values.aval.weak and x.aval.weak)
    if not plan.arrays and all(step == 1 for _, _, step in plan.slices):
        return _block(x, plan, values, method, pair)
    scatter: Any = _DUPLICATES_MATTER[method]
    extra = {"unique": True} if unique_indices and method in ("set", "multiply") else {}
    whole = all(s == (0, n, 1) for s, n in zip(plan.slices, x.shape, strict=True))
    if plan.arrays and whole and not plan.new and not plan.dropped:
        return _window(x, plan, values, scatter, _MODES[mode], extra)
    # Any other index: see which positions of the flattened array it names, and write there.
    positions = getitem(_numbered(x, plan), place.index, "fill" if _MODES[mode] == "drop" else _MODES[mode])
    if not plan.arrays:
        extra = {"unique": True} if method in ("set", "multiply") else {}
    flat = ops.reshape(x, (x.size,))
    new = ops.reshape(stretch(values, positions.shape), (positions.size,))
    out = scatter(flat, new, ops.reshape(positions, (positions.size,)), axes=(0,), mode=_MODES[mode], **extra)
    return ops.reshape(out, x.shape)


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
