"""Where does a derivative go wrong? The first equation whose jvp is not the slope of its own values.

All values of the program are probed at once: the jvp of each against its differences along one direction. The first
that departs has operands whose tangents are right, so its equation is at fault; it is then probed alone, to be sure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..control.custom import Rules
from ..ir.errors import GradlabError
from ..ir.graph import Eqn, Graph, Var, is_inexact
from ..ir.where import Where
from ..lower.finish import expand
from .probes import Probe, Verdict, pairing

MOST = 200  # equations whose transpose is probed, one compilation each


class Departure(NamedTuple):
    """An equation whose derivative is wrong, what shows it, and the numbers."""

    eqn: Eqn
    what: str
    got: Any
    wanted: Any

    @property
    def where(self) -> Where | None:
        return self.eqn.where

    def __str__(self) -> str:
        return f"the first equation at fault is {described(self.eqn)}: {self.what}"


def first_departure(probe: Probe, direction: Sequence[Any]) -> Departure | None:
    """The first equation of a program whose jvp departs from differences, looking along a direction of its inputs."""
    graph = expand(probe.graph, keep_rules=True)
    every = [v for eqn in graph.eqns for v in eqn.outputs]
    whole = Probe(
        Graph(graph.inputs, graph.eqns, every), probe.inputs, probe.active, probe.names, [], "the values inside"
    )
    values = dict(zip(graph.inputs, probe.inputs, strict=True)) | dict(zip(every, whole.values(), strict=True))
    wrong = {every[i] for i, one in whole.verdicts(direction).items() if one.wrong}
    moving = _depending(graph, probe.active)
    suspect = None
    for eqn in graph.eqns:
        if wrong.isdisjoint(eqn.outputs):
            continue
        found = _alone(eqn, values, moving)
        if found is not None:
            return found
        if suspect is None:
            suspect = Departure(eqn, "its operands' tangents are right, its result's is not", None, None)
    return suspect


def _depending(graph: Graph, active: Sequence[bool]) -> set[Var]:
    """The values that depend on an input that moves."""
    found = {v for v, on in zip(graph.inputs, active, strict=True) if on}
    for eqn in graph.eqns:
        if not found.isdisjoint(a for a in eqn.inputs if type(a) is Var):
            found.update(eqn.outputs)
    return found


def _probe_of(eqn: Eqn, values: dict[Any, Any], moving: set[Var]) -> Probe | None:
    """The equation as a program of its own, at its operands; None if nothing there could move."""
    given = list(dict.fromkeys(a for a in eqn.inputs if type(a) is Var))
    active = [v in moving and is_inexact(v.dtype) for v in given]
    if not any(active) or not any(is_inexact(v.dtype) for v in eqn.outputs):
        return None
    own = Graph(given, (eqn,), eqn.outputs)
    return Probe(own, [values[v] for v in given], active, [v.name or "" for v in given], [], eqn.prim.name)


def _alone(eqn: Eqn, values: dict[Any, Any], moving: set[Var]) -> Departure | None:
    probe = _probe_of(eqn, values, moving)
    if probe is None:
        return None
    rng = np.random.default_rng(1)
    for relative in (True, False):
        found = probe.verdicts(probe.directions(rng, relative)).values()
        wrong: list[Verdict] = [one for one in found if one.wrong]
        if wrong:
            one = wrong[0]
            what = f"alone, its jvp is {one.got!s}, differences of it are {one.wanted!s} (±{one.error:.1g})"
            return Departure(eqn, what, one.got, one.wanted)
        if all(one.judged for one in found):
            return None
    return None


def first_mistransposed(probe: Probe) -> Departure | None:
    """The first equation of a program for which ⟨ct, J t⟩ is not ⟨Jᵀ ct, t⟩."""
    graph = expand(probe.graph, keep_rules=True)
    every = [v for eqn in graph.eqns for v in eqn.outputs]
    whole = Probe(Graph(graph.inputs, graph.eqns, every), probe.inputs, probe.active, [], [], "the values inside")
    values = dict(zip(graph.inputs, probe.inputs, strict=True)) | dict(zip(every, whole.values(), strict=True))
    moving = _depending(graph, probe.active)
    rng = np.random.default_rng(1)
    for eqn in graph.eqns[:MOST]:
        one = _probe_of(eqn, values, moving)
        if one is None:
            continue
        along = one.directions(rng)
        try:
            moved = one.jvp(along)
            cts = [seed(rng, y) for y in moved]
            pulled = one.vjp(cts)
        except GradlabError:
            continue
        left, right, same = dot_products(cts, moved, pulled, along, one.unit)
        if not same:
            what = f"alone, ⟨ct, J t⟩ is {left!s} by its jvp, and ⟨Jᵀ ct, t⟩ is {right!s} by its vjp"
            return Departure(eqn, what, right, left)
    return None


def seed(rng: np.random.Generator, y: np.ndarray) -> np.ndarray:
    """A random cotangent for a result; zeros for one that has none."""
    if not is_inexact(y.dtype):
        return np.zeros(y.shape, y.dtype)
    ct = rng.uniform(0.5, 1.0, y.shape) * rng.choice([-1.0, 1.0], y.shape)
    return (ct + 1j * rng.uniform(-1, 1, y.shape) if y.dtype.kind == "c" else ct).astype(y.dtype)


def dot_products(
    cts: Sequence[Any], moved: Sequence[Any], pulled: Sequence[Any], along: Sequence[Any], u: float, slack: float = 0.0
) -> tuple[float, float, bool]:
    """⟨ct, J t⟩, ⟨Jᵀ ct, t⟩, and whether they are the same number up to rounding (and `slack`)."""
    left, left_scale = pairing(cts, moved)
    right, right_scale = pairing(pulled, along)
    return left, right, bool(abs(left - right) <= 1e4 * u * (left_scale + right_scale) + slack)


def described(eqn: Eqn) -> str:
    """An equation in words: what it is, and on what; for a call with rules of its own, which functions those are."""
    types = ", ".join(str(a.aval) for a in eqn.inputs[:4]) + (", ..." if len(eqn.inputs) > 4 else "")
    rules = eqn.params.get("rules")
    if isinstance(rules, Rules):
        written = {
            kind: sorted({e.where.code.co_name for e in graph.eqns if e.where is not None})
            for kind, graph in (("jvp", rules.jvp), ("fwd", rules.fwd), ("bwd", rules.bwd))
            if graph is not None
        }
        told = "; ".join(f"its {kind} rule is {' and '.join(names) or 'empty'}" for kind, names in written.items())
        return f"the call of {rules.name}, which has a derivative of its own ({told})"
    fun = eqn.params.get("fun")
    name = getattr(fun, "word", None)
    return f"{name} of JAX's ({types})" if isinstance(name, str) else f"{eqn.prim.name}({types})"
