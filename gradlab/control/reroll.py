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

import numpy as np

from ..ir.graph import Atom, Eqn, Graph, Lit, Var, is_inexact
from ..ops.families import broadcast_p, reshape_p
from ..ops.operands import zeros_like
from ..ops.shape import concatenate_p, slice_p
from ..passes.dce import dce
from ..trace.patience import patient
from .repeats import Code, Window, code_of, windows
from .rows import LEAST_JOINED, Item, Row, Writer, is_apart, moved, sliced
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
    """A context (or decorator) in which Python loops become scans, or (`on=False`) stay as they were written."""
    kept, ROLLING.on = ROLLING.on, bool(on)
    try:
        yield
    finally:
        ROLLING.on = kept


def rolled(graph: Graph, n_own: int) -> Graph:
    """(x*, captured*) -> (y*) keeps its type: a program as it was read, its loops scans unless that is switched off.

    **Arguments:** `n_own`: how many inputs are x*; the captured ones are constants to whoever differentiates.
    """
    return reroll(graph, n_own) if ROLLING.on else graph


def reroll(graph: Graph, n_own: int | None = None, least: int = LEAST) -> Graph:
    """(x*) -> (y*) keeps its type and, up to rounding, its values; long repetitions are scans.

    **Arguments:** `n_own`: how many inputs may have a derivative (all, unless given). `least`: how many equations to
    compile a repetition must have.
    """
    if len(graph.eqns) < least:
        return graph
    with patient(len(graph.eqns)):
        return _rerolled(graph, n_own, least)


def _rerolled(graph: Graph, n_own: int | None, least: int) -> Graph:
    graph = dce(graph)
    for _ in range(ROUNDS):
        code = code_of(graph)
        found = windows(code, least)
        if not found and not any(map(_is_long, graph.eqns)):
            break
        roller = _Roller(graph, code, len(graph.inputs) if n_own is None else n_own, least)
        graph = dce(roller.graph(found))
        if not roller.rolled:
            break
    return graph


def _is_long(eqn: Eqn) -> bool:
    return eqn.prim is concatenate_p and len(eqn.inputs) >= LEAST_JOINED


class _Roller:
    """Writes a program again with some of its loops as scans."""

    def __init__(self, graph: Graph, code: Code, n_own: int, least: int):
        self.old = graph
        self.code = code
        self.constant = set(graph.inputs[n_own:])
        self.least = least
        self.bodies: dict[tuple, Graph] = {}
        self.writer = Writer()
        self.now: dict[int, Item] = {}  # what stands for a value, by its number, where it is no longer itself
        self.rolled = False
        n = len(graph.eqns)
        self.last_read = np.full(len(code.values), -1)
        used = code.operands >= 0
        np.maximum.at(self.last_read, code.operands[used], np.repeat(np.arange(n), np.diff(code.start))[used])
        self.last_read[[code.number[a] for a in graph.outputs if type(a) is Var]] = n

    def item(self, number: int) -> Item:
        """What stands for a value or, negative, a literal."""
        if number < 0:
            return self.code.literals[-1 - number]
        return self.now.get(number) or self.code.values[number]

    def atom(self, a: Atom) -> Atom:
        """An operand as it is now."""
        if type(a) is Lit:
            return a
        item = self.now.get(self.code.number[a])
        return a if item is None else self.writer.atom(item)

    def graph(self, found: Sequence[Window]) -> Graph:
        """The program with those of the loops rolled that can be and that pay."""
        old, at = self.old, 0
        for window in found:
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
                now[number[eqn.outputs[0]]] = sliced(source, eqn)
                return
        elif (prim is reshape_p or prim is broadcast_p) and type(eqn.inputs[0]) is Var:
            row = now.get(number[eqn.inputs[0]])
            if type(row) is Row and row.axes is None:
                now[number[eqn.outputs[0]]] = moved(row, eqn)
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
        """Whether the loop was written as a scan; if not, nothing was that anybody reads."""
        turn = Turn(self.old, self.code, w, self.item, self.writer.atom)
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
        carries += [zeros_like(v) for v in body.inputs[len(consts) + len(carries) :][: len(turn.last)]]
        inputs = (*consts, *carries, *map(write.stacked, turn.rows))
        params = {"body": body, "loop": Loop(len(consts), len(carries), w.trips, False)}
        outs = tuple([Var(aval) for aval in scan_p.infer(*(a.aval for a in inputs), **params)])
        write.eqns.append(Eqn(scan_p, inputs, outs, params, self.old.eqns[w.start].where))
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
