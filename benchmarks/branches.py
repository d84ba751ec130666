"""What it costs to follow Python's branches under jit, and to differentiate what a solver found, beside jax.jit.

Run:  python benchmarks/branches.py

A Newton iteration with `while abs(step) > tol` in plain Python, compiled by `gl.jit(branches="specialize")`: three
programs, the right answers, and a call that finds its program at once, or guesses wrong first, beside plain jitted
functions that take as many steps as they are told. Then the gradient of an implicit layer by `gl.fixed_point` beside
JAX's gradient through the iterations. Writes branches.json into benchmarks/results.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from report import duration, machine
from timing import interleaved, medians, ratio

import gradlab as gl
import gradlab.numpy as gnp

RESULTS = Path(__file__).resolve().parent / "results"
SECONDS = 4.0
jax.config.update("jax_enable_x64", True)


def newton(a):
    x, step = a, 1.0 + 0.0 * a
    while abs(step) > 1e-10:
        step = (x * x - a) / (2 * x)
        x = x - step
    return x


def told(a, steps=5):
    x = a
    for _ in range(steps):
        x = x - (x * x - a) / (2 * x)
    return x


def dispatch() -> dict[str, float]:
    runs = []

    def counted(a):
        runs.append(a)
        return newton(a)

    followed, slope = gl.jit(counted, branches="specialize"), gl.jit(gl.grad(newton), branches="specialize")
    for a in (2.0, 3.0, 100.0, 2.1, 3.0, 110.0, 2.0):
        np.testing.assert_allclose(followed(a), np.sqrt(a), rtol=1e-15)
        np.testing.assert_allclose(slope(a), 0.5 / np.sqrt(a), rtol=1e-12)
    assert len(runs) == 3
    print("Newton's iteration with 5, 6 and 9 turns: three programs, and right")

    first, second = jnp.asarray(2.0), jnp.asarray(3.0)  # five steps, six steps
    other = gl.jit(newton, branches="specialize")
    other(second)
    other(first)
    plain, jitted = gl.jit(told), jax.jit(told)

    def wrong():  # each of the two calls guesses that it is as the one before
        other(first)
        other(second)

    seen = interleaved(
        {
            "a hit": lambda: followed(first),
            "two wrong guesses": wrong,
            "gl.jit": lambda: plain(first),
            "jax.jit": lambda: jitted(first),
            "jax.jit, waited for": lambda: jitted(first).block_until_ready(),
        },
        SECONDS,
        rounds=(40, 400),
    )
    best = {name: min(values) for name, values in seen.items()}
    for name, seconds in medians(seen).items():
        print(f"  {name:<20} {duration(seconds):>9}, at best {duration(best[name]):>9}")
    found = {
        f"a hit over {name}": 1 / ratio(seen, name, "a hit") for name in ("gl.jit", "jax.jit", "jax.jit, waited for")
    }
    found["a hit over gl.jit, both at best"] = best["a hit"] / best["gl.jit"]
    return found


def implicit(n: int = 100) -> dict[str, float]:
    w, b = 0.3 * np.random.default_rng(0).normal(size=(n, n)) / np.sqrt(n), np.ones(n)

    def fixed(w):
        return gl.fixed_point(lambda h: gnp.tanh(w @ h + b), gnp.zeros(n)).sum()

    def unrolled(w):
        return jax.lax.scan(lambda h, _: (jnp.tanh(w @ h + b), None), jnp.zeros(n), None, length=30)[0].sum()

    calls, firsts, results = {}, {}, {}
    for name, function in (("gradlab", gl.jit(gl.grad(fixed))), ("jax", jax.jit(jax.grad(unrolled)))):
        began = time.perf_counter()
        results[name] = jax.block_until_ready(function(w))
        firsts[name] = time.perf_counter() - began
        calls[name] = lambda function=function: jax.block_until_ready(function(w))
    np.testing.assert_allclose(results["gradlab"], results["jax"], rtol=1e-9, atol=1e-12)
    seen = interleaved(calls, SECONDS)
    print(f"gradient of an implicit layer of {n}: fixed point and GMRES, beside 30 iterations and all they keep")
    for name, seconds in medians(seen).items():
        print(f"  {name:<20} {duration(seconds):>9}, first call {duration(firsts[name])}")
    return {"implicit layer: jax's time over gradlab's": ratio(seen, "jax")}


def main() -> None:
    print(machine())
    ratios = dispatch() | implicit()
    for name, value in ratios.items():
        print(f"{name}: {value:.2f}")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "branches.json").write_text(json.dumps({"machine": machine(), "ratios": ratios}, indent=1) + "\n")


if __name__ == "__main__":
    main()
