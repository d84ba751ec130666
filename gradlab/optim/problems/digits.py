"""Handwritten digits, 8×8 pixels, 1797 of them: a network and a linear classifier. Needs scikit-learn."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from ... import numpy as gnp
from ...ir.extras import Missing
from .record import Problem

try:
    from sklearn.datasets import load_digits  # type: ignore[import-untyped]
except ImportError:
    load_digits: Any = Missing("scikit-learn", "examples", "the digits")

SOURCE = "scikit-learn's load_digits (UCI optical recognition of handwritten digits)"


@cache
def digits() -> tuple[np.ndarray, np.ndarray]:
    """The pixels (1797, 64) between 0 and 1, and the classes (1797,) from 0 to 9."""
    pixels, labels = load_digits(return_X_y=True)
    return pixels / 16.0, labels


def cross_entropy(logits, labels):
    """The mean of −log softmax(logits)[label]; `labels` (m, 10) hold a single 1 in each row."""
    return gnp.mean(gnp.log(gnp.sum(gnp.exp(logits - gnp.max(logits, axis=-1, keepdims=True)), axis=-1))
                    + gnp.max(logits, axis=-1) - gnp.sum(logits * labels, axis=-1))  # fmt: skip


def _batch(m: int) -> tuple[np.ndarray, np.ndarray]:
    pixels, labels = digits()
    return pixels[:m], np.eye(10)[labels[:m]]


@cache
def mlp(hidden: int = 32, m: int = 500, seed: int = 0, penalty: float = 1e-3) -> Problem:
    """A network of one tanh layer; x is a dictionary of weights and biases. Not convex: the least value is unknown."""
    pixels, labels = _batch(m)
    rng = np.random.default_rng(seed)
    start = {
        "w1": rng.normal(size=(64, hidden)) / 8,
        "b1": np.zeros(hidden),
        "w2": rng.normal(size=(hidden, 10)) / hidden**0.5,
        "b2": np.zeros(10),
    }

    def fun(x):
        w1, w2 = x["w1"], x["w2"]
        layer = gnp.tanh(gnp.asarray(pixels, dtype=w1.dtype) @ w1 + x["b1"])
        loss = cross_entropy(layer @ w2 + x["b2"], gnp.asarray(labels, dtype=w1.dtype))
        return loss + penalty / 2 * (gnp.sum(w1 * w1) + gnp.sum(w2 * w2))

    return Problem(f"MLP on digits n={64 * hidden + 11 * hidden + 10}", fun, start, None, source=SOURCE)


@cache
def softmax_regression(m: int = 1797, penalty: float = 1e-3) -> Problem:
    """A linear classifier of the ten digits; convex."""
    pixels, labels = _batch(m)
    known = {(1797, 1e-3): 0.2645544391190482}

    def fun(x):
        loss = cross_entropy(gnp.asarray(pixels, dtype=x.dtype) @ x, gnp.asarray(labels, dtype=x.dtype))
        return loss + penalty / 2 * gnp.sum(x * x)

    return Problem("Softmax regression on digits", fun, np.zeros((64, 10)), known.get((m, penalty)), source=SOURCE)
