"""`reroll`: what a Python loop leaves, the same equations again and again, becomes one `scan`.

XLA's time to compile an unrolled gradient grows far faster than the program; that of a scan does not depend on how
often it goes round. So the pass runs before anything is differentiated. It finds loops with `repeats`, the innermost
first, and writes each as one equation: what moves from turn to turn is the carry, what differs comes in as rows
(`rows`), what is read outside goes out stacked. First and last turns that differ are left as they stand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import local
from typing import Any

import numpy as np

from ..ir.graph import Atom, Aval, Eqn, Graph, Lit, Var
from ..ops.dynamic import dynamic_slice_p
from ..ops.families import broadcast_p, reshape_p
from ..ops.operands import zeros_like
from ..ops.shape import concatenate_p, slice_p
from ..passes.dce import dce
from ..passes.pipeline import tidy
from .repeats import DIFFERS, MOVES, STAYS, Code, Window, code_of, windows
from .rows import LEAST_JOINED, Item, Row, Writer, copied_bytes, row_of
from .scan import Loop, scan_p

LEAST = 250  # equations in a loop below which it compiles, and runs, as well unrolled
MUCH = 2000  # equations beyond which it is rolled whatever is copied for it
COPIED = 1_000_000  # bytes that may be copied for a loop of fewer
ROUNDS = 8  # how deep loops may be nested
_INT = Aval((), np.dtype("int32"))


class _Rolling(local):
    on = True


ROLLING = _Rolling()  # per thread; `rerolling` sets it and sets it back


@contextmanager
def rerolling(on: bool) -> Iterator[None]:
    """A context (or decorator) in which Python loops become scans, or (`on=False`) stay as they were written."""
    kept, ROLLING.on = ROLLING.on, bool(on)
    try:
        yield
    finally:
        ROLLING.on = kept


def rolled(graph: Graph) -> Graph:
    """(x*) -> (y*) keeps its type: a program as it was read, its loops scans unless that is switched off."""
    return reroll(graph) if ROLLING.on else graph


def reroll(graph: Graph, least: int = LEAST) -> Graph:
    """(x*) -> (y*) keeps its type and, up to rounding, its values; long repetitions are scans.

    **Arguments:** `least`: how many equations a repetition must have.
    """
    if len(graph.eqns) < least:
        return graph
    graph = dce(graph)
    for _ in range(ROUNDS):
        if len(graph.eqns) < least:
            break
        code = code_of(graph)
        found = windows(code, least)
        roller = _Roller(graph, code, found)
        if found or any(map(_is_long, graph.eqns)):
            graph = dce(roller.graph())
        if not roller.rolled:
            break
    return graph


def _is_long(eqn: Eqn) -> bool:
    return eqn.prim is concatenate_p and len(eqn.inputs) >= LEAST_JOINED


class _Roller:
    """Writes a program again with some of its loops as scans."""

    def __init__(self, graph: Graph, code: Code, found: Sequence[Window]):
        self.old = graph
        self.code = code
        self.found = found
        self.bodies: dict[tuple, Graph] = {}
        self.writer = Writer()
        n = len(graph.eqns)
        self.last_read = np.full(len(code.values), -1)
        used = code.operands >= 0
        np.maximum.at(self.last_read, code.operands[used], np.repeat(np.arange(n), np.diff(code.start))[used])
        self.last_read[[code.number[a] for a in graph.outputs if type(a) is Var]] = n
        self.now: dict[int, Item] = {}  # what stands for a value, by its number, where it is no longer itself
        self.rolled = False

    def item(self, number: int) -> Item:
        if number < 0:
            return self.code.literals[-1 - number]
        return self.now.get(number) or self.code.values[number]

    def atom(self, a: Atom) -> Atom:
        """An operand as it is now."""
        if type(a) is Lit:
            return a
        item = self.now.get(self.code.number[a])
        return a if item is None else self.writer.atom(item)

    def graph(self) -> Graph:
        old = self.old
        at = 0
        for window in self.found:
            for eqn in old.eqns[at : window.start]:
                self._keep(eqn)
            at = window.start
            if self._roll(window):
                at = window.stop
                self.rolled = True
        for eqn in old.eqns[at:]:
            self._keep(eqn)
        return Graph(old.inputs, self.writer.eqns, [self.atom(a) for a in old.outputs])

    def _keep(self, eqn: Eqn) -> None:
        """An equation outside of the loops; slices wait until somebody reads them."""
        number, now, prim = self.code.number, self.now, eqn.prim
        if prim is slice_p and type(eqn.inputs[0]) is Var and set(eqn.params["strides"]) <= {1}:
            source = self.atom(eqn.inputs[0])
            if type(source) is Var:
                (out,) = eqn.outputs
                now[number[out]] = Row(source, eqn.params["start"], eqn.params["limit"], out.aval, eqn.where)
                return
        elif prim is reshape_p and type(eqn.inputs[0]) is Var:
            row = now.get(number[eqn.inputs[0]])
            if type(row) is Row:
                (out,) = eqn.outputs
                now[number[out]] = row._replace(aval=out.aval)
                return
        elif _is_long(eqn):
            items = [a if type(a) is Lit else now.get(number[a]) or a for a in eqn.inputs]
            parts = self.writer.joined(items, eqn.params["axis"])
            if len(parts) == 1:
                now[number[eqn.outputs[0]]] = parts[0]
            else:
                self.writer.eqns.append(eqn._replace(inputs=tuple(parts)))
            return
        self.writer.eqns.append(eqn._replace(inputs=tuple([self.atom(a) for a in eqn.inputs])))

    def _roll(self, w: Window) -> bool:
        """Whether the loop was written as a scan; if not, nothing that anybody reads was."""
        turn = _Turn(self.old, self.code, w, self.item, self.writer.atom)
        if not (turn.read_slices() and turn.read_operands()):
            return False
        work = int(self.code.weight[w.start : w.stop].sum())
        if work < MUCH and sum(map(copied_bytes, turn.rows)) > COPIED:
            return False
        outside = np.flatnonzero(self.last_read[w.base : w.base + w.trips * w.n_values] >= w.stop)
        places = [(int(n) // w.n_values, int(n) % w.n_values) for n in outside]
        turn.choose_results(places)
        key = turn.key()
        body = self.bodies.get(key)
        if body is None:
            body = self.bodies[key] = turn.body()
        write = self.writer
        consts = [write.atom(self.item(n)) for n in turn.consts]
        carries = [write.atom(self.item(n)) for _, start in turn.chains for n in start]
        carries += [zeros_like(v) for v in body.inputs[len(consts) + len(carries) :][: len(turn.last)]]
        inputs = (*consts, *carries, *map(write.stacked, turn.rows))
        params = {"body": body, "loop": Loop(len(consts), len(carries), w.trips, False)}
        outs = tuple([Var(aval) for aval in scan_p.infer(*(a.aval for a in inputs), **params)])
        write.eqns.append(Eqn(scan_p, inputs, outs, params, self.old.eqns[w.start].where))
        for n, (at, c) in zip(outside.tolist(), places, strict=True):
            self.now[w.base + n] = turn.result(at, c, outs)
        return True


class _Turn:
    """How one turn of a loop becomes the body of a scan.

    **Attributes:** `consts`: the numbers of what stays; `chains`: what is handed on, each (value of the turn, the
    numbers it starts from: one, two, ... turns back); `last`: values handed on only to be there at the end; `rows`:
    what differs, one item a turn; `ys`: values that go out stacked; `reads`: what each slot is, in terms of these.
    """

    def __init__(self, graph: Graph, code: Code, w: Window, item: Callable[[int], Item], atom: Callable[[Item], Atom]):
        self.eqns, self.code, self.w = graph.eqns, code, w
        self.item, self.atom = item, atom
        self.slot = (code.start[w.start : w.start + w.period + 1] - code.start[w.start]).tolist()
        self.value = (code.first[w.start : w.start + w.period + 1] - w.base).tolist()
        self.consts: list[int] = []
        self.chains: list[tuple[int, tuple[int, ...]]] = []
        self.last: list[int] = []
        self.rows: list[list[Item]] = []
        self.ys: list[int] = []
        self.cut: dict[int, int] = {}  # value of the turn -> the rows that it is
        self.moved: dict[int, list[int | tuple[int]]] = {}  # equation -> its slice's start on each axis, or its rows
        self.reads: list[tuple] = []

    def read_slices(self) -> bool:
        """Find the slices that advance; whether all of them can be written."""
        w = self.w
        for j in range(w.period):
            eqn = self.eqns[w.start + j]
            if eqn.prim is not slice_p:
                continue
            turns = self.eqns[w.start + j : w.stop : w.period]
            starts = [e.params["start"] for e in turns]
            if starts.count(starts[0]) == len(starts):
                continue
            if set(eqn.params["strides"]) != {1}:
                return False
            s = self.slot[j]
            source = self.atom(self.item(int(w.operands[0, s]))) if w.role[s] == STAYS else None
            if type(source) is Var:
                self.cut[self.value[j]] = len(self.rows)
                self.rows.append(
                    [Row(source, e.params["start"], e.params["limit"], e.outputs[0].aval, e.where) for e in turns]
                )
            else:
                along = zip(*starts, strict=True)
                self.moved[j] = [a[0] if a.count(a[0]) == len(a) else (self._row_of_ints(a),) for a in along]
        return True

    def _row_of_ints(self, numbers: Sequence[int]) -> int:
        self.rows.append([Lit(n, _INT) for n in numbers])
        return len(self.rows) - 1

    def read_operands(self) -> bool:
        """Find what each slot reads; whether all of it is there when the loop begins."""
        w = self.w
        dropped = {self.slot[j] for j in range(w.period) if self.value[j] in self.cut}
        back = np.where(w.role == MOVES, -(w.offset // w.n_values), 0)
        if int(back.max(initial=0)) >= w.trips:
            return False
        self._read_chains(np.flatnonzero(back > 0).tolist(), back)
        const: dict[int, int] = {}
        row: dict[bytes, int] = {}
        for s, (role, first) in enumerate(zip(w.role.tolist(), w.operands[0].tolist(), strict=True)):
            if s in dropped:
                self.reads.append(("nothing",))
            elif role == STAYS and first < 0:
                self.reads.append(("literal", first))
            elif role == STAYS:
                self.reads.append(("const", const.setdefault(first, len(const))))
            elif role == DIFFERS:
                column = w.operands[:, s]
                at = row.get(column.tobytes())
                if at is None:
                    at = row[column.tobytes()] = len(self.rows)
                    self.rows.append(self._scalars([self.item(n) for n in column.tolist()]))
                self.reads.append(("row", at))
            elif back[s] <= 0:
                self.reads.append(("value", int(w.offset[s])))
            else:
                self.reads.append(("carry", *self._carry_of(s, int(back[s]))))
        self.consts = list(const)
        return True

    def _read_chains(self, slots: Sequence[int], back: np.ndarray) -> None:
        """What is handed on. A value read one and two turns later is handed on twice, along one chain."""
        for s in sorted(slots, key=lambda s: -back[s]):
            if self._carry_of(s, int(back[s])) is None:
                self.chains.append(self._start(s, int(back[s])))

    def _start(self, s: int, back: int) -> tuple[int, tuple[int, ...]]:
        """The value that a slot reads, and the numbers it has one, two, ... turns before the first."""
        w = self.w
        return int(w.offset[s]) % w.n_values, tuple(w.operands[back - 1 :: -1, s].tolist())

    def _carry_of(self, s: int, back: int) -> Any:
        """The chain and the link in it that a slot reads."""
        value, start = self._start(s, back)
        for k, (c, longer) in enumerate(self.chains):
            if c == value and longer[:back] == start:
                return k, back - 1
        return None

    @staticmethod
    def _scalars(items: list[Item]) -> list[Item]:
        """Literals come in as numbers, and are made arrays by the body."""
        if all(type(a) is Lit for a in items):
            return [Lit(a.value, a.aval.reshaped(())) for a in items if type(a) is Lit]
        return items

    # -- results

    def choose_results(self, places: Sequence[tuple[int, int]]) -> None:
        """Decide how the values that are read outside, each (turn, value of the turn), come out."""
        turns = self.w.trips
        early: dict[int, int] = {}  # value -> how long before the end it is read at the earliest
        for at, c in places:
            early[c] = max(early.get(c, 0), turns - 1 - at)
        for c, back in early.items():
            if c in self.cut or any(v == c and back < len(start) for v, start in self.chains):
                continue
            (self.ys if back else self.last).append(c)

    def result(self, at: int, c: int, outs: Sequence[Var]) -> Item:
        """What the value c of turn `at` is, after the loop."""
        if c in self.cut:
            return self.rows[self.cut[c]][at]
        n = sum(len(start) for _, start in self.chains)
        if c in self.ys:
            stacked = outs[n + len(self.last) + self.ys.index(c)]
            aval = self.code.values[self.w.base + c].aval
            return row_of(stacked, at, aval, self.eqns[self.w.start].where)
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
            tuple([type(items[0]) is Lit for items in self.rows]),
            tuple(self.cut.items()),
            tuple([(j, *starts) for j, starts in self.moved.items()]),
            tuple(self.last),
            tuple(self.ys),
        )

    def body(self) -> Graph:
        """(consts*, carry*, x*) -> (carry*, y*), of the second turn: the first may read other names."""
        w, values = self.w, self.code.values
        consts = [Var(values[n].aval, values[n].name) for n in self.consts]
        chains = [[Var(values[w.base + c].aval) for _ in start] for c, start in self.chains]
        last = [Var(values[w.base + c].aval) for c in self.last]
        rows = [Var(items[0].aval) for items in self.rows]
        local: dict[int, Atom] = {c: rows[k] for c, k in self.cut.items()}
        eqns: list[Eqn] = []

        def read(s: int, like: Atom) -> Atom:
            what, *at = self.reads[s]
            if what == "literal":
                return self.code.literals[-1 - at[0]]
            if what == "const":
                return consts[at[0]]
            if what == "value":
                return local[at[0]]
            if what == "carry":
                return chains[at[0]][at[1]]
            x = rows[at[0]]
            if x.shape == like.shape:
                return x
            full = Var(like.aval)
            eqns.append(Eqn(broadcast_p, (x,), (full,), {"shape": like.shape, "axes": ()}))
            return full

        for j in range(w.period):
            if self.value[j] in self.cut:
                continue
            eqn = self.eqns[w.start + w.period + j]
            inputs = tuple([read(self.slot[j] + k, a) for k, a in enumerate(eqn.inputs)])
            outputs = tuple([Var(v.aval, v.name) for v in eqn.outputs])
            local.update(enumerate(outputs, self.value[j]))
            if j in self.moved:
                starts = [rows[a[0]] if type(a) is tuple else Lit(a, _INT) for a in self.moved[j]]
                eqn = Eqn(dynamic_slice_p, (*inputs, *starts), outputs, {"sizes": outputs[0].shape}, eqn.where)
            else:
                eqn = Eqn(eqn.prim, inputs, outputs, eqn.params, eqn.where)
            eqns.append(eqn)
        ends = [end for (c, _), chain in zip(self.chains, chains, strict=True) for end in (local[c], *chain[:-1])]
        outs = [*ends, *(local[c] for c in self.last), *(local[c] for c in self.ys)]
        carries = [v for chain in chains for v in chain]
        return tidy(Graph([*consts, *carries, *last, *rows], eqns, outs))
