"""Why is a gradient zero? The paths from an argument to the result, and the equations at which all of them end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ir.errors import GradlabError
from ..ir.graph import Eqn, Graph, Lit, Var, is_inexact
from ..ops.arith import maximum_p, minimum_p
from ..ops.compare import select_p
from ..ops.convert import convert_p, stop_gradient_p
from ..ops.families import mul_p
from ..transforms.jvp import jvp_graph
from .finding import Finding, at_line, name_of_value
from .observe import Seen, producer_of, values_of


def unmoved(graph: Graph, leaf: Var, name: str) -> Finding | None:
    """Why the result does not depend differentiably on an argument, whatever the numbers are; None if it may."""
    readers = [eqn for eqn in graph.eqns if leaf in eqn.inputs]
    if not readers and leaf not in graph.outputs:
        return Finding("zero", f"the gradient of {name} is zero: the function never uses {name}.", None, name)
    matters = _what_matters(graph)
    if leaf not in matters:
        where = readers[0].where
        message = f"the gradient of {name} is zero: it is used at {at_line(where)}, but not for the result."
        return Finding("zero", message, where, name)
    moves, cuts = {leaf}, []
    for eqn in graph.eqns:
        active = [type(a) is Var and a in moves for a in eqn.inputs]
        if not any(active):
            continue
        alive = _alive(eqn, active)
        moves.update(v for v, on in zip(eqn.outputs, alive, strict=True) if on)
        if not any(alive) and not matters.isdisjoint(eqn.outputs):
            cuts.append(eqn)
    if any(type(a) is Var and a in moves for a in graph.outputs):
        return None
    reasons = "; ".join(dict.fromkeys(f"{at_line(eqn.where)}: {_why_cut(eqn)}" for eqn in cuts[:4]))
    where = cuts[0].where if cuts else None
    return Finding("zero", f"the gradient of {name} is zero whatever its value: {reasons}.", where, name)


def _what_matters(graph: Graph) -> set[Var]:
    """The variables on which the results depend."""
    matters = {a for a in graph.outputs if type(a) is Var}
    for eqn in reversed(graph.eqns):
        if not matters.isdisjoint(eqn.outputs):
            matters.update(a for a in eqn.inputs if type(a) is Var)
    return matters


def _alive(eqn: Eqn, active: Sequence[bool]) -> Sequence[bool]:
    """Which results of an equation have a tangent if those operands have."""
    on = [a and is_inexact(x.dtype) for a, x in zip(active, eqn.inputs, strict=True)]
    if not any(on):
        return [False] * len(eqn.outputs)
    given = [Var(a.aval) for a in eqn.inputs]
    try:
        return jvp_graph(Graph(given, [eqn._replace(inputs=tuple(given))], eqn.outputs), on)[1]
    except GradlabError:
        return [True] * len(eqn.outputs)  # a refused rule is an error of its own, not a zero


def _why_cut(eqn: Eqn) -> str:
    kinds = {v.dtype.kind for v in eqn.outputs}
    if eqn.prim is stop_gradient_p:
        return "stop_gradient holds it constant"
    if eqn.prim is convert_p and kinds <= set("biu"):
        return f"it is converted to {eqn.outputs[0].dtype.name}, and integers have no derivative"
    if kinds == {"b"}:
        return f"only the truth value of `{eqn.prim.name}` is used, which has no derivative"
    if kinds <= set("iu"):
        return f"`{eqn.prim.name}` gives integers, which have no derivative"
    return f"`{eqn.prim.name}` is constant piece by piece, so its derivative is zero"


def silenced(graph: Graph, inputs: Sequence[Any], cts: dict[Var, Seen], leaf: Var, name: str) -> Finding | None:
    """Why the gradient of an argument comes out as zeros at these numbers."""
    made = producer_of(graph)
    quiet, ends = {leaf}, []
    for eqn in graph.eqns:
        if not any(type(a) is Var and a in quiet for a in eqn.inputs):
            continue
        if any(v in cts and cts[v].rms > 0 for v in eqn.outputs):
            ends.append(eqn)
        quiet.update(v for v in eqn.outputs if v in cts and not cts[v].rms)
    if not ends:
        return None
    values = values_of(graph, inputs, [a for eqn in ends[:4] for a in eqn.inputs])
    reasons = []
    for eqn in ends[:4]:
        operands, values = values[: len(eqn.inputs)], values[len(eqn.inputs) :]
        on = [type(a) is Var and a in quiet for a in eqn.inputs]
        reasons.append(f"{at_line(eqn.where)}: {_why_silent(eqn, operands, on, made)}")
    text = "; ".join(dict.fromkeys(reasons))
    return Finding("zero", f"the gradient of {name} is zero at these values: {text}.", ends[0].where, name)


def _why_silent(eqn: Eqn, operands: Sequence[np.ndarray], on: Sequence[bool], made: dict[Var, Eqn]) -> str:
    names = [name_of_value(a, made) for a in eqn.inputs]
    k = list(on).index(True)
    if eqn.prim is select_p and k > 0:
        return f"the `where` takes the other branch everywhere, never {names[k]}"
    if eqn.prim in (maximum_p, minimum_p):
        return f"{names[1 - k]} wins the {'maximum' if eqn.prim is maximum_p else 'minimum'} everywhere"
    if eqn.prim is mul_p and not on[1 - k]:
        return f"the factor {names[1 - k]} is zero everywhere"
    x = operands[k]
    lowest, highest = (x.min(), x.max()) if x.size and x.dtype.kind == "f" else (0.0, 0.0)
    span = f"from {lowest:.4g} to {highest:.4g}" if lowest != highest else f"{lowest:.4g}"
    literal = " (a constant)" if type(eqn.inputs[k]) is Lit else ""
    return f"the slope of `{eqn.prim.name}` is zero where {names[k]}{literal} is: {span}"
