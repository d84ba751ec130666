"""The last rewriting before text: calls that carry programs are expanded, the result is tidied, writes kept apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from ..ir.graph import Atom, Eqn, Graph, Var
from ..ir.primitive import Primitive
from ..ops.families import broadcast_p
from ..passes.pieces import pieces_in_place
from ..passes.pipeline import tidy
from ..passes.rolls import rolls_as_slices
from ..trace.stage import input_names, trace_graph
from .apart import apart

ARRANGE: dict[Primitive, Callable[..., tuple | None]] = {}


class Stretch(NamedTuple):
    """What an operand was stretched from, along which of its axes (see `broadcast`)."""

    x: Any
    axes: tuple[int, ...]


def arranges(prim: Primitive) -> Callable[[Callable], Callable]:
    """Registers `(operands, stretches, **params) -> outs`: the same in other equations, as it runs best on a CPU.

    For each operand it is told the `Stretch` that made it, or None. It answers None where all is well.
    """

    def register(fn: Callable[..., tuple | None]) -> Callable[..., tuple | None]:
        ARRANGE[prim] = fn
        return fn

    return register


def finish(graph: Graph, keep_rules: bool = False, inside: bool = False) -> Graph:
    """(x*) -> (y*) keeps its type; every equation has an `emit`, or (if `keep_rules`) a `native` meaning.

    **Arguments:** `inside`: whether it is the body of a loop or branch.
    """
    on_cpu = jax.default_backend() == "cpu"
    arranged = _arranged(graph) if on_cpu else graph
    expanded = expand(arranged, keep_rules)
    done = rolls_as_slices(apart(graph if expanded is graph else tidy(expanded)))
    # What XLA fuses badly on a CPU is one kernel on a GPU, where several writes would be several.
    return pieces_in_place(done) if inside and on_cpu else done


def _arranged(graph: Graph) -> Graph:
    """The graph with such equations in place of those that have them."""
    if not any(eqn.prim in ARRANGE for eqn in graph.eqns):
        return graph

    made = {v: eqn for eqn in graph.eqns for v in eqn.outputs}

    def run(builder, *xs):
        value = dict(zip(graph.inputs, xs, strict=True))

        def stretch(a: Atom) -> Stretch | None:
            by = made.get(a) if type(a) is Var else None
            if by is None or by.prim is not broadcast_p or type(x := by.inputs[0]) is not Var:
                return None
            return Stretch(value[x], by.params["axes"]) if x.aval.size < a.aval.size else None

        for eqn in graph.eqns:
            builder.where = eqn.where
            operands = tuple([value[a] if type(a) is Var else a for a in eqn.inputs])
            outs = None
            if eqn.prim in ARRANGE:
                outs = ARRANGE[eqn.prim](operands, tuple(map(stretch, eqn.inputs)), **eqn.params)
            if outs is None:
                outs = builder.record(eqn.prim, operands, eqn.params)
            value.update(zip(eqn.outputs, outs, strict=True))
        return [value[a] if type(a) is Var else a for a in graph.outputs]

    return trace_graph(run, graph.in_avals, input_names(graph))


def has_rules(graph: Graph) -> bool:
    """Whether an equation of the graph, or of one it carries, has a derivative of its own."""
    return any(eqn.prim.native or any(has_rules(inner) for _, inner in eqn.graphs) for eqn in graph.eqns)


def expand(graph: Graph, keep_rules: bool = False) -> Graph:
    """(x*) -> (y*) keeps its type; each primitive with an `expand` is replaced by what it means, in loops too.

    **Arguments:** `keep_rules`: leave those that have a derivative of their own.
    """

    def goes(eqn: Eqn) -> bool:
        return eqn.prim.expand is not None and not (keep_rules and eqn.prim.native)

    graph = _with_bodies(graph, lambda inner: finish(inner, keep_rules, inside=True))
    if not any(map(goes, graph.eqns)):
        return graph

    def run(builder, *xs):
        value = dict(zip(graph.inputs, xs, strict=True))
        for eqn in graph.eqns:
            builder.where = eqn.where
            operands = tuple([value[a] if type(a) is Var else a for a in eqn.inputs])
            if eqn.prim.expand and goes(eqn):
                outs = eqn.prim.expand(operands, **eqn.params)
            else:
                outs = builder.record(eqn.prim, operands, eqn.params)
            value.update(zip(eqn.outputs, outs, strict=True))
        return [value[a] if type(a) is Var else a for a in graph.outputs]

    return expand(trace_graph(run, graph.in_avals, input_names(graph)), keep_rules)


def _with_bodies(graph: Graph, rewrite: Callable[[Graph], Graph]) -> Graph:
    """The graph with the programs that will be written as functions beside it rewritten."""
    eqns = list(graph.eqns)
    for k, eqn in enumerate(eqns):
        if eqn.prim.bodies is not None:
            params = {
                name: _rewritten(value, rewrite) if name in eqn.prim.graphs else value
                for name, value in eqn.params.items()
            }
            if any(params[name] is not eqn.params[name] for name in eqn.prim.graphs):
                eqns[k] = Eqn(eqn.prim, eqn.inputs, eqn.outputs, params, eqn.where)
    same = all(a is b for a, b in zip(eqns, graph.eqns, strict=True))
    return graph if same else Graph(graph.inputs, eqns, graph.outputs)


def _rewritten(value: Any, rewrite: Callable[[Graph], Graph]) -> Any:
    if type(value) is Graph:
        return rewrite(value)
    new = tuple([_rewritten(v, rewrite) for v in value])
    return value if all(a is b for a, b in zip(new, value, strict=True)) else new
