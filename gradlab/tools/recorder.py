"""What tapes record on: one open trace, in which each equation knows which tapes were listening when it was written.

Tapes that are open at once share a recorder, so an inner tape's gradient, made of equations itself, is recorded by the
outer one. The part of the record between a tape's sources and its targets is cut out as a graph, differentiated, and
kept in the same cache as everything else.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ir.errors import ConcretizationError
from ..ir.graph import Aval, Eqn, Graph, Lit, Var
from ..ir.primitive import Primitive
from ..lower.compile import evaluate
from ..ops.convert import stop_gradient_p
from ..ops.families import add_p
from ..trace.builder import AMBIENT, CAPTURE, FILL, LITERAL, NO_PARAMS, Builder
from ..trace.stage import inline
from ..trace.tracer import Held, Tracer

_serial = itertools.count(2)


class Recorder(Builder):
    """A trace that may be open to several tapes, or to none: then what is done to its values is only computed.

    **Attributes:** `listening`: the tapes recording now, each by its token; `state`: a number for that set, the fourth
    entry of every row written under it; `sets`: the sets, by number; `reads`: what a variable's value is called here.
    """

    __slots__ = ("inlining", "listening", "reads", "salt", "sets", "state", "states", "tapes")

    def __init__(self) -> None:
        super().__init__(evaluate)
        # Below every trace opened inside it, above the one around it and above older recorders.
        self.level = (AMBIENT.stack[-1].level + 1 if AMBIENT.stack else 0) - 1 / next(_serial)  # type: ignore[assignment]
        self.listening: frozenset[int] = frozenset()
        self.salt = 0
        self.states: dict[tuple[frozenset[int], int], int] = {(self.listening, 0): 0}
        self.sets: list[frozenset[int]] = [self.listening]
        self.state = 0
        self.inlining = False
        self.reads: dict[int, tuple[Held, int, int]] = {}
        self.tapes: dict[int, Any] = {}

    @property
    def recording(self) -> bool:  # type: ignore[override]
        return bool(self.listening)

    def listen(self, tokens: frozenset[int]) -> None:
        """From now on these tapes record. The recorder is the ambient trace while there is any."""
        if tokens and not self.listening:
            AMBIENT.stack = (*AMBIENT.stack, self)
        elif self.listening and not tokens:
            AMBIENT.stack = tuple([b for b in AMBIENT.stack if b is not self])
            # What the memo holds of literals and captures refers back to this object; a value kept by the user should
            # not keep everything else alive until the cycle is found.
            self.memo = {key: found for key, found in self.memo.items() if type(found) is tuple}
        self.listening = tokens
        found = self.states.get((tokens, self.salt))
        if found is None:
            found = self.states[tokens, self.salt] = len(self.sets)
            self.sets.append(tokens)
        self.state = found

    def renew(self) -> None:
        """What has been computed so far is not recognised, should the same be computed again."""
        self.salt += 1
        self.listen(self.listening)

    def inlined(self, write: Callable[[], Any]) -> Any:
        """`write()`, which records a derivative: of the values that are there, not of copies of them."""
        self.inlining = True
        try:
            return write()
        finally:
            self.inlining = False

    def is_literal(self, number: int) -> bool:
        return self.rows[self.origin[number]][0] is LITERAL

    # -- values of the trace

    def shown(self, tracer: Tracer) -> str:
        try:
            value = self.value_of(tracer, "print()")
        except ConcretizationError:
            return super().shown(tracer)
        text = np.array2string(np.asarray(value), separator=", ")
        return f"Tensor({text}, shape={tracer.shape}, dtype={tracer.dtype})"

    def tracer(self, id: int) -> Tracer:
        return Tracer(self.aval(id), self, id)

    def source(self, x: Any, aval: Aval) -> int:
        """The number of a value from outside that is told apart from all others, even from the same array."""
        found = self._source(CAPTURE, aval)
        self.captured.append((found.id, x))
        return found.id

    def read(self, held: Any) -> Tracer:
        """The value of a variable, as the tapes that are listening see it."""
        known = self.reads.get(id(held))
        if known is None or known[1] != held.version:
            known = (held, held.version, self.source(held.array, held.aval))
            self.reads[id(held)] = known
        for token in self.listening:
            self.tapes[token].accessed(held, known[2])
        return Tracer(held.aval, self, known[2])

    def operand(self, x: Any, like: Aval | None) -> Tracer:
        if type(x) is Tracer and x.builder is not self and isinstance(x.builder, Recorder) and not x.builder.recording:
            x = x.value("another tape")  # a constant here
        return super().operand(x, like)

    def handed(self, tracer: Tracer, to: Builder) -> Tracer:
        if to.level >= self.level:
            return super().handed(tracer, to)
        # A function under transformation returns what it computed beneath a tape: that is computed again outside.
        needed, leaves, waiting = set(), set(), [tracer.id]
        while waiting:
            row = self.rows[self.origin[waiting[-1]]]
            if len(row) == 2:
                leaves.add(waiting.pop())
            elif waiting[-1] in needed:
                waiting.pop()
            else:
                needed.add(waiting.pop())
                waiting += row[1]
        known, found = sorted(leaves), sorted(needed)
        outside = dict(self.captured) | {id: Lit(x, self.aval(id).reshaped(())) for id, x in self.scalars}
        made = inline(self._slice(known, found), to, [outside[id] for id in known])
        return made[found.index(tracer.id)] if found else to.operand(outside[tracer.id], None)

    # -- recording

    def record(self, prim: Primitive, xs: tuple, params: dict[str, Any]) -> tuple[Tracer, ...]:
        ids = []
        like = None
        for x in xs:
            if type(x) is Tracer and x.builder is self:
                ids.append(x.id)
            elif type(x) is Tracer and x.builder.level > self.level and not x.builder.closed:
                return x.builder.record(prim, xs, params)
            else:
                if like is None:
                    like = next((y.aval for y in xs if type(y) is Tracer or type(y) is Lit), None)
                ids.append(self.operand(x, like).id)
        values = tuple(params.values())
        row = (prim, tuple(ids), values, self.state)
        found = self.memo.get(row)
        if found is None and self.inlining:
            # The values that are there may be sources of the tapes that are listening; copies of them are none.
            for state, tokens in enumerate(self.sets):
                if found is None and tokens >= self.listening:
                    found = self.memo.get((*row[:3], state))
        if found is None:
            avals = tuple([x.aval if type(x) is Tracer else self.aval(i) for x, i in zip(xs, ids, strict=True)])
            found = self._new(row, prim, avals, values, params)
        first, out_avals = found
        if len(out_avals) == 1:
            return (Tracer(out_avals[0], self, first),)
        return tuple([Tracer(aval, self, first + i) for i, aval in enumerate(out_avals)])

    def unary(self, prim: Primitive, x: Tracer) -> Tracer:
        row = (prim, (x.id,), (), self.state)
        found = self.memo.get(row)
        if found is None:
            if self.inlining:
                return self.record(prim, (x,), NO_PARAMS)[0]
            found = self._new(row, prim, (x.aval,), (), NO_PARAMS, 3)
        return Tracer(found[1][0], self, found[0])

    def binary(self, prim: Primitive, x: Tracer, y: Tracer) -> Tracer:
        row = (prim, (x.id, y.id), (), self.state)
        found = self.memo.get(row)
        if found is None:
            if self.inlining:
                return self.record(prim, (x, y), NO_PARAMS)[0]
            found = self._new(row, prim, (x.aval, y.aval), (), NO_PARAMS, 3)
        return Tracer(found[1][0], self, found[0])

    def heard(self, id: int, token: int) -> bool:
        """Whether a tape recorded the equation that made this value."""
        row = self.rows[self.origin[id]]
        return len(row) == 4 and token in self.sets[row[3]]


class Piece:
    """The part of a record between sources and targets, ready to be a graph: what `Entry` asks of a reading.

    **Arguments:** `token`: the tape; what it did not record is constant. `since`: per source its number and the row
    from which on it is watched; those who read it before read a constant. `targets`: numbers of values.
    **Attributes:** `key`: the piece as a hashable, scalars masked; `alive`: which sources a target may depend on;
    `nudged`: which sources are no inputs: a zero is added to them, and its gradient is theirs.
    """

    def __init__(self, recorder: Recorder, token: int, since: dict[int, int], targets: Sequence[int]):
        self.recorder, self.token, self.since, self.outs = recorder, token, since, tuple(targets)
        self.given = list(since)
        rows, origin = recorder.rows, recorder.origin
        self.heard = heard = [token in tokens for tokens in recorder.sets]
        needed: set[int] = set()
        leaves: set[int] = set()
        waiting = list(targets)
        late = {id for id in since if len(rows[origin[id]]) == 4}
        is_late = any(since.values())
        while waiting:
            id = waiting.pop()
            number = origin[id]
            if number in needed:
                continue
            row = rows[number]
            # Where another tape still records, what this one has not heard is a value of the other's.
            if len(row) == 2 or (recorder.listening and not heard[row[3]]):
                leaves.add(id)
                continue
            needed.add(number)
            waiting += row[1]
            if is_late:
                late.update([i for i in row[1] if i in since and number < since[i]])
        self.numbers = sorted(needed)
        self.nudged = [id in late for id in since]
        plain = [id for id in since if id not in late]
        literal = {id for id in leaves if rows[origin[id]][0] is LITERAL}
        self.scalars = [(id, value) for id, value in recorder.scalars if id in literal]
        rest = sorted(leaves - literal - set(plain))
        self.leaves = [*plain, *rest]
        self.key = self._key()

    @property
    def builder(self) -> Piece:
        """Where an `Entry` looks for scalars and the graph."""
        return self

    def _key(self) -> tuple:
        recorder = self.recorder
        place: dict[int, int] = {}
        for id in (*self.leaves, *(id for id, _ in self.scalars)):
            place[id] = len(place)
        head = tuple([recorder.aval(id) for id in place])
        rows = []
        table, memo, heard, n = recorder.rows, recorder.memo, self.heard, len(place)
        for number in self.numbers:
            row = table[number]
            prim, operands, values, state = row
            first, avals = memo[row]
            rows.append((prim, tuple([place[i] for i in operands]), values, heard[state]))
            for i in range(first, first + len(avals)):
                place[i] = n
                n += 1
        marks = tuple([(place.get(id), self._after(at)) for id, at in self.since.items()])
        return (head, len(self.scalars), tuple(rows), marks, tuple([place[id] for id in self.outs]))

    def _after(self, at: int) -> int:
        """How many of the equations were there when a source began to be watched."""
        return sum(number < at for number in self.numbers) if at else 0

    def aval(self, id: int) -> Aval:
        return self.recorder.aval(id)

    def names(self) -> Sequence[str]:
        return ()

    def inputs(self) -> list[Any]:
        """What the graph is of: tracers while a tape records, else values."""
        recorder = self.recorder
        if recorder.listening:
            return [recorder.tracer(id) for id in self.leaves]
        known = dict(recorder.captured)
        return [known[id] if id in known else recorder.value_of(recorder.tracer(id), "a tape") for id in self.leaves]

    def graph(self, outputs: Sequence[int], varying: frozenset[int] = frozenset(), names: Sequence[str] = ()) -> Graph:
        """(sources*, other leaves*, varying scalars*) -> (targets*); a nudged source is the zero added to it."""
        recorder = self.recorder
        env: dict[int, Any] = {}
        moving = []
        for id in self.since:
            moving.append(Var(recorder.aval(id)))
            if id in self.leaves and not self.nudged[len(moving) - 1]:
                env[id] = moving[-1]
        nudge = {id: v for id, v, on in zip(self.since, moving, self.nudged, strict=True) if on}
        others = [Var(recorder.aval(id)) for id in self.leaves if id not in env]
        env.update(zip([id for id in self.leaves if id not in env], others, strict=True))
        eqns: list[Eqn] = []
        scalars = []
        for k, (id, value) in enumerate(self.scalars):
            aval = recorder.aval(id)
            if k not in varying:
                env[id] = Lit(value, aval)
                continue
            scalars.append(Var(aval.reshaped(())))
            env[id] = scalars[-1]
            if aval.shape:
                env[id] = Var(aval)
                eqns.append(Eqn(FILL[0], (scalars[-1],), (env[id],), {"shape": aval.shape, "axes": ()}))
        stopped: dict[int, Var] = {}
        unheard: set[int] = set()

        def begin(id: int) -> None:
            nudged = Var(recorder.aval(id))
            eqns.append(Eqn(add_p, (env[id], nudge.pop(id)), (nudged,), {}))
            env[id] = nudged

        def operand(id: int, heard: bool) -> Any:
            if not heard or id not in unheard:
                return env[id]
            if id not in stopped:
                stopped[id] = Var(recorder.aval(id))
                eqns.append(Eqn(stop_gradient_p, (env[id],), (stopped[id],), {}))
            return stopped[id]

        for number in self.numbers:
            for id in [id for id in nudge if id in env and self.since[id] <= number]:
                begin(id)
            (eqn,) = recorder._eqns([number], env)
            row = recorder.rows[number]
            heard = self.heard[row[3]]
            first = recorder.memo[row][0]
            made = range(first, first + len(eqn.outputs))
            inputs = tuple([operand(i, heard) for i in row[1]])
            eqns.append(eqn._replace(inputs=inputs))
            if not heard:
                unheard.update(made)
        for id in [id for id in nudge if id in env]:
            begin(id)
        return Graph([*moving, *others, *scalars], eqns, [operand(id, True) for id in outputs])
