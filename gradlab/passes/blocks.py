"""Blocks that are padded with zeros and added up are put side by side: zeros need no adding.

The derivative of reading an array piece by piece (split, unpacking, `x[:k]` and `x[k:]`) adds up the derivatives of the
pieces, each in an array of zeros of full size. Pieces that do not overlap need no sum.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from ..ir.graph import Aval, Eqn, Graph, Lit, Var
from ..ops.convert import complex_p
from ..ops.families import add_p, reshape_p
from ..ops.shape import concatenate_p, pad_p
from .simplify import is_number, made_by

FEW = 4  # blocks that may be dearer to join than to add up
MOST = 64  # blocks in one joint: beyond that, XLA compiles it slowly
OPEN = 32  # joints that are filled at a time


class _Block(NamedTuple):
    """A `term` of a sum: the array `content`, at `start` to `stop` along `axis` of an array of zeros."""

    term: Var
    content: Var | Lit
    axis: int
    start: int
    stop: int


def join_blocks(graph: Graph) -> Graph:
    """(x*) -> (y*) keeps its type; padded terms of a sum become concatenations where they do not overlap.

    So do, for complex numbers, real parts and imaginary parts. A −0 may then stay one where +0 would have been added,
    and where other blocks do overlap, terms are added in another order.
    """
    if sum(eqn.prim is pad_p or eqn.prim is complex_p for eqn in graph.eqns) < 2:
        return graph
    made = {v: eqn for eqn in graph.eqns for v in eqn.outputs}
    readers: dict[Var, int] = {}
    for a in (*(a for eqn in graph.eqns for a in eqn.inputs), *graph.outputs):
        if type(a) is Var:
            readers[a] = readers.get(a, 0) + 1

    def is_part(a: Var | Lit) -> bool:
        """Whether `a` is a sum that is only there to be added to another one."""
        return type(a) is Var and a in made and made[a].prim is add_p and readers[a] == 1

    part = {a for eqn in graph.eqns if eqn.prim is add_p for a in eqn.inputs if is_part(a)}
    eqns: list[Eqn] = []
    for eqn in graph.eqns:
        joined = None
        if eqn.prim is add_p and eqn.outputs[0] not in part:
            joined = _parts(eqn, made) or _joined(eqn, _terms(eqn, part, made), made)
        eqns += joined or [eqn]
    return Graph(graph.inputs, eqns, graph.outputs)


def _parts(eqn: Eqn, made: dict[Var, Eqn]) -> list[Eqn] | None:
    """a + 0i and 0 + bi in one: the cotangents of a real and an imaginary part."""
    left, right = (made_by(a, complex_p, made) for a in eqn.inputs)
    if left and right:
        for (a, b), (c, d) in ((left.inputs, right.inputs), (right.inputs, left.inputs)):
            if is_number(b, 0) and is_number(c, 0) and complex_p.infer(a.aval, d.aval)[0] == eqn.outputs[0].aval:
                return [Eqn(complex_p, (a, d), eqn.outputs, {}, eqn.where)]
    return None


def _terms(eqn: Eqn, part: set, made: dict[Var, Eqn]) -> list[Var | Lit]:
    """What a sum of sums adds up, first term first."""
    terms, pending = [], list(reversed(eqn.inputs))
    while pending:
        a = pending.pop()
        if type(a) is Var and a in part:
            pending += reversed(made[a].inputs)
        else:
            terms.append(a)
    return terms


def _block(a: Var | Lit, made: dict[Var, Eqn]) -> _Block | None:
    eqn = made.get(a) if type(a) is Var else None
    if eqn is None or eqn.prim is not pad_p or not is_number(eqn.inputs[1], 0):
        return None
    low, high = eqn.params["low"], eqn.params["high"]
    axes = [i for i in range(len(low)) if low[i] or high[i]]
    if len(axes) != 1 or any(eqn.params["interior"]) or min(*low, *high) < 0:
        return None
    (axis,) = axes
    x = eqn.inputs[0]
    return _Block(eqn.outputs[0], x, axis, low[axis], low[axis] + x.shape[axis]) if x.aval.size else None


def _joined(eqn: Eqn, terms: list, made: dict[Var, Eqn]) -> list[Eqn] | None:
    """Equations for the sum of `terms` with fewer of them, or None where none are joined."""
    rows = _rows([block for a, n in Counter(terms).items() if n == 1 and (block := _block(a, made))])
    good = [row for row in rows if _pays(row, made)]
    if not good:
        return None
    out, eqns = eqn.outputs[0], []
    inside = {block.term for row in good for block in row}
    sums = [_concatenated(row, out.aval, eqn, eqns) for row in good] + [a for a in terms if a not in inside]
    total = sums[0]
    for a in sums[1:]:
        v = Var(out.aval)
        eqns.append(Eqn(add_p, (total, a), (v,), {}, eqn.where))
        total = v
    last = eqns[-1]
    return [*eqns[:-1], Eqn(last.prim, last.inputs, eqn.outputs, last.params, last.where)]


def _rows(blocks: Iterable[_Block]) -> list[list[_Block]]:
    """The blocks in rows of at most `MOST` that do not overlap, each from start to end.

    Each goes where it fits first among the last `OPEN` rows of its axis that are not full: looking at all of them would
    cost the square of their number.
    """
    rows: list[list[_Block]] = []
    still_open: dict[int, list[list[_Block]]] = {}
    for block in blocks:
        candidates = still_open.setdefault(block.axis, [])
        for row in candidates:
            at = bisect_left(row, block.start, key=_start)
            if (at == 0 or row[at - 1].stop <= block.start) and (at == len(row) or block.stop <= row[at].start):
                row.insert(at, block)
                if len(row) == MOST:
                    candidates.remove(row)
                break
        else:
            rows.append([block])
            candidates.append(rows[-1])
            del candidates[:-OPEN]
    return rows


def _start(block: _Block) -> int:
    return block.start


def _pays(row: list[_Block], made: dict[Var, Eqn]) -> bool:
    """Whether the joint is cheaper than the sum: XLA computes few wide blocks in the pads, but not in the joint."""
    if len(row) < 2 or row[0].axis == 0 or len(row) >= FEW:
        return len(row) >= 2
    return not any(_is_computed(block.content, made) for block in row)


def _is_computed(a: Var | Lit, made: dict[Var, Eqn]) -> bool:
    """Whether an elementwise operation gives it, in whatever shape."""
    eqn = made.get(a) if type(a) is Var else None
    while eqn is not None and eqn.prim is reshape_p:
        a = eqn.inputs[0]
        eqn = made.get(a) if type(a) is Var else None
    return eqn is not None and eqn.prim.scalars


def _concatenated(row: list[_Block], aval: Aval, eqn: Eqn, eqns: list[Eqn]) -> Var:
    """The blocks in their places, zeros in between."""
    axis, at, parts = row[0].axis, 0, []
    zero = aval.dtype.type(0).item()
    for block in [*row, None]:
        start = aval.shape[axis] if block is None else block.start
        if start > at:
            gap = tuple(start - at if i == axis else n for i, n in enumerate(aval.shape))
            parts.append(Lit(zero, Aval(gap, aval.dtype, aval.weak)))
        if block is not None:
            parts.append(block.content)
            at = block.stop
    v = Var(concatenate_p.infer(*(a.aval for a in parts), axis=axis)[0])
    eqns.append(Eqn(concatenate_p, tuple(parts), (v,), {"axis": axis}, eqn.where))
    return v
