"""`roll`: an array turned round along an axis. Its transpose turns it back, so a stencil's adjoint is a stencil."""

from __future__ import annotations

from typing import Any

from ..ir.graph import Aval
from ..ir.primitive import Primitive
from ..trace.builder import bind, bind1
from .costs import MOVES
from .families import linear
from .operands import require_axes


def roll(x: Any, shift: int, axis: int) -> Any:
    """`x` with element i along `axis` moved to i + shift, round the end."""
    shift = shift % x.shape[axis] if x.shape[axis] else 0
    return bind1(roll_p, x, shift=shift, axis=axis) if shift else x


def _infer(x: Aval, *, shift: int, axis: int) -> tuple[Aval]:
    require_axes("roll", x, (axis,))
    return (x,)


def _batch(xs, dims, *, shift, axis):
    return bind(roll_p, *xs, shift=shift, axis=axis + (axis >= dims[0])), dims


roll_p = Primitive(
    name="roll",
    infer=_infer,
    emit=lambda x, *, shift, axis: f"jnp.roll({x}, {shift}, {axis})",
    jvp=linear(lambda: roll_p),
    transpose=lambda cts, active, x, *, shift, axis: (roll(cts[0], -shift, axis),),
    batch=_batch,
    cost=MOVES,
)
