"""One turn of a loop found by `repeats`, as the body of a scan: what is constant, what is handed on, what comes in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..ir.graph import Atom, Aval, Eqn, Graph, Lit, Var, is_key
from ..ops.dynamic import dynamic_slice_p, dynamic_update_slice_p
from ..ops.families import broadcast_p, reshape_p
from ..ops.shape import slice_p
from ..passes.pipeline import tidy
from .code import Code
from .repeats import DIFFERS, MOVES, STAYS, Window
from .rows import Item, Row, moved, row_of, sliced

_INT = Aval((), np.dtype("int32"))
LARGE = 1 << 20  # bytes of a stack, from which on it is avoided ...
FEW = 4  # ... if at most every fourth of its rows is read
Ints = tuple[int, ...]


class Kept(NamedTuple):
    """A value of which a few turns' are read: `slots` turn -> place in an array of `aval`, `row` the places by turn.

    The array goes round the loop; all other turns write into its last place.
    """

    slots: dict[int, int]
    row: int
    aval: Aval


class Turn:
    """How one turn of a loop becomes the body of a scan.

    **Attributes:** `consts`: the numbers of what stays; `chains`: what is handed on, each (value of the turn, the
    numbers it starts from: one, two, ... turns back); `last`: values handed on only to be there at the end; `kept`:
    those of a few turns; `rows`: what differs, one item a turn; `stretch`: the type each row is stretched to, and along
    which axes; `ys`: values that go out stacked; `reads`: what each slot is, in terms of these.
    **Arguments:** `item(number)`: what stands for a value now; `atom(item)`: that, written out.
    """

    def __init__(self, code: Code, w: Window, item: Callable[[int], Item], atom: Callable[[Item], Atom]):
        self.eqns, self.code, self.w = code.eqns, code, w
        self.item, self.atom = item, atom
        self.slot = (code.start[w.start : w.start + w.period + 1] - code.start[w.start]).tolist()
        self.value = (code.first[w.start : w.start + w.period + 1] - w.base).tolist()
        self.consts: list[int] = []
        self.chains: list[tuple[int, Ints]] = []
        self.last: list[int] = []
        self.kept: dict[int, Kept] = {}
        self.rows: list[Sequence[Item]] = []
        self.stretch: list[tuple[Aval, Ints | None]] = []
        self.ys: list[int] = []
        self.reads: list[tuple] = []
        self.cut: dict[int, list[Row]] = {}  # value of the turn -> the slices, one a turn, that it is
        self.moved: dict[int, list[int | tuple[int]]] = {}  # equation -> its slice's start on each axis, or (row,)
        self._row_at: dict[Any, int] = {}

    # -- what comes in

    def read_slices(self) -> bool:
        """Find the slices that advance, and what only moves their elements; whether all of them can be written."""
        w = self.w
        for j in range(w.period):
            eqn = self.eqns[w.start + j]
            prim, s, value = eqn.prim, self.slot[j], self.value[j]
            if prim is reshape_p or prim is broadcast_p:
                rows = self.cut.get(int(w.offset[s])) if w.role[s] == MOVES else None
                if rows is not None and rows[0].axes is None:
                    self.cut[value] = [moved(row, eqn) for row in rows]
            elif prim is slice_p:
                turns = self.eqns[w.start + j : w.stop : w.period]
                starts = [e.params["start"] for e in turns]
                if starts.count(starts[0]) == len(starts):
                    continue
                if set(eqn.params["strides"]) != {1}:
                    return False
                source = self.atom(self.item(int(w.operands[0, s]))) if w.role[s] == STAYS else None
                if type(source) is Var:
                    self.cut[value] = [sliced(source, e) for e in turns]
                else:
                    along = zip(*starts, strict=True)
                    self.moved[j] = [a[0] if a.count(a[0]) == len(a) else (self._row_of_ints(a),) for a in along]
        return True

    def _row_of_ints(self, numbers: Sequence[int]) -> int:
        return self._row_of(("start", numbers), [Lit(n, _INT) for n in numbers])

    def _row_of(self, key: Any, items: Sequence[Item]) -> int:
        """Which row these items are; numbers and stretched rows come in as they were before they were stretched."""
        found = self._row_at.get(key)
        if found is not None:
            return found
        first = items[0]
        axes: Ints | None = None
        core = items
        if all(type(a) is Lit for a in items):
            axes, core = (), [Lit(a.value, a.aval.reshaped(())) for a in items if type(a) is Lit]
        elif type(first) is Row and all(
            type(r) is Row and r.axes == first.axes and r.shape == first.shape for r in items
        ):
            axes, core = first.axes, [r.core() for r in items if type(r) is Row]
        self._row_at[key] = len(self.rows)
        self.rows.append(core)
        self.stretch.append((first.aval, axes))
        return len(self.rows) - 1

    def read_operands(self) -> bool:
        """Find what each slot reads; whether all of it is there when the loop begins."""
        w = self.w
        dropped = {self.slot[j] for j in range(w.period) if self.value[j] in self.cut}
        back = np.where(w.role == MOVES, -(w.offset // w.n_values), 0)
        if int(back.max(initial=0)) >= w.trips:
            return False
        self._read_chains([s for s in np.flatnonzero(back > 0).tolist() if s not in dropped], back)
        const: dict[int, int] = {}
        for s, (role, first) in enumerate(zip(w.role.tolist(), w.operands[0].tolist(), strict=True)):
            if s in dropped:
                self.reads.append(("nothing",))
            elif role == STAYS and first < 0:
                self.reads.append(("literal", first))
            elif role == STAYS:
                self.reads.append(("const", const.setdefault(first, len(const))))
            elif role == DIFFERS:
                column = w.operands[:, s]
                items = [self.item(n) for n in column.tolist()]
                self.reads.append(("row", self._row_of(column.tobytes(), items)))
            elif back[s] <= 0:
                self.reads.append(self._value(int(w.offset[s])))
            else:
                self.reads.append(("carry", *self._carry_of(s, int(back[s]))))
        self.consts = list(const)
        return True

    def _value(self, c: int) -> tuple:
        """How a value of the turn is read within it."""
        rows = self.cut.get(c)
        return ("value", c) if rows is None else ("row", self._row_of(c, rows))

    def _read_chains(self, slots: Sequence[int], back: np.ndarray) -> None:
        """What is handed on. A value read one and two turns later is handed on twice, along one chain."""
        for s in sorted(slots, key=lambda s: -back[s]):
            if self._carry_of(s, int(back[s])) is None:
                chain = self._start(s, int(back[s]))
                self._value(chain[0])
                self.chains.append(chain)

    def _start(self, s: int, back: int) -> tuple[int, Ints]:
        """The value that a slot reads, and the numbers it has one, two, ... turns before the first."""
        w = self.w
        return int(w.offset[s]) % w.n_values, tuple(w.operands[:back, s][::-1].tolist())

    def _carry_of(self, s: int, back: int) -> Any:
        """The chain and the link in it that a slot reads."""
        value, start = self._start(s, back)
        for k, (c, longer) in enumerate(self.chains):
            if c == value and longer[:back] == start:
                return k, back - 1
        return None

    # -- what goes out

    def choose_results(self, places: Sequence[tuple[int, int]]) -> None:
        """Decide how the values that are read outside, each (turn, value of the turn), come out."""
        turns = self.w.trips
        read: dict[int, list[int]] = {}  # value -> the turns whose it is
        for at, c in places:
            read.setdefault(c, []).append(at)
        for c, ats in read.items():
            back = turns - 1 - min(ats)
            if c in self.cut or any(v == c and back < len(start) for v, start in self.chains):
                continue
            aval = self.code.values[self.w.base + c].aval
            # A carry starts from zeros, and there are no zeros among random keys.
            if is_key(aval.dtype):
                self.ys.append(c)
            elif back == 0:
                self.last.append(c)
            elif turns * aval.size * aval.dtype.itemsize >= LARGE and len(ats) * FEW <= turns:
                slots = {at: slot for slot, at in enumerate(sorted(ats))}
                row = self._row_of_ints(tuple([slots.get(at, len(ats)) for at in range(turns)]))
                self.kept[c] = Kept(slots, row, aval.reshaped((len(ats) + 1, *aval.shape)))
            else:
                self.ys.append(c)

    def result(self, at: int, c: int, outs: Sequence[Var]) -> Item:
        """What the value c of turn `at` is, after the loop."""
        if c in self.cut:
            return self.cut[c][at]
        n = sum(len(start) for _, start in self.chains)
        if c in self.ys or c in self.kept:
            behind = n + len(self.last)
            which = self.ys.index(c) + len(self.kept) if c in self.ys else list(self.kept).index(c)
            k = at if c in self.ys else self.kept[c].slots[at]
            aval = self.code.values[self.w.base + c].aval
            return row_of(outs[behind + which], k, aval, self.eqns[self.w.start].where)
        if c in self.last:
            return outs[n + self.last.index(c)]
        back, n = self.w.trips - 1 - at, 0
        for v, start in self.chains:
            if v == c and back < len(start):
                break
            n += len(start)
        return outs[n + back]

    # -- the body

    def key(self) -> tuple:
        """What the body depends on: loops of one key have one body."""
        w = self.w
        return (
            self.code.kind[w.start : w.start + w.period].tobytes(),
            tuple(self.reads),
            tuple([(c, len(start)) for c, start in self.chains]),
            tuple([(items[0].aval, *to) for items, to in zip(self.rows, self.stretch, strict=True)]),
            tuple([(j, *starts) for j, starts in self.moved.items()]),
            tuple(self.cut),
            tuple(self.last),
            tuple([(c, one.row, one.aval) for c, one in self.kept.items()]),
            tuple(self.ys),
        )

    def body(self) -> Graph:
        """(consts*, carry*, x*) -> (carry*, y*), of the second turn: the first may read what came before the loop."""
        w, values = self.w, self.code.values
        consts = [Var(values[n].aval, values[n].name) for n in self.consts]
        chains = [[Var(values[w.base + c].aval) for _ in start] for c, start in self.chains]
        last = [Var(values[w.base + c].aval) for c in self.last]
        kept = [Var(one.aval) for one in self.kept.values()]
        rows = [Var(items[0].aval) for items in self.rows]
        eqns: list[Eqn] = []
        local: dict[int, Atom] = {}
        full: dict[int, Var] = {}

        def row(k: int) -> Var:
            aval, axes = self.stretch[k]
            if axes is None or aval.shape == rows[k].shape:
                return rows[k]
            if k not in full:
                full[k] = Var(aval)
                eqns.append(Eqn(broadcast_p, (rows[k],), (full[k],), {"shape": aval.shape, "axes": axes}))
            return full[k]

        def read(what: str, *at: int) -> Atom:
            if what == "literal":
                return self.code.literals[-1 - at[0]]
            if what == "const":
                return consts[at[0]]
            if what == "value":
                return local[at[0]]
            return chains[at[0]][at[1]] if what == "carry" else row(at[0])

        for j in range(w.period):
            if self.value[j] in self.cut:
                continue
            eqn = self.eqns[w.start + w.period + j]
            inputs = tuple([read(*self.reads[self.slot[j] + k]) for k in range(len(eqn.inputs))])
            outputs = tuple([Var(v.aval, v.name) for v in eqn.outputs])
            local.update(enumerate(outputs, self.value[j]))
            if j in self.moved:
                starts = [Lit(a, _INT) if isinstance(a, int) else rows[a[0]] for a in self.moved[j]]
                eqn = Eqn(dynamic_slice_p, (*inputs, *starts), outputs, {"sizes": outputs[0].shape}, eqn.where)
            else:
                eqn = Eqn(eqn.prim, inputs, outputs, eqn.params, eqn.where)
            eqns.append(eqn)
        ends: list[Atom] = []
        for (c, _), chain in zip(self.chains, chains, strict=True):
            ends += [read(*self._value(c)), *chain[:-1]]
        held: list[Atom] = []
        for (c, one), v in zip(self.kept.items(), kept, strict=True):
            update = Var(one.aval.reshaped((1, *one.aval.shape[1:])))
            eqns.append(Eqn(reshape_p, (local[c],), (update,), {"shape": update.shape}))
            after = Var(one.aval)
            at = (rows[one.row], *[Lit(0, _INT)] * (v.ndim - 1))
            eqns.append(Eqn(dynamic_update_slice_p, (v, update, *at), (after,), {}))
            held.append(after)
        outs = [*ends, *(local[c] for c in self.last), *held, *(local[c] for c in self.ys)]
        carries = [v for chain in chains for v in chain]
        return tidy(Graph([*consts, *carries, *last, *kept, *rows], eqns, outs))
