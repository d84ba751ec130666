"""Gradients of loops beside jax.grad and jax.grad of jax.checkpoint, interleaved in one process, float64.

Run:  python benchmarks/loops.py          (--quick: a tenth of the time; --only PART: rows with that in the name;
--sections scan,while,python: some of them, the others stay in the results as they were)

  scan rows   time and XLA's temporary memory of the compiled gradient; jax's and jax.checkpoint's as multiples of
              gradlab's (above 1 gradlab is the faster, the smaller)
  while rows  a reverse-mode gradient through a while_loop beside forward mode and beside jax.grad of a scan of the same
              length, for trip counts known only at run time
  python rows loops written in Python, those of loops_python.py
Prints a table, then each bar beside what was measured, and writes benchmarks/results/loops.json.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import loops_python
import numpy as np
from loop_bars import bars
from report import duration, machine, size, times
from timing import interleaved, medians, ratio

import gradlab as gl
import gradlab.numpy as gnp

RESULTS = Path(__file__).resolve().parent / "results"
SECTIONS = ("scan", "while", "python")
TOLERANCE = 1e-9
GRADLAB = SimpleNamespace(np=gnp, scan=gl.scan)
JAX = SimpleNamespace(np=jnp, scan=jax.lax.scan)


@dataclass(frozen=True)
class Work:
    """`build(lib, wrap)` is the loss, `wrap` what is done to the body; `argnums` what is differentiated."""

    name: str
    build: Callable[[Any, Callable], Callable]
    args: Callable[[np.random.Generator], tuple]
    argnums: int | tuple[int, ...] = 0


# -- the programs


def rk4(lib: Any, wrap: Callable) -> Callable:
    """Lorenz's 1996 model of the weather on a ring, 100 steps of the classical Runge–Kutta method."""
    n, h = lib.np, 0.01

    def rate(y, force):
        return (n.roll(y, -1) - n.roll(y, 2)) * n.roll(y, 1) - y + force

    def loss(y, force):
        def step(y, _):
            k1 = rate(y, force)
            k2 = rate(y + 0.5 * h * k1, force)
            k3 = rate(y + 0.5 * h * k2, force)
            k4 = rate(y + h * k3, force)
            y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
            return y, y

        return n.sum(lib.scan(wrap(step), y, None, length=100)[1][-1] ** 2)

    return loss


def lstm(lib: Any, wrap: Callable) -> Callable:
    """ADBench's stacked LSTM, which predicts the next character; its weights act element by element."""
    n = lib.np

    def sigmoid(x):
        return 1 / (1 + n.exp(-x))

    def cell(weight, bias, hidden, cell, x):
        forget = sigmoid(x * weight[0] + bias[0])
        ingate = sigmoid(hidden * weight[1] + bias[1])
        outgate = sigmoid(x * weight[2] + bias[2])
        change = n.tanh(hidden * weight[3] + bias[3])
        cell = cell * forget + ingate * change
        return outgate * n.tanh(cell), cell

    def loss(main, extra, state, sequence):
        def step(carry, pair):
            (state, total), (x, y) = carry, pair
            x, new = x * extra[0], []
            for layer in range(main.shape[0]):
                x, c = cell(main[layer, 0], main[layer, 1], state[layer, 0], state[layer, 1], x)
                new.append(n.stack([x, c]))
            guess = x * extra[1] + extra[2]
            return (n.stack(new), total + n.sum(y * (guess - n.log(n.sum(n.exp(guess)))))), None

        (_, total), _ = lib.scan(wrap(step), (state, 0.0), (sequence[:-1], sequence[1:]))
        return -total / ((sequence.shape[0] - 1) * sequence.shape[1])

    return loss


def lstm_args(layers: int, steps: int, bits: int = 14) -> Callable:
    def draw(rng):
        text = (rng.uniform(size=(steps, bits)) > 0.8).astype(float)
        return (
            rng.normal(size=(layers, 2, 4, bits)),
            rng.normal(size=(3, bits)),
            rng.normal(size=(layers, 2, bits)),
            text,
        )

    return draw


def elementwise(lib: Any, wrap: Callable) -> Callable:
    n = lib.np

    def loss(a, x, rows):
        def step(c, r):
            u = n.sin(c * a) + n.exp(-c * c) * r
            v = n.tanh(u) * n.cos(r * c)
            w = n.sqrt(1 + u * u) * n.log1p(v * v)
            return 0.9 * c + 0.1 * n.where(w > 0.5, w * u, v / (1 + w)), n.sum(w)

        c, ys = lib.scan(wrap(step), x, rows)
        return n.sum(c * c) + n.sum(ys)

    return loss


def matmul(lib: Any, wrap: Callable) -> Callable:
    n = lib.np

    def loss(p, h, rows):
        def step(h, x):
            h = h + 0.1 * n.tanh(n.tanh(h @ p["w"] + x @ p["u"] + p["b"]) @ p["v"])
            return h, n.sum(h * h)

        return n.sum(lib.scan(wrap(step), h, rows)[1]) / rows.shape[0]

    return loss


def matmul_args(rng):
    def normal(*shape):
        return rng.normal(size=shape) / shape[0] ** 0.5

    return (
        {"w": normal(128, 128), "u": normal(64, 128), "b": normal(128), "v": normal(128, 128)},
        normal(16, 128),
        normal(256, 16, 64),
    )


def gru(lib: Any, wrap: Callable) -> Callable:
    n = lib.np

    def sigmoid(x):
        return 1 / (1 + n.exp(-x))

    def loss(p, h, rows):
        def step(h, x):
            z, r = sigmoid(x @ p["xz"] + h @ p["hz"]), sigmoid(x @ p["xr"] + h @ p["hr"])
            h = (1 - z) * n.tanh(x @ p["xn"] + (r * h) @ p["hn"]) + z * h
            return h, n.sum(h**2)

        return n.sum(lib.scan(wrap(step), h, rows)[1])

    return loss


def gru_args(rng):
    weights = {k: rng.normal(size=(32 if k[0] == "x" else 64, 64)) / 8 for k in ("xz", "hz", "xr", "hr", "xn", "hn")}
    return weights, rng.normal(size=(8, 64)), rng.normal(size=(512, 8, 32))


def kalman(lib: Any, wrap: Callable) -> Callable:
    n = lib.np

    def loss(A, q, r, mean, cov, rows):
        H = n.eye(2, mean.shape[0])

        def step(state, y):
            m, P = state
            m, P = A @ m, A @ P @ A.T + n.exp(q) * n.eye(mean.shape[0])
            S = H @ P @ H.T + n.exp(r) * n.eye(2)
            det = S[0, 0] * S[1, 1] - S[0, 1] * S[1, 0]
            inverse = n.stack([n.stack([S[1, 1], -S[0, 1]]), n.stack([-S[1, 0], S[0, 0]])]) / det
            gain, error = P @ H.T @ inverse, y - H @ m
            return (m + gain @ error, P - gain @ H @ P), error @ inverse @ error + n.log(det)

        return 0.5 * n.sum(lib.scan(wrap(step), (mean, cov), rows)[1])

    return loss


def kalman_args(rng, n: int = 4):
    return (
        0.95 * np.eye(n) + 0.02 * rng.normal(size=(n, n)),
        0.1,
        0.2,
        np.zeros(n),
        np.eye(n),
        rng.normal(size=(2000, 2)),
    )


def neural_ode(lib: Any, wrap: Callable) -> Callable:
    n, h = lib.np, 0.05

    def loss(p, y):
        def rate(y):
            return n.tanh(n.tanh(y @ p["a"] + p["b"]) @ p["c"] + p["d"]) @ p["e"]

        def step(y, _):
            k1 = rate(y)
            k2 = rate(y + 0.5 * h * k1)
            k3 = rate(y + 0.5 * h * k2)
            return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + rate(y + h * k3)), None

        return n.sum(lib.scan(wrap(step), y, None, length=100)[0] ** 2)

    return loss


def neural_ode_args(rng):
    shapes = {"a": (2, 50), "b": (50,), "c": (50, 50), "d": (50,), "e": (50, 2)}
    return {k: rng.normal(size=s) / s[0] ** 0.5 for k, s in shapes.items()}, rng.normal(size=(128, 2))


SCANS = [
    Work("rk4 n=1e5, 100 steps", rk4, lambda rng: (rng.normal(size=100_000), 8.0), (0, 1)),
    *(
        Work(f"lstm {layers} layers, {steps} steps", lstm, lstm_args(layers, steps), (0, 1))
        for layers, steps in ((2, 1024), (2, 8192), (4, 4096), (6, 8192))
    ),
    Work("elementwise n=2000, 500 steps", elementwise,
         lambda rng: (rng.normal(size=2000), rng.normal(size=2000), rng.normal(size=(500, 2000))), (0, 1)),
    Work("matmul 16×128, 256 steps", matmul, matmul_args, (0, 1)),
    Work("gru 8×64, 512 steps", gru, gru_args, (0, 1)),
    Work("kalman filter, 2000 steps", kalman, kalman_args, (0, 1, 2)),
    Work("neural ode, 100 steps", neural_ode, neural_ode_args),
]  # fmt: skip


# -- measuring


def agree(ours: Any, theirs: Any) -> float:
    pairs = zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
    error = max(float(jnp.max(jnp.abs(a - b)) / (jnp.max(jnp.abs(b)) or 1.0)) for a, b in pairs)
    if not error < TOLERANCE:
        raise AssertionError(f"gradlab and jax differ by {error:.1e}")
    return error


def of_scan(work: Work, budget: float) -> dict:
    args = jax.tree.map(jnp.asarray, work.args(np.random.default_rng(0)))
    plain = lambda step: step  # noqa: E731
    compiled = {
        "gradlab": gl.jit(gl.grad(work.build(GRADLAB, plain), work.argnums)),
        "jax": jax.jit(jax.grad(work.build(JAX, plain), work.argnums)),
        "jax.checkpoint": jax.jit(jax.grad(work.build(JAX, jax.checkpoint), work.argnums)),
    }
    compiled = {name: f.lower(*args).compile() for name, f in compiled.items()}
    error = agree(compiled["gradlab"](*args), compiled["jax"](*args))
    calls = {name: lambda f=f: jax.block_until_ready(f(*args)) for name, f in compiled.items()}
    seen = interleaved(calls, budget, slice_seconds=5e-3, rounds=(5, 40))
    memory = {name: f.memory_analysis().temp_size_in_bytes for name, f in compiled.items()}
    return {
        "program": work.name,
        "error": error,
        "seconds": medians(seen),
        "ratio": {name: ratio(seen, name) for name in ("jax", "jax.checkpoint")},
        "memory": memory,
    }


def repeated(trips: Any, a: Any, x: Any, checkpoints: int | None = None) -> Any:
    def turn(state):
        k, c = state
        return k + 1, gnp.sin(c * a) + 0.1 * x

    return gnp.sum(gl.while_loop(lambda s: s[0] < trips, turn, (0, x), checkpoints=checkpoints)[1])


def of_while(n: int, budget: float) -> list[dict]:
    """One parameter, and `n` of them at once, which have to go back through the states."""
    x = jnp.linspace(0.1, 1.0, n)
    rows = []
    for name, a in {"one parameter": jnp.float64(0.9), f"{n} parameters": jnp.full(n, 0.9)}.items():
        reverse = jax.jit(gl.grad(repeated, 1))
        forward = jax.jit(lambda trips, a, x: gl.jvp(lambda a: repeated(trips, a, x), (a,), (jnp.ones_like(a),))[1])
        for trips in (0, 1, 7, 353, 100_000):
            rows.append(
                {"program": f"while_loop, {name}, {trips} trips", **of_trips(reverse, forward, trips, a, x, budget)}
            )
            show(rows[-1])
    return rows


def of_trips(reverse: Callable, forward: Callable, trips: int, a: Any, x: Any, budget: float) -> dict:
    def through_scan(a):
        return jnp.sum(jax.lax.scan(lambda c, _: (jnp.sin(c * a) + 0.1 * x, None), x, None, trips)[0])

    compiled = reverse.lower(trips, a, x).compile()
    scan = jax.jit(jax.grad(through_scan)).lower(a).compile()
    error = max(agree(compiled(trips, a, x).sum(), forward(trips, a, x)), agree(compiled(trips, a, x), scan(a)))
    calls = {
        "gradlab": lambda: jax.block_until_ready(compiled(trips, a, x)),
        "forward": lambda: jax.block_until_ready(forward(trips, a, x)),
        "jax.scan": lambda: jax.block_until_ready(scan(a)),
    }
    seen = interleaved(calls, budget, rounds=(5, 40))
    memory = {"gradlab": compiled, "jax.scan": scan}
    return {
        "error": error,
        "seconds": medians(seen),
        "ratio": {peer: ratio(seen, peer) for peer in ("forward", "jax.scan")},
        "memory": {name: f.memory_analysis().temp_size_in_bytes for name, f in memory.items()},
    }


def show(row: dict) -> None:
    peers = "  ".join(f"{name} {times(r)}" for name, r in row["ratio"].items())
    own = row["memory"]["gradlab"]
    memory = "  ".join(f"{name} {size(m)}" for name, m in row["memory"].items() if name != "gradlab")
    print(
        f"{row['program']:<38}{duration(row['seconds']['gradlab']):>9}  {peers:<38}"
        f"memory {size(own):>8}  {memory:<40}{row['error']:.0e}",
        flush=True,
    )


def measured(section: str, options: argparse.Namespace) -> Any:
    """The rows of a section, shown as they come."""
    budget = 0.4 if options.quick else 4.0
    if section == "python":
        found = loops_python.rows(options.quick)
        loops_python.print_rows(found)
        return found
    if section == "while":
        return of_while(50, budget / 8)
    rows = []
    for work in SCANS:
        if options.only in work.name:
            rows.append(of_scan(work, budget))
            show(rows[-1])
            jax.clear_caches()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the time, and more noise")
    parser.add_argument("--only", default="", help="scan rows whose name contains this; implies --sections scan")
    parser.add_argument("--sections", default="", help=f"of {', '.join(SECTIONS)}: those to run, with commas")
    parser.add_argument("--no-write", action="store_true", help="print only")
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    sections = options.sections.split(",") if options.sections else ["scan"] if options.only else list(SECTIONS)
    if not set(sections) <= set(SECTIONS):
        parser.error(f"--sections takes {', '.join(SECTIONS)}, got {options.sections}")
    path = RESULTS / "loops.json"
    results = json.loads(path.read_text()) if path.exists() and sections != list(SECTIONS) else {}
    start = time.perf_counter()
    for section in sections:
        rows = measured(section, options)
        if section == "scan" and options.only:
            before = {row["program"]: row for row in results.get("scan", [])}
            before.update((row["program"], row) for row in rows)
            rows = [before[work.name] for work in SCANS if work.name in before]
        results[section] = rows
    results |= {"machine": machine(), "quick": options.quick}
    results["bars"] = bars(results)
    print(f"\n{time.perf_counter() - start:.0f} s; the bars:")
    for bar in results["bars"]:
        print(f"  {'met   ' if bar['met'] else 'MISSED'}  {bar['bar']:<68}{bar['got']}")
    if not options.no_write:
        RESULTS.mkdir(exist_ok=True)
        path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
