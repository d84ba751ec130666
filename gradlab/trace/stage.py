"""Staging: a Python function over tracers becomes a `Graph`, and a `Graph` is replayed into the trace at hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..ir.errors import InvalidGraphError
from ..ir.graph import Aval, Graph, Lit, Var
from .builder import AMBIENT, Builder, innermost
from .tracer import Tracer

_NUMBERS = (bool, int, float, complex)


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
    # A Python number is an operand of its input's own type, not of its neighbours'.
    env: dict[Var, Any] = {
        v: Lit(x, v.aval) if type(x) in _NUMBERS else x for v, x in zip(graph.inputs, xs, strict=True)
    }
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
    # Objects of their own: the caller keeps some of them for later, and may give others to a user who assigns to them.
    outs = [env[a] if type(a) is Var else a for a in graph.outputs]
    return [out.fresh() if type(out) is Tracer else out for out in outs]


def current(xs: Sequence[Any]) -> Builder:
    """The trace an operation on `xs` belongs to: the innermost of its tracers', or the ambient one."""
    return innermost(xs) or AMBIENT.stack[-1]
