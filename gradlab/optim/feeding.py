"""Batches on their way to the device: put together for several steps at a time, by a thread that works ahead."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..ir.errors import ArgumentError, ShapeError
from .loading import Position, Source, checksum


class Mark(NamedTuple):
    """Where the data stands after a step.

    **Attributes:** `position`; `checksum`: of the last batch; `state`: the data's own word for it, if it has one;
    `heads`: checksums of the batches that the first pass and the latest one began with.
    """

    position: Position = Position()
    checksum: int | None = None
    state: Any = None
    heads: tuple[int | None, int | None] = (None, None)

    def to_json(self) -> dict:
        """The mark as JSON can hold it."""
        return self._asdict() | {"position": list(self.position), "heads": list(self.heads)}

    @staticmethod
    def of_json(saved: dict) -> Mark:
        """The mark that `to_json` wrote."""
        return Mark(**saved | {"position": Position(*saved["position"]), "heads": tuple(saved["heads"])})


@dataclass
class Group:
    """The batches of up to k steps, stacked on the device.

    **Attributes:** `first`: the step the first one is for; `batches`: leaves (k, ...), (k, accumulate, ...) where
    gradients are accumulated; `marks`: one a step; `rows`: examples of all steps, or None; `ends_epoch`: whether the
    epoch is over after it; `n` steps count, the rest of the k rows repeat the last.
    """

    first: int
    batches: Any
    marks: list[Mark]
    rows: int | None
    ends_epoch: bool
    mark: Mark = field(default_factory=Mark)

    @property
    def n(self) -> int:
        return len(self.marks)


class Plan(NamedTuple):
    """Where groups must end: `total` steps or None, multiples of each of `periods`, ends of epochs if `at_epochs`."""

    total: int | None
    epochs: int | None
    periods: tuple[int, ...]
    at_epochs: bool

    def room(self, step: int) -> int:
        """How many steps may follow `step` in one group."""
        rooms = [period - step % period for period in self.periods]
        return min([*rooms, 2**30 if self.total is None else self.total - step])


class Feed:
    """The groups of a run, from a step and a mark on.

    **Attributes:** `k`: rows of the groups yet to be made; `size`: how many of them to use, at most; `used_up`: the
    data had no more passes, though more were wanted; `passes`: those that are complete.
    **Arguments:** `ahead`: how many groups a thread prepares in advance; 0 for none, all in the caller's thread.
    """

    def __init__(self, source: Source, plan: Plan, step: int, mark: Mark, accumulate: int, ahead: int):
        self.k = self.size = 1
        self.used_up, self.passes = False, mark.position.epoch
        self._source, self._plan, self._accumulate = source, plan, accumulate
        self._made = self._groups(step, mark)
        self._stop = threading.Event()
        self._queue: queue.Queue = queue.Queue(max(1, ahead))
        self._ahead = ahead
        self._found = self._batches(mark)
        self._held: list[Any] = []
        self._thread: threading.Thread | None = None

    def peek(self) -> Any:
        """A group of one step like those to come, for its types; None if there is none. Nothing is lost by looking."""
        for item in self._found:
            self._held.append(item)
            if not isinstance(item, Mark):
                return _stack([[item[0]] * self._accumulate], 1, self._accumulate)
        return None

    def start(self) -> None:
        """Begin to work ahead."""
        if self._ahead:
            self._thread = threading.Thread(target=self._work, name="gradlab-feed", daemon=True)
            self._thread.start()

    def next(self, seconds: float = 0.2) -> Group | None:
        """The next group, None at the end.

        **Raises:** `queue.Empty` if it takes longer than `seconds`: ask again; whatever the data raised.
        """
        if self._thread is None:
            return next(self._made, None)
        item = self._queue.get(timeout=seconds)
        if isinstance(item, BaseException):
            raise item
        return item

    def close(self) -> None:
        """Stop working ahead; what was prepared is dropped."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=1)

    def _work(self) -> None:
        try:
            for group in self._made:
                if not self._hand_over(group):
                    return
            self._hand_over(None)
        except BaseException as error:  # noqa: B036  (raised again in the caller's thread)
            self._hand_over(error)

    def _hand_over(self, item: Any) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    # -- putting groups together

    def _groups(self, step: int, mark: Mark) -> Iterator[Group]:
        plan, n = self._plan, self._accumulate
        steps: list[list[Any]] = []  # complete steps of the group at hand, each a list of batches
        marks: list[Mark] = []
        micro: list[Any] = []
        pending_end = False

        def group(ends_epoch: bool) -> Group:
            nonlocal step
            rows = [self._source.rows(batch) for batches in steps for batch in batches]
            total = None if any(r is None for r in rows) else sum(r for r in rows if r is not None)
            stacked = _stack(steps, max(self.k, len(steps)), n) if steps else None
            made = Group(step, stacked, list(marks), total, ends_epoch, marks[-1] if marks else mark)
            step += len(steps)
            steps.clear()
            marks.clear()
            return made

        for found in itertools.chain(self._held, self._found):
            if isinstance(found, Mark):  # an epoch is over
                mark = found
                if micro:
                    pending_end = True
                    continue
                if marks:
                    marks[-1] = found
                if plan.at_epochs:
                    yield group(True)
                continue
            batch, mark = found
            if steps and not micro and _signature(batch) != _signature(steps[0][0]):
                yield group(False)
            micro.append(batch)
            if len(micro) < n:
                continue
            steps.append(micro)
            marks.append(mark)
            micro = []
            if pending_end and plan.at_epochs:
                pending_end = False
                yield group(True)
            elif len(steps) >= min(self.size, plan.room(step)):
                yield group(False)
            if plan.total is not None and step >= plan.total:
                break
        if steps:
            yield group(False)
        if micro and not step:
            raise few_batches(n, len(micro))

    def _batches(self, mark: Mark) -> Iterator[Any]:
        """(batch, mark after it), and at the end of each epoch a mark alone."""
        source = self._source
        (epoch, start), (first, head) = mark.position, mark.heads
        if mark.state is not None:
            source.set_state(mark.state)
        for past in range(source.passes_to_repeat(mark.position, first == head)):
            for _ in source.epoch(past, 0):
                pass
        while self._plan.epochs is None or epoch < self._plan.epochs:
            k, got = start, False
            for batch in source.epoch(epoch, start):
                if source.skips and not got:
                    _require_same_data(source, mark)
                found = checksum(batch)
                if k == 0:
                    first, head = found if epoch == 0 else first, found
                k, got = k + 1, True
                yield batch, Mark(Position(epoch, k), found, source.state(), (first, head))
            if source.skips and not got:
                _require_same_data(source, mark)
            if not got and not start:
                if epoch == 0:
                    raise ArgumentError("train needs data, got an iterable that yields no batch.")
                self.used_up = True  # a generator has no second pass
                return
            self.passes = epoch = epoch + 1
            start = 0
            if source.one_pass:
                return
            yield Mark(Position(epoch, 0), None, source.state(between=True), (first, head))


def few_batches(accumulate: int, found: int) -> ArgumentError:
    """What to raise where all batches together make no step."""
    return ArgumentError(
        f"accumulate={accumulate} takes {accumulate} batches for one step, and the data gave {found} in all: lower it."
    )


def _require_same_data(source: Source, mark: Mark) -> None:
    if source.skipped != mark.checksum:
        raise ArgumentError(
            "the data is not what it was before the run was interrupted: the last batch that is skipped differs, or is "
            "not there. Make its order depend on a seed (data may be a function of the epoch), or pass resume=False."
        )


def _signature(batch: Any) -> Any:
    return jax.tree.structure(batch), [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(batch)]


def _stack(steps: list[list[Any]], k: int, accumulate: int) -> Any:
    every = [batch for batches in steps for batch in batches]
    every += every[-accumulate:] * (k - len(steps))
    kinds = _signature(every[0])
    for batch in every:
        if _signature(batch) != kinds:
            raise ShapeError(
                f"batches whose gradients are accumulated need one shape, got {kinds[1]} and {_signature(batch)[1]}. "
                "Drop the last, smaller batch of an epoch (drop_last=True)."
            )

    def stack(*leaves: Any) -> Any:
        stacked = (jnp if isinstance(leaves[0], jax.Array) else np).stack(leaves)
        if accumulate > 1:
            stacked = stacked.reshape(k, accumulate, *stacked.shape[1:])
        return jnp.asarray(stacked)

    return jax.tree.map(stack, *every)
