"""In the body of a loop, a small array made of pieces is written piece by piece, each into its place.

XLA would fuse what computes the pieces into one concatenation (or one sum of padded arrays) that decides for every
element which piece it belongs to: not vectorised, and what two pieces share is computed for each. Where the pieces are
a few numbers each, as in the body of a recurrent network, that is most of the time of a turn.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir.graph import Eqn, Graph, Lit, Var, is_key
from ..ops.dynamic import dynamic_update_slice
from ..ops.families import add_p
from ..ops.operands import fill
from ..ops.shape import concatenate_p, pad_p
from ..trace.stage import input_names, trace_graph

SMALL = 1 << 14  # bytes; above it the copies cost more than the decisions

MOST = 256  # terms of a sum that are looked at

Piece = tuple[Any, tuple[int, ...]]  # an atom, and where its first element goes


def pieces_in_place(graph: Graph) -> Graph:
    """(x*) -> (y*) keeps its type; small concatenations and sums of arrays padded apart are written into place."""
    if not any(e.prim is concatenate_p or e.prim is pad_p for e in graph.eqns):
        return graph
    made = {v: eqn for eqn in graph.eqns for v in eqn.outputs}
    readers: dict[Var, list[Eqn | None]] = {}
    for eqn in graph.eqns:
        for a in eqn.inputs:
            if type(a) is Var:
                readers.setdefault(a, []).append(eqn)
    for a in graph.outputs:
        if type(a) is Var:
            readers.setdefault(a, []).append(None)
    found: dict[Var, list[Piece]] = {}
    within: set[Var] = set()
    for eqn in reversed(graph.eqns):
        if len(eqn.outputs) != 1 or is_key(eqn.outputs[0].dtype) or eqn.outputs[0] in within:
            continue
        (out,) = eqn.outputs
        if not 0 < out.aval.size * out.dtype.itemsize <= SMALL:
            continue
        if eqn.prim is concatenate_p:
            found[out] = _joined(eqn)
        elif eqn.prim is add_p:
            leaves = _leaves(eqn, made, readers, within)
            if leaves:
                found[out] = leaves
    if not found:
        return graph

    def run(builder, *xs):
        value = dict(zip(graph.inputs, xs, strict=True))
        for eqn in graph.eqns:
            builder.where = eqn.where
            pieces = found.get(eqn.outputs[0])
            if pieces is None:
                operands = tuple([value[a] if type(a) is Var else a for a in eqn.inputs])
                value.update(zip(eqn.outputs, builder.record(eqn.prim, operands, eqn.params), strict=True))
                continue
            (out,) = eqn.outputs
            whole: Any = fill(False if out.dtype.kind == "b" else 0, out.aval)
            for a, start in pieces:
                whole = dynamic_update_slice(whole, value[a] if type(a) is Var else a, *start)
            value[out] = whole
        return [value[a] if type(a) is Var else a for a in graph.outputs]

    traced = trace_graph(run, graph.in_avals, input_names(graph))
    live = {a for a in traced.outputs if type(a) is Var}
    kept = []
    for eqn in reversed(traced.eqns):
        if not live.isdisjoint(eqn.outputs):
            kept.append(eqn)
            live.update(a for a in eqn.inputs if type(a) is Var)
    return Graph(traced.inputs, kept[::-1], traced.outputs)


def _joined(eqn: Eqn) -> list[Piece]:
    axis, at, pieces = eqn.params["axis"], 0, []
    for a in eqn.inputs:
        if a.shape[axis]:
            pieces.append((a, tuple([at if k == axis else 0 for k in range(a.ndim)])))
        at += a.shape[axis]
    return pieces


def _leaves(eqn: Eqn, made: dict[Var, Eqn], readers: dict, within: set[Var]) -> list[Piece] | None:
    """The pieces of a sum of arrays padded with zeros, if no two of them meet."""
    pending, pieces, inner = list(eqn.inputs), [], []
    while pending:
        a = pending.pop()
        by = made.get(a) if type(a) is Var else None
        if by is None or len(inner) > MOST:
            return None
        if by.prim is add_p and len(readers[a]) == 1:
            inner.append(a)
            pending += by.inputs
            continue
        if by.prim is not pad_p or any(by.params["interior"]) or min((*by.params["low"], *by.params["high"])) < 0:
            return None
        x, value = by.inputs
        if type(value) is not Lit or value.value != 0:
            return None
        pieces.append((x, by.params["low"]))
    taken = np.zeros(eqn.outputs[0].shape, bool)  # of a small array
    for x, start in pieces:
        place = taken[tuple([slice(k, k + n) for k, n in zip(start, x.shape, strict=True)])]
        if place.any():
            return None
        place[...] = True
    within.update(inner)
    return pieces[::-1]
