"""How many steps share a call of the device: measured on the first steps of the run itself."""

from __future__ import annotations

LONG_STEP = 0.01  # [s] above this, what a call costs beside its steps (about 1e-4 s) is lost in them
CALL = 0.03  # [s] a call is made about this long: short enough for Ctrl-C and the progress bar
MOST = 256
MOST_BYTES = 2**24  # of stacked batches
_TIMED = 4  # calls of each size that are timed; the quickest counts, for others may be using the machine too


class Pace:
    """The size of the calls to come: it changes until `settled`.

    The program takes stacks of `k` steps and runs as many of them as it is told, so trying sizes compiles nothing.
    **Arguments:** `asked`: a number, or "auto"; `step_bytes`: of a step's batches; `most`: that can ever come together.
    """

    def __init__(self, asked: int | str, step_bytes: int, most: int):
        automatic = asked == "auto"
        self.k = max(1, min(most, MOST, MOST_BYTES // max(1, step_bytes)) if automatic else min(int(asked), most))
        self.size = 1 if automatic else self.k
        self.settled = self.size == self.k
        self._compiled = False
        self._times: list[float] = []

    def observe(self, n: int, seconds: float) -> None:
        """A call of `n` steps took `seconds`."""
        if self.settled or n != self.size:
            return
        if not self._compiled:
            self._compiled = True
            return
        self._times.append(seconds / n)
        if len(self._times) < _TIMED:
            return
        per_step = min(self._times)
        self._times = []
        # What a call costs by itself is spread over its steps, so a larger one is never slower a step.
        larger = 1 if per_step > LONG_STEP else min(self.k, max(self.size, int(CALL / per_step)))
        self.settled = larger < 2 * self.size or larger == self.k
        self.size = max(self.size, larger)
