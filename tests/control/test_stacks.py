"""Many small arrays of a closure come in as one, and nobody can tell by the results."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.control.scan import scan_p
from gradlab.control.stacks import LEAST
from gradlab.ops.shape import concatenate_p

RNG = np.random.default_rng(8)
T = 60
XS = RNG.normal(size=(T, 6))
W = RNG.normal(size=(6, 6)) * 0.3


def network(xs):
    def loss(w):
        h = gnp.zeros(6)
        for x in xs:
            h = gnp.tanh(w @ h + x)
        return gnp.sum(h * h)

    return loss


def reference(w, xs):
    h = jax.lax.scan(lambda h, x: (jnp.tanh(w @ h + x), None), jnp.zeros(6), xs)[0]
    return (h * h).sum()


WANTED = jax.jit(jax.grad(reference, (0, 1)))


def count(graph, prim):
    return sum(int(e.prim is prim) + sum(count(g, prim) for _, g in e.graphs) for e in graph.eqns)


def test_rows_of_an_array_that_is_written_to_between_calls():
    """What counts is what the array holds while the function is read; the program stays the same."""
    xs = XS.copy()
    gradient = gl.grad(network(xs))
    np.testing.assert_allclose(gradient(W), WANTED(W, xs)[0], rtol=1e-11)
    before = gl.cache_info().compiles
    xs *= 0.5
    np.testing.assert_allclose(gradient(W), WANTED(W, xs)[0], rtol=1e-11)
    assert gl.cache_info().compiles == before
    graph = gl.stage(gl.grad(network(xs)))(W)
    assert count(graph, scan_p) == 2
    assert len(graph.inputs) == 2
    assert not count(graph, concatenate_p)


def test_one_buffer_that_every_turn_writes_into():
    """Each turn sees what the buffer held then, though it is one object throughout."""

    def loss(w):
        buffer, h = np.zeros(6), gnp.zeros(6)
        for t in range(T):
            buffer[:] = XS[t]
            h = gnp.tanh(w @ h + buffer)
        return gnp.sum(h * h)

    np.testing.assert_allclose(gl.grad(loss)(W), WANTED(W, XS)[0], rtol=1e-11)


def test_arrays_of_many_owners_types_and_orders():
    """Backwards, some twice, lists of arrays, JAX's among NumPy's, single ones of another dtype."""
    apart = [XS[t].copy() if t % 2 else jnp.asarray(XS[t]) for t in reversed(range(T))]
    apart[3] = apart[7]
    apart[5] = apart[5].astype(np.float32)
    want = WANTED(W, np.stack([np.asarray(x, np.float64) for x in apart]))[0]
    np.testing.assert_allclose(gl.grad(network(apart))(W), want, rtol=1e-11)
    np.testing.assert_allclose(gl.jit(gl.grad(network(apart)))(W), want, rtol=1e-11)
    assert len(gl.stage(gl.grad(network(apart)))(W).inputs) == 3
    few = apart[10 : 10 + LEAST - 1]
    assert len(gl.stage(network(few))(W).inputs) == LEAST


def test_rows_of_an_array_of_an_enclosing_trace():
    """They are cut out of it within, so that neither the loop nor its derivative reads them one by one."""

    def inner(w, xs):
        return gnp.sum(gnp.sin(gl.grad(network([xs[t] for t in range(T)]))(w)))

    def theirs(w, xs):
        return jnp.sum(jnp.sin(jax.grad(reference)(w, xs)))

    graph = gl.stage(gl.jit(inner))(W, XS)
    assert count(graph, scan_p) == 2
    assert len(graph.eqns) < 25
    assert not any(e.prim is concatenate_p and len(e.inputs) > 4 for e in graph.eqns)
    want = jax.jit(jax.grad(theirs, (0, 1)))(W, XS)
    for got, ref in zip(gl.grad(inner, (0, 1))(W, XS), want, strict=True):
        np.testing.assert_allclose(got, ref, rtol=1e-9, atol=1e-12)
    got = gl.vmap(inner, in_axes=(None, 0))(W, np.stack([XS, XS * 0.5]))
    np.testing.assert_allclose(got, [theirs(W, XS), theirs(W, XS * 0.5)], rtol=1e-10)


def test_in_the_body_of_a_loop_and_under_specialize():
    def total(w):
        step = network(XS)
        return gl.fori_loop(0, 3, lambda _, w: w - 0.1 * gl.grad(step)(w), w)

    def theirs(w):
        return jax.lax.fori_loop(0, 3, lambda _, w: w - 0.1 * jax.grad(reference)(w, XS), w)

    want = jax.jit(theirs)(W)
    np.testing.assert_allclose(gl.jit(total)(W), want, rtol=1e-10)
    np.testing.assert_allclose(gl.jit(total, branches="specialize")(W), want, rtol=1e-10)
