"""An even power of a size is smooth: |x|² is x², and |z|² is re² + im².

|x| has no slope at 0. Whichever is chosen there, the chain rule through it gives |x|² a second derivative of 0 at 0.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..ir.graph import Eqn, Graph, Var
from ..ops.arith import abs_p, integer_pow_p
from ..ops.convert import imag_p, real_p
from ..ops.families import add_p, mul_p
from .rewrite import Instead, rewrite


def sizes(graph: Graph) -> Graph:
    """(x*) -> (y*) keeps its type and values; even powers of absolute values are powers of what is inside."""
    if not any(eqn.prim is abs_p for eqn in graph.eqns):
        return graph
    return rewrite(graph, _power_of_a_size)


def _power_of_a_size(eqn: Eqn, made: Mapping[Var, Eqn]) -> Eqn | Instead | None:
    a = eqn.inputs[0] if eqn.inputs else None
    if eqn.prim is integer_pow_p:
        power = eqn.params["y"]
    elif eqn.prim is mul_p and a is eqn.inputs[1]:
        power = 2
    else:
        return None
    inner = made.get(a) if type(a) is Var else None
    if inner is None or inner.prim is not abs_p or power <= 0 or power % 2:
        return None
    (x,) = inner.inputs
    (out,) = eqn.outputs
    if x.dtype.kind != "c":
        return Eqn(integer_pow_p, (x,), eqn.outputs, {"y": power}, eqn.where) if x.aval == out.aval else None
    parts = [Var(out.aval) for _ in range(4)]
    re, im, re_squared, im_squared = parts
    square = {"y": 2}
    eqns = [
        Eqn(real_p, (x,), (re,), {}, eqn.where),
        Eqn(imag_p, (x,), (im,), {}, eqn.where),
        Eqn(integer_pow_p, (re,), (re_squared,), square, eqn.where),
        Eqn(integer_pow_p, (im,), (im_squared,), square, eqn.where),
    ]
    total = out if power == 2 else Var(out.aval)
    eqns.append(Eqn(add_p, (re_squared, im_squared), (total,), {}, eqn.where))
    if power > 2:
        eqns.append(Eqn(integer_pow_p, (total,), (out,), {"y": power // 2}, eqn.where))
    return Instead(eqns, (out,))
