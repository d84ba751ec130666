"""What a diagnosis says: findings, each with the user's line, and the words for values and equations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.graph import Lit
from ..ir.where import Where
from ..ops.convert import convert_p
from ..ops.families import broadcast_p
from .observe import Producers

_SAME = frozenset((broadcast_p, convert_p))  # what they give is, to a person, what they are given


@dataclass(frozen=True)
class Finding:
    """One thing that is worth knowing.

    **Attributes:** `kind`: "non-finite", "hidden", "zero", "partly zero", "saturated", "vanishing", "exploding" or
    "rounding"; `message`: sentences for a person; `where`: the user's line, if one is to blame; `leaf`: the argument
    concerned.
    """

    kind: str
    message: str
    where: Where | None = None
    leaf: str | None = None

    @property
    def line(self) -> int | None:
        """The number of the user's line."""
        return None if self.where is None else self.where.lineno


def at_line(where: Where | None) -> str:
    """`loss, line 12: y = np.log(p)`, for the start of a sentence."""
    if where is None:
        return "an equation without a line"
    text = where.text
    return f"{where.code.co_name}, line {where.lineno}{f', `{text}`' if text else ''}"


def name_of_value(a: Any, made: Producers) -> str:
    """What the user calls a value, or what it is."""
    if type(a) is Lit:
        return str(a.value)
    while a not in made.names and not a.name and a in made and made[a].prim in _SAME:
        a = made[a].inputs[0]
        if type(a) is Lit:
            return str(a.value)
    name = made.names.get(a) or a.name
    if name:
        return name
    return f"the result of `{made[a].prim.name}`" if a in made else "an operand"


def number(x: Any) -> str:
    """A number in few digits."""
    if isinstance(x, np.generic):
        x = x.item()
    return f"{x:.4g}" if isinstance(x, float | complex) else str(x)


def place(index: Sequence[int]) -> str:
    """`[2, 0]`; nothing for a scalar."""
    return f"[{', '.join(map(str, index))}]" if len(index) else ""


def share(part: int, of: int) -> str:
    """`3 of 40 numbers`."""
    return "the one number there is" if of == 1 else f"all {of} numbers" if part == of else f"{part} of {of} numbers"
