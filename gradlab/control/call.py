"""`checkpoint`: a call of whose intermediates the reverse pass finds only some kept; the others it computes again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..ir.graph import Atom, Aval, Eqn, Graph, Var
from ..ir.primitive import Primitive, Refused
from ..ir.work import Work
from ..ops.barrier import barrier_p
from ..ops.families import batch_size, linear
from ..passes.pipeline import tidy
from ..trace.builder import bind, bind1
from ..trace.stage import current, inline
from ..transforms.batch import batch_graph
from ..transforms.jvp import jvp_graph
from ..transforms.split import divided, live_eqns, stretches
from ..transforms.transpose import transpose_graph
from .bodies import selected, spread
from .residuals import cheapest

Policy = str | tuple[str, ...]  # "nothing", "everything", "auto", or the names of what is kept


def checkpoint_name(x: Any, name: str) -> Any:
    """`x`, known to a policy of `checkpoint` by that name."""
    return bind1(checkpoint_name_p, x, name=name)


checkpoint_name_p = Primitive(
    name="checkpoint_name",
    infer=lambda x, *, name: (x,),
    emit=lambda x, *, name: f"{x}",
    jvp=linear(lambda: checkpoint_name_p),
    transpose=lambda cts, active, x, *, name: cts,
    batch=lambda xs, dims, *, name: ((checkpoint_name(xs[0], name),), dims),
    cost=lambda outs, *xs, **params: Work(),
)


def checkpoint_call(graph: Graph, xs: Any, barrier: bool | None = False, policy: Policy = "nothing") -> tuple:
    """`graph` on `xs`, as one equation.

    **Arguments:** `barrier`: whether this is a recomputation, which XLA must not merge with the first computation; None
    if it may, now and later. `policy`: what of it is kept when it is split.
    """
    return bind(checkpoint_p, *xs, graph=graph, barrier=barrier, policy=policy)


def _repeated(barrier: bool | None) -> bool | None:
    return None if barrier is None else True


def _jvp(xs, tangents, *, graph, barrier, policy):
    both, alive = jvp_graph(graph, [t is not None for t in tangents])
    outs = checkpoint_call(tidy(both), [*xs, *(t for t in tangents if t is not None)], barrier, policy)
    n = len(graph.outputs)
    return outs[:n], tuple(spread(outs[n:], alive))


def _split(eqn: Eqn, unknown: list[bool]) -> tuple[list[Eqn], list[Eqn]]:
    """What is known is computed now; what waits computes it again from the operands and what the policy keeps."""
    graph, barrier, policy = (eqn.params[name] for name in ("graph", "barrier", "policy"))
    early, late, waiting = divided(graph, unknown)
    late_on = [type(a) is Var and a in waiting for a in graph.outputs]
    known_on = [not u for u in late_on]
    late_outs = selected(graph.outputs, late_on)
    late = live_eqns(late, late_outs)
    made = {v for e in early for v in e.outputs}
    needed = dict.fromkeys(
        a for a in (*(a for e in late for a in e.inputs), *late_outs) if type(a) is Var and a in made
    )
    kept = _POLICIES.get(policy, _named)(early, list(needed), policy)
    again = _redone(early, list(needed), set(kept))
    redone = {v for e in again for v in e.outputs}
    read = {a for e in (*again, *late) for a in e.inputs} | set(late_outs)
    kept = [v for v in kept if v in read and v not in redone]

    places = {v: a for v, a, u in zip(graph.inputs, eqn.inputs, unknown, strict=True) if not u}
    known_outs = [*selected(graph.outputs, known_on), *kept]
    held = [Var(v.aval, v.name) for v in kept]
    now = Eqn(
        eqn.prim,
        tuple(places.values()),
        (*selected(eqn.outputs, known_on), *held),
        {"graph": Graph(places, live_eqns(early, known_outs), known_outs), "barrier": barrier, "policy": policy},
        eqn.where,
    )
    given = [v for v in places if v in read]
    moving = selected(graph.inputs, unknown)
    then = Eqn(
        eqn.prim,
        (*(places[v] for v in given), *held, *selected(eqn.inputs, unknown)),
        tuple(selected(eqn.outputs, late_on)),
        {
            "graph": Graph([*given, *kept, *moving], [*again, *late], late_outs),
            "barrier": _repeated(barrier) if any(not stretches(e) for e in again) else barrier,
            "policy": policy,
        },
        eqn.where,
    )
    return ([now] if now.outputs else []), ([then] if then.outputs else [])


def _redone(eqns: Sequence[Eqn], wanted: Sequence[Atom], kept: set[Var]) -> list[Eqn]:
    """The equations that compute what is wanted from what is kept."""
    live = {a for a in wanted if type(a) is Var} - kept
    found = []
    for eqn in reversed(eqns):
        if not live.isdisjoint(eqn.outputs):
            if eqn.prim.prune is not None and not live.issuperset(eqn.outputs):
                eqn = eqn.prim.prune(eqn, [v in live for v in eqn.outputs])
            found.append(eqn)
            live.update(a for a in eqn.inputs if type(a) is Var and a not in kept)
    return found[::-1]


def _all(early: Sequence[Eqn], needed: Sequence[Var], policy: Policy) -> list[Var]:
    """All that is read; a value that stretches a smaller one is stretched again."""
    made = {v: e for e in early for v in e.outputs}
    kept = []
    for v in needed:
        while v in made and stretches(made[v]) and made[v].inputs and type(made[v].inputs[0]) is Var:
            (v,) = made[v].inputs
        if v in made and not stretches(made[v]):
            kept.append(v)
    return list(dict.fromkeys(kept))


def _named(early: Sequence[Eqn], needed: Sequence[Var], policy: Policy) -> list[Var]:
    return [v for e in early if e.prim is checkpoint_name_p and e.params["name"] in policy for v in e.outputs]


_POLICIES: dict[Policy, Callable[[Sequence[Eqn], list[Var], Policy], list[Var]]] = {
    "nothing": lambda early, needed, policy: [],
    "everything": _all,
    "auto": lambda early, needed, policy: cheapest(early, (), needed)[0],
}


def _transpose(cts, active, *xs, graph, barrier, policy):
    backward, alive = transpose_graph(graph, active, [ct is not None for ct in cts])
    residuals = [x for x, on in zip(xs, active, strict=True) if not on]
    found = checkpoint_call(backward, [*residuals, *(ct for ct in cts if ct is not None)], barrier, policy)
    return tuple(spread(spread(found, alive), active))


def _batch(xs, dims, *, graph, barrier, policy):
    batched, ends = batch_graph(graph, dims, batch_size(xs, dims))
    return checkpoint_call(batched, xs, barrier, policy), ends


def _expand(xs, *, graph, barrier, policy):
    if barrier and xs:
        xs = bind(barrier_p, *xs)
    return tuple(inline(graph, current(xs), xs))


def _infer(*xs: Aval, graph: Graph, barrier: bool | None, policy: Policy) -> tuple[Aval, ...]:
    return graph.out_avals


checkpoint_p = Primitive(
    name="checkpoint",
    infer=_infer,
    emit=Refused("checkpoint is expanded before a program is written"),
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    cost=lambda outs, *xs, graph, **params: Work(inside=((graph, 1),)),
    graphs=("graph",),
    split=_split,
    expand=_expand,
)
