"""Even powers of absolute values: smooth at 0, to the second derivative."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp

X = np.array([-1.5, 0.0, 2.0])
Z = np.array([1 - 2j, 0.0, 0.5j])


@pytest.mark.parametrize("power", [2, 4])
@pytest.mark.parametrize(
    ("by", "x"), [(abs, X), (lambda x: abs(x[0] + 1j * x[1]), np.array([0.0, 0.0])), (abs, np.float64(0.0))]
)
def test_smooth_at_zero(by, x, power):
    def f(x):
        return (by(x) ** power).sum()

    def smooth(x):
        return (((x * x) if by is abs else (x * x).sum()) ** (power // 2)).sum()

    np.testing.assert_allclose(gl.hessian(f)(x), jax.hessian(smooth)(x), rtol=1e-14, atol=0)
    np.testing.assert_allclose(gl.grad(f)(x), jax.grad(smooth)(x), rtol=1e-14, atol=0)


def test_of_complex_numbers():
    got = gl.grad(lambda z: gnp.sum(gnp.abs(z) ** 2))(Z)
    np.testing.assert_allclose(got, 2 * np.conj(Z), rtol=1e-14)
    np.testing.assert_allclose(gl.grad(lambda z: (abs(z) * abs(z)).sum())(Z), 2 * np.conj(Z), rtol=1e-14)


def test_odd_powers_and_inverses_keep_their_size():
    np.testing.assert_array_equal(gl.jit(lambda x: abs(x) ** 3)(X), np.abs(X) ** 3)
    np.testing.assert_array_equal(gl.jit(lambda x: abs(x) ** -2)(X[::2]), np.abs(X[::2]) ** -2)


def test_the_implicit_derivative_of_a_squared_distance():
    slope = jax.grad(lambda a: gl.optim.minimize(lambda x, a: abs(x - a) ** 2, 0.0, args=(a,)).x)(1.0)
    assert abs(slope - 1) < 1e-12
