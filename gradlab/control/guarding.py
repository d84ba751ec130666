"""A guessed program ends even where the guess is wrong: its while loops stop once a guard before them has failed."""

from __future__ import annotations

from collections.abc import Mapping

from ..ir.graph import Graph, Var
from ..ops.elementwise import bitwise_and, bitwise_not
from ..passes.pipeline import tidy
from ..trace.stage import inline, input_names, trace_graph
from .while_loop import While, while_p


def guarded(graph: Graph, expected: Mapping[Var, bool]) -> Graph:
    """(x*) -> (y*) keeps its type, and its results where all the booleans `expected` come out as they should."""
    if not expected or not any(eqn.prim is while_p for eqn in graph.eqns):
        return graph

    def run(builder, *xs):
        value = dict(zip(graph.inputs, xs, strict=True))
        holds = None

        def met(v: Var) -> None:
            nonlocal holds
            if v in expected:
                as_needed = value[v] if expected[v] else bitwise_not(value[v])
                holds = as_needed if holds is None else bitwise_and(holds, as_needed)

        for v in graph.inputs:
            met(v)
        for eqn in graph.eqns:
            builder.where = eqn.where
            operands = tuple([value[a] if type(a) is Var else a for a in eqn.inputs])
            params = eqn.params
            how: While | None = params["how"] if eqn.prim is while_p else None
            if how is not None and how.counter < 0 and holds is not None:
                params = params | {"cond": _while_it_holds(params["cond"]), "how": how._replace(n_cond=how.n_cond + 1)}
                operands = (holds, *operands)
            value.update(zip(eqn.outputs, builder.record(eqn.prim, operands, params), strict=True))
            for v in eqn.outputs:
                met(v)
        return [value[a] if type(a) is Var else a for a in graph.outputs]

    return trace_graph(run, graph.in_avals, input_names(graph))


def _while_it_holds(cond: Graph) -> Graph:
    """(x*) -> bool becomes (holds, x*) -> bool."""

    def run(builder, holds, *xs):
        return [bitwise_and(holds, *inline(cond, builder, xs))]

    return tidy(trace_graph(run, [cond.out_avals[0], *cond.in_avals]))
