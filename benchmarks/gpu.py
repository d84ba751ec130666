"""Gradients at GPU sizes: gradlab's time as a ratio to jax.jit(jax.grad), and as a share of what the device can do.

Run:  python benchmarks/gpu.py               (--only PART; --anywhere --scale 0.01: try the script itself on a CPU)

The shares are against this device's own measured rates: the bytes per second of a copy, and the flops per second of a
large matmul in the same dtype. Bytes counted for a gradient are those it cannot avoid: read each input, write each
result. So 100 % would be one perfect pass, and a program that has to pass twice reaches 50 %. Flops are those of the
matrix products of the forward and backward sweeps. Writes benchmarks/results/gpu.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from peers import GRADLAB, JAX
from report import duration, machine, size, times
from timing import interleaved, medians, ratio

RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True)
class Work:
    """A function over a namespace, its arguments, what to differentiate, and the least its gradient can cost."""

    name: str
    build: Callable[[Any], Callable]
    args: tuple
    argnums: int | tuple[int, ...] = 0
    flops: float = 0.0
    bytes: float = 0.0


def draws(dtype: str) -> Callable[..., jax.Array]:
    keys = iter(jax.random.split(jax.random.key(0), 100))
    return lambda *shape: jax.random.normal(next(keys), shape, jnp.float32).astype(dtype)


def n_bytes(*trees: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(trees))


# -- the programs


def transformer(dtype: str, scale: float) -> Work:
    """One block, 16 causal heads and a gelu layer of four times the width, on 8 sequences of 1024 tokens."""
    batch, tokens, heads, width = 8, max(16, int(1024 * scale)), 16, 64
    d = heads * width
    normal = draws(dtype)
    params = {
        **{name: normal(d, heads, width) / d**0.5 for name in ("q", "k", "v")},
        "o": normal(heads, width, d) / d**0.5,
        "up": normal(d, 4 * d) / d**0.5,
        "down": normal(4 * d, d) / (4 * d) ** 0.5,
    }
    mask = jnp.where(jnp.tril(jnp.ones((tokens, tokens), bool)), 0, -1e4).astype(dtype)

    def build(np):
        def normalised(x):
            x = x - np.mean(x, axis=-1, keepdims=True)
            return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + 1e-5)

        def f(p, x, mask):
            h = normalised(x)
            q, k, v = (np.einsum("btd,dhe->bhte", h, p[name]) for name in ("q", "k", "v"))
            s = np.einsum("bhte,bhse->bhts", q, k) * width**-0.5 + mask
            s = np.exp(s - np.max(s, axis=-1, keepdims=True))
            s = s / np.sum(s, axis=-1, keepdims=True)
            x = x + np.einsum("bhte,hed->btd", np.einsum("bhts,bhse->bhte", s, v), p["o"])
            h = normalised(x) @ p["up"]
            h = 0.5 * h * (1 + np.tanh(0.7978845608 * (h + 0.044715 * h * h * h)))
            return np.mean((x + h @ p["down"]) ** 2)

        return f

    rows = batch * tokens
    forward = 2 * rows * d * (4 * d + 8 * d) + 4 * batch * heads * tokens**2 * width
    return Work("transformer block", build, (params, normal(batch, tokens, d), mask), flops=3 * forward)


def mlp(dtype: str, scale: float) -> Work:
    """Three relu layers of width 4096 on 8192 rows, mean squared error."""
    d, rows = max(64, int(4096 * scale)), max(64, int(8192 * scale))
    normal = draws(dtype)
    params = [(normal(d, d) / d**0.5, normal(d)) for _ in range(3)]

    def build(np):
        def f(params, x, y):
            for w, b in params:
                x = np.maximum(x @ w + b, 0)
            return np.mean((x - y) ** 2)

        return f

    products = 3 + 3 + 2  # forward; one per weight; one per activation but the first
    return Work("mlp step", build, (params, normal(rows, d), normal(rows, d)), flops=products * 2 * rows * d * d)


def chain(dtype: str, scale: float, length: int) -> Work:
    """`length` elementwise operations on 2²⁶ numbers."""
    x = draws(dtype)(max(1024, int(2**26 * scale)))

    def build(np):
        def f(x):
            y = x
            for _ in range(length // 4):
                y = np.tanh(y * 1.1 + 0.1) * x
            return np.sum(y)

        return f

    return Work(f"elementwise × {length}", build, (x,), bytes=2 * n_bytes(x))


def log_sum_exp(dtype: str, scale: float) -> Work:
    """Written from max, sub, exp, sum and log, over the rows of a 8192 × 8192 matrix."""
    n = max(64, int(8192 * scale))
    x = draws(dtype)(n, n)

    def build(np):
        def f(x):
            top = np.max(x, axis=1, keepdims=True)
            return np.sum(np.log(np.sum(np.exp(x - top), axis=1)) + top[:, 0])

        return f

    return Work("log-sum-exp rows", build, (x,), bytes=2 * n_bytes(x))


def two_loop(dtype: str, scale: float, n: int) -> Work:
    """½|r|², r = the L-BFGS two-loop recursion (10 pairs) applied to g: 40 dots and axpys over n numbers, and back."""
    n, m = max(1024, int(n * scale)), 10
    normal = draws(dtype)
    s, y, g = normal(m, n) / n**0.5, normal(m, n) / n**0.5, normal(n)

    def build(np):
        def f(g, s, y):
            q, alphas = g, []
            for i in reversed(range(m)):
                alphas.append(0.1 * np.sum(s[i] * q))
                q = q - alphas[-1] * y[i]
            for i in range(m):
                beta = 0.1 * np.sum(y[i] * q)
                q = q + (alphas[m - 1 - i] - beta) * s[i]
            return 0.5 * np.sum(q * q)

        return f

    # Each of the 4m sweeps over q, forward and back, has to be finished before the next: it reads one row and q.
    sweeps = 2 * (4 * m) * 2 * n_bytes(g)
    return Work(f"two-loop, n={n:.0e}".replace("e+0", "e"), build, (g, s, y), bytes=sweeps)


def works(dtype: str, scale: float) -> list[Callable[[], Work]]:
    """Made one at a time, so that only one program's arrays are on the device."""
    return [
        lambda: transformer(dtype, scale),
        lambda: mlp(dtype, scale),
        *[lambda length=length: chain(dtype, scale, length) for length in (8, 32)],
        lambda: log_sum_exp(dtype, scale),
        *[lambda n=n: two_loop(dtype, scale, n) for n in (100_000, 1_000_000, 10_000_000)],
    ]


# -- what the device can do


def fastest(call: Callable[[], object], budget: float = 0.5) -> float:
    return min(interleaved({"own": call}, budget, slice_seconds=2e-2)["own"])


def copy_rate(scale: float) -> float:
    """Bytes read and written per second by an out-of-place copy of 1 GiB."""
    x = jnp.zeros(max(1024, int(2**28 * scale)), jnp.float32)
    copy = jax.jit(lambda x: x + 1)
    return 2 * n_bytes(x) / fastest(lambda: copy(x).block_until_ready())


def matmul_rate(dtype: str, scale: float) -> float:
    n = max(128, int(8192 * scale))
    a, b = (draws(dtype)(n, n) for _ in range(2))
    product = jax.jit(jnp.matmul)
    return 2 * n**3 / fastest(lambda: product(a, b).block_until_ready())


# -- the comparison


def measure(work: Work, dtype: str, bandwidth: float, rate: float, budget: float) -> dict:
    calls, memory, results = {}, {}, {}
    for library in (GRADLAB, JAX):
        jitted = library.jit(library.derivative(work.build(library.np), work.argnums, 1))
        results[library.name] = jitted(*work.args)
        memory[library.name] = jitted.lower(*work.args).compile().memory_analysis().temp_size_in_bytes
        calls[library.name] = lambda jitted=jitted: jax.block_until_ready(jitted(*work.args))
    seen = interleaved(calls, budget, slice_seconds=2e-2)
    seconds = medians(seen)
    least = work.flops / rate if work.flops else work.bytes / bandwidth
    return {
        "program": work.name,
        "dtype": dtype,
        "seconds": seconds,
        "ratio": ratio(seen, "jax"),
        "share": {name: least / taken for name, taken in seconds.items()},
        "of": "matmul rate" if work.flops else "copy bandwidth",
        "memory": memory,
        "difference": difference(results["gradlab"], results["jax"]),
    }


def difference(ours: Any, theirs: Any) -> float:
    """The norm of the difference relative to the norm: low precision rounds the two programs differently."""
    ours, theirs = (
        np.concatenate([np.asarray(x, np.float64).ravel() for x in jax.tree.leaves(t)]) for t in (ours, theirs)
    )
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


ROW = "{:<22}{:>10}{:>9}{:>8}{:>8} {:<16}{:>20}{:>8}"


def as_text(row: dict) -> str:
    own, theirs = row["memory"]["gradlab"], row["memory"]["jax"]
    shares = [f"{row['share'][name]:.0%}" for name in ("gradlab", "jax")]
    took = duration(row["seconds"]["gradlab"])
    memory = f"{size(own)} ({size(theirs)})"
    return ROW.format(row["program"], took, times(row["ratio"]), *shares, row["of"], memory, f"{row['difference']:.0e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="programs whose name contains this")
    parser.add_argument("--budget", type=float, default=2.0, help="seconds of timing per program (default 2)")
    parser.add_argument("--scale", type=float, default=1.0, help="of every size (default 1)")
    parser.add_argument("--anywhere", action="store_true", help="run without a GPU too; nothing is written then")
    options = parser.parse_args()
    device = jax.devices()[0]
    if device.platform != "gpu" and not options.anywhere:
        print(f"No GPU here, only {device.device_kind}: these sizes are made for one, so nothing was measured. For the")
        print("GPU install the extra cuda13 (or cuda12); on a CPU run benchmarks/engine.py instead.")
        return

    bandwidth = copy_rate(options.scale)
    rows, rates = [], {}
    for dtype in ("float32", "bfloat16"):
        rate = rates[dtype] = matmul_rate(dtype, options.scale)
        print(f"\n{device.device_kind}, {dtype}: copies {size(bandwidth)}/s, multiplies at {rate / 1e12:.3g} Tflop/s")
        print(ROW.format("gradient of", "gradlab", "vs. jax", "share", "(jax)", "of", "memory (jax)", "differ"))
        for make in works(dtype, options.scale):
            work = make()
            if options.only in work.name:
                rows.append(measure(work, dtype, bandwidth, rate, options.budget))
                print(as_text(rows[-1]), flush=True)
    if device.platform == "gpu" and not options.only and options.scale == 1:
        about = {"machine": machine(), "copy": bandwidth, "matmul": rates}
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "gpu.json").write_text(json.dumps({**about, "rows": rows}, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
