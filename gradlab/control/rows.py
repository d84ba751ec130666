"""Values that belong together as the rows of one array: slices of it, numbers, or arrays made apart.

A loop's slices are read from the array they were cut from, its numbers from a table, and only what has no common array
is copied into one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..ir.graph import Atom, Aval, Eqn, Lit, Var
from ..ir.primitive import Primitive
from ..ir.where import Where
from ..ops.families import add_p, broadcast_p, mul_p, permute_p, reshape_p
from ..ops.shape import concatenate_p, iota_p, rev_p, slice_p
from ..ops.table import Packed, packed, table_p
from .code import LEAST_JOINED


class Row(NamedTuple):
    """`source[start:limit]` in another shape, stretched along `axes` if they are given (see `broadcast`) to `aval`.

    It is written as equations only where it is read alone.
    """

    source: Var
    start: tuple[int, ...]
    limit: tuple[int, ...]
    shape: tuple[int, ...]
    aval: Aval
    axes: tuple[int, ...] | None = None
    where: Where | None = None

    def core(self) -> Row:
        """The row before it is stretched."""
        return self._replace(aval=self.aval.reshaped(self.shape), axes=None)


Item = Atom | Row


def row_of(source: Var, k: int, aval: Aval, where: Where | None) -> Row:
    """Row `k` along the first axis."""
    rest = source.shape[1:]
    return Row(source, (k, *[0] * len(rest)), (k + 1, *rest), aval.shape, aval, where=where)


def sliced(source: Var, eqn: Eqn) -> Row:
    """What a slice of `source` gives, not yet written."""
    aval = eqn.outputs[0].aval
    return Row(source, eqn.params["start"], eqn.params["limit"], aval.shape, aval, where=eqn.where)


def moved(row: Row, eqn: Eqn) -> Row:
    """What a reshape or a stretch of a row gives, not yet written. A row is stretched once, as the last thing."""
    (out,) = eqn.outputs
    if eqn.prim is reshape_p:
        return row._replace(shape=out.shape, aval=out.aval)
    return row._replace(aval=out.aval, axes=eqn.params["axes"])


class Writer:
    """Equations as they are written: `eqns`. What was sliced or stacked before is not written again."""

    def __init__(self) -> None:
        self.eqns: list[Eqn] = []
        self._known: dict[tuple, Any] = {}

    def write(self, prim: Primitive, *inputs: Atom, where: Where | None = None, **params: Any) -> Var:
        """The result of one more equation."""
        (aval,) = prim.infer(*(a.aval for a in inputs), **params)
        out = Var(aval)
        self.eqns.append(Eqn(prim, inputs, (out,), params, where))
        return out

    def _once(self, key: tuple, make: Callable[[], Any]) -> Any:
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = make()
        return found

    def atom(self, item: Item) -> Atom:
        """The value on its own."""
        if not isinstance(item, Row):
            return item
        key = (item.source, item.start, item.limit, item.shape)
        x = self._once(key, lambda: self._sliced(item))
        if item.axes is None:
            return x
        shape, axes = item.aval.shape, item.axes
        return self._once(
            (*key, shape, axes), lambda: self.write(broadcast_p, x, shape=shape, axes=axes, where=item.where)
        )

    def _sliced(self, row: Row) -> Var:
        strides = (1,) * len(row.start)
        x = row.source
        if row.limit != x.shape or any(row.start):
            x = self.write(slice_p, x, start=row.start, limit=row.limit, strides=strides, where=row.where)
        return self.reshaped(x, row.shape, row.where)

    def reshaped(self, x: Atom, shape: tuple[int, ...], where: Where | None = None) -> Any:
        if x.shape == shape:
            return x
        if type(x) is Lit:
            return Lit(x.value, x.aval.reshaped(shape))
        return self.write(reshape_p, x, shape=shape, where=where)

    def stacked(self, items: Sequence[Item]) -> Atom:
        """The items, all of one type and none stretched, along a new first axis."""
        found = self._run(items)
        if found is not None:
            return found
        if all(type(item) is Lit for item in items) and not items[0].aval.shape:
            return self._numbers(items)
        shape = items[0].aval.shape
        atoms = [self.atom(item) for item in items]
        return self._once(
            tuple(map(id, atoms)),
            lambda: self.write(concatenate_p, *(self.reshaped(a, (1, *shape)) for a in atoms), axis=0),
        )

    def _run(self, items: Sequence[Item]) -> Atom | None:
        """Rows that advance steadily along one axis of one array, as one slice of it; None if they do not."""
        rows = [r for r in items if type(r) is Row]
        one, n = items[0], len(items)
        if type(one) is not Row or len(rows) < n:
            return None
        sizes = tuple([b - a for a, b in zip(one.start, one.limit, strict=True)])
        if any(r.source is not one.source or r.shape != one.shape or r.axes is not None for r in rows):
            return None
        starts = np.array([r.start for r in rows])
        steps = np.diff(starts, axis=0)
        moving = np.flatnonzero(steps.any(axis=0))
        if len(moving) != 1 or (steps != steps[0]).any() or (np.array([r.limit for r in rows]) - starts != sizes).any():
            return None
        axis = int(moving[0])
        step = int(steps[0, axis])
        if sizes[axis] not in (1, step):
            return None
        key = (one.source, one.start, sizes, axis, step, n, one.shape)
        return self._once(key, lambda: self._slab(one, rows[-1], sizes, axis, step, n))

    def _slab(self, one: Row, last: Row, sizes: tuple[int, ...], axis: int, step: int, n: int) -> Atom:
        """`n` rows from `one` to `last`, `step` apart along `axis`, put first."""
        start, limit, strides = list(one.start), list(one.limit), [1] * len(sizes)
        start[axis], limit[axis] = min(start[axis], last.start[axis]), max(limit[axis], last.limit[axis])
        if sizes[axis] == 1:
            strides[axis] = abs(step)
        x: Atom = one.source
        if tuple(limit) != x.shape or any(start) or strides[axis] != 1:
            x = self.write(slice_p, x, start=tuple(start), limit=tuple(limit), strides=tuple(strides), where=one.where)
        if step < 0:
            x = self.write(rev_p, x, axes=(axis,), where=one.where)
        if math.prod(sizes[:axis]) != 1:
            x = self.reshaped(x, (*sizes[:axis], n, sizes[axis], *sizes[axis + 1 :]), one.where)
            order = (axis, *range(axis), *range(axis + 1, len(sizes) + 1))
            x = self.write(permute_p, x, order=order, where=one.where)
        return self.reshaped(x, (n, *one.shape), one.where)

    def _numbers(self, items: Sequence[Any]) -> Atom:
        """Literals of shape () as a vector."""
        dtype = items[0].dtype
        data = packed([a.value for a in items], dtype)
        return self._once((data, dtype), lambda: self._vector(data, dtype))

    def _vector(self, data: Packed, dtype: np.dtype) -> Atom:
        """A table of numbers, or an arithmetic progression where that gives these very numbers."""
        values = np.frombuffer(data, dtype)
        if dtype.kind in "iuf" and dtype.itemsize >= 4:
            with np.errstate(all="ignore"):
                step = values[1] - values[0]
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
            if type(row) is not Row or row.source is not one.source or row.shape != one.shape:
                break
            move = tuple([b - a for a, b in zip(before.start, row.start, strict=True)])
            if step is not None and move != step:
                break
            step, before = move, row
            end += 1
        return end


def is_apart(items: Sequence[Item]) -> bool:
    """Whether the items come from different arrays, which have to be copied to be stacked."""
    first = items[0]
    if type(first) is Row:
        return not all(type(item) is Row and item.source is first.source for item in items)
    return not all(type(a) is Lit for a in items)
