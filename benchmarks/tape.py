"""What a `GradientTape` costs beside an eager `gl.grad` of the same, interleaved: `python benchmarks/tape.py`.

Times are the best of all rounds, the ratio is the median of the ratios within the rounds: a busy machine slows both.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from timing import interleaved, ratio

import gradlab as gl
import gradlab.numpy as gnp


def polynomial(x, y):
    return x * x * y + y + 2


def network(w, v):
    return (gnp.tanh(gnp.tanh(w @ v) @ w) ** 2).sum()


def chain(x, y):
    for _ in range(100):
        x = gnp.sin(x) * y
    return x


def main() -> None:
    rng = np.random.default_rng(0)
    cases = {
        "x²y+y+2": (polynomial, (3.0, 4.0)),
        "two tanh layers": (network, (rng.standard_normal((16, 16)), rng.standard_normal(16))),
        "chain of 200": (chain, (0.5, 1.1)),
    }
    print("| gradient of | gl.grad | GradientTape | ratio |\n|---|--:|--:|--:|")
    for name, (f, args) in cases.items():
        at = [jnp.asarray(a) for a in args]
        variables = [gl.Variable(a) for a in args]

        def by_tape(f=f, variables=variables):
            with gl.GradientTape() as tape:
                out = f(*variables)
            return tape.gradient(out, variables)

        def by_grad(f=f, at=at):
            return gl.grad(f, argnums=(0, 1))(*at)

        seen = interleaved({"grad": by_grad, "tape": by_tape}, budget=3.0, rounds=(7, 200))
        best = {who: 1e6 * min(times) for who, times in seen.items()}
        print(f"| {name} | {best['grad']:.0f} µs | {best['tape']:.0f} µs | {ratio(seen, 'tape', 'grad'):.2f} |")


if __name__ == "__main__":
    main()
