"""A patient garbage collector: while a long program is read, Python looks for cycles a hundred times less often.

Recording allocates and keeps. Python's collector meanwhile walks over all that is kept, again and again, and finds
nothing: two thirds of the time it takes to read 100,000 equations.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

LONG = 2000  # equations from which a program is long
_PATIENT = (100_000, 100)  # objects made between two looks at the youngest, and how many of those until the next older


class _Patience:
    """How many wait for the collector at present, in all threads, and what its thresholds were before."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting = 0
        self._usual = (0, 0, 0)

    def begin(self) -> None:
        """Collect less often until `end` has been called as often."""
        with self._lock:
            if not self._waiting:
                self._usual = gc.get_threshold()
                if 0 < self._usual[0] < _PATIENT[0]:
                    gc.set_threshold(*_PATIENT, self._usual[2])
            self._waiting += 1

    def end(self) -> None:
        with self._lock:
            self._waiting -= 1
            if not self._waiting:
                gc.set_threshold(*self._usual)


PATIENCE = _Patience()


@contextmanager
def patient(size: int) -> Iterator[None]:
    """A context in which the collector is patient, if there are that many equations to be worked on."""
    if size < LONG:
        yield
        return
    PATIENCE.begin()
    try:
        yield
    finally:
        PATIENCE.end()
