"""1 / (1 + exp(−x)), as people write it, is the logistic function: its derivative needs only its value.

XLA computes both alike. Differentiated as written it keeps three values and divides twice more, and where the
exponential overflows, its derivative is 0 · ∞.
"""

from __future__ import annotations

from ..ir.graph import Atom, Eqn
from ..ops.arith import div_p, exp_p, integer_pow_p, logistic_p
from ..ops.families import add_p, neg_p
from .simplify import Made, is_number, made_by, rule, with_inputs


@rule(div_p)
def _div(eqn: Eqn, made: Made):
    return _logistic(eqn, eqn.inputs[1], made) if is_number(eqn.inputs[0], 1) else None


@rule(integer_pow_p)
def _power(eqn: Eqn, made: Made):
    return _logistic(eqn, eqn.inputs[0], made) if eqn.params["y"] == -1 else None


def _logistic(eqn: Eqn, below: Atom, made: Made) -> Eqn | None:
    """The reciprocal of `below` = 1 + exp(−x)."""
    total = made_by(below, add_p, made)
    if total is None or below.dtype.kind == "c":
        return None
    one, power = total.inputs if is_number(total.inputs[0], 1) else total.inputs[::-1]
    grown = made_by(power, exp_p, made)
    minus = made_by(grown.inputs[0], neg_p, made) if grown and is_number(one, 1) else None
    return with_inputs(eqn, logistic_p, minus.inputs[0]) if minus else None
