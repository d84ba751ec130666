"""A recurrent network that remembers: it adds two numbers out of a long sequence, those that are marked.

The sequence is gone through by `gl.scan`, a gated recurrent unit in each turn; whoever guesses the mean is off by 0.167
(mean square). The gradient is checked, the training is Adam, all of it compiled by `gl.jit` into one program a step.

    python examples/rnn.py
"""

from __future__ import annotations

import time

import jax
import numpy as np

import gradlab as gl
import gradlab.numpy as gnp

jax.config.update("jax_enable_x64", True)  # for the check; it trains in single precision
LENGTH, HIDDEN, BATCH = 24, 24, 64
RNG = np.random.default_rng(0)


def examples(n):
    """(n, LENGTH, 2): numbers between 0 and 1, and marks, one in each half; and (n,): the sum of the marked ones."""
    numbers = RNG.uniform(size=(n, LENGTH)).astype(np.float32)
    marks = np.zeros_like(numbers)
    rows = np.arange(n)
    marks[rows, RNG.integers(0, LENGTH // 2, n)] = 1
    marks[rows, RNG.integers(LENGTH // 2, LENGTH, n)] = 1
    return np.stack([numbers, marks], axis=2), (numbers * marks).sum(1)


def initial():
    def normal(*shape):
        return (RNG.normal(size=shape) / np.sqrt(shape[0])).astype(np.float32)

    gates = {"x": normal(2, 2 * HIDDEN), "h": normal(HIDDEN, 2 * HIDDEN), "b": np.zeros(2 * HIDDEN, np.float32)}
    fresh = {"x": normal(2, HIDDEN), "h": normal(HIDDEN, HIDDEN), "b": np.zeros(HIDDEN, np.float32)}
    gates["b"][:HIDDEN] = -1.0  # at first, keep what is remembered
    return {"gates": gates, "fresh": fresh, "out": normal(HIDDEN, 1)}


def affine(p, x, h):
    return x @ p["x"] + h @ p["h"] + p["b"]


def predicted(params, sequences):
    """The network's answer for each sequence, (n,)."""

    def turn(h, x):
        update, reset = gnp.split(1 / (1 + gnp.exp(-affine(params["gates"], x, h))), 2, axis=1)
        new = gnp.tanh(affine(params["fresh"], x, reset * h))
        return (1 - update) * h + update * new, None

    h, _ = gl.scan(turn, gnp.zeros((len(sequences), HIDDEN), sequences.dtype), gnp.swapaxes(sequences, 0, 1))
    return (h @ params["out"])[:, 0] + 1.0


def loss(params, sequences, sums):
    return gnp.mean((predicted(params, sequences) - sums) ** 2)


@gl.jit
def adam(params, m, v, k, sequences, sums, rate):
    """One step of Adam: parameters, both moments, and the loss before the step."""
    value, slopes = gl.value_and_grad(loss)(params, sequences, sums)
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, slopes)
    v = jax.tree.map(lambda v, g: 0.99 * v + 0.01 * g * g, v, slopes)
    near, far = 1 - 0.9**k, 1 - 0.99**k
    params = jax.tree.map(lambda p, m, v: p - rate * (m / near) / (gnp.sqrt(v / far) + 1e-8), params, m, v)
    return params, m, v, value


def check(params, sequences, sums) -> None:
    """The slope along a direction, against a difference quotient, both in double precision."""
    params, sequences, sums = jax.tree.map(lambda p: p.astype(float), (params, sequences, sums))
    slopes = gl.grad(loss)(params, sequences, sums)
    way = jax.tree.map(lambda p: RNG.normal(size=p.shape), params)
    up, down = (loss(jax.tree.map(lambda p, d, s=s: p + s * d, params, way), sequences, sums) for s in (1e-5, -1e-5))
    along = sum(np.sum(g * d) for g, d in zip(jax.tree.leaves(slopes), jax.tree.leaves(way), strict=True))
    print(f"the gradient along a random direction: {along:.8f}, by differences: {(up - down) / 2e-5:.8f}")
    np.testing.assert_allclose(along, (up - down) / 2e-5, rtol=1e-6)


def main() -> None:
    params = initial()
    check(params, *examples(8))
    m = v = jax.tree.map(np.zeros_like, params)
    unseen = examples(1000)
    error = gl.jit(loss)
    began = time.perf_counter()
    for k in range(1, 801):
        rate = np.float32(0.01 * min(1.0, 2 * (1 - k / 801)))
        params, m, v, value = adam(params, m, v, np.float32(k), *examples(BATCH), rate)
        if k == 1 or k % 200 == 0:
            print(f"step {k:4d}: off by {float(value):.4f}, on unseen sequences by {float(error(params, *unseen)):.4f}")
    print(f"{time.perf_counter() - began:.1f} s; guessing the mean would be off by {np.var(unseen[1]):.4f}")
    print(
        "\n 0.31 + 0.44 =", f"{answer(params, 0.31, 0.44):.3f}", "\n 0.90 + 0.05 =", f"{answer(params, 0.90, 0.05):.3f}"
    )
    assert float(error(params, *unseen)) < 0.01


def answer(params, a, b) -> float:
    """What the network says of these two, among others."""
    sequence, _ = examples(1)
    first, second = np.flatnonzero(sequence[0, :, 1])
    sequence[0, first, 0], sequence[0, second, 0] = a, b
    return float(predicted(params, sequence)[0])


if __name__ == "__main__":
    main()
