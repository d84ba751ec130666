"""Loops written in Python: what it costs to read, roll and compile their gradients, beside JAX's scan, and unrolled.

Run:  python benchmarks/loops_python.py        (--quick: shorter loops; --cpu: seconds of CPU time, for a
busy machine; loops.py imports the rows)

  first     a first call of jit(grad(f)) in its parts: trace (of which `read` is the tracing of the user's loop; the
            rest finds the loop and differentiates it), compile (XLA's, which does not depend on the turns), and a run
  minors    the determinant by Laplace's rule, in Python recursion: first call and run, interleaved with JAX
  reading   seconds to trace programs of 10³ to 10⁶ equations, and to make a graph of that with its loops rolled
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from timing import interleaved, medians, ratio

import gradlab as gl
import gradlab.numpy as gnp

# -- programs: each takes the array module, and (for JAX) whether its loop is a lax.scan


def rk4(np_: Any, steps: int, as_scan: bool = False) -> Callable:
    """The sum of the final state of 100 pendulum-like equations after so many steps of Runge and Kutta."""

    def slope(x: Any, p: Any) -> Any:
        return p * np_.sin(x) - 0.1 * x

    def step(x: Any, p: Any, h: float = 0.01) -> Any:
        k1 = slope(x, p)
        k2 = slope(x + h / 2 * k1, p)
        k3 = slope(x + h / 2 * k2, p)
        k4 = slope(x + h * k3, p)
        return x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

    def total(x: Any, p: Any) -> Any:
        if as_scan:
            x = jax.lax.scan(lambda x, _: (step(x, p), None), x, None, length=steps)[0]
        else:
            for _ in range(steps):
                x = step(x, p)
        return np_.sum(x)

    return total


def rnn(np_: Any, steps: int, as_scan: bool = False) -> Callable:
    """The sum of squares of the last hidden state of a recurrent network of 16 cells."""

    def total(w: Any, u: Any, b: Any, xs: Any) -> Any:
        h = np_.zeros(b.shape[0])
        if as_scan:
            h = jax.lax.scan(lambda h, x: (np_.tanh(w @ x + u @ h + b), None), h, xs)[0]
        else:
            for t in range(steps):
                h = np_.tanh(w @ xs[t] + u @ h + b)
        return np_.sum(h * h)

    return total


def rk4_args(steps: int) -> tuple:
    rng = np.random.default_rng(0)
    return rng.normal(size=100), rng.uniform(0.5, 1.5, 100)


def rnn_args(steps: int) -> tuple:
    rng = np.random.default_rng(0)
    w, u, b = rng.normal(size=(16, 8)) * 0.3, rng.normal(size=(16, 16)) * 0.2, rng.normal(size=16)
    return w, u, b, rng.normal(size=(steps, 8))


def minors(np_: Any) -> Callable:
    """The determinant of a matrix by Laplace's rule, read entry by entry."""

    def determinant(x: Any) -> Any:
        def minor(rows: tuple[int, ...], c: int) -> Any:
            if len(rows) == 1:
                return x[rows[0], c]
            total = 0.0
            for k, r in enumerate(rows):
                term = x[r, c] * minor(rows[:k] + rows[k + 1 :], c + 1)
                total = total + term if k % 2 == 0 else total - term
            return total

        return minor(tuple(range(x.shape[0])), 0)

    return determinant


def unlike(equations: int) -> Callable:
    """A program of so many equations in which nothing repeats."""
    rng = np.random.default_rng(1)
    which = rng.integers(0, 6, equations).tolist()
    back = rng.integers(1, 20, (equations, 2)).tolist()

    def f(x: Any) -> Any:
        values = [x * float(k) for k in range(20)]
        for op, (i, j) in zip(which, back, strict=True):
            a, b = values[-i], values[-j]
            values.append(gnp.sin(a) if op == 0 else gnp.tanh(a) if op == 1 else a * b if op < 4 else a + b)
        return sum(values[-20:])

    return f


PROGRAMS: dict[str, tuple[Callable, Callable, tuple[int, ...]]] = {
    "RK4": (rk4, rk4_args, (5, 10, 20)),
    "RNN": (rnn, rnn_args, (10, 25, 50)),
}
LENGTHS = (100, 1000, 10_000)
CLOCK: list[Callable[[], float]] = [time.perf_counter]


# -- rows


def _first(jitted: Any, args: Sequence[Any]) -> tuple[dict[str, float], Any]:
    """A first call in its parts, seconds: reading and rewriting, compiling (JAX's lowering and XLA), running."""
    marks = [CLOCK[0]()]
    traced = jitted.trace(*args)
    marks.append(CLOCK[0]())
    compiled = traced.lower().compile()
    marks.append(CLOCK[0]())
    out = jax.block_until_ready(compiled(*args))
    marks.append(CLOCK[0]())
    parts = dict(zip(("trace", "compile", "run"), np.diff(marks).tolist(), strict=True))
    return {"total": sum(parts.values()), **parts}, out


def _reading(f: Callable, args: Sequence[Any]) -> tuple[float, float, Any]:
    """Seconds to trace, seconds to make a graph of that, loops rolled, and the graph."""
    marks = []

    def timed(*args: Any) -> Any:
        out = f(*args)
        marks.append(CLOCK[0]())
        return out

    start = CLOCK[0]()
    graph = gl.stage(timed)(*args)
    return marks[0] - start, CLOCK[0]() - marks[0], graph


def _equations(f: Callable, args: Sequence[Any]) -> int:
    """How many there are as the loop is written."""
    with gl.rerolling(False):
        return len(gl.stage(f)(*args).eqns)


def first_call(name: str, steps: int, unrolled: bool = False) -> dict:
    """One loop of so many turns: gradlab's first call, JAX's of the scan, and of the unrolled loop if asked for."""
    make, draw, _ = PROGRAMS[name]
    args = [jnp.asarray(x) for x in draw(steps)]
    wanted = tuple(range(min(len(args), 3)))
    equations = _equations(make(gnp, steps), args)
    read = _reading(make(gnp, steps), args)[0]
    own, got = _first(gl.jit(gl.grad(make(gnp, steps), wanted)), args)
    scan, want = _first(jax.jit(jax.grad(make(jnp, steps, True), wanted)), args)
    row = {
        "program": name,
        "steps": steps,
        "equations": equations,
        "seconds": {"read": read, "gradlab": own, "jax scan": scan},
        "error": max(_difference(a, b) for a, b in zip(got, want, strict=True)),
    }
    if unrolled:
        row["seconds"]["jax unrolled"] = _first(jax.jit(jax.grad(make(jnp, steps), wanted)), args)[0]
    return row


def _difference(a: Any, b: Any) -> float:
    """The largest difference, relative to the largest entry."""
    return float(np.max(np.abs(np.asarray(a) - np.asarray(b))) / np.max(np.abs(np.asarray(b))))


def runs(name: str, steps: int, budget: float) -> dict:
    """A call of the compiled gradient beside that of JAX's scan."""
    make, draw, _ = PROGRAMS[name]
    args = [jnp.asarray(x) for x in draw(steps)]
    wanted = tuple(range(min(len(args), 3)))
    calls = {
        "gradlab": gl.jit(gl.grad(make(gnp, steps), wanted)),
        "jax scan": jax.jit(jax.grad(make(jnp, steps, True), wanted)),
    }
    seen = interleaved({k: lambda f=f: jax.block_until_ready(f(*args)) for k, f in calls.items()}, budget)
    return {"program": name, "steps": steps, "run": medians(seen), "ratio": ratio(seen, "jax scan")}


def determinant(budget: float, size: int = 6) -> dict:
    """Minors: the first call of a fresh gradient (once for JAX, which takes long), and runs."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(size, size)))
    ours, theirs = gl.jit(gl.grad(minors(gnp))), jax.jit(jax.grad(minors(jnp)))
    own, got = _first(ours, (x,))
    peer, want = _first(theirs, (x,))
    seen = interleaved(
        {"gradlab": lambda: jax.block_until_ready(ours(x)), "jax": lambda: jax.block_until_ready(theirs(x))}, budget
    )
    return {
        "program": f"minors {size}×{size}",
        "first": {"gradlab": own["total"], "jax": peer["total"], "ratio": peer["total"] / own["total"]},
        "run": {**medians(seen), "ratio": ratio(seen, "jax")},
        "error": _difference(got, want),
    }


def reading(largest: int) -> list[dict]:
    """Tracing, and rolling what was traced, an equation: of a loop that repeats, and where nothing does."""
    rows = []
    size = 1000
    while size <= largest:
        x, p = rk4_args(0)
        cases = {"RK4": (rk4(gnp, size // 29), (x, p)), "no repetition": (unlike(size), (x,))}
        for name, (f, args) in cases.items():
            equations = _equations(f, args)
            read, roll, graph = _reading(f, args)
            rows.append(
                {
                    "program": name,
                    "equations": equations,
                    "after": len(graph.eqns),
                    "read": read / equations,
                    "roll": roll / equations,
                }
            )
        size *= 10
    return rows


def rows(quick: bool = False) -> dict[str, list[dict]]:
    """All of it, by the names at the top of this file."""
    budget = 0.3 if quick else 2.0
    first = []
    for name, (_, _, short) in PROGRAMS.items():
        first += [first_call(name, steps, unrolled=True) for steps in (short[:1] if quick else short)]
        first += [first_call(name, steps) for steps in (LENGTHS[:2] if quick else LENGTHS)]
    return {
        "first": first,
        "run": [runs(name, 1000, budget) for name in PROGRAMS],
        "minors": [determinant(budget, 4 if quick else 6)],
        "reading": reading(10_000 if quick else 1_000_000),
    }


def print_rows(found: dict[str, list[dict]]) -> None:
    print("first call of the gradient of a Python loop, seconds; `read` is the tracing of the loop in `trace`")
    titles = ("turns", "equations", "read", "trace", "compile", "total", "JAX scan", "unrolled")
    print(f"{'':<6}" + "".join(f"{title:>10}" for title in titles) + "  error")
    for row in found["first"]:
        s = row["seconds"]
        own, peers = s["gradlab"], [s[k]["total"] for k in ("jax scan", "jax unrolled") if k in s]
        cells = "".join(f"{t:>10.2f}" for t in (s["read"], own["trace"], own["compile"], own["total"], *peers))
        print(f"{row['program']:<6}{row['steps']:>10}{row['equations']:>10}{cells:<60}  {row['error']:.0e}")
    for row in found["run"]:
        own, peer = row["run"]["gradlab"], row["run"]["jax scan"]
        print(
            f"run, {row['program']}, {row['steps']} turns: {own * 1e6:.0f} µs, "
            f"JAX's scan {peer * 1e6:.0f} µs ({row['ratio']:.2f}×)"
        )
    for row in found["minors"]:
        f, r = row["first"], row["run"]
        print(
            f"{row['program']}: first call {f['gradlab']:.2f} s, JAX {f['jax']:.2f} s ({f['ratio']:.1f}×); "
            f"run {r['gradlab'] * 1e6:.0f} µs, JAX {r['jax'] * 1e6:.0f} µs ({r['ratio']:.1f}×); "
            f"error {row['error']:.0e}"
        )
    print("µs an equation, to trace and to roll")
    for row in found["reading"]:
        print(
            f"{row['program']:<15}{row['equations']:>9} equations: {row['read'] * 1e6:5.1f} + {row['roll'] * 1e6:4.1f}"
            f"  -> {row['after']} equations"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="shorter loops, and more noise")
    parser.add_argument("--cpu", action="store_true", help="CPU seconds of all threads for all but the runs")
    options = parser.parse_args()
    if options.cpu:
        CLOCK[0] = time.process_time
    jax.config.update("jax_enable_x64", True)
    print_rows(rows(options.quick))


if __name__ == "__main__":
    main()
