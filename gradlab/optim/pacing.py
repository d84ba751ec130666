"""How many steps share a call of the device: measured on the first steps of the run itself."""

from __future__ import annotations

LONG_STEP = 0.01  # [s] above this, what a call costs beside its steps (about 1e-4 s) is lost in them
CALL = 0.02  # [s] a call is made about this long: short enough for Ctrl-C and the progress bar
MOST = 256
MOST_BYTES = 2**26  # of stacked batches
_TIMED = 3  # calls of each size that are timed, the first one's compilation apart


class Pace:
    """The k of the calls to come. `k` changes until `settled`.

    **Arguments:** `asked`: a number, or "auto"; `step_bytes`: size of a step's batches; `steps`: those to come, or None
    if that is not known; `most`: that can ever come together.
    """

    def __init__(self, asked: int | str, step_bytes: int, steps: int | None, most: int):
        self.settled = asked != "auto"
        self.k = 1 if asked == "auto" else min(int(asked), most)
        self._most = max(1, min(MOST, most, MOST_BYTES // max(1, step_bytes)))
        self._remaining = steps
        self._compile: float | None = None
        self._times: list[float] = []
        self._best: tuple[float, int] | None = None

    def observe(self, n: int, k: int, seconds: float) -> None:
        """A call of `n` steps, by the program for `k`, took `seconds`."""
        if self._remaining is not None:
            self._remaining -= n
        if self.settled or k != self.k:
            return
        if self._compile is None:
            self._compile = seconds
            return
        if n == k:
            self._times.append(seconds / k)
        if len(self._times) < _TIMED:
            return
        self._decide(min(self._times), self._compile)
        self._times, self._compile = [], None

    def _decide(self, per_step: float, compilation: float) -> None:
        if self._best is not None and per_step > 0.95 * self._best[0]:
            per_step, self.k = min(self._best, (per_step, self.k))
            self.settled = True
            return
        self._best = per_step, self.k
        larger = self.k
        while larger < self._most and larger * per_step < CALL:
            larger = min(2 * larger, self._most)
        # At best a call's cost vanishes. What that can save must be worth compiling once more.
        saved = float("inf") if self._remaining is None else 0.5 * per_step * self._remaining
        if per_step > LONG_STEP or larger < 2 * self.k or saved < compilation:
            self.settled = True
        else:
            self.k = larger
