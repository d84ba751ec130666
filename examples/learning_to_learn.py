"""Gradient descent on gradient descent: the learning rates and the momentum that learn fastest.

The inner loop trains a small network for fifty steps with plain gradient descent, a `gl.grad` inside a `gl.scan`. The
outer loop differentiates through all of that, reverse mode over reverse mode, with respect to one learning rate for
each array of the network, the momentum, and how large the initial weights are; and descends.

    python examples/learning_to_learn.py
"""

from __future__ import annotations

import time

import jax
import numpy as np

import gradlab as gl
import gradlab.numpy as gnp

jax.config.update("jax_enable_x64", True)
RNG = np.random.default_rng(0)

X = RNG.uniform(-2, 2, size=(64, 1))
Y = np.sin(3 * X) * np.exp(-(X**2) / 2)
HELD_OUT = np.linspace(-2, 2, 101)[:, None]
RIGHT = np.sin(3 * HELD_OUT) * np.exp(-(HELD_OUT**2) / 2)
START = [RNG.normal(size=(1, 24)), RNG.normal(size=24), RNG.normal(size=(24, 1)), np.zeros(1)]
STEPS = 50


def network(weights, x):
    w, b, v, c = weights
    return gnp.tanh(x @ w + b) @ v + c


def loss(weights, x, y):
    return gnp.mean((network(weights, x) - y) ** 2)


def trained(habits, weights=START, steps=STEPS):
    """The weights after so many steps with these habits, and the losses on the way."""
    rates, momentum = gnp.exp(habits["log rates"]), gnp.tanh(habits["momentum"])
    weights = [w * gnp.exp(s) for w, s in zip(weights, habits["log sizes"], strict=True)]

    def step(state, _):
        weights, speeds = state
        value, slopes = gl.value_and_grad(loss)(weights, X, Y)
        speeds = [momentum * s - rate * slope for s, rate, slope in zip(speeds, rates, slopes, strict=True)]
        return ([w + s for w, s in zip(weights, speeds, strict=True)], speeds), value

    (weights, _), losses = gl.scan(step, (weights, [gnp.zeros_like(w) for w in weights]), None, length=steps)
    return weights, losses


def regret(habits):
    """How badly the network has learnt, on points it has not seen."""
    return gnp.log(loss(trained(habits)[0], HELD_OUT, RIGHT))


def main() -> None:
    habits = {"log rates": np.full(4, np.log(0.03)), "momentum": np.array(0.5), "log sizes": np.zeros(4)}
    began = time.perf_counter()
    both = gl.jit(gl.value_and_grad(regret))
    _, slopes = both(habits)
    print(f"the gradient of {STEPS} steps of training, compiled and run in {time.perf_counter() - began:.1f} s")

    value = gl.jit(regret)
    for name in habits:
        way = RNG.normal(size=np.shape(habits[name]))
        up, down = (value(habits | {name: habits[name] + sign * 1e-5 * way}) for sign in (1, -1))
        along, quotient = float(np.sum(slopes[name] * way)), float(up - down) / 2e-5
        print(f"  along a direction in {name:<10} {along:+.8f}, by differences {quotient:+.8f}")
        np.testing.assert_allclose(along, quotient, rtol=1e-5)

    print("\n step   loss on unseen points")
    first, square = float(value(habits)), jax.tree.map(np.zeros_like, habits)
    for k in range(121):
        now, slopes = both(habits)
        if k % 20 == 0:
            print(f"{k:5d}   {np.exp(now):.6f}")
        # RMSprop: the hypergradient is steep where training is about to become unstable.
        square = jax.tree.map(lambda s, g: 0.9 * s + 0.1 * np.asarray(g) ** 2, square, slopes)
        habits = jax.tree.map(lambda h, g, s: h - 0.03 * g / (np.sqrt(s) + 1e-8), habits, slopes, square)

    print("\nlearning rates:", np.round(np.exp(habits["log rates"]), 3), f"momentum: {np.tanh(habits['momentum']):.3f}")
    print(f"after the same {STEPS} steps, the loss on unseen points is {np.exp(first - float(now)):.0f} times smaller")
    assert np.exp(first - float(now)) > 5


if __name__ == "__main__":
    main()
