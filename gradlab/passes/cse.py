"""Common subexpressions: the same operation on the same operands is done once."""

from __future__ import annotations

from collections.abc import Mapping

from ..ir.graph import Atom, Eqn, Graph, Lit, Var, scalar_key
from .rewrite import rewrite


def cse(graph: Graph) -> Graph:
    """(x*) -> (y*) keeps its type; of equal equations the first is kept. Operands of commuting ones may be swapped."""
    number: dict[Var, int] = {}
    seen: dict[tuple, tuple[Atom, ...]] = {}

    def code(a: Atom):
        if type(a) is Lit:
            return (scalar_key(a.value), a.aval)
        return number.setdefault(a, len(number))

    def rule(eqn: Eqn, made: Mapping[Var, Eqn]):
        operands = tuple([code(a) for a in eqn.inputs])
        if eqn.prim.commutes and type(operands[0]) is int and type(operands[1]) is int and operands[0] > operands[1]:
            operands = (operands[1], operands[0])
        key = (eqn.prim, operands, tuple(eqn.params.values()))
        found = seen.get(key)
        if found is None:
            seen[key] = eqn.outputs
        return found

    return rewrite(graph, rule)
