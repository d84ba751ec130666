"""A program with its short loops written out turn by turn, for tools that look at equations one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..control.scan import scan_p
from ..control.while_loop import while_p
from ..ir.graph import Eqn, Graph, Var
from ..lower.compile import Executable
from ..ops.shape import concatenate, reshape, slice_in_dim
from ..trace.stage import inline, input_names, trace_graph
from .observe import values_of

MOST = 600  # equations that a loop may become


def unrolled(graph: Graph, inputs: Sequence[Any]) -> Graph:
    """(x*) -> (y*) keeps its type; each loop that is short at these inputs is the equations of all its turns."""
    lengths = {eqn.outputs: n for eqn in graph.eqns if (n := _length(graph, inputs, eqn))}
    if not lengths:
        return graph

    def run(builder, *xs):
        value: dict[Var, Any] = dict(zip(graph.inputs, xs, strict=True))
        for eqn in graph.eqns:
            builder.where = eqn.where
            operands = [value[a] if type(a) is Var else builder.operand(a, None) for a in eqn.inputs]
            if eqn.outputs not in lengths:
                outs = builder.record(eqn.prim, tuple(operands), eqn.params)
            elif eqn.prim is scan_p:
                outs = _turns(builder, eqn, operands)
            else:
                outs = _repeated(builder, eqn, operands, lengths[eqn.outputs])
            value.update(zip(eqn.outputs, outs, strict=True))
        return [value[a] if type(a) is Var else a for a in graph.outputs]

    return unrolled(trace_graph(run, graph.in_avals, input_names(graph)), inputs)


def _length(graph: Graph, inputs: Sequence[Any], eqn: Eqn) -> int:
    """How many turns a loop goes; 0 for what is none, or too long."""
    if eqn.prim is scan_p:
        length = eqn.params["loop"].length
        return length if length * len(eqn.params["body"].eqns) <= MOST else 0
    if eqn.prim is not while_p:
        return 0
    on_cond, on_body, carry = eqn.params["how"].parts(values_of(graph, inputs, eqn.inputs))
    test, turn = Executable(eqn.params["cond"]).jitted, Executable(eqn.params["body"]).jitted
    length = 0
    while length * len(eqn.params["body"].eqns) <= MOST and bool(test(*on_cond, *carry)[0]):
        carry, length = turn(*on_body, *carry), length + 1
    return length if length * len(eqn.params["body"].eqns) <= MOST else 0


def _repeated(builder: Any, eqn: Eqn, operands: list[Any], length: int) -> list[Any]:
    _, consts, carry = eqn.params["how"].parts(operands)
    for _ in range(length):
        carry = [builder.operand(y, None) for y in inline(eqn.params["body"], builder, [*consts, *carry])]
    return carry


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
