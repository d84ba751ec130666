"""The larger half of gradlab.numpy.special: values, dtypes and gradients are jax.scipy.special's."""

from __future__ import annotations

import jax
import jax.scipy.special as jsp
import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.ir.errors import ArgumentError, DTypeError

from .compare import Call, compare

X = np.array([0.7, 1.3, 2.1])
P = np.array([0.2, 0.5, 0.9])
K = np.array([2, 0, 3])
NEWER = hasattr(jsp, "dawsn")


def special(module):
    return gnp.special if module is gnp else jsp


def call(fn, *args):
    return Call(f"line {fn.__code__.co_firstlineno}", lambda m, *xs: fn(special(m), *xs), args, weak=False)


def named(names, *args):
    return [Call(n, lambda m, *xs, n=n: getattr(special(m), n)(*xs), args, weak=False) for n in names.split()]


# The derivatives of what is one primitive are in tests/ops; XLA takes a second for each of these.
VALUES = [
    *named("expi exp1 spence ndtri", P),
    *named("expi", K + 1),
    *named("expn", K, X),
    *named("poch", X, P),
    call(lambda s, x, k: s.hyp1f1(1.5, k + 2.5, x), X, K),
    call(lambda s, k, x, y: s.sph_harm_y(k, k - 1 + (k < 1), x, y, n_max=3), K, X, P),
]
CALLS = [
    *named("loggamma factorial sici fresnel", P),
    *named("loggamma factorial fresnel", K + 1),
    call(lambda s, z: s.bessel_jn(z, v=1, n_iter=30), X[:, None]),
    call(lambda s, x: [s.bernoulli(6), x], X),
]
if NEWER:
    VALUES += [*named("dawsn erfcx", X - 1), *named("wofz", X + 0.3j), *named("wofz", K)]
    CALLS += [
        *named("owens_t", X, P),
        *named("comb", X + 3, X),
        *named("comb", K + 2, K),
        call(lambda s, x: s.comb(x + 2, 1.5, repetition=True), X),
        *named("boxcox boxcox1p", X, P),
    ]
if hasattr(jsp, "erfcinv"):
    VALUES += named("erfcinv", P)


def test_values_as_in_jax():
    compare([c._replace(grad=False) for c in VALUES], atol=1e-11)


def test_gradients_as_in_jax():
    compare(CALLS, atol=1e-11)


def test_incomplete_functions_in_their_parameter():
    values = gl.grad(lambda a: gnp.special.gammainc(a, X).sum())(P)
    np.testing.assert_allclose(values, jax.grad(lambda a: jsp.gammainc(a, X).sum())(P), rtol=1e-10)


@pytest.mark.skipif(not NEWER, reason="this version of JAX has no boxcox")
def test_boxcox_has_a_derivative_in_its_power_at_zero():
    """(x^λ - 1)/λ = log x + λ log²x/2 + λ² log³x/6 + ..., where a selection of the limit has the slope 0."""
    log = np.log(1.7)
    slope = gl.grad(gnp.special.boxcox, argnums=1)
    np.testing.assert_allclose(slope(1.7, 0.0), log**2 / 2, rtol=1e-14)
    bend = gl.grad(slope, argnums=1)
    np.testing.assert_allclose(bend(1.7, 1e-9), log**3 / 3, rtol=1e-7)
    assert gnp.special.boxcox(0.0, 0.0) == -np.inf


def test_harmonics_of_scalars_and_of_degrees_with_a_value():
    def f(theta):
        return gnp.real(gnp.special.sph_harm_y(np.array(2), np.array(1), theta, 0.0))

    # Y = -√(15/8π) sin θ cos θ
    np.testing.assert_allclose(gl.grad(f)(0.4), -np.sqrt(15 / (8 * np.pi)) * np.cos(0.8), rtol=1e-6)


REFUSALS = {
    "exact": (ArgumentError, "math.factorial", lambda x: gnp.special.factorial(x, exact=True)),
    "dtype": (DTypeError, "float32 or float64", lambda x: gnp.special.ndtri(x.astype(np.float16))),
    "degree": (DTypeError, "integers n and m", lambda x: gnp.special.sph_harm_y(x, x, x, x, n_max=2)),
    "diff_n": (ArgumentError, "gradlab.jacfwd", lambda x: gnp.special.sph_harm_y(K, K, x, x, 1, 2)),
    "orders": (ArgumentError, "larger n_iter", lambda x: gnp.special.bessel_jn(x, v=60)),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name):
    error, match, fn = REFUSALS[name]
    with pytest.raises(error, match=match):
        gl.grad(lambda x: gnp.sum(fn(x)))(X)
