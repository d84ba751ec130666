"""The gradient of every differentiable function of gradlab.numpy beside jax.grad's: what a call of it costs, compiled.

Run:  python benchmarks/language.py        (--only NAME: functions with that in the name; --quick: less time)

Each function of the table in functions.py becomes the loss sum(real(f(*args) * seeds)) on both sides, its gradient in
all floating arguments is compiled by gl.jit and by jax.jit, the results are compared, and, when all are compiled, calls
are timed in turns. Prints every ratio (JAX's time over gradlab's), the geometric mean, and the ten worst and best with
reasons: those of reasons.py, or what sameness.py finds in XLA's two programs. Where these are one and the same, a ratio
is noise: such functions are not ranked, and the spread of their ratios is printed, as the measure of the others'.
Writes language.json into benchmarks/results.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import statistics
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

# Threads of LAPACK's that wait for each other make times of small matrices meaningless on a machine with other work.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax
import jax.numpy as jnp
import numpy as np
from functions import CASES, TOLERANCES, Case
from reasons import REASONS
from report import duration, machine, times
from sameness import SAME_OPERATIONS, SAME_PROGRAM, compared
from timing import interleaved, medians, ratio

import gradlab as gl
import gradlab.numpy as gnp
import gradlab.scipy.linalg as gradlab_linalg

RESULTS = Path(__file__).resolve().parent / "results"
SHOWN = 10
AT_ONCE = 2  # compilations
SPACES = {
    "": (gnp, jnp),
    "linalg": (gnp.linalg, jnp.linalg),
    "fft": (gnp.fft, jnp.fft),
    "special": (gnp.special, jax.scipy.special),
    "scipy.linalg": (gradlab_linalg, jax.scipy.linalg),
}


def keep_memory() -> None:
    """Has glibc keep what is freed: whether it asks the system for a large array anew depends on what ran before."""
    if hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(-1, 1 << 30)  # M_TRIM_THRESHOLD [bytes]
        libc.mallopt(-3, 1 << 25)  # M_MMAP_THRESHOLD, its largest value


def loss(fn: Callable, space: Any, np: Any, n: int) -> Callable:
    """The function of n arguments, and of a seed for each floating result, whose gradient is timed."""

    def value(*xs):
        given, seeds = xs[:n], xs[n:]
        ys = [y for y in jax.tree.leaves(fn(space, *given)) if np.issubdtype(y.dtype, np.inexact)]
        return sum(np.sum(np.real(y * seed)) for y, seed in zip(ys, seeds, strict=True))

    return value


def seeds_of(case: Case, space: Any) -> list[jax.Array]:
    shapes = jax.eval_shape(lambda *xs: jax.tree.leaves(case.fn(space, *xs)), *case.args)
    inexact = [s for s in shapes if jnp.issubdtype(s.dtype, jnp.inexact)]
    return [jnp.cos(jnp.arange(s.size)).reshape(s.shape).astype(s.dtype) for s in inexact]


def arguments(name: str) -> list[jax.Array]:
    """Those of the function, and its seeds."""
    case = CASES[name]
    return [*map(jnp.asarray, case.args), *seeds_of(case, SPACES[name.rpartition(".")[0]][1])]


def gradients(name: str) -> tuple[dict[str, Callable], list[Any]]:
    """The jitted gradient of each library, and the arguments of both."""
    case = CASES[name]
    ours, theirs = SPACES[name.rpartition(".")[0]]
    n = len(case.args)
    moving = tuple(k for k, a in enumerate(case.args) if np.issubdtype(a.dtype, np.inexact))
    made = {
        "gradlab": gl.jit(gl.grad(loss(case.fn, ours, gnp, n), moving)),
        "jax": jax.jit(jax.grad(loss(case.fn, theirs, jnp, n), moving)),
    }
    return made, arguments(name)


def difference(ours: Any, theirs: Any) -> float:
    """The largest one between two gradients, relative to the largest entry, where JAX's is not NaN."""
    pairs = [(np.asarray(a), np.asarray(b)) for a, b in zip(ours, theirs, strict=True)]
    scale = max(float(np.nanmax(np.abs(b))) for _, b in pairs) or 1.0
    return max(float(np.max(np.abs(np.where(np.isnan(b), 0, a - b)))) for a, b in pairs) / scale


class Pair(NamedTuple):
    """The compiled gradients of both libraries, how far apart they are, and what their programs have in common."""

    name: str
    made: dict[str, Callable]
    error: float
    programs: str


def compiled(name: str) -> Pair:
    made, args = gradients(name)
    programs = {library: f.lower(*args).compile() for library, f in made.items()}
    error = difference(*(programs[library](*args) for library in ("gradlab", "jax")))
    if not error < TOLERANCES.get(name, 1e-8):
        raise AssertionError(f"{name}: gradlab and jax differ by {error:.1e}")
    return Pair(name, programs, error, compared(programs["gradlab"], programs["jax"]))


def measure(pair: Pair, budget: float) -> dict:
    args = arguments(pair.name)
    calls = {library: lambda f=f: jax.block_until_ready(f(*args)) for library, f in pair.made.items()}
    seen = interleaved(calls, budget, slice_seconds=1.5e-3, rounds=(12, 80))
    row = {"name": pair.name, "seconds": medians(seen), "ratio": ratio(seen, "jax"), "error": pair.error}
    alike = pair.programs in (SAME_PROGRAM, SAME_OPERATIONS)
    reason = pair.programs if alike else REASONS.get(pair.name, pair.programs)
    return row | {"programs": pair.programs, "reason": reason}


def shown(row: dict) -> str:
    own, theirs = (duration(row["seconds"][library]) for library in ("gradlab", "jax"))
    return f"{row['name']:<28}{times(row['ratio']):>8}{own:>12}{theirs:>12}"


def report(rows: list[dict]) -> float:
    """Prints the ends of the list, how far equal programs spread, and the mean; returns that."""
    ranked = sorted(rows, key=lambda row: row["ratio"])
    equal = [row for row in ranked if row["programs"] == SAME_PROGRAM]
    other = [row for row in ranked if row["programs"] != SAME_PROGRAM]
    shown_at_an_end = min(SHOWN, len(other) // 2)
    for title, some in (("worst", other[:shown_at_an_end]), ("best", other[::-1][:shown_at_an_end])):
        print(f"\nthe {title}:")
        for row in some:
            print(f"  {shown(row)}  {row['reason']}")
    if equal:
        ends = ", ".join(f"{row['name']} {times(row['ratio'])}" for row in (equal[0], equal[-1]))
        print(f"\n{len(equal)} functions: {SAME_PROGRAM}")
        print(f"their ratios, all of them noise: {ends}; geometric mean {_mean(equal):.3f}")
    mean = _mean(rows)
    slower = sum(row["ratio"] < 0.9 for row in other)
    print(f"\n{len(rows)} functions: geometric mean {mean:.3f}; {slower} with programs of their own below 0.9")
    return mean


def _mean(rows: list[dict]) -> float:
    return statistics.geometric_mean(row["ratio"] for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], help="functions whose name contains this")
    parser.add_argument("--quick", action="store_true", help="less time a function, and more noise")
    parser.add_argument("--no-write", action="store_true", help="print only")
    options = parser.parse_args()
    keep_memory()
    jax.config.update("jax_enable_x64", True)
    warnings.simplefilter("ignore")

    wanted = [name for name in CASES if not options.only or any(part in name for part in options.only)]
    rows = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        pairs = list(pool.map(compiled, wanted))
    print(f"{'gradient of':<28}{'ratio':>8}{'gradlab':>12}{'jax':>12}")
    for pair in pairs:
        rows.append(measure(pair, 0.1 if options.quick else 0.4))
        print(shown(rows[-1]), flush=True)
    mean = report(rows)
    if options.only or options.no_write:
        return
    results = {"machine": machine(), "geometric_mean": mean, "rows": rows}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "language.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
