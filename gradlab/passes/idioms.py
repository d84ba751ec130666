"""Shift invariance: log-sum-exp and softmax as people write them, whose derivative need not walk through the maximum.

`m + log Σ exp(x − m)` and `exp(x − m) / Σ exp(x − m)` do not depend on m: whatever is subtracted comes back. So the
cotangent of m is zero, and differentiating through the maximum (a comparison, a mask, a second pass over x) computes it
in vain. The pass proves the invariance by following m + δ through the program, and then holds m constant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from heapq import heappop, heappush
from typing import NamedTuple

from ..ir.graph import Eqn, Graph, Var
from ..ir.primitive import Primitive
from ..ops.arith import div_p, exp_p, integer_pow_p, log_p, sqrt_p
from ..ops.contract import dot_general_p
from ..ops.convert import convert_p, stop_gradient_p
from ..ops.families import add_p, broadcast_p, mul_p, neg_p, permute_p, reduce_sum_p, reshape_p, sub_p
from ..ops.reduce import reduce_max_p, reduce_min_p

FAR, NEAR = 1000, 20  # equations a shift is followed through, at first, and where that has taken long


class Shift(NamedTuple):
    """How a value answers to m + δ: it grows by power·δ, or (if `scales`) is multiplied by exp(power·δ).

    `axes`: the value's axes along which δ is not constant.
    """

    scales: bool
    power: Fraction
    axes: frozenset[int]


Shifts = list["Shift | None"]


def hold_extrema(graph: Graph) -> Graph:
    """(x*) -> (y*) keeps its type and values; an extremum the outputs provably do not depend on has no derivative."""
    candidates = [n for n, eqn in enumerate(graph.eqns) if eqn.prim is reduce_max_p or eqn.prim is reduce_min_p]
    if not candidates:
        return graph
    readers: dict[Var, list[int]] = {}
    for number, eqn in enumerate(graph.eqns):
        for a in eqn.inputs:
            if type(a) is Var:
                readers.setdefault(a, []).append(number)
    results = {a for a in graph.outputs if type(a) is Var}
    held: dict[Var, Var] = {}
    eqns: list[Eqn] = []
    found, looks = set(), 0
    for n in candidates:
        # All together take time in proportion to the length of the program.
        invariant, took = _is_invariant(graph, n, readers, results, FAR if looks < 3 * len(graph.eqns) else NEAR)
        looks += took
        if invariant:
            found.add(n)
    for number, eqn in enumerate(graph.eqns):
        inputs = tuple([held.get(a, a) if type(a) is Var else a for a in eqn.inputs])
        if eqn.prim is not stop_gradient_p:
            eqn = eqn._replace(inputs=inputs)
        eqns.append(eqn)
        if number in found:
            (m,) = eqn.outputs
            constant = Var(m.aval, m.name)
            eqns.append(Eqn(stop_gradient_p, (m,), (constant,), {}, eqn.where))
            held[m] = constant
    return Graph(graph.inputs, eqns, graph.outputs) if found else graph


def _is_invariant(
    graph: Graph, number: int, readers: Mapping[Var, list[int]], results: set[Var], most: int
) -> tuple[bool, int]:
    """Whether no output changes when the extremum of equation `number` is shifted; how many equations were looked at.

    A shift that is still there after `most` of them counts as one that stays.
    """
    (m,) = graph.eqns[number].outputs
    shift: dict[Var, Shift] = {m: Shift(False, Fraction(1), frozenset(range(m.ndim)))}
    if m in results or all(graph.eqns[n].prim is stop_gradient_p for n in readers.get(m, ())):
        return False, 0
    queue: list[int] = []
    queued: set[int] = set()

    def enqueue(v: Var) -> None:
        for n in readers.get(v, ()):
            if n not in queued:
                queued.add(n)
                heappush(queue, n)

    enqueue(m)
    looks = 0
    while queue:
        eqn = graph.eqns[heappop(queue)]
        looks += 1
        rule = _RULES.get(eqn.prim)
        shifts = [shift.get(a) if type(a) is Var else None for a in eqn.inputs]
        after = rule(eqn, shifts) if rule and looks <= most else None
        if after is None:
            return False, looks
        if after.power:
            (out,) = eqn.outputs
            if out in results:
                return False, looks
            shift[out] = after
            enqueue(out)
    return True, looks


_RULES: dict[Primitive, Callable[[Eqn, Shifts], Shift | None]] = {}


def _rule(*prims: Primitive):
    """Registers `(equation, shifts of its operands) -> shift of its result`, or None where that is not proved."""

    def register(fn):
        for prim in prims:
            _RULES[prim] = fn
        return fn

    return register


def _sum_of(shifts: Shifts, signs: tuple[int, int], scales: bool) -> Shift | None:
    """Shifts of one kind added up; an operand without one counts as zero."""
    if any(s is not None and s.scales != scales for s in shifts):
        return None
    power = sum((s.power * sign for s, sign in zip(shifts, signs, strict=True) if s), Fraction(0))
    return Shift(scales, power, frozenset().union(*(s.axes for s in shifts if s)))


@_rule(add_p, sub_p)
def _add(eqn: Eqn, shifts: Shifts) -> Shift | None:
    both = [s for s in shifts if s]
    if all(s.scales for s in both):
        # Two terms scaled alike scale alike; a term that stays as it is does not.
        return both[0] if len(both) == 2 and both[0] == both[1] else None
    return _sum_of(shifts, (1, 1 if eqn.prim is add_p else -1), False)


@_rule(neg_p, convert_p)
def _same(eqn: Eqn, shifts: Shifts) -> Shift | None:
    (s,) = shifts
    if s is None:
        return None
    if eqn.prim is neg_p and not s.scales:
        return s._replace(power=-s.power)
    return s if eqn.outputs[0].dtype.kind in "fV" else None


@_rule(mul_p, div_p)
def _mul(eqn: Eqn, shifts: Shifts) -> Shift | None:
    return _sum_of(shifts, (1, 1 if eqn.prim is mul_p else -1), True)


@_rule(exp_p)
def _exp(eqn: Eqn, shifts: Shifts) -> Shift | None:
    (s,) = shifts
    return s._replace(scales=True) if s and not s.scales else None


@_rule(log_p)
def _log(eqn: Eqn, shifts: Shifts) -> Shift | None:
    (s,) = shifts
    return s._replace(scales=False) if s and s.scales else None


@_rule(integer_pow_p, sqrt_p)
def _power(eqn: Eqn, shifts: Shifts) -> Shift | None:
    (s,) = shifts
    exponent = Fraction(eqn.params["y"]) if eqn.prim is integer_pow_p else Fraction(1, 2)
    return s._replace(power=s.power * exponent) if s and s.scales else None


@_rule(reduce_sum_p)
def _reduce_sum(eqn: Eqn, shifts: Shifts) -> Shift | None:
    (s,), axes = shifts, eqn.params["axes"]
    if s is None or not s.scales or not s.axes.isdisjoint(axes):
        return None
    return s._replace(axes=frozenset(a - sum(b < a for b in axes) for a in s.axes))


@_rule(broadcast_p)
def _broadcast(eqn: Eqn, shifts: Shifts) -> Shift | None:
    (s,) = shifts
    return s._replace(axes=frozenset(eqn.params["axes"][a] for a in s.axes)) if s else None


@_rule(permute_p)
def _permute(eqn: Eqn, shifts: Shifts) -> Shift | None:
    (s,) = shifts
    return s._replace(axes=frozenset(eqn.params["order"].index(a) for a in s.axes)) if s else None


@_rule(reshape_p)
def _reshape(eqn: Eqn, shifts: Shifts) -> Shift | None:
    """Only axes of length 1 may come and go; then the others keep their order."""
    (s,) = shifts
    before, after = eqn.inputs[0].shape, eqn.params["shape"]
    long_before = [a for a, n in enumerate(before) if n != 1]
    long_after = [a for a, n in enumerate(after) if n != 1]
    if s is None or [before[a] for a in long_before] != [after[a] for a in long_after]:
        return None
    to = dict(zip(long_before, long_after, strict=True))
    return s._replace(axes=frozenset(to[a] for a in s.axes if a in to))


@_rule(dot_general_p)
def _dot_general(eqn: Eqn, shifts: Shifts) -> Shift | None:
    side = 0 if shifts[0] else 1
    s, contract, batch = shifts[side], eqn.params["contract"], eqn.params["batch"]
    if s is None or shifts[1 - side] or not s.scales or not s.axes.isdisjoint(contract[side]):
        return None
    free = [
        [a for a in range(x.ndim) if a not in c and a not in b]
        for x, c, b in zip(eqn.inputs, contract, batch, strict=True)
    ]
    n = len(batch[0])
    to = {a: k for k, a in enumerate(batch[side])}
    start = n if side == 0 else n + len(free[0])
    to.update({a: start + k for k, a in enumerate(free[side])})
    return s._replace(axes=frozenset(to[a] for a in s.axes))
