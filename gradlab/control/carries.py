"""A carry that each turn puts together from pieces, and reads in pieces, goes round the loop as its pieces.

A recurrent network's state is stacked at the end of a turn only to be cut up at the start of the next. XLA would fuse
all that computes the pieces into the stack, and decide for each of its elements which piece it belongs to.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..ir.graph import Atom, Eqn, Graph, Lit, Var, is_key
from ..ops.families import add_p, reshape_p
from ..ops.operands import zeros_like
from ..ops.shape import concatenate, concatenate_p, pad_p, reshape, slice_in_dim, slice_p
from ..passes.pipeline import tidy
from ..trace.stage import input_names, trace_graph
from .scan import Loop, scan_call

MOST = 64  # pieces of one carry


class Piece(NamedTuple):
    """Elements `start` to `stop` of an array, counted in row-major order, and what they are."""

    start: int
    stop: int
    value: Atom


Span = tuple[int, int]


def has_pieces(body: Graph, loop: Loop) -> bool:
    """Whether a carry is put together from pieces."""
    return any(_split(body, loop, _Reads(body)))


def _split(body: Graph, loop: Loop, reads: _Reads) -> list[list[Piece] | None]:
    """The pieces of each carry that is better handed on in pieces."""
    split: list[list[Piece] | None] = []
    for v, end in zip(loop.parts(body.inputs)[1], body.outputs, strict=False):
        pieces = reads.pieces(end)
        split.append(pieces if 1 < len(pieces) <= MOST and reads.fit(v, pieces) else None)
    return split


def call_in_pieces(body: Graph, loop: Loop, consts: Sequence[Any], carry: Sequence[Any], xs: Sequence[Any]) -> tuple:
    """What `scan_call` gives."""
    reads = _Reads(body)
    split = _split(body, loop.with_counts(len(consts), len(carry)), reads)
    if not any(split):
        return scan_call(body, loop, consts, carry, xs)
    starts: list[Any] = []
    for x, pieces in zip(carry, split, strict=True):
        if pieces is None:
            starts.append(x)
        else:
            starts += [_part(x, p) for p in pieces]
    inner = tidy(_in_pieces(body, loop.with_counts(len(consts), len(carry)), split, reads))
    outs = list(scan_call(inner, loop, consts, starts, xs))
    ends = []
    for x, pieces in zip(carry, split, strict=True):
        n = 1 if pieces is None else len(pieces)
        ends.append(outs[0] if pieces is None else _joined(outs[:n], x.shape))
        outs = outs[n:]
    return (*ends, *outs)


def _part(x: Any, p: Piece) -> Any:
    if type(x) is Lit:
        return Lit(x.value, x.aval.reshaped(p.value.shape))
    flat = reshape(x, (math.prod(x.shape),))
    return reshape(slice_in_dim(flat, p.start, p.stop, axis=0), p.value.shape)


def _joined(values: Sequence[Any], shape: tuple[int, ...]) -> Any:
    return reshape(concatenate([reshape(y, (math.prod(y.shape),)) for y in values], axis=0), shape)


def _in_pieces(body: Graph, loop: Loop, split: Sequence[list[Piece] | None], reads: _Reads) -> Graph:
    """The body with the pieces of such carries in their place."""
    consts, carries, rows = loop.parts(body.inputs)
    avals = [v.aval for v in consts]
    for v, pieces in zip(carries, split, strict=True):
        avals += [v.aval] if pieces is None else [p.value.aval for p in pieces]
    avals += [v.aval for v in rows]

    def run(builder, *args):
        value: dict[Var, Any] = {}
        given = iter(args)
        spans: dict[Var, tuple[Span, list[tuple[Piece, Any]]]] = {}
        value.update(zip(consts, given, strict=False))
        for v, pieces in zip(carries, split, strict=True):
            if pieces is None:
                value[v] = next(given)
            else:
                own = [(p, next(given)) for p in pieces]
                for u, span in reads.views(v).items():
                    spans[u] = (span, own)
        value.update(zip(rows, given, strict=True))

        def read(a: Atom) -> Any:
            if type(a) is not Var:
                return a
            if a not in value:
                (start, stop), own = spans[a]
                met = [(p, x) for p, x in own if p.start < stop and start < p.stop]
                if len(met) == 1:
                    ((p, x),) = met
                    if (p.start, p.stop) != (start, stop):
                        x = reshape(x, (p.stop - p.start,))
                        x = slice_in_dim(x, start - p.start, stop - p.start, axis=0)
                    value[a] = reshape(x, a.shape)
                else:
                    value[a] = _joined([x for _, x in met], a.shape)
            return value[a]

        for eqn in body.eqns:
            if eqn.outputs[0] in spans:
                continue
            builder.where = eqn.where
            operands = tuple([read(a) for a in eqn.inputs])
            value.update(zip(eqn.outputs, builder.record(eqn.prim, operands, eqn.params), strict=True))
        ends = []
        for end, pieces in zip(body.outputs, split, strict=False):
            ends += [read(end)] if pieces is None else [read(p.value) for p in pieces]
        return [*ends, *map(read, body.outputs[loop.n_carry :])]

    return trace_graph(run, avals, input_names(body) if len(avals) == len(body.inputs) else ())


class _Reads:
    """Who reads what in a body, and what its arrays are put together from."""

    def __init__(self, body: Graph):
        self.made: Mapping[Var, Eqn] = {v: eqn for eqn in body.eqns for v in eqn.outputs}
        self.readers: dict[Var, list[Eqn]] = {}
        for eqn in body.eqns:
            for a in eqn.inputs:
                if type(a) is Var:
                    self.readers.setdefault(a, []).append(eqn)
        self.results = {a for a in body.outputs if type(a) is Var}

    # -- how a carry is read

    def views(self, v: Var) -> dict[Var, Span]:
        """The carry and what is only cut out of it, in one stretch each, and where that lies."""
        found: dict[Var, Span] = {v: (0, v.aval.size)}
        pending = [v]
        while pending:
            a = pending.pop()
            for eqn in self.readers.get(a, ()):
                span = _cut(eqn, found[a])
                if span is not None and eqn.outputs[0] not in found:
                    found[eqn.outputs[0]] = span
                    pending.append(eqn.outputs[0])
        return found

    def fit(self, v: Var, pieces: Sequence[Piece]) -> bool:
        """Whether what is computed from a carry reads one piece at a time; to be handed out it may be put together."""
        if is_key(v.dtype):
            return False
        views = self.views(v)
        for a, (start, stop) in views.items():
            met = [p for p in pieces if p.start < stop and start < p.stop]
            read = any(eqn.outputs[0] not in views for eqn in self.readers.get(a, ()))
            inside = all(start <= p.start and p.stop <= stop for p in met)
            if len(met) > 1 and (read or (a in self.results and not inside)):
                return False
        return True

    # -- what is handed on

    def pieces(self, a: Atom) -> list[Piece]:
        """What an array is put together from, in order and without gaps; itself if it is not."""
        found: list[Piece] = []
        at = 0
        for piece in sorted(self._parts(a, 0), key=lambda p: p.start):
            if piece.start > at:
                found.append(Piece(at, piece.start, _zeros(a, piece.start - at)))
            found.append(piece)
            at = piece.stop
        if at < a.aval.size:
            found.append(Piece(at, a.aval.size, _zeros(a, a.aval.size - at)))
        return found

    def _parts(self, a: Atom, at: int) -> list[Piece]:
        """The pieces of an array that begins at `at`, without what is zero between them."""
        whole = [Piece(at, at + a.aval.size, a)]
        eqn = self.made.get(a) if type(a) is Var else None
        if eqn is None or not a.aval.size:
            return whole
        if eqn.prim is reshape_p:
            return self._parts(eqn.inputs[0], at)
        if eqn.prim is concatenate_p and math.prod(a.shape[: eqn.params["axis"]]) == 1:
            found = []
            for x in eqn.inputs:
                found += self._parts(x, at) if x.aval.size else []
                at += x.aval.size
            return found
        if eqn.prim is add_p or eqn.prim is pad_p:
            found = self._padded(a, at)
            return whole if found is None else found
        return whole

    def _padded(self, a: Atom, at: int) -> list[Piece] | None:
        """The pieces of a sum of arrays that are padded with zeros and do not meet."""
        found: list[Piece] = []
        pending = [a]
        while pending:
            eqn = self.made.get(b) if type(b := pending.pop()) is Var else None
            if eqn is not None and eqn.prim is add_p:
                pending += eqn.inputs
                continue
            start = _padding(eqn) if eqn is not None else None
            if start is None:
                return None
            assert eqn is not None
            found += self._parts(eqn.inputs[0], at + start)
            if len(found) > MOST:
                return None
        found.sort(key=lambda p: p.start)
        meet = any(p.stop > q.start for p, q in zip(found, found[1:], strict=False))
        return None if meet else found


def _zeros(like: Atom, n: int) -> Lit:
    return Lit(zeros_like(like).value, like.aval.reshaped((n,)))


def _padding(eqn: Eqn) -> int | None:
    """Where an array that is padded with zeros begins, if it stays in one stretch."""
    if eqn.prim is not pad_p or type(eqn.inputs[1]) is not Lit or eqn.inputs[1].value != 0:
        return None
    low, high = eqn.params["low"], eqn.params["high"]
    if any(eqn.params["interior"]) or min((*low, *high), default=0) < 0:
        return None
    return _first(low, eqn.inputs[0].shape, eqn.outputs[0].shape)


def _cut(eqn: Eqn, span: Span) -> Span | None:
    """What a slice or a reshape of the elements `span` of an array reads of it, if that is one stretch."""
    if eqn.prim is reshape_p:
        return span
    if eqn.prim is not slice_p or set(eqn.params["strides"]) > {1}:
        return None
    (out,) = eqn.outputs
    start = _first(eqn.params["start"], out.shape, eqn.inputs[0].shape)
    return None if start is None or not out.aval.size else (span[0] + start, span[0] + start + out.aval.size)


def _first(start: Sequence[int], inner: Sequence[int], outer: Sequence[int]) -> int | None:
    """The number of the first element of a block at `start`, if its elements lie side by side."""
    partial = [k for k, (n, m) in enumerate(zip(inner, outer, strict=True)) if n != m]
    if partial and math.prod(inner[: partial[-1]]) != 1:
        return None
    at = 0
    for n, k in zip(outer, start, strict=True):
        at = at * n + k
    return at
