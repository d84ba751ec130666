"""Dead code: equations whose results nobody reads."""

from __future__ import annotations

from ..ir.graph import Graph
from ..transforms.split import live_eqns


def dce(graph: Graph) -> Graph:
    """(x*) -> (y*) keeps its type; equations whose outputs nobody reads are gone."""
    kept = live_eqns(graph.eqns, graph.outputs)
    same = len(kept) == len(graph.eqns) and all(a is b for a, b in zip(kept, graph.eqns, strict=True))
    return graph if same else Graph(graph.inputs, kept, graph.outputs)
