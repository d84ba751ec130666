"""Reverse mode's other half: a linear program run backwards, cotangents in, cotangents out."""

from __future__ import annotations

from collections.abc import Sequence

from ..ir.errors import MissingRuleError
from ..ir.graph import Graph, Lit, Var
from ..ops.families import add_p
from ..trace.stage import input_names, trace_graph
from .zeros import hold_zeros


def transpose_graph(
    graph: Graph, linear: Sequence[bool], ct_active: Sequence[bool] | None = None
) -> tuple[Graph, tuple[bool, ...]]:
    """(residuals*, dx*) -> (dy*) becomes (residuals*, ct_y*) -> (ct_x*).

    **Arguments:** `linear`: which inputs are dx*; the graph is linear in them. `ct_active`: which outputs have a
    cotangent (all, unless given); only those stand in ct_y*.
    **Returns:** the graph, and which of dx* have a cotangent; only those stand in ct_x*.
    **Raises:** `MissingRuleError` with the user's line if the program is not linear in dx*.
    """
    residuals = [v for v, is_linear in zip(graph.inputs, linear, strict=True) if not is_linear]
    moving = [v for v, is_linear in zip(graph.inputs, linear, strict=True) if is_linear]
    ct_active = [True] * len(graph.outputs) if ct_active is None else ct_active
    seeds = [a for a, on in zip(graph.outputs, ct_active, strict=True) if on]
    depends = set(moving)
    backward = []
    for eqn in graph.eqns:
        if not depends.isdisjoint(a for a in eqn.inputs if type(a) is Var):
            depends.update(eqn.outputs)
            backward.append(eqn)
    alive: list[bool] = []

    def run(builder, *args):
        value = dict(zip(residuals, args, strict=False))
        cotangent = {}
        named = set()

        def accumulate(atom, ct):
            if ct is not None and type(atom) is Var and atom in depends:
                so_far = cotangent.get(atom)
                cotangent[atom] = ct if so_far is None else builder.record(add_p, (so_far, ct), {})[0]

        for eqn in graph.eqns:
            if depends.isdisjoint(eqn.outputs):
                builder.where = eqn.where
                outs = builder.record(
                    eqn.prim, tuple([value[a] if type(a) is Var else a for a in eqn.inputs]), eqn.params
                )
                value.update(zip(eqn.outputs, outs, strict=True))
        for atom, ct in zip(seeds, args[len(residuals) :], strict=True):
            accumulate(atom, ct)
        for eqn in reversed(backward):
            cts = [cotangent.pop(v, None) for v in eqn.outputs]
            if all(ct is None for ct in cts):
                continue
            builder.where = None
            if eqn.where is not None:
                if eqn.where not in named:  # of one expression's equations, the last made the user's variable
                    named.add(eqn.where)
                    cotangent_here = eqn.where.cotangent
                    builder.entitle(cts, lambda _, here=cotangent_here: here)
                builder.where = eqn.where.derived
            active = tuple([type(a) is Var and a in depends for a in eqn.inputs])
            xs = [a if type(a) is Lit or on else value[a] for a, on in zip(eqn.inputs, active, strict=True)]
            try:
                found = eqn.prim.transpose(cts, active, *xs, **eqn.params)
            except MissingRuleError as error:
                raise error.at(eqn.where) from None
            for atom, ct in zip(eqn.inputs, found, strict=True):
                accumulate(atom, ct)
        outs = [cotangent.get(v) for v in moving]
        for v, ct in zip(moving, outs, strict=True):
            if v.name:
                builder.entitle([ct], lambda where, name=v.name: where.cotangent_of(name))
        alive[:] = [ct is not None for ct in outs]
        return [ct for ct in outs if ct is not None]

    names = [name for name, is_linear in zip(input_names(graph), linear, strict=True) if not is_linear]
    avals = [*(v.aval for v in residuals), *(a.aval for a in seeds)]
    backwards = trace_graph(run, avals, names)
    return hold_zeros(backwards, [k >= len(residuals) for k in range(len(avals))]), tuple(alive)
