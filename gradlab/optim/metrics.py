"""What a run says about itself: a history, a progress bar, a CSV file, TensorBoard, a callback."""

from __future__ import annotations

import csv
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.errors import ArgumentError
from ..ir.extras import Later, Missing

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # in a notebook without ipywidgets: a bar of text is drawn there, and will do
        from tqdm.auto import tqdm
except ImportError:
    tqdm: Any = Missing("tqdm", "train", "the progress bar")
if TYPE_CHECKING:
    from . import tensorboard
else:
    tensorboard = Later("gradlab.optim.tensorboard")

Record = dict[str, float]


class History:
    """Columns of numbers, one row every `every` steps; evaluations in columns of their own.

    **Attributes:** `train`, `evaluations`: column name → list.
    """

    def __init__(self) -> None:
        self.train: dict[str, list] = {}
        self.evaluations: dict[str, list] = {}

    def add(self, columns: Mapping[str, Any]) -> None:
        """Several rows at once, each column an array."""
        for name, values in columns.items():
            self.train.setdefault(name, []).append(np.asarray(values))

    def add_evaluation(self, record: Record) -> None:
        """One row of evaluation results."""
        for name, value in record.items():
            self.evaluations.setdefault(name, []).append(np.atleast_1d(np.asarray(value)))

    def arrays(self) -> dict[str, np.ndarray]:
        """Every column as an array; those of evaluations under "eval/"."""
        for columns in (self.train, self.evaluations):
            for name, parts in columns.items():
                if len(parts) > 1:
                    columns[name] = [np.concatenate(parts)]
        found = {name: parts[0] for name, parts in self.train.items()}
        return found | {f"eval/{name}": parts[0] for name, parts in self.evaluations.items()}

    def load(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from what `arrays` returned."""
        for name, array in arrays.items():
            evaluation = name.startswith("eval/")
            columns = self.evaluations if evaluation else self.train
            columns[name.removeprefix("eval/")] = [array]


class Bar:
    """tqdm with throughput and the time left; drawn if `show`, which None leaves to whether someone watches."""

    def __init__(self, show: bool | None, total: int | None, step: int, unit: str = "step", what: str = "training"):
        if show is None:
            show = bool(tqdm) and sys.stderr.isatty()
        self._bar = tqdm(total=total, initial=step, unit=unit, desc=what, dynamic_ncols=True) if show else None
        self._rows, self._seconds = 0.0, 0.0
        self._clock = time.perf_counter()

    def advance(self, steps: int, said: str, rows: int | None = None) -> None:
        """`steps` more are done, on `rows` examples; `said` is shown behind the bar."""
        if self._bar is None:
            return
        before, self._clock = self._clock, time.perf_counter()
        if rows is not None:
            self._rows = 0.9 * self._rows + rows
            self._seconds = 0.9 * self._seconds + self._clock - before
            said += f", {_short(self._rows / max(self._seconds, 1e-9))} examples/s"
        self._bar.set_postfix_str(said, refresh=False)
        self._bar.update(steps)

    def say(self, text: str) -> None:
        """A line above the bar."""
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()


def _short(rate: float) -> str:
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if rate >= size:
            return f"{rate / size:.3g}{unit}"
    return f"{rate:.3g}"


class CSVLog:
    """A file with one row a logged step. A run that goes on takes rows beyond its checkpoint out again first.

    **Arguments:** `step`: of that checkpoint, 0 for a new file; `evaluated`: whether the evaluation there is done.
    """

    def __init__(self, path: Path, step: int, evaluated: bool):
        self._path = path
        self._names: list[str] = []
        kept: list[dict] = []
        if step and path.exists():
            with path.open(newline="") as file:
                reader = csv.DictReader(file)
                self._names = list(reader.fieldnames or [])
                kept = [row for row in reader if _is_before(row, step, evaluated)]
        self._rewrite(kept)

    def write(self, records: list[Record]) -> None:
        """Append rows, and hand them to the operating system."""
        if not records:
            return
        new = [name for record in records for name in record if name not in self._names]
        if new:
            self._file.close()
            with self._path.open(newline="") as file:
                rows = list(csv.DictReader(file)) if self._names else []
            self._names += list(dict.fromkeys(new))
            self._rewrite(rows)
        self._writer.writerows(records)
        self._file.flush()

    def _rewrite(self, rows: list[dict]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        beside = self._path.with_name(self._path.name + ".new")
        with beside.open("w", newline="") as file:
            if self._names:
                writer = csv.DictWriter(file, self._names)
                writer.writeheader()
                writer.writerows(rows)
        os.replace(beside, self._path)
        self._file = self._path.open("a", newline="")
        self._writer = csv.DictWriter(self._file, self._names)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _is_before(row: dict[str, str], step: int, evaluated: bool) -> bool:
    number = row.get("step") or ""
    if not number.isdigit() or int(number) > step:
        return False
    return evaluated or int(number) < step or not any(v for name, v in row.items() if name.startswith("eval/"))


class Outlets:
    """Where the records of logged steps go: files, TensorBoard, the callback.

    **Arguments:** `log`: None, a path or several: one that ends in .csv is a file, any other a directory for
    TensorBoard; `callback(record)`: returns something true to stop.
    """

    def __init__(self, log: Any, callback: Callable[[Record], Any] | None):
        paths = [] if log is None else list(log) if isinstance(log, list | tuple) else [log]
        for path in paths:
            if not isinstance(path, str | os.PathLike):
                raise ArgumentError(f"log must be a path (or several): a .csv file or a directory, got {path!r}.")
        if callback is not None and not callable(callback):
            raise ArgumentError(f"callback must be a function of a record (a dict), got {callback!r}.")
        self._paths = [Path(path) for path in paths]
        self._callback = callback
        self._logs: list[CSVLog | tensorboard.TensorBoardLog] = []

    def __bool__(self) -> bool:
        return bool(self._paths) or self._callback is not None

    @property
    def listens(self) -> bool:
        """Whether there is a callback, which may stop the run."""
        return self._callback is not None

    def open(self, step: int, evaluated: bool) -> None:
        """Open the files, going on after `step`, whose evaluation may be among what is done."""
        for path in self._paths:
            csv_file = path.suffix == ".csv"
            self._logs.append(CSVLog(path, step, evaluated) if csv_file else tensorboard.TensorBoardLog(path, step))

    def write(self, records: list[Record]) -> bool:
        """Hand them out; whether the callback asks to stop."""
        for log in self._logs:
            log.write(records)
        if self._callback is None:
            return False
        return any(self._callback(dict(record)) for record in records)

    def close(self) -> None:
        """Close the files."""
        for log in self._logs:
            log.close()
