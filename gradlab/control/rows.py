"""Values that belong together as the rows of one array: slices of it, numbers, or arrays made apart.

A loop's slices are read from the array they were cut from, its numbers from a table, and only what has no common array
is copied into one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..ir.graph import Atom, Aval, Eqn, Lit, Var
from ..ir.primitive import Primitive
from ..ir.where import Where
from ..ops.families import add_p, mul_p, permute_p, reshape_p
from ..ops.shape import concatenate_p, iota_p, rev_p, slice_p
from ..ops.table import packed, table_p

LEAST_JOINED = 8  # operands of a concatenation that are worth looking at


class Row(NamedTuple):
    """`source[start:limit]`, reshaped to the shape of `aval`: written as equations only where it is read alone."""

    source: Var
    start: tuple[int, ...]
    limit: tuple[int, ...]
    aval: Aval
    where: Where | None = None


Item = Atom | Row


def row_of(source: Var, k: int, aval: Aval, where: Where | None) -> Row:
    """Row `k` along the first axis."""
    rest = source.shape[1:]
    return Row(source, (k, *[0] * len(rest)), (k + 1, *rest), aval, where)


class Writer:
    """Equations as they are written: `eqns`."""

    def __init__(self) -> None:
        self.eqns: list[Eqn] = []
        self._alone: dict[tuple, Atom] = {}

    def write(self, prim: Primitive, *inputs: Atom, where: Where | None = None, **params: Any) -> Var:
        """The result of one more equation."""
        (aval,) = prim.infer(*(a.aval for a in inputs), **params)
        out = Var(aval)
        self.eqns.append(Eqn(prim, inputs, (out,), params, where))
        return out

    def atom(self, item: Item) -> Atom:
        """The value on its own."""
        if type(item) is not Row:
            return item
        key = (item.source, item.start, item.limit, item.aval.shape)
        found = self._alone.get(key)
        if found is None:
            found = self._alone[key] = self._sliced(item)
        return found

    def _sliced(self, row: Row) -> Var:
        strides = (1,) * len(row.start)
        whole = row.limit == row.source.shape and not any(row.start)
        cut = (
            row.source
            if whole
            else self.write(slice_p, row.source, start=row.start, limit=row.limit, strides=strides, where=row.where)
        )
        return self.reshaped(cut, row.aval.shape, row.where)

    def reshaped(self, x: Atom, shape: tuple[int, ...], where: Where | None = None) -> Any:
        if x.shape == shape:
            return x
        if type(x) is Lit:
            return Lit(x.value, x.aval.reshaped(shape))
        return self.write(reshape_p, x, shape=shape, where=where)

    def stacked(self, items: Sequence[Item]) -> Atom:
        """The items, all of one type, along a new first axis."""
        if all(type(item) is Row for item in items):
            found = self._run(items)
            if found is not None:
                return found
        if all(type(item) is Lit for item in items) and not items[0].aval.shape:
            return self._numbers(items)
        shape = items[0].aval.shape
        return self.write(concatenate_p, *(self.reshaped(self.atom(item), (1, *shape)) for item in items), axis=0)

    def _run(self, items: Sequence[Row]) -> Atom | None:
        """Rows that advance steadily along one axis of one array, as one slice of it."""
        one = items[0]
        sizes = tuple(b - a for a, b in zip(one.start, one.limit, strict=True))
        if any(
            r.source is not one.source or r.aval.shape != one.aval.shape or len(r.start) != len(sizes) for r in items
        ):
            return None
        starts = np.array([r.start for r in items])
        if (np.array([r.limit for r in items]) - starts != sizes).any():
            return None
        steps = np.diff(starts, axis=0)
        moving = np.flatnonzero(steps.any(axis=0))
        if len(moving) != 1 or (steps != steps[0]).any():
            return None
        axis, n = int(moving[0]), len(items)
        step, size = int(steps[0, axis]), sizes[axis]
        if size != 1 and step != size:
            return None
        low, high = min(one.start[axis], items[-1].start[axis]), max(one.limit[axis], items[-1].limit[axis])
        start, limit = list(one.start), list(one.limit)
        start[axis], limit[axis] = low, high
        strides = [1] * len(start)
        strides[axis] = abs(step) if size == 1 else 1
        x: Atom = one.source
        if tuple(limit) != x.shape or any(start) or set(strides) != {1}:
            x = self.write(slice_p, x, start=tuple(start), limit=tuple(limit), strides=tuple(strides), where=one.where)
        if step < 0:
            x = self.write(rev_p, x, axes=(axis,), where=one.where)
        x = self.reshaped(x, (*sizes[:axis], n, size, *sizes[axis + 1 :]), one.where)
        if math.prod(sizes[:axis]) != 1:
            order = (axis, *range(axis), *range(axis + 1, len(sizes) + 1))
            x = self.write(permute_p, x, order=order, where=one.where)
        return self.reshaped(x, (n, *one.aval.shape), one.where)

    def _numbers(self, items: Sequence[Any]) -> Atom:
        """Literals of shape () as a vector: an arithmetic progression where it gives these very numbers."""
        dtype = items[0].dtype
        data = packed([a.value for a in items], dtype)
        values = np.frombuffer(data, dtype)
        if dtype.kind in "iuf" and dtype.itemsize >= 4:
            step = values[1] - values[0]
            with np.errstate(all="ignore"):
                line = np.arange(len(values), dtype=dtype) * step
                shifted = line + values[0] if values[0] else line
            if shifted.tobytes() == data:
                t: Atom = self.write(iota_p, dtype=dtype, shape=(len(values),), axis=0)
                aval = t.aval
                if step != 1:
                    t = self.write(mul_p, t, Lit(step.item(), aval))
                return self.write(add_p, t, Lit(values[0].item(), aval)) if values[0] else t
        return self.write(table_p, data=data, dtype=dtype)

    def joined(self, items: Sequence[Item], axis: int) -> list[Atom]:
        """The operands of a concatenation along `axis`; rows that are neighbours in one array are one operand."""
        out: list[Atom] = []
        k = 0
        while k < len(items):
            end = self._end_of_run(items, k)
            x = self._run(items[k:end]) if end - k >= LEAST_JOINED else None
            if x is None:
                out.append(self.atom(items[k]))
                k += 1
                continue
            shape = items[k].aval.shape
            if math.prod(shape[:axis]) != 1:
                x = self.write(permute_p, x, order=(*range(1, axis + 1), 0, *range(axis + 1, x.ndim)))
            out.append(self.reshaped(x, (*shape[:axis], (end - k) * shape[axis], *shape[axis + 1 :])))
            k = end
        return out

    @staticmethod
    def _end_of_run(items: Sequence[Item], k: int) -> int:
        """Where the rows of one array that begin at `k` and advance steadily end."""
        one = items[k]
        if type(one) is not Row or k + 1 == len(items):
            return k + 1
        step = None
        end = k + 1
        before = one
        while end < len(items):
            row = items[end]
            if type(row) is not Row or row.source is not one.source or row.aval.shape != one.aval.shape:
                break
            move = tuple([b - a for a, b in zip(before.start, row.start, strict=True)])
            if step is not None and move != step:
                break
            step, before = move, row
            end += 1
        return end


def copied_bytes(items: Sequence[Item]) -> int:
    """What stacking these items would copy, if nothing but copying will do."""
    first = items[0]
    if all(type(item) is Row and item.source is first.source for item in items) or all(type(a) is Lit for a in items):
        return 0
    return len(items) * first.aval.size * first.aval.dtype.itemsize
