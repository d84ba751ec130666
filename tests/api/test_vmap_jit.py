"""vmap and jit: JAX's arguments and results; and our derivatives under JAX's own transformations."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import gradlab as gl
import gradlab.numpy as gnp
from tests.api.support import same

V = np.array([0.3, -1.2, 2.0])
M = np.linspace(-1.0, 1.0, 6).reshape(2, 3)
T = np.arange(24.0).reshape(2, 3, 4)
TREE = {"a": M, "b": (V, T.transpose(1, 0, 2))}

# name: (function of the numpy module and its arguments, arguments, options)
VMAPS = {
    "plain": (lambda np_, x: np_.sin(x).sum(), (M,), {}),
    "axis 1": (lambda np_, x: x * x[0], (M,), {"in_axes": 1}),
    "negative axis": (lambda np_, x: x * x[0], (M,), {"in_axes": -1}),
    "in a tuple": (lambda np_, x, y: x @ y, (M, T), {"in_axes": (0, 0)}),
    "in a list": (lambda np_, x, y: x @ y, (M, V), {"in_axes": [0, None]}),
    "shared first": (lambda np_, x, y: y @ x, (M.T, T[0]), {"in_axes": (None, 1)}),
    "prefix": (lambda np_, t: t["a"] * t["b"][0] + t["b"][1].sum(), (TREE,), {"in_axes": ({"a": 1, "b": 0},)}),
    "prefix with None": (
        lambda np_, t: t["a"] * t["b"][0].sum() + t["b"][1].sum(),
        (TREE,),
        {"in_axes": ({"a": 1, "b": (None, 0)},)},
    ),
    "out 1": (lambda np_, x: np_.outer(x, x), (M,), {"out_axes": 1}),
    "out -1": (lambda np_, x: np_.outer(x, x), (M,), {"out_axes": -1}),
    "out prefix": (lambda np_, x: (x, {"s": x.sum(), "o": x * 2}), (M,), {"out_axes": (1, {"s": 0, "o": -1})}),
    "out None": (lambda np_, x, y: (x * 2, y * 2), (M, V), {"in_axes": (0, None), "out_axes": (0, None)}),
    "unmapped out": (lambda np_, x, y: (x * 2, y * 2, 7.0), (M, V), {"in_axes": (0, None)}),
    "axis_size": (lambda np_, x: x * 2, (V,), {"in_axes": None, "axis_size": 4}),
    "both sizes": (lambda np_, x: x * 2, (M,), {"axis_size": 2}),
    "integers": (lambda np_, i: i * 2 + 1, (np.arange(3),), {}),
    "empty": (lambda np_, x: np_.sin(x).sum(), (np.zeros((0, 3)),), {}),
}


@pytest.mark.parametrize("name", VMAPS)
def test_vmap(name):
    program, args, options = VMAPS[name]
    wanted = jax.jit(jax.vmap(partial(program, jnp), **options))(*args)
    same(gl.vmap(partial(program, gnp), **options)(*args), wanted)
    same(gl.jit(gl.vmap(partial(program, gnp), **options))(*args), wanted)


def test_vmap_keyword_arguments_over_axis_0():
    same(gl.vmap(lambda x, *, s: x * s)(M, s=V[:2]), M * V[:2, None])


def test_vmap_nested():
    def program(np_, x, y):
        return np_.sum(np_.sin(x) * y)

    def nested(m, np_):
        return m.vmap(m.vmap(partial(program, np_), (None, 0)), (0, None))

    same(nested(gl, gnp)(M, M * 2), jax.jit(nested(jax, jnp))(M, M * 2))


def test_vmap_passes_what_it_does_not_map():
    """A static argument with in_axes=None stays what it is."""
    same(gl.vmap(lambda x, how: x.sum() if how == "sum" else x, (0, None))(M, "sum"), M.sum(1))


def test_vmap_closes_over_arrays_and_outer_tracers():
    same(gl.vmap(lambda x: x * V)(M), M * V)
    same(gl.grad(lambda s: gl.vmap(lambda x: x.sum() * s)(M).sum())(2.0), jnp.asarray(M.sum()))


def test_vmap_of_derivatives():
    def program(np_, x):
        return np_.sum(np_.sin(x) * x[0])

    mine, theirs = partial(program, gnp), partial(program, jnp)
    same(gl.vmap(gl.value_and_grad(mine))(M), jax.jit(jax.vmap(jax.value_and_grad(theirs)))(M))
    same(gl.vmap(gl.hessian(mine))(M), jax.jit(jax.vmap(jax.hessian(theirs)))(M))
    same(gl.grad(lambda m: gl.vmap(mine)(m).sum())(M), jax.jit(jax.vmap(jax.grad(theirs)))(M))


# -- jit


def power(x, n, how="plain"):
    return x**n if how == "plain" else -(x**n)


@pytest.mark.parametrize(
    ("options", "args", "kwargs"),
    [
        ({}, (2.0, 3.0), {}),
        ({"static_argnums": 1}, (V, 3), {}),
        ({"static_argnums": (1, 2)}, (V, 3, "negative"), {}),
        ({"static_argnames": "how"}, (V, 3.0), {"how": "negative"}),
        ({"static_argnames": ("n", "how")}, (V,), {"n": 2, "how": "plain"}),
    ],
)
def test_jit_options(options, args, kwargs):
    same(gl.jit(power, **options)(*args, **kwargs), jax.jit(power, **options)(*args, **kwargs), weak=True)


def test_jit_reads_once_a_signature():
    calls = []

    @gl.jit
    def fun(x):
        calls.append(1)
        return gnp.sin(x)

    for x in (V, V + 1, jnp.asarray(V)):
        same(fun(x), np.sin(x))
    assert len(calls) == 1
    fun(M)
    assert len(calls) == 2


def test_jit_of_pytrees_and_nothing():
    same(gl.jit(lambda t: {"x": t["a"] + 1, "n": None})({"a": V}), {"x": V + 1, "n": None})
    assert gl.jit(lambda x: None)(V) is None
    same(gl.jit(lambda: gnp.ones(2))(), np.ones(2))


def test_jit_closures():
    inner = jnp.asarray(V)
    same(gl.jit(lambda x: x * V + inner)(2.0), 3 * V)

    def outer(s):
        return gl.jit(lambda x: (x * s).sum())(V)

    same(gl.grad(outer)(2.0), jax.grad(lambda s: jnp.sum(V * s))(2.0))


def test_jit_donates():
    """The donated buffer is gone, or was never given up: either way the result is right."""
    x = jnp.asarray(V)
    same(gl.jit(lambda x: x + 1, donate_argnums=0)(x), V + 1)
    assert "tf.aliasing_output" in gl.jit(lambda x: x + 1, donate_argnums=0).lower(jnp.asarray(V)).as_text()


def test_jit_keeps_jax_methods():
    fun = gl.jit(gl.grad(lambda x: gnp.sin(x).sum()))
    lowered = fun.lower(V)
    same(lowered.compile()(V), np.cos(V))
    assert "cosine" in lowered.as_text()
    assert fun.trace(V).jaxpr.out_avals[0].shape == (3,)
    assert fun.eval_shape(V).shape == (3,)
    fun.clear_cache()
    assert fun.__name__ == "grad"


def test_jit_inside_and_outside_of_derivatives():
    def program(np_, m, x):
        return np_.sum(m.jit(np_.sin)(x) * x[0])

    mine, theirs = partial(program, gnp, gl), partial(program, jnp, jax)
    wanted = jax.jit(jax.value_and_grad(theirs))(V)
    same(gl.value_and_grad(mine)(V), wanted)
    same(gl.jit(gl.value_and_grad(mine))(V), wanted)
    same(gl.jit(gl.jit(gl.value_and_grad(gl.jit(mine))))(V), wanted)
    same(gl.hessian(gl.jit(mine))(V), jax.jit(jax.hessian(theirs))(V))
    same(gl.vmap(gl.jit(mine))(M), jax.jit(jax.vmap(theirs))(M))


def test_jit_static_arguments_inside_grad():
    fun = gl.jit(power, static_argnums=(1, 2))
    assert gl.grad(lambda x: fun(x, 3, "plain"))(2.0) == 12.0


def test_jit_is_not_called_with_values():
    """Also inside an eager grad, what is under jit has none: the same program runs in both cases."""
    fun = gl.jit(lambda x: x if x > 0 else -x)
    for call in (fun, gl.grad(fun)):
        with pytest.raises(gl.ir.errors.ConcretizationError, match="where"):
            call(2.0)


# -- under JAX


def loss(np_, w, x):
    return np_.sum(np_.tanh(x @ w) ** 2)


W = np.linspace(-0.5, 0.5, 3)
OUTSIDE = {
    "jit(grad)": (lambda inner: jax.jit(inner("grad")), (W, M)),
    "vmap(grad)": (lambda inner: jax.vmap(inner("grad"), (None, 0)), (W, M)),
    "grad(loss)": (lambda inner: jax.grad(inner("value")), (W, M)),
    "grad(grad)": (lambda inner: jax.grad(lambda w, x: inner("grad")(w, x).sum()), (W, M)),
    "jacfwd(grad)": (lambda inner: jax.jacfwd(inner("grad")), (W, M)),
    "jit(vmap(jacrev(grad)))": (lambda inner: jax.jit(jax.vmap(jax.jacrev(inner("grad")), (None, 0))), (W, M)),
    "grad(vmap)": (lambda inner: jax.grad(lambda w, x: inner("vmap")(w, x).sum()), (W, M)),
    "linearize": (lambda inner: lambda w, x: jax.linearize(lambda w: inner("grad")(w, x), w)[1](w), (W, M)),
    "checkpoint": (lambda inner: jax.grad(jax.checkpoint(inner("value"))), (W, M)),
    "scan": (
        lambda inner: lambda w, x: jax.lax.scan(lambda w, row: (w - 0.1 * inner("grad")(w, row), w), w, x),
        (W, M),
    ),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_composes_with_jax_from_outside(name):
    make, args = OUTSIDE[name]

    def inner(m, np_, what):
        fun = partial(loss, np_)
        return {"value": fun, "grad": m.grad(fun), "vmap": m.vmap(fun, (None, 0))}[what]

    def mine(what):
        return (gl.jit(partial(loss, gnp))) if what == "value" else inner(gl, gnp, what)

    same(make(mine)(*args), jax.jit(make(partial(inner, jax, jnp)))(*args))


def test_shardings():
    mesh = Mesh(np.array(jax.devices()[:1]), ("data",))
    rows = NamedSharding(mesh, PartitionSpec("data"))
    everywhere = NamedSharding(mesh, PartitionSpec())
    grad = gl.grad(partial(loss, gnp))
    wanted = jax.jit(jax.grad(partial(loss, jnp)))(W, M)
    x = jax.device_put(M, rows)
    for compiled in (jax.jit, gl.jit):
        got = compiled(grad, in_shardings=(everywhere, rows), out_shardings=everywhere)(W, x)
        same(got, wanted)
        assert got.sharding.is_equivalent_to(everywhere, 1)
    same(grad(W, x), wanted)
