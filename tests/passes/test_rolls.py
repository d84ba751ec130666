"""Pieces put together the other way round are a roll; short rolls are written as slices of one wider array."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.ir.check import check
from gradlab.passes.pipeline import tidy
from gradlab.passes.rolls import rolls_as_slices

RNG = np.random.default_rng(0)
X, M = RNG.normal(size=12), RNG.normal(size=(9, 8))


def names(graph):
    return [e.prim.name for e in graph.eqns]


def test_two_pieces_are_a_roll():
    graph = tidy(gl.stage(lambda x: gnp.concatenate([x[3:], x[:3]]))(X))
    assert names(graph) == ["roll"] and graph.eqns[0].params == {"shift": 9, "axis": 0}
    assert names(tidy(gl.stage(lambda m: gnp.roll(m, 2, 1))(M))) == ["roll"]
    assert names(tidy(gl.stage(lambda x: gnp.roll(gnp.roll(x, 2), -3))(X))) == ["roll"]
    assert names(tidy(gl.stage(lambda x: gnp.roll(gnp.roll(x, 2), -2))(X))) == []


@pytest.mark.parametrize(
    "f",
    [
        lambda x, y: gnp.concatenate([x[3:], y[:3]]),
        lambda x, y: gnp.concatenate([x[4:], x[:3]]),
        lambda x, y: gnp.concatenate([x[:3], x[3:]]),
        lambda x, y: gnp.concatenate([x[6::2], x[:6:2]]),
        lambda x, y: gnp.concatenate([x[3:], x[:3], x[:3]]),
    ],
)
def test_others_are_not(f):
    graph = tidy(gl.stage(f)(X, X + 1.0))
    assert "roll" not in names(graph)


def stencil(np_, x, m):
    a = (np_.roll(x, -1) - np_.roll(x, 2)) * np_.roll(x, 1)
    b = np_.roll(m, 1, 0) * np_.sin(np_.roll(m, -1, 1)) + np_.roll(m, 4, 1) + np_.roll(m, (1, -1), (0, 1))
    return np_.sum(a * x) + np_.sum(b * m)


def test_one_wider_copy_of_what_is_rolled():
    graph = check(rolls_as_slices(tidy(gl.stage(lambda x: stencil(gnp, x, M))(X))))
    assert names(graph).count("pad") == 1 + 3  # x; m along each axis, and m rolled, along the other
    assert names(graph).count("roll") == 1  # half way round


def test_values_and_derivatives():
    run = jax.jit(
        lambda x, m: [
            gl.value_and_grad(lambda *a: stencil(gnp, *a), (0, 1))(x, m),
            gl.hessian(lambda x: stencil(gnp, x, m))(x),
        ]
    )
    wanted = [
        jax.value_and_grad(lambda *a: stencil(jnp, *a), (0, 1))(X, M),
        jax.hessian(lambda x: stencil(jnp, x, M))(X),
    ]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12), run(X, M), wanted)


def test_the_adjoint_of_a_stencil_is_one():
    graph = tidy(gl.stage(gl.grad(lambda x: stencil(gnp, x, M)))(X))
    assert not {"concatenate", "pad", "slice"} & set(names(graph))


def test_other_dtypes():
    for x in (np.arange(9), np.arange(9) > 4, np.arange(9) * 1j):
        np.testing.assert_array_equal(gl.jit(lambda x: gnp.roll(x, 2))(x), np.roll(x, 2))
