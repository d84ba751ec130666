"""A zero that was chosen stays zero: in a linear program, `select(mask, t, 0)` moves below what multiplies it.

The cotangent that enters a branch of `where(mask, f(x), c)` is zero where the branch was not taken. Multiplied by a
partial of f that is infinite or NaN there, it would become NaN: `where(x > 0, sqrt(x), 0)` at 0. A linear program maps
zero to zero whatever its coefficients are, so the zero is chosen last: `select(mask, t, 0) · d` becomes
`select(mask, t · d, 0)`. What is followed beside each value is its guard: the conditions outside of which it is zero.
"""

from __future__ import annotations

import cmath
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from ..ir.graph import Atom, Eqn, Graph, Lit, Var
from ..ir.primitive import Primitive, Refused
from ..ops.arith import div_p
from ..ops.compare import select, select_p
from ..ops.contract import dot_general_p
from ..ops.convert import complex_p, conj_p, convert_p, imag_p, real_p
from ..ops.elementwise import bitwise_and, bitwise_not, bitwise_or
from ..ops.families import add_p, broadcast_p, mul_p, neg_p, permute_p, reduce_sum_p, reshape_p, sub_p
from ..ops.operands import BOOL, fill, zeros_like
from ..ops.reduce import reduce_or
from ..ops.shape import broadcast, concatenate, concatenate_p, pad, pad_p, permute, reshape, rev_p, slice_p
from ..trace.builder import bind1
from ..trace.stage import input_names, trace_graph
from .split import live_eqns

Axes = tuple[int, ...]
Guard = frozenset[tuple[int, bool]]  # (number of a mask, the side of it that counts): all of them hold
Box = tuple[tuple[int, int], ...]  # of each axis of an array, a stretch of it
NO_GUARD: Guard = frozenset()


class Held(NamedTuple):
    """A value that is zero outside its guard; unless `clean`, the zeros are yet to be chosen: `raw` may be anything."""

    raw: Any
    guard: Guard = NO_GUARD
    clean: bool = True


def hold_zeros(graph: Graph, linear: Sequence[bool], constant: Iterable[Atom] = (), through_sums: bool = True) -> Graph:
    """(x*) -> (y*) keeps its type, and its values but for 0 · inf and 0 · NaN where the 0 was chosen: they are 0.

    **Arguments:** `linear`: the inputs in which the equations that depend on them are linear. `constant`: variables
    that do not depend on those, even where an equation makes them together with others that do. `through_sums`: whether
    a sum of chosen zeros is one where that has to be computed, by reducing their mask.
    """
    depends = {v for v, on in zip(graph.inputs, linear, strict=True) if on}
    apart = {a for a in constant if type(a) is Var}
    found = False
    for eqn in graph.eqns:
        if not depends.isdisjoint(a for a in eqn.inputs if type(a) is Var):
            depends.update(v for v in eqn.outputs if v not in apart)
            found = found or (eqn.prim is select_p and any(map(_is_zero, eqn.inputs[1:])))
    if not found:
        return graph

    def run(builder, *xs):
        walk = _Walk(builder, depends, through_sums)
        walk.held.update((v, Held(x)) for v, x in zip(graph.inputs, xs, strict=True))
        for eqn in graph.eqns:
            builder.where = eqn.where
            rule = _RULES.get(eqn.prim)
            out = rule(walk, eqn) if rule and any(map(walk.moves, eqn.inputs)) else None
            if out is None:
                walk.held.update(zip(eqn.outputs, _as_it_stands(walk, eqn), strict=True))
            else:
                walk.held[eqn.outputs[0]] = out
        return list(map(walk.read, graph.outputs))

    held = trace_graph(run, graph.in_avals, input_names(graph))
    return Graph(held.inputs, live_eqns(held.eqns, held.outputs), held.outputs)


def _is_zero(a: Atom) -> bool:
    return type(a) is Lit and a.value == 0


class _Walk:
    """The program as it is written anew.

    **Attributes:** `held`: each variable's value; `masks`: the masks of guards by their number; `small`: for a mask
    that repeats a smaller one, that one and the axes it has; `boxes`: for a mask that holds
    only in pieces of the array, these.
    """

    def __init__(self, builder: Any, depends: set[Var], through_sums: bool):
        self.builder, self.depends, self.through_sums = builder, depends, through_sums
        self.held: dict[Var, Held] = {}
        self.masks: dict[int, Any] = {}
        self.small: dict[int, tuple[Any, Axes]] = {}
        self.boxes: dict[int, frozenset[Box]] = {}

    def moves(self, a: Atom) -> bool:
        """Whether `a` depends on the inputs in which the program is linear."""
        return type(a) is Var and a in self.depends

    def get(self, a: Atom) -> Held:
        return self.held[a] if type(a) is Var else Held(a)

    def read(self, a: Atom) -> Any:
        """The atom as an operand, its zeros chosen."""
        return self.chosen(self.get(a))

    def chosen(self, x: Held) -> Any:
        if x.clean or not x.guard:
            return x.raw
        mask, side = self.mask(x.guard)
        return select(mask, x.raw, zeros_like(x.raw)) if side else select(mask, zeros_like(x.raw), x.raw)

    def mask(self, guard: Guard) -> tuple[Any, bool]:
        """The guard as one mask, and the side of it that counts."""
        if len(guard) == 1:
            ((number, side),) = guard
            return self.masks[number], side
        out = None
        for literal in sorted(guard):
            one = self.positive(frozenset([literal]))
            out = one if out is None else bitwise_and(out, one)
        return out, True

    def positive(self, guard: Guard) -> Any:
        mask, side = self.mask(guard)
        return mask if side else bitwise_not(mask)

    def guard(self, mask: Any, side: bool = True) -> Guard:
        self.masks[mask.id] = mask
        return frozenset([(mask.id, side)])

    # -- moving masks about

    def base(self, mask: Any) -> tuple[Any, Axes]:
        """A mask of which `mask` is the repetition, and the axes of `mask` that it has."""
        return self.small.get(mask.id, (mask, tuple(range(mask.ndim))))

    def stretch(self, base: Any, shape: Axes, axes: Axes) -> Any:
        """`base` repeated to `shape`; that it repeats is remembered."""
        out = broadcast(base, shape, axes)
        self.remember(out, base, axes)
        return out

    def remember(self, out: Any, base: Any, axes: Axes) -> None:
        if any(n == 1 for n in base.shape):
            axes = tuple(a for a, n in zip(axes, base.shape, strict=True) if n != 1)
            base = reshape(base, tuple(n for n in base.shape if n != 1))
        if out.ndim != len(axes):
            self.small[out.id] = (base, axes)

    def moved(self, guard: Guard, shape: Axes, to: Callable[[int], int | None], move: Callable[[Any], Any]) -> Guard:
        """The guard of what is moved as its masks are.

        **Arguments:** `to`: which axis of the result, of that `shape`, is an axis of the operand (None: no one axis);
        `move`: what to do with a mask of which that is not enough to know.
        """
        out = NO_GUARD
        for number, side in guard:
            base, axes = self.base(self.masks[number])
            places = [place for place in map(to, axes) if place is not None]
            if len(places) < len(axes):
                mask = move(self.masks[number])
            else:
                order = sorted(range(len(places)), key=places.__getitem__)
                mask = self.stretch(permute(base, order), shape, tuple(sorted(places)))
            out |= self.guard(mask, side)
        return out

    def constant_along(self, guard: Guard, axes: Axes) -> tuple[Guard, Guard]:
        """The conditions that are the same along all of these axes, and the others."""
        same = frozenset((n, side) for n, side in guard if not set(self.base(self.masks[n])[1]) & set(axes))
        return same, guard - same

    # -- sums

    def joined(self, x: Held, y: Held, put: Callable[[Any, Any], Any], of_second: Callable[[Any], Any]) -> Held:
        """put(x, y), a sum of x and of_second(y): zero where both are."""
        differ = x.guard ^ y.guard
        clean = x.clean and y.clean
        if not differ:
            return Held(put(x.raw, y.raw), x.guard, clean)
        if len(differ) == 2 and len({number for number, _ in differ}) == 1 and len(x.guard) == len(y.guard):
            # Where the one is not zero the other is: their sum is a choice between them.
            ((number, x_side),) = x.guard - y.guard
            first, second = x.raw, of_second(y.raw)
            both = (first, second) if x_side else (second, first)
            return Held(select(self.masks[number], *both), x.guard & y.guard, False)
        if x.guard < y.guard:
            return Held(put(x.raw, self.chosen(y)), x.guard, x.clean)
        if y.guard < x.guard:
            return Held(put(self.chosen(x), y.raw), y.guard, y.clean)
        return Held(put(self.chosen(x), self.chosen(y)), self.either(x.guard, y.guard))

    def either(self, one: Guard, other: Guard) -> Guard:
        """Where the one or the other holds; neither implies the other.

        Pieces that overlap (the neighbours of a grid) are not followed further: to know where one of several pieces is
        not zero would cost more than to add them up.
        """
        ours, theirs = one - other, other - one
        first, second = (frozenset().union(*(self.boxes.get(n, ()) for n, _ in side)) for side in (ours, theirs))
        if any(a != b and not _apart(a, b) for a in first for b in second):
            return one & other
        mask = bitwise_or(self.positive(ours), self.positive(theirs))
        self.boxes[mask.id] = first | second
        return (one & other) | self.guard(mask)


def _apart(one: Box, other: Box) -> bool:
    """Whether they have no element in common."""
    return any(a[1] <= b[0] or b[1] <= a[0] for a, b in zip(one, other, strict=True))


def _as_it_stands(walk: _Walk, eqn: Eqn) -> list[Held]:
    """The equation with its operands' zeros chosen. Of zeros alone, whatever it is, it makes zeros."""
    outs = walk.builder.record(eqn.prim, tuple(map(walk.read, eqn.inputs)), eqn.params)
    if eqn.prim is broadcast_p and outs[0].dtype == BOOL and type(eqn.inputs[0]) is Var:
        base, axes = walk.base(walk.read(eqn.inputs[0]))
        walk.remember(outs[0], base, tuple(eqn.params["axes"][a] for a in axes))
    # What a rule declined is not zero where its operands are, and neither is what is not linear.
    if eqn.prim in _RULES or isinstance(eqn.prim.transpose, Refused):
        return list(map(Held, outs))
    whole = None
    for a in eqn.inputs:
        if walk.moves(a):
            bases = ((*walk.base(walk.masks[number]), side) for number, side in walk.get(a).guard)
            uniform = {(base.id, side): base for base, axes, side in bases if not axes}
            whole = uniform if whole is None else {k: v for k, v in whole.items() if k in uniform}
    held = []
    for v, out in zip(eqn.outputs, outs, strict=True):
        guard = NO_GUARD
        if whole and v in walk.depends:
            guard = guard.union(*(walk.guard(walk.stretch(base, out.shape, ()), s) for (_, s), base in whole.items()))
        held.append(Held(out, guard, not guard))
    return held


_RULES: dict[Primitive, Callable[[_Walk, Eqn], Held | None]] = {}


def _rule(*prims: Primitive):
    """Registers `(walk, equation with a moving operand) -> its held result`, or None where nothing special is known."""

    def register(fn):
        for prim in prims:
            _RULES[prim] = fn
        return fn

    return register


@_rule(select_p)
def _select(walk: _Walk, eqn: Eqn) -> Held | None:
    mask, x, y = eqn.inputs
    if type(mask) is Lit:
        return None
    if any(not walk.moves(a) and not _is_zero(a) for a in (x, y)):
        return None
    mask = walk.read(mask)
    first, second = walk.get(x), walk.get(y)
    on, off = first.guard | walk.guard(mask), second.guard | walk.guard(mask, False)
    if not walk.moves(y):
        return Held(first.raw, on, False)
    if not walk.moves(x):
        return Held(second.raw, off, False)
    if first.guard == second.guard:
        return Held(select(mask, first.raw, second.raw), first.guard, first.clean and second.clean)
    return Held(select(mask, walk.chosen(first), walk.chosen(second)), walk.either(on, off))


@_rule(neg_p, convert_p, conj_p, real_p, imag_p)
def _alone(walk: _Walk, eqn: Eqn) -> Held | None:
    raw, guard, clean = walk.get(eqn.inputs[0])
    return Held(bind1(eqn.prim, raw, **eqn.params), guard, clean)


@_rule(mul_p, div_p)
def _scaled(walk: _Walk, eqn: Eqn) -> Held | None:
    x, y = eqn.inputs
    if walk.moves(x) == walk.moves(y) or (eqn.prim is div_p and walk.moves(y)):
        return None
    moving, factor = (x, y) if walk.moves(x) else (y, x)
    held = walk.get(moving)
    finite = type(factor) is Lit and cmath.isfinite(factor.value) and factor.value != 0
    operands = (held.raw if a is moving else walk.read(a) for a in (x, y))
    return Held(bind1(eqn.prim, *operands), held.guard, held.clean and (finite or not held.guard))


@_rule(add_p, sub_p)
def _added(walk: _Walk, eqn: Eqn) -> Held | None:
    x, y = eqn.inputs
    if not (walk.moves(x) and walk.moves(y)):
        return None
    negative = eqn.prim is sub_p
    return walk.joined(
        walk.get(x),
        walk.get(y),
        put=lambda a, b: bind1(eqn.prim, a, b),
        of_second=lambda b: bind1(neg_p, b) if negative else b,
    )


@_rule(complex_p)
def _complex(walk: _Walk, eqn: Eqn) -> Held | None:
    parts = [walk.get(a) for a in eqn.inputs if not _is_zero(a)]
    if len({part.guard for part in parts}) > 1:
        return None
    raws = (a if _is_zero(a) else walk.get(a).raw for a in eqn.inputs)
    return Held(bind1(complex_p, *raws), parts[0].guard, all(part.clean for part in parts))


@_rule(reshape_p, permute_p, rev_p, slice_p)
def _moved(walk: _Walk, eqn: Eqn) -> Held | None:
    def move(z):
        return bind1(eqn.prim, z, **eqn.params)

    raw, guard, clean = walk.get(eqn.inputs[0])
    to = eqn.params["order"].index if eqn.prim is permute_p else lambda a: None
    return Held(move(raw), walk.moved(guard, eqn.outputs[0].shape, to, move), clean)


@_rule(broadcast_p)
def _broadcast(walk: _Walk, eqn: Eqn) -> Held | None:
    shape, axes = eqn.params["shape"], eqn.params["axes"]
    held = walk.get(eqn.inputs[0])
    guard = walk.moved(held.guard, shape, axes.__getitem__, lambda mask: mask)
    # The zeros are chosen while there are few; the guard is kept for what multiplies them next.
    return Held(broadcast(walk.chosen(held), shape, axes), guard)


@_rule(pad_p)
def _pad(walk: _Walk, eqn: Eqn) -> Held | None:
    x, value = eqn.inputs
    held = walk.get(x)
    if not held.guard or not _is_zero(value):
        return None
    mask = pad(walk.positive(held.guard), fill(False, value.aval.retyped(BOOL)), **eqn.params)
    low, high = eqn.params["low"], eqn.params["high"]
    walk.boxes[mask.id] = frozenset([tuple((a, n - b) for a, b, n in zip(low, high, mask.shape, strict=True))])
    return Held(bind1(pad_p, walk.chosen(held), value, **eqn.params), walk.guard(mask))


@_rule(concatenate_p)
def _concatenate(walk: _Walk, eqn: Eqn) -> Held | None:
    parts = [walk.get(a) for a in eqn.inputs]
    if not any(part.guard for part in parts):
        return None
    masks = []
    for atom, part in zip(eqn.inputs, parts, strict=True):
        aval = atom.aval.retyped(BOOL)
        masks.append(walk.positive(part.guard) if part.guard else fill(not _is_zero(atom), aval))
    whole = concatenate(masks, **eqn.params)
    return Held(bind1(concatenate_p, *map(walk.chosen, parts), **eqn.params), walk.guard(whole))


@_rule(reduce_sum_p)
def _reduce_sum(walk: _Walk, eqn: Eqn) -> Held | None:
    held, axes = walk.get(eqn.inputs[0]), eqn.params["axes"]
    kept = [a for a in range(eqn.inputs[0].ndim) if a not in axes]
    same, varying = walk.constant_along(held.guard, axes)
    guard = walk.moved(same, eqn.outputs[0].shape, kept.index, lambda mask: mask)
    if varying and walk.through_sums:
        guard |= walk.guard(reduce_or(walk.positive(varying), axes=axes))
    return Held(bind1(reduce_sum_p, walk.chosen(held), axes=axes), guard)


@_rule(dot_general_p)
def _dot_general(walk: _Walk, eqn: Eqn) -> Held | None:
    """A condition that does not change along the contracted axes: whole rows of zeros make rows of zeros."""
    side = 0 if walk.moves(eqn.inputs[0]) else 1
    if walk.moves(eqn.inputs[1 - side]):
        return None
    contract, batch = eqn.params["contract"], eqn.params["batch"]
    held, shape = walk.get(eqn.inputs[side]), eqn.outputs[0].shape
    same, _ = walk.constant_along(held.guard, contract[side])
    free = [a for a in range(eqn.inputs[side].ndim) if a not in contract[side] and a not in batch[side]]
    start = len(batch[0]) if side == 0 else len(shape) - len(free)
    to = {a: k for k, a in enumerate(batch[side])} | {a: start + k for k, a in enumerate(free)}
    guard = walk.moved(same, shape, to.get, lambda mask: mask)
    uniform = any(not walk.base(walk.masks[number])[1] for number, _ in guard)
    return Held(bind1(dot_general_p, *map(walk.read, eqn.inputs), **eqn.params), guard, not uniform)
