"""Partial evaluation: what can be computed from the known inputs alone, and what has to wait for the unknown ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..ir.graph import Atom, Eqn, Graph, Var


class Split(NamedTuple):
    """`known`: (k*) -> (known y*, residuals*); `unknown`: (residuals*, u*) -> (unknown y*)."""

    known: Graph
    unknown: Graph
    out_unknown: tuple[bool, ...]
    n_residuals: int


def live_eqns(eqns: Sequence[Eqn], outputs: Sequence[Atom]) -> list[Eqn]:
    """The equations on which the outputs depend, in order; those with several outputs may be left with fewer."""
    live = {a for a in outputs if type(a) is Var}
    kept = []
    for eqn in reversed(eqns):
        if not live.isdisjoint(eqn.outputs):
            if eqn.prim.prune is not None and not live.issuperset(eqn.outputs):
                eqn = eqn.prim.prune(eqn, [v in live for v in eqn.outputs])
            kept.append(eqn)
            for a in eqn.inputs:
                if type(a) is Var:
                    live.add(a)
    return kept[::-1]


def divided(graph: Graph, unknown: Sequence[bool]) -> tuple[list[Eqn], list[Eqn], set[Var]]:
    """The equations that can be computed from the known inputs, those that wait for the unknown, and all that wait."""
    waiting = {v for v, u in zip(graph.inputs, unknown, strict=True) if u}
    early: list[Eqn] = []
    late: list[Eqn] = []
    for eqn in graph.eqns:
        if waiting.isdisjoint(a for a in eqn.inputs if type(a) is Var):
            early.append(eqn)
        elif eqn.prim.split is not None:
            mask = [type(a) is Var and a in waiting for a in eqn.inputs]
            known_eqns, unknown_eqns = eqn.prim.split(eqn, mask)
            early += known_eqns
            late += unknown_eqns
            for e in unknown_eqns:
                waiting.update(e.outputs)
        else:
            late.append(eqn)
            waiting.update(eqn.outputs)
    return early, late, waiting


def split_graph(graph: Graph, unknown: Sequence[bool]) -> Split:
    """(k*, u*) -> (y*) becomes known: (k*) -> (y*, residuals*) and unknown: (residuals*, u*) -> (y*).

    **Arguments:** `unknown`: which inputs are u. An output that depends on no unknown input is known. The residuals are
    the known values the unknown part reads; values that only stretch a smaller one are stretched again instead.
    """
    early, late, waiting = divided(graph, unknown)
    out_unknown = tuple(type(a) is Var and a in waiting for a in graph.outputs)
    late_outs = [a for a, u in zip(graph.outputs, out_unknown, strict=True) if u]
    late = live_eqns(late, late_outs)
    stretched = {eqn.outputs[0]: eqn for eqn in early if stretches(eqn)}
    residuals: dict[Var, None] = {}
    again: dict[Var, Eqn] = {}

    def need(atom: Atom) -> None:
        if type(atom) is not Var or atom in made or atom in again:
            return
        eqn = stretched.get(atom)
        if eqn is None:
            residuals[atom] = None
        else:
            for operand in eqn.inputs:
                need(operand)
            again[atom] = eqn

    made = set(waiting)
    for atom in [*(a for eqn in late for a in eqn.inputs), *late_outs]:
        need(atom)
    known_outs = [a for a, u in zip(graph.outputs, out_unknown, strict=True) if not u]
    known_ins = [v for v, u in zip(graph.inputs, unknown, strict=True) if not u]
    unknown_ins = [v for v, u in zip(graph.inputs, unknown, strict=True) if u]
    outs = [*known_outs, *residuals]
    return Split(
        Graph(known_ins, live_eqns(early, outs), outs),
        Graph([*residuals, *unknown_ins], [*again.values(), *late], late_outs),
        out_unknown,
        len(residuals),
    )


def stretches(eqn: Eqn) -> bool:
    """At most one operand, and a result larger than it: cheaper to make again than to keep."""
    if len(eqn.inputs) > 1 or len(eqn.outputs) != 1:
        return False
    return eqn.outputs[0].aval.size > sum(a.aval.size for a in eqn.inputs if type(a) is Var)
