"""In a loop's body small arrays are written piece by piece; outside, and where they are large, they are joined."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

import gradlab as gl
import gradlab.numpy as gnp

X = np.linspace(-1.0, 1.0, 6)


def loop(np_, scan, x, n=6):
    def step(c, r):
        a, b = c[: n // 2], c[n // 2 :]
        return np_.concatenate([np_.sin(a) * b, np_.tanh(b) + r]), np_.stack([a, b])

    return scan(step, x, np_.ones(3))


def text(n):
    return gl.source(lambda x: loop(gnp, gl.scan, x, n))(np.ones(n))


def test_where_it_is_done():
    body, after = text(6).split("lax.scan(")  # the carry goes round in two pieces, joined at the end
    assert "jnp.concatenate" not in body and body.count("lax.dynamic_update_slice(") == 2 and "jnp.concatenate" in after
    assert "= lax.dynamic_update_slice(" not in text(6000)
    alone = gl.source(lambda x: gnp.concatenate([gnp.sin(x), x]))(X)
    assert "= lax.dynamic_update_slice(" not in alone


def test_values_and_gradients():
    def total(np_, scan):
        return lambda x: sum((y**2).sum() for y in loop(np_, scan, x))

    np.testing.assert_allclose(
        gl.grad(total(gnp, gl.scan))(X), jax.grad(total(jnp, jax.lax.scan))(jnp.asarray(X)), rtol=1e-12
    )


def test_sums_of_one_type_go_round_together():
    def loss(ws):
        def step(c, r):
            for w in ws:
                c = gnp.sin(c * w) + r
            return c, None

        return gl.scan(step, X, np.ones((4, 6)))[0].sum()

    def plain(ws):
        c = X
        for _ in range(4):
            for w in ws:
                c = gnp.sin(c * w) + 1.0
        return c.sum()

    ws = [X * k for k in (1.1, 0.7, -0.3, 0.5)]
    graph = gl.stage(gl.grad(loss))(ws)
    back = [e for e in graph.eqns if e.prim.name == "scan"][-1]
    assert (4, 6) in [v.shape for v in back.outputs]
    for got, wanted in zip(gl.grad(loss)(ws), gl.grad(plain)(ws), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-12)
