"""What an option must be: stated once, beside the option, and checked before anything runs."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from ..ir.errors import ArgumentError

_LIMITS = {
    "least": ("at least", operator.ge),
    "most": ("at most", operator.le),
    "above": ("above", operator.gt),
    "below": ("below", operator.lt),
}


@dataclass(frozen=True)
class Number:
    """A number, fixed when the program is compiled.

    **Attributes:** `least`, `most`, `above`, `below`: its limits, each a number, the name of another option that is
    one, or None; `whole`: whether it must be an integer; `optional`: whether None will do.
    """

    least: Any = None
    most: Any = None
    above: Any = None
    below: Any = None
    whole: bool = False
    optional: bool = False

    def holds(self, value: Any, given: Mapping[str, Any]) -> bool:
        """Whether the value is such a number, beside the other options `given`."""
        if value is None:
            return self.optional
        if isinstance(value, bool) or not isinstance(value, Integral if self.whole else Real):
            return False
        limits = ((within, _limit(getattr(self, name), given)) for name, (_, within) in _LIMITS.items())
        return value == value and all(within(value, limit) for within, limit in limits if limit is not None)

    def words(self, given: Mapping[str, Any]) -> str:
        """What it must be, for a message."""
        limits = []
        for name, (word, _) in _LIMITS.items():
            bound = getattr(self, name)
            if _limit(bound, given) is not None:
                limits.append(f"{word} {f'{bound} = {given[bound]!r}' if isinstance(bound, str) else f'{bound:g}'}")
        kind = "a whole number" if self.whole else "a number"
        return f"{kind} {' and '.join(limits)}".rstrip() + (", or None" if self.optional else "")


COUNT = Number(least=1, whole=True)


def require(whose: str, needs: Mapping[str, Number], given: Mapping[str, Any], usual: Mapping[str, Any]) -> None:
    """**Raises:** `ArgumentError` unless each option is what it needs to be; `usual`: values that are."""
    for name, need in needs.items():
        if not need.holds(given[name], given):
            raise ArgumentError(
                f"{whose} needs {name} to be {need.words(given)}, got {given[name]!r}. "
                f"Leave it out, or write {name}={usual[name]!r}, as usual."
            )


def _limit(bound: Any, given: Mapping[str, Any]) -> Any:
    """A limit's value; None if there is none, or if it is that of an option that is no number itself."""
    limit = given[bound] if isinstance(bound, str) else bound
    return limit if isinstance(limit, Real) else None
