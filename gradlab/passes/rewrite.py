"""What passes share: walking a graph once while replacing atoms and equations."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..ir.graph import Atom, Eqn, Graph, Var

Rule = Callable[[Eqn, Mapping[Var, Eqn]], "Eqn | tuple[Atom, ...] | None"]


def rewrite(graph: Graph, rule: Rule) -> Graph:
    """(x*) -> (y*) keeps its type; each equation is offered to `rule(eqn, made)`.

    `made` tells which equation defines a variable. The rule answers None (keep it), another equation with the same
    outputs, or one atom per output that stands for it from here on.
    """
    made: dict[Var, Eqn] = {}
    instead: dict[Var, Atom] = {}
    eqns: list[Eqn] = []
    changed = False
    for old in graph.eqns:
        eqn = old
        for a in eqn.inputs:
            if type(a) is Var and a in instead:
                now = tuple([instead.get(a, a) if type(a) is Var else a for a in eqn.inputs])
                eqn = Eqn(eqn.prim, now, eqn.outputs, eqn.params, eqn.where)
                break
        answer = rule(eqn, made)
        while isinstance(answer, Eqn):
            eqn, changed = answer, True
            answer = rule(eqn, made)
        if answer is not None:
            changed = True
            instead.update(zip(eqn.outputs, answer, strict=True))
            continue
        eqns.append(eqn)
        for v in eqn.outputs:
            made[v] = eqn
    if not changed:
        return graph
    return Graph(graph.inputs, eqns, [instead.get(a, a) if type(a) is Var else a for a in graph.outputs])
