"""Constant folding: an equation whose operands are all literals, and whose result is one number, is that literal."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..ir.graph import Eqn, Graph, Lit, Var
from .rewrite import rewrite


def fold(graph: Graph) -> Graph:
    """(x*) -> (y*) keeps its type; arithmetic on literals is done now, in the dtype it would have had at run time."""
    return rewrite(graph, _fold)


def _fold(eqn: Eqn, made: Mapping[Var, Eqn]):
    literals = [a for a in eqn.inputs if type(a) is Lit]
    if eqn.prim.fold is None or len(literals) < len(eqn.inputs):
        return None
    (out,) = eqn.outputs
    with np.errstate(all="ignore"):
        number = eqn.prim.fold(*(a.dtype.type(a.value) for a in literals), **eqn.params)
    if number is None:
        return None
    return (Lit(out.dtype.type(number).item(), out.aval),)
