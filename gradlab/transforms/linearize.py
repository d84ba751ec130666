"""The derivative at a point as two programs: one that computes the value and keeps residuals, one that is linear."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..ir.graph import Graph
from .jvp import jvp_graph
from .split import split_graph


class Linearized(NamedTuple):
    """`primal`: (x*) -> (y*, residuals*); `linear`: (residuals*, dx*) -> (dy*), dy* only where `out_active`."""

    primal: Graph
    linear: Graph
    out_active: tuple[bool, ...]
    n_residuals: int


def linearize_graph(
    graph: Graph, active: Sequence[bool], tidy: Callable[[Graph], Graph] = lambda graph: graph
) -> Linearized:
    """(x*) -> (y*) becomes (x*) -> (y*, residuals*) and (residuals*, dx*) -> (dy*): split after jvp.

    **Arguments:** `active`: which inputs have a tangent. `tidy`: a pass to run between the two.
    **Raises:** `MissingRuleError` with the user's line where a primitive refuses.
    """
    both, alive = jvp_graph(graph, active)
    n = len(graph.inputs)
    parts = split_graph(tidy(both), [False] * n + [True] * (len(both.inputs) - n))
    # A tangent that turned out not to depend on dx* (a literal zero) is no output of the linear program.
    waiting = parts.out_unknown[len(graph.outputs) :]
    late = iter(waiting)
    out_active = tuple(bool(a and next(late)) for a in alive)
    outs = list(parts.known.outputs)
    del outs[len(graph.outputs) : len(graph.outputs) + waiting.count(False)]
    primal = Graph(parts.known.inputs, parts.known.eqns, outs)
    return Linearized(primal, parts.unknown, out_active, parts.n_residuals)
