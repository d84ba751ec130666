"""Trouble: on every scenario the right answer, or the status that says what is wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.optim.minimize import minimize
from gradlab.optim.problems import jennrich_sampson
from gradlab.optim.result import Status

ANSWERS = (Status.CONVERGED_GRADIENT, Status.PRECISION_LIMIT)


@dataclass
class Case:
    """**Attributes:** `f`: the value expected, or None; `statuses`: those that are right; `options`: for minimize."""

    fun: Any
    x0: Any
    f: float | None = None
    statuses: tuple = (Status.CONVERGED_GRADIENT,)
    rtol: float = 1e-6
    options: dict = field(default_factory=dict)


def wrong_gradient():
    square = gl.custom_jvp(lambda x: gnp.sum(x * x))
    square.defjvp(lambda primals, tangents: (gnp.sum(primals[0] ** 2), -gnp.sum(2 * primals[0] * tangents[0])))
    return square


def nan_gradient():
    square = gl.custom_jvp(lambda x: gnp.sum(x * x))
    square.defjvp(lambda primals, tangents: (gnp.sum(primals[0] ** 2), gnp.sum(tangents[0]) * gnp.nan))
    return square


def logistic32():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(500, 10)).astype(np.float32)
    b = np.sign(a @ rng.normal(size=10) + rng.normal(size=500)).astype(np.float32)
    return lambda w: gnp.sum(gnp.log1p(gnp.exp(-b * (a @ w)))) + 1e-3 * gnp.sum(w * w)


def noisy(x):
    """Float32 arithmetic on a float64 vector: noise a million times the rounding the solver expects."""
    y = x.astype(gnp.float32)
    return (1000 + gnp.sum((y - 3) ** 2) + gnp.sum((y - 3) ** 4)).astype(gnp.float64)


def two_leaves(p):
    return gnp.sum((p["a"] - 1) ** 2) + gnp.sum((p["b"] - 2) ** 2 * p["a"].astype(gnp.float64) ** 2) + p["c"] ** 2


J = jennrich_sampson()
CASES = {
    "nan region, sqrt": Case(lambda x: gnp.sum(x - 2 * gnp.sqrt(x)), np.full(5, 100.0), -5.0),
    "nan region, log": Case(lambda x: gnp.sum(3 * x - gnp.log(x)), np.full(4, 50.0), 4 * (1 + np.log(3))),
    "overflow at trial points": Case(J.fun, J.x0, 124.362182),
    "+inf wall": Case(
        lambda x: gnp.where(x[0] > 2, gnp.inf, (x[0] - 1.9) ** 2 + 10 * (x[1] - x[0]) ** 2), [-3.0, 5.0], 0.0
    ),
    "+inf wall, minimum beyond it": Case(
        lambda x: gnp.where(x[0] > 2, gnp.inf, (x[0] - 3) ** 2), [0.0], 1.0,
        (Status.NONFINITE, Status.LINE_SEARCH_FAILED), 1e-3,
    ),
    "log barrier": Case(lambda x: x[0] - 1e-3 * gnp.log(x[0]) - 1e-3 * gnp.log(1 - x[0]), [0.9], None),
    "nan at the start": Case(lambda x: gnp.sum(gnp.log(x)), [-1.0], None, (Status.NONFINITE_START,)),
    "inf at the start": Case(lambda x: 1 / gnp.sum(x * x), [0.0], None, (Status.NONFINITE_START,)),
    "nan gradient, finite f": Case(nan_gradient(), [1.0, 2.0], None, (Status.NONFINITE_START,)),
    "minus infinity": Case(lambda x: gnp.log(gnp.maximum(x[0], 0)), [1.0], None, (Status.UNBOUNDED,)),
    "linear": Case(lambda x: gnp.sum(x), [1.0, 2.0], None, (Status.UNBOUNDED,)),
    "concave": Case(lambda x: -gnp.sum(x * x), [1.0, 2.0], None, (Status.UNBOUNDED,)),
    "cubic": Case(lambda x: gnp.sum(x**3), [-1.0], None, (Status.UNBOUNDED,)),
    "flat": Case(lambda x: 0 * gnp.sum(x) + 1, [1.0, 2.0], 1.0, (Status.STATIONARY_START,)),
    "saddle": Case(lambda x: x[0] ** 2 - x[1] ** 2, [0.0, 0.0], 0.0, (Status.STATIONARY_START,)),
    "minimum at the start": Case(lambda x: gnp.sum(x * x), [0.0, 0.0], 0.0, (Status.STATIONARY_START,)),
    "float32 logistic": Case(
        logistic32(), np.zeros(10, np.float32), None, (Status.PRECISION_LIMIT,), options={"gtol": 1e-9}
    ),
    "float32 noise": Case(noisy, np.zeros(3), 1000.0, (Status.PRECISION_LIMIT, Status.CONVERGED_GRADIENT)),
    "wrong gradient": Case(wrong_gradient(), [1.0, 2.0], None, (Status.LINE_SEARCH_FAILED,)),
    "kink": Case(lambda x: gnp.abs(x[0] - 1 / 3) + 2 * gnp.abs(x[1] - 2**0.5), [3.0, 0.7], 0.0),
    "huge values": Case(lambda x: 1e150 * gnp.sum((x - 1) ** 2), [5.0, -3.0], 0.0, ANSWERS, 1e120),
    "tiny values": Case(lambda x: 1e-150 * gnp.sum((x - 1) ** 2), [5.0, -3.0], 0.0, options={"gtol": 1e-156}),
    "huge x": Case(lambda x: gnp.sum((x / 1e20 - 1) ** 2), [0.0, 3e20], 0.0, options={"gtol": 1e-26}),
    "tiny x": Case(lambda x: gnp.sum((x / 1e-20 - 1) ** 2), [0.0, 3e-20], 0.0, ANSWERS),
    "no finer x": Case(
        lambda x: gnp.sum((x / 1e-20 - np.sqrt([2, 3])) ** 2), [0.0, 3e-20], 0.0,
        (Status.PRECISION_LIMIT,), options={"gtol": 1e-99},
    ),
    "large offset": Case(lambda x: 1e12 + gnp.sum((x - 1) ** 2), [5.0, -3.0], 1e12, ANSWERS),
    "scalar": Case(lambda x: (x - 2) ** 2 + 1, 5.0, 1.0),
    "0-d leaf": Case(lambda x: (x - 2) ** 2 + 1, np.asarray(5.0), 1.0),
    "empty": Case(lambda x: gnp.sum(x) + 3, np.zeros(0), 3.0, (Status.STATIONARY_START,)),
    "empty leaf": Case(lambda p: gnp.sum(p[0]) + (p[1] - 1) ** 2, (np.zeros((0, 3)), 4.0), 0.0),
    "no leaves": Case(lambda p: gnp.asarray(2.0), {}, 2.0, (Status.STATIONARY_START,)),
    "complex": Case(lambda z: gnp.sum(gnp.abs(z - (1 + 2j)) ** 2), np.array([3 - 1j, 0j]), 0.0),
    "complex and real": Case(
        lambda p: gnp.abs(p["z"] - 1j) ** 2 + (p["x"] - 2) ** 2, {"z": np.complex64(2 + 2j), "x": 0.5}, 0.0, ANSWERS
    ),
    "mixed dtypes": Case(
        two_leaves, {"a": np.ones(3, np.float32) * 5, "b": np.zeros((2, 3)), "c": np.float32(1)}, 0.0, ANSWERS
    ),
    "ill-conditioned": Case(
        lambda x: gnp.sum(gnp.logspace(0, 6, 50) * x * x), np.ones(50), None,
        (Status.MAX_ITERS,), options={"max_iters": 20},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_trouble(name):
    case = CASES[name]
    x0 = jnp.asarray(case.x0) if isinstance(case.x0, list) else case.x0
    result = minimize(case.fun, x0, **{"max_evals": 3000, **case.options})
    assert result.status in case.statuses, result
    assert result.status.name in str(result)
    if case.f is not None:
        assert abs(float(result.f) - case.f) <= case.rtol * max(1, abs(case.f)), result
    if result.status is not Status.NONFINITE_START:
        assert np.isfinite(float(result.f)) or result.status is Status.UNBOUNDED
        for leaf in jax.tree_util.tree_leaves(result.x):
            assert np.all(np.isfinite(leaf))
    for got, given in zip(jax.tree_util.tree_leaves(result.x), jax.tree_util.tree_leaves(x0), strict=True):
        assert got.dtype == jnp.asarray(given).dtype
