"""Vectorisation: the same program with one more axis, by asking each primitive's `batch`."""

from __future__ import annotations

from collections.abc import Sequence

from ..ir.errors import MissingRuleError
from ..ir.graph import Graph, Var
from ..ops.families import with_axis
from ..trace.stage import input_names, trace_graph


def batch_graph(
    graph: Graph, dims: Sequence[int | None], size: int, out_dims: Sequence[int | None] | None = None
) -> tuple[Graph, tuple[int | None, ...]]:
    """(x*) -> (y*) becomes the same on arrays with one more axis of length `size`.

    **Arguments:** `dims`: the batched axis of each input, or None. `out_dims`: the axis wanted in each output (an
    unbatched one is repeated); None leaves outputs where they fall.
    **Returns:** the graph, and the batched axis of each output, or None.
    **Raises:** `MissingRuleError` with the user's line where a primitive refuses.
    """
    found: list[int | None] = []

    def run(builder, *args):
        value = dict(zip(graph.inputs, args, strict=True))
        axis = {v: d for v, d in zip(graph.inputs, dims, strict=True) if d is not None}
        for eqn in graph.eqns:
            builder.where = eqn.where
            xs = tuple([value[a] if type(a) is Var else a for a in eqn.inputs])
            at = tuple([axis.get(a) if type(a) is Var else None for a in eqn.inputs])
            if all(d is None for d in at):
                outs, placed = builder.record(eqn.prim, xs, eqn.params), (None,) * len(eqn.outputs)
            else:
                try:
                    outs, placed = eqn.prim.batch(xs, at, **eqn.params)
                except MissingRuleError as error:
                    raise error.at(eqn.where) from None
            for v, out, d in zip(eqn.outputs, outs, placed, strict=True):
                value[v] = out
                if d is not None:
                    axis[v] = d
        ys = [value[a] if type(a) is Var else a for a in graph.outputs]
        ends = [axis.get(a) if type(a) is Var else None for a in graph.outputs]
        if out_dims is not None:
            ys = [y if to is None else with_axis(y, d, to, size) for y, d, to in zip(ys, ends, out_dims, strict=True)]
            ends = [d if to is None else to for d, to in zip(ends, out_dims, strict=True)]
        found[:] = ends
        return ys

    avals = [
        v.aval if d is None else v.aval.reshaped((*v.shape[:d], size, *v.shape[d:]))
        for v, d in zip(graph.inputs, dims, strict=True)
    ]
    return trace_graph(run, avals, input_names(graph)), tuple(found)
