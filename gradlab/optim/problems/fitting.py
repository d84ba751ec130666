"""The Moré–Garbow–Hillstrom problems of fixed dimension: numbers 1 to 19 of the paper, by its names and numbers."""

from __future__ import annotations

from functools import cache

import numpy as np

from ... import numpy as gnp
from .record import Problem, least_squares


def _data(values, x):
    """Constants of the paper, in the precision of `x`."""
    return gnp.asarray(values, dtype=x.dtype)


@cache
def rosenbrock() -> Problem:
    """1: a curved valley."""

    def residuals(x):
        return gnp.stack([10 * (x[1] - x[0] * x[0]), 1 - x[0]])

    return least_squares("Rosenbrock", residuals, [-1.2, 1], 0.0)


@cache
def freudenstein_roth() -> Problem:
    """2: two minima, the local one at (11.41…, −0.8968…)."""

    def residuals(x):
        a, b = x[0], x[1]
        return gnp.stack([-13 + a + ((5 - b) * b - 2) * b, -29 + a + ((b + 1) * b - 14) * b])

    return least_squares("Freudenstein and Roth", residuals, [0.5, -2], 0.0, minima=(48.98425367924,))


@cache
def powell_badly_scaled() -> Problem:
    """3: minimum at (1.098…e−5, 9.106…)."""

    def residuals(x):
        return gnp.stack([1e4 * x[0] * x[1] - 1, gnp.exp(-x[0]) + gnp.exp(-x[1]) - 1.0001])

    return least_squares("Powell badly scaled", residuals, [0, 1], 0.0)


@cache
def brown_badly_scaled() -> Problem:
    """4: minimum at (1e6, 2e−6)."""

    def residuals(x):
        return gnp.stack([x[0] - 1e6, x[1] - 2e-6, x[0] * x[1] - 2])

    return least_squares("Brown badly scaled", residuals, [1, 1], 0.0)


@cache
def beale() -> Problem:
    """5: minimum at (3, 0.5)."""

    def residuals(x):
        b = x[1]
        return _data([1.5, 2.25, 2.625], x) - x[0] * (1 - gnp.stack([b, b * b, b * b * b]))

    return least_squares("Beale", residuals, [1, 1], 0.0)


@cache
def jennrich_sampson() -> Problem:
    """6: a fit that fails (m = 10); its value explodes a step away from the minimum at (0.2578…, 0.2578…).

    259.58 is the value on the plateau where one of the two exponentials has vanished.
    """
    i = np.arange(1.0, 11)

    def residuals(x):
        t = _data(i, x)
        return 2 + 2 * t - (gnp.exp(t * x[0]) + gnp.exp(t * x[1]))

    return least_squares("Jennrich and Sampson", residuals, [0.3, 0.4], 124.362182355615, minima=(259.58019078047,))


@cache
def helical_valley() -> Problem:
    """7: the angle jumps by one turn across the half plane x₁ = 0, x₂ < 0; minimum at (1, 0, 0)."""

    def residuals(x):
        a, b, c = x[0], x[1], x[2]
        # The paper's angle goes from −1/4 to 3/4 of a turn, so it is smooth at the start (−1, 0, 0).
        turn = gnp.arctan(b / gnp.where(a == 0, 1e-300, a)) / (2 * np.pi) + gnp.where(a < 0, 0.5, 0.0)
        return gnp.stack([10 * (c - 10 * turn), 10 * (gnp.sqrt(a * a + b * b) - 1), c])

    return least_squares("Helical valley", residuals, [-1, 0, 0], 0.0)


@cache
def bard() -> Problem:
    """8: m = 15; the value tends to 17.4286 as x₂ and x₃ fall to −∞."""
    u = np.arange(1.0, 16)
    v = 16 - u
    w = np.minimum(u, v)
    y = [0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39]

    def residuals(x):
        return _data(y, x) - (x[0] + _data(u, x) / (x[1] * _data(v, x) + x[2] * _data(w, x)))

    return least_squares("Bard", residuals, [1, 1, 1], 8.214877306578e-3, minima=(17.4286933333333,))


@cache
def gaussian() -> Problem:
    """9: m = 15, a start close to the minimum."""
    t = (8 - np.arange(1.0, 16)) / 2
    half = [0.0009, 0.0044, 0.0175, 0.0540, 0.1295, 0.2420, 0.3521]
    y = [*half, 0.3989, *reversed(half)]

    def residuals(x):
        d = _data(t, x) - x[2]
        return x[0] * gnp.exp(-x[1] * d * d / 2) - _data(y, x)

    return least_squares("Gaussian", residuals, [0.4, 1, 0], 1.12793276961911e-8)


@cache
def meyer() -> Problem:
    """10: m = 16, a thermistor; scales from 1e−3 to 1e4."""
    t = 45 + 5 * np.arange(1.0, 17)
    y = [34780, 28610, 23650, 19630, 16370, 13720, 11540, 9744, 8261, 7030, 6005, 5147, 4427, 3820, 3307, 2872]

    def residuals(x):
        return x[0] * gnp.exp(x[1] / (_data(t, x) + x[2])) - _data(y, x)

    return least_squares("Meyer", residuals, [0.02, 4000, 250], 87.9458551709)


@cache
def gulf() -> Problem:
    """11: m = 99, |y − x₂| as the paper's erratum has it; minimum at (50, 25, 1.5)."""
    t = np.arange(1.0, 100) / 100
    y = 25 + (-50 * np.log(t)) ** (2 / 3)

    def residuals(x):
        return gnp.exp(-(gnp.abs(_data(y, x) - x[1]) ** x[2]) / x[0]) - _data(t, x)

    return least_squares("Gulf research and development", residuals, [5, 2.5, 0.15], 0.0, minima=(0.0380,))


@cache
def box() -> Problem:
    """12: m = 10; minima of value 0 at (1, 10, 1), (10, 1, −1) and wherever x₁ = x₂, x₃ = 0."""
    t = 0.1 * np.arange(1.0, 11)
    target = np.exp(-t) - np.exp(-10 * t)

    def residuals(x):
        s = _data(t, x)
        return gnp.exp(-s * x[0]) - gnp.exp(-s * x[1]) - x[2] * _data(target, x)

    return least_squares("Box three-dimensional", residuals, [0, 10, 20], 0.0, minima=(0.0755887408,))


@cache
def powell_singular() -> Problem:
    """13: the Hessian is singular at the minimum."""

    def residuals(x):
        a, b, c, d = x[0], x[1], x[2], x[3]
        return gnp.stack([a + 10 * b, 5**0.5 * (c - d), (b - 2 * c) ** 2, 10**0.5 * (a - d) ** 2])

    return least_squares("Powell singular", residuals, [3, -1, 0, 1], 0.0)


@cache
def wood() -> Problem:
    """14: a saddle with a nearly flat value of 7.88 on the way."""

    def residuals(x):
        a, b, c, d = x[0], x[1], x[2], x[3]
        return gnp.stack(
            [10 * (b - a * a), 1 - a, 90**0.5 * (d - c * c), 1 - c, 10**0.5 * (b + d - 2), (b - d) / 10**0.5]
        )

    return least_squares("Wood", residuals, [-3, -1, -3, -1], 0.0)


@cache
def kowalik_osborne() -> Problem:
    """15: m = 11; the value tends to 1.02734e−3 along a valley to infinity."""
    u = [4.0, 2.0, 1.0, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625]
    y = [0.1957, 0.1947, 0.1735, 0.1600, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246]

    def residuals(x):
        v = _data(u, x)
        return _data(y, x) - x[0] * (v * v + v * x[1]) / (v * v + v * x[2] + x[3])

    start = [0.25, 0.39, 0.415, 0.39]
    return least_squares(
        "Kowalik and Osborne", residuals, start, 3.07505603849e-4, minima=(1.02734305e-3, 1.79453906e-3)
    )


@cache
def brown_dennis() -> Problem:
    """16: m = 20; large residuals."""
    t = np.arange(1.0, 21) / 5

    def residuals(x):
        s = _data(t, x)
        return (x[0] + s * x[1] - gnp.exp(s)) ** 2 + (x[2] + x[3] * gnp.sin(s) - gnp.cos(s)) ** 2

    return least_squares("Brown and Dennis", residuals, [25, 5, -5, -1], 85822.20162635)


@cache
def osborne_1() -> Problem:
    """17: m = 33; two exponentials."""
    t = 10 * np.arange(33.0)
    y = [
        0.844, 0.908, 0.932, 0.936, 0.925, 0.908, 0.881, 0.850, 0.818, 0.784, 0.751, 0.718, 0.685, 0.658, 0.628, 0.603,
        0.580, 0.558, 0.538, 0.522, 0.506, 0.490, 0.478, 0.467, 0.457, 0.448, 0.438, 0.431, 0.424, 0.420, 0.414, 0.411,
        0.406,
    ]  # fmt: skip

    def residuals(x):
        s = _data(t, x)
        return _data(y, x) - (x[0] + x[1] * gnp.exp(-s * x[3]) + x[2] * gnp.exp(-s * x[4]))

    # 1.106 is the plateau where both exponentials are gone and x₁ is the mean.
    start = [0.5, 1.5, -1, 0.01, 0.02]
    return least_squares("Osborne 1", residuals, start, 5.46489469748e-5, minima=(1.10603621875,))


@cache
def biggs_exp6() -> Problem:
    """18: m = 13; minimum 0 at (1, 10, 1, 5, 4, 3), a local one of 5.65565e−3."""
    t = 0.1 * np.arange(1.0, 14)
    y = np.exp(-t) - 5 * np.exp(-10 * t) + 3 * np.exp(-4 * t)

    def residuals(x):
        s = _data(t, x)
        return x[2] * gnp.exp(-s * x[0]) - x[3] * gnp.exp(-s * x[1]) + x[5] * gnp.exp(-s * x[4]) - _data(y, x)

    return least_squares("Biggs EXP6", residuals, [1, 2, 1, 1, 1, 1], 0.0, minima=(5.655649925e-3, 0.30636677262479))


@cache
def osborne_2() -> Problem:
    """19: m = 65; an exponential and three Gaussians."""
    t = np.arange(65.0) / 10
    y = [
        1.366, 1.191, 1.112, 1.013, 0.991, 0.885, 0.831, 0.847, 0.786, 0.725, 0.746, 0.679, 0.608, 0.655, 0.616, 0.606,
        0.602, 0.626, 0.651, 0.724, 0.649, 0.649, 0.694, 0.644, 0.624, 0.661, 0.612, 0.558, 0.533, 0.495, 0.500, 0.423,
        0.395, 0.375, 0.372, 0.391, 0.396, 0.405, 0.428, 0.429, 0.523, 0.562, 0.607, 0.653, 0.672, 0.708, 0.633, 0.668,
        0.645, 0.632, 0.591, 0.559, 0.597, 0.625, 0.739, 0.710, 0.729, 0.720, 0.636, 0.581, 0.428, 0.292, 0.162, 0.098,
        0.054,
    ]  # fmt: skip

    def residuals(x):
        s = _data(t, x)
        model = x[0] * gnp.exp(-s * x[4])
        for k in (1, 2, 3):
            model = model + x[k] * gnp.exp(-((s - x[7 + k]) ** 2) * x[4 + k])
        return _data(y, x) - model

    start = [1.3, 0.65, 0.65, 0.7, 0.6, 3, 5, 7, 2, 4.5, 5.5]
    return least_squares("Osborne 2", residuals, start, 4.01377362935e-2, minima=(1.78981358688,))
