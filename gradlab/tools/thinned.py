"""Why are some numbers of a gradient zero? The elementwise equations on its way that are flat at a part of theirs.

Whether an equation is to blame is tried out: it is given a slope of 1 where it is flat, alone and with all the others,
and what becomes of the gradient's zeros is looked at. What a loop does in all its turns counts as one equation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..api.programs import value_and_grad_program
from ..ir.graph import Eqn, Graph, Var, is_inexact
from ..lower.compile import Executable
from ..lower.titles import place_of
from ..ops.arith import maximum_p, minimum_p
from ..ops.compare import select_p
from ..ops.convert import stop_gradient
from ..ops.families import mul_p
from ..trace.stage import trace_graph
from .finding import Finding, at_line, name_of_value, share
from .observe import Producers, local_slopes, values_of
from .unrolled import unrolled

MOST = 3  # equations that one finding names
TRIED = 50  # equations that are looked at


class _Flat(NamedTuple):
    """Operand k of an elementwise equation, on which its result does not depend where `mask` is 1.

    `others`: the same in other turns of a loop.
    """

    eqn: Eqn
    k: int
    mask: np.ndarray
    others: list[_Flat]

    @property
    def all(self) -> list[_Flat]:
        return [self, *self.others]


def thinned(
    graph: Graph, inputs: Sequence[Any], leaves: Sequence[tuple[Var, str]], slopes: Sequence[np.ndarray]
) -> list[Finding]:
    """Findings about gradients that are zero in a part of their numbers, those with the same reasons together.

    What an index leaves out, or a row of zeros multiplies, has no gradient by what the function says: that is none.
    """
    turns = unrolled(graph, inputs)
    now = dict(zip(graph.inputs, turns.inputs, strict=True))
    partly = [
        (now[leaf], name, slope == 0)
        for (leaf, name), slope in zip(leaves, slopes, strict=True)
        if 0 < np.count_nonzero(slope) < slope.size
    ]
    flat = _flat(turns, inputs, [leaf for leaf, _, _ in partly], _repeated(graph))
    if not flat:
        return []
    alone, together = _opened(turns, inputs, flat, [leaf for leaf, _, _ in partly])
    made = Producers(turns)
    alike: dict[tuple[str, ...], list[tuple[str, str, Eqn]]] = {}
    for k, (_, name, zero) in enumerate(partly):
        causes = [one for one, got in zip(flat, alone, strict=True) if np.any(got[k][zero])]
        if not causes and np.any(together[k][zero]):
            causes = flat
        reasons = tuple(dict.fromkeys(f"{at_line(one.eqn.where)}: {_why(one, made)}" for one in causes))[:MOST]
        if reasons:
            alike.setdefault(reasons, []).append((name, share(int(zero.sum()), zero.size), causes[0].eqn))
    return [_told(reasons, concerned) for reasons, concerned in alike.items()]


def _repeated(graph: Graph) -> set[tuple]:
    """The user's instructions that stand in loops."""
    inner = [g for eqn in graph.eqns for _, g in eqn.graphs]
    places = {place_of(eqn.where) for g in inner for eqn in g.eqns if eqn.where is not None}
    return {place for place in places if place is not None}.union(*map(_repeated, inner))


def _flat(graph: Graph, inputs: Sequence[Any], leaves: Sequence[Var], repeated: set[tuple]) -> list[_Flat]:
    """The elementwise equations after the leaves that are flat at a part of their numbers."""
    depends, chosen = set(leaves), []
    for eqn in graph.eqns:
        on = [k for k, a in enumerate(eqn.inputs) if type(a) is Var and a in depends and is_inexact(a.dtype)]
        if not on:
            continue
        depends.update(eqn.outputs)
        elementwise = eqn.prim.scalars or eqn.prim.native is not None  # a rule of the user's may be so, sizes tell
        if elementwise and len(eqn.outputs) == 1 and is_inexact(eqn.outputs[0].dtype):
            chosen += [(eqn, k) for k in on if eqn.inputs[k].shape == eqn.outputs[0].shape]
    if not chosen:
        return []
    program = local_slopes(graph, [(eqn, [i == k for i in range(len(eqn.inputs))]) for eqn, k in chosen])
    found = values_of(program, inputs, program.outputs)
    masks = [(slope == 0).astype(eqn.outputs[0].dtype) for (eqn, _), slope in zip(chosen, found, strict=True)]
    flat: dict[Any, _Flat] = {}
    for (eqn, k), mask in zip(chosen, masks, strict=True):
        place = place_of(eqn.where)
        key = (place, eqn.prim, k) if place in repeated else (eqn.outputs, k)
        if key in flat:
            flat[key].others.append(_Flat(eqn, k, mask, []))
        else:
            flat[key] = _Flat(eqn, k, mask, [])
    return [one for one in flat.values() if any(each.mask.any() for each in one.all)][:TRIED]


def _opened(
    graph: Graph, inputs: Sequence[Any], flat: Sequence[_Flat], leaves: Sequence[Var]
) -> tuple[list[list[np.ndarray]], list[np.ndarray]]:
    """The leaves' gradients if each of the equations, and if all of them, had a slope of 1 where they are flat."""
    n = len(graph.inputs)
    each = [one for group in flat for one in group.all]
    of: dict[Var, list[tuple[int, int]]] = {}
    for i, one in enumerate(each):
        of.setdefault(one.eqn.outputs[0], []).append((i, one.k))

    def run(builder, *xs):
        value = dict(zip(graph.inputs, xs, strict=False))
        for eqn in graph.eqns:
            operands = tuple([value[a] if type(a) is Var else a for a in eqn.inputs])
            value.update(zip(eqn.outputs, builder.record(eqn.prim, operands, eqn.params), strict=True))
            for i, k in of.get(eqn.outputs[0], ()) if eqn.outputs else ():
                # The value stays what it is, the slope does not.
                nothing = operands[k] - stop_gradient(operands[k])
                value[eqn.outputs[0]] = value[eqn.outputs[0]] + xs[n + i] * nothing
        return [value[a] if type(a) is Var else a for a in graph.outputs]

    avals = [*graph.in_avals, *(one.eqn.outputs[0].aval.retyped(one.eqn.outputs[0].dtype) for one in each)]
    program = trace_graph(run, avals)
    order = sorted(range(n), key=lambda k: graph.inputs[k] not in leaves)
    first = Graph([*(program.inputs[k] for k in order), *program.inputs[n:]], program.eqns, program.outputs)
    slopes = Executable(value_and_grad_program(first, [True] * len(leaves), want_value=False, zeros=True).graph)

    def gradients(masks: Sequence[np.ndarray]) -> list[np.ndarray]:
        got = map(np.asarray, slopes.jitted(*(inputs[k] for k in order), *masks))
        known = {graph.inputs[k]: slope for k, slope in zip(order, got, strict=False)}
        return [known[leaf] for leaf in leaves]

    masks = [one.mask for one in each]
    alone, at = [], 0
    for group in flat:
        mine = range(at, at + len(group.all))
        at = mine.stop
        alone.append(gradients([mask if i in mine else np.zeros_like(mask) for i, mask in enumerate(masks)]))
    return alone, gradients(masks)


def _why(one: _Flat, made: Producers) -> str:
    eqn, k = one.eqn, one.k
    names = [name_of_value(x, made) for x in eqn.inputs]
    many = share(sum(int(each.mask.sum()) for each in one.all), sum(each.mask.size for each in one.all))
    if eqn.prim is select_p and k > 0:
        return f"the `where` takes the other branch for {many} of {names[k]}"
    if eqn.prim in (maximum_p, minimum_p):
        return f"{names[1 - k]} wins the {'maximum' if eqn.prim is maximum_p else 'minimum'} in {many}"
    if eqn.prim is mul_p:
        return f"the factor {names[1 - k]} is zero in {many}"
    word = getattr(eqn.params.get("fun"), "word", eqn.prim.name)
    return f"the slope of `{word}` in {names[k]} is zero for {many}"


def _told(reasons: Sequence[str], concerned: Sequence[tuple[str, str, Eqn]]) -> Finding:
    (name, part, eqn), *more = concerned
    why = "; ".join(reasons)
    if not more:
        return Finding("partly zero", f"the gradient of {name} is zero in {part}: {why}.", eqn.where, name)
    each = ", ".join(f"{name} ({part})" for name, part, _ in concerned)
    leaves = ", ".join(name for name, _, _ in concerned)
    return Finding("partly zero", f"a part of the gradients of {each} is zero: {why}.", eqn.where, leaves)
