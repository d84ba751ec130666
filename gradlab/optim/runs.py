"""Runs of optimizers, kept in one SQLite file: each is written once, whole or not at all."""

from __future__ import annotations

import io
import json
import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..ir.errors import ArgumentError

_LAYOUT = 1
_CREATE = """
CREATE TABLE IF NOT EXISTS runs (
    hash TEXT PRIMARY KEY, problem TEXT, method TEXT, seed INTEGER, n INTEGER, budget INTEGER, config TEXT,
    f_min REAL, minima TEXT, status TEXT, message TEXT, success INTEGER, f REAL, gnorm REAL, n_iters INTEGER,
    n_evals INTEGER, seconds REAL, first_seconds REAL, lanes INTEGER, arrays BLOB,
    created TEXT DEFAULT CURRENT_TIMESTAMP
)
"""
_COLUMNS = (
    "hash", "problem", "method", "seed", "n", "budget", "config", "f_min", "minima", "status", "message", "success",
    "f", "gnorm", "n_iters", "n_evals", "seconds", "first_seconds", "lanes", "arrays",
)  # fmt: skip
_INSERT = f"INSERT OR REPLACE INTO runs ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM runs"


@dataclass(frozen=True)
class OneRun:
    """A method on a problem from one start.

    **Attributes:** `hash`: of the configuration; `problem`, `method`, `seed`, `n` (numbers in x), `budget`
    (evaluations), `config`: what it was; `f_min`, `minima`: what is known of the problem's minima; `status`, `message`,
    `success`, `f`, `gnorm` (‖∇f‖∞), `n_iters`, `n_evals`: how it ended; `seconds`: [s] of the run once compiled, a
    share of its batch's if `lanes` starts ran together; `first_seconds`: [s] of the first call of that batch, with
    compilation; `evals`, `fs`, `gnorms`: the curve, one row an iteration; `x`: the answer, one vector; `path`: points
    on the way (k, 2), of one run of each problem of two variables, else None.
    """

    hash: str
    problem: str
    method: str
    seed: int
    n: int
    budget: int
    config: dict
    f_min: float | None
    minima: tuple[float, ...]
    status: str
    message: str
    success: bool
    f: float
    gnorm: float
    n_iters: int
    n_evals: int
    seconds: float
    first_seconds: float
    lanes: int
    evals: np.ndarray = field(repr=False)
    fs: np.ndarray = field(repr=False)
    gnorms: np.ndarray = field(repr=False)
    x: np.ndarray = field(repr=False)
    path: np.ndarray | None = field(repr=False, default=None)


class RunStore:
    """The file. Several processes may use it at once; a killed one leaves the runs it had finished."""

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        if not self.path.parent.exists():
            raise ArgumentError(f"the folder of {self.path} does not exist: create it.")
        try:
            with closing(self._connect()) as connection, connection:
                (layout,) = connection.execute("PRAGMA user_version").fetchone()
                if layout not in (0, _LAYOUT):
                    raise ArgumentError(
                        f"{self.path} has layout {layout}, this gradlab reads {_LAYOUT}: use a new file."
                    )
                connection.execute(_CREATE)
                connection.execute(f"PRAGMA user_version = {_LAYOUT}")
        except sqlite3.DatabaseError as error:
            raise ArgumentError(f"{self.path} is no SQLite file ({error}): name another one.") from None

    def add(self, runs: Iterable[OneRun]) -> None:
        """Write runs, all of them or none."""
        with closing(self._connect()) as connection, connection:
            connection.executemany(_INSERT, [_row(run) for run in runs])

    def hashes(self) -> dict[str, str]:
        """The configuration hashes of the runs in the file, each with how it ended."""
        with closing(self._connect()) as connection:
            return dict(connection.execute("SELECT hash, status FROM runs"))

    def runs(self, hashes: Iterable[str] | None = None) -> list[OneRun]:
        """The runs with these hashes (all, for None), ordered by problem, method and seed."""
        with closing(self._connect()) as connection:
            rows = connection.execute(_SELECT).fetchall()
        wanted = None if hashes is None else set(hashes)
        found = [_run(row) for row in rows if wanted is None or row[0] in wanted]
        return sorted(found, key=lambda run: (run.problem, run.method, run.seed))

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=60)


def _row(run: OneRun) -> tuple:
    file = io.BytesIO()
    arrays = {"evals": run.evals, "fs": run.fs, "gnorms": run.gnorms, "x": run.x}
    np.savez_compressed(file, allow_pickle=False, **arrays if run.path is None else arrays | {"path": run.path})
    values = {
        **{name: getattr(run, name) for name in _COLUMNS if name != "arrays"},
        "config": json.dumps(run.config, sort_keys=True),
        "minima": json.dumps(run.minima),
        "success": int(run.success),
        # SQLite turns nan into NULL, and NULL is read as nan again.
        "arrays": file.getvalue(),
    }
    return tuple(values[name] for name in _COLUMNS)


def _run(row: tuple) -> OneRun:
    values: dict[str, Any] = dict(zip(_COLUMNS, row, strict=True))
    with np.load(io.BytesIO(values.pop("arrays")), allow_pickle=False) as arrays:
        values |= {name: arrays[name] for name in arrays.files}
    values["config"], values["minima"] = json.loads(values["config"]), tuple(json.loads(values["minima"]))
    values["success"] = bool(values["success"])
    for name in ("f", "gnorm"):
        values[name] = float("nan") if values[name] is None else values[name]
    return OneRun(**values)
