"""What the equations of a loop's turn cost, in nanoseconds, as measured on a CPU core (benchmarks/prices.py).

In a turn, a small operation is mostly a part of a kernel's call; done for many turns at once, only its arithmetic counts.
"""

from __future__ import annotations

import math

from ..ir.graph import Eqn, Var
from ..ir.work import work
from ..ir.errors import MissingRuleError
from ..ops.contract import dot_general_p
from ..ops.families import broadcast_p, permute_p, reshape_p
from ..ops.shape import iota_p

NEVER = math.inf
FREE = frozenset((broadcast_p, reshape_p, permute_p, iota_p))

CALL = 60.0  # a kernel of its own
SHARE = 12.0  # a part of a kernel
FLOP = 0.3  # an addition or multiplication of one element, in a kernel of few elements
TRANSCENDENTAL = 8.0
VECTOR = 0.4  # of that where many turns' elements are computed together
BYTE = 0.1  # written or read
DOT_FLOP = 0.15


def _bytes(v: Var) -> float:
    return float(v.aval.size * v.dtype.itemsize)


def _arithmetic(eqn: Eqn) -> float:
    try:
        known = work(eqn)
    except MissingRuleError:
        return NEVER
    if known.inside:
        return NEVER
    if eqn.prim is dot_general_p:
        return DOT_FLOP * known.flops
    moved = 0.0 if eqn.prim.scalars else BYTE * sum(map(_bytes, eqn.outputs))
    return FLOP * known.flops + TRANSCENDENTAL * known.transcendentals + moved


def price(eqn: Eqn) -> float:
    """An equation in a turn."""
    if eqn.prim in FREE:
        return 0.0
    return (SHARE if eqn.prim.scalars else CALL) + _arithmetic(eqn)


def abreast_price(eqn: Eqn) -> float:
    """An equation's part, for one turn, where it is done for many turns at once."""
    return 0.0 if eqn.prim in FREE else VECTOR * _arithmetic(eqn)


def kept_price(v: Var) -> float:
    """A value that is computed before the loop and read in it."""
    return SHARE + 2 * BYTE * _bytes(v)


def carried_price(v: Var) -> float:
    """A value that the loop stacks for what comes after."""
    return CALL + 2 * BYTE * _bytes(v)
