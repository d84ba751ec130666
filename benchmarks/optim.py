"""Minimisers side by side: `python benchmarks/optim.py [SECTION...] [--all] [--quick] [--solvers NAME,...]`.

Sections: mgh, tenfold (starts 10·x0), bounded, condition, size, batched; all of them unless named, in about fifteen
minutes on two quiet cores. Float64, ‖g‖∞ ≤ 1e-6, at most 2000 iterations. Solved: f − f* ≤ 1e-6·max(1, |f*|), f* any
minimum the problem's source gives. Each number stands beside its bar; a run of all sections writes results/optim.json
and .md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optim_scale
from optim_bars import SCIPY, bars, write_table
from optim_peers import SOLVERS, Counter
from report import duration, machine
from threadpoolctl import threadpool_limits
from timing import interleaved

from gradlab.optim import problems

SECTIONS = ("mgh", "tenfold", "bounded", "condition", "size", "batched")
RESULTS = Path(__file__).parent / "results"
# Whom a section compares unless --all or --solvers says otherwise: those that are best at something.
USUAL = {
    "mgh": ("lbfgs", "trust-region", SCIPY, "scipy BFGS", "scipy trust-exact", "optax lbfgs", "jaxopt LBFGS",
            "optimistix BFGS"),
    "tenfold": ("lbfgs", SCIPY, "optax lbfgs", "optimistix BFGS"),
    "bounded": ("lbfgsb", SCIPY, "jaxopt LBFGSB"),
    "condition": ("lbfgs", "newton-cg", SCIPY, "scipy trust-exact", "optax lbfgs"),
}  # fmt: skip
STRIDE = 3  # of the problems, each which is timed too


@cache
def counting(fun: Callable, name: str, bounds: Any) -> tuple[Counter, Callable]:
    """A solver of `fun` that counts, kept: from another start it is compiled already."""
    counter = Counter()
    box = None if bounds is None else tuple(np.asarray(bound) for bound in bounds)
    return counter, SOLVERS[name].make(counter.counted(fun), box)


hillstrom = cache(problems.more_garbow_hillstrom)  # the same functions in both sections


def measure(problem: problems.Problem, name: str, timed: bool) -> dict[str, Any]:
    """Evaluations, whether it is solved, and the seconds of the first call (the counted one is compiled apart)."""
    solver = SOLVERS[name]
    bounds = problem.bounds if solver.bounded else None
    row: dict[str, Any] = {}
    counter, run = counting(problem.fun, name, bounds and tuple(tuple(map(float, bound)) for bound in bounds))
    counter.n = 0
    answer = run(problem.x0)
    x = np.asarray(answer.x)
    if bounds is not None:
        row["inside"] = bool(np.all((x >= bounds[0]) & (x <= bounds[1])))
    f = float(problem.fun(x))
    row |= {"evals": counter.n, "f": f, "solved": problem.solved(f), "word": answer.word()}
    if timed:
        start = time.perf_counter()
        run = solver.make(_fresh(problem.fun), bounds)
        run(problem.x0)
        row |= {"first": time.perf_counter() - start, "run": run}
    return row


def _fresh(fun: Callable) -> Callable:
    """The same function by another identity, so that nobody finds it compiled."""
    return lambda x: fun(x)


@threadpool_limits.wrap(limits=1, user_api="blas")  # SciPy waits for threads that a few unknowns do not need
def compare(chosen: list[problems.Problem], names: list[str], stride: int) -> list[dict[str, Any]]:
    """A row a problem; each `stride`-th of them is timed too (0: none)."""
    rows = []
    for k, problem in enumerate(chosen):
        timed = stride > 0 and k % stride == 0
        row: dict[str, Any] = {"problem": problem.name, "n": problem.n}
        for name in names:
            try:
                row[name] = measure(problem, name, timed)
            except Exception as error:
                row[name] = {"evals": 0, "f": float("nan"), "solved": False, "word": f"{type(error).__name__}: {error}"}
        if timed:
            runs = {name: row[name].pop("run") for name in names if "run" in row[name]}
            calls = {name: partial(run, problem.x0) for name, run in runs.items()}
            for name, seconds in interleaved(calls, budget=0.5, rounds=(5, 15)).items():
                row[name]["seconds"] = statistics.median(seconds)
        rows.append(row)
        cells = [f"{row[n]['evals']}{'' if row[n]['solved'] else '!'}" for n in names]
        print(f"{problem.name[:32]:<33}{''.join(f'{c:>18}' for c in cells)}", flush=True)
    return rows


def summary(rows: list[dict[str, Any]], names: list[str]) -> None:
    """A line a solver: solved, evaluations against SciPy's, shares within 1, 2, 5 of the best, times."""
    first_order = [n for n in names if not SOLVERS[n].second]
    best = [min((r[n]["evals"] for n in first_order if r[n]["solved"]), default=None) for r in rows]
    print(
        f"\n{'solver':<20}{'solved':>9}{'evaluations (scipy)':>24}{'within 1/2/5':>16}"
        f"{'time/scipy':>12}{'first call':>12}"
    )
    for name in names:
        solved = [r for r in rows if r[name]["solved"]]
        both = [r for r in solved if SCIPY in names and r[SCIPY]["solved"]]
        total = sum(r[name]["evals"] for r in both) or sum(r[name]["evals"] for r in solved)
        theirs = f"({sum(r[SCIPY]['evals'] for r in both)})" if both else ""
        within = [
            sum(
                r[name]["solved"] and b is not None and r[name]["evals"] <= k * b
                for r, b in zip(rows, best, strict=True)
            )
            for k in (1, 2, 5)
        ]
        shares = "/".join(f"{100 * w / len(rows):.0f}" for w in within) + " %"
        ratios = [
            r[name]["seconds"] / r[SCIPY]["seconds"] for r in both if "seconds" in r[name] and "seconds" in r[SCIPY]
        ]
        firsts = [r[name]["first"] for r in rows if "first" in r[name]]
        ratio = f"{statistics.median(ratios):.2f}" if ratios else ""
        first = duration(statistics.median(firsts)) if firsts else ""
        print(f"{name:<20}{f'{len(solved)}/{len(rows)}':>9}{f'{total} {theirs}':>24}{shares:>16}{ratio:>12}{first:>12}")
        lost = [
            f"{r['problem']} (f = {r[name]['f']:.3g} {r[name]['word'][:60]})" for r in rows if not r[name]["solved"]
        ]
        if lost:
            print(f"    not solved: {'; '.join(lost)}")
        left = [r["problem"] for r in rows if r[name].get("inside") is False]
        if left:
            print(f"    left the box: {', '.join(left)}")
    print(flush=True)


def section(name: str, args: argparse.Namespace) -> Any:
    print(f"\n== {name}\n")
    if name in ("size", "batched"):
        return getattr(optim_scale, name)(args.names, args.quick)
    chosen = {
        "mgh": hillstrom,
        "tenfold": lambda: tuple(p.scaled(10) for p in hillstrom()),
        "bounded": problems.bounded,
        "condition": lambda: (problems.quadratic(),),
    }[name]()
    names = [n for n, s in SOLVERS.items() if s.bounded == (name == "bounded") or n == SCIPY]
    wanted = args.names or (names if args.all else USUAL[name])
    names = [n for n in names if n in wanted]
    print(f"{'':<33}{''.join(f'{n[:17]:>18}' for n in names)}")
    chosen = [p for p in chosen if args.only in p.name]
    stride = 0 if args.no_time or name != "mgh" else 1 if args.all else STRIDE
    rows = compare(chosen[:4] if args.quick else chosen, names, stride)
    summary(rows, names)
    if name == "condition":
        for n in names:
            print(f"{n:<20}{rows[0][n]['evals']:>8} evaluations, {rows[0][n]['word']}")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--solvers", help=f"comma-separated, of: {', '.join(SOLVERS)}")
    parser.add_argument("--all", action="store_true", help="every solver, every problem timed")
    parser.add_argument("--quick", action="store_true", help="four problems, small sizes, few repeats: does it run?")
    parser.add_argument("--only", default="", help="problems whose name contains this")
    parser.add_argument("--no-time", action="store_true", help="count evaluations only: half the compilations")
    parser.add_argument("--json", type=Path, help="write what was measured here, and the bars beside it as .md")
    args = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    args.names = None if args.solvers is None else [s.strip() for s in args.solvers.split(",")]
    unknown = [s for s in (args.names or []) if s not in SOLVERS] + [s for s in args.sections if s not in SECTIONS]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}")
    results: dict[str, Any] = {"machine": machine()}
    found, began = [], time.perf_counter()
    for name in args.sections or SECTIONS:
        results[name] = section(name, args)
        now = bars(name, results[name]) if results[name] else []
        found += now
        print("\n".join(map(str, now)), flush=True)
    met = sum(bar.met for bar in found)
    print(f"\n{met} of {len(found)} bars met; {duration(time.perf_counter() - began)}")
    results["bars"] = [{**asdict(bar), "met": bar.met} for bar in found]
    whole = not (args.sections or args.names or args.only or args.quick or args.no_time)
    path = args.json or (RESULTS / "optim.json" if whole else None)
    if path is not None:
        path.write_text(json.dumps(results, indent=1, default=str))
        write_table(path.with_suffix(".md"), results["machine"], found)


if __name__ == "__main__":
    main()
