"""The last rewriting before text: calls that carry programs are expanded, and the result is tidied."""

from __future__ import annotations

from ..ir.graph import Graph, Var
from ..passes.pipeline import tidy
from ..trace.stage import input_names, trace_graph


def finish(graph: Graph) -> Graph:
    """(x*) -> (y*) keeps its type; every equation has an `emit`."""
    expanded = expand(graph)
    return graph if expanded is graph else tidy(expanded)


def expand(graph: Graph) -> Graph:
    """(x*) -> (y*) keeps its type; each primitive with an `expand` is replaced by what it means."""
    if not any(eqn.prim.expand for eqn in graph.eqns):
        return graph

    def run(builder, *xs):
        value = dict(zip(graph.inputs, xs, strict=True))
        for eqn in graph.eqns:
            builder.where = eqn.where
            operands = tuple([value[a] if type(a) is Var else a for a in eqn.inputs])
            if eqn.prim.expand:
                outs = eqn.prim.expand(operands, **eqn.params)
            else:
                outs = builder.record(eqn.prim, operands, eqn.params)
            value.update(zip(eqn.outputs, outs, strict=True))
        return [value[a] if type(a) is Var else a for a in graph.outputs]

    return expand(trace_graph(run, graph.in_avals, input_names(graph)))
