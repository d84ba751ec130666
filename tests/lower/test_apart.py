"""Writes into views: what XLA's CPU compiler gets wrong in place comes out as NumPy has it."""

from __future__ import annotations

import itertools

import numpy as np

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.lower.apart import apart

X = np.arange(1.0, 7).reshape(2, 3)
VIEWS = {
    "itself": lambda m, x: x,
    "flat": lambda m, x: m.reshape(x, (6,)),
    "transposed": lambda m, x: x.T,
    "flat, transposed": lambda m, x: m.reshape(x.T, (6,)),
    "one axis more": lambda m, x: x[None],
    "one axis within": lambda m, x: m.reshape(x, (2, 1, 3)),
}
READS = {
    "element": lambda m, x: x[0, 1] * 0.7,
    "element of a view": lambda m, x: m.reshape(x, (6,))[4] * 0.7,
    "element of another view": lambda m, x: m.reshape(x.T, (6,))[4] * 0.7,
    "sum": lambda m, x: m.sum(x),
}
WRITES = {
    "block": lambda y, v: _set(y, tuple(slice(1, None) if n > 1 else slice(None) for n in y.shape), v),
    "row": lambda y, v: _set(y, len(y) - 1, v),
    "rows": lambda y, v: _set(y, np.array([len(y) - 1, 0]), v),
}


def _set(y, where, v):
    if isinstance(y, np.ndarray):
        y = y.copy()
        y[where] = v
        return y
    return y.at[where].set(v)


def every(m, x):
    found = []
    for view, read, write in itertools.product(VIEWS.values(), READS.values(), WRITES.values()):
        x = x + 1.0  # another array for each, so that each is compiled as if alone
        found.append(write(view(m, x), read(m, x)))
    return found


def test_values():
    for got, want in zip(gl.jit(lambda x: every(gnp, x))(X), every(np, X), strict=True):
        np.testing.assert_allclose(got, want)


def test_the_plain_case():
    """JAX alone: jax.jit(lambda x: x.reshape(6).at[1:].set(x[0, 1] * 0.7))(X) is [1, 1.4, 0.98, ...]."""

    def f(x):
        return x.reshape(6).at[1:].set(x[0, 1] * 0.7)

    np.testing.assert_allclose(gl.jit(f)(X), [1, *[1.4] * 5])
    np.testing.assert_allclose(gl.jit(gl.grad(lambda x: f(x).sum()))(X), [[1, 3.5, 0], [0, 0, 0]])
    np.testing.assert_allclose(gl.vmap(f)(np.stack([X, 2 * X])), [[1, *[1.4] * 5], [2, *[2.8] * 5]])

    def step(c, _):
        return f(c).reshape(2, 3), c[1, 2]

    np.testing.assert_allclose(gl.scan(step, X, length=3)[0].ravel(), [1, *[2 * 0.7**3] * 5], rtol=1e-12)


def test_only_writes_that_meet_their_reads_pay():
    def in_place(x):
        return x.at[1:].set(x[0, 1])

    def unrelated(x, y):
        return x.reshape(6).at[1:].set(y)

    for f, args in ((in_place, (X,)), (unrelated, (X, 2.0))):
        graph = gl.stage(f)(*args)
        assert apart(graph) is graph
