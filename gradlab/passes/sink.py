"""One element of a line: `pick` is moved below what makes the line, so that only the picked elements are computed.

The tangent of a minimum over k candidates is the tangent of the one that won. Written naively it is a pick out of all k
tangents; moved down through sums, products, stretches and matrix products, it reads k times less, and its transpose
scatters k times less: the derivative of a nearest-neighbour distance costs a gather, not a dense mask times a matrix.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..ir.graph import Atom, Eqn, Graph, Lit, Var
from ..ops.contract import dot_general_p
from ..ops.families import broadcast_p, mul_p, permute_p, reduce_sum_p, reshape_p
from ..ops.index import gather
from ..ops.reduce import pick, pick_p
from ..trace.builder import bind1
from ..trace.stage import input_names, trace_graph

SHORTEST_LINE = 8  # below this a dense, fused selection beats a gather of every operand
DEEPEST = 50  # equations a pick is moved through, at most


class Choice(NamedTuple):
    """Which element of each line along `axis`: `index` varies along the axes `along` of what is left of the array."""

    index: Any
    axis: int
    along: tuple[int, ...]


def sink(graph: Graph) -> Graph:
    """(x*) -> (y*) keeps its type; picks are as near to the inputs as they get.

    A matrix product that is picked from becomes a product and a sum, whose terms XLA may add in another order.
    """
    if not any(eqn.prim is pick_p for eqn in graph.eqns):
        return graph
    made = {v: eqn for eqn in graph.eqns for v in eqn.outputs}
    readers: dict[Var, int] = {}
    for a in (*(a for eqn in graph.eqns for a in eqn.inputs), *graph.outputs):
        if type(a) is Var:
            readers[a] = readers.get(a, 0) + 1

    read_whole = {a for eqn in graph.eqns if eqn.prim is not pick_p for a in eqn.inputs if type(a) is Var}
    read_whole.update(a for a in graph.outputs if type(a) is Var)

    def run(builder, *xs):
        sinking = _Sinking(dict(zip(graph.inputs, xs, strict=True)), made, readers)
        read = sinking.read
        for eqn in graph.eqns:
            builder.where = eqn.where
            operands = tuple([read(a) for a in eqn.inputs])
            # A line that others read too is there in any case: one element of it is cheapest read from it.
            if eqn.prim is pick_p and eqn.inputs[0] not in read_whole:
                index = operands[1]
                outs = (sinking.picked(eqn.inputs[0], Choice(index, eqn.params["axis"], tuple(range(index.ndim)))),)
            else:
                outs = builder.record(eqn.prim, operands, eqn.params)
            sinking.value.update(zip(eqn.outputs, outs, strict=True))
        return [read(a) for a in graph.outputs]

    return trace_graph(run, graph.in_avals, input_names(graph))


class _Sinking:
    """`value`: each variable's tracer; `made`: the equation that defines it; `readers`: how many read it."""

    def __init__(self, value: dict[Var, Any], made: dict[Var, Eqn], readers: dict[Var, int]):
        self.value, self.made, self.readers = value, made, readers
        self.depth = 0
        self.known: dict[tuple, tuple[Any, Any]] = {}

    def read(self, atom: Atom) -> Any:
        """The atom as an operand."""
        return self.value[atom] if type(atom) is Var else atom

    def picked(self, atom: Atom, choice: Choice) -> Any:
        """The chosen elements of `atom`: its shape without the axis."""
        if type(atom) is Lit:
            return Lit(atom.value, atom.aval.reshaped(_without(atom.shape, choice.axis)))
        key = (atom, id(choice.index), choice.axis, choice.along)
        known = self.known.get(key)
        if known is None:
            self.depth += 1
            # The index is kept beside the result, so that its id stays its own.
            known = self.known[key] = (self._picked(atom, choice), choice.index)
            self.depth -= 1
        return known[0]

    def _picked(self, atom: Var, choice: Choice) -> Any:
        eqn = self.made.get(atom)
        worth_it = atom.shape[choice.axis] >= SHORTEST_LINE and self.depth <= DEEPEST
        if eqn is not None and len(eqn.outputs) == 1 and worth_it:
            if eqn.prim.scalars and all(a.shape == atom.shape for a in eqn.inputs):
                return bind1(eqn.prim, *(self.picked(a, choice) for a in eqn.inputs), **eqn.params)
            rule = _RULES.get(eqn.prim)
            # What others read too is computed in any case; repeating a stretch costs nothing, repeating a sum does.
            if rule is not None and (eqn.prim in _FREE or self.readers[atom] == 1):
                found = rule(self, eqn, choice)
                if found is not None:
                    return found
        x = self.value[atom]
        return pick(x, _spread(choice.index, _without(x.shape, choice.axis), choice.along), axis=choice.axis)


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return (*shape[:axis], *shape[axis + 1 :])


def _spread(x: Any, shape: tuple[int, ...], axes: tuple[int, ...]) -> Any:
    return x if x.shape == shape else bind1(broadcast_p, x, shape=shape, axes=axes)


def _broadcast(self: _Sinking, eqn: Eqn, choice: Choice) -> Any:
    (x,) = eqn.inputs
    shape, axes = eqn.params["shape"], eqn.params["axes"]
    left = _without(shape, choice.axis)
    place = {a: a - (a > choice.axis) for a in axes if a != choice.axis}  # axes of the result -> of what is left
    own = axes.index(choice.axis) if choice.axis in axes else None
    if own is None or x.shape[own] == 1:
        value = self.read(x)
        if own is not None:
            value = bind1(reshape_p, value, shape=_without(x.shape, own))
        return _spread(value, left, tuple(place[a] for a in axes if a != choice.axis))
    rest = [(k, place[a]) for k, a in enumerate(axes) if k != own]  # axis of x -> axis of what is left
    real = {to: k - (k > own) for k, to in rest if x.shape[k] == left[to]}
    if all(a in real for a in choice.along):
        inner = self.picked(x, Choice(choice.index, own, tuple(real[a] for a in choice.along)))
        return _spread(inner, left, tuple(to for _, to in rest))
    if any(a in real for a in choice.along):
        return None
    # The index varies only where x is repeated: whole rows of x are chosen, without the axes it is repeated along.
    rows, rest = self.read(x), [(k, to) for k, to in rest if to in real]
    if len(rest) + 1 != x.ndim:
        rows = bind1(
            reshape_p,
            rows,
            shape=tuple(n for k, n in enumerate(x.shape) if k == own or (k, place.get(axes[k])) in rest),
        )
    before = sum(k < own for k, _ in rest)
    rows = gather(rows, choice.index, axes=(before,), mode="promise_in_bounds")
    taken = [to for _, to in rest]
    targets = (*taken[:before], *choice.along, *taken[before:])
    order = tuple(sorted(range(len(targets)), key=targets.__getitem__))
    if order != tuple(range(len(order))):
        rows = bind1(permute_p, rows, order=order)
    return _spread(rows, left, tuple(sorted(targets)))


def _permute(self: _Sinking, eqn: Eqn, choice: Choice) -> Any:
    (x,), order = eqn.inputs, eqn.params["order"]
    axis = order[choice.axis]
    left = [a for a in order if a != axis]  # axes of x in the order in which the result has them
    down = [a - (a > axis) for a in left]
    along = [down[a] for a in choice.along]
    turn = tuple(sorted(range(len(along)), key=along.__getitem__))
    index = choice.index if turn == tuple(range(len(turn))) else bind1(permute_p, choice.index, order=turn)
    inner = self.picked(x, Choice(index, axis, tuple(sorted(along))))
    return inner if down == sorted(down) else bind1(permute_p, inner, order=tuple(down))


def _reshape(self: _Sinking, eqn: Eqn, choice: Choice) -> Any:
    """Only where axes of length 1 come and go."""
    (x,), shape = eqn.inputs, eqn.params["shape"]
    long_x = [a for a, n in enumerate(x.shape) if n != 1]
    long_y = [a for a, n in enumerate(shape) if n != 1]
    if [x.shape[a] for a in long_x] != [shape[a] for a in long_y] or choice.axis not in long_y:
        return None
    axis = long_x[long_y.index(choice.axis)]
    left = _without(shape, choice.axis)
    kept = [a for a in choice.along if left[a] != 1]
    index = choice.index
    if len(kept) != len(choice.along):
        index = bind1(reshape_p, index, shape=tuple(left[a] for a in kept))
    back = {a - (a > choice.axis): b - (b > axis) for a, b in zip(long_y, long_x, strict=True) if a != choice.axis}
    inner = self.picked(x, Choice(index, axis, tuple(back[a] for a in kept)))
    return bind1(reshape_p, inner, shape=left)


def _reduce_sum(self: _Sinking, eqn: Eqn, choice: Choice) -> Any:
    (x,), axes = eqn.inputs, eqn.params["axes"]
    kept = [a for a in range(x.ndim) if a not in axes]
    axis = kept[choice.axis]
    left = [a - (a > axis) for a in kept if a != axis]
    inner = self.picked(x, Choice(choice.index, axis, tuple(left[a] for a in choice.along)))
    return bind1(reduce_sum_p, inner, axes=tuple(a - (a > axis) for a in axes))


def _dot_general(self: _Sinking, eqn: Eqn, choice: Choice) -> Any:
    """Σ_d x[i, d] y[k, d], picked along k: rows of y are gathered and multiplied with x."""
    contract, batch, out_dtype = eqn.params["contract"], eqn.params["batch"], eqn.params["out_dtype"]
    if batch != ((), ()) or out_dtype is not None:
        return None
    free = [[a for a in range(z.ndim) if a not in c] for z, c in zip(eqn.inputs, contract, strict=True)]
    side = 0 if choice.axis < len(free[0]) else 1  # the operand that is chosen from
    if len(free[side]) != 1 or len(choice.along) != len(free[1 - side]):
        return None
    chosen, other = eqn.inputs[side], eqn.inputs[1 - side]
    if type(chosen) is Lit:
        return None
    order = (free[side][0], *contract[side])
    rows = self.value[chosen]
    if order != tuple(range(len(order))):
        rows = bind1(permute_p, rows, order=order)
    rows = gather(rows, choice.index, axes=(0,), mode="promise_in_bounds")
    value = self.read(other)
    order = (*free[1 - side], *contract[1 - side])
    if order != tuple(range(len(order))):
        value = bind1(permute_p, value, order=order)
    product = bind1(mul_p, value, rows)
    return bind1(reduce_sum_p, product, axes=tuple(range(len(free[1 - side]), product.ndim)))


_FREE = {broadcast_p, permute_p, reshape_p}
_RULES = {
    broadcast_p: _broadcast,
    permute_p: _permute,
    reshape_p: _reshape,
    reduce_sum_p: _reduce_sum,
    dot_general_p: _dot_general,
}
