"""`check_grads`: silent on what is right, and on planted faults it names argument, index, numbers and line."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.ir.errors import ArgumentError, DerivativeError, StructureError

RNG = np.random.default_rng(0)
KINKS = (0.5 + 0.02 * np.random.default_rng(0).standard_normal(40)).astype(np.float32)
W, X = RNG.normal(size=(3, 4)), RNG.normal(size=(4,))


def network(p, x):
    return gnp.log1p(gnp.tanh(p["w"] @ x + p["b"]) ** 2).sum()


def recurrence(w, xs):
    def step(h, x):
        h = gnp.tanh(w * h + x)
        return h, h

    return gl.scan(step, gnp.zeros(4), xs)[1].sum()


@gl.custom_jvp
def right_rule(x):
    return gnp.log(1 + gnp.exp(x))


@right_rule.defjvp
def right_rule_jvp(primals, tangents):
    return right_rule(*primals), tangents[0] / (1 + gnp.exp(-primals[0]))


RIGHT = {
    "polynomial": (lambda x, y: x * x * y + y + 2, (3.0, 4.0), 3),
    "network": (network, ({"w": W, "b": np.zeros(3)}, X), 2),
    "scan": (recurrence, (0.7, RNG.normal(size=(5, 4))), 1),
    "custom rule": (lambda x: right_rule(x) ** 2, (X,), 2),
    "complex": (lambda z: abs(z) ** 2, (1 + 2j,), 2),
    "jax.numpy": (lambda x: jnp.sum(jnp.sin(x) * x), (X,), 1),
    "several results": (lambda x: {"a": x[0] * x[1], "n": gnp.argmax(x), "b": (gnp.exp(x),)}, (X,), 2),
    "float32": (lambda x: gnp.linalg.norm(x) ** 3, (X.astype(np.float32),), 2),
    "the edge of a domain": (gnp.arccos, (np.array([0.999999, -0.5, 0.0]),), 1),
    "float16": (lambda x: gnp.tanh(x).sum(), (np.linspace(0.2, 1, 3).astype(np.float16),), 1),
    "bfloat16": (lambda x: gnp.tanh(x).sum(), (jnp.linspace(0.2, 1, 3).astype(jnp.bfloat16),), 1),
    "scales": (lambda x: gnp.log(x).sum(), (np.array([1e-8, 1.0, 1e5]),), 2),
    "an integer beside": (lambda x, n: x**n, (X, 3), 1),
    "faster than its steps": (lambda x: gnp.sin(1e6 * x), (0.7,), 1),
    "faster than its steps, float32": (lambda x: gnp.sin(3000 * x).sum(), (X.astype(np.float32),), 2),
    "faster than float32 tells": (lambda x: gnp.sin(1e7 * x), (np.float32(0.7),), 1),
    "fast ripples": (lambda x: x**2 + gnp.sin(1e9 * x) / 1e9, (0.7,), 1),
    "kinks close by": (lambda x: gnp.abs(x - KINKS).mean() + 0.5 * x, (np.float32(0.5),), 1),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right(name):
    f, args, order = RIGHT[name]
    gl.check_grads(f, args, order=order)


def test_one_mode():
    gl.check_grads(network, ({"w": W, "b": np.zeros(3)}, X), order=1, modes=("fwd",))
    gl.check_grads(network, ({"w": W, "b": np.zeros(3)}, X), order=1, modes=("rev",))


# -- planted faults


@gl.custom_jvp
def wrong_jvp(x):
    return gnp.sin(x)


@wrong_jvp.defjvp
def wrong_jvp_rule(primals, tangents):
    return wrong_jvp(*primals), gnp.cos(primals[0]) * tangents[0] * 1.00001


@gl.custom_vjp
def wrong_vjp(x):
    return x * x


def wrong_vjp_fwd(x):
    return x * x, x


def wrong_vjp_bwd(x, ct):
    return (3 * x * ct,)


wrong_vjp.defvjp(wrong_vjp_fwd, wrong_vjp_bwd)


@gl.custom_vjp
def inconsistent(x):
    return x**3


inconsistent.defvjp(lambda x: (x**3, x), lambda x, ct: (2 * x**2 * ct,))
inconsistent.defjvp(lambda p, t: (inconsistent(*p), 3 * p[0] ** 2 * t[0]))


@gl.custom_vjp
def forgets_its_second_derivative(x):
    return x**3


forgets_its_second_derivative.defvjp(lambda x: (x**3, x), lambda x, ct: (3 * gl.stop_gradient(x) ** 2 * ct,))


def one_wrong_number(x):
    y = gnp.exp(x)
    z = y.at[2].set(wrong_jvp(y[2]))  # planted
    return (z * z).sum()


def rounded(x):
    y = x * 3
    z = gl.stop_gradient(y)  # planted
    return (y * z).sum()


def deep(p):
    h = gnp.tanh(p["w"] @ X)
    h = wrong_vjp(h)  # planted
    return (h + p["b"]).sum()


def twice(x):
    return forgets_its_second_derivative(x).sum()  # planted


def both_ways(x):
    return (2 * inconsistent(x)).sum()  # planted


def kink(x):
    return gnp.maximum(x, 0.0).sum()  # planted


def cast(x):
    n = gnp.floor(x * 1e12) / 1e12  # planted
    return (x * n).sum()


def in_a_loop(x):
    def step(h, r):
        h = wrong_jvp(h) + r
        return h, h

    return gl.scan(step, 0.3, x)[1].sum()  # planted


def in_a_branch(x):
    return gl.cond(x.sum() > -99, lambda y: wrong_jvp(y).sum(), lambda y: y.sum(), x)  # planted


@gl.custom_vjp
def forgets_an_argument(a, b):
    return a * b


forgets_an_argument.defvjp(lambda a, b: (a * b, b), lambda b, ct: (ct * b, None))


def forgotten(a, b):
    c = gnp.tanh(a)
    return forgets_an_argument(c, b).sum()  # planted


@jax.custom_vjp
def wrong_in_jax(x):
    return jnp.sin(x)


wrong_in_jax.defvjp(lambda x: (jnp.sin(x), x), lambda x, ct: (ct * jnp.sin(x),))


def written_in_jax(x):
    y = jnp.exp(x)
    return wrong_in_jax(y).sum()  # planted


FAULTS = {
    "in a loop": (in_a_loop, (X,), {}, [r"x\[0\]", "scan"]),
    "in a branch": (in_a_branch, (X,), {}, [r"x\[0\]", "cond"]),
    "a forgotten argument": (forgotten, (X, X), {}, [r"b\[0\]", "forgets_an_argument"]),
    "a rule of JAX's": (written_in_jax, (X,), {}, [r"x\[0\]", "custom_vjp"]),
    "one number of a vector": (one_wrong_number, (X,), {}, [r"x\[2\]", "wrong_jvp_rule"]),
    "stop_gradient": (rounded, (X,), {}, [r"x\[0\]", "stop_gradient"]),
    "a vjp rule": (deep, ({"b": np.zeros(3), "w": W},), {}, [r"p\['w'\]\[0, 0\]", "wrong_vjp_bwd"]),
    "a vjp rule, reverse only": (deep, ({"b": np.zeros(3), "w": W},), {"modes": ("rev",)}, ["wrong_vjp_bwd"]),
    "jvp and vjp differ": (both_ways, (X,), {}, ["not the transpose", "inconsistent"]),
    "the second derivative": (twice, (X,), {}, ["the jvp of the jvp|the vjp", "stop_gradient|pow|mul"]),
    "a kink": (kink, (np.array([1.0, 0.0]),), {}, [r"x\[1\] = 0.0", "kink"]),
    "a rounding": (cast, (X,), {}, ["floor"]),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named(name):
    f, args, options, wanted = FAULTS[name]
    with pytest.raises(AssertionError) as caught:
        gl.check_grads(f, args, **options)
    text = str(caught.value)
    for pattern in wanted:
        assert re.search(pattern, text), text
    if name != "the second derivative":
        assert "planted" in text.splitlines()[-1], text


def test_both_numbers_are_there():
    with pytest.raises(DerivativeError, match=r"(?s)derivative:\s+5\.0.*differences:\s+10\.0") as caught:
        gl.check_grads(lambda x: (gl.stop_gradient(x) * x).sum(), (np.array([5.0]),))
    assert "float64" not in str(caught.value).splitlines()[0]


def test_a_value_that_is_not_finite():
    with pytest.raises(DerivativeError, match="not finite"):
        gl.check_grads(gnp.log, (np.array([1.0, 0.0]),))


def test_arguments():
    with pytest.raises(ArgumentError, match="order"):
        gl.check_grads(gnp.sin, (1.0,), order=0)
    with pytest.raises(ArgumentError, match="modes"):
        gl.check_grads(gnp.sin, (1.0,), modes=("forward",))
    with pytest.raises(StructureError, match="list or tuple"):
        gl.check_grads(gnp.sin, 1.0)
    with pytest.raises(StructureError, match="no real or complex number"):
        gl.check_grads(gnp.sin, (1,))


def test_a_jitted_function_and_keys():
    def f(key, x):
        return (x * jax.random.normal(key, x.shape)).sum()

    gl.check_grads(f, (jax.random.key(0), X), order=1)


@jax.custom_jvp
def waves_in_jax(x):
    return jnp.sin(1e6 * x)


waves_in_jax.defjvp(lambda p, t: (waves_in_jax(*p), 1e6 * jnp.cos(1e6 * p[0]) * t[0]))


def test_what_differences_cannot_decide_is_no_fault():
    with pytest.raises(DerivativeError, match="cannot be decided in float64 at these arguments"):
        gl.check_grads(lambda x: gnp.sin(1e18 * x), (0.7,), order=1)
    with pytest.raises(
        DerivativeError, match="(?s)cannot be decided in float32.*or check in double precision.*float64"
    ):
        gl.check_grads(lambda x: waves_in_jax(x), (np.float32(0.7),), order=1)
    gl.check_grads(lambda x: waves_in_jax(x), (0.7,), order=1)
    with pytest.raises(DerivativeError, match=r"check: the result = nan\. Choose a point inside"):
        gl.check_grads(lambda x: gnp.log(x), (-1.0,))


def test_a_fault_faster_than_the_steps_is_found():
    with pytest.raises(DerivativeError, match="(?s)not the slope.*wrong_jvp_rule"):
        gl.check_grads(lambda x: wrong_jvp(1e6 * x), (0.7,), order=1)
