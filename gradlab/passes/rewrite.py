"""What passes share: walking a graph once while replacing atoms and equations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from ..ir.graph import Atom, Eqn, Graph, Var


class Instead(NamedTuple):
    """Equations in place of one, which are not offered again, and one atom per output of it."""

    eqns: list[Eqn]
    atoms: tuple[Atom, ...]


Rule = Callable[[Eqn, Mapping[Var, Eqn]], "Eqn | Instead | tuple[Atom, ...] | None"]


def rewrite(graph: Graph, rule: Rule) -> Graph:
    """(x*) -> (y*) keeps its type; each equation is offered to `rule(eqn, made)`.

    `made` tells which equation defines a variable. The rule answers None (keep it), another equation with the same
    outputs, one atom per output that stands for it from here on, or equations and such atoms.
    """
    made: dict[Var, Eqn] = {}
    instead: dict[Var, Atom] = {}
    eqns: list[Eqn] = []
    changed = False
    for old in graph.eqns:
        eqn = old
        if instead:
            for a in eqn.inputs:
                if type(a) is Var and a in instead:
                    now = tuple([instead.get(a, a) if type(a) is Var else a for a in eqn.inputs])
                    eqn = Eqn(eqn.prim, now, eqn.outputs, eqn.params, eqn.where)
                    break
        answer = rule(eqn, made)
        if answer is None:
            eqns.append(eqn)
            for v in eqn.outputs:
                made[v] = eqn
            continue
        while isinstance(answer, Eqn):
            eqn, changed = answer, True
            answer = rule(eqn, made)
        written = [eqn] if answer is None else answer.eqns if isinstance(answer, Instead) else []
        if answer is not None:
            changed = True
            atoms = answer.atoms if isinstance(answer, Instead) else answer
            instead.update((v, a) for v, a in zip(eqn.outputs, atoms, strict=True) if a is not v)
        for one in written:
            eqns.append(one)
            for v in one.outputs:
                made[v] = one
    if not changed:
        return graph
    return Graph(graph.inputs, eqns, [instead.get(a, a) if type(a) is Var else a for a in graph.outputs])
