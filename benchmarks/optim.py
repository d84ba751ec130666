"""Minimisers side by side: `python benchmarks/optim.py SECTION... [--solvers NAME,...] [--only TEXT] [--json FILE]`.

Sections: mgh, tenfold (starts 10·x0), bounded, condition, size, batched; all of them unless named. Float64, ‖g‖∞ ≤
1e-6, at most 2000 iterations. Solved: f − f* ≤ 1e-6·max(1, |f*|), f* any minimum the problem's source gives.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optim_scale
from optim_peers import SOLVERS, Counter
from report import duration, machine, times
from timing import interleaved

from gradlab.optim import problems

SCIPY = "scipy L-BFGS-B"
SECTIONS = ("mgh", "tenfold", "bounded", "condition", "size", "batched")


def measure(problem: problems.Problem, name: str, timed: bool) -> dict[str, Any]:
    """Evaluations, whether it is solved, and the seconds of the first call (the counted one is compiled apart)."""
    solver, counter = SOLVERS[name], Counter()
    bounds = problem.bounds if solver.bounded else None
    row: dict[str, Any] = {}
    answer = solver.make(counter.counted(problem.fun), bounds)(problem.x0)
    x = np.asarray(answer.x)
    if bounds is not None:
        row["inside"] = bool(np.all((x >= bounds[0]) & (x <= bounds[1])))
    f = float(problem.fun(x))
    row |= {"evals": counter.n, "f": f, "solved": problem.solved(f), "word": answer.word}
    if timed:
        start = time.perf_counter()
        run = solver.make(_fresh(problem.fun), bounds)
        run(problem.x0)
        row |= {"first": time.perf_counter() - start, "run": run}
    return row


def _fresh(fun: Callable) -> Callable:
    """The same function by another identity, so that nobody finds it compiled."""
    return lambda x: fun(x)


def compare(chosen: list[problems.Problem], names: list[str], timed: bool) -> list[dict[str, Any]]:
    rows = []
    for problem in chosen:
        row: dict[str, Any] = {"problem": problem.name, "n": problem.n}
        for name in names:
            try:
                row[name] = measure(problem, name, timed)
            except Exception as error:
                row[name] = {"evals": 0, "f": float("nan"), "solved": False, "word": f"{type(error).__name__}: {error}"}
        if timed:
            runs = {name: row[name].pop("run") for name in names if "run" in row[name]}
            calls = {name: partial(run, problem.x0) for name, run in runs.items()}
            for name, seconds in interleaved(calls, budget=1.0, rounds=(5, 15)).items():
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


def section(name: str, solvers: list[str] | None, only: str, timed: bool) -> Any:
    print(f"\n== {name}\n")
    if name in ("size", "batched"):
        return optim_scale.size(solvers) if name == "size" else optim_scale.batched(solvers)
    chosen = {
        "mgh": problems.more_garbow_hillstrom,
        "tenfold": lambda: tuple(p.scaled(10) for p in problems.more_garbow_hillstrom()),
        "bounded": problems.bounded,
        "condition": lambda: (problems.quadratic(),),
    }[name]()
    names = [n for n, s in SOLVERS.items() if s.bounded == (name == "bounded") or n == SCIPY]
    names = [n for n in names if solvers is None or n in solvers]
    print(f"{'':<33}{''.join(f'{n[:17]:>18}' for n in names)}")
    rows = compare([p for p in chosen if only in p.name], names, timed)
    summary(rows, names)
    if SCIPY in names and name == "bounded" and "lbfgsb" in names:
        better = [r for r in rows if r["lbfgsb"]["solved"] and r["lbfgsb"]["evals"] <= r[SCIPY]["evals"]]
        print(f"lbfgsb needs no more evaluations than SciPy on {times(100 * len(better) / len(rows))[:-1]} %")
    if name == "condition":
        for n in names:
            print(f"{n:<20}{rows[0][n]['evals']:>8} evaluations, {rows[0][n]['word']}")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--solvers", help=f"comma-separated, of: {', '.join(SOLVERS)}")
    parser.add_argument("--only", default="", help="problems whose name contains this")
    parser.add_argument("--no-time", action="store_true", help="count evaluations only: half the compilations")
    parser.add_argument("--json", type=Path, help="write what was measured here")
    args = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    solvers = None if args.solvers is None else [s.strip() for s in args.solvers.split(",")]
    unknown = [s for s in (solvers or []) if s not in SOLVERS] + [s for s in args.sections if s not in SECTIONS]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}")
    results = {"machine": machine()}
    for name in args.sections or SECTIONS:
        results[name] = section(name, solvers, args.only, not args.no_time)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1, default=str))


if __name__ == "__main__":
    main()
