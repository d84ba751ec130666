"""Fair stop-watches: every contender in turn within each round, so that a busy machine slows them all alike."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable


def _seconds(call: Callable[[], object], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - start) / times


def interleaved(
    calls: dict[str, Callable[[], object]],
    budget: float,
    before: dict[str, Callable[[], None]] | None = None,
    slice_seconds: float = 2e-3,
    rounds: tuple[int, int] = (7, 60),
) -> dict[str, list[float]]:
    """Seconds per call of each contender, one number a round.

    **Arguments:** `budget`: seconds for all of it, within `rounds` (fewest, most). `before`: what to do, untimed,
    ahead of a contender's turn; each turn is then a single call, otherwise as many as fill `slice_seconds`.
    """
    times = {}
    for name, call in calls.items():
        if before is None:
            call()  # the first call compiles and fills caches
            once = min(_seconds(call, 1) for _ in range(2))
            times[name] = max(1, round(slice_seconds / max(once, 1e-7)))
        else:
            times[name] = 1
    seen: dict[str, list[float]] = {name: [] for name in calls}
    order = list(calls)
    start = time.perf_counter()
    gc.collect()
    gc.disable()
    try:
        for done in range(rounds[1]):
            if done >= rounds[0] and time.perf_counter() - start > budget:
                break
            for name in order:
                if before is not None:
                    before[name]()
                seen[name].append(_seconds(calls[name], times[name]))
            order.reverse()
            if done % 8 == 7:
                gc.collect()
    finally:
        gc.enable()
    return seen


def medians(seen: dict[str, list[float]]) -> dict[str, float]:
    return {name: statistics.median(values) for name, values in seen.items()}


def ratio(seen: dict[str, list[float]], peer: str, own: str = "gradlab") -> float:
    """How many times longer the peer takes: the median over rounds of the ratio within a round."""
    return statistics.median(p / o for p, o in zip(seen[peer], seen[own], strict=True))
