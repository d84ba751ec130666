"""What a loop keeps for its reverse pass: a minimum cut between what it computes and what the linear program reads.

A value of an iteration is either kept (its bytes are written and read, and occupy memory for every iteration) or
computed again from others that are kept or free. Both have a price in time, so the cheapest choice of all is a minimum
cut. Free are what the loop was given anyway: constants, and the slices that come in.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from ..ir.extras import Later
from ..ir.graph import Atom, Eqn, Graph, Var
from ..transforms.split import divided, live_eqns, stretches
from .prices import NEVER, again_price, kept_price, scarce_price

cut = Later("gradlab.control.cut")


class Parts(NamedTuple):
    """A loop's body in two: `early` equations, of which `invariant` do not change; `late` ones, recomputation included.

    The late ones read `fixed` values (the same in every iteration), `sliced` ones (that come in), and `stacked` ones,
    which the early ones must hand out. `unknown`: which inputs are; `out_unknown`: which outputs are.
    """

    early: list[Eqn]
    invariant: list[Eqn]
    late: list[Eqn]
    fixed: list[Var]
    sliced: list[Var]
    stacked: list[Var]
    unknown: list[bool]
    out_unknown: list[bool]


def split_body(body: Graph, n_consts: int, n_carry: int, unknown: Sequence[bool], trips: int) -> Parts:
    """The two halves of a loop's body, and the cheapest values to hand from one to the other.

    **Arguments:** `unknown`: which inputs are unknown at first; a carry that meets an unknown value becomes one.
    """
    unknown = list(unknown)
    end = n_consts + n_carry
    while True:
        early, late, waiting = divided(body, unknown)
        grown = [u or a in waiting for u, a in zip(unknown[n_consts:end], body.outputs, strict=False)]
        if grown == unknown[n_consts:end]:
            break
        unknown[n_consts:end] = grown
    out_unknown = [*grown, *(a in waiting for a in body.outputs[n_carry:])]
    late_outs = [a for a, u in zip(body.outputs, out_unknown, strict=True) if u]
    late = live_eqns(late, late_outs)
    needed = dict.fromkeys(
        a for a in (*(a for e in late for a in e.inputs), *late_outs) if type(a) is Var and a not in waiting
    )
    consts = {v for v, u in zip(body.inputs[:n_consts], unknown, strict=False) if not u}
    slices = {v for v, u in zip(body.inputs[end:], unknown[end:], strict=True) if not u}

    invariant: dict[Var, Eqn] = {}
    for e in early:
        if all(type(a) is not Var or a in consts or a in invariant for a in e.inputs):
            invariant.update(dict.fromkeys(e.outputs, e))
    carries = [v for v, u in zip(body.inputs[n_consts:end], grown, strict=True) if not u]
    changing = [e for e in early if e.outputs and e.outputs[0] not in invariant]
    # What the loop hands out anyway is there to be read.
    given = {a for a, u in zip(body.outputs[n_carry:], out_unknown[n_carry:], strict=True) if not u}
    kept, again = cheapest(changing, carries, list(needed), given, keep=kept_price(trips))

    late = [*again, *late]
    made = {v for e in late for v in e.outputs}
    reads = dict.fromkeys(a for e in late for a in e.inputs if type(a) is Var)
    reads.update(dict.fromkeys(a for a in late_outs if type(a) is Var))
    reads = {v: None for v in reads if v not in made and v not in waiting}
    # A stretched constant is stretched where it is read.
    for v in list(reads):
        stretch = []
        while v in invariant and stretches(invariant[v]):
            stretch.append(invariant[v])
            reads.pop(v, None)
            operands = [a for a in invariant[v].inputs if type(a) is Var]
            if not operands:
                break
            (v,) = operands
            reads[v] = None
        late = [*stretch[::-1], *(e for e in late if e not in stretch)]
    fixed = [v for v in reads if v in consts or v in invariant]
    sliced = [v for v in reads if v in slices]
    stacked = [v for v in reads if v not in consts and v not in invariant and v not in slices]
    hoisted = live_eqns(
        [e for e in early if e.outputs and e.outputs[0] in invariant], [v for v in fixed if v in invariant]
    )
    return Parts(early, hoisted, late, fixed, sliced, stacked, unknown, out_unknown)


def cheapest(
    eqns: Sequence[Eqn],
    carries: Sequence[Var],
    needed: Sequence[Var],
    given: Collection[Atom] = (),
    keep: Callable[[Var], float] | None = None,
    price: Callable[[Eqn], float] = again_price,
) -> tuple[list[Var], list[Eqn]]:
    """Which values of an iteration to keep, and which equations to do again, so that all `needed` ones are there.

    **Arguments:** `eqns`: those whose results change from iteration to iteration. `carries`: what they start from,
    which exists only if it is kept. Everything else they read is there in any case. `given`: values that are written
    down in any case, so that keeping them costs the reading only.
    """
    keep = keep or scarce_price
    number = {v: k for k, v in enumerate((*carries, *(v for e in eqns for v in e.outputs)))}
    targets = [v for v in needed if v in number]
    if not targets:
        return [], []
    # Node 2k + 2 stands for computing value k in the second half, 2k + 3 for having it there.
    source, sink = 0, 1
    edges: list[tuple[int, int, float]] = []
    for v, k in number.items():
        edges.append((2 * k + 2, 2 * k + 3, keep(v) / (2.0 if v in given else 1.0)))
    edges += [(source, 2 * number[v] + 2, NEVER) for v in carries]
    for e in eqns:
        again = price(e)
        for v in e.outputs:
            if again:
                edges.append((source, 2 * number[v] + 2, again))
            edges += [(2 * number[a] + 3, 2 * number[v] + 2, NEVER) for a in e.inputs if type(a) is Var and a in number]
    edges += [(2 * number[v] + 3, sink, NEVER) for v in targets]
    there = cut.source_side(edges, 2 * len(number) + 2)
    kept = [v for v, k in number.items() if there[2 * k + 2] and not there[2 * k + 3]]
    redone = {v for v, k in number.items() if not there[2 * k + 2]}
    return kept, live_eqns([e for e in eqns if not redone.isdisjoint(e.outputs)], [v for v in targets if v in redone])
