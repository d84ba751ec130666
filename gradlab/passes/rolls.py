"""Neighbours on a ring: two pieces of an array put together the other way round are a roll; rolls are read as slices.

XLA fuses a concatenation into what reads it, element by element with a branch, which costs five to ten times the
stencil itself. So before a program is written, all that is rolled along an axis is copied once with its ends repeated
on both sides, and each roll is a slice of that.
"""

from __future__ import annotations

from typing import Any

from ..ir.graph import Eqn, Graph, Var, is_key
from ..ops.dynamic import dynamic_update_slice
from ..ops.roll import roll_p
from ..ops.shape import concatenate_p, pad, slice_in_dim, slice_p
from ..trace.stage import input_names, trace_graph
from .simplify import Made, made_by, rule, with_inputs

FAR = 4  # a roll by more than the FAR-th part of the axis is no neighbourhood: copying that much again does not pay


@rule(concatenate_p)
def _concatenate(eqn: Eqn, made: Made):
    """x[k:] and then x[:k] is x rolled."""
    axis = eqn.params["axis"]
    if len(eqn.inputs) != 2:
        return None
    first, second = (made_by(a, slice_p, made) for a in eqn.inputs)
    if first is None or second is None or first.inputs[0] is not second.inputs[0]:
        return None
    (x,) = first.inputs
    n = x.shape[axis]
    at = first.params["start"][axis]
    for part, start, limit in ((first, at, n), (second, 0, at)):
        bounds = zip(part.params["start"], part.params["limit"], part.params["strides"], x.shape, strict=True)
        wanted = [(start, limit, 1) if k == axis else (0, size, 1) for k, size in enumerate(x.shape)]
        if [bound[:3] for bound in bounds] != wanted:
            return None
    return with_inputs(eqn, roll_p, x, shift=n - at, axis=axis) if 0 < at < n else None


@rule(roll_p)
def _roll(eqn: Eqn, made: Made):
    """A roll of a roll along the same axis is one."""
    inner = made_by(eqn.inputs[0], roll_p, made)
    axis = eqn.params["axis"]
    if inner is None or inner.params["axis"] != axis:
        return None
    (x,) = inner.inputs
    shift = (inner.params["shift"] + eqn.params["shift"]) % x.shape[axis]
    return with_inputs(eqn, roll_p, x, shift=shift, axis=axis) if shift else (x,)


def rolls_as_slices(graph: Graph) -> Graph:
    """(x*) -> (y*) keeps its type; short rolls are slices of an array whose ends are repeated beside it."""
    reach: dict[tuple[Any, int], tuple[int, int]] = {}
    for eqn in graph.eqns:
        step = _step(eqn)
        if step:
            key = (eqn.inputs[0], eqn.params["axis"])
            before, after = reach.get(key, (0, 0))
            reach[key] = (max(before, step), max(after, -step))
    if not reach:
        return graph

    def run(builder, *xs):
        value: dict[Any, Any] = dict(zip(graph.inputs, xs, strict=True))
        wide: dict[tuple[Any, int], Any] = {}
        for eqn in graph.eqns:
            builder.where = eqn.where
            step = _step(eqn)
            if not step:
                operands = tuple([value[a] if type(a) is Var else a for a in eqn.inputs])
                value.update(zip(eqn.outputs, builder.record(eqn.prim, operands, eqn.params), strict=True))
                continue
            key, (x,) = (eqn.inputs[0], eqn.params["axis"]), map(value.__getitem__, eqn.inputs)
            if key not in wide:
                wide[key] = _widened(x, key[1], *reach[key])
            start = reach[key][0] - step
            value[eqn.outputs[0]] = slice_in_dim(wide[key], start, start + x.shape[key[1]], axis=key[1])
        return [value[a] if type(a) is Var else a for a in graph.outputs]

    return trace_graph(run, graph.in_avals, input_names(graph))


def _step(eqn: Eqn) -> int:
    """How far an equation rolls, forwards or backwards; 0 where it is no roll, or too far a one."""
    if eqn.prim is not roll_p or type(eqn.inputs[0]) is not Var or is_key(eqn.inputs[0].dtype):
        return 0
    n, shift = eqn.inputs[0].shape[eqn.params["axis"]], eqn.params["shift"]
    step = shift if 2 * shift <= n else shift - n
    return step if FAR * abs(step) <= n else 0


def _widened(x: Any, axis: int, before: int, after: int) -> Any:
    """`x` with its last elements put before it and its first ones after it, written into place."""
    n = x.shape[axis]
    low, high = ([k if a == axis else 0 for a in range(x.ndim)] for k in (before, after))
    wide = pad(x, False if x.dtype.kind == "b" else 0, low, high)
    for start, end, at in ((n - before, n, 0), (0, after, n + before)):
        if start < end:
            part = slice_in_dim(x, start, end, axis=axis)
            wide = dynamic_update_slice(wide, part, *(at if a == axis else 0 for a in range(x.ndim)))
    return wide
