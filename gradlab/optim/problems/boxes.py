"""Problems with simple bounds: Hock and Schittkowski's, by their numbers, and some of our own."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from ... import numpy as gnp
from .fitting import osborne_1, wood
from .record import Problem, least_squares

HS = "Hock & Schittkowski, Test Examples for Nonlinear Programming Codes (1981)"
OWN = "gradlab; the least value by SciPy to twelve digits"

INF = np.inf


def _boxed(
    name: str,
    fun: Callable[[Any], Any],
    x0: Any,
    f_min: float,
    lower: Any,
    upper: Any,
    minima: tuple[float, ...] = (),
    source: str = HS,
) -> Problem:
    start = np.asarray(x0, np.float64)
    low, high = (np.broadcast_to(np.asarray(b, np.float64), start.shape) for b in (lower, upper))
    return Problem(name, fun, start, f_min, None, minima, (low, high), source)


def _rosenbrock(x):
    return 100 * (x[1] - x[0] * x[0]) ** 2 + (1 - x[0]) ** 2


@cache
def hs1() -> Problem:
    """1: Rosenbrock's valley; the bound is not active at the minimum."""
    return _boxed("HS1", _rosenbrock, [-2, 1], 0.0, [-INF, -1.5], INF)


@cache
def hs2() -> Problem:
    """2: the bound x₂ ≥ 1.5 holds; a second minimum at (−1.2210, 1.5)."""
    return _boxed("HS2", _rosenbrock, [-2, 1], 0.0504261879, [-INF, 1.5], INF, minima=(4.94122931798,))


@cache
def hs3() -> Problem:
    """3: nearly flat along x₁."""
    return _boxed("HS3", lambda x: x[1] + 1e-5 * (x[1] - x[0]) ** 2, [10, 1], 0.0, [-INF, 0], INF)


@cache
def hs4() -> Problem:
    """4: the minimum is a corner."""
    return _boxed("HS4", lambda x: (x[0] + 1) ** 3 / 3 + x[1], [1.125, 0.125], 8 / 3, [1, 0], INF)


@cache
def hs5() -> Problem:
    """5: several minima of a sine on a slope."""

    def fun(x):
        return gnp.sin(x[0] + x[1]) + (x[0] - x[1]) ** 2 - 1.5 * x[0] + 2.5 * x[1] + 1

    f_min = -np.sqrt(3) / 2 - np.pi / 3
    return _boxed("HS5", fun, [0, 0], f_min, [-1.5, -3], [4, 3], minima=(f_min + np.pi,))


@cache
def hs25() -> Problem:
    """25: flat at the start, where every residual is a constant to sixteen digits: 32.835 is a plateau."""
    t = 0.01 * np.arange(1, 100)
    u = 25 + (-50 * np.log(t)) ** (2 / 3)

    def fun(x):
        # Inside the box u − x₂ > 0.
        r = gnp.exp(-((gnp.asarray(u, dtype=x.dtype) - x[1]) ** x[2]) / x[0]) - gnp.asarray(t, dtype=x.dtype)
        return gnp.sum(r * r)

    return _boxed("HS25", fun, [100, 12.5, 3], 0.0, [0.1, 0, 0], [100, 25.6, 5], minima=(32.835,))


@cache
def hs38() -> Problem:
    """38: Wood's function; the bounds are not active."""

    def fun(x):
        a, b, c, d = x[0], x[1], x[2], x[3]
        return (
            100 * (b - a * a) ** 2 + (1 - a) ** 2 + 90 * (d - c * c) ** 2 + (1 - c) ** 2
            + 10.1 * ((b - 1) ** 2 + (d - 1) ** 2) + 19.8 * (b - 1) * (d - 1)
        )  # fmt: skip

    return _boxed("HS38", fun, [-3, -1, -3, -1], 0.0, -10, 10)


@cache
def hs45() -> Problem:
    """45: the minimum is the corner (1, 2, 3, 4, 5); the start lies outside the box in x₁."""
    upper = np.arange(1.0, 6)
    return _boxed("HS45", lambda x: 2 - gnp.prod(x) / 120, np.full(5, 2.0), 1.0, 0, upper)


@cache
def hs110() -> Problem:
    """110: logarithmic walls at 2 and 10."""

    def fun(x):
        return gnp.sum(gnp.log(x - 2) ** 2 + gnp.log(10 - x) ** 2) - gnp.prod(x) ** 0.2

    return _boxed("HS110", fun, np.full(10, 9.0), -45.77846970744629, 2.001, 9.999)


@cache
def capped_rosenbrock(n: int = 20) -> Problem:
    """A chain of valleys, Σ 100(x_{i+1} − x_i²)² + (1 − x_i)², of which every third number is held below ½."""

    def fun(x):
        a, b = x[:-1], x[1:]
        return gnp.sum(100 * (b - a * a) ** 2 + (1 - a) ** 2)

    upper = np.where(np.arange(n) % 3 == 2, 0.5, INF)
    known = {20: 15.6242572391078}
    start = np.tile([-1.2, 1.0], n // 2)
    name = f"Capped Rosenbrock n={n}"
    return _boxed(name, fun, start, known[n], -2, upper, minima=(18.9733806985,), source=OWN)


@cache
def obstacle(n: int = 50) -> Problem:
    """A string under a load, held up by a parabolic floor: a convex quadratic, a quarter of the bounds active."""
    h = 1 / (n + 1)
    t = h * np.arange(1, n + 1)
    floor = 0.3 - 4 * (t - 0.45) ** 2

    def fun(x):
        steps = gnp.diff(gnp.pad(x, 1))
        return gnp.sum(steps * steps) / (2 * h) + h * gnp.sum(x)

    known = {50: 0.348533690727515}
    return _boxed(f"Obstacle n={n}", fun, np.maximum(floor, 0) + 1, known[n], floor, INF, source=OWN)


@cache
def nonnegative_fit(n: int = 20, m: int = 40) -> Problem:
    """‖Ax − b‖² over x ≥ 0, half of the bounds active."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=(m, n))
    b = a @ rng.normal(size=n) + rng.normal(size=m)

    def residuals(x):
        return gnp.asarray(a, dtype=x.dtype) @ x - gnp.asarray(b, dtype=x.dtype)

    known = {(20, 40): 96.0699399317623}
    box = (np.zeros(n), np.full(n, INF))
    return least_squares(f"Nonnegative fit n={n}", residuals, np.ones(n), known[n, m], bounds=box, source=OWN)


@cache
def torsion(side: int = 8) -> Problem:
    """A bar twisted until part of it yields: a quadratic over |u| ≤ the distance to the boundary."""
    h = 1 / (side + 1)
    t = h * np.arange(1, side + 1)
    edge = np.minimum(t, 1 - t)
    limit = np.minimum(edge[:, None], edge[None, :]).ravel()

    def fun(x):
        u = gnp.pad(x.reshape(side, side), 1)
        across, down = u[1:] - u[:-1], u[:, 1:] - u[:, :-1]
        return (gnp.sum(across * across) + gnp.sum(down * down)) / 2 - 5 * h * h * gnp.sum(u)

    known = {8: -0.405704661305941}
    return _boxed(f"Torsion n={side * side}", fun, 0.5 * limit, known[side], -limit, limit, source=OWN)


@cache
def sparse_logistic(m: int = 60, d: int = 15) -> Problem:
    """Logistic regression with an l₁ penalty, its weights split into positive and negative parts."""
    rng = np.random.default_rng(1)
    a = rng.normal(size=(m, d))
    b = np.sign(a[:, :4] @ np.array([2.0, -1.5, 1.0, 0.5]) + 0.5 * rng.normal(size=m))

    def fun(x):
        margin = gnp.asarray(b[:, None] * a, dtype=x.dtype) @ (x[:d] - x[d:])
        return gnp.mean(gnp.logaddexp(0, -margin)) + 0.03 * gnp.sum(x)

    known = {(60, 15): 0.423866661511852}
    return _boxed(f"Sparse logistic n={2 * d}", fun, np.full(2 * d, 0.1), known[m, d], 0, INF, source=OWN)


@cache
def capped_wood() -> Problem:
    """Wood's function with two caps below its minimum: three minima."""
    p = wood()
    others = (4.53329271352758, 7.35986950200)
    return _boxed("Capped Wood", p.fun, p.x0, 4.026574574, -5, [0.8, INF, INF, 0.7], minima=others, source=OWN)


@cache
def boxed_osborne_1() -> Problem:
    """A fit of two exponentials with physical ranges: one rate at its bound."""
    p = osborne_1()
    lower, upper = [0, 0, -2, 0.001, 0.015], [1, 3, 0, 0.1, 0.02]
    box = (np.asarray(lower, np.float64), np.asarray(upper, np.float64))
    return Problem("Boxed Osborne 1", p.fun, p.x0, 1.76571853860e-4, p.residuals, (), box, OWN)
