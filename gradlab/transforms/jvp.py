"""Forward mode: the one transformation that states calculus, by asking each primitive's `jvp`."""

from __future__ import annotations

from collections.abc import Sequence

from ..ir.errors import MissingRuleError
from ..ir.graph import Graph, Var
from ..ir.where import tangent_name
from ..trace.stage import input_names, trace_graph
from .zeros import hold_zeros


def jvp_graph(graph: Graph, active: Sequence[bool]) -> tuple[Graph, tuple[bool, ...]]:
    """(x*) -> (y*) becomes (x*, dx*) -> (y*, dy*).

    **Arguments:** `active`: which inputs have a tangent; only those stand in dx*.
    **Returns:** the graph, and which outputs have a tangent; only those stand in dy*. The others do not depend on dx*.
    **Raises:** `MissingRuleError` with the user's line where a primitive refuses.
    """
    moving = [v for v, a in zip(graph.inputs, active, strict=True) if a]
    alive: list[bool] = []

    def run(builder, *args):
        primal = dict(zip(graph.inputs, args, strict=False))
        tangent = dict(zip(moving, args[len(graph.inputs) :], strict=True))
        for eqn in graph.eqns:
            builder.where = eqn.where
            xs = tuple([primal[a] if type(a) is Var else a for a in eqn.inputs])
            ts = [tangent.get(a) if type(a) is Var else None for a in eqn.inputs]
            if all(t is None for t in ts):
                outs, touts = builder.record(eqn.prim, xs, eqn.params), ()
            else:
                try:
                    builder.where = eqn.where and eqn.where.derived
                    outs, touts = eqn.prim.jvp(xs, ts, **eqn.params)
                except MissingRuleError as error:
                    raise error.at(eqn.where) from None
                builder.place(outs, eqn.where)
                if eqn.where is not None:
                    tangent_here = eqn.where.tangent
                    builder.entitle(touts, lambda _, here=tangent_here: here)
            for v, out in zip(eqn.outputs, outs, strict=True):
                primal[v] = out
            for v, t in zip(eqn.outputs, touts, strict=False):
                if t is not None:
                    tangent[v] = t
        ys = [primal[a] if type(a) is Var else a for a in graph.outputs]
        dys = [tangent.get(a) if type(a) is Var else None for a in graph.outputs]
        alive[:] = [t is not None for t in dys]
        return [*ys, *(t for t in dys if t is not None), *primal.values()]

    avals = [*graph.in_avals, *(v.aval for v in moving)]
    names = [*input_names(graph), *(tangent_name(v.name) if v.name else "" for v in moving)]
    traced = trace_graph(run, avals, names)
    n = len(graph.outputs) + sum(alive)
    both = Graph(traced.inputs, traced.eqns, traced.outputs[:n])
    moves = [k >= len(graph.inputs) for k in range(len(avals))]
    return hold_zeros(both, moves, traced.outputs[n:], through_sums=False), tuple(alive)
