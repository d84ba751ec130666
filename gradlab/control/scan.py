"""`scan`: a loop whose trip count is known when it is read. A carry goes round; slices come in, stacked results go out.

The body is a program (consts*, carry*, x*) -> (carry*, y*). Each rule asks the transform of the body, and finds by
fixpoint which carries it concerns: a carry whose tangent stays zero has none, one that never meets a batched value has
no batch axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..ir.errors import ShapeError
from ..ir.graph import Atom, Aval, Eqn, Graph, Var
from ..ir.primitive import Body, Primitive
from ..ir.work import Work
from ..lower.emit import packed
from ..ops.families import batch_size, with_axis
from ..ops.operands import zeros_like
from ..passes.pipeline import tidy
from ..trace.builder import bind
from ..transforms.batch import batch_graph
from ..transforms.jvp import jvp_graph
from ..transforms.split import live_eqns
from ..transforms.transpose import transpose_graph
from .bodies import differs, filled, fixpoint, once, present, selected, spread, transpose_late, unknown_carries
from .forward import forward_split
from .packs import added, packed_sums, unpacked
from .products import later_products
from .residuals import split_body


class Loop(NamedTuple):
    """How many operands are consts and carries, how often it goes round, which way, how many turns XLA sees at once."""

    n_consts: int
    n_carry: int
    length: int
    reverse: bool
    unroll: int = 1

    def parts(self, xs: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any]]:
        """Consts, carry, xs."""
        end = self.n_consts + self.n_carry
        return list(xs[: self.n_consts]), list(xs[self.n_consts : end]), list(xs[end:])

    def ends(self, outs: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """Carry, ys."""
        return list(outs[: self.n_carry]), list(outs[self.n_carry :])

    def with_counts(self, n_consts: int, n_carry: int) -> Loop:
        """The same loop with other operands."""
        return self._replace(n_consts=n_consts, n_carry=n_carry)

    def stacked(self, aval: Aval) -> Aval:
        """The type of all iterations' values together."""
        return aval.reshaped((self.length, *aval.shape))


def scan_call(body: Graph, loop: Loop, consts: Sequence[Any], carry: Sequence[Any], xs: Sequence[Any]) -> tuple:
    """The last carry and the stacked results of `body`, as one equation; `loop` says how often and which way."""
    loop = loop.with_counts(len(consts), len(carry))
    return bind(scan_p, *consts, *carry, *xs, body=body, loop=loop)


def _infer(*xs: Aval, body: Graph, loop: Loop) -> tuple[Aval, ...]:
    consts, carry, rows = loop.parts(xs)
    wanted = [*body.in_avals[: len(consts) + len(carry)], *map(loop.stacked, body.in_avals[len(consts) + len(carry) :])]
    for got, aval in zip((*consts, *carry, *rows), wanted, strict=True):
        if differs(got, aval):
            raise ShapeError(f"scan needs operands of its body's types: {aval} was needed, got {got}.")
    for before, after in zip(carry, body.out_avals, strict=False):
        if differs(before, after):
            raise ShapeError(f"scan needs a carry that keeps its type, but {before} becomes {after}.")
    return (*loop.parts(body.in_avals)[1], *map(loop.stacked, loop.ends(body.out_avals)[1]))


def _jvp(xs, tangents, *, body, loop):
    n_carry = loop.n_carry
    on_consts, on_carry, on_rows = loop.parts([t is not None for t in tangents])
    moved = once(lambda carried: jvp_graph(body, [*on_consts, *carried, *on_rows]))
    carried = fixpoint(on_carry, lambda carried: moved(carried)[1][:n_carry])
    both, alive = moved(carried)
    on = [*on_consts, *carried, *on_rows]
    n, m = len(body.inputs), len(body.outputs)
    ins, dins = loop.parts(both.inputs[:n]), loop.parts(spread(both.inputs[n:], on))
    ends, ys = loop.ends(both.outputs[:m])
    dends, dys = loop.ends(spread(both.outputs[m:], alive))
    dends = [zeros_like(v) if d is None else d for d, v in zip(dends, ins[1], strict=True)]
    inputs = [v for mine, moving in zip(ins, dins, strict=True) for v in (*mine, *present(moving))]
    graph = tidy(Graph(inputs, both.eqns, [*ends, *selected(dends, carried), *ys, *present(dys)]))
    consts, carry, rows = loop.parts(xs)
    dconsts, dcarry, drows = loop.parts(tangents)
    dcarry = [zeros_like(x) if t is None and c else t for t, x, c in zip(dcarry, carry, carried, strict=True)]
    outs = scan_call(
        graph,
        loop,
        [*consts, *present(dconsts)],
        [*carry, *present(dcarry)],
        [*rows, *present(drows)],
    )
    k = n_carry + sum(carried)
    n_ys = len(ys)
    tangents_out = [*spread(outs[n_carry:k], carried), *spread(outs[k + n_ys :], alive[n_carry:])]
    return (*outs[:n_carry], *outs[k : k + n_ys]), tuple(tangents_out)


def _split(eqn: Eqn, unknown: list[bool]) -> tuple[list[Eqn], list[Eqn]]:
    body, loop = eqn.params["body"], eqn.params["loop"]
    parts = split_body(body, loop.n_consts, loop.n_carry, unknown, loop.length)
    if not any(parts.out_unknown[loop.n_carry :]):
        halves = forward_split(eqn, unknown, parts.out_unknown, 1)
        if halves is not None:
            return halves
    on = parts.unknown
    operands = dict(zip(body.inputs, eqn.inputs, strict=True))
    consts, carry, rows = loop.parts(list(zip(body.inputs, on, strict=True)))
    ends, ys = loop.ends(list(zip(body.outputs, eqn.outputs, parts.out_unknown, strict=True)))

    # What no iteration changes is computed before the loop.
    before: dict[Var, Atom] = {v: operands[v] for v, u in consts if not u}
    hoisted = [_renamed(e, before) for e in parts.invariant]

    known_ins = [[v for v, u in group if not u] for group in (consts, carry, rows)]
    known_ends = [(a, v) for (a, v, _), (_, u) in zip(ends, carry, strict=True) if not u]
    known_ys = [(a, v) for a, v, u in ys if not u]
    stacked = {a: v for a, v in known_ys if type(a) is Var}
    for r in parts.stacked:
        if r not in stacked:
            stacked[r] = Var(loop.stacked(r.aval), r.name)
            known_ys.append((r, stacked[r]))
    fresh = [v for v in before if v not in operands]  # invariants the known body may read in place of computing them
    outs = [a for a, _ in (*known_ends, *known_ys)]
    eqns = live_eqns([e for e in parts.early if e not in parts.invariant], outs)
    read = {a for e in eqns for a in e.inputs} | set(outs)
    fixed_ins = [v for v in (*known_ins[0], *fresh) if v in read]
    known_body = Graph(
        [*fixed_ins, *known_ins[1], *known_ins[2]],
        eqns,
        outs,
    )
    first = Eqn(
        eqn.prim,
        (*(before[v] for v in fixed_ins), *(operands[v] for v in (*known_ins[1], *known_ins[2]))),
        tuple([v for _, v in (*known_ends, *known_ys)]),
        {"body": known_body, "loop": loop.with_counts(len(fixed_ins), len(known_ins[1]))},
        eqn.where,
    )

    own = [[v for v, u in group if u] for group in (consts, carry, rows)]
    late_ends = [(a, v) for (a, v, _), (_, u) in zip(ends, carry, strict=True) if u]
    late_ys = [(a, v) for a, v, u in ys if u]
    late_body = Graph(
        [*parts.fixed, *own[0], *own[1], *parts.sliced, *parts.stacked, *own[2]],
        parts.late,
        [a for a, _ in (*late_ends, *late_ys)],
    )
    inputs = [
        *(before[v] for v in parts.fixed),
        *(operands[v] for v in (*own[0], *own[1], *parts.sliced)),
        *(stacked[v] for v in parts.stacked),
        *(operands[v] for v in own[2]),
    ]
    second = Eqn(
        eqn.prim,
        tuple(inputs),
        tuple([v for _, v in (*late_ends, *late_ys)]),
        {"body": late_body, "loop": loop.with_counts(len(parts.fixed) + len(own[0]), len(own[1]))},
        eqn.where,
    )
    return [*hoisted, *([first] if first.outputs else [])], ([second] if second.outputs else [])


def _renamed(eqn: Eqn, instead: dict[Var, Atom]) -> Eqn:
    """The equation on other operands, with results of its own, which join `instead`."""
    inputs = tuple([instead[a] if type(a) is Var else a for a in eqn.inputs])
    outputs = tuple([Var(v.aval, v.name) for v in eqn.outputs])
    instead.update(zip(eqn.outputs, outputs, strict=True))
    return Eqn(eqn.prim, inputs, outputs, eqn.params, eqn.where)


def _transpose(cts, active, *xs, body, loop):
    carried = unknown_carries(body, loop.n_consts, loop.n_carry, active)
    if not all(carried):
        return transpose_late(scan_p, cts, active, xs, body=body, loop=loop)
    linear = [*loop.parts(active)[0], *carried, *loop.parts(active)[2]]
    on_ends, on_ys = loop.ends([ct is not None for ct in cts])

    transposed = once(lambda on_ends: transpose_graph(body, linear, [*on_ends, *on_ys]))
    on_ends = fixpoint(on_ends, lambda on_ends: loop.parts(spread(transposed(on_ends)[1], linear))[1])
    back, alive = transposed(on_ends)
    residuals = loop.parts([not a for a in linear])
    n_fixed, n_rows = sum(residuals[0]), sum(residuals[2])
    ins, start = [], 0
    for n in (n_fixed, n_rows, sum(on_ends), sum(on_ys)):
        ins.append(list(back.inputs[start : start + n]))
        start += n
    fixed, rows, ct_ends, ct_ys = ins
    d_consts, d_carry, d_rows = loop.parts(spread(spread(back.outputs, alive), linear))
    # The cotangent of what every iteration reads is the sum over the iterations.
    products, factors = later_products(back, present(d_consts), fixed, [*rows, *ct_ys], loop.length)
    terms = [d for k, d in enumerate(present(d_consts)) if k not in products]
    packs = packed_sums([d.aval for d in terms])
    sums = [Var(aval) for aval, _ in packs]
    adds, totals = added(sums, packs, terms)
    ends = [zeros_like(v) if d is None else d for d, v in zip(selected(d_carry, on_ends), ct_ends, strict=True)]
    results = [*totals, *ends, *present(d_rows), *factors]
    graph = tidy(Graph([*fixed, *sums, *ct_ends, *rows, *ct_ys], [*back.eqns, *adds], results))
    ct_carry, ct_stacked = loop.ends(cts)
    x_consts, _, x_rows = loop.parts(xs)
    row_operands = [*selected(x_rows, residuals[2]), *present(ct_stacked)]
    outs = scan_call(
        graph,
        loop._replace(reverse=not loop.reverse),
        selected(x_consts, residuals[0]),
        [
            *map(zeros_like, sums),
            *filled(selected(ct_carry, on_ends), ct_ends, [True] * len(ct_ends)),
        ],
        row_operands,
    )
    outs, kept = outs[: len(outs) - len(factors)], outs[len(outs) - len(factors) :]
    stacked = dict(zip((*rows, *ct_ys, *factors), (*row_operands, *kept), strict=True))
    a, b = len(sums), len(sums) + len(ends)
    added_up = iter(unpacked(outs[:a], packs))
    d_fixed = [products[k].total(stacked) if k in products else next(added_up) for k in range(len(present(d_consts)))]
    return (
        *spread(d_fixed, [d is not None for d in d_consts]),
        *(ct if on else None for ct, on in zip(spread(outs[a:b], on_ends), loop.parts(active)[1], strict=True)),
        *spread(outs[b:], [d is not None for d in d_rows]),
    )


def _batch(xs, dims, *, body, loop):
    size = batch_size(xs, dims)
    consts, carry, rows = loop.parts(dims)
    rows = [None if d is None else 0 for d in rows]
    batched = once(lambda on: batch_graph(body, [*consts, *(0 if c else None for c in on), *rows], size))
    on = fixpoint([d is not None for d in carry], lambda on: [e is not None for e in batched(on)[1][: len(on)]])
    carried: list[Any] = [0 if c else None for c in on]
    graph, found = batched(on)
    ends = [*carried, *(None if d is None else 0 for d in loop.ends(found)[1])]
    if list(found) != ends:
        graph, _ = batch_graph(body, [*consts, *carried, *rows], size, ends)
    x_consts, x_carry, x_rows = loop.parts(xs)
    outs = scan_call(
        graph,
        loop,
        x_consts,
        [x if to is None else with_axis(x, d, 0, size) for x, d, to in zip(x_carry, carry, carried, strict=True)],
        [x if d is None else with_axis(x, d, 1, size) for x, d in zip(x_rows, loop.parts(dims)[2], strict=True)],
    )
    return outs, (*carried, *(None if d is None else 1 for d in loop.ends(ends)[1]))


def _prune(eqn: Eqn, used: Sequence[bool]) -> Eqn:
    body, loop = eqn.params["body"], eqn.params["loop"]
    consts, carry, rows = loop.parts(body.inputs)
    used_ends, used_ys = loop.ends(used)
    while True:
        kept = [*used_ends, *used_ys]
        outs = selected(body.outputs, kept)
        eqns = live_eqns(body.eqns, outs)
        read = {a for e in eqns for a in e.inputs} | set(outs)
        grown = [u or v in read for u, v in zip(used_ends, carry, strict=True)]
        if grown == used_ends:
            break
        used_ends = grown
    on_consts, on_rows = [v in read for v in consts], [v in read for v in rows]
    keep = [*on_consts, *used_ends, *on_rows]
    if all(kept) and all(keep) and len(eqns) == len(body.eqns):
        return eqn
    graph = Graph(selected(body.inputs, keep), eqns, outs)
    new = loop.with_counts(sum(on_consts), sum(used_ends))
    inputs = tuple(selected(eqn.inputs, keep))
    return Eqn(eqn.prim, inputs, tuple(selected(eqn.outputs, kept)), {"body": graph, "loop": new}, eqn.where)


def _emit(*xs, body, loop):
    _, carry, rows = loop.parts(xs)
    length = "" if rows else f", length={loop.length}"
    how = f"{', reverse=True' if loop.reverse else ''}{f', unroll={loop.unroll}' if loop.unroll != 1 else ''}"
    return f"lax.scan({body}, {packed(carry)}, {packed(rows)}{length}{how})"


def _targets(names, *, body, loop):
    carry, ys = loop.ends(names)
    return ", ".join(packed(group) if group else "_" for group in (carry, ys))


def _bodies(*, body, loop):
    groups = (loop.n_carry, len(body.inputs) - loop.n_consts - loop.n_carry)
    gives = (loop.n_carry, len(body.outputs) - loop.n_carry)
    return (Body("step", body, tuple(range(loop.n_consts)), groups, ("carry", "x"), gives),)


scan_p = Primitive(
    name="scan",
    infer=_infer,
    emit=_emit,
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    cost=lambda outs, *xs, body, loop: Work(inside=((body, loop.length),)),
    graphs=("body",),
    split=_split,
    prune=_prune,
    bodies=_bodies,
    targets=_targets,
)
