"""Small problems of machine learning and statistics, on data drawn from a fixed seed."""

from __future__ import annotations

from functools import cache

import numpy as np

from ... import numpy as gnp
from .record import Problem, SumOfSquares

DRAWN = "gradlab; data drawn by numpy.random.default_rng(seed)"


def _data(values, x):
    return gnp.asarray(values, dtype=x.dtype)


def logistic_loss(weights, features, signs, penalty):
    """The mean logistic loss of a linear classifier plus penalty/2 ‖weights‖²; `signs` (m,) are ±1."""
    margins = signs * (features @ weights)
    return gnp.mean(gnp.logaddexp(0, -margins)) + penalty / 2 * gnp.sum(weights * weights)


@cache
def logistic_regression(m: int = 500, d: int = 20, seed: int = 0, spread: float = 2.0) -> Problem:
    """A linear classifier; the features' scales go from 10^(−spread/2) to 10^(spread/2)."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(m, d)) * np.logspace(-spread / 2, spread / 2, d)
    b = np.sign(a @ rng.normal(size=d) + rng.normal(size=m))
    known = {(500, 20, 0, 2.0): 0.05591924300481988}

    def fun(x):
        return logistic_loss(x, _data(a, x), _data(b, x), 1e-3)

    f_min = known.get((m, d, seed, spread))
    return Problem(f"Logistic regression n={d}", fun, np.zeros(d), f_min, source=DRAWN)


@cache
def gp_marginal_likelihood(m: int = 60, seed: int = 0) -> Problem:
    """The negative log marginal likelihood of a Gaussian process over the logarithms of its length, scale and noise."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.uniform(-3, 3, m))
    y = np.sin(2 * t) + 0.5 * t + 0.2 * rng.normal(size=m)
    squares = (t[:, None] - t) ** 2
    known = {(60, 0): 11.18545607538823}

    def fun(x):
        length, scale, noise = gnp.exp(x[0]), gnp.exp(x[1]), gnp.exp(x[2])
        k = scale * scale * gnp.exp(-_data(squares, x) / (2 * length * length))
        k = k + (noise * noise + 1e-8) * gnp.eye(m, dtype=x.dtype)
        chol = gnp.linalg.cholesky(k)
        white = gnp.linalg.solve(k, _data(y, x))
        fit = gnp.sum(_data(y, x) * white) / 2
        return fit + gnp.sum(gnp.log(gnp.diagonal(chol))) + m / 2 * np.log(2 * np.pi)

    return Problem("GP marginal likelihood", fun, np.zeros(3), known.get((m, seed)), source=DRAWN)


@cache
def matrix_factorisation(rows: int = 20, columns: int = 15, rank: int = 3, seed: int = 0) -> Problem:
    """‖U Vᵀ − Y‖² for a Y of exactly this rank, x a dictionary of U and V. No local minimum but the global ones."""
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(rows, rank)) @ rng.normal(size=(rank, columns))
    start = {"u": rng.normal(size=(rows, rank)), "v": rng.normal(size=(columns, rank))}

    def residuals(x):
        return (x["u"] @ x["v"].T - _data(y, x["u"])).reshape(-1)

    name = f"Matrix factorisation {rows}×{columns}, rank {rank}"
    return Problem(name, SumOfSquares(residuals), start, 0.0, residuals, source=DRAWN)


@cache
def phase_retrieval(n: int = 16, m: int = 128, seed: int = 0) -> Problem:
    """Find x, up to its sign, from (a·x)² for m random vectors a."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(m, n))
    y = (a @ rng.normal(size=n)) ** 2
    start = rng.normal(size=n)

    def residuals(x):
        p = _data(a, x) @ x
        return (p * p - _data(y, x)) / m**0.5

    return Problem(f"Phase retrieval n={n}", SumOfSquares(residuals), start, 0.0, residuals, source=DRAWN)


@cache
def quadratic(n: int = 1000, condition: float = 1e6, seed: int = 0) -> Problem:
    """½ xᵀ D x − bᵀ x, D diagonal with eigenvalues spread evenly in logarithm from 1 to `condition`."""
    rng = np.random.default_rng(seed)
    d = np.logspace(0, np.log10(condition), n)
    b = rng.normal(size=n)

    def fun(x):
        return gnp.sum(_data(d, x) * x * x) / 2 - gnp.sum(_data(b, x) * x)

    return Problem(f"Quadratic n={n}, condition {condition:g}", fun, np.zeros(n), -float(np.sum(b * b / d)) / 2,
                   source="gradlab")  # fmt: skip
