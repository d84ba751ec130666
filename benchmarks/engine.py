"""gradlab beside jax (and HIPS autograd and torch where installed): calls, tracing, first calls, runs, memory.

Run:  python benchmarks/engine.py        (--quick: a tenth of the time; --only PART: programs with that in the name)

For gradients and Hessians of the programs in programs.py, float64, everything interleaved in one process:
  eager   a call of the derivative as it is, without jit
  stage   trace + transform + lower:  jit(grad(f)).trace(*args).lower(), of a fresh function, nothing remembered
  first   the first call of a fresh jit(grad(f)): stage, XLA, and one run
  run     a call of the compiled derivative
  memory  XLA's temporary buffers of the compiled derivative
Prints a table; writes engine.json and engine.png into benchmarks/results; --readme renews the table in README.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from peers import GRADLAB, JAX, PEERS, Library, NotOffered, on_arrays
from programs import PROGRAMS, Program
from report import draw, machine, print_table, renew_readme
from timing import interleaved, medians, ratio

RESULTS = Path(__file__).resolve().parent / "results"
TOLERANCE = 1e-8  # relative to the largest entry: float64 sums of 1e6 terms in another order


def fresh(library: Library, program: Program, order: int) -> Callable:
    """The derivative of a function that nobody has seen: caches keyed on the function's identity do not help."""
    return library.derivative(program.build(library.np), program.argnums, order)


def agree(ours: Any, theirs: Any) -> float:
    """The largest difference relative to the largest entry; raises when the derivatives are not the same."""
    ours, theirs = (jax.tree.leaves(tree) for tree in (ours, theirs))
    pairs = [(np.asarray(a), np.asarray(b)) for a, b in zip(ours, theirs, strict=True)]
    scale = max(float(np.max(np.abs(b))) for _, b in pairs) or 1.0
    error = max(float(np.max(np.abs(a - b))) for a, b in pairs) / scale
    if not error < TOLERANCE:
        raise AssertionError(f"gradlab and jax differ by {error:.1e}")
    return error


def eager(program: Program, order: int, budget: float) -> dict:
    """gradlab beside each peer in turn: threads that one of them keeps spinning must not slow the others."""
    drawn = program.args(np.random.default_rng(0))
    calls = {}
    for library in PEERS:
        try:
            derivative = fresh(library, program, order)
        except NotOffered:
            continue
        args = on_arrays(library.array, drawn)

        def call(library=library, derivative=derivative, args=args):
            return library.wait(derivative(*args))

        calls[library.name] = call
    own = calls.pop("gradlab")
    turns = {
        name: interleaved({"gradlab": own, name: call}, budget, slice_seconds=2e-2) for name, call in calls.items()
    }
    pairs = {name: summary(seen) for name, seen in turns.items()}
    jax_pair = pairs.pop("jax")
    for name, pair in pairs.items():
        jax_pair["seconds"][name] = pair["seconds"][name]
        jax_pair["ratio"] |= pair["ratio"]
    return jax_pair


def compiled(program: Program, order: int, budget: float) -> dict:
    """The fields stage, first, run and memory."""
    both = (GRADLAB, JAX)
    args = on_arrays(JAX.array, program.args(np.random.default_rng(0)))
    out, runs, results = {"memory": {}}, {}, {}
    for library in both:
        jitted = library.jit(fresh(library, program, order))
        results[library.name] = jitted(*args)
        analysis = jitted.lower(*args).compile().memory_analysis()
        out["memory"][library.name] = analysis.temp_size_in_bytes
        runs[library.name] = lambda jitted=jitted: jax.block_until_ready(jitted(*args))
    out["error"] = agree(results["gradlab"], results["jax"])
    out["run"] = summary(interleaved(runs, budget, slice_seconds=5e-3))

    def stage(library: Library) -> Callable:
        return lambda: library.jit(fresh(library, program, order)).trace(*args).lower()

    def first(library: Library) -> Callable:
        return lambda: jax.block_until_ready(library.jit(fresh(library, program, order))(*args))

    forget = {library.name: library.forget for library in both}
    out["stage"] = summary(interleaved({lib.name: stage(lib) for lib in both}, budget, forget, rounds=(5, 30)))
    out["first"] = summary(interleaved({lib.name: first(lib) for lib in both}, budget, forget, rounds=(3, 10)))
    return out


def summary(seen: dict[str, list[float]]) -> dict:
    """Median seconds of each, and each peer's time as a multiple of gradlab's."""
    peers = [name for name in seen if name != "gradlab"]
    return {
        "seconds": medians(seen),
        "ratio": {name: ratio(seen, name) for name in peers},
        "rounds": len(seen["gradlab"]),
    }


def measure(program: Program, order: int, budget: float) -> dict:
    head = {"program": program.name, "about": program.about, "derivative": ("gradient", "Hessian")[order - 1]}
    return {**head, "eager": eager(program, order, budget), **compiled(program, order, budget)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the time, and more noise")
    parser.add_argument(
        "--only", action="append", default=[], help="programs whose name contains this; may be repeated"
    )
    parser.add_argument("--readme", action="store_true", help="renew the table in README.md from the results")
    parser.add_argument("--no-write", action="store_true", help="print only")
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)

    wanted = [p for name, p in PROGRAMS.items() if not options.only or any(part in name for part in options.only)]
    if not wanted:
        parser.error(f"no program is called so; there are {', '.join(PROGRAMS)}")
    rows = []
    for program in wanted:
        for order in (1, 2) if program.hessian else (1,):
            rows.append(measure(program, order, 0.15 if options.quick else 1.5))
            print_table(rows[-1:], header=len(rows) == 1)
    if options.no_write:
        return
    results = {"machine": machine(), "quick": options.quick, "rows": rows}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "engine.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    draw(rows, RESULTS / "engine.png")
    if options.readme:
        renew_readme(results)
    print(f"wrote {RESULTS.name}/engine.json and engine.png; ratios are jax's time over gradlab's")


if __name__ == "__main__":
    main()
