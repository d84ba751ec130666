"""JAX's equations that carry programs: calls are inlined; functions with a derivative rule of their own keep it."""

from __future__ import annotations

from typing import Any

from ..control.call import Policy, checkpoint_call
from ..control.opaque import ruled
from ..ir.graph import Graph
from ..lower.compile import LRU
from .jaxpr import CALLS, graph_of, of_eqn, opened, read, reads

_GRAPHS = LRU(256)  # (a program's identity, types) -> (the program, its graph): JAX hands out the same one again


@reads("jit", into=CALLS)
def _jit(eqn: Any, xs: tuple) -> list[Any]:
    return read(*opened(eqn.params["jaxpr"]), xs)


@reads("custom_jvp_call", "custom_vjp_call", into=CALLS)
def _ruled(eqn: Any, xs: tuple) -> tuple[Any, ...]:
    graph = _graph(eqn.params["call_jaxpr"], xs)
    return ruled(graph, of_eqn(eqn, xs, graph.out_avals), xs)


@reads("remat", into=CALLS)
def _remat(eqn: Any, xs: tuple) -> tuple[Any, ...]:
    barrier = False if eqn.params["prevent_cse"] else None
    program = eqn.params["jaxpr"]
    return checkpoint_call(_graph(program, xs), xs, barrier, _policy(eqn.params["policy"], program))


def _policy(rule: Any, program: Any) -> Policy:
    """JAX's rule, asked about each equation of the program, in gradlab's words.

    Where it keeps some of the equations that have no name, gradlab chooses by cost instead. What JAX would offload is
    kept on the device.
    """
    if rule is None:
        return "nothing"
    named, others = set(), []
    for eqn in program.eqns:
        kept = rule(eqn.primitive, *[v.aval for v in eqn.invars], **eqn.params)
        kept = kept if isinstance(kept, bool) else not type(kept).__name__.startswith("Recompute")
        if eqn.primitive.name != "name":
            others.append(kept)
        elif kept:
            named.add(eqn.params["name"])
    if any(others):
        return "everything" if all(others) else "auto"
    return tuple(sorted(named)) or "nothing"


def _graph(program: Any, xs: tuple) -> Graph:
    """The program an equation carries, as a graph of operands like these."""
    avals = tuple([x.aval for x in xs])
    key = (id(program), avals)
    found = _GRAPHS.get(key)
    if found is None:
        found = _GRAPHS.put(key, (program, graph_of(program, avals)))
    return found[1]
