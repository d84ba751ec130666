"""Proof that a graph is well formed: defined once, before use, and typed as `infer` says."""

from __future__ import annotations

from .errors import InvalidGraphError
from .graph import Atom, Graph, Lit, Var


def check(graph: Graph) -> Graph:
    """The same graph, proven well formed.

    **Raises:** `InvalidGraphError` naming the equation, also of the programs that equations carry.
    """
    defined: set[Var] = set()

    def define(v: Var, by: str) -> None:
        if v in defined:
            raise InvalidGraphError(f"{by} defines {v!r} a second time")
        defined.add(v)

    def use(a: Atom, by: str) -> None:
        if isinstance(a, Lit):
            if not isinstance(a.value, bool | int | float | complex):
                raise InvalidGraphError(f"{by} holds a literal that is no scalar: {a!r}")
        elif a not in defined:
            raise InvalidGraphError(f"{by} reads {a!r} before it is defined")

    for v in graph.inputs:
        define(v, "the input list")
    for number, eqn in enumerate(graph.eqns):
        by = f"equation {number} ({eqn.prim.name})"
        for a in eqn.inputs:
            use(a, by)
        said = tuple(v.aval for v in eqn.outputs)
        found = eqn.prim.infer(*(a.aval for a in eqn.inputs), **eqn.params)
        if said != tuple(found):
            raise InvalidGraphError(f"{by} is typed {said}, infer says {tuple(found)}")
        for v in eqn.outputs:
            define(v, by)
        for _, inner in eqn.graphs:
            check(inner)
    for a in graph.outputs:
        use(a, "the output list")
    return graph
