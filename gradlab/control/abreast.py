"""What no turn of a loop waits for is done for many turns at once; the loop keeps what is handed from turn to turn.

A turn of a small loop is mostly the calling of kernels. Of its equations, those that depend on no carry are computed
before the loop, for a strip of turns together, and those on which no carry depends after it, sums over the turns among
them: loop distribution, by strips (Allen & Kennedy, *Optimizing Compilers for Modern Architectures*, ch. 6). The
reverse pass of a recurrent network computes all gates of a strip in one go, and only hands cotangents back in turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..ir.graph import Atom, Aval, Eqn, Graph, Var
from ..ir.primitive import Primitive
from ..lower.finish import Stretch, arranges
from ..ops.arith import add, mul
from ..ops.contract import dot_general, dot_general_p
from ..ops.convert import convert_p
from ..ops.dynamic import dynamic_slice
from ..ops.families import add_p, broadcast_p, permute_p, reduce_sum_p, reshape_p, with_axis
from ..ops.operands import fill
from ..ops.reduce import reduce_max_p, reduce_min_p
from ..ops.shape import concatenate, concatenate_p, iota, iota_p, pad_p, reshape, rev_p, slice_in_dim, slice_p
from ..passes.pipeline import tidy
from ..trace.builder import bind, bind1
from ..trace.stage import current, trace_graph
from ..transforms.split import live_eqns
from .carries import call_in_pieces, has_pieces
from .prices import NEVER, abreast_price, fed_price, kept_price, price, stacked_price
from .residuals import cheapest
from .scan import Loop, scan_call, scan_p

FEWEST = 16  # turns of a loop that is worth taking apart
STRIP = 1 << 19  # bytes that the parts of a strip hand to each other, so that they stay in a core's cache
LONGEST = 512  # turns of a strip
LARGEST = 4000  # equations of a body that is looked at
DEEPEST = 30  # sums in sums that are looked into
WORTH = 0.1  # of its time that a loop has to save

_MOVES = (broadcast_p, reshape_p, permute_p, slice_p, pad_p, concatenate_p, rev_p, iota_p, convert_p)
_ABREAST = frozenset((*_MOVES, reduce_sum_p, reduce_max_p, reduce_min_p, dot_general_p))


def _goes_abreast(prim: Primitive) -> bool:
    return prim.scalars or prim in _ABREAST


def _again_price(eqn: Eqn) -> float:
    return abreast_price(eqn) if _goes_abreast(eqn.prim) else NEVER


class Sections(NamedTuple):
    """A body in three: `before` depends on no carry, `inside` stays in the loop, no carry depends on `after`.

    **Attributes:** `sums`: of a carry that each turn only adds to, by its number, what is added; `into`: values of
    `before` that the loop reads for each turn; `out`: values of the loop that `after` reads.
    """

    before: list[Eqn]
    inside: list[Eqn]
    after: list[Eqn]
    sums: dict[int, Atom]
    into: list[Var]
    out: list[Var]


@arranges(scan_p)
def arranged(xs: Sequence[Any], stretches: Sequence[Stretch | None], body: Graph, loop: Loop) -> tuple | None:
    """The loop's results, computed as is best on a CPU; None where it is best as it is."""
    xs, body, changed = _stretched_inside(xs, stretches, body, loop)
    consts, carry, rows = loop.parts(xs)
    fits = loop.length >= FEWEST and loop.unroll == 1 and len(body.eqns) <= LARGEST
    parts = sections(body, loop) if fits else None
    if parts is not None:
        return _in_strips(body, loop, parts, consts, carry, rows)
    return call_in_pieces(body, loop, consts, carry, rows) if changed or has_pieces(body, loop) else None


def _stretched_inside(
    xs: Sequence[Any], stretches: Sequence[Stretch | None], body: Graph, loop: Loop
) -> tuple[list[Any], Graph, bool]:
    """Constants are stretched where they are read: in each turn, that is less to read from memory."""
    xs, inputs, eqns = list(xs), list(body.inputs), []
    for k, found in enumerate(stretches[: loop.n_consts]):
        if found is not None:
            small, large = Var(found.x.aval), inputs[k]
            eqns.append(Eqn(broadcast_p, (small,), (large,), {"shape": large.shape, "axes": found.axes}))
            xs[k], inputs[k] = found.x, small
    return xs, (Graph(inputs, (*eqns, *body.eqns), body.outputs) if eqns else body), bool(eqns)


# -- what goes where


def sections(body: Graph, loop: Loop) -> Sections | None:
    """The three sections of a loop's body; None where it does not pay to take it apart."""
    consts, carries, rows = loop.parts(body.inputs)
    sums = _sums(body, carries)
    ready: set[Var] = {*consts, *rows}
    before, rest = [], []
    for eqn in body.eqns:
        if _goes_abreast(eqn.prim) and all(type(a) is not Var or a in ready for a in eqn.inputs):
            before.append(eqn)
            ready.update(eqn.outputs)
        else:
            rest.append(eqn)
    ends, ys = loop.ends(body.outputs)
    wanted = [*ys, *sums.values()]
    carried = [a for k, a in enumerate(ends) if k not in sums]
    stuck = [v for eqn in rest if not _goes_abreast(eqn.prim) for v in eqn.outputs]
    inside = live_eqns(rest, [*carried, *stuck])
    within = {v for eqn in inside for v in eqn.outputs}
    after = live_eqns([eqn for eqn in rest if within.isdisjoint(eqn.outputs)], wanted)

    read = dict.fromkeys(a for a in (*(a for e in inside for a in e.inputs), *carried) if type(a) is Var)
    made = {v for eqn in before for v in eqn.outputs}
    into, again = cheapest(before, (), [v for v in read if v in made], keep=fed_price, price=price)
    alive = [v for k, v in enumerate(carries) if k not in sums]
    own = {*alive, *within}
    needed = dict.fromkeys(a for a in (*(a for e in after for a in e.inputs), *wanted) if type(a) is Var and a in own)
    out, redone = cheapest(inside, alive, list(needed), keep=stacked_price, price=_again_price)
    moved = live_eqns(before, [*into, *wanted, *(a for e in (*redone, *after) for a in e.inputs)])
    left = {v for eqn in again for v in eqn.outputs}
    saved = sum(price(eqn) for eqn in (*moved, *after) if left.isdisjoint(eqn.outputs))
    spent = sum(map(abreast_price, (*moved, *redone, *after))) + sum(map(fed_price, into))
    spent += sum(stacked_price(v) for v in out if v not in ys)
    if loop.length % _turns(loop, into, out):  # the results of the turns left over are joined to the others: a copy
        spent += sum(kept_price(loop.length)(a) for a in ys if type(a) is Var)
    if saved - spent < WORTH * sum(map(price, body.eqns)):
        return None
    return Sections(moved, [*again, *inside], [*redone, *after], sums, into, out)


def _sums(body: Graph, carries: Sequence[Var]) -> dict[int, Atom]:
    """The carries that each turn only adds to, and what it adds."""
    made = {v: eqn for eqn in body.eqns for v in eqn.outputs}
    reads: dict[Atom, int] = {}
    for a in (*body.outputs, *(a for eqn in body.eqns for a in eqn.inputs)):
        if type(a) is Var:
            reads[a] = reads.get(a, 0) + 1
    found = {}
    for k, (v, end) in enumerate(zip(carries, body.outputs, strict=False)):
        eqn = made.get(end) if type(end) is Var else None
        if eqn is None or eqn.prim is not add_p or reads.get(v) != 1 or reads[end] != 1 or v.dtype.kind not in "fc":
            continue
        x, y = eqn.inputs
        if x is v or y is v:
            found[k] = y if x is v else x
    return found


# -- the loop


def strip_length(length: int, n_bytes: int) -> int:
    """How many turns go abreast, of so many bytes each: all, or as many as leave the fewest over."""
    most = max(FEWEST, min(LONGEST, STRIP // max(n_bytes, 1)))
    if length <= most:
        return length
    return min(range(most, most // 4, -1), key=lambda n: length % n)


def _turns(loop: Loop, into: Sequence[Var], out: Sequence[Var]) -> int:
    return strip_length(loop.length, sum(v.aval.size * v.dtype.itemsize for v in (*into, *out)))


def _in_strips(body: Graph, loop: Loop, parts: Sections, consts: list[Any], carry: list[Any], rows: list[Any]) -> tuple:
    turns = _turns(loop, parts.into, parts.out)
    if turns == loop.length:
        return _strip(body, loop, parts, consts, carry, rows)
    many, left = divmod(loop.length, turns)
    n, m, k = len(consts), len(rows), len(carry)

    def strip(builder, *args):
        fixed, whole, moving, start = args[:n], args[n : n + m], args[n + m : -1], args[-1]
        here = [dynamic_slice(x, start, *[0] * (x.ndim - 1), sizes=(turns, *x.shape[1:])) for x in whole]
        return _strip(body, loop._replace(length=turns), parts, fixed, moving, here)

    index = Aval((), np.dtype("int32"))
    avals = [*(x.aval for x in (*consts, *rows)), *body.in_avals[n : n + k], index]
    starts = iota(index.dtype, (many,))
    starts = mul(starts, fill(turns, starts.aval))
    if loop.reverse and left:
        starts = add(starts, fill(left, starts.aval))
    outer = loop._replace(length=many)
    outs = scan_call(tidy(trace_graph(strip, avals)), outer, [*consts, *rows], carry, [starts])
    ends, ys = loop.ends(outs)
    ys = [reshape(y, (many * turns, *y.shape[2:])) for y in ys]
    if left:
        at = (0, left) if loop.reverse else (loop.length - left, loop.length)
        last = [slice_in_dim(x, *at, axis=0) for x in rows]
        ends, rest = loop.ends(call_in_pieces(body, loop._replace(length=left), consts, ends, last))
        ys = [concatenate((b, a) if loop.reverse else (a, b), axis=0) for a, b in zip(ys, rest, strict=True)]
    return (*ends, *ys)


def _strip(
    body: Graph, loop: Loop, parts: Sections, consts: Sequence[Any], carry: Sequence[Any], rows: Sequence[Any]
) -> tuple:
    """The turns of one strip."""
    on_consts, on_carry, on_rows = loop.parts(body.inputs)
    turns = _Turns(loop.length, dict(zip((*on_consts, *on_rows), (*consts, *rows), strict=True)))
    turns.axis.update(dict.fromkeys(on_rows, 0))
    turns.run(parts.before)

    alive = [k for k in range(loop.n_carry) if k not in parts.sums]
    eqns = parts.inside
    ends = [*(body.outputs[k] for k in alive), *parts.out]
    read = dict.fromkeys(a for a in (*(a for e in eqns for a in e.inputs), *ends) if type(a) is Var)
    made = {v for e in eqns for v in e.outputs}
    there = [v for v in read if v in turns.value and v not in made]
    fixed, moving = [v for v in there if v not in turns.axis], [v for v in there if v in turns.axis]
    inner = Graph([*fixed, *(on_carry[k] for k in alive), *moving], eqns, ends)
    operands = [turns.value[v] for v in fixed], [carry[k] for k in alive], [turns.rows(v) for v in moving]
    outs = call_in_pieces(inner, loop.with_counts(len(fixed), len(alive)), *operands)
    last, out = outs[: len(alive)], outs[len(alive) :]

    turns.value.update(zip(parts.out, out, strict=True))
    turns.axis.update(dict.fromkeys(parts.out, 0))
    turns.run(parts.after)
    handed = dict(zip(alive, last, strict=True))
    handed.update({k: add(carry[k], turns.total(term)) for k, term in parts.sums.items()})
    return (*(handed[k] for k in range(loop.n_carry)), *map(turns.rows, loop.ends(body.outputs)[1]))


class _Turns:
    """Values of so many turns at once: `value` of each variable, `axis` of the turns in those that differ by turn."""

    def __init__(self, size: int, value: dict[Var, Any]):
        self.size, self.value = size, value
        self.axis: dict[Var, int] = {}
        self.made: dict[Var, Eqn] = {}

    def run(self, eqns: Sequence[Eqn]) -> None:
        """Compute what the equations make."""
        builder = current(list(self.value.values()))
        for eqn in eqns:
            builder.where = eqn.where
            xs = tuple([self.value[a] if type(a) is Var else a for a in eqn.inputs])
            at = tuple([self.axis.get(a) if type(a) is Var else None for a in eqn.inputs])
            if all(d is None for d in at):
                outs, placed = bind(eqn.prim, *xs, **eqn.params), (None,) * len(eqn.outputs)
            else:
                outs, placed = eqn.prim.batch(xs, at, **eqn.params)
            for v, out, d in zip(eqn.outputs, outs, placed, strict=True):
                self.value[v], self.made[v] = out, eqn
                if d is not None:
                    self.axis[v] = d

    def rows(self, a: Atom) -> Any:
        """The values of all turns along the first axis."""
        return with_axis(*self._of(a), 0, self.size)

    def _of(self, a: Atom) -> tuple[Any, int | None]:
        return (self.value[a], self.axis.get(a)) if type(a) is Var else (a, None)

    def total(self, a: Atom, depth: int = 0) -> Any:
        """The sum over the turns; `depth`: how deep in sums it stands."""
        x, d = self._of(a)
        if d is None:
            return mul(x, fill(self.size, x.aval))
        eqn = self.made.get(a) if type(a) is Var else None
        if eqn is not None and eqn.prim is concatenate_p:
            return concatenate([self.total(b) for b in eqn.inputs], axis=eqn.params["axis"])
        if eqn is not None and (eqn.prim is reshape_p or eqn.prim is permute_p):
            return bind1(eqn.prim, self.total(eqn.inputs[0]), **eqn.params)
        if eqn is not None and eqn.prim is dot_general_p:
            (x, at_x), (y, at_y) = map(self._of, eqn.inputs)
            if at_x is not None and at_y is not None:
                return _summed_dot(x, at_x, y, at_y, **eqn.params)
            (x, _) = self._of(a)
        if eqn is not None and eqn.prim is add_p and depth < DEEPEST and self._has_product(a, depth):
            return add(*(self.total(b, depth + 1) for b in eqn.inputs))
        return bind1(reduce_sum_p, x, axes=(d,))

    def _has_product(self, a: Atom, depth: int) -> bool:
        """Whether an array is a sum one term of which is a matrix product."""
        eqn = self.made.get(a) if type(a) is Var else None
        if eqn is None or eqn.prim is not add_p or depth >= DEEPEST:
            return eqn is not None and eqn.prim is dot_general_p
        return any(self._has_product(b, depth + 1) for b in eqn.inputs)


def _summed_dot(x: Any, at_x: int, y: Any, at_y: int, contract: Any, batch: Any, **params: Any) -> Any:
    """The sum over one more axis of both of a product along other ones: that axis is summed over too."""

    def later(axes: Sequence[int], at: int) -> tuple[int, ...]:
        return tuple([a + (a >= at) for a in axes])

    over = (at_x, *later(contract[0], at_x)), (at_y, *later(contract[1], at_y))
    return dot_general(x, y, contract=over, batch=(later(batch[0], at_x), later(batch[1], at_y)), **params)
