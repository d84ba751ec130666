"""Do derivatives get through? Saturated units, and cotangents that vanish or explode on their way back."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..control.scan import scan_p
from ..control.while_loop import while_p
from ..ir.graph import Eqn, Graph, Var, is_inexact
from ..ir.where import Where
from ..ops.arith import exp_p, logistic_p, maximum_p, minimum_p
from ..ops.compare import select_p
from ..ops.elementwise import atan_p, tanh_p
from ..ops.families import broadcast_p
from ..ops.special import erf_p, erfc_p
from .finding import Finding, at_line, name_of_value, share
from .observe import Producers, Seen, local_slopes, observed, seen

FLAT = 1e-4  # a slope below this, where 1 is usual, lets next to nothing through
FAR = 1e6  # a ratio of sizes beyond which gradient steps cannot serve both
STEEP = 1e10  # |x|·|f'|/|f| beyond which a step of one rounding error changes the result by 1e-6 of itself
_SIGMOIDS = frozenset((tanh_p, logistic_p, erf_p, erfc_p, atan_p))
_SWITCHES = frozenset((maximum_p, minimum_p, select_p, exp_p))


def saturated(graph: Graph, inputs: Sequence[Any], leaves: Sequence[Var]) -> list[Finding]:
    """Findings about equations that let through next to nothing, at any of their numbers."""
    depends, chosen = set(leaves), []
    for eqn in graph.eqns:
        on = [type(a) is Var and a in depends and is_inexact(a.dtype) for a in eqn.inputs]
        if any(on):
            depends.update(v for v in eqn.outputs if is_inexact(v.dtype))
            if eqn.prim in _SIGMOIDS | _SWITCHES and sum(on) == 1:
                chosen.append((eqn, on))
    if not chosen:
        return []

    program = local_slopes(graph, chosen)
    slopes = observed(program, inputs, list(dict.fromkeys(a for a in program.outputs if type(a) is Var)))
    made, found = Producers(graph), []
    for (eqn, on), a in zip(chosen, program.outputs, strict=True):
        if type(a) is not Var or not slopes[a].size:
            continue
        one = slopes[a]
        flat = one.largest < FLAT if eqn.prim in _SIGMOIDS else one.zeros == one.size
        if flat:
            name = name_of_value(eqn.inputs[on.index(True)], made)
            message = (
                f"{at_line(eqn.where)}: `{eqn.prim.name}` is flat in {name}, for {share(one.size, one.size)}: its "
                f"steepest slope is {one.largest:.1g}, so that nothing before it can learn"
            )
            found.append(Finding("saturated", f"{message}.", eqn.where))
    return found


def out_of_scale(
    graph: Graph,
    values: dict[Var, Seen],
    cts: dict[Any, Seen],
    leaves: Sequence[Var],
    names: Sequence[str],
    slopes: Sequence[np.ndarray],
    result: float,
) -> list[Finding]:
    """Findings about gradients that vanish beside others, or explode; and where on the way back they do."""
    found = [*_loops(graph, cts), *_lines(graph, cts)]
    sizes = {name: _norm(seen(slope)) for name, slope in zip(names, slopes, strict=True)}
    largest = max(sizes, key=lambda name: sizes[name])
    for v, name in zip(leaves, names, strict=True):
        size = sizes[name]
        if 0 < size < sizes[largest] / FAR:
            message = (
                f"the gradient of {name} is {size:.1e} in norm, that of {largest} {sizes[largest]:.1e}: it vanishes "
                f"on the way back{_steepest(graph, cts, shrinks=True)}"
            )
            found.append(Finding("vanishing", f"{message}.", _steepest_line(graph, cts, True), name))
        # A function that is large where its slope is: only slopes out of proportion to it are remarkable.
        elif size * _norm(values[v]) > STEEP * max(abs(result), 1e-300) and size > FAR:
            message = (
                f"the gradient of {name} is {size:.1e} in norm, where the result is {result:.1e}: it explodes on the "
                f"way back{_steepest(graph, cts, shrinks=False)}"
            )
            found.append(Finding("exploding", f"{message}.", _steepest_line(graph, cts, False), name))
    return found


def _norm(seen: Seen) -> float:
    return seen.rms * math.sqrt(seen.size)


def _loops(graph: Graph, cts: dict[Any, Seen]) -> list[Finding]:
    """Loops through whose carry a cotangent shrinks or grows out of all proportion."""
    found = []
    for eqn in graph.eqns:
        if eqn.prim is scan_p:
            loop = eqn.params["loop"]
            carried, turns = loop.parts(range(len(eqn.inputs)))[1], loop.length
        elif eqn.prim is while_p:
            carried, turns = eqn.params["how"].parts(range(len(eqn.inputs)))[2], 0
        else:
            continue
        after = max((_norm(cts[v]) for v in eqn.outputs if v in cts), default=0.0)
        starts = [eqn.inputs[k] if type(eqn.inputs[k]) is Var else (eqn.outputs[0], k) for k in carried]
        before = max((_norm(cts[a]) for a in starts if a in cts), default=0.0)
        if not after or not before or 1 / FAR < before / after < FAR:
            continue
        ratio = before / after
        each = f", a factor of {ratio ** (1 / turns):.2g} in each of {turns} turns" if turns else ""
        kind, verb = ("exploding", "grows") if ratio > 1 else ("vanishing", "shrinks")
        message = f"{at_line(eqn.where)}: the cotangent {verb} by {ratio:.1e} on its way back through the loop{each}."
        found.append(Finding(kind, message, eqn.where))
    return found


def _lines(graph: Graph, cts: dict[Any, Seen]) -> list[Finding]:
    """Lines, run again and again by a Python loop, that shrink or grow a cotangent out of all proportion."""
    found = []
    for total, times, where in _by_line(graph, cts).values():
        if times > 2 and abs(total) > math.log10(FAR):
            kind, verb = ("exploding", "grows") if total > 0 else ("vanishing", "shrinks")
            message = f"{at_line(where)}: the cotangent {verb} by 1e{total:+.0f} on its way back, in {times} equations."
            found.append(Finding(kind, message, where))
    return found


def _by_line(graph: Graph, cts: dict[Any, Seen]) -> dict[tuple, tuple[float, int, Where]]:
    """For each line of the user's: the logarithm of what it multiplies cotangents by, over all its equations."""
    reads: dict[Var, int] = defaultdict(int)
    for eqn in graph.eqns:
        for a in eqn.inputs:
            if type(a) is Var:
                reads[a] += 1
    lines: dict[tuple, tuple[float, int, Where]] = {}
    for eqn in graph.eqns:
        ratio = _through(eqn, cts, reads)
        if ratio and eqn.where is not None:
            key = (eqn.where.code, eqn.where.lineno)
            total, times, _ = lines.get(key, (0.0, 0, eqn.where))
            lines[key] = (total + math.log10(ratio), times + 1, eqn.where)
    return lines


def _through(eqn: Eqn, cts: dict[Any, Seen], reads: dict[Var, int]) -> float:
    # What other equations read too has its cotangent from them as well; and what is summed up may cancel, as it does
    # on the way to the maximum that a softmax subtracts.
    moving = [a for a in eqn.inputs if type(a) is Var and a in cts and cts[a].rms]
    outs = [v for v in eqn.outputs if v in cts and cts[v].rms]
    if len(moving) != 1 or len(outs) != 1 or reads[moving[0]] != 1 or eqn.prim is broadcast_p:
        return 0.0
    return _norm(cts[moving[0]]) / _norm(cts[outs[0]])


def _steepest_line(graph: Graph, cts: dict[Any, Seen], shrinks: bool) -> Where | None:
    lines = sorted(_by_line(graph, cts).values(), key=lambda row: row[0] if shrinks else -row[0])
    return lines[0][2] if lines else None


def _steepest(graph: Graph, cts: dict[Any, Seen], shrinks: bool) -> str:
    """Where most of it happens, as the end of a sentence."""
    lines = sorted(_by_line(graph, cts).values(), key=lambda row: row[0] if shrinks else -row[0])
    told = [
        f"{at_line(where)} (by 1e{total:+.0f}{f' in {times} equations' if times > 1 else ''})"
        for total, times, where in lines[:2]
        if (total < -1 if shrinks else total > 1)
    ]
    return f", most of all at {' and '.join(told)}" if told else ""
