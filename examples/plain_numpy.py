"""Five programs written in plain NumPy, differentiated as they stand.

None of the functions below knows of gradlab: they import numpy, loop, assign to elements, and call np.linalg. `gl.grad`
reads them all the same, and each derivative is checked here against a difference quotient of NumPy's own values.

    python examples/plain_numpy.py
"""

import time

import jax
import numpy as np

import gradlab as gl

jax.config.update("jax_enable_x64", True)
RNG = np.random.default_rng(0)

# -- 1. Logistic regression: which of two clouds does a point belong to?

POINTS = np.concatenate([RNG.normal(-1.0, 1.0, (100, 2)), RNG.normal(1.0, 1.0, (100, 2))])
LABELS = np.repeat([0.0, 1.0], 100)


def surprise(weights):
    """The mean of -log p(label), of a line through the plane."""
    score = POINTS @ weights[:2] + weights[2]
    return np.mean(np.logaddexp(0.0, score) - LABELS * score)


# -- 2. A fluid: smoke is carried by a wind, which must have no sources


def without_sources(u, v):
    """The wind nearest to (u, v) that nowhere appears from nothing: a few sweeps of Jacobi for the pressure."""
    divergence = (np.roll(u, -1, 0) - np.roll(u, 1, 0) + np.roll(v, -1, 1) - np.roll(v, 1, 1)) / 2
    pressure = np.zeros_like(divergence)
    for _ in range(4):
        around = np.roll(pressure, 1, 0) + np.roll(pressure, -1, 0) + np.roll(pressure, 1, 1) + np.roll(pressure, -1, 1)
        pressure = (around - divergence) / 4
    u = u - (np.roll(pressure, -1, 0) - np.roll(pressure, 1, 0)) / 2
    v = v - (np.roll(pressure, -1, 1) - np.roll(pressure, 1, 1)) / 2
    return u, v


def carried(field, u, v):
    """Every cell takes what the wind brings: the value upstream, between its four neighbours there."""
    n, m = field.shape
    rows, columns = np.meshgrid(np.arange(n), np.arange(m), indexing="ij")
    x, y = rows - u, columns - v
    i, j = np.floor(x).astype(int), np.floor(y).astype(int)
    a, b = x - i, y - j
    here, there = (i % n, (i + 1) % n), (j % m, (j + 1) % m)
    return (
        (1 - a) * ((1 - b) * field[here[0], there[0]] + b * field[here[0], there[1]])
        + a * ((1 - b) * field[here[1], there[0]] + b * field[here[1], there[1]])
    )  # fmt: skip


N = 16
DISC = np.hypot(*np.meshgrid(np.arange(N) - 5.0, np.arange(N) - 5.0, indexing="ij")) < 3
TARGET = np.roll(DISC, (4, 3), axis=(0, 1)).astype(float)


def smoke_after(wind):
    u, v = without_sources(wind[0], wind[1])
    smoke = np.array(DISC, float, like=wind)  # like=: an array that a traced index may read
    for _ in range(3):
        smoke = carried(smoke, u, v)
    return smoke


def far_from_target(wind):
    return np.mean((smoke_after(wind) - TARGET) ** 2)


# -- 3. An ordinary differential equation: predators and prey, by Runge and Kutta


def growth(state, rates):
    prey, predators = state
    a, b, c, d = rates
    out = np.empty_like(state)
    out[0] = prey * (a - b * predators)
    out[1] = predators * (c * prey - d)
    return out


def trajectory(rates, steps=5, h=0.5):
    states = np.zeros((steps + 1, 2), like=rates)
    states[0] = [2.0, 1.0]
    for k in range(steps):
        y = states[k]
        k1 = growth(y, rates)
        k2 = growth(y + h / 2 * k1, rates)
        k3 = growth(y + h / 2 * k2, rates)
        k4 = growth(y + h * k3, rates)
        states[k + 1] = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return states


TRUTH = np.array([1.1, 0.6, 0.3, 0.9])
OBSERVED = trajectory(TRUTH)


def misfit(rates):
    return np.sum((trajectory(rates) - OBSERVED) ** 2)


# -- 4. A Gaussian process: how likely are the data, given a length scale, an amplitude and a noise?

TIMES = np.linspace(0, 6, 30)
SERIES = np.sin(TIMES) + 0.1 * RNG.normal(size=30)


def unlikely(log_scales):
    length, amplitude, noise = np.exp(log_scales)
    distances = (TIMES[:, None] - TIMES) / length
    covariance = amplitude**2 * np.exp(-(distances**2) / 2) + noise**2 * np.eye(30)
    root = np.linalg.cholesky(covariance)
    whitened = np.linalg.solve(root, SERIES)
    return whitened @ whitened / 2 + np.sum(np.log(np.diag(root))) + 15 * np.log(2 * np.pi)


# -- 5. A recurrent network that learns to count: was the number of ones so far odd?

BITS = RNG.integers(0, 2, size=(64, 8)).astype(float)
PARITY = np.cumsum(BITS, axis=1) % 2
HIDDEN = 8


def confusion(p):
    states = np.zeros((9, 64, HIDDEN), like=p["in"])
    for t in range(8):
        states[t + 1] = np.tanh(BITS[:, t, None] * p["in"] + states[t] @ p["between"] + p["bias"])
    score = np.einsum("tbh,h->bt", states[1:], p["out"])
    return np.mean(np.logaddexp(0.0, score) - PARITY * score)


# -- the show


def checked(loss, at):
    """The largest relative deviation of gl.grad's slope from NumPy's difference quotient, over three directions."""
    gradient, worst = gl.grad(loss)(at), 0.0
    for _ in range(3):
        d = jax.tree.map(lambda x: RNG.normal(size=np.shape(x)), at)
        slope = sum(np.sum(g * e) for g, e in zip(jax.tree.leaves(gradient), jax.tree.leaves(d), strict=True))
        up, down = (loss(jax.tree.map(lambda x, e, s=s: x + s * 1e-6 * e, at, d)) for s in (1, -1))
        worst = max(worst, abs(slope - (up - down) / 2e-6) / abs(slope))
    assert worst < 1e-4, f"{loss.__name__}: {worst:.1e}"
    return worst


def descended(loss, at, steps, rate):
    """Steepest descent with Adam's step lengths; the losses on the way."""
    both, losses = gl.value_and_grad(loss), []
    m = v = jax.tree.map(np.zeros_like, at)
    for k in range(1, steps + 1):
        value, g = both(at)
        losses.append(float(value))
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * np.asarray(g), m, g)
        v = jax.tree.map(lambda v, g: 0.99 * v + 0.01 * np.asarray(g) ** 2, v, g)
        at = jax.tree.map(
            lambda x, m, v, k=k: x - rate * (m / (1 - 0.9**k)) / (np.sqrt(v / (1 - 0.99**k)) + 1e-8), at, m, v
        )
    return at, losses


def curve(losses, width=32):
    """The losses as a line of blocks."""
    picked = np.array(losses)[np.linspace(0, len(losses) - 1, width).astype(int)]
    level = (picked - picked.min()) / (np.ptp(picked) or 1.0)
    return "".join(" ▁▂▃▄▅▆▇█"[int(round(8 * h))] for h in level)


def show(name, loss, at, steps, rate):
    began = time.perf_counter()
    error = checked(loss, at)
    found, losses = descended(loss, at, steps, rate)
    seconds = time.perf_counter() - began
    print(f"{name:<20} {losses[0]:9.4f} {curve(losses)} {losses[-1]:9.5f}   {error:.0e}   {seconds:4.1f} s")
    return found


def main():
    print(f"{'':<20} {'before':>9} {'the loss, step by step':<32} {'after':>9}   vs. differences")
    line = show("logistic regression", surprise, np.zeros(3), 200, 0.1)
    wind = show("fluid", far_from_target, 0.1 * RNG.normal(size=(2, N, N)), 60, 0.05)
    rates = show("predators and prey", misfit, np.array([1.0, 0.5, 0.4, 1.0]), 250, 0.02)
    scales = show("Gaussian process", unlikely, np.zeros(3), 120, 0.05)
    sizes = {"in": (HIDDEN,), "between": (HIDDEN, HIDDEN), "bias": (HIDDEN,), "out": (HIDDEN,)}
    network = show("recurrent network", confusion, {k: 0.7 * RNG.normal(size=s) for k, s in sizes.items()}, 400, 0.02)

    right = np.mean((POINTS @ line[:2] + line[2] > 0) == LABELS)
    print(f"\nThe line puts {right:.0%} of the points on their side.")
    print(f"Rates found: {np.round(rates, 3)}, true: {TRUTH}.")
    print(f"The series has length scale {np.exp(scales[0]):.2f} and noise {np.exp(scales[2]):.2f} (put in: 0.10).")
    print(f"The network's loss is {confusion(network):.4f}; guessing would be {np.log(2):.4f}.")
    print("The smoke, and (o) where it was wanted and is missing:")
    for have, want in zip(smoke_after(wind), TARGET, strict=True):
        print(
            "   ",
            "".join(
                "o" if w and h < 0.3 else " ░▒▓█"[int(np.clip(5 * h, 0, 4))] for h, w in zip(have, want, strict=True)
            ),
        )


if __name__ == "__main__":
    main()
