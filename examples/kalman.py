"""How noisy is a thermometer, and how fast does the weather change? A Kalman filter, differentiated.

The filter is a `gl.scan` over the measurements. It gives the probability of the series, whose gradient and Hessian in
the noise levels find the likeliest ones, and how sure one can be of them.

    python examples/kalman.py
"""

from __future__ import annotations

import jax
import numpy as np

import gradlab as gl
import gradlab.numpy as gnp

jax.config.update("jax_enable_x64", True)

MOVES = np.array([[1.0, 1.0], [0.0, 1.0]])  # the state is a level and its trend; the level moves by the trend
SEEN = np.array([1.0, 0.0])  # what is measured is the level


def surprise(log_scales, series):
    """-log p(series), given the standard deviations of the measurements, of the level's moves and of the trend's."""
    measured, level, trend = gnp.exp(2 * log_scales)
    unrest = gnp.diag(gnp.stack([level, trend]))

    def take_in(state, y):
        mean, cov = state
        mean, cov = MOVES @ mean, MOVES @ cov @ MOVES.T + unrest
        error, spread = y - SEEN @ mean, SEEN @ cov @ SEEN + measured
        gain = cov @ SEEN / spread
        mean, cov = mean + gain * error, cov - gnp.outer(gain, gain) * spread
        return (mean, cov), (gnp.log(2 * np.pi * spread) + error**2 / spread) / 2

    start = (gnp.stack([series[0], 0.0]), 10.0 * np.eye(2))
    return gl.scan(take_in, start, series)[1].sum()


def surprise_at_once(log_scales, series):
    """The same from the covariance of the whole series, in n³ operations."""
    measured, level, trend = np.exp(2 * log_scales)
    n, powers = len(series), [np.linalg.matrix_power(MOVES, k) for k in range(len(series) + 1)]
    start, unrest = 10.0 * np.eye(2), np.diag([level, trend])
    within = [powers[k] @ start @ powers[k].T for k in range(n + 1)]
    for k in range(1, n + 1):
        within[k] = MOVES @ within[k - 1] @ MOVES.T + unrest
    cov = np.array(
        [
            [SEEN @ powers[max(i, j) - min(i, j)] @ within[min(i, j)] @ SEEN for j in range(1, n + 1)]
            for i in range(1, n + 1)
        ]
    ) + measured * np.eye(n)
    error = series - series[0]
    return (error @ np.linalg.solve(cov, error) + np.linalg.slogdet(2 * np.pi * cov)[1]) / 2


def measurements(n, scales, rng):
    state, series = np.zeros(2), []
    for _ in range(n):
        state = MOVES @ state + np.array(scales[1:]) * rng.normal(size=2)
        series.append(SEEN @ state + scales[0] * rng.normal())
    return np.array(series)


def main() -> None:
    rng = np.random.default_rng(3)
    truth = np.array([1.0, 0.3, 0.05])
    series = measurements(500, truth, rng)

    at, short = np.log(np.array([0.5, 0.5, 0.1])), series[:40]
    filtered, at_once = surprise(at, short), surprise_at_once(at, short)
    print(f"-log p of 40 measurements: {filtered:.9f} by the filter, {at_once:.9f} at once")
    np.testing.assert_allclose(filtered, at_once, rtol=1e-10)

    slope = gl.jit(gl.grad(surprise))
    quotients = [(surprise_at_once(at + e, short) - surprise_at_once(at - e, short)) / 2e-4 for e in 1e-4 * np.eye(3)]
    print(f"its gradient: {slope(at, short)}, by differences {np.array(quotients)}")
    np.testing.assert_allclose(slope(at, short), quotients, rtol=1e-4)

    def all_of_it(at):
        return surprise(at, series), slope(at, series), gl.hessian(surprise)(at, series)

    look = gl.jit(all_of_it)
    print("\n   -log p   standard deviations of measurement, level, trend")
    for _ in range(12):
        value, gradient, curvature = look(at)
        print(f"{value:9.3f}   {np.round(np.exp(at), 4)}")
        if np.abs(gradient).max() < 1e-6:
            break
        # Newton's step, in directions that curve downwards turned round, and no longer than one.
        lengths, ways = np.linalg.eigh(curvature)
        move = -ways @ ((ways.T @ gradient) / np.maximum(np.abs(lengths), 1e-3))
        at = at + move / max(1.0, np.linalg.norm(move))
    spread = np.sqrt(np.diag(np.linalg.inv(curvature)))
    print("    truth  ", truth)
    print("one standard error:", ", ".join(f"{np.exp(a):.3f} (+{s:.0%})" for a, s in zip(at, spread, strict=True)))
    assert np.all(np.abs(at - np.log(truth)) < 3 * spread)


if __name__ == "__main__":
    main()
