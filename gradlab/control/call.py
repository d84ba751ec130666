"""`checkpoint`: a call whose intermediates are not kept for the reverse pass but computed again."""

from __future__ import annotations

from typing import Any

from ..ir.graph import Aval, Eqn, Graph
from ..ir.primitive import Primitive, Refused
from ..ops.families import batch_size
from ..trace.builder import bind
from ..trace.stage import current, inline
from ..transforms.batch import batch_graph
from ..transforms.jvp import jvp_graph
from ..transforms.split import live_eqns, split_graph
from ..transforms.transpose import transpose_graph

_LATE = Refused("optimization_barrier is written only when a program is lowered; nothing is differentiated after that")

barrier_p = Primitive(
    name="optimization_barrier",
    infer=lambda *xs: xs,
    emit=lambda *xs: f"lax.optimization_barrier(({', '.join(xs)},))",
    jvp=_LATE,
    transpose=_LATE,
    batch=_LATE,
)


def checkpoint_call(graph: Graph, xs: Any, barrier: bool | None = False) -> tuple:
    """`graph` on `xs`, as one equation.

    **Arguments:** `barrier`: whether this is a recomputation, which XLA must not merge with the first computation; None
    if it may, now and later.
    """
    return bind(checkpoint_p, *xs, graph=graph, barrier=barrier)


def _repeated(barrier: bool | None) -> bool | None:
    return None if barrier is None else True


def _jvp(xs, tangents, *, graph, barrier):
    both, alive = jvp_graph(graph, [t is not None for t in tangents])
    outs = checkpoint_call(both, [*xs, *(t for t in tangents if t is not None)], barrier)
    n = len(graph.outputs)
    got = iter(outs[n:])
    return outs[:n], tuple(next(got) if on else None for on in alive)


def _split(eqn: Eqn, unknown: list[bool]) -> tuple[list[Eqn], list[Eqn]]:
    """What is known is computed now and its intermediates dropped; what waits computes them again from the operands."""
    graph, barrier = eqn.params["graph"], eqn.params["barrier"]
    parts = split_graph(graph, unknown)
    known_outs = [v for v, u in zip(eqn.outputs, parts.out_unknown, strict=True) if not u]
    unknown_outs = [v for v, u in zip(eqn.outputs, parts.out_unknown, strict=True) if u]
    known = Graph(parts.known.inputs, *_upto(parts.known, len(known_outs)))
    late_outs = [a for a, u in zip(graph.outputs, parts.out_unknown, strict=True) if u]
    late = Graph(graph.inputs, live_eqns(graph.eqns, late_outs), late_outs)
    known_ins = [a for a, u in zip(eqn.inputs, unknown, strict=True) if not u]
    now = Eqn(eqn.prim, tuple(known_ins), tuple(known_outs), {"graph": known, "barrier": barrier}, eqn.where)
    again = Eqn(eqn.prim, eqn.inputs, tuple(unknown_outs), {"graph": late, "barrier": _repeated(barrier)}, eqn.where)
    return ([now] if known_outs else []), ([again] if unknown_outs else [])


def _upto(graph: Graph, n: int) -> tuple[list[Eqn], tuple]:
    outs = graph.outputs[:n]
    return live_eqns(graph.eqns, outs), outs


def _transpose(cts, active, *xs, graph, barrier):
    backward, alive = transpose_graph(graph, active, [ct is not None for ct in cts])
    residuals = [x for x, on in zip(xs, active, strict=True) if not on]
    got = iter(checkpoint_call(backward, [*residuals, *(ct for ct in cts if ct is not None)], _repeated(barrier)))
    on = iter(alive)
    return tuple(next(got) if a and next(on) else None for a in active)


def _batch(xs, dims, *, graph, barrier):
    batched, ends = batch_graph(graph, dims, batch_size(xs, dims))
    return checkpoint_call(batched, xs, barrier), ends


def _expand(xs, *, graph, barrier):
    if barrier and xs:
        xs = bind(barrier_p, *xs)
    return tuple(inline(graph, current(xs), xs))


def _infer(*xs: Aval, graph: Graph, barrier: bool | None) -> tuple[Aval, ...]:
    return graph.out_avals


checkpoint_p = Primitive(
    name="checkpoint",
    infer=_infer,
    emit=Refused("checkpoint is expanded before a program is written"),
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    graphs=("graph",),
    split=_split,
    expand=_expand,
)
