"""Derivatives of derivatives: to any order, through closures and Python's own control flow; and how long they get."""

from __future__ import annotations

import copy
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from tests.api.support import same

V = np.array([0.3, -1.2, 2.0])
M = np.linspace(-1.0, 1.0, 6).reshape(2, 3)


def composed(transform, fun, times):
    for _ in range(times):
        fun = transform(fun)
    return fun


def forward(m):
    return lambda f: lambda x: m.jvp(f, (x,), (1.0,))[1]


def test_fifth_derivative():
    for fun, oracle in (
        (lambda x: gnp.sin(x) * x, lambda x: 5 * math.sin(x) + x * math.cos(x)),
        (lambda x: x**7, lambda x: 2520 * x**2),
        (lambda x: gnp.exp(2 * gnp.sin(gnp.cos(0 * x)) * 0 + x), math.exp),
    ):
        wanted = pytest.approx(oracle(0.7), rel=1e-10)
        assert float(composed(gl.grad, fun, 5)(0.7)) == wanted
        assert float(composed(forward(gl), fun, 5)(0.7)) == wanted


def test_fifth_derivative_of_a_nested_function():
    def nested(np_, x):
        return np_.tanh(np_.sin(x) * np_.exp(-x * x) + 1 / (1 + x))

    wanted = jax.jit(composed(jax.jacfwd, lambda x: nested(jnp, x), 5))(0.7)
    same(composed(gl.grad, lambda x: nested(gnp, x), 5)(0.7), wanted, rtol=1e-8)
    mixed = gl.grad(forward(gl)(gl.grad(gl.jacrev(gl.jacfwd(lambda x: nested(gnp, x))))))
    same(mixed(0.7), wanted, rtol=1e-8)


# Each is d/dx at 1.5 of something with another derivative inside; confusing the two perturbations changes the number.
CONFUSING = {
    "constant inner": (lambda g: g(lambda x: x * g(lambda y: x + y)(1.0)), 1.0),
    "product inner": (lambda g: g(lambda x: x * g(lambda y: x * y)(2.0)), 3.0),
    "power inner": (lambda g: g(lambda x: x * g(lambda y: x * y**2)(x)), 4 * 1.5 * 1.5 + 2 * 1.5 * 1.5),
    "inner argument is outer": (lambda g: g(lambda x: g(lambda y: y**3)(x)), 9.0),
    "inner ignores its own": (lambda g: g(lambda x: x * g(lambda y: x)(1.0)), 0.0),
    "three levels": (
        lambda g: g(lambda x: g(lambda y: g(lambda z: x * y * z * z)(y))(x)),
        8 * 1.5 / 1 * 1.0,
    ),
    "closure kept": (lambda g: g(lambda x: (lambda h: h(2.0) + h(x))(g(lambda y: x * y * y))), 2 * 2.0 + 4 * 1.5),
}


@pytest.mark.parametrize("name", CONFUSING)
@pytest.mark.parametrize("mode", ["reverse", "forward", "jacobian"])
def test_perturbations_are_not_confused(name, mode):
    make, wanted = CONFUSING[name]
    transform = {"reverse": gl.grad, "forward": forward(gl), "jacobian": gl.jacobian}[mode]
    got = float(make(transform)(1.5))
    assert got == pytest.approx(wanted) == pytest.approx(float(make(jax.grad)(1.5)))


def test_grad_through_closures_over_outer_tracers():
    def fun(m, np_, x):
        scale = np_.sin(x)

        def inner(y):
            return np_.sum(y * y * scale) + x[0]

        return np_.sum(m.grad(inner)(x * 2) * m.hessian(inner)(V)[0])

    wanted = jax.jit(jax.value_and_grad(lambda x: fun(jax, jnp, x)))(V)
    same(gl.value_and_grad(lambda x: fun(gl, gnp, x))(V), wanted)
    same(gl.jit(gl.value_and_grad(lambda x: fun(gl, gnp, x)))(V), wanted)


def test_grad_inside_vmap_inside_grad():
    def fun(m, np_, w):
        def row_loss(row, s):
            return np_.sum(np_.tanh(row * w) * s)

        rows = m.vmap(m.grad(row_loss), (0, None))(M, w[0])
        return np_.sum(rows**2)

    wanted = jax.jit(jax.value_and_grad(lambda w: fun(jax, jnp, w)))(V)
    same(gl.value_and_grad(lambda w: fun(gl, gnp, w))(V), wanted)
    same(gl.vmap(gl.grad(lambda w: fun(gl, gnp, w)))(M), jax.jit(jax.vmap(jax.grad(lambda w: fun(jax, jnp, w))))(M))


def test_jvp_of_vjp_of_vmap():
    def fun(m, np_, x):
        y, pull = m.vjp(m.vmap(lambda row: np_.sin(row) * row[0]), x)
        return pull(np_.cos(y))[0]

    wanted = jax.jit(lambda x, t: jax.jvp(lambda x: fun(jax, jnp, x), (x,), (t,)))(M, M * M)
    same(gl.jvp(lambda x: fun(gl, gnp, x), (M,), (M * M,)), wanted)


def test_linearize_inside_grad():
    def fun(m, np_, x):
        y, push = m.linearize(lambda z: np_.sin(z) * x, x)
        return np_.sum(push(x) * push(y))

    same(gl.grad(lambda x: fun(gl, gnp, x))(V), jax.jit(jax.grad(lambda x: fun(jax, jnp, x)))(V))


def test_linear_transpose_inside_grad():
    def fun(m, np_, x):
        return np_.sum(m.linear_transpose(lambda z: z * np_.sin(x), V)(x)[0])

    same(gl.grad(lambda x: fun(gl, gnp, x))(V), jax.jit(jax.grad(lambda x: fun(jax, jnp, x)))(V))


# -- Python's own control flow on concrete inputs


def branches(x):
    if x[0] > 0 and not x[1] > 0:
        return (x**3).sum()
    return (x**2).sum()


def loop(x):
    y = x
    while (y * y).sum() > 0.1:
        y = y * 0.5 * gnp.cos(x[0])
    return (y**2).sum()


def rounds(x):
    total = 0.0
    for k in range(int(x[2]) + 1):
        total = total + x[0] ** k * float(k)
    return total + x[1] * x[1]


def recursive(x):
    return x[0] * x[1] if x[2] < 0.5 else recursive(x * 0.5) * x[2]


def chosen(x):
    return sorted([x[0], x[1] * x[1], x[2]], key=float)[1] ** 2 * [1.0, 2.0, 3.0][int(x[2])]


@pytest.mark.parametrize("fun", [branches, loop, rounds, recursive, chosen], ids=lambda f: f.__name__)
def test_python_control_flow(fun):
    """The derivative is that of the path taken: differences of the function itself, on either side, agree."""
    x = np.array([0.3, -1.2, 2.2])
    steps = [x + s * e for e in np.eye(3) * 1e-6 for s in (1, -1)]
    value, grad = gl.value_and_grad(fun)(x)
    plain = [float(gl.value_and_grad(fun)(y)[0]) for y in steps]
    np.testing.assert_allclose(grad, (np.array(plain[::2]) - plain[1::2]) / 2e-6, rtol=1e-5, atol=1e-8)
    same(gl.jvp(fun, (x,), (x,)), (value, jnp.dot(grad, x)))
    hessian = gl.hessian(fun)(x)
    rows = [np.asarray(gl.grad(fun)(y)) for y in steps]
    np.testing.assert_allclose(hessian, (np.array(rows[::2]) - rows[1::2]) / 2e-6, rtol=1e-4, atol=1e-7)
    same(gl.jacfwd(gl.grad(fun))(x), hessian)
    same(gl.grad(lambda x: gl.grad(fun)(x)[0])(x), hessian[0])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_value_asked_for_has_the_dtype_of_its_tracer(dtype):
    """A literal among the operands is typed like its neighbours, not as Python's number."""
    x = jnp.ones(2, dtype)
    cases = [
        lambda x: gnp.sin(gnp.full((2,), 2, dtype)),
        lambda x: gnp.pad(x, 1, constant_values=0.1),
        lambda x: x.at[0].set(0.1),
        lambda x: gnp.fmod(x, 0.3),
        lambda x: gnp.full((2,), 0.1, dtype),
    ]

    def asking(x):
        for case in cases:
            y = case(x)
            value = y.value("the test")
            assert value.dtype == y.dtype and value.shape == y.shape
        return x.sum()

    gl.grad(asking)(x)


def test_a_constant_made_inside_has_a_value():
    def halved(x):
        error = gnp.array(1.0)
        while error > 1e-3:
            x = x * 0.5
            error = gnp.abs(x)
        return x

    assert gl.grad(halved)(1.0) == 2.0**-10
    assert gl.grad(lambda x: x * float(gnp.array(3.0)))(1.0) == 3.0


@pytest.mark.parametrize("wrap", ["checkpoint", "custom_jvp"])
def test_a_value_behind_a_call_that_carries_a_program(wrap):
    inner = getattr(gl, wrap)(lambda x: gnp.sin(x))
    if wrap == "custom_jvp":
        inner.defjvps(lambda t, out, x: gnp.cos(x) * t)

    def folded(x):
        y = inner(x)
        return y if y > 0 else -y

    same(gl.grad(folded)(1.0), np.cos(1.0))
    same(gl.grad(folded)(-1.0), -np.cos(1.0))


def test_a_copy_of_a_tracer_is_the_tracer():
    assert gl.grad(lambda x: copy.deepcopy({"x": x})["x"] * copy.copy(x))(3.0) == 6.0


def test_a_value_is_asked_of_nothing_it_does_not_need():
    def of_one(x):
        return gl.grad(lambda w: x * w * w if w > 0 else x)(2.0)

    same(gl.vmap(of_one)(V), 4.0 * V)


def test_the_inner_derivative_itself_decides():
    def newton(a):
        x = a
        while abs(x * x - a) > 1e-12:
            x = x - (x * x - a) / gl.grad(lambda x: x * x)(x)
        return x

    assert float(gl.grad(newton)(2.0)) == pytest.approx(0.5 / math.sqrt(2.0))


# -- how long they get

LENGTHS = {
    "sin(x)·x": lambda np_, x: np_.sin(x) * x,
    "x²·exp(x)+x": lambda np_, x: x * x * np_.exp(x) + x,
    "tanh(x²)": lambda np_, x: np_.tanh(x * x),
    "sin(x²)·exp(x)": lambda np_, x: np_.sin(x * x) * np_.exp(x),
    "sin(cos(x)·x)/x": lambda np_, x: np_.sin(np_.cos(x) * x) / x,
}
# Measured on a function of about this length: JAX's sin(x²)·exp(x) has 13 equations at order 1.
PEERS = {"reverse": (12, 40, 112, 295, 762), "forward": (12, 27, 49, 80, 122)}
MODES = {"reverse": lambda m: m.grad, "forward": forward}


def lengths(name, mode):
    fun = LENGTHS[name]
    return [len(gl.stage(composed(MODES[mode](gl), lambda x: fun(gnp, x), n))(0.7).eqns) for n in range(1, 6)]


@pytest.mark.parametrize("name", LENGTHS)
@pytest.mark.parametrize("mode", MODES)
def test_nested_derivatives_stay_short(name, mode):
    """Equations at orders 1…5: at most JAX's for the same function, and growing no faster."""
    fun, made = LENGTHS[name], MODES[mode](jax)
    theirs = [len(jax.make_jaxpr(composed(made, lambda x: fun(jnp, x), n))(0.7).eqns) for n in range(1, 6)]
    ours = lengths(name, mode)
    assert all(a <= b for a, b in zip(ours, theirs, strict=True)), (ours, theirs)
    assert ours[4] / ours[0] <= theirs[4] / theirs[0], (ours, theirs)


@pytest.mark.parametrize("mode", MODES)
def test_the_counts_to_stay_under(mode):
    ours = lengths("sin(x²)·exp(x)", mode)
    assert all(n <= limit for n, limit in zip(ours, PEERS[mode], strict=True)), ours
