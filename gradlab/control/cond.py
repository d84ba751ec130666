"""`cond`: one of several programs, chosen at run time by a boolean or a number. Only the chosen one runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..ir.errors import DTypeError, ShapeError
from ..ir.graph import Aval, Eqn, Graph, Var
from ..ir.primitive import Body, Primitive
from ..ir.work import Work, total_work
from ..lower.emit import packed
from ..ops.compare import le, select
from ..ops.families import batch_size
from ..ops.operands import BOOL, fill, zeros_like
from ..ops.shape import broadcast
from ..passes.pipeline import tidy
from ..trace.builder import bind
from ..trace.stage import current, inline
from ..transforms.batch import batch_graph
from ..transforms.jvp import jvp_graph
from ..transforms.split import divided, live_eqns
from ..transforms.transpose import transpose_graph
from .bodies import differs, present, selected, spread
from .residuals import cheapest

Branches = tuple[Graph, ...]


def cond_call(which: Any, branches: Sequence[Graph], xs: Sequence[Any]) -> tuple:
    """The results of `branches[which]` on `xs`, as one equation. `which`: a boolean, or an int32 that is clamped."""
    return bind(cond_p, which, *xs, branches=tuple(branches))


def _infer(which: Aval, *xs: Aval, branches: Branches) -> tuple[Aval, ...]:
    if which.shape or (which.dtype != BOOL and which.dtype.kind not in "iu"):
        raise ShapeError(f"cond chooses by one boolean or integer, got {which}. Reduce it with .any() or .all().")
    if which.dtype == BOOL and len(branches) != 2:
        raise DTypeError(f"a boolean chooses between two branches, got {len(branches)}. Use switch with an integer.")
    first, *others = branches
    for graph in branches:
        for aval, x in zip(graph.in_avals, xs, strict=True):
            if differs(aval, x):
                raise ShapeError(f"cond needs operands of its branches' types: {aval} was needed, got {x}.")
        for a, b in zip(first.out_avals, graph.out_avals, strict=True):
            if differs(a, b):
                raise ShapeError(f"cond needs branches with results of the same types, got {a} and {b}.")
    weak = [all(g.outputs[k].aval.weak for g in others) for k in range(len(first.outputs))]
    return tuple([a._replace(weak=a.weak and w) for a, w in zip(first.out_avals, weak, strict=True)])


def _jvp(xs, tangents, *, branches):
    which, *xs = xs
    on = [t is not None for t in tangents[1:]]
    pairs = [jvp_graph(graph, on) for graph in branches]
    alive = [any(column) for column in zip(*(alive for _, alive in pairs), strict=True)]
    n = len(branches[0].outputs)
    graphs = []
    for both, own in pairs:
        moving = spread(both.outputs[n:], own)
        dys = [zeros_like(y) if t is None else t for t, y in zip(moving, both.outputs[:n], strict=True)]
        graphs.append(tidy(Graph(both.inputs, both.eqns, [*both.outputs[:n], *selected(dys, alive)])))
    outs = cond_call(which, graphs, [*xs, *present(tangents[1:])])
    return outs[:n], tuple(spread(outs[n:], alive))


def _split(eqn: Eqn, unknown: list[bool]) -> tuple[list[Eqn], list[Eqn]]:
    """Each branch in two. What a branch hands over lies in slots that the branches share, by type."""
    branches = eqn.params["branches"]
    if unknown[0]:
        return [], [eqn]
    which, *xs = eqn.inputs
    unknown = unknown[1:]
    parts = [divided(graph, unknown) for graph in branches]
    late_out = [
        any(graph.outputs[k] in waiting for graph, (_, _, waiting) in zip(branches, parts, strict=True))
        for k in range(len(eqn.outputs))
    ]
    slots: list[Aval] = []
    given: dict[int, None] = {}  # the operands the second half reads
    halves = []
    for graph, (early, late, waiting) in zip(branches, parts, strict=True):
        outs = selected(graph.outputs, late_out)
        late = live_eqns(late, outs)
        reads = [a for a in (*(a for e in late for a in e.inputs), *outs) if type(a) is Var and a not in waiting]
        _, again = cheapest(early, (), list(dict.fromkeys(reads)))
        late = [*again, *late]
        made = {v for e in late for v in e.outputs}
        reads += [a for e in again for a in e.inputs if type(a) is Var]
        reads = [v for v in dict.fromkeys(reads) if v not in made]
        number = {v: k for k, v in enumerate(graph.inputs)}
        given.update(dict.fromkeys(number[v] for v in reads if v in number))
        kept = [v for v in reads if v not in number]
        halves.append((graph, early, late, outs, kept, _places(kept, slots)))
    handed = [Var(aval) for aval in slots]
    first, second = [], []
    fixed = sorted(given)
    moving = [k for k, u in enumerate(unknown) if u]
    for graph, early, late, outs, kept, places in halves:
        row: list[Any] = [fill(False if aval.dtype == BOOL else 0, aval) for aval in slots]
        taken = [Var(aval) for aval in slots]
        for v, place in zip(kept, places, strict=True):
            row[place], taken[place] = v, v
        known_outs = [*selected(graph.outputs, [not o for o in late_out]), *row]
        known_ins = selected(graph.inputs, [not u for u in unknown])
        first.append(Graph(known_ins, live_eqns(early, known_outs), known_outs))
        second.append(
            Graph([*(graph.inputs[k] for k in fixed), *taken, *(graph.inputs[k] for k in moving)], late, outs)
        )
    now = Eqn(
        eqn.prim,
        (which, *selected(xs, [not u for u in unknown])),
        (*selected(eqn.outputs, [not o for o in late_out]), *handed),
        {"branches": tuple(first)},
        eqn.where,
    )
    then = Eqn(
        eqn.prim,
        (which, *(xs[k] for k in fixed), *handed, *(xs[k] for k in moving)),
        tuple(selected(eqn.outputs, late_out)),
        {"branches": tuple(second)},
        eqn.where,
    )
    return ([now] if now.outputs else []), ([then] if then.outputs else [])


def _places(values: Sequence[Var], slots: list[Aval]) -> list[int]:
    """A slot of its type for each value, a new one where none is left."""
    free = list(range(len(slots)))
    places = []
    for v in values:
        place = next((k for k in free if slots[k] == v.aval), None)
        if place is None:
            place = len(slots)
            slots.append(v.aval)
        else:
            free.remove(place)
        places.append(place)
    return places


def _transpose(cts, active, which, *xs, branches):
    linear = active[1:]
    on = [ct is not None for ct in cts]
    pairs = [transpose_graph(graph, linear, on) for graph in branches]
    alive = [any(column) for column in zip(*(alive for _, alive in pairs), strict=True)]
    moving = selected(xs, linear)
    graphs = []
    for back, own in pairs:
        found = spread(back.outputs, own)
        outs = [zeros_like(x) if ct is None else ct for ct, x in zip(found, moving, strict=True)]
        graphs.append(tidy(Graph(back.inputs, back.eqns, selected(outs, alive))))
    residuals = selected(xs, [not a for a in linear])
    found = cond_call(which, graphs, [*residuals, *present(cts)]) if any(alive) else ()
    return (None, *spread(spread(found, alive), linear))


def _batch(xs, dims, *, branches):
    size = batch_size(xs, dims)
    (which, *xs), (at, *dims) = xs, dims
    ends = [batch_graph(graph, dims, size)[1] for graph in branches]
    if at is None:
        to = [0 if any(e is not None for e in column) else None for column in zip(*ends, strict=True)]
        return cond_call(which, [batch_graph(graph, dims, size, to)[0] for graph in branches], xs), tuple(to)
    # Each element chooses for itself: all branches run, and the results are selected.
    to = [0] * len(branches[0].outputs)
    rows = [inline(batch_graph(graph, dims, size, to)[0], current([which, *xs]), xs) for graph in branches]
    outs = []
    for column in zip(*rows, strict=True):
        chosen = column[-1]
        for k, y in reversed(list(enumerate(column[:-1]))):
            if which.dtype == BOOL:
                chosen = select(broadcast(which, y.shape, (0,)), chosen, y)
            else:
                chosen = select(broadcast(le(which, k), y.shape, (0,)), y, chosen)
        outs.append(chosen)
    return tuple(outs), tuple(to)


def _prune(eqn: Eqn, used: Sequence[bool]) -> Eqn:
    which, *xs = eqn.inputs
    kept = []
    for graph in eqn.params["branches"]:
        outs = selected(graph.outputs, used)
        kept.append((graph, live_eqns(graph.eqns, outs), outs))
    read = [
        any(graph.inputs[k] in outs or any(graph.inputs[k] in e.inputs for e in eqns) for graph, eqns, outs in kept)
        for k in range(len(xs))
    ]
    if all(used) and all(read):
        return eqn
    graphs = tuple([Graph(selected(graph.inputs, read), eqns, outs) for graph, eqns, outs in kept])
    inputs = (which, *selected(xs, read))
    return Eqn(eqn.prim, inputs, tuple(selected(eqn.outputs, used)), {"branches": graphs}, eqn.where)


def _emit(which, *xs, branches):
    if which.aval.dtype == BOOL:
        return f"lax.cond({which}, {branches[1]}, {branches[0]})"
    return f"lax.switch({which}, [{', '.join(branches)}])"


def _bodies(*, branches):
    n = len(branches[0].inputs)
    words = ("if_false", "if_true") if len(branches) == 2 else [f"case_{k}" for k in range(len(branches))]
    return tuple(
        [
            Body(word, graph, tuple(range(1, n + 1)), gives=(len(graph.outputs),))
            for word, graph in zip(words, branches, strict=True)
        ]
    )


cond_p = Primitive(
    name="cond",
    infer=_infer,
    emit=_emit,
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    cost=lambda outs, which, *xs, branches: Work(inside=((max(branches, key=total_work), 1),)),
    graphs=("branches",),
    split=_split,
    prune=_prune,
    bodies=_bodies,
    targets=lambda names, *, branches: packed(names),
)
