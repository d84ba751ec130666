"""The Moré–Garbow–Hillstrom problems of variable dimension: numbers 20 to 35 of the paper, by its names and numbers."""

from __future__ import annotations

from functools import cache

import numpy as np

from ... import numpy as gnp
from .record import Problem, least_squares


def _data(values, x):
    """Constants of the paper, in the precision of `x`."""
    return gnp.asarray(values, dtype=x.dtype)


@cache
def watson(n: int = 6) -> Problem:
    """20: 2 ≤ n ≤ 31, m = 31; worse conditioned with every n."""
    known = {6: 2.28767005355e-3, 9: 1.399760138e-6, 12: 4.72238e-10}
    t = np.arange(1.0, 30)[:, None] / 29
    j = np.arange(n)
    powers = t**j
    slopes = np.where(j > 0, j * t ** np.maximum(j - 1, 0), 0.0)

    def residuals(x):
        p = _data(powers, x) @ x
        return gnp.concatenate([_data(slopes, x) @ x - p * p - 1, x[:1], x[1:2] - x[:1] * x[:1] - 1])

    return least_squares(f"Watson n={n}", residuals, np.zeros(n), known[n])


@cache
def extended_rosenbrock(n: int = 10) -> Problem:
    """21: n even, m = n."""

    def residuals(x):
        odd, even = x[0::2], x[1::2]
        return gnp.concatenate([10 * (even - odd * odd), 1 - odd])

    return least_squares(f"Extended Rosenbrock n={n}", residuals, np.tile([-1.2, 1.0], n // 2), 0.0)


@cache
def extended_powell_singular(n: int = 12) -> Problem:
    """22: n a multiple of 4, m = n."""

    def residuals(x):
        a, b, c, d = x[0::4], x[1::4], x[2::4], x[3::4]
        return gnp.concatenate([a + 10 * b, 5**0.5 * (c - d), (b - 2 * c) ** 2, 10**0.5 * (a - d) ** 2])

    return least_squares(f"Extended Powell singular n={n}", residuals, np.tile([3.0, -1, 0, 1], n // 4), 0.0)


@cache
def penalty_1(n: int = 4) -> Problem:
    """23: m = n + 1."""
    known = {4: 2.24997750097e-5, 10: 7.08765146709e-5}

    def residuals(x):
        return gnp.concatenate([1e-5**0.5 * (x - 1), gnp.sum(x * x, keepdims=True) - 0.25])

    return least_squares(f"Penalty I n={n}", residuals, np.arange(1.0, n + 1), known[n])


@cache
def penalty_2(n: int = 4) -> Problem:
    """24: m = 2n."""
    known = {4: 9.37629300736e-6, 10: 2.93660370454e-4}
    i = np.arange(2.0, n + 1)
    y = np.exp(i / 10) + np.exp((i - 1) / 10)
    weights = n - np.arange(n)

    def residuals(x):
        e = gnp.exp(x / 10)
        return gnp.concatenate(
            [
                x[:1] - 0.2,
                1e-5**0.5 * (e[1:] + e[:-1] - _data(y, x)),
                1e-5**0.5 * (e[1:] - np.exp(-0.1)),
                gnp.sum(_data(weights, x) * x * x, keepdims=True) - 1,
            ]
        )

    return least_squares(f"Penalty II n={n}", residuals, np.full(n, 0.5), known[n])


@cache
def variably_dimensioned(n: int = 10) -> Problem:
    """25: m = n + 2."""
    j = np.arange(1.0, n + 1)

    def residuals(x):
        s = gnp.sum(_data(j, x) * (x - 1), keepdims=True)
        return gnp.concatenate([x - 1, s, s * s])

    return least_squares(f"Variably dimensioned n={n}", residuals, 1 - j / n, 0.0)


@cache
def trigonometric(n: int = 10) -> Problem:
    """26: m = n; several minima."""
    i = np.arange(1.0, n + 1)

    def residuals(x):
        c = gnp.cos(x)
        return n - gnp.sum(c) + _data(i, x) * (1 - c) - gnp.sin(x)

    others = (2.79505612e-5, 4.21863389e-5, 8.78822522e-4)
    return least_squares(f"Trigonometric n={n}", residuals, np.full(n, 1 / n), 0.0, minima=others)


@cache
def brown_almost_linear(n: int = 10) -> Problem:
    """27: m = n; a second minimum of value 1 at (0, …, 0, n + 1)."""

    def residuals(x):
        return gnp.concatenate([x[:-1] + gnp.sum(x) - (n + 1), gnp.prod(x, keepdims=True) - 1])

    return least_squares(f"Brown almost-linear n={n}", residuals, np.full(n, 0.5), 0.0, minima=(1.0,))


@cache
def discrete_boundary_value(n: int = 10) -> Problem:
    """28: m = n; u'' = (u + t + 1)³/2, central differences."""
    h = 1 / (n + 1)
    t = h * np.arange(1, n + 1)

    def residuals(x):
        padded = gnp.pad(x, 1)
        return 2 * x - padded[:-2] - padded[2:] + h * h * (x + _data(t, x) + 1) ** 3 / 2

    return least_squares(f"Discrete boundary value n={n}", residuals, t * (t - 1), 0.0)


@cache
def discrete_integral_equation(n: int = 10) -> Problem:
    """29: m = n; the same problem by its Green's function: a dense Jacobian."""
    h = 1 / (n + 1)
    t = h * np.arange(1, n + 1)
    green = h / 2 * np.minimum(np.outer(1 - t, t), np.outer(t, 1 - t))

    def residuals(x):
        return x + _data(green, x) @ (x + _data(t, x) + 1) ** 3

    return least_squares(f"Discrete integral equation n={n}", residuals, t * (t - 1), 0.0)


@cache
def broyden_tridiagonal(n: int = 10) -> Problem:
    """30: m = n."""

    def residuals(x):
        padded = gnp.pad(x, 1)
        return (3 - 2 * x) * x - padded[:-2] - 2 * padded[2:] + 1

    # Least-squares solutions that are no roots: the chain settles on the other branch at one end.
    return least_squares(f"Broyden tridiagonal n={n}", residuals, np.full(n, -1.0), 0.0, minima=(1.3602559, 1.02865204))


@cache
def broyden_banded(n: int = 10) -> Problem:
    """31: m = n; five neighbours below, one above."""
    i = np.arange(n)
    band = ((i[:, None] - i <= 5) & (i - i[:, None] <= 1) & (i != i[:, None])).astype(float)

    def residuals(x):
        return x * (2 + 5 * x * x) + 1 - _data(band, x) @ (x * (1 + x))

    return least_squares(
        f"Broyden banded n={n}", residuals, np.full(n, -1.0), 0.0, minima=(2.68021992072616, 3.05727843)
    )


@cache
def linear_full_rank(n: int = 10, m: int = 20) -> Problem:
    """32: m ≥ n; solved by one Newton step."""

    def residuals(x):
        s = 2 / m * gnp.sum(x)
        return gnp.concatenate([x - s - 1, gnp.zeros(m - n, x.dtype) - s - 1])

    return least_squares(f"Linear full rank n={n}", residuals, np.ones(n), float(m - n))


@cache
def linear_rank_1(n: int = 10, m: int = 20) -> Problem:
    """33: m ≥ n."""
    i, j = np.arange(1.0, m + 1), np.arange(1.0, n + 1)

    def residuals(x):
        return _data(i, x) * gnp.sum(_data(j, x) * x) - 1

    return least_squares(f"Linear rank 1 n={n}", residuals, np.ones(n), m * (m - 1) / (2 * (2 * m + 1)))


@cache
def linear_rank_1_with_zeros(n: int = 10, m: int = 20) -> Problem:
    """34: m ≥ n; first and last column and row are zero."""
    i, j = np.arange(m) * 1.0, np.arange(1.0, n + 1)
    i[-1] = 0
    j[[0, -1]] = 0

    def residuals(x):
        return _data(i, x) * gnp.sum(_data(j, x) * x) - 1

    f_min = (m * m + 3 * m - 6) / (2 * (2 * m - 3))
    return least_squares(f"Linear rank 1 with zeros n={n}", residuals, np.ones(n), f_min)


@cache
def chebyquad(n: int = 8, m: int | None = None) -> Problem:
    """35: m = n; the nodes of an equal-weight quadrature, which exists for n ≤ 7 and n = 9 only."""
    m = n if m is None else m
    known = {8: 3.51687372568e-3, 10: 4.77271369637e-3}
    i = np.arange(1, m + 1)
    means = np.where(i % 2 == 0, -1 / np.where(i == 1, -1.0, i * i - 1.0), 0.0)

    def residuals(x):
        y = 2 * x - 1
        before, now = gnp.ones(n, x.dtype), y
        rows = []
        for _ in range(m):
            rows.append(gnp.sum(now) / n)
            before, now = now, 2 * y * now - before
        return gnp.stack(rows) - _data(means, x)

    start = np.arange(1, n + 1) / (n + 1)
    other = (6.50395480187e-3,) if n == 10 else ()
    return least_squares(f"Chebyquad n={n}", residuals, start, known.get(n, 0.0), minima=other)
