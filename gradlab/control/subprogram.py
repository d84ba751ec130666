"""`call`: a program read once, as one equation: it costs one row to record, however long it is.

Whatever is done to it, it gives way: its derivative, its batch and its transpose are equations of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..ir.graph import Graph
from ..ir.primitive import Primitive, Refused
from ..ir.work import Work
from ..ops.families import batch_size
from ..trace.builder import bind
from ..trace.stage import current, inline
from ..transforms.batch import batch_graph
from ..transforms.jvp import jvp_graph
from ..transforms.transpose import transpose_graph


def call(graph: Graph, xs: Sequence[Any]) -> tuple[Any, ...]:
    """The results of `graph` on `xs`, as one equation."""
    return bind(call_p, *xs, graph=graph)


def _jvp(xs, tangents, *, graph):
    both, alive = jvp_graph(graph, [t is not None for t in tangents])
    outs = inline(both, current(xs), [*xs, *(t for t in tangents if t is not None)])
    n = len(graph.outputs)
    got = iter(outs[n:])
    return tuple(outs[:n]), tuple([next(got) if on else None for on in alive])


def _transpose(cts, active, *xs, graph):
    backward, alive = transpose_graph(graph, active, [ct is not None for ct in cts])
    given = [x for x, on in zip(xs, active, strict=True) if not on] + [ct for ct in cts if ct is not None]
    got, on = iter(inline(backward, current(given), given)), iter(alive)
    return tuple([next(got) if a and next(on) else None for a in active])


def _batch(xs, dims, *, graph):
    batched, ends = batch_graph(graph, dims, batch_size(xs, dims))
    return tuple(inline(batched, current(xs), xs)), ends


call_p = Primitive(
    name="call",
    infer=lambda *xs, graph: graph.out_avals,
    emit=Refused("a call is expanded before a program is written"),
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    cost=lambda outs, *xs, graph: Work(inside=((graph, 1),)),
    graphs=("graph",),
    expand=lambda xs, *, graph: tuple(inline(graph, current(xs), xs)),
)
