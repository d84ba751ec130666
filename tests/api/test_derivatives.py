"""grad, value_and_grad, jvp, vjp, linearize, linear_transpose: JAX's arguments, JAX's results."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from tests.api.support import same

V = np.array([0.3, -1.2, 2.0])
W = np.array([0.7, 0.1, -0.4])
M = np.linspace(-1.0, 1.0, 6).reshape(2, 3)


@partial(jax.tree_util.register_dataclass, data_fields=["w", "b"], meta_fields=["name"])
@dataclass
class Layer:
    w: Any
    b: Any
    name: str = "layer"


def attention(np_, q, k):
    scores = q @ k.T / np_.sqrt(3.0)
    weights = np_.exp(scores - np_.max(scores, axis=-1, keepdims=True))
    return np_.sum((weights / np_.sum(weights, axis=-1, keepdims=True)) ** 2)


# name: (function of the numpy module and its arguments, arguments); every argument is differentiated
PROGRAMS = {
    "polynomial": (lambda np_, x, y: x * x * y + y + 2, (3.0, 4.0)),
    "chain": (lambda np_, x: np_.exp(np_.sin(np_.cos(x) * 2.0) - 1), (0.4,)),
    "dot": (lambda np_, x, y: np_.dot(x, y) ** 2, (V, W)),
    "softmax": (lambda np_, x: np_.log(np_.sum(np_.exp(x))), (V,)),
    "affine": (lambda np_, m, x, b: np_.sum(np_.tanh(m @ x + b) ** 2), (M, V, 0.5)),
    "attention": (attention, (M, M[:, ::-1] + 0.1)),
    "broadcast": (lambda np_, x, m: np_.sum(x[None, :] * m / (1 + x * x)), (V, M)),
    "index": (lambda np_, x: x[0] * x[-1] + np_.sum(x[1:] ** 3), (V,)),
    "where": (lambda np_, x: np_.sum(np_.where(x > 0, x**2, -x)), (V,)),
    "extrema": (lambda np_, m: np_.max(m) * np_.sum(np_.min(m, axis=0)), (M,)),
    "reshape": (lambda np_, m: np_.sum(np_.reshape(m, (3, 2)) @ m * 0.5), (M,)),
    "einsum": (lambda np_, m, x: np_.einsum("ij,j,i->", m, x, m[:, 0]), (M, V)),
    "norm": (lambda np_, x: np_.linalg.norm(x) / np_.mean(np_.abs(x)), (V,)),
    "prod": (lambda np_, x: np_.prod(x) + np_.cumsum(x)[1], (V,)),
    "power": (lambda np_, x, y: np_.sum(np_.abs(x) ** y), (V, 2.5)),
    "concatenate": (lambda np_, x, y: np_.sum(np_.concatenate([x, y * x]) ** 2), (V, 2.0)),
    "float32": (lambda np_, x, y: np_.sum(x * np_.sin(x) * y), (V.astype("float32"), 2.0)),
    "complex": (lambda np_, z: np_.real(z * np_.conj(z)) + np_.imag(z**3), (1 + 2j,)),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name):
    """Value, gradient and directional derivative equal JAX's, dtypes included."""
    program, args = PROGRAMS[name]
    argnums = tuple(range(len(args)))
    rtol = 1e-5 if name == "float32" else 1e-10

    def oracle(*args):
        value, grads = jax.value_and_grad(partial(program, jnp), argnums)(*args)
        return value, grads, jax.jvp(partial(program, jnp), args, args)[1]

    value, grads, tangent = jax.jit(oracle)(*args)
    mine = partial(program, gnp)
    same(gl.value_and_grad(mine, argnums)(*args), (value, grads), rtol)
    same(gl.jvp(mine, args, args), (value, tangent), rtol)


def f(x, y, scale=1.0):
    return scale * x * x * y + y + 2


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"argnums": 1},
        {"argnums": -1},
        {"argnums": (0, 1)},
        {"argnums": (1, 0)},
        {"argnums": [0]},
        {"argnums": (-2,)},
        {"argnums": np.int64(1)},
    ],
    ids=str,
)
def test_argnums(options):
    same(gl.grad(f, **options)(3.0, 4.0), jax.grad(f, **options)(3.0, 4.0))


@pytest.mark.parametrize(
    ("options", "args", "kwargs", "wanted"),
    [
        ({"argnames": "y"}, (3.0, 4.0), {}, 10.0),
        ({"argnames": "scale"}, (3.0, 4.0), {"scale": 2.0}, 36.0),
        ({"argnames": ("y", "x")}, (3.0,), {"y": 4.0}, (10.0, 24.0)),
        ({"argnums": 0, "argnames": "scale"}, (3.0, 4.0), {"scale": 1.0}, (24.0, 36.0)),
        ({"argnums": (0,), "argnames": ("y",)}, (3.0,), {"y": 4.0}, (24.0, 10.0)),
    ],
    ids=str,
)
def test_argnames(options, args, kwargs, wanted):
    got = gl.grad(f, **options)(*args, **kwargs)
    assert jax.tree_util.tree_structure(got) == jax.tree_util.tree_structure(wanted)
    np.testing.assert_allclose(jax.tree_util.tree_leaves(got), jax.tree_util.tree_leaves(wanted))


def test_no_arguments_at_all():
    assert gl.grad(f, argnums=())(3.0, 4.0) == ()


def test_keyword_arguments_reach_the_function():
    same(gl.value_and_grad(f)(3.0, y=4.0, scale=2.0), jax.value_and_grad(f)(3.0, y=4.0, scale=2.0))


AUX = {"s": "text", "none": None, "set": frozenset({1}), "fun": len, "three": 3}


def with_aux(x):
    return x * x, {**AUX, "array": x * 3.0, "outer": W}


def test_aux_may_be_anything():
    """Arrays are computed, everything else is handed through as it is."""
    (value, aux), slope = gl.value_and_grad(with_aux, has_aux=True)(2.0)
    assert (value, slope, aux.pop("array")) == (4.0, 4.0, 6.0)
    assert aux.pop("outer") is W and aux == AUX
    slope, aux = gl.grad(with_aux, has_aux=True)(2.0)
    assert slope == 4.0 and aux["array"] == 6.0 and aux["fun"] is len
    value, tangent, aux = gl.jvp(with_aux, (2.0,), (1.0,), has_aux=True)
    assert (value, tangent, aux["array"], aux["s"]) == (4.0, 4.0, 6.0, "text")
    value, pull, aux = gl.vjp(with_aux, 2.0, has_aux=True)
    assert (value, pull(1.0), aux["array"], aux["s"]) == (4.0, (4.0,), 6.0, "text")
    value, push, aux = gl.linearize(with_aux, 2.0, has_aux=True)
    assert (value, push(1.0), aux["array"], aux["s"]) == (4.0, 4.0, 6.0, "text")


def test_aux_has_no_part_in_the_derivative():
    same(gl.grad(lambda x: (x.sum(), x * x), has_aux=True)(V), (np.ones(3), V * V))


def test_holomorphic():
    same(
        gl.grad(lambda z: z**3 * gnp.exp(z), holomorphic=True)(1 + 2j),
        jax.grad(lambda z: z**3 * jnp.exp(z), holomorphic=True)(1 + 2j),
    )


def test_the_complex_convention():
    """As JAX's: the gradient of a real function is conjugate to the direction of steepest ascent."""
    assert gl.grad(lambda z: gnp.abs(z) ** 2)(1 + 2j) == 2 - 4j
    assert gl.grad(lambda z: (z * z.conj()).real)(1 + 2j) == 2 - 4j


def test_integers_have_gradients_that_hold_nothing():
    tree = {"x": V, "n": np.arange(2), "flag": True}
    got = gl.grad(lambda t: (t["x"] * t["n"][1]).sum(), allow_int=True)(tree)
    wanted = jax.grad(lambda t: (t["x"] * t["n"][1]).sum(), allow_int=True)(jax.tree.map(jnp.asarray, tree))
    same(got, wanted)
    value, tangent = gl.jvp(lambda n, x: (n + 1, n * x), (2, 3.0), (np.zeros((), jax.dtypes.float0), 1.0))
    same((value[1], tangent[1]), (np.array(6.0), np.array(2.0)))
    assert tangent[0].dtype == jax.dtypes.float0
    cts = gl.vjp(lambda n, x: n * x, 2, 3.0)[1](1.0)
    assert cts[0].dtype == jax.dtypes.float0 and cts[1] == 2.0


def test_unconnected():
    def g(x, tree):
        return x * tree["used"]

    tree = {"used": 2.0, "idle": V}
    same(gl.grad(g, (0, 1))(3.0, tree), jax.grad(g, (0, 1))(3.0, tree))
    got = gl.grad(g, (0, 1), unconnected="none")(3.0, tree)
    assert got == (2.0, {"used": 3.0, "idle": None})
    assert gl.grad(lambda x: 1.0, unconnected="none")(3.0) is None
    assert gl.grad(lambda x: gl.stop_gradient(x) * 1.0, unconnected="none")(3.0) is None
    same(gl.grad(lambda x: 1.0)(V), np.zeros(3))
    value, pull = gl.vjp(lambda x: 1.0, V)
    same(pull(1.0), (np.zeros(3),))
    same(gl.jvp(lambda x: W, (V,), (V,))[1], np.zeros(3))


def loss(np_, layers, x):
    for layer in layers["all"]:
        x = np_.tanh(layer.w @ x + layer.b)
    return (x**2).sum() * layers["scale"][0]


LAYERS = {"all": [Layer(np.outer(V, W), W), Layer(M, 0.3, "last")], "scale": (2.0, None)}


def test_pytrees():
    """Dictionaries, lists, tuples, None, registered dataclasses with static fields."""
    got = gl.value_and_grad(partial(loss, gnp))(LAYERS, V)
    same(got, jax.jit(jax.value_and_grad(partial(loss, jnp)))(LAYERS, V))
    assert got[1]["all"][1].name == "last"
    ones = jax.tree.map(np.ones_like, LAYERS)
    wanted = jax.jit(lambda a, t: jax.jvp(lambda a: loss(jnp, a, V), (a,), (t,)))(LAYERS, ones)
    same(gl.jvp(lambda a: loss(gnp, a, V), (LAYERS,), (ones,)), wanted)
    same(gl.linearize(lambda a: loss(gnp, a, V), LAYERS)[1](ones), wanted[1])
    same(gl.vjp(lambda a: loss(gnp, a, V), LAYERS)[1](1.0)[0], got[1])


def test_optax_state():
    state = optax.adam(0.1).init({"w": jnp.asarray(V)})
    state = jax.tree.map(lambda x: x + 1, state)

    def g(state):
        return (state[0].mu["w"] ** 2).sum() * state[0].nu["w"].sum()

    same(gl.grad(g, allow_int=True)(state), jax.grad(g, allow_int=True)(state))


def test_equinox_module():
    eqx = pytest.importorskip("equinox")

    class Linear(eqx.Module):
        w: Any
        activation: Any = eqx.field(static=True)

        def __call__(self, x):
            return self.activation(self.w @ x)

    got = gl.grad(lambda m: m(V).sum())(Linear(M, gnp.tanh))
    wanted = jax.jit(jax.grad(lambda w: jnp.tanh(w @ V).sum()))(M)
    same(got.w, wanted)
    assert isinstance(got, Linear) and got.activation is gnp.tanh


def test_flax_module_parameters():
    struct = pytest.importorskip("flax.struct")
    core = pytest.importorskip("flax.core")

    @struct.dataclass
    class State:
        params: Any
        name: str = struct.field(pytree_node=False)

    state = State(core.freeze({"dense": {"kernel": M, "bias": W[:2]}}), "model")
    got = gl.grad(lambda s: (s.params["dense"]["kernel"] @ V * s.params["dense"]["bias"]).sum())(state)
    assert got.name == "model" and isinstance(got.params, core.FrozenDict)
    same(got.params["dense"]["bias"], jnp.asarray(M @ V))


ARGUMENTS = {
    "python": 1.5,
    "np.float64": np.float64(1.5),
    "np.float32": np.float32(1.5),
    "np.array": np.array(1.5),
    "np.array float32": np.array(1.5, "float32"),
    "jax": jnp.array(1.5),
    "jax float32": jnp.array(1.5, "float32"),
    "jax weak": jnp.asarray(1.5),
    "bfloat16": jnp.array(1.5, "bfloat16"),
    "complex": 1.5 + 0j,
}
SCALAR_FUNCTIONS = {
    "square": lambda x: x * x,
    "weak constant": lambda x: x * 3.0 + 1,
    "integer power": lambda x: x**3 / 2,
    "strong constant": lambda x: x * np.float32(3.0),
    "linear": lambda x: 2.0 * x,
    "identity": lambda x: x,
}


NO_WORD = pytest.mark.xfail(
    strict=True,
    reason="a gradient that passed through a strong array is strong; JAX makes it weak, without a public word for that",
)


@pytest.mark.parametrize(
    "function", [pytest.param(f, marks=NO_WORD) if f == "strong constant" else f for f in SCALAR_FUNCTIONS]
)
def test_kinds_of_arguments(function):
    """Python and NumPy scalars, NumPy and JAX arrays of every precision: dtype and weak type are JAX's."""
    fun = SCALAR_FUNCTIONS[function]
    for x in ARGUMENTS.values():
        holomorphic = isinstance(x, complex)
        value, grad = jax.value_and_grad(fun, holomorphic=holomorphic)(x)
        got = gl.value_and_grad(fun, holomorphic=holomorphic)(x)
        same(got, (value, grad), 1e-2 if jnp.asarray(x).dtype == jnp.bfloat16 else 1e-6)
        assert got[1].weak_type == grad.weak_type, (function, x)


def test_gradient_by_an_argument_whose_neighbours_are_python_numbers_stays_weak():
    same(gl.grad(f, 1)(3.0, 4.0), jax.grad(f, 1)(3.0, 4.0), weak=True)
    same(gl.grad(lambda x: x)(3.0), jax.grad(lambda x: x)(3.0), weak=True)


def test_without_x64():
    with jax.enable_x64(False):
        got = gl.value_and_grad(lambda x: (x * x).sum())(V)
        assert {x.dtype.name for x in got} == {"float32"}
        assert gl.grad(lambda x: x * 2)(1.5).dtype == "float32"
    assert gl.grad(lambda x: (x * x).sum())(V).dtype == "float64"


# -- vjp, linearize, linear_transpose


def pair(np_, x, y):
    return {"a": np_.sin(x) * y["b"], "b": (x * x).sum()}


def test_vjp_and_linearize_of_structures():
    y = {"b": W}
    ct = {"a": np.ones(3), "b": 2.0}
    value, pull = gl.vjp(partial(pair, gnp), V, y)
    wanted, oracle = jax.vjp(partial(pair, jnp), V, y)
    same(value, wanted)
    same(pull(ct), oracle(ct))
    same(pull(ct), oracle(ct))  # as often as you like
    value, push = gl.linearize(partial(pair, gnp), V, y)
    wanted, oracle = jax.linearize(partial(pair, jnp), V, y)
    same(value, wanted)
    same(push(W, {"b": V}), oracle(W, {"b": V}))


def test_vjp_fn_and_f_jvp_cross_a_jit_boundary():
    """They are pytrees of their residuals."""
    make_pull = jax.jit(lambda x: gl.vjp(gnp.sin, x)[1])
    pull = make_pull(V)
    same(pull(W), (np.cos(V) * W,))
    same(jax.jit(lambda pull, ct: pull(ct))(pull, W), (np.cos(V) * W,))
    push = jax.jit(lambda x: gl.linearize(gnp.sin, x)[1])(V)
    same(jax.jit(lambda push, t: push(t))(push, W), np.cos(V) * W)
    same(jax.vmap(push)(np.eye(3)), np.diag(np.cos(V)))
    leaves = jax.tree_util.tree_leaves(push)
    assert leaves and all(isinstance(leaf, jax.Array) for leaf in leaves)


def test_linear_programs_run_no_primal_work():
    """f_jvp and vjp_fn hold the residuals; the function is not called again."""
    calls = []

    def fun(x):
        calls.append(1)
        return gnp.sin(x)

    push, pull = gl.linearize(fun, V)[1], gl.vjp(fun, V)[1]
    for _ in range(3):
        push(W)
        pull(W)
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("fun", "args", "ct"),
    [
        (lambda x: 3.0 * x, (V,), W),
        (lambda x: M @ x, (V,), V[:2]),
        (lambda x, y: {"s": x + 2 * y, "x": x[0]}, (V, W), {"s": V, "x": 1.0}),
        (lambda t: t["a"][::-1] - t["b"].sum(), ({"a": V, "b": M},), W),
        (lambda x: x.reshape(3, 1) * V, (V,), np.outer(V, W)),
    ],
)
def test_linear_transpose(fun, args, ct):
    same(gl.linear_transpose(fun, *args)(ct), jax.linear_transpose(fun, *args)(ct))
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), args)
    same(gl.linear_transpose(fun, *shapes)(ct), jax.linear_transpose(fun, *args)(ct))
