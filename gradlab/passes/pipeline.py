"""The pipelines, as data: which passes run, in which order."""

from __future__ import annotations

from collections.abc import Callable

from ..ir.graph import Graph
from .blocks import join_blocks
from .cse import cse
from .dce import dce
from .fold import fold
from .idioms import hold_extrema
from .lengths import lengths
from .pads import join_pads
from .simplify import simplify
from .sink import sink

Pass = Callable[[Graph], Graph]
CANONICAL: tuple[Pass, ...] = (dce, hold_extrema, lengths, sink, fold, join_pads, join_blocks, simplify, cse, dce)


def tidy(graph: Graph, passes: tuple[Pass, ...] = CANONICAL) -> Graph:
    """(x*) -> (y*) keeps its type; the passes run in order."""
    for one in passes:
        graph = one(graph)
    return graph
