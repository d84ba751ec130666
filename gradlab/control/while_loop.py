"""`while_loop`: a loop that ends when its carry says so. To run it backwards, its trips are counted going forward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..ir.errors import ShapeError
from ..ir.graph import Aval, Eqn, Graph, Lit, Var
from ..ir.primitive import Body, Primitive, Refused
from ..lower.emit import packed
from ..ops.compare import lt_p, select
from ..ops.families import add_p, batch_size, with_axis
from ..ops.operands import BOOL
from ..ops.reduce import reduce_or
from ..ops.shape import broadcast
from ..passes.pipeline import tidy
from ..trace.builder import bind
from ..trace.stage import inline, trace_graph
from ..transforms.batch import batch_graph
from .bodies import (
    differs,
    filled,
    fixpoint,
    ignoring,
    moving_body,
    needed_carries,
    once,
    present,
    selected,
    spread,
    transpose_late,
    unknown_carries,
)
from .forward import forward_split
from .reversal import repeat_backwards

FEW = 4  # numbers that the tangents come from: so many forward passes cost no more than going back through the states
INT = Aval((), np.dtype("int32"))


class While(NamedTuple):
    """How many operands are consts of the condition, then of the body; how many states the reverse pass may keep.

    `counter`: the carry that counts the trips from 0, where the condition is that it is below the only const, their
    number; -1 where the loop is not of that kind.
    """

    n_cond: int
    n_body: int
    slots: int = 0
    counter: int = -1

    def parts(self, xs: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any]]:
        """The condition's consts, the body's, the carry."""
        end = self.n_cond + self.n_body
        return list(xs[: self.n_cond]), list(xs[self.n_cond : end]), list(xs[end:])


def while_call(
    cond: Graph, body: Graph, how: While, on_cond: Sequence[Any], on_body: Sequence[Any], carry: Sequence[Any]
) -> tuple:
    """`body`, (consts*, carry*) -> (carry*), applied while `cond`, (consts*, carry*) -> bool, holds; one equation."""
    how = how._replace(n_cond=len(on_cond), n_body=len(on_body))
    return bind(while_p, *on_cond, *on_body, *carry, cond=cond, body=body, how=how)


def _infer(*xs: Aval, cond: Graph, body: Graph, how: While) -> tuple[Aval, ...]:
    on_cond, on_body, carry = how.parts(xs)
    for graph, consts in ((cond, on_cond), (body, on_body)):
        for aval, x in zip(graph.in_avals, (*consts, *carry), strict=True):
            if differs(aval, x):
                raise ShapeError(f"while_loop needs operands of its functions' types: {aval} was needed, got {x}.")
    (test,) = cond.out_avals
    if test.shape or test.dtype != BOOL:
        raise ShapeError(f"while_loop needs a condition that is one boolean, got {test}. Reduce it with .any().")
    kept = body.in_avals[how.n_body :]
    for before, after in zip(kept, body.out_avals, strict=True):
        if differs(before, after):
            raise ShapeError(f"while_loop needs a carry that keeps its type, but {before} becomes {after}.")
    return kept


def _jvp(xs, tangents, *, cond, body, how):
    on_cond, on_body, carry = how.parts(xs)
    _, dbody, dcarry = how.parts(tangents)
    graph, carried = moving_body(body, how.n_body, [t is not None for t in (*dbody, *dcarry)])
    moving = selected([x.aval for x in carry], carried)
    outs = while_call(
        ignoring(cond, moving),
        graph,
        how,
        on_cond,
        [*on_body, *present(dbody)],
        [*carry, *filled(dcarry, carry, carried)],
    )
    n = len(carry)
    return outs[:n], tuple(spread(outs[n:], carried))


def _split(eqn: Eqn, unknown: list[bool]) -> tuple[list[Eqn], list[Eqn]]:
    """What is known is run now, its trips counted; the rest goes round as often, beside the known carries once more.

    Where only a few numbers are unknown, all of it is run now, by forward mode.
    """
    cond, body, how = eqn.params["cond"], eqn.params["body"], eqn.params["how"]
    on_cond, on_body, carry = how.parts(unknown)
    carried = unknown_carries(body, how.n_body, len(body.outputs), [*on_body, *carry])
    read = {a for e in cond.eqns for a in e.inputs} | set(cond.outputs)
    if any(on_cond) or any(u and v in read for u, v in zip(carried, cond.inputs[how.n_cond :], strict=True)):
        return [], [eqn]
    if not how.slots:
        halves = forward_split(eqn, unknown, carried, FEW)
        if halves is not None:
            return halves
    late_outs = [v if u else Var(v.aval, v.name) for v, u in zip(eqn.outputs, carried, strict=True)]
    if how.counter >= 0:
        first = _prune(eqn, [not u for u in carried])
        return [first], ([eqn._replace(outputs=tuple(late_outs))] if any(carried) else [])
    trips = Var(INT, "trips")
    i, after = Var(INT, "trip"), Var(INT, "trip")
    counting = Graph(
        (*body.inputs, i), (*body.eqns, Eqn(add_p, (i, Lit(1, INT)), (after,), {})), (*body.outputs, after)
    )
    start = Lit(0, INT)
    params = {"cond": ignoring(cond, [INT]), "body": counting, "how": how}
    first = Eqn(eqn.prim, (*eqn.inputs, start), (*eqn.outputs, trips), params, eqn.where)
    first = _prune(first, [*(not u for u in carried), True])
    if not any(carried):
        return [first], []
    _, x_body, x_carry = how.parts(eqn.inputs)
    limit, state, test = Var(INT, "trips"), [Var(v.aval) for v in counting.inputs[how.n_body :]], Var(Aval((), BOOL))
    below = Graph((limit, *state), (Eqn(lt_p, (state[-1], limit), (test,), {}),), (test,))
    again = While(1, how.n_body, how.slots, len(x_carry))
    params = {"cond": below, "body": counting, "how": again}
    inputs = (trips, *x_body, *x_carry, start)
    return [first], [Eqn(eqn.prim, inputs, (*late_outs, Var(INT)), params, eqn.where)]


def _prune(eqn: Eqn, used: Sequence[bool]) -> Eqn:
    cond, body, how = eqn.params["cond"], eqn.params["body"], eqn.params["how"]
    read = {a for e in cond.eqns for a in e.inputs} | set(cond.outputs)
    asked = [v in read for v in cond.inputs]
    used = [u or a for u, a in zip(used, asked[how.n_cond :], strict=True)]
    used, on_body, eqns = needed_carries(body, how.n_body, used)
    on_cond = asked[: how.n_cond]
    keep = [*on_cond, *on_body, *used]
    if all(keep) and len(eqns) == len(body.eqns):
        return eqn
    counter = sum(used[: how.counter]) if how.counter >= 0 else -1
    params = {
        "cond": Graph(selected(cond.inputs, [*on_cond, *used]), cond.eqns, cond.outputs),
        "body": Graph(selected(body.inputs, [*on_body, *used]), eqns, selected(body.outputs, used)),
        "how": how._replace(n_cond=sum(on_cond), n_body=sum(on_body), counter=counter),
    }
    return Eqn(eqn.prim, tuple(selected(eqn.inputs, keep)), tuple(selected(eqn.outputs, used)), params, eqn.where)


def _batch(xs, dims, *, cond, body, how):
    size = batch_size(xs, dims)
    (x_cond, x_body, x_carry), (d_cond, d_body, d_carry) = how.parts(xs), how.parts(dims)

    tested = once(lambda on: batch_graph(cond, [*d_cond, *(0 if c else None for c in on)], size))
    turned = once(lambda on: batch_graph(body, [*d_body, *(0 if c else None for c in on)], size))

    def grow(on: list[bool]) -> list[bool]:
        if tested(on)[1][0] is not None:
            return [True] * len(on)
        return [e is not None for e in turned(on)[1]]

    carried = fixpoint([d is not None for d in d_carry], grow)
    to = [0 if on else None for on in carried]
    carry = [x if e is None else with_axis(x, d, 0, size) for x, d, e in zip(x_carry, d_carry, to, strict=True)]
    test, (at,) = tested(carried)
    graph, found = turned(carried)
    if list(found) != to:
        graph, _ = batch_graph(body, [*d_body, *to], size, to)
    if at is None:
        return while_call(test, graph, how, x_cond, x_body, carry), tuple(to)
    # The loop goes on while any element does; an element that is done keeps its carry.
    n, m = how.n_cond, how.n_body

    def turn(builder, *args):
        on_cond, on_body, state = args[:n], args[n : n + m], args[n + m :]
        (going,) = inline(test, builder, [*on_cond, *state])
        new = inline(graph, builder, [*on_body, *state])
        return [select(broadcast(going, y.shape, (0,)), y, x) for x, y in zip(state, new, strict=True)]

    def any_going(builder, *args):
        return [reduce_or(inline(test, builder, args)[0], axes=(0,))]

    state = [v.aval for v in graph.inputs[m:]]
    some = tidy(trace_graph(any_going, test.in_avals))
    each = tidy(trace_graph(turn, [*test.in_avals[:n], *graph.in_avals[:m], *state]))
    return while_call(some, each, how._replace(counter=-1), x_cond, [*x_cond, *x_body], carry), tuple(to)


def _transpose(cts, active, *xs, cond, body, how):
    if how.counter < 0:
        return transpose_late(while_p, cts, active, xs, cond=cond, body=body, how=how)
    _, on_body, on_carry = how.parts(active)
    (trips,), consts, carry = how.parts(xs)
    linear = unknown_carries(body, how.n_body, len(body.outputs), [*on_body, *on_carry])
    found = repeat_backwards(body, how.n_body, [*on_body, *linear], trips, [*consts, *carry], cts, how.slots, _plain)
    return (None, *(ct if on else None for ct, on in zip(found, active[1:], strict=True)))


def _plain(cond: Graph, body: Graph, on_cond: Sequence[Any], on_body: Sequence[Any], carry: Sequence[Any]) -> tuple:
    return while_call(cond, body, While(0, 0), on_cond, on_body, carry)


def _emit(*xs, cond, body, how):
    return f"lax.while_loop({cond}, {body}, {packed(how.parts(xs)[2])})"


def _bodies(*, cond, body, how):
    carry = len(body.inputs) - how.n_body
    on_cond = tuple(range(how.n_cond))
    on_body = tuple(range(how.n_cond, how.n_cond + how.n_body))
    return (
        Body("going_on", cond, on_cond, (carry,), ("carry",), (1,)),
        Body("turn", body, on_body, (carry,), ("carry",), (carry,)),
    )


while_p = Primitive(
    name="while_loop",
    infer=_infer,
    emit=_emit,
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    cost=Refused("how often a while_loop goes round is known only when it runs; a scan says it"),
    graphs=("cond", "body"),
    split=_split,
    prune=_prune,
    bodies=_bodies,
    targets=lambda names, **params: packed(names),
)
