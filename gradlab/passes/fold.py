"""Constant folding: an equation whose operands are all literals, and whose result is one number, is that literal."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..ir.graph import Eqn, Graph, Lit, Var
from .rewrite import rewrite


def fold(graph: Graph) -> Graph:
    """(x*) -> (y*) keeps its type; arithmetic on literals is done now, in the dtype it would have had at run time."""
    return rewrite(graph, folded)


def folded(eqn: Eqn, made: Mapping[Var, Eqn]):
    """The literal that the result is, or None."""
    rule, literals = eqn.prim.fold, eqn.inputs
    if rule is None:
        return None
    for a in literals:
        if type(a) is not Lit:
            return None
    (out,) = eqn.outputs
    with np.errstate(all="ignore"):
        number = rule(*(a.dtype.type(a.value) for a in literals if type(a) is Lit), **eqn.params)
    if number is None:
        return None
    return (Lit(out.dtype.type(number).item(), out.aval),)
