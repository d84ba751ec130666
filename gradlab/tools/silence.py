"""Why is a gradient zero? The paths from an argument to the result, and the equations at which all of them end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ir.errors import GradlabError
from ..ir.graph import Eqn, Graph, Lit, Var, is_inexact
from ..ir.where import Where
from ..ops.arith import maximum_p, minimum_p
from ..ops.compare import select_p
from ..ops.convert import convert_p, stop_gradient_p
from ..ops.families import mul_p
from ..transforms.jvp import jvp_graph
from .finding import Finding, at_line, name_of_value
from .observe import Producers, Seen, values_of


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
        if any(v in matters and not on for v, on in zip(eqn.outputs, alive, strict=True)):
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
    # What has a derivative among the results is not used.
    kinds = {v.dtype.kind for v in eqn.outputs if len(eqn.outputs) == 1 or not is_inexact(v.dtype)}
    if eqn.prim is stop_gradient_p:
        return "stop_gradient holds it constant"
    if eqn.prim is convert_p and kinds <= set("biu"):
        return f"it is converted to {eqn.outputs[0].dtype.name}, and integers have no derivative"
    if kinds == {"b"}:
        return f"only the truth value of `{eqn.prim.name}` is used, which has no derivative"
    if kinds <= set("iu"):
        return f"`{eqn.prim.name}` gives integers, which have no derivative"
    return f"`{eqn.prim.name}` is constant piece by piece, so its derivative is zero"


def silenced(
    graph: Graph, inputs: Sequence[Any], seen: dict[Var, Seen], cts: dict[Any, Seen], leaf: Var, name: str
) -> Finding | None:
    """Why the gradient of an argument comes out as zeros at these numbers."""
    made = Producers(graph)
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
    text, where = "; ".join(dict.fromkeys(reasons)), ends[0].where
    dead = next((one for one in (_dead(eqn, seen, quiet, made) for eqn in ends) if one is not None), None)
    if dead is not None:
        text += f". The zeros come from {at_line(dead.where)}, where `{dead.prim.name}` makes nothing else"
        where = dead.where
    return Finding("zero", f"the gradient of {name} is zero at these values: {text}.", where, name)


def _dead(eqn: Eqn, seen: dict[Var, Seen], quiet: set[Var], made: Producers) -> Eqn | None:
    """The equation that made the zeros an operand consists of, of numbers that were not all zero; None without such."""
    at = next((a for a in eqn.inputs if type(a) is Var and a in quiet and _all_zero(a, seen)), None)
    while at is not None and at in made:
        before = [a for a in made[at].inputs if type(a) is Var and a in seen and a in quiet]
        zeros = [a for a in before if _all_zero(a, seen) and a in made]
        if not zeros:
            return made[at] if before else None
        at = zeros[0]
    return None


def _all_zero(a: Var, seen: dict[Var, Seen]) -> bool:
    return a in seen and seen[a].zeros == seen[a].size > 0


def together(found: Sequence[Finding]) -> list[Finding]:
    """Findings that say the same of several arguments become one."""
    alike: dict[str, list[Finding]] = {}
    for one in found:
        said = one.message.partition(" is zero")[2]
        alike.setdefault(said.replace(f"never uses {one.leaf}", "never uses"), []).append(one)
    merged = []
    for first, *more in alike.values():
        if not more:
            merged.append(first)
            continue
        leaves = ", ".join(str(one.leaf) for one in (first, *more))
        said = first.message.partition(" is zero")[2].replace(f"never uses {first.leaf}", "never uses them")
        merged.append(Finding("zero", f"the gradients of {leaves} are zero{said}", first.where, leaves))
    return merged


def handed_over(asked: Sequence[tuple[str, Where | None]]) -> list[Finding]:
    """Findings about values that Python was given as numbers of its own, which no derivative can follow."""
    found = []
    for wanted_by, where in dict.fromkeys(asked):
        message = f"{at_line(where)}: {wanted_by} took a value out of the program as a plain number, a constant to it"
        found.append(Finding("zero", f"{message}. Leave it an array.", where))
    return found


def _why_silent(eqn: Eqn, operands: Sequence[np.ndarray], on: Sequence[bool], made: Producers) -> str:
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
    span = f"goes from {lowest:.4g} to {highest:.4g}" if lowest != highest else f"is {lowest:.4g}"
    literal = " (a constant)" if type(eqn.inputs[k]) is Lit else ""
    return f"the slope of `{eqn.prim.name}` is zero where {names[k]}{literal} {span}"
