"""What loops and branches share: flags over operands, programs with more inputs, transposing after a split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..ir.errors import MissingRuleError
from ..ir.graph import Aval, Eqn, Graph, Var
from ..ir.primitive import Primitive
from ..ops.operands import zeros_like
from ..passes.pipeline import tidy
from ..trace.stage import current, inline
from ..transforms.jvp import jvp_graph
from ..transforms.split import divided, live_eqns


def selected(values: Sequence[Any], on: Sequence[Any]) -> list[Any]:
    """The values whose flag is set."""
    return [v for v, o in zip(values, on, strict=True) if o]


def spread(values: Sequence[Any], on: Sequence[Any]) -> list[Any]:
    """One entry per flag: the next value where it is set, None elsewhere."""
    got = iter(values)
    return [next(got) if o else None for o in on]


def present(values: Sequence[Any]) -> list[Any]:
    """Those that are not None."""
    return [v for v in values if v is not None]


def filled(values: Sequence[Any], like: Sequence[Any], on: Sequence[Any]) -> list[Any]:
    """The values whose flag is set, zeros of the type of `like` for those that are None."""
    return [zeros_like(x) if v is None else v for v, x, o in zip(values, like, on, strict=True) if o]


def ignoring(graph: Graph, more: Sequence[Aval]) -> Graph:
    """(x*) -> (y*) becomes (x*, more*) -> (y*)."""
    return Graph((*graph.inputs, *(Var(aval) for aval in more)), graph.eqns, graph.outputs)


def differs(aval: Aval, other: Aval) -> bool:
    """Whether two types differ in more than weakness."""
    return aval.shape != other.shape or aval.dtype != other.dtype


def transpose_late(
    prim: Primitive, cts: Sequence[Any], active: Sequence[bool], xs: Sequence[Any], **params: Any
) -> tuple:
    """The cotangents of an equation part of which does not depend on its linear operands: that part runs first."""
    inputs = [Var(x.aval) for x in xs]
    outputs = [Var(aval) for aval in prim.infer(*(x.aval for x in xs), **params)]
    assert prim.split is not None
    whole = Eqn(prim, tuple(inputs), tuple(outputs), params)
    early, late = prim.split(whole, list(active))
    if late[0] is whole:
        raise MissingRuleError(
            f"a {prim.name} that ends when its values say so, which depend on the argument, is not linear in it. "
            "Transpose its derivative (linearize, vjp)."
        )
    given = dict(zip(inputs, xs, strict=True))
    known = [v for v, on in zip(inputs, active, strict=True) if not on]
    made = [v for e in early for v in e.outputs]
    values = inline(Graph(known, early, made), current([given[v] for v in known]), [given[v] for v in known])
    given.update(zip(made, values, strict=True))
    (eqn,) = late
    ct_of = dict(zip(outputs, cts, strict=True))
    moving = {v for v, on in zip(inputs, active, strict=True) if on}
    on = tuple([type(a) is Var and a in moving for a in eqn.inputs])
    operands = [given[a] if type(a) is Var else a for a in eqn.inputs]
    found = eqn.prim.transpose([ct_of.get(v) for v in eqn.outputs], on, *operands, **eqn.params)
    of = dict(zip(eqn.inputs, found, strict=True))
    return tuple([of.get(v) if on else None for v, on in zip(inputs, active, strict=True)])


def fixpoint(start: list[bool], grow: Callable[[list[bool]], Sequence[bool]]) -> list[bool]:
    """The smallest flags that include `start` and what `grow(flags)` adds."""
    while True:
        grown = [a or bool(b) for a, b in zip(start, grow(start), strict=True)]
        if grown == start:
            return start
        start = grown


def once(make: Callable[[list], Any]) -> Callable[[list], Any]:
    """`make(flags)`, done once for the same flags: what a fixpoint asked last is asked again when it is found."""
    made: dict[tuple, Any] = {}

    def remembered(flags: list) -> Any:
        key = tuple(flags)
        if key not in made:
            made[key] = make(flags)
        return made[key]

    return remembered


def moving_body(body: Graph, n_consts: int, on: Sequence[bool]) -> tuple[Graph, list[bool]]:
    """The body of a loop with tangents: (consts*, dconsts*, carry*, dcarry*) -> (carry*, dcarry*), and which have one.

    **Arguments:** `on`: which of consts and carries have a tangent when the loop starts.
    """
    on_consts = list(on[:n_consts])
    moved = once(lambda carried: jvp_graph(body, [*on_consts, *carried]))
    carried = fixpoint(list(on[n_consts:]), lambda carried: moved(carried)[1])
    both, alive = moved(carried)
    on = [*on_consts, *carried]
    n, m = len(body.inputs), len(body.outputs)
    moving = spread(both.inputs[n:], on)
    ends = filled(spread(both.outputs[m:], alive), body.inputs[n_consts:], carried)
    inputs = [
        *both.inputs[:n_consts],
        *present(moving[:n_consts]),
        *both.inputs[n_consts:n],
        *present(moving[n_consts:]),
    ]
    return tidy(Graph(inputs, both.eqns, [*both.outputs[:m], *ends])), carried


def unknown_carries(body: Graph, n_consts: int, n_carry: int, unknown: Sequence[bool]) -> list[bool]:
    """Which carries of a loop meet an unknown value sooner or later. `unknown` speaks of all of the body's inputs."""
    end = n_consts + n_carry

    def grow(carried: list[bool]) -> list[bool]:
        waiting = divided(body, [*unknown[:n_consts], *carried, *unknown[end:]])[2]
        return [a in waiting for a in body.outputs[:n_carry]]

    return fixpoint(list(unknown[n_consts:end]), grow)


def needed_carries(body: Graph, n_consts: int, used: Sequence[bool]) -> tuple[list[bool], list[bool], list[Eqn]]:
    """Of a loop only some of whose carries are used: which it needs, which of its consts, and which equations."""

    def reads(used: Sequence[bool]) -> tuple[list[Eqn], set]:
        outs = selected(body.outputs, used)
        eqns = live_eqns(body.eqns, outs)
        return eqns, {a for e in eqns for a in e.inputs} | set(outs)

    def grow(used: list[bool]) -> list[bool]:
        read = reads(used)[1]
        return [v in read for v in body.inputs[n_consts:]]

    used = fixpoint(list(used), grow)
    eqns, read = reads(used)
    return used, [v in read for v in body.inputs[:n_consts]], eqns
