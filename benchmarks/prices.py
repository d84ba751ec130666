"""What the operations of a loop's turn cost on this CPU: the numbers behind gradlab/control/prices.py.

Run:  python benchmarks/prices.py

Each is measured in a scan, as CPU time, the least of many runs; what a scan costs without the operation is taken off.

  elementwise  nanoseconds an element, in a chain of them; at n = 14 the calls count, at n = 2000 the arithmetic
  dot          nanoseconds a FLOP of a matrix product in each turn, and of one product for all turns together
  stacking     nanoseconds a byte to write a value into its stack in each turn, and to read it in a second loop
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

TURNS = 500
CHAIN = 8


def seconds(f: Callable, *args: Any) -> float:
    """CPU seconds of a call, the least of some."""
    compiled = jax.jit(f).lower(*args).compile()
    jax.block_until_ready(compiled(*args))
    best = float("inf")
    for _ in range(12):
        start = time.process_time()
        jax.block_until_ready(compiled(*args))
        best = min(best, time.process_time() - start)
    return best


def of_turn(step: Callable, plain: Callable, x: Any, turns: int = TURNS) -> float:
    """Nanoseconds a turn that `step` takes longer than `plain`."""
    with_it, without = (
        seconds(lambda x, f=f: lax.scan(lambda c, _: (f(c), None), x, None, length=turns)[0], x) for f in (step, plain)
    )
    return (with_it - without) / turns * 1e9


def elementwise() -> None:
    functions = {"multiply": lambda x: x * 0.999, "divide": lambda x: 1 / (1.5 + x), "exp": jnp.exp, "log1p": jnp.log1p,
                 "tanh": jnp.tanh, "logistic": jax.nn.sigmoid, "sin": jnp.sin}  # fmt: skip
    for name, f in functions.items():
        cells = []
        for n in (14, 2000, 20_000):

            def chain(x, f=f):
                for _ in range(CHAIN):
                    x = 0.5 * f(-x)
                return x

            def scaled(x):
                for _ in range(CHAIN):
                    x = 0.5 * -x
                return x

            ns = of_turn(
                chain, (lambda x: x + 1) if name == "multiply" else scaled, jnp.full(n, 0.3), 100_000 // n + 50
            )
            cells.append(f"n={n}: {ns / CHAIN:9.1f} ns ({ns / CHAIN / n:5.2f} an element)")
        print(f"{name:<10}", "   ".join(cells))


def dots() -> None:
    for m, k in ((1, 4), (4, 4), (8, 64), (16, 128), (128, 50), (128, 256)):
        w = jnp.eye(k) * 0.5 + 0.01
        x = jnp.ones((m, k))
        flops = 2 * m * k * k
        turn = of_turn(lambda c, w=w: c @ w, lambda c: c + 1, x)
        many = jnp.ones((TURNS, m, k))
        abreast = seconds(lambda r, w=w: r @ w, many) / TURNS * 1e9
        both = seconds(lambda r: jnp.einsum("tij,tik->tjk", r, r), many) / TURNS * 1e9
        summed = seconds(lambda r: jnp.einsum("tij,tik->jk", r, r), many) / TURNS * 1e9
        print(
            f"dot {m}×{k}×{k}: in a turn {turn:9.0f} ns ({turn / flops:.3f} a FLOP), for all turns {abreast:9.0f} "
            f"({abreast / flops:.3f}), one each {both:9.0f} ({both / flops:.3f}), summed {summed:9.0f} "
            f"({summed / flops:.3f})"
        )


def stacking() -> None:
    for n, turns in ((14, 8000), (56, 8000), (2000, 50), (2000, 1000), (6400, 400), (20_000, 400)):
        x = jnp.full(n, 0.3)

        def forward(x, turns=turns):
            return lax.scan(lambda c, _: (c * 0.999, c), x, None, length=turns)

        def plain(x, turns=turns):
            return lax.scan(lambda c, _: (c * 0.999, None), x, None, length=turns)

        def back(x, turns=turns):
            c, s = forward(x)
            return lax.scan(lambda c, r: (c + r, None), c, s, reverse=True)[0]

        def plain_back(x, turns=turns):
            c = plain(x)[0]
            return lax.scan(lambda c, _: (c + 0.1, None), c, None, length=turns)[0]

        ns = (seconds(back, x) - seconds(plain_back, x)) / turns * 1e9
        print(f"stacking n={n}, {turns} turns, {n * turns * 8e-6:.1f} MB: {ns:9.0f} ns a turn, {ns / n / 8:.2f} a byte")


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    elementwise()
    dots()
    stacking()


if __name__ == "__main__":
    main()
