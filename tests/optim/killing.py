"""Kills a job at random moments, again and again, and compares what it ends with to an undisturbed run.

Run:  python tests/optim/killing.py train|experiment KILLS DIRECTORY
Each life is a fork of this process, which has imported everything and started nothing, so it begins within
milliseconds; SIGKILL ends it, wherever it is.
"""

from __future__ import annotations

import csv
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import optax

import gradlab.numpy as gnp
from gradlab.optim import checkpoints, experiment, train

ENDED = "ended.txt"
LONGEST = 120  # [s]
_ = checkpoints.ocp  # loaded here, once, and not in every life


def train_job(directory: Path) -> None:
    """A network trained for some hundred steps on shuffled data with random noise; its bits go into a file."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4)).astype(np.float32)
    y = np.sin(x).sum(1).astype(np.float32)
    params = {"w": rng.normal(size=(4, 8)).astype(np.float32), "v": np.zeros(8, np.float32)}

    def loss(params, batch, key):
        x, y = batch
        x = x + 0.1 * jax.random.normal(key, x.shape, x.dtype)
        return gnp.mean((gnp.tanh(x @ params["w"]) @ params["v"] - y) ** 2)

    result = train(
        loss,
        params,
        (x, y),
        optax.adam(optax.cosine_decay_schedule(1e-2, 300)),
        steps=300,
        batch_size=32,
        key=7,
        ema=0.99,
        evaluate=lambda params: float(params["v"][0]),
        evaluate_every=90,
        checkpoint=directory / "checkpoints",
        checkpoint_every=20,
        log=directory / "log.csv",
    )
    kept = (result.params, result.opt_state, result.ema, result.best_params, result.best_step)
    columns = [result.history[name] for name in sorted(result.history) if "seconds" not in name]
    with (directory / "log.csv").open(newline="") as file:
        rows = [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]
    bits = [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves((kept, columns))]
    finish(directory, f"{bits}\n{rows}\n")


def finish(directory: Path, text: str) -> None:
    """Say what the job ended with, all of it or nothing."""
    (directory / "ended.new").write_text(text)
    os.replace(directory / "ended.new", directory / ENDED)


def experiment_job(directory: Path) -> None:
    """Two methods on three problems from two starts; the table without its times goes into a file."""
    listed = {
        "bowl": (lambda x: ((x - 1) ** 2).sum(), np.zeros(3), 0.0),
        "valley": (lambda x: (1 - x[0]) ** 2 + 10 * (x[1] - x[0] ** 2) ** 2, np.array([-1.0, 1.0]), 0.0),
        "quartic": (lambda x: (x**4).sum() + (x**2).sum(), np.arange(1.0, 5.0), 0.0),
    }
    found = experiment(
        listed, {"L-BFGS": "lbfgs", "steepest": steepest}, seeds=2, budget=60, path=directory / "runs.sqlite"
    )
    kept = [
        (run.problem, run.method, run.seed, run.status, run.f.hex(), run.n_evals, run.fs.tobytes(), run.x.tobytes())
        for run in found.runs
    ]
    rows = [{name: value for name, value in row.items() if "seconds" not in name} for row in found.table()]
    finish(directory, f"{kept}\n{rows}\n")


def steepest(fun: Callable, x: np.ndarray) -> None:
    """Fifty short steps down the gradient."""
    for _ in range(50):
        x = x - 0.01 * fun(x)[1]


JOBS: dict[str, Callable[[Path], None]] = {"train": train_job, "experiment": experiment_job}


def life(job: Callable[[Path], None], directory: Path, seconds: float | None) -> bool:
    """One process working on the job; whether it had to be killed, `seconds` after it began."""
    child = os.fork()
    if child == 0:
        try:
            job(directory)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    began = time.perf_counter()
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            if status:
                raise SystemExit(f"a life ended by itself with status {status}: see above")
            return False
        if time.perf_counter() - began >= (LONGEST if seconds is None else seconds):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            if seconds is None:
                raise SystemExit(
                    f"a life did not end within {LONGEST} s: importing gradlab must start no threads of XLA"
                )
            return True
        time.sleep(0.002)


def main(name: str, kills: int, directory: Path) -> None:
    """`kills` lives are cut short, at moments drawn from all the time that a whole one takes."""
    job = JOBS[name]
    reference = directory / "undisturbed"
    reference.mkdir(parents=True)
    life(job, reference, None)  # the first one compiles, for the cache
    shutil.rmtree(reference)
    reference.mkdir()
    began = time.perf_counter()
    life(job, reference, None)
    whole = time.perf_counter() - began
    wanted = (reference / ENDED).read_text()

    draw = random.Random(0)
    killed = finished = 0
    runs = 0
    while killed < kills or runs > finished:
        if runs == finished:
            runs += 1
            at = directory / f"run{runs}"
            at.mkdir()
        if killed < kills and life(job, at, draw.uniform(0, whole)):
            killed += 1
            continue
        if killed >= kills:
            life(job, at, None)
        assert (at / ENDED).read_text() == wanted, f"run {runs} ended with something else"
        finished += 1
    seconds = time.perf_counter() - began
    print(f"{name}: {killed} kills, {finished} runs ended as the undisturbed one, {whole:.2f} s a run, {seconds:.0f} s")


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # JAX warns of fork; nothing of it has been started here
    jax.config.update("jax_enable_x64", True)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or tempfile.gettempdir()) / "gradlab-tests-xla"
    jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
