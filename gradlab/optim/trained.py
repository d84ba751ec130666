"""What `train` answers: the parameters, why it stopped there and what to do about it, and what happened on the way."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np


class TrainStatus(Enum):
    """Why training stopped; `.value` says it in words."""

    FINISHED = "finished: all steps were taken."
    DATA_ENDED = (
        "the data ended before the steps did. Give data that can be iterated again (a list, a loader, a function of "
        "the epoch) in place of a generator, or fewer steps."
    )
    EARLY_STOPPED = "stopped early: the last evaluations brought no better value. `best_params` are those of the best."
    CALLBACK = "the callback asked to stop."
    INTERRUPTED = (
        "interrupted (Ctrl-C): the last state is returned. With checkpoint=..., the same call goes on from there."
    )
    NONFINITE = "stopped at a step whose loss or gradient is not finite; the parameters are those before it."


@dataclass(frozen=True)
class Trained:
    """The result of `train`.

    **Attributes:** `params`, `opt_state`: parameters and optimizer state after the last step; `ema`: their moving
    average, None without `ema=`; `status`, `message`: why it stopped, and what to do; `step`: steps taken; `epoch`:
    passes over the data that are complete; `skipped`: steps whose update was left out because it was not finite;
    `history`: name → one number a logged step ("step", "loss", "grad_norm", "seconds", the auxiliary values), and under
    "eval/..." those of the evaluations; `best_params`, `best_value`, `best_step`: of the best evaluation, None without
    `evaluate=`; `steps_per_call`: steps that shared one program; `seconds`: [s], of all parts of a resumed run;
    `resumed_from`: the step of the checkpoint that this run went on from, or None.
    """

    params: Any
    opt_state: Any
    ema: Any
    status: TrainStatus
    message: str
    step: int
    epoch: int
    skipped: int
    history: dict[str, np.ndarray]
    best_params: Any
    best_value: float | None
    best_step: int | None
    steps_per_call: int
    seconds: float
    resumed_from: int | None

    @property
    def loss(self) -> float:
        """The loss of the last logged step; nan if none was."""
        losses = self.history.get("loss")
        return float(losses[-1]) if losses is not None and len(losses) else float("nan")

    def __str__(self) -> str:
        return (
            f"{self.status.name}: {self.message}\n  {self.step} steps, loss {self.loss:.6g}, {self.seconds:.1f} s, "
            f"{self.steps_per_call} steps a call"
        )
