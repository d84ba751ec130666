"""An adaptive ODE solver in forty lines, and the gradient of what it finds.

Dormand and Prince's method of order 5 picks its own steps, in a `gl.while_loop`: how many there will be is not known
before it runs. Reverse mode goes through that loop all the same, exactly, in memory that does not grow with the steps.
Here it finds the rates of predators and prey from what was counted of them, by Gauss-Newton.

    python examples/ode.py
"""

from __future__ import annotations

import time

import jax
import numpy as np
from scipy.integrate import solve_ivp

import gradlab as gl
import gradlab.numpy as gnp

jax.config.update("jax_enable_x64", True)

# The tableau: slopes k_i at y + h Σ A[i][j] k_j; the solution of order 5, and how it differs from that of order 4.
A = [
    [],
    [1 / 5],
    [3 / 40, 9 / 40],
    [44 / 45, -56 / 15, 32 / 9],
    [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
    [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
    [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
]
ERROR = [71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40]


def step(f, y, h):
    """y after a step of length h, and an estimate of the error of that."""
    ks = []
    for row in A:
        ks.append(f(y + h * sum(a * k for a, k in zip(row, ks, strict=True))))
    new = y + h * sum(a * k for a, k in zip(A[-1], ks, strict=False))
    return new, h * sum(e * k for e, k in zip(ERROR, ks, strict=True))


def odeint(f, y, duration, rtol=1e-8, atol=1e-10):
    """y(duration), where y' = f(y) and y(0) = y; and the number of steps that were tried."""

    def unfinished(state):
        t, h, y, tried = state
        return t < duration

    def advance(state):
        t, h, y, tried = state
        h = gnp.minimum(h, duration - t)
        new, error = step(f, y, h)
        size = atol + rtol * gnp.maximum(gnp.abs(y), gnp.abs(new))
        # How long the steps are decides how accurate the solution is, not what it is: no derivative goes that way.
        ratio = gl.stop_gradient(gnp.sqrt(gnp.mean((error / size) ** 2)))
        good = ratio <= 1
        t, y = gnp.where(good, t + h, t), gnp.where(good, new, y)
        return t, h * gnp.clip(0.9 * gnp.maximum(ratio, 1e-10) ** -0.2, 0.2, 5.0), y, tried + 1

    _, _, y, tried = gl.while_loop(unfinished, advance, (0.0, 0.01, y, 0))
    return y, tried


def growth(state, rates):
    """Lotka and Volterra: prey multiply and are eaten, predators starve and eat."""
    prey, predators = state
    a, b, c, d = rates
    return gnp.stack([prey * (a - b * predators), predators * (c * prey - d)])


START = np.array([2.0, 1.0])
TIMES = np.linspace(0.0, 12.0, 13)
TRUTH = np.array([1.1, 0.6, 0.3, 0.9])


def populations(rates):
    """Both populations at each of the times, shape (12, 2); and the steps that took."""

    def until(state, duration):
        state, tried = odeint(lambda y: growth(y, rates), state, duration)
        return state, (state, tried)

    return gl.scan(until, START, np.diff(TIMES))[1]


def main() -> None:
    found, tried = gl.jit(populations)(TRUTH)
    theirs = solve_ivp(lambda t, y: growth(y, TRUTH), (0, 12), START, "DOP853", TIMES[1:], rtol=1e-12, atol=1e-12)
    off = np.abs(found - theirs.y.T).max()
    print(f"12 years of predators and prey in {int(tried.sum())} steps; off SciPy's solution by {off:.0e}")
    assert off < 1e-6

    counted = np.asarray(found) * (1 + 0.02 * np.random.default_rng(0).normal(size=found.shape))

    def misfits(rates):
        return (gnp.log(populations(rates)[0]) - np.log(counted)).ravel()

    misfit = gl.jit(lambda rates: gnp.sum(misfits(rates) ** 2))
    slope = gl.jit(gl.grad(lambda rates: gnp.sum(misfits(rates) ** 2)))
    at = np.array([1.0, 0.5, 0.4, 1.0])
    began = time.perf_counter()
    gradient = slope(at)
    differences = [(misfit(at + e) - misfit(at - e)) / 2e-5 for e in 1e-5 * np.eye(4)]
    print(f"gradient of the misfit    {gradient}   (compiled and run in {time.perf_counter() - began:.1f} s)")
    print(f"difference quotients      {np.array(differences)}")
    np.testing.assert_allclose(gradient, differences, rtol=1e-4)

    both = gl.jit(gl.value_and_jacobian(misfits))
    print("\n   misfit   rates")
    for _ in range(6):
        r, jacobian = both(at)
        print(f"{np.sum(r**2):9.5f}   {np.round(at, 4)}")
        at = at - np.linalg.lstsq(jacobian, r, rcond=None)[0]
    print(f"    truth   {TRUTH}")
    assert np.abs(at - TRUTH).max() < 0.02


if __name__ == "__main__":
    main()
