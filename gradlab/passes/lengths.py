"""A root of a sum of squares is a length: its derivative at 0 is 0, not inf · 0.

√(Σ aᵢ²) is the length of the vector a. It is not smooth where a is 0, but 0 lies between all of its slopes there, and
is the only one that prefers no direction. The chain rule through the root would give NaN: the slope of √ at 0 is
infinite, that of the sum of squares is 0. What is shown to be such a sum is given to `root`, of derivative 0 at 0.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..ir.graph import Atom, Eqn, Graph, Lit, Var
from ..ops.arith import div_p, integer_pow_p, sqrt_p
from ..ops.contract import dot_general_p
from ..ops.convert import conj_p, convert_p, real_p
from ..ops.families import add_p, broadcast_p, mul_p, permute_p, reduce_sum_p, reshape_p
from ..ops.guarded import root_p
from .rewrite import rewrite

Made = Mapping[Var, Eqn]
DEEPEST = 50  # equations a sum is looked through, at most


def lengths(graph: Graph) -> Graph:
    """(x*) -> (y*) keeps its type and values; √ of a sum of squares is `root` of it."""
    if not any(eqn.prim is sqrt_p for eqn in graph.eqns):
        return graph
    known: dict[Atom, bool] = {}  # sums may share terms, of which each is looked through once

    def root(eqn: Eqn, made: Made) -> Eqn | None:
        if eqn.prim is not sqrt_p or eqn.outputs[0].dtype.kind == "c":
            return None
        if not _sums_squares(eqn.inputs[0], made, known, 0):
            return None
        return Eqn(root_p, eqn.inputs, eqn.outputs, eqn.params, eqn.where)

    return rewrite(graph, root)


def _sums_squares(a: Atom, made: Made, known: dict[Atom, bool], depth: int) -> bool:
    """Whether `a` is a sum of squares of real numbers, or of sizes of complex ones, times positive constants."""
    eqn = made.get(a) if type(a) is Var else None
    if eqn is None or depth > DEEPEST:
        return False
    if a not in known:
        known[a] = _is_sum(eqn, a, made, known, depth)
    return known[a]


def _is_sum(eqn: Eqn, a: Atom, made: Made, known: dict[Atom, bool], depth: int) -> bool:
    prim, xs = eqn.prim, eqn.inputs
    if prim is integer_pow_p:
        return eqn.params["y"] > 0 and eqn.params["y"] % 2 == 0 and a.dtype.kind != "c"
    if prim is mul_p and xs[0] is xs[1]:
        return a.dtype.kind != "c"
    if prim is real_p:
        return _is_size_squared(xs[0], made)
    if prim is dot_general_p:
        contract, batch = eqn.params["contract"], eqn.params["batch"]
        alone = len(contract[0]) + len(batch[0]) == xs[0].ndim
        return xs[0] is xs[1] and contract[0] == contract[1] and batch[0] == batch[1] and alone and a.dtype.kind != "c"
    if prim in (mul_p, div_p):
        scale = [x for x in xs if type(x) is Lit and not isinstance(x.value, complex) and x.value > 0]
        first = xs[0] if prim is div_p or type(xs[0]) is Var else xs[1]
        return bool(scale) and type(first) is Var and _sums_squares(first, made, known, depth + 1)
    if prim is convert_p and xs[0].dtype.kind not in "fV":
        return False
    return prim in _KEEPS and all(_sums_squares(x, made, known, depth + 1) for x in xs)


def _is_size_squared(a: Atom, made: Made) -> bool:
    """Whether `a` is z · conj(z)."""
    eqn = made.get(a) if type(a) is Var else None
    if eqn is None or eqn.prim is not mul_p:
        return False
    for z, other in (eqn.inputs, eqn.inputs[::-1]):
        inner = made.get(other) if type(other) is Var else None
        if inner is not None and inner.prim is conj_p and inner.inputs[0] is z:
            return True
    return False


_KEEPS = frozenset((add_p, reduce_sum_p, broadcast_p, reshape_p, permute_p, convert_p))
