"""Staging: a Python function over tracers becomes a `Graph`, and a `Graph` is replayed into the trace at hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..ir.errors import InvalidGraphError
from ..ir.graph import Aval, Graph, Var
from .builder import AMBIENT, Builder, innermost


def trace_graph(run: Callable[..., Sequence[Any]], avals: Sequence[Aval], names: Sequence[str] = ()) -> Graph:
    """The graph of `run(builder, *tracers) -> outputs`: a closed program, for transformations (no captures)."""
    builder = Builder()
    with builder:
        inputs = [builder.input(aval) for aval in avals]
        outputs = run(builder, *inputs)
    if builder.captured:
        raise InvalidGraphError("a transformation captured a value from outside the graph it rewrites")
    graph = builder.graph(outputs, names=names)
    builder.close()
    return graph


def input_names(graph: Graph) -> list[str]:
    """The hints for the names of its inputs, for `trace_graph`; empty where there is none."""
    return [v.name or "" for v in graph.inputs]


def inline(graph: Graph, builder: Builder, xs: Sequence[Any]) -> list[Any]:
    """The outputs of `graph` on the operands `xs`, its equations recorded in `builder` with their own source lines."""
    env: dict[Var, Any] = dict(zip(graph.inputs, xs, strict=True))
    record = builder.record
    kept = builder.where
    try:
        for eqn in graph.eqns:
            builder.where = eqn.where or kept
            outs = record(eqn.prim, tuple([env[a] if type(a) is Var else a for a in eqn.inputs]), eqn.params)
            for v, out in zip(eqn.outputs, outs, strict=True):
                env[v] = out
    finally:
        builder.where = kept
    return [env[a] if type(a) is Var else a for a in graph.outputs]


def current(xs: Sequence[Any]) -> Builder:
    """The trace an operation on `xs` belongs to: the innermost of its tracers', or the ambient one."""
    return innermost(xs) or AMBIENT.stack[-1]
