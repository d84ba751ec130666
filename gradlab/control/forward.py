"""A loop whose tangents come from one or a few numbers is differentiated forwards even where reverse mode is asked.

The loop is linear in its tangents. Run once for each number with that tangent 1, it gives the columns of its Jacobian;
what is left for later is their sum, weighted by the tangents, and the transpose of that is a product. Nothing is kept
of any turn and none is run again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..ir.graph import Atom, Eqn, Graph, Lit, Var
from ..ops.contract import dot_general, eye
from ..ops.convert import convert
from ..ops.families import broadcast_p, mul_p, reshape_p, with_axis
from ..ops.shape import concatenate, reshape, slice_in_dim
from ..ops.weaken import weaken, weaken_p
from ..trace.stage import trace_graph
from .bodies import selected, spread


def forward_split(
    eqn: Eqn, unknown: Sequence[bool], out_unknown: Sequence[bool], most: int
) -> tuple[list[Eqn], list[Eqn]] | None:
    """The two halves of a loop that is linear in its unknown operands, by forward mode.

    **Arguments:** `out_unknown`: which results depend on those operands. `most`: how many numbers they may be.
    **Returns:** None where there are more, or where they are not all real and of one dtype.
    """
    moving = selected(eqn.inputs, unknown)
    avals = [a.aval for a in (*moving, *selected(eqn.outputs, out_unknown))]
    numbers = sum(a.aval.size for a in moving)
    if not 0 < numbers <= most or len({a.dtype for a in avals}) > 1 or avals[0].dtype.kind != "f":
        return None
    if any(type(a) is not Var for a in moving) or not any(out_unknown):
        return None
    return _one(eqn, unknown, out_unknown) if numbers == 1 else _several(eqn, unknown, out_unknown, numbers)


def _one(eqn: Eqn, unknown: Sequence[bool], out_unknown: Sequence[bool]) -> tuple[list[Eqn], list[Eqn]]:
    (t,) = (a for a, u in zip(eqn.inputs, unknown, strict=True) if u and a.aval.size)
    inputs = tuple([Lit(1.0, a.aval) if u else a for a, u in zip(eqn.inputs, unknown, strict=True)])
    columns = [Var(v.aval, v.name) if u else v for v, u in zip(eqn.outputs, out_unknown, strict=True)]
    late: list[Eqn] = []
    if t.shape:
        number = Var(t.aval.reshaped(()))
        late.append(Eqn(reshape_p, (t,), (number,), {"shape": ()}, eqn.where))
        t = number
    for out, column in zip(selected(eqn.outputs, out_unknown), selected(columns, out_unknown), strict=True):
        factor: Atom = t
        if out.shape:
            factor = Var(t.aval.reshaped(out.shape))
            late.append(Eqn(broadcast_p, (t,), (factor,), {"shape": out.shape, "axes": ()}, eqn.where))
        (aval,) = mul_p.infer(factor.aval, column.aval)
        late += _typed(Eqn(mul_p, (factor, column), (Var(aval),), {}, eqn.where), out)
    return [Eqn(eqn.prim, inputs, tuple(columns), eqn.params, eqn.where)], late


def _several(
    eqn: Eqn, unknown: Sequence[bool], out_unknown: Sequence[bool], numbers: int
) -> tuple[list[Eqn], list[Eqn]]:
    here = eqn.where and eqn.where.derived

    def columns(builder, *known):
        builder.where = here
        rows, at = [], 0
        basis = eye(numbers, selected(eqn.inputs, unknown)[0].dtype)
        for a in selected(eqn.inputs, unknown):
            part = slice_in_dim(basis, at, at + a.aval.size, axis=1)
            rows.append(reshape(part, (numbers, *a.shape)))
            at += a.aval.size
        got, moved = iter(known), iter(rows)
        xs = [next(moved) if u else next(got) for u in unknown]
        outs, dims = eqn.prim.batch(xs, [0 if u else None for u in unknown], **eqn.params)
        return [
            with_axis(out, d, 0, numbers) if u else _weak_as(out, v)
            for out, d, u, v in zip(outs, dims, out_unknown, eqn.outputs, strict=True)
        ]

    def combined(builder, *args):
        ts, found = args[: sum(unknown)], args[sum(unknown) :]
        t = concatenate([reshape(t, (t.aval.size,)) for t in ts], axis=0)
        wanted = selected(eqn.outputs, out_unknown)
        return [_weak_as(dot_general(t, d, contract=((0,), (0,))), v) for d, v in zip(found, wanted, strict=True)]

    known, moving = selected(eqn.inputs, [not u for u in unknown]), selected(eqn.inputs, unknown)
    early = trace_graph(columns, [a.aval for a in known])
    made = selected(early.outputs, out_unknown)
    late = trace_graph(combined, [*(a.aval for a in moving), *(a.aval for a in made)])
    held = spread([Var(a.aval) for a in made], out_unknown)
    first = _written(early, known, [h or v for h, v in zip(held, eqn.outputs, strict=True)])
    return first, _written(late, [*moving, *(h for h in held if h)], selected(eqn.outputs, out_unknown))


def _written(graph: Graph, inputs: Sequence[Atom], outputs: Sequence[Var]) -> list[Eqn]:
    """The equations of the graph between these atoms and these variables."""
    instead: dict[Var, Any] = dict(zip(graph.inputs, inputs, strict=True))
    eqns = []
    for e in graph.eqns:
        outs = tuple([Var(v.aval, v.name) for v in e.outputs])
        eqns.append(
            Eqn(e.prim, tuple([instead.get(a, a) if type(a) is Var else a for a in e.inputs]), outs, e.params, e.where)
        )
        instead.update(zip(e.outputs, outs, strict=True))
    for a, v in zip(graph.outputs, outputs, strict=True):
        x = instead.get(a, a) if type(a) is Var else a
        eqns.append(Eqn(reshape_p, (x,), (v,), {"shape": v.shape}))
    return eqns


def _typed(eqn: Eqn, out: Var) -> list[Eqn]:
    """The equation with `out` as its result, which may be weakly typed where that of the equation is not."""
    (got,) = eqn.outputs
    if got.aval == out.aval:
        return [eqn._replace(outputs=(out,))]
    return [eqn, Eqn(weaken_p, (got,), (out,), {"dtype": out.dtype}, eqn.where)]


def _weak_as(x: Any, v: Var) -> Any:
    return x if x.aval.weak == v.aval.weak else weaken(x, dtype=v.dtype) if v.aval.weak else convert(x, dtype=v.dtype)
