"""The loop on the host: calls the fused program, and does between calls what the device cannot.

One call is always on its way while the results of the one before are read. Where something must see the state as it is
(an evaluation, a checkpoint, the callback), the loop waits for it first.
"""

from __future__ import annotations

import queue
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..ir.errors import ArgumentError
from .feeding import Feed, Group, Mark, Plan
from .fused import State, Steps
from .metrics import Bar, History, Outlets
from .pacing import Pace
from .trained import TrainStatus


class Options(NamedTuple):
    """What the loop does besides stepping.

    **Attributes:** `evaluate(params)`, every `evaluate_every` steps (None: after each epoch); `patience`, `mode`,
    `monitor`: of early stopping; `save_every`: steps or None; `save_seconds`: or None; `log_every`: steps;
    `max_nonfinite`: how often "restore" returns to one checkpoint.
    """

    evaluate: Callable | None
    evaluate_every: int | None
    patience: int | None
    mode: str
    monitor: str | None
    save_every: int | None
    save_seconds: float | None
    log_every: int
    max_nonfinite: int


class Best(NamedTuple):
    """The best evaluation so far, and how many came since that were no better."""

    value: float | None = None
    step: int | None = None
    worse: int = 0


class _Call(NamedTuple):
    group: Group
    start: int
    logs: Any
    reached: Any
    began: float


class Run:
    """A run in progress: `loop` takes it to its end; `save`, if there is one, writes a checkpoint of it."""

    def __init__(
        self,
        steps: Steps,
        state: State,
        key: Any,
        feed: Feed,
        plan: Plan,
        pace: Pace,
        options: Options,
        bar: Bar,
        outlets: Outlets,
        save: Callable[[Run], None] | None,
        mark: Mark,
    ):
        self.state, self.mark, self.step = state, mark, int(state.step)
        self.history, self.best, self.best_params = History(), Best(), None
        self.status: TrainStatus | None = None
        self.note = ""
        self.passes: int | None = None  # over the data that are complete, where the data ended
        self.seconds = 0.0
        self._steps, self._key, self._feed, self._plan, self._pace = steps, key, feed, plan, pace
        self._options, self._bar, self._outlets, self._save = options, bar, outlets, save
        self._todo: deque[tuple[Group, int]] = deque()
        self._pending: deque[_Call] = deque()
        self._restores = 0
        self._snapshot: State | None = None
        self._saved_at = time.perf_counter()
        self.evaluated_at: int | None = None

    # -- the loop

    def loop(self) -> None:
        """Train until something says stop; `status` is what."""
        self._clock = time.perf_counter()
        self._keep_snapshot()
        with _Interrupts() as interrupts:
            while self.status is None:
                if interrupts.came:
                    self._drain()
                    self.status = self.status or TrainStatus.INTERRUPTED
                elif self._todo:
                    self._run(*self._todo.popleft())
                elif self._plan.total is not None and self._ahead() >= self._plan.total:
                    self._end(TrainStatus.FINISHED)
                else:
                    try:
                        group = self._feed.next()
                    except queue.Empty:
                        continue
                    if group is None:
                        self.passes = self._feed.passes
                        whole = self._plan.epochs is not None and not self._feed.used_up
                        self._end(TrainStatus.FINISHED if whole else TrainStatus.DATA_ENDED)
                    else:
                        self._todo.append((group, 0))
        self._tick()

    def _ahead(self) -> int:
        """The step after all calls on their way."""
        last = self._pending[-1].group if self._pending else None
        return self.step if last is None else last.first + last.n

    def _end(self, status: TrainStatus) -> None:
        self._drain()
        if self.status is None and not self._todo:
            self._evaluate(again=False)
            self.status = self.status if self.status is not None else status

    def _run(self, group: Group, start: int) -> None:
        if start < group.n:
            began = time.perf_counter()
            self.state, logs, reached = self._steps.call(self.state, group.batches, self._key, start, group.n)
            self._pending.append(_Call(group, start, logs, reached, began))
        after = group.first + group.n
        due = [every for every in (self._options.evaluate_every, self._options.save_every) if every]
        late = self._save_is_late()
        if group.ends_epoch or any(after % every == 0 for every in due) or late or self._must_see_each_call():
            self._drain()
            if self._todo or self.status is not None:
                return  # the group halted on its way: what it was to end in comes when its rest is done
            self.mark = group.mark
            self._between(after, group, late)
        elif len(self._pending) > 1:
            self._settle()

    def _must_see_each_call(self) -> bool:
        return not self._pace.settled or self._outlets.listens

    def _between(self, step: int, group: Group, late: bool) -> None:
        every = self._options.evaluate_every
        if group.ends_epoch if every is None else step % every == 0:
            self._evaluate()
        if self.status is None and (late or (self._options.save_every and step % self._options.save_every == 0)):
            self.checkpoint()

    def checkpoint(self) -> None:
        """Save the state as it is: nothing may be on its way."""
        self._tick()
        if self._save is not None:
            self._save(self)
        self._keep_snapshot()
        self._saved_at = time.perf_counter()

    def _save_is_late(self) -> bool:
        seconds = self._options.save_seconds
        return seconds is not None and time.perf_counter() - self._saved_at > seconds

    def _tick(self) -> None:
        now = time.perf_counter()
        self.seconds += now - self._clock
        self._clock = now

    # -- reading what calls brought

    def _drain(self) -> None:
        while self._pending:
            self._settle()

    def _settle(self) -> None:
        call = self._pending.popleft()
        group, start = call.group, call.start
        logs, reached = jax.device_get((call.logs, call.reached))
        reached = int(reached)
        self._tick()
        self._record(group, start, reached, logs)
        if reached > start:
            self.mark, self.step = group.marks[reached - 1], group.first + reached
        seconds = time.perf_counter() - call.began
        self._pace.observe(reached - start, seconds)
        self._feed.size = self._pace.size
        if reached < group.n:
            # Calls that followed found the state halted and did nothing: they are still to be done.
            rest = [(later.group, later.start) for later in self._pending]
            self._pending.clear()
            self._todo.extendleft(reversed([(group, reached + 1), *rest]))
            self._nonfinite(group, reached)

    def _record(self, group: Group, start: int, reached: int, logs: Mapping[str, np.ndarray]) -> None:
        if reached <= start:
            return
        numbers = np.arange(group.first + start + 1, group.first + reached + 1)
        rows = np.flatnonzero(numbers % self._options.log_every == 0)
        columns = {"step": numbers[rows]} | {name: values[start:reached][rows] for name, values in logs.items()}
        columns["seconds"] = np.full(len(rows), self.seconds)
        self.history.add(columns)
        done = group.rows * (reached - start) // group.n if group.rows is not None else None
        self._bar.advance(reached - start, f"loss={logs['loss'][reached - 1]:.4g}", done)
        if self._outlets and len(rows):
            names = list(columns)
            every = zip(*(column.tolist() for column in columns.values()), strict=True)
            self._hand_out([dict(zip(names, row, strict=True)) for row in every])

    def _hand_out(self, records: list[dict]) -> None:
        if self._outlets.write(records) and self.status is None:
            self.status = TrainStatus.CALLBACK

    # -- evaluations

    def _evaluate(self, again: bool = True) -> None:
        options = self._options
        if options.evaluate is None or (not again and self.evaluated_at == self.step):
            return
        self.evaluated_at = self.step
        shown = self.state.params if self.state.ema is None else self.state.ema
        values = _numbers(options.evaluate(shown))
        name = options.monitor or next(iter(values))
        if name not in values:
            raise ArgumentError(f"monitor={name!r} is not among the values of evaluate: {', '.join(values)}.")
        self._tick()
        record = {"step": self.step, **values, "seconds": self.seconds}
        self.history.add_evaluation(record)
        if self._outlets:
            named = {f"eval/{key}": value for key, value in values.items()}
            self._hand_out([{"step": self.step, **named, "seconds": self.seconds}])
        self._bar.say(f"step {self.step}: " + ", ".join(f"{key} {value:.6g}" for key, value in values.items()))
        value, best = values[name], self.best.value
        better = best is None or (value < best if options.mode == "min" else value > best)
        if better and not np.isnan(value):
            self.best = Best(value, self.step, 0)
            self.best_params = jax.tree.map(jnp.copy, shown)
            return
        self.best = self.best._replace(worse=self.best.worse + 1)
        if self.status is None and options.patience is not None and self.best.worse >= options.patience:
            self.status = TrainStatus.EARLY_STOPPED

    # -- steps that are not finite

    def _keep_snapshot(self) -> None:
        if self._steps.recipe.on_nonfinite == "restore":
            self._snapshot = jax.tree.map(jnp.copy, self.state)
            self._restores = 0

    def _nonfinite(self, group: Group, i: int) -> None:
        if self._snapshot is not None and self._restores < self._options.max_nonfinite:
            self._restores += 1
            kept = jax.tree.map(jnp.copy, self._snapshot)
            self._bar.say(f"step {group.first + i + 1} is not finite: back to the last checkpoint, past its data")
            self.step, self.mark = group.first + i + 1, group.marks[i]
            self.state = kept._replace(step=jnp.int32(self.step), skipped=self.state.skipped)
            return
        self.status = TrainStatus.NONFINITE
        self.note = self._diagnosis(group, i)
        self.state = self.state._replace(halted=jnp.array(False), streak=jnp.int32(0))

    def _diagnosis(self, group: Group, i: int) -> str:
        """Which part is not finite at a step: the batch, the parameters, the loss, entries of the gradient."""
        step = group.first + i
        batch, value, grads = self._steps.look(self.state.params, group.batches, i, self._key, jnp.int32(step))
        said = [f"Step {step + 1} (epoch {self.mark.position.epoch}): the loss is {float(value):.6g}"]
        for what, tree in (("the batch", batch), ("the parameters", self.state.params), ("the gradient", grads)):
            found = _nonfinite_leaves(tree)
            said.append(f"{what} not finite in {', '.join(found)}" if found else f"{what} finite")
        remedy = (
            "Mend the data."
            if _nonfinite_leaves(batch)
            else "Lower the learning rate or clip the gradient (clip=1.0), look at divisions, logarithms and square "
            'roots near 0 (jax.debug_nans finds the operation), or pass on_nonfinite="skip" or "restore".'
        )
        return "; ".join(said) + ". " + remedy


def _nonfinite_leaves(tree: Any) -> list[str]:
    found = []
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        if jnp.issubdtype(leaf.dtype, np.inexact):
            bad = int(np.sum(~np.isfinite(np.asarray(leaf))))
            if bad:
                found.append(f"{jax.tree_util.keystr(path) or 'it'} ({bad} of {leaf.size})")
    return found


def _numbers(result: Any) -> dict[str, float]:
    """What `evaluate` returned, as floats by name; "value" for a single number."""
    if not isinstance(result, Mapping):
        result = {"value": result}
    values = {}
    for name, value in result.items():
        if np.ndim(value) or np.asarray(value).dtype.kind not in "biufV":
            raise ArgumentError(f"evaluate must return a real number or a dict of them, got {name!r}: {value!r}.")
        values[str(name)] = float(value)
    if not values:
        raise ArgumentError("evaluate must return a real number or a dict of them, got an empty dict.")
    return values


class _Interrupts:
    """While it is open, the first Ctrl-C only sets `came`; the second one interrupts as ever."""

    def __init__(self) -> None:
        self.came = False

    def __enter__(self) -> _Interrupts:
        ours = threading.current_thread() is threading.main_thread()
        self._before = signal.getsignal(signal.SIGINT) if ours else None
        if self._before is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, *_: Any) -> None:
        if self.came:
            raise KeyboardInterrupt
        self.came = True

    def __exit__(self, *_: Any) -> None:
        if self._before is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._before)
