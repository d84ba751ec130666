"""A guessed program ends even where the guess is wrong: what may loop for ever is skipped once a guard has failed."""

from __future__ import annotations

from collections.abc import Mapping

from ..ir.graph import Eqn, Graph, Var, is_key
from ..ops.elementwise import bitwise_and, bitwise_not
from ..ops.operands import zeros_like
from ..trace.stage import input_names, trace_graph
from .cond import cond_call
from .while_loop import While, while_p


def guarded(graph: Graph, expected: Mapping[Var, bool]) -> Graph:
    """(x*) -> (y*) keeps its type, and its results where all the booleans `expected` come out as they should.

    Where one does not, each later equation that carries an unbounded loop gives zeros instead.
    """
    if not expected or not any(map(_may_not_end, graph.eqns)):
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
            if holds is not None and _may_not_end(eqn) and not any(is_key(v.dtype) for v in eqn.outputs):
                outs = cond_call(holds, _either(eqn), operands)
            else:
                outs = builder.record(eqn.prim, operands, eqn.params)
            value.update(zip(eqn.outputs, outs, strict=True))
            for v in eqn.outputs:
                met(v)
        return [value[a] if type(a) is Var else a for a in graph.outputs]

    return trace_graph(run, graph.in_avals, input_names(graph))


def _may_not_end(eqn: Eqn) -> bool:
    """Whether it is a loop that ends when its values say so, or carries one."""
    how: While | None = eqn.params["how"] if eqn.prim is while_p else None
    if how is not None and how.counter < 0:
        return True
    return any(_may_not_end(inner) for _, graph in eqn.graphs for inner in graph.eqns)


def _either(eqn: Eqn) -> tuple[Graph, Graph]:
    """Zeros, or the equation's results, of its operands."""
    inputs = [Var(a.aval) for a in eqn.inputs]
    alone = Eqn(eqn.prim, tuple(inputs), eqn.outputs, eqn.params, eqn.where)
    return Graph(inputs, (), [zeros_like(v) for v in eqn.outputs]), Graph(inputs, [alone], eqn.outputs)
