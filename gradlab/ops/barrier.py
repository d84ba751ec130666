"""`optimization_barrier`: XLA computes these values, and neither merges nor fuses what is on its two sides."""

from __future__ import annotations

from ..ir.primitive import Primitive, Refused
from .costs import MOVES

_LATE = Refused("optimization_barrier is written only when a program is lowered; nothing is differentiated after that")

barrier_p = Primitive(
    name="optimization_barrier",
    infer=lambda *xs: xs,
    emit=lambda *xs: f"lax.optimization_barrier({xs[0] if len(xs) == 1 else '(' + ', '.join(xs) + ')'})",
    jvp=_LATE,
    transpose=_LATE,
    batch=_LATE,
    cost=MOVES,
)
