"""Numerical differentiation: known slopes, honest error estimates, and the lies the documentation admits."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from gradlab.ir.errors import ArgumentError, DTypeError, NonScalarError, StructureError

METHODS = ("forward", "central", "complex-step", "richardson")
DIGITS = {"forward": 1e-3, "central": 1e-7, "complex-step": 1e-14, "richardson": 1e-10}


def polynomial(x, y):
    return x * x * y + y + 2


def test_the_textbook():
    """Forward differences with the default step: 24.0004 and 10.0000, as books print them."""
    found = gl.numeric.gradients(polynomial, [3, 4])
    assert isinstance(found, list) and all(type(g) is float for g in found)
    np.testing.assert_allclose(found, [24.0004, 10.0], rtol=1e-9)


SMOOTH = {
    "polynomial": (polynomial, (3.0, 4.0)),
    "one array": (lambda x: np.sin(x).sum() ** 2, (np.array([1.0, 2.0, -3.0]),)),
    "tree": (lambda p, x: np.exp(p["w"] * x).sum() + p["b"] ** 3, ({"w": np.array([0.3, -0.2]), "b": 1.5}, 0.7)),
    "jax arrays": (lambda x: jnp.tanh(x).prod(), (jnp.array([[0.3, 0.4], [0.5, 2.0]]),)),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SMOOTH)
def test_smooth(name, method):
    """Right to the method's digits, and within its own estimate of the error."""
    f, args = SMOOTH[name]

    def traced(*args):
        return f(*jax.tree_util.tree_map(gl.numpy.asarray, args))

    wanted = gl.grad(traced, argnums=tuple(range(len(args))))(*args)
    value, error = gl.numeric.gradients(f, args, method=method, with_error=True)
    assert jax.tree_util.tree_structure(value) == jax.tree_util.tree_structure(args)
    leaves = (jax.tree_util.tree_leaves(tree) for tree in (value, error, wanted))
    for got, off, want in zip(*leaves, strict=True):
        assert np.shape(got) == np.shape(want)
        np.testing.assert_allclose(got, want, rtol=DIGITS[method], atol=DIGITS[method])
        assert np.all(np.abs(got - want) <= 1.5 * np.asarray(off) + 1e-15)


def test_the_error_is_small_where_the_method_is_good():
    _, (error,) = gl.numeric.gradients(np.sin, [0.7], method="richardson", with_error=True)
    assert error < 1e-11
    _, (error,) = gl.numeric.gradients(np.sin, [0.7], method="complex-step", with_error=True)
    assert error < 1e-14


def test_the_complex_step_lies_about_abs_and_its_error_says_so():
    (value,), (error,) = gl.numeric.gradients(abs, [0.3], method="complex-step", with_error=True)
    assert value == 0 and abs(error - 1) < 1e-6


def test_central_differences_at_a_kink_are_the_mean_of_two_slopes():
    assert gl.numeric.gradients(lambda x: max(x, 0.0), [0.0], method="central") == [0.5]


@pytest.mark.parametrize("method", ["forward", "central", "richardson"])
def test_a_complex_argument_has_the_gradient_of_grad(method):
    (got,) = gl.numeric.gradients(lambda z: abs(z) ** 2, [1 + 2j], method=method)
    np.testing.assert_allclose(got, 2 - 4j, rtol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_float32_is_within_its_error(method):
    x = jnp.array([0.3, 1.7], jnp.float32)
    (value,), (error,) = gl.numeric.gradients(lambda x: jnp.exp(x).sum(), (x,), 1e-2, method, with_error=True)
    assert np.all(np.abs(value - np.exp(x)) <= 1.5 * error + 1e-6)


@pytest.mark.parametrize(
    ("error", "match", "call"),
    [
        (ArgumentError, "central", lambda: gl.numeric.gradients(abs, [1.0], method="backward")),
        (ArgumentError, "positive", lambda: gl.numeric.gradients(abs, [1.0], eps=0)),
        (StructureError, "list or tuple", lambda: gl.numeric.gradients(abs, 1.0)),
        (NonScalarError, "Sum it", lambda: gl.numeric.gradients(np.sin, [np.ones(2)])),
        (DTypeError, "astype", lambda: gl.numeric.gradients(np.sum, [np.ones(2, int)])),
        (DTypeError, "real arguments", lambda: gl.numeric.gradients(abs, [1j], method="complex-step")),
        (DTypeError, "real or abs", lambda: gl.numeric.gradients(lambda x: 1j * x, [1.0])),
    ],
)
def test_errors(error, match, call):
    with pytest.raises(error, match=match):
        call()
