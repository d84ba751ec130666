"""A function that calls another array library on its tracers is read by that library: the slot for it, filled above."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol


class Dialect(Protocol):
    """What gradlab must know of a library whose functions do not take its tracers."""

    def knows(self, fun: Callable) -> bool:
        """Whether `fun` was found to call the library before."""
        ...

    def concerns(self, error: Exception) -> bool:
        """Whether a function failed because it handed a tracer of ours to the library."""
        ...

    def remember(self, fun: Callable) -> None:
        """From now on `fun` is known; for as long as it lives."""
        ...

    def read(self, call: Callable[[Sequence[Any]], Any], xs: Sequence[Any]) -> Any:
        """`call(xs)`, with `call` read as a whole by the library, recorded in the trace at hand.

        **Raises:** `ConversionError` where it cannot be read that way.
        """
        ...

    def outside(self, fun: Callable, *args: Any, **kwargs: Any) -> Any:
        """`fun(*args, **kwargs)` on the library's own arrays, outside of any trace of ours."""
        ...


DIALECTS: list[Dialect] = []  # none, or the one that gradlab.interop puts here
