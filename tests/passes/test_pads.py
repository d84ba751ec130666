"""Many reads of one array give their cotangents back side by side, not each in an array of zeros."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.ir.check import check
from gradlab.ops.shape import concatenate_p, pad_p
from gradlab.passes import pads

A = np.random.default_rng(0).uniform(0.5, 1.5, (6, 6))


def minors(np_):
    """The determinant by Laplace's rule, read entry by entry."""

    def determinant(x):
        def minor(rows, c):
            if len(rows) == 1:
                return x[rows[0], c]
            terms = [x[r, c] * minor(rows[:k] + rows[k + 1 :], c + 1) for k, r in enumerate(rows)]
            return sum(terms[::2]) - sum(terms[1::2])

        return minor(tuple(range(x.shape[0])), 0)

    return determinant


def some(np_):
    """Some entries only, one of them twice in different ways, a row as well, and the whole array."""

    def f(x):
        corner = [x[i, j] * (i + 2 * j + 1) for i in range(4) for j in range(4)]
        return np_.sin(sum(corner)) + x[5].sum() * x[2:3, 3:5].sum() + (x * x).sum() * x[0, :2].prod()

    return f


def count(graph, prim):
    return sum(eqn.prim is prim for eqn in graph.eqns)


@pytest.mark.parametrize("name", ["minors", "some"])
def test_many_reads(name):
    make, x = {"minors": minors, "some": some}[name], A[:5, :5] if name == "minors" else A
    graph = check(gl.stage(gl.grad(make(gnp)))(x))
    assert 1 <= count(graph, concatenate_p) <= 2
    assert count(graph, pad_p) <= (0 if name == "minors" else 3)
    got = gl.grad(make(gnp))(x)
    want = np.linalg.det(x) * np.linalg.inv(x).T if name == "minors" else jax.grad(make(jnp))(x)
    np.testing.assert_allclose(got, want, rtol=1e-11)


def test_a_long_row_read_number_by_number():
    def f(np_):
        def g(x):
            with gl.rerolling(False):
                return np_.sin(sum(x[k] * (k % 7 - 3) for k in range(100)) + x[0] * x[99])

        return g

    x = np.linspace(0.0, 1.0, 100)
    with gl.rerolling(False):
        graph = check(gl.stage(gl.grad(f(gnp)))(x))
        got = gl.grad(f(gnp))(x)
    assert count(graph, pad_p) == 0
    np.testing.assert_allclose(got, jax.grad(f(jnp))(x), rtol=1e-11)


def test_overlaps_and_few_pieces_stay():
    def overlaps(x):
        return sum(gnp.sin(x[k : k + 3].sum()) for k in range(0, 70))

    x = np.linspace(0.0, 1.0, 80)
    with gl.rerolling(False):
        check(gl.stage(gl.grad(overlaps))(x))
        got = gl.grad(overlaps)(x)
    want = jax.grad(lambda x: sum(jnp.sin(x[k : k + 3].sum()) for k in range(0, 70)))(x)
    np.testing.assert_allclose(got, want, rtol=1e-12)
    graph = gl.stage(gl.grad(lambda x: gnp.sin(x[0, 1] * x[2, 3])))(A)
    assert pads.join_pads(graph) is graph
