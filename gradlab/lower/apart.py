"""Writes into an array that is another one's data in another shape are kept apart from reads of that other one.

XLA's CPU compiler writes in place into `reshape(x)` while the update still reads x, and then reads what was written
(JAX 0.10 to 0.12: `jax.jit(lambda x: x.reshape(6).at[1:].set(x[0, 1] * 2))`). The write goes into a selection instead,
which is a new array.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..ir.graph import Atom, Eqn, Graph, Var
from ..ops.compare import select
from ..ops.dynamic import dynamic_update_slice_p
from ..ops.families import broadcast_p, permute_p, reshape_p
from ..ops.index import scatter_add_p, scatter_max_p, scatter_min_p, scatter_mul_p, scatter_set_p
from ..ops.operands import BOOL, fill, zeros_like
from ..trace.builder import bind1
from ..trace.stage import input_names, trace_graph

_SETS = (dynamic_update_slice_p, scatter_set_p)
_WRITES = (*_SETS, scatter_add_p, scatter_mul_p, scatter_min_p, scatter_max_p)
_VIEWS = (reshape_p, permute_p, broadcast_p)


def apart(graph: Graph) -> Graph:
    """(x*) -> (y*) keeps its type and values; no write is into a view of what its update is computed from."""
    if not any(eqn.prim in _WRITES for eqn in graph.eqns):
        return graph
    made = {v: eqn for eqn in graph.eqns for v in eqn.outputs}
    place = {v: k for k, eqn in enumerate(graph.eqns) for v in eqn.outputs}
    meets = {eqn.outputs[0] for eqn in graph.eqns if eqn.prim in _WRITES and _meets(eqn, made, place)}
    if not meets:
        return graph

    def run(builder, *xs):
        value = dict(zip(graph.inputs, xs, strict=True))
        for eqn in graph.eqns:
            builder.where = eqn.where
            operands = tuple([value[a] if type(a) is Var else a for a in eqn.inputs])
            if eqn.prim in _WRITES and eqn.outputs[0] in meets:
                outs: Sequence[Any] = (_written(eqn, operands),)
            else:
                outs = builder.record(eqn.prim, operands, eqn.params)
            value.update(zip(eqn.outputs, outs, strict=True))
        return [value[a] if type(a) is Var else a for a in graph.outputs]

    return trace_graph(run, graph.in_avals, input_names(graph))


def _meets(eqn: Eqn, made: dict[Var, Eqn], place: dict[Var, int]) -> bool:
    """Whether an equation writes into a view of an array that its other operands are computed from."""
    root = eqn.inputs[0]
    while type(root) is Var and root in made and _is_view(made[root]):
        root = made[root].inputs[0]
    if root is eqn.inputs[0] or type(root) is not Var:
        return False
    pending: list[Atom] = list(eqn.inputs[1:])
    seen: set[Atom] = set()
    first = place.get(root, -1)  # what was made before it does not depend on it
    while pending:
        a = pending.pop()
        if a is root:
            return True
        if type(a) is Var and place.get(a, -1) > first and a not in seen:
            seen.add(a)
            pending += made[a].inputs
    return False


def _is_view(eqn: Eqn) -> bool:
    return eqn.prim in _VIEWS and eqn.inputs[0].aval.size == eqn.outputs[0].aval.size


def _written(eqn: Eqn, operands: tuple[Any, ...]) -> Any:
    """What the equation gives, by way of an array of its own."""
    x, update, *at = operands
    marking = scatter_set_p if eqn.prim in _WRITES[1:] else dynamic_update_slice_p
    params = {**eqn.params, "unique": False} if marking is scatter_set_p else eqn.params
    touched = bind1(marking, fill(False, x.aval.retyped(BOOL)), fill(True, update.aval.retyped(BOOL)), *at, **params)
    if eqn.prim in _SETS:
        return bind1(eqn.prim, select(touched, zeros_like(x), x), update, *at, **eqn.params)
    written = bind1(eqn.prim, select(touched, x, zeros_like(x)), update, *at, **eqn.params)
    return select(touched, written, x)
