"""The sum of many small pieces of one array, each padded to all of it, is one concatenation of the pieces.

That sum is the cotangent of an array that was read piece by piece: x[0], x[1], ... each give back one number, put among
zeros as many as x has. Added up, n reads of n numbers cost n²; put side by side they cost n. (A few blocks along one
axis are the business of `blocks`, which knows when that pays.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

from ..ir.graph import Atom, Eqn, Graph, Lit, Var
from ..ops.families import add_p, reshape_p
from ..ops.operands import zeros_like
from ..ops.shape import concatenate_p, pad_p

LEAST = 8  # pieces from which it is worth it
MANY = 64  # pieces from which it is whatever they look like; fewer must be cut along two axes


class _Piece(NamedTuple):
    """Elements `start` to `stop` of an array, its elements counted in row-major order, cut along so many axes."""

    start: int
    stop: int
    value: Atom
    axes: int


def join_pads(graph: Graph) -> Graph:
    """(x*) -> (y*) keeps its type and, up to the order of sums, its values; padded pieces are not added but joined."""
    if sum(eqn.prim is pad_p for eqn in graph.eqns) < LEAST:
        return graph
    made: dict[Var, Eqn] = {}
    readers: dict[Var, int] = {}
    inner: set[Var] = set()  # sums that one other sum reads, and nobody else
    for eqn in graph.eqns:
        made.update(dict.fromkeys(eqn.outputs, eqn))
        for a in eqn.inputs:
            if type(a) is Var:
                readers[a] = readers.get(a, 0) + 1
    for a in graph.outputs:
        if type(a) is Var:
            readers[a] = readers.get(a, 0) + 1
    for eqn in graph.eqns:
        if eqn.prim is add_p:
            inner.update(a for a in eqn.inputs if type(a) is Var and readers[a] == 1 and _is_sum(a, made))
    eqns: list[Eqn] = []
    changed = False
    for eqn in graph.eqns:
        joined = _joined(eqn, made, inner) if eqn.prim is add_p and eqn.outputs[0] not in inner else None
        if joined is None:
            eqns.append(eqn)
        else:
            eqns += joined
            changed = True
    return Graph(graph.inputs, eqns, graph.outputs) if changed else graph


def _is_sum(a: Var, made: Mapping[Var, Eqn]) -> bool:
    eqn = made.get(a)
    return eqn is not None and eqn.prim is add_p


def _joined(eqn: Eqn, made: Mapping[Var, Eqn], inner: set[Var]) -> list[Eqn] | None:
    """What computes a sum whose terms are in good part pieces; None if they are not."""
    terms: list[Atom] = []
    stack: list[Atom] = [*reversed(eqn.inputs)]
    while stack:
        a = stack.pop()
        if type(a) is Var and a in inner:
            stack += reversed(made[a].inputs)
        else:
            terms.append(a)
    pieces, rest = [], []
    for a in terms:
        piece = _piece(made.get(a)) if type(a) is Var else None
        if piece is None:
            rest.append(a)
        else:
            pieces.append((piece, a))
    if len(pieces) < (LEAST if any(piece.axes > 1 for piece, _ in pieces) else MANY):
        return None
    pieces.sort(key=lambda pair: pair[0][:2])
    eqns: list[Eqn] = []

    def write(prim, *inputs: Atom, **params) -> Var:
        (aval,) = prim.infer(*(a.aval for a in inputs), **params)
        out = Var(aval)
        eqns.append(Eqn(prim, inputs, (out,), params, eqn.where))
        return out

    parts: list[Atom] = []
    at = 0
    last: _Piece | None = None
    for piece, whole in pieces:
        if last is not None and piece[:2] == last[:2]:
            parts[-1] = write(add_p, parts[-1], _flat(piece, write))
        elif piece.start < at:
            rest.append(whole)
        else:
            if piece.start > at:
                parts.append(_zeros(piece.value, piece.start - at))
            parts.append(_flat(piece, write))
            at, last = piece.stop, piece
    (out,) = eqn.outputs
    if at < out.aval.size:
        parts.append(_zeros(pieces[0][0].value, out.aval.size - at))
    total = write(concatenate_p, *parts, axis=0)
    if total.shape != out.shape:
        total = write(reshape_p, total, shape=out.shape)
    for a in rest:
        total = write(add_p, a, total)
    if total.aval != out.aval:
        return None
    eqns[-1] = eqns[-1]._replace(outputs=(out,))
    return eqns


def _zeros(like: Atom, n: int) -> Lit:
    return Lit(zeros_like(like).value, like.aval.reshaped((n,)))


def _flat(piece: _Piece, write: Callable[..., Var]) -> Atom:
    a, n = piece.value, piece.stop - piece.start
    if a.shape == (n,):
        return a
    return Lit(a.value, a.aval.reshaped((n,))) if type(a) is Lit else write(reshape_p, a, shape=(n,))


def _piece(eqn: Eqn | None) -> _Piece | None:
    """Where a padded array lies, if that is one stretch of the result and zeros are around it."""
    if eqn is None or eqn.prim is not pad_p:
        return None
    x, value = eqn.inputs
    low, high = eqn.params["low"], eqn.params["high"]
    if type(value) is not Lit or value.value != 0 or any(eqn.params["interior"]) or min((*low, *high), default=0) < 0:
        return None
    shape = eqn.outputs[0].shape
    partial = [axis for axis, (n, m) in enumerate(zip(x.shape, shape, strict=True)) if n != m]
    # All axes before the last one that is cut have length 1, so that the elements lie side by side.
    if not partial or not x.aval.size or math.prod(x.shape[: partial[-1]]) != 1:
        return None
    start = 0
    for n, a in zip(shape, low, strict=True):
        start = start * n + a
    return _Piece(start, start + x.aval.size, x, len(partial))
