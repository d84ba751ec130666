"""A long scan in segments: the reverse pass finds one carry for each, and computes the turns between them again.

Of n turns in k segments, k carries and the values of n / k turns are held at a time, least of all for k = √n. The price
is that each turn is computed once more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..ir.graph import Graph
from ..ops.families import reshape_p
from ..ops.shape import concatenate, slice_in_dim
from ..trace.builder import bind, bind1
from ..trace.stage import trace_graph
from .call import checkpoint_call
from .scan import Loop, scan_call, scan_p


def segment_lengths(length: int, segments: int) -> tuple[int, int, int]:
    """How many segments of one length there are, that length, and how many turns are left over."""
    turns = max(1, math.ceil(length / max(segments, 1)))
    return length // turns, turns, length % turns


def segmented_call(
    body: Graph, loop: Loop, consts: Sequence[Any], carry: Sequence[Any], xs: Sequence[Any], segments: int
) -> tuple:
    """What `scan_call` gives, with so many segments for the reverse pass; the turns left over come last."""
    many, turns, left = segment_lengths(loop.length, segments)
    if many * turns <= 1 or turns == loop.length:
        return _segment(body, loop, loop.length, consts, carry, xs)
    whole = many * turns
    first = (left, loop.length) if loop.reverse else (0, whole)
    rest = (0, left) if loop.reverse else (whole, loop.length)
    n, m = len(consts), len(carry)

    def turn(builder, *args):
        return _segment(body, loop, turns, args[:n], args[n : n + m], args[n + m :])

    avals = body.in_avals
    rows = [aval.reshaped((turns, *aval.shape)) for aval in avals[n + m :]]
    outer = trace_graph(turn, [*avals[: n + m], *rows])
    blocks = [bind1(reshape_p, slice_in_dim(x, *first, axis=0), shape=(many, turns, *x.shape[1:])) for x in xs]
    outs = scan_call(outer, loop._replace(length=many, unroll=1), consts, carry, blocks)
    ends, ys = outs[:m], [bind1(reshape_p, y, shape=(whole, *y.shape[2:])) for y in outs[m:]]
    if left:
        outs = _segment(body, loop, left, consts, ends, [slice_in_dim(x, *rest, axis=0) for x in xs])
        ends = outs[:m]
        pairs = zip(ys, outs[m:], strict=True)
        ys = [concatenate((b, a) if loop.reverse else (a, b), axis=0) for a, b in pairs]
    return (*ends, *ys)


def _segment(
    body: Graph, loop: Loop, turns: int, consts: Sequence[Any], carry: Sequence[Any], xs: Sequence[Any]
) -> tuple:
    loop = loop._replace(length=turns, n_consts=len(consts), n_carry=len(carry))
    inner = trace_graph(
        lambda builder, *args: bind(scan_p, *args, body=body, loop=loop), [x.aval for x in (*consts, *carry, *xs)]
    )
    # Nothing to merge with: the first computation is in another loop.
    return checkpoint_call(inner, [*consts, *carry, *xs], None)
