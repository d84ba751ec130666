"""`reroll`: what a Python loop leaves, the same equations again and again, becomes one `scan`.

XLA's time to compile an unrolled gradient grows far faster than the program; that of a scan does not depend on how
often it goes round. So the pass runs on a program as it was read, before anything is differentiated. It finds loops
with `repeats`, the innermost first, and writes each as one equation: what moves from turn to turn is the carry, what
differs comes in as rows, what is read outside goes out stacked. Turns at the ends that differ are left as they stand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import local
from typing import Any

import numpy as np

from ..ir.graph import Atom, Eqn, Graph, Lit, Var, is_inexact
from ..ops.families import broadcast_p, reshape_p
from ..ops.operands import zeros_like
from ..ops.shape import concatenate_p, slice_p
from ..passes.dce import dce
from ..trace.builder import Builder, Kind
from ..trace.patience import patient
from .code import LEAST_JOINED, Code, code_of, code_read
from .repeats import Window, windows
from .rows import Item, Row, Writer, is_apart, moved, sliced
from .scan import Loop, scan_p
from .turn import Turn

LEAST = 250  # equations in a loop below which it compiles, and runs, as well unrolled
APART = 10  # equations whose compilation costs as much as putting an array into a stack and its cotangent out of one
COPIED = 1_000_000  # bytes that may be copied into stacks for a loop ...
MUCH = 2000  # ... unless it has so many equations
ROUNDS = 8  # how deep loops may be nested


class _Rolling(local):
    on = True


ROLLING = _Rolling()  # per thread; `rerolling` sets it and sets it back


@contextmanager
def rerolling(on: bool) -> Iterator[None]:
    """A context (or decorator) in which Python loops become scans, or (`on=False`) stay as they were written.

    It counts when a function has been read to its end. Opened in a function that is being read, it concerns those that
    are read within, not what is written there itself: that is kept as it is by `gradlab.jit(part, reroll=False)`.
    """
    kept, ROLLING.on = ROLLING.on, bool(on)
    try:
        yield
    finally:
        ROLLING.on = kept


def rolled(
    builder: Builder, outputs: Sequence[Any], n_own: int, varying: frozenset[int] = frozenset(), names: Any = ()
) -> Graph:
    """`builder.graph(outputs, varying, names)`, its loops scans unless that is switched off.

    **Arguments:** `n_own`: how many inputs may have a derivative; the others are constants to whoever differentiates.
    """
    if not isinstance(builder, Builder):  # a piece of a tape
        graph = builder.graph(outputs, varying, names)
        return reroll(graph, n_own) if ROLLING.on else graph
    if not ROLLING.on or (len(builder.rows) < LEAST and not any(map(_joins, builder.kinds))):
        return builder.graph(outputs, varying, names)
    with patient(len(builder.rows)):
        graph = _round(code_read(builder, outputs, varying, names), n_own, LEAST)
        return builder.graph(outputs, varying, names) if graph is None else _rounds(graph, n_own, LEAST)


def _joins(kind: Kind | None) -> bool:
    return kind is not None and kind.prim is concatenate_p and len(kind.avals) >= LEAST_JOINED


def reroll(graph: Graph, n_own: int | None = None, least: int = LEAST) -> Graph:
    """(x*) -> (y*) keeps its type and, up to rounding, its values; long repetitions are scans.

    **Arguments:** `n_own`: how many inputs may have a derivative (all, unless given). `least`: how many equations to
    compile a repetition must have.
    """
    if len(graph.eqns) < least:
        return graph
    with patient(len(graph.eqns)):
        return _rounds(dce(graph), len(graph.inputs) if n_own is None else n_own, least)


def _rounds(graph: Graph, n_own: int, least: int) -> Graph:
    """The innermost loops first, then those they are the turns of."""
    for _ in range(ROUNDS):
        found = _round(code_of(graph), n_own, least)
        if found is None:
            break
        graph = found
    return graph


def _round(code: Code, n_own: int, least: int) -> Graph | None:
    """The program with the loops rolled that are seen in it; None if there are none, and nothing else changed."""
    found = windows(code, least)
    if not found and not code.joins:
        return None
    roller = _Roller(code, n_own, least)
    graph = dce(roller.graph(found))
    return graph if roller.rolled or roller.joined else None


class _Roller:
    """Writes a program again with some of its loops as scans."""

    def __init__(self, code: Code, n_own: int, least: int):
        self.code = code
        self.constant = set(code.inputs[n_own:])
        self.least = least
        self.bodies: dict[tuple, Graph] = {}
        self.writer = Writer()
        self.now: dict[int, Item] = {}  # what stands for a value, by its number, where it is no longer itself
        self.rolled = self.joined = False
        self.first, self.start, self.operands = code.first.tolist(), code.start.tolist(), code.operands.tolist()
        n = len(code.eqns)
        self.last_read = np.full(len(code.values), -1)
        used = code.operands >= 0
        np.maximum.at(self.last_read, code.operands[used], np.repeat(np.arange(n), np.diff(code.start))[used])
        self.last_read[[a for a in code.outputs if a >= 0]] = n

    def item(self, number: int) -> Item:
        """What stands for a value or, negative, a literal."""
        if number < 0:
            return self.code.literals[-1 - number]
        return self.now.get(number) or self.code.values[number]

    def atom(self, number: int) -> Atom:
        """The same, written out."""
        return self.writer.atom(self.item(number))

    def graph(self, found: Sequence[Window]) -> Graph:
        """The program with those of the loops rolled that can be and that pay."""
        at = 0
        for window in found:
            for k in range(at, window.start):
                self._keep(k)
            at = window.start
            if self._roll(window):
                at = window.stop
                self.rolled = True
        for k in range(at, len(self.code.eqns)):
            self._keep(k)
        return Graph(self.code.inputs, self.writer.eqns, [self.atom(n) for n in self.code.outputs])

    def _keep(self, k: int) -> None:
        """An equation outside of the loops; slices wait until somebody reads them."""
        eqn, now, out = self.code.eqns[k], self.now, self.first[k]
        operands = self.operands[self.start[k] : self.start[k + 1]]
        prim = eqn.prim
        if prim is slice_p and operands[0] >= 0 and set(eqn.params["strides"]) <= {1}:
            source = self.atom(operands[0])
            if type(source) is Var:
                now[out] = sliced(source, eqn)
                return
        elif prim is reshape_p or prim is broadcast_p:
            row = now.get(operands[0])
            if type(row) is Row and row.axes is None:
                now[out] = moved(row, eqn)
                return
        elif prim is concatenate_p and len(operands) >= LEAST_JOINED:
            parts = self.writer.joined([self.item(n) for n in operands], eqn.params["axis"])
            self.joined = self.joined or len(parts) < len(operands)
            if len(parts) == 1:
                now[out] = parts[0]
            else:
                self.writer.eqns.append(eqn._replace(inputs=tuple(parts)))
            return
        self.writer.eqns.append(eqn._replace(inputs=tuple([self.atom(n) for n in operands])))

    def _roll(self, w: Window) -> bool:
        """Whether the loop was written as a scan; if not, nothing was that anybody reads."""
        turn = Turn(self.code, w, self.item, self.writer.atom)
        if not (turn.read_slices() and turn.read_operands() and self._pays(turn)):
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
        carries += [zeros_like(v) for v in body.inputs[len(consts) + len(carries) :][: len(turn.last) + len(turn.kept)]]
        inputs = (*consts, *carries, *map(write.stacked, turn.rows))
        params = {"body": body, "loop": Loop(len(consts), len(carries), w.trips, False)}
        outs = tuple([Var(aval) for aval in scan_p.infer(*(a.aval for a in inputs), **params)])
        write.eqns.append(Eqn(scan_p, inputs, outs, params, self.code.eqns[w.start].where))
        for n, (at, c) in zip(outside.tolist(), places, strict=True):
            self.now[w.base + n] = turn.result(at, c, outs)
        return True

    def _pays(self, turn: Turn) -> bool:
        """Whether stacking what stands in arrays of its own costs less than compiling the loop unrolled."""
        w = turn.w
        work = int(self.code.weight[w.start : w.stop].sum())
        apart = [items for items in turn.rows if is_apart(items)]
        moving = [items for items in apart if is_inexact(items[0].aval.dtype)]
        given = [items for items in moving if not self.constant.issuperset(i for i in items if type(i) is not Lit)]
        copied = sum(w.trips * items[0].aval.size * items[0].aval.dtype.itemsize for items in apart)
        return work - APART * w.trips * len(given) >= (self.least if copied <= COPIED else max(self.least, MUCH))
