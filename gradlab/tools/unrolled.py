"""A program with its short scans written out turn by turn, for tools that look at equations one by one."""

from __future__ import annotations

from typing import Any

from ..control.scan import scan_p
from ..ir.graph import Eqn, Graph, Var
from ..ops.shape import concatenate, reshape, slice_in_dim
from ..trace.stage import inline, input_names, trace_graph

MOST = 600  # equations that a scan may become


def unrolled(graph: Graph) -> Graph:
    """(x*) -> (y*) keeps its type; each scan of few turns is the equations of all of them."""
    if not any(map(_is_short, graph.eqns)):
        return graph

    def run(builder, *xs):
        value: dict[Var, Any] = dict(zip(graph.inputs, xs, strict=True))
        for eqn in graph.eqns:
            builder.where = eqn.where
            operands = [value[a] if type(a) is Var else builder.operand(a, None) for a in eqn.inputs]
            outs = (
                _turns(builder, eqn, operands)
                if _is_short(eqn)
                else builder.record(eqn.prim, tuple(operands), eqn.params)
            )
            value.update(zip(eqn.outputs, outs, strict=True))
        return [value[a] if type(a) is Var else a for a in graph.outputs]

    return unrolled(trace_graph(run, graph.in_avals, input_names(graph)))


def _is_short(eqn: Eqn) -> bool:
    return eqn.prim is scan_p and 0 < eqn.params["loop"].length * len(eqn.params["body"].eqns) <= MOST


def _turns(builder: Any, eqn: Eqn, operands: list[Any]) -> list[Any]:
    body, loop = eqn.params["body"], eqn.params["loop"]
    consts, carry, rows = loop.parts(operands)
    order = range(loop.length)
    made: list[list[Any]] = [[] for _ in order]
    for t in reversed(order) if loop.reverse else order:
        now = [reshape(slice_in_dim(x, t, t + 1, axis=0), x.shape[1:]) for x in rows]
        outs = [builder.operand(y, None) for y in inline(body, builder, [*consts, *carry, *now])]
        carry, made[t] = loop.ends(outs)
    stacks = [concatenate([reshape(y, (1, *y.shape)) for y in ys], axis=0) for ys in zip(*made, strict=True)]
    return [*carry, *stacks]
