"""Arrays as sets: sorted once, then equal neighbours are told apart. Of equal elements the first has the derivative.

How many elements a set has, values decide: give `size`, or have them (see places.py).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ..ir.errors import ArgumentError
from ..ir.graph import Aval, is_inexact
from ..ops import compare, cumulative, index, reduce
from ..ops import shape as ops
from ..ops import sort as sort_ops
from ..ops.elementwise import bitwise_not
from ..ops.operands import fill
from ..trace.avals import canonical_dtype
from . import axes as ax
from .dispatch import public, sized_by_values
from .elementwise import AND, OR
from .formulas import isnan
from .manipulation import concatenate, cut, moveaxis, ravel
from .places import counted, length, true_places
from .promote import home, lift, result_dtype, retype, stretch


class UniqueAll(NamedTuple):
    """What `unique_all` answers."""

    values: Any
    indices: Any
    inverse_indices: Any
    counts: Any


class UniqueCounts(NamedTuple):
    """What `unique_counts` answers."""

    values: Any
    counts: Any


class UniqueInverse(NamedTuple):
    """What `unique_inverse` answers."""

    values: Any
    inverse_indices: Any


# -- what sorting tells


def _full(x: Any, value: Any, n: int, dtype: Any = bool) -> Any:
    return x.builder.literal(value, Aval((n,), np.dtype(dtype)))


def _in_order(x: Any) -> tuple[list[Any], Any]:
    """The columns of x (n, ...) with its rows in ascending order, and the rows' numbers in that order."""
    n = x.shape[0]
    flat = ops.reshape(x, (n, math.prod(x.shape[1:])))
    columns = [ops.reshape(cut(flat, 1, j, j + 1), (n,)) for j in range(flat.shape[1])]
    if x.dtype.kind == "c":
        # One NaN part makes the number NaN: all of these are equal.
        columns = [compare.select(isnan(c), fill(complex(math.nan, math.nan), c.aval), c) for c in columns]
    keys = [retype(c, np.dtype("int8")) if c.dtype.kind == "b" else c for c in columns]
    *columns, order = sort_ops.sort(
        *keys, ops.iota(canonical_dtype(int), (n,), 0), axis=0, num_keys=max(len(keys), 1), stable=True
    )
    return columns, order


def _differ(x: Any, equal_nan: bool) -> Any:
    """(n - 1,): whether x[i + 1] is another element than x[i]."""
    n = x.shape[0]
    after, before = cut(x, 0, 1, n), cut(x, 0, 0, n - 1)
    out = compare.ne(after, before)
    if equal_nan and is_inexact(x.dtype):
        out = AND(out, bitwise_not(AND(isnan(after), isnan(before))))
    return out


class _Sorted(NamedTuple):
    """`order`: the rows' numbers in ascending order; `new`: whether the row there differs from the one before."""

    order: Any
    new: Any


def _groups(x: Any, equal_nan: bool) -> _Sorted:
    n = x.shape[0]
    if n == 0 or 0 in x.shape:  # empty rows are all equal
        order = ops.iota(canonical_dtype(int), (n,), 0)
        new = compare.eq(order, fill(0, order.aval))
        return _Sorted(order, new)
    columns, order = _in_order(x)
    changes = [_differ(c, equal_nan) for c in columns]
    new = changes[0]
    for other in changes[1:]:
        new = OR(new, other)
    return _Sorted(order, concatenate([_full(x, True, 1), new]))


# -- unique


def _unique(name: str, x: Any, equal_nan: bool, size: Any, fill_value: Any) -> tuple[Any, Any, _Sorted, Any]:
    """The distinct rows of x, where each stands first, the groups they were found by, and how many there are."""
    n = x.shape[0]
    groups = _groups(x, equal_nan)
    count = counted(groups.new)
    if not n and size and fill_value is None:
        raise ArgumentError(f"{name} of nothing with size={size} needs a fill_value to fill it with.")
    if n or size is not None:
        size = length(name, size, count, "; what is missing is filled with the smallest element, or fill_value")
    else:
        size = 0
    if not n:
        values = stretch(retype(lift(0 if fill_value is None else fill_value), x.dtype), (size, *x.shape[1:]))
        return values, groups.order, groups, count
    rows = index.gather(groups.order, true_places(groups.new, size), axes=(0,), mode="promise_in_bounds")
    values = index.gather(x, rows, axes=(0,), mode="promise_in_bounds")
    if fill_value is not None:
        there = compare.lt(ops.iota(canonical_dtype(int), values.shape, 0), stretch(count, values.shape))
        instead = retype(home(x).operand(fill_value, None), x.dtype)
        values = compare.select(there, values, stretch(instead, values.shape))
    return values, rows, groups, count


@sized_by_values("unique")
def unique(ar: Any, return_index: bool = False, return_inverse: bool = False, return_counts: bool = False,
           axis: int | None = None, *, equal_nan: bool = True, size: int | None = None, fill_value: Any = None,
           sorted: bool = True) -> Any:  # fmt: skip
    """`jax.numpy.unique`, on tracers too: the derivative of an element is that of its first occurrence."""
    x = lift(ar)
    shape = x.shape
    at = 0 if axis is None else ax.one(axis, x.ndim)
    x = ravel(x) if axis is None else moveaxis(x, at, 0)
    values, rows, groups, count = _unique("unique", x, equal_nan, size, fill_value)
    out = [moveaxis(values, 0, at)]
    found, n = values.shape[0], x.shape[0]
    dtype = canonical_dtype(int)
    if return_index:
        out.append(rows)
    if return_inverse:
        number = cumulative.cumsum(retype(groups.new, dtype), axis=0) - 1
        inverse = index.scatter_set(
            fill(0, Aval((n,), dtype)), number, groups.order, axes=(0,), mode="promise_in_bounds", unique=True
        )
        out.append(ops.reshape(inverse, shape) if axis is None else inverse)
    if return_counts:
        if n:
            starts = true_places(groups.new, found + 1, n)
            out.append(cut(starts, 0, 1, found + 1) - cut(starts, 0, 0, found))
        else:
            out.append(ops.iota(dtype, (0,), 0))
    return out[0] if len(out) == 1 else tuple(out)


@sized_by_values("unique_all")
def unique_all(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> Any:
    """`jax.numpy.unique_all`, on tracers too."""
    return UniqueAll(*unique(x, True, True, True, equal_nan=False, size=size, fill_value=fill_value))


@sized_by_values("unique_counts")
def unique_counts(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> Any:
    """`jax.numpy.unique_counts`, on tracers too."""
    return UniqueCounts(*unique(x, return_counts=True, equal_nan=False, size=size, fill_value=fill_value))


@sized_by_values("unique_inverse")
def unique_inverse(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> Any:
    """`jax.numpy.unique_inverse`, on tracers too."""
    return UniqueInverse(*unique(x, return_inverse=True, equal_nan=False, size=size, fill_value=fill_value))


@sized_by_values("unique_values")
def unique_values(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> Any:
    """`jax.numpy.unique_values`, on tracers too."""
    return unique(x, equal_nan=False, size=size, fill_value=fill_value)


# -- two sets


@sized_by_values("union1d")
def union1d(ar1: Any, ar2: Any, *, size: int | None = None, fill_value: Any = None) -> Any:
    """`jax.numpy.union1d`, on tracers too."""
    both = concatenate([ar1, ar2], None)
    return _unique("union1d", both, True, size, fill_value)[0]


@public("isin")
def isin(element: Any, test_elements: Any, assume_unique: bool = False, invert: bool = False, *,
         method: str = "auto") -> Any:  # fmt: skip
    """`jax.numpy.isin`, on tracers too."""
    if method not in ("auto", "compare_all", "binary_search", "sort"):
        raise ArgumentError(f"isin knows the methods auto, compare_all, binary_search and sort; got {method!r}.")
    shape = lift(element).shape
    x, among = _of_one_dtype(ravel(element), ravel(test_elements))
    found = _member(x, among, method)
    return ops.reshape(bitwise_not(found) if invert else found, shape)


def _of_one_dtype(*xs: Any) -> list[Any]:
    """The arrays in their common dtype, each in its own shape."""
    lifted = [lift(x) for x in xs]
    dtype, weak = result_dtype([x.aval for x in lifted])
    return [retype(x, dtype, weak) for x in lifted]


def _member(x: Any, among: Any, method: str = "auto") -> Any:
    n, m = x.shape[0], among.shape[0]
    if not n or not m:
        return _full(x, False, n)
    if method in ("auto", "compare_all"):
        rows, columns = (ops.broadcast(v, (n, m), (i,)) for i, v in enumerate((x, among)))
        return reduce.reduce_or(compare.eq(rows, columns), axes=(1,))
    among = sort_ops.sort(among, axis=0)[0]
    at = sort_ops.searchsorted(among, x, method="sort" if method == "sort" else "scan")
    return compare.eq(index.gather(among, at, axes=(0,), mode="clip"), x)


@sized_by_values("setdiff1d")
def setdiff1d(ar1: Any, ar2: Any, assume_unique: bool = False, *, size: int | None = None,
              fill_value: Any = None) -> Any:  # fmt: skip
    """`jax.numpy.setdiff1d`, on tracers too."""
    x, others = ravel(ar1), ravel(ar2)
    instead = 0 if fill_value is None else fill_value
    n = x.shape[0]
    valid = None
    if not assume_unique:
        x, _, _, count = _unique("setdiff1d", x, True, n, 0)
        valid = compare.lt(ops.iota(count.dtype, (n,), 0), stretch(count, (n,)))
    mask = bitwise_not(_member(*_of_one_dtype(x, others)))
    mask = mask if valid is None else AND(mask, valid)
    return _taken("setdiff1d", x, mask, size, instead)


def _taken(name: str, x: Any, mask: Any, size: Any, instead: Any) -> Any:
    """The elements of x where the mask is true; `instead` (None: the first of them) where there are no more."""
    n = x.shape[0]
    size = length(name, size, counted(mask), "; what is missing is filled with fill_value")
    if not n:
        return stretch(retype(lift(0 if instead is None else instead), x.dtype), (size,))
    at = true_places(mask, size, n)
    found = index.gather(x, at, axes=(0,), mode="zero")
    if instead is None:
        instead = cut(found, 0, 0, min(1, size))
    missing = compare.eq(at, fill(n, at.aval))
    return compare.select(missing, stretch(retype(home(x).operand(instead, None), x.dtype), (size,)), found)


class _Merged(NamedTuple):
    """Two sets in one order: the elements, whence they come, and how neighbours relate.

    `order` numbers those of the first set from 0 and those of the second from `n1`; equal ones of the first come
    first. `new`: an element differs from the one before; `meets`: it is the first's last, its equal of the second next.
    """

    x: Any
    order: Any
    new: Any
    meets: Any
    n1: int


def _merged(ar1: Any, ar2: Any) -> _Merged:
    first, second = _of_one_dtype(ravel(ar1), ravel(ar2))
    n1, n = first.shape[0], first.shape[0] + second.shape[0]
    both = ops.concatenate([first, second], 0)
    if not n:
        none = _full(both, False, 0)
        return _Merged(both, ops.iota(canonical_dtype(int), (0,), 0), none, none, 0)
    (values,), order = _in_order(both)
    of_second = compare.ge(order, fill(n1, order.aval))
    crosses = compare.ne(cut(of_second, 0, 1, n), cut(of_second, 0, 0, n - 1))
    # NaN equals NaN within a set, so that it occurs once, and not between sets.
    new = OR(_differ(values, True), AND(_differ(values, False), crosses))
    meets = AND(bitwise_not(new), crosses)
    x = index.gather(both, order, axes=(0,), mode="promise_in_bounds")
    one = [_full(both, True, 1), _full(both, False, 1)]
    return _Merged(x, order, ops.concatenate([one[0], new], 0), ops.concatenate([meets, one[1]], 0), n1)


def _starts(new: Any) -> Any:
    """For every element, where the group it belongs to starts."""
    place = ops.iota(canonical_dtype(int), new.shape, 0)
    return cumulative.cummax(compare.select(new, place, fill(0, place.aval)), axis=0)


@sized_by_values("intersect1d")
def intersect1d(ar1: Any, ar2: Any, assume_unique: bool = False, return_indices: bool = False, *,
                size: int | None = None, fill_value: Any = None) -> Any:  # fmt: skip
    """`jax.numpy.intersect1d`, on tracers too."""
    m = _merged(ar1, ar2)
    n = m.x.shape[0]
    if not n:
        values = _taken("intersect1d", m.x, m.meets, size, fill_value)
        none = ops.iota(canonical_dtype(int), (0,), 0)
        return (values, none, none) if return_indices else values
    first = index.gather(m.x, _starts(m.new), axes=(0,), mode="promise_in_bounds")
    values = _taken("intersect1d", first, m.meets, size, fill_value)
    if not return_indices:
        return values
    at = true_places(m.meets, values.shape[0], n)
    missing = compare.eq(at, fill(n, at.aval))

    def origin(places: Any, shift: int, sizes: int) -> Any:
        found = index.gather(m.order, places, axes=(0,), mode="clip")
        return compare.select(missing, fill(sizes, found.aval), found - shift if shift else found)

    starts = index.gather(_starts(m.new), at, axes=(0,), mode="clip")
    return values, origin(starts, 0, m.n1), origin(at + 1, m.n1, n - m.n1)


@sized_by_values("setxor1d")
def setxor1d(ar1: Any, ar2: Any, assume_unique: bool = False, *, size: int | None = None,
             fill_value: Any = None) -> Any:  # fmt: skip
    """`jax.numpy.setxor1d`, on tracers too."""
    m = _merged(ar1, ar2)
    if not m.x.shape[0]:
        return _taken("setxor1d", m.x, m.new, size, fill_value)
    # A group's number of meetings is 0 or 1; it is added up at the group's start.
    starts = _starts(m.new)
    dtype = starts.dtype
    meetings = index.scatter_add(
        fill(0, starts.aval), retype(m.meets, dtype), starts, axes=(0,), mode="promise_in_bounds"
    )
    alone = compare.eq(meetings, fill(0, meetings.aval))
    return _taken("setxor1d", m.x, AND(m.new, alone), size, fill_value)
