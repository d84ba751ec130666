"""A function that calls jax.numpy on its tracers is read through JAX by itself, whatever it is that it calls."""

from __future__ import annotations

import gc
import warnings
from collections import Counter
from functools import partial
from typing import Any

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.api.dialect import DIALECTS
from gradlab.ir.errors import ConversionError, EscapedTracerError, ShapeError

A = jnp.arange(1.0, 4.0)
M = jnp.eye(3) + 0.1
X = jnp.array([0.3, 0.5, 0.9])


@jax.custom_vjp
def thrice(x):
    return x * x


thrice.defvjp(lambda x: (x * x, x), lambda x, ct: (3 * ct * x,))

# How JAX meets a tracer: as an argument, among them, closed over, returned to it, as an index, as what to convert.
CALLS = {
    "function": lambda t: jnp.sin(t).sum(),
    "reduction": lambda t: jnp.sum(t * t),
    "product": lambda t: jnp.matmul(M, t) @ t,
    "lax": lambda t: lax.mul(t, 2.0).sum(),
    "where": lambda t: jnp.where(t > 0.4, t, A * t).sum(),
    "operators": lambda t: ((A + t) / A - t @ M).sum() + jnp.sum(A**t),
    "index": lambda t: A[gnp.argmax(t)] * t[0],
    "update": lambda t: A.at[0].set(t[0]).sum() * t[1],
    "stack": lambda t: jnp.stack([t, t]).sum(),
    "nested list": lambda t: jnp.array([t[0], t[1] * t[0]]).sum(),
    "asarray": lambda t: jnp.asarray(t).sum(),
    "method": lambda t: jnp.ones(3).dot(t),
    "jit": lambda t: jax.jit(jnp.sum)(t),
    "vmap": lambda t: jax.vmap(jnp.sin)(t).sum(),
    "grad": lambda t: jax.grad(lambda u: (u * u * t).sum())(A).sum(),
    "scan": lambda t: lax.scan(lambda c, x: (c * x, c), t[0], t)[0],
    "jit closing over": lambda t: jax.jit(lambda y: (y * t).sum())(A),
    "scan closing over": lambda t: lax.scan(lambda c, x: (c * t[0] + x, c), 1.0, A)[0],
    "loop closing over": lambda t: lax.fori_loop(0, 3, lambda i, c: c * t, A).sum(),
    "cond": lambda t: lax.cond(t[0] > 0, lambda x: x, lambda x: 2 * x, t).sum(),
    "einsum": lambda t: jnp.einsum("i,ij,j->", t, M, t),
    "custom_vjp": lambda t: thrice(t).sum(),
    "checkpoint": lambda t: jax.checkpoint(lambda x: jnp.sin(x) * x)(t).sum(),
    "pytree": lambda t: jax.flatten_util.ravel_pytree({"a": t, "b": 2 * t})[0].prod(),
    "scalar": lambda t: jnp.float64(t[0]) * t[1],
    "mixed": lambda t: gnp.sum(jnp.sin(gnp.exp(t)) * gnp.ones(3)),
    "random": lambda t: (jax.random.bernoulli(jax.random.key(0), 0.5, (3,)) * t).sum(),
    "gradlab within": lambda t: gl.grad(lambda u: jnp.sum(jnp.sin(u)) * u[0])(t).sum(),
    "gradlab closing over": lambda t: gl.grad(lambda u: jnp.sum(jnp.sin(u * t)))(t).sum(),
    "gradlab over a product": lambda t: gl.jvp(lambda u: jnp.sin(t) * u, (t,), (t,))[1].sum(),
    "gradlab.vmap": lambda t: gl.vmap(lambda u: jnp.sum(u * t))(M).sum(),
}


@pytest.mark.parametrize("name", CALLS)
def test_gradient(name):
    f = CALLS[name]
    want = jax.grad(JAX_TWINS.get(name, f))(X)
    for _ in range(2):  # found out, and known
        np.testing.assert_allclose(gl.grad(f)(X), want, rtol=1e-12)


JAX_TWINS = {
    "gradlab within": lambda t: jax.grad(lambda u: jnp.sum(jnp.sin(u)) * u[0])(t).sum(),
    "gradlab closing over": lambda t: jax.grad(lambda u: jnp.sum(jnp.sin(u * t)))(t).sum(),
    "gradlab over a product": lambda t: (jnp.sin(t) * t).sum(),
    "gradlab.vmap": lambda t: jax.vmap(lambda u: jnp.sum(u * t))(M).sum(),
}


def energy(x):
    return jnp.sum(jnp.sin(x) * jax.nn.softplus(x)) + lax.scan(lambda c, r: (c * r, c), x[0], x)[0]


def pair(x, y):
    return {"s": jnp.sin(x) * y, "c": jnp.cumsum(x * y)}


# Each transformation, of gradlab and of JAX, of a function neither knows how to read but through JAX.
TRANSFORMS = {
    "value_and_grad": lambda m: m.value_and_grad(energy)(X),
    "has_aux": lambda m: m.grad(lambda x: (energy(x), {"h": jnp.sin(x), "n": 3}), has_aux=True)(X),
    "jvp": lambda m: m.jvp(pair, (X, A), (A, X)),
    "vjp": lambda m: m.vjp(pair, X, A)[1]({"s": A, "c": X}),
    "linearize": lambda m: m.linearize(pair, X, A)[1](A, X),
    "linear_transpose": lambda m: m.linear_transpose(lambda x: jnp.cumsum(2 * x), X)(A),
    "jacfwd": lambda m: m.jacfwd(pair)(X, A),
    "jacrev": lambda m: m.jacrev(pair)(X, A),
    "hessian": lambda m: m.hessian(energy)(X),
    "vmap": lambda m: m.vmap(pair, in_axes=(0, None))(M, A),
    "vmap of grad": lambda m: m.vmap(m.grad(energy))(M),
    "grad of grad": lambda m: m.grad(lambda x: m.grad(energy)(x).sum())(X),
    "jit": lambda m: m.jit(pair)(X, A),
    "jit of grad": lambda m: m.jit(m.grad(energy))(X),
    "checkpoint": lambda m: m.grad(m.checkpoint(energy))(X),
    "JAX over it": lambda m: jax.jit(jax.vmap(m.grad(energy)))(M),
    "JAX's grad of it": lambda m: jax.grad(lambda x: m.grad(energy)(x).sum())(X),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transform(name):
    jax.tree.map(
        lambda g, w: np.testing.assert_allclose(g, w, rtol=1e-11, atol=1e-13),
        TRANSFORMS[name](gl),
        TRANSFORMS[name](jax),
    )


def test_a_train_step_with_a_library_inside_is_read_by_jax():
    def step(x, rate):
        value, grad = gl.value_and_grad(energy)(x)
        return jax.tree.map(lambda a, g: a - rate * jnp.clip(g, -1, 1), x, grad), value

    new, value = gl.jit(step)(X, 0.1)
    np.testing.assert_allclose(new, X - 0.1 * jnp.clip(jax.grad(energy)(X), -1, 1), rtol=1e-12)
    np.testing.assert_allclose(value, energy(X), rtol=1e-12)


def test_jit_closing_over_an_outer_tracer():
    def outer(t):
        return gl.jit(lambda x: jnp.sum(jnp.sin(x) * t))(A)

    np.testing.assert_allclose(gl.grad(outer)(X), jnp.sin(A), rtol=1e-12)


# -- how often Python runs, and what is remembered


def test_side_effects_happen_twice_at_first_and_once_then():
    seen: Counter[str] = Counter()

    def f(x):
        seen["calls"] += 1
        return jnp.sum(jnp.sin(x))

    gl.grad(f)(X)
    assert seen["calls"] == 2
    gl.grad(f)(X)
    assert seen["calls"] == 3


def test_from_jax_runs_python_once_a_signature():
    seen: Counter[str] = Counter()

    @gl.from_jax
    def f(x, rate, power):
        seen["calls"] += 1
        return rate * jnp.sum(jnp.sin(x) ** power)

    for rate in (0.1, 0.2, 0.3):
        np.testing.assert_allclose(gl.grad(f)(X, rate, 2), rate * jnp.sin(2 * X), rtol=1e-12)
    gl.grad(f, argnums=1)(X, 0.1, 2)
    assert seen["calls"] == 1
    gl.grad(f)(X, 0.1, 3)  # an integer is static
    gl.grad(f)(M, 0.1, 3)
    assert seen["calls"] == 3


def test_a_known_function_compiles_once():
    def calls(act):
        return jax.nn.relu(act) * jax.nn.gelu(act)

    gl.grad(lambda x: calls(x).sum())(X)
    before = gl.cache_info().compiles
    for _ in range(2):
        gl.grad(lambda x: calls(x).sum())(X)
    # The third is another piece of code than the first, but the same program; the loop's is one piece of code.
    assert gl.cache_info().compiles == before


def test_closures_are_read_anew():
    def scaled(by):
        return lambda x: by * jnp.sum(jnp.sin(x))

    for by in (1.0, 2.0, jnp.float64(3.0)):
        np.testing.assert_allclose(gl.grad(scaled(by))(X), by * jnp.cos(X), rtol=1e-12)


def test_functions_of_one_code_are_told_apart():
    (dialect,) = DIALECTS

    def applying(act):
        return lambda x: act(x).sum()

    def by_default(act):
        return lambda x, f=act: f(x).sum()

    def inside(act):
        return applying(lambda x: act(x) * 2)

    def method(act):
        return partial(lambda act, x: act(x).sum(), act)

    for make in (applying, by_default, inside, method):
        gl.grad(make(jnp.sin))(X)
        assert dialect.knows(make(jnp.sin))
        assert not dialect.knows(make(gnp.sin)) and not dialect.knows(make(jnp.cos))
        assert gl.grad(lambda x, make=make: make(gnp.sin)(x) if x[0] > 0 else x[0])(X).shape == X.shape
        gl.grad(make(jax.nn.relu))(X)
        assert dialect.knows(make(jax.nn.relu)) and dialect.knows(make(jnp.sin))


def test_a_training_step_is_known_whatever_its_batch():
    (dialect,) = DIALECTS

    def step(batch, rate):
        return lambda x: rate * energy(x) + jnp.sum(batch)

    gl.grad(step(A, 0.1))(X)
    assert dialect.knows(step(M, 0.2))


def test_what_is_known_dies_with_the_function():
    (dialect,) = DIALECTS

    def make():
        scope: dict[str, Any] = {"jnp": jnp}
        exec("def f(x): return jnp.sum(jnp.sin(x))", scope)
        return scope["f"]

    gc.collect()
    before = len(dialect._known)
    f = make()
    gl.grad(f)(X)
    assert dialect.knows(f) and len(dialect._known) == before + 1
    del f
    gl.cache_clear()
    gc.collect()
    assert len(dialect._known) == before


def test_a_known_function_may_be_readable_as_it_stands():
    def either(x, mod):
        return mod.sum(mod.sin(x)) if mod.sum(x) > 0 or mod is jnp else 0.0

    with pytest.raises(ConversionError):
        gl.grad(either)(X, jnp)
    np.testing.assert_allclose(gl.grad(either)(X, gnp), jnp.cos(X), rtol=1e-12)


def test_plain_functions_are_not_affected():
    seen: Counter[str] = Counter()

    def f(x):
        seen["calls"] += 1
        if seen["calls"] > 1:
            raise ValueError("again")
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        gl.grad(f)(X)
    assert seen["calls"] == 1


# -- errors


def choose(x):
    if jnp.sum(x) > 0:
        return jnp.sin(x).sum()
    return x[0]


@pytest.mark.parametrize("read", [lambda f: f, gl.from_jax])
def test_values_asked_of_jax_name_both_remedies(read):
    with pytest.raises(ConversionError, match=r"(?s)gradlab\.numpy in place of jax\.numpy.*jax\.lax\.cond.*choose"):
        gl.grad(read(choose))(X)


def test_a_mistake_in_jax_code_is_told_by_jax():
    with pytest.raises(TypeError, match="dot"):
        gl.grad(lambda x: jnp.dot(x, jnp.ones(4)))(X)
    with pytest.raises(ShapeError):
        gl.grad(lambda x: (x + gnp.ones(4)).sum())(X)


def test_a_tracer_that_got_away():
    kept: list[Any] = []
    gl.grad(lambda x: kept.append(x) or x.sum())(X)
    with pytest.raises((EscapedTracerError, TypeError)):
        gl.grad(lambda x: jnp.sum(x * kept[0]))(X)


def test_reverse_mode_through_a_while_loop():
    def f(x):
        return lax.while_loop(lambda c: c < 5, lambda c: c * 2, x[0])

    assert gl.jvp(f, (X,), (A,))[1] == jax.jvp(f, (X,), (A,))[1]
    np.testing.assert_allclose(gl.grad(f)(X), jax.jacfwd(f)(X), rtol=1e-12)


def test_source_says_what_is_opaque():
    text = gl.source(lambda x: lax.reduce_precision(jnp.sum(x), 5, 10))(X)
    assert "is JAX's reduce_precision, which has no text" in text and "jax_reduce_precision(" in text
    text = gl.source(lambda x: jnp.sin(jax.nn.relu(x)))(X)
    assert "lax.sin(" in text and "jnp.maximum(x, 0.0)" in text


def test_forward_mode_of_a_custom_vjp_transposes_its_rule():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(gl.jvp(lambda x: thrice(x), (X,), (A,))[1], 3 * X * A, rtol=1e-12)
        np.testing.assert_allclose(gl.hessian(lambda x: thrice(x).sum())(X), 3 * jnp.eye(3), rtol=1e-12)
