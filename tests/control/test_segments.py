"""`scan(checkpoint=k)` is the same loop, with the memory of k carries and n/k turns for its reverse pass."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.control.segments import segment_lengths

from .support import GL, LAX, agree, same

X = np.array([0.3, -0.7, 1.1])
ROWS = np.linspace(-1.0, 1.0, 21).reshape(7, 3)


def loop(lx, a, x, rows, checkpoint, reverse):
    def step(c, r):
        p, n = c
        p = lx.np.sin(p * a) + r
        return (p, n + 1), (p * r, n)

    how = {"checkpoint": checkpoint} if lx is GL else {}
    return lx.scan(step, (x, 0), rows, reverse=reverse, **how)


def test_every_transformation():
    agree(lambda lx, a, x, rows: loop(lx, a, x, rows, 3, True), (0.7, X, ROWS), second=False)


def test_second_derivatives():
    def total(a, lx):
        (c, _), (ys, _) = loop(lx, a, X, ROWS, 2, False)
        return (c * c).sum() + (ys * ys).sum()

    for mode in (gl.jacfwd, gl.jacrev):
        found = mode(gl.grad(lambda a: total(a, GL)))(0.7)
        np.testing.assert_allclose(found, jax.hessian(lambda a: total(a, LAX))(0.7), rtol=1e-11)


@pytest.mark.parametrize("reverse", [False, True])
def test_any_length_in_any_number_of_segments(reverse):
    def total(a, x, rows, checkpoint, np_=gnp):
        (c, _), (ys, _) = loop(GL, a, x, rows, checkpoint, reverse)
        return np_.sum(c * c) + np_.sum(ys * np_.arange(rows.shape[0])[:, None])

    def gradients(lib, np_, kinds):
        def one(n, k):
            return lib.grad(lambda a, x, rows: total(a, x, rows, k, np_), (0, 1, 2))(0.7, X, ROWS[:n])

        return {f"{n} turns, {k} segments": one(n, k) for n in (0, 1, 2, 7) for k in kinds}

    ours, theirs, plain = jax.jit(
        lambda: (gradients(gl, gnp, (1, 3, "auto", 9)), gradients(jax, jnp, (3,)), gradients(jax, jnp, (None,)))
    )()
    for name, found in (ours | theirs).items():
        same(found, plain[f"{name.split(',')[0]}, None segments"], name, rtol=1e-12)


def test_memory_grows_with_the_root():
    def f(x, n, checkpoint):
        def step(c, _):
            return gnp.tanh(c) + gnp.mean(gnp.sin(c * x)), None

        return gl.scan(step, x, None, length=n, checkpoint=checkpoint)[0].sum()

    def memory(n, checkpoint):
        compiled = jax.jit(gl.grad(lambda x: f(x, n, checkpoint))).lower(np.ones(100)).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert memory(10_000, None) > 20 * memory(10_000, "auto")
    assert memory(10_000, "auto") < 5 * memory(625, "auto")


def test_lengths():
    assert segment_lengths(10, 4) == (3, 3, 1)
    assert segment_lengths(9, 3) == (3, 3, 0)
    assert segment_lengths(2, 100) == (2, 1, 0)
    assert segment_lengths(0, 3) == (0, 1, 0)


@pytest.mark.parametrize("checkpoint", [0, -1, True, "some", 2.0])
def test_errors(checkpoint):
    with pytest.raises(ValueError, match="number of segments"):
        gl.scan(lambda c, r: (c, r), X, ROWS, checkpoint=checkpoint)
