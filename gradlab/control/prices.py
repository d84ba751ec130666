"""What the equations of a loop's turn cost, in nanoseconds, as measured on a CPU core by benchmarks/prices.py.

In a turn, a small operation is mostly a kernel's call, or a part of one; done for many turns at once only its
arithmetic counts. Matrix products run as fast in a turn as in a batch of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ..ir.errors import MissingRuleError
from ..ir.graph import Eqn, Var
from ..ir.work import work
from ..ops.contract import dot_general_p
from ..ops.families import broadcast_p, permute_p, reduce_sum_p, reshape_p
from ..ops.reduce import reduce_max_p, reduce_min_p
from ..ops.roll import roll_p
from ..ops.shape import concatenate_p, iota_p, pad_p, rev_p, slice_p

NEVER = math.inf

_FREE = frozenset((broadcast_p, reshape_p, permute_p, iota_p))
_PARTS = frozenset((slice_p, concatenate_p, pad_p, rev_p, roll_p))  # fused into what reads them
_SUMS = frozenset((reduce_sum_p, reduce_max_p, reduce_min_p))

_SHARE = 10.0  # a simple operation, part of a kernel
_PART = 40.0  # one that moves elements, so that the kernel goes element by element
_CALL = 150.0  # what has a kernel of its own: a sum, an exponential, a write into a stack
_FLOP = 0.1  # of an operation on one element
_TRANSCENDENTAL = 4.5
_DOT_FLOP = 0.03
_SMALL_DOT = 80.0  # one of a batch of small products
_BYTE = 0.1  # written or read, in a cache
_FAR_BYTE = 0.5  # of more than a cache holds; it is mapped anew in each call
_NEAR = 1 << 22  # bytes that a cache holds


def _bytes(v: Var) -> float:
    return float(v.aval.size * v.dtype.itemsize)


def _arithmetic(eqn: Eqn) -> tuple[float, bool]:
    """What does not depend on where it is done, and whether it has a kernel of its own."""
    try:
        known = work(eqn)
    except MissingRuleError:
        return NEVER, True
    if known.inside:
        return NEVER, True
    if eqn.prim is dot_general_p:
        return _DOT_FLOP * known.flops, True
    if eqn.prim.scalars or eqn.prim in _PARTS:
        moved = 0.0 if eqn.prim.scalars else _BYTE * sum(map(_bytes, eqn.outputs))
        return _FLOP * known.flops + _TRANSCENDENTAL * known.transcendentals + moved, known.transcendentals > 0
    if eqn.prim in _SUMS:
        return 3 * _FLOP * known.flops, True
    moved = sum(float(a.aval.size * a.dtype.itemsize) for a in (*eqn.inputs, *eqn.outputs))
    return _FLOP * known.flops + _TRANSCENDENTAL * known.transcendentals + moved, True


def price(eqn: Eqn) -> float:
    """An equation in a turn."""
    if eqn.prim in _FREE:
        return 0.0
    rest, own = _arithmetic(eqn)
    return rest + (_CALL if own else _PART if eqn.prim in _PARTS else _SHARE)


def abreast_price(eqn: Eqn) -> float:
    """An equation's part, for one turn, where it is done for many turns at once."""
    if eqn.prim in _FREE:
        return 0.0
    return _arithmetic(eqn)[0] + (_SMALL_DOT if eqn.prim is dot_general_p else 0.0)


def again_price(eqn: Eqn) -> float:
    """An equation that a reverse pass does again, in each turn or for many at once."""
    if eqn.prim in _FREE:
        return 0.0
    rest, own = _arithmetic(eqn)
    return NEVER if eqn.graphs else rest + (_SHARE if own else _SHARE / 4)


def fed_price(v: Var) -> float:
    """A value that is computed before the loop for many turns, and read in it."""
    return _SHARE + 2 * _BYTE * _bytes(v)


def stacked_price(v: Var) -> float:
    """A value that the loop stacks for what comes after it."""
    return _CALL + 2 * _BYTE * _bytes(v)


def kept_price(trips: int) -> Callable[[Var], float]:
    """What it costs to keep a value of each of so many turns, for another loop: it is written once, and read once."""

    def price(v: Var) -> float:
        byte = _BYTE if trips * _bytes(v) <= _NEAR else _FAR_BYTE
        return _CALL + _SHARE + 2 * byte * _bytes(v)

    return price


def scarce_price(v: Var) -> float:
    """What it costs to keep a value where memory is short: as if it were far."""
    return _CALL + _SHARE + 2 * _FAR_BYTE * _bytes(v)
