"""The pipelines, as data: which passes run, in which order."""

from __future__ import annotations

from collections.abc import Callable

from ..ir.graph import Graph
from .cse import cse
from .dce import dce
from .fold import fold
from .simplify import simplify

Pass = Callable[[Graph], Graph]
CANONICAL: tuple[Pass, ...] = (dce, fold, simplify, cse, dce)


def tidy(graph: Graph, passes: tuple[Pass, ...] = CANONICAL) -> Graph:
    """(x*) -> (y*) keeps its type; the passes run in order."""
    for one in passes:
        graph = one(graph)
    return graph
