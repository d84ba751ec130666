"""JAX's scan, while_loop, cond and switch are read as the IR's: a while loop of JAX's gets a reverse mode."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.ode import odeint

import gradlab as gl
from gradlab.control.opaque import opaque_p
from gradlab.ir.check import check

A = np.array([0.3, 0.4, -0.2])
X = np.array([0.3, 0.7, 1.1])


def loops(a, x):
    def step(c, r):
        return {"u": jnp.sin(c["u"] * a) + r, "k": c["k"] + 1}, (c["u"] * A, c["k"])

    c, ys = jax.lax.scan(step, {"u": x, "k": 2}, x[None] * jnp.ones((4, 3)), reverse=True)
    d = jax.lax.cond(a > 0.1, lambda t: jnp.sin(t) * a, lambda t: t * 2, c["u"])
    e = jax.lax.switch(jnp.int32(a * 4), [jnp.sin, jnp.cos, jnp.tanh], d)
    m = jax.lax.fori_loop(0, 4, lambda i, v: v * a + i, e)
    return (m + ys[0].sum() + c["k"]).sum() + jax.lax.map(lambda r: r * a, x).sum()


def looped(a, x):
    state = jax.lax.while_loop(lambda s: s[0].sum() < 20, lambda s: (s[0] * (1.5 + a), s[1] * a + s[0]), (x * x, x))
    return state[1].sum()


def unrolled(a, x):
    s = (x * x, x)
    for _ in range(7):
        s = jax.tree.map(lambda new, old, s=s: jnp.where(s[0].sum() < 20, new, old), turn(a, s), s)
    return s[1].sum()


def turn(a, s):
    return s[0] * (1.5 + a), s[1] * a + s[0]


def close(got, want):
    for g, w in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-10, atol=1e-12)


def test_scan_cond_switch_and_fori_loop():
    close(jax.jit(gl.grad(loops, (0, 1)))(0.4, X), jax.jit(jax.grad(loops, (0, 1)))(0.4, X))
    close(jax.jit(gl.hessian(loops))(0.4, X), jax.jit(jax.hessian(loops))(0.4, X))
    graph = check(gl.stage(gl.grad(gl.from_jax(loops)))(0.4, X))
    assert opaque_p not in {eqn.prim for eqn in graph.eqns}
    assert {"scan", "cond"} <= {eqn.prim.name for eqn in graph.eqns}


def test_reverse_mode_of_a_while_loop():
    close(jax.jit(gl.grad(looped, (0, 1)))(0.4, X), jax.jit(jax.grad(unrolled, (0, 1)))(0.4, X))
    close(jax.jit(gl.grad(gl.grad(looped)))(0.4, X), jax.jit(jax.grad(jax.grad(unrolled)))(0.4, X))
    several = jnp.array([0.4, 0.2])
    batched = jax.jit(gl.vmap(gl.grad(gl.from_jax(looped)), (0, None)))(several, X)
    close(batched, jax.jit(jax.vmap(jax.grad(unrolled), (0, None)))(several, X))


def test_arrays_inside_inner_programs():
    """Rules of JAX's own, read while a graph is transposed, may name arrays: they are no captures of that graph."""
    times = jnp.linspace(0.0, 1.0, 4)
    y = jnp.array([1.0, 2.0, 3.0])

    def final(y):
        return odeint(lambda y, t: -(y**2), y, times).sum()

    close(gl.grad(final)(y), jax.grad(final)(y))
