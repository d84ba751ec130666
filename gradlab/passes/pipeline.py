"""The pipelines, as data: which passes run, in which order."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..ir.graph import Eqn, Graph, Var
from ..ops.convert import complex_p
from ..ops.shape import pad_p
from .blocks import join_blocks
from .cse import cse
from .dce import dce
from .fold import fold, folded
from .idioms import hold_extrema
from .lengths import lengths
from .pads import join_pads
from .rewrite import rewrite
from .simplify import simplified, simplify
from .sink import sink
from .sizes import sizes

Pass = Callable[[Graph], Graph]


def exact(graph: Graph) -> Graph:
    """(x*) -> (y*) keeps its type: `fold`, joins and `simplify`, in one walk where there is nothing to join."""
    if any(eqn.prim is pad_p or eqn.prim is complex_p for eqn in graph.eqns):
        return simplify(join_blocks(join_pads(fold(graph))))
    return rewrite(graph, _folded_or_simplified)


def _folded_or_simplified(eqn: Eqn, made: Mapping[Var, Eqn]):
    return folded(eqn, made) or simplified(eqn, made)


CANONICAL: tuple[Pass, ...] = (dce, sizes, hold_extrema, lengths, sink, exact, cse, dce)
# Between two transformations of one program: what prepares it for its derivative has been done.
BETWEEN: tuple[Pass, ...] = (dce, sink, exact, cse, dce)


def tidy(graph: Graph, passes: tuple[Pass, ...] = CANONICAL) -> Graph:
    """(x*) -> (y*) keeps its type; the passes run in order."""
    for one in passes:
        graph = one(graph)
    return graph
