"""Functions whose derivative is finite where their formula's is not: away from those points, at them, and near them."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy import special

from gradlab.ops import guarded as g
from tests.support import Case, assert_close, derivative

X = np.array([[0.7, -1.3, 2.1], [-0.4, 0.9, -2.6]])
Y = np.array([[1.9, 0.8, -0.6], [1.2, -2.3, 0.5]])
POSITIVE = np.array([0.3, 1.7, 4.0])
NEAR_ZERO = np.array([1e-3, -2e-2, 5e-2])


def case(fn, *args, reference, **options):
    return Case(fn, args, reference, elementwise=True, **options)


CASES = {
    "hypot": case(g.hypot, X, Y, reference=jnp.hypot),
    "logaddexp": case(g.logaddexp, X, Y, reference=jnp.logaddexp),
    "sinc": case(g.sinc, X, reference=jnp.sinc),
    "sinc.near_zero": case(g.sinc, NEAR_ZERO, reference=jnp.sinc, rtol=1e-5),
    "xlogy": case(g.xlogy, X, abs(Y), reference=special.xlogy),
    "xlog1py": case(g.xlog1py, X, abs(Y), reference=special.xlog1py),
    "exp_integral": case(g.exp_integral, X, Y, reference=lambda x, rate: jnp.expm1(rate * x) / rate),
    "exp_integral.near_zero": case(
        g.exp_integral, NEAR_ZERO, NEAR_ZERO, reference=lambda x, rate: jnp.expm1(rate * x) / rate, widths=()
    ),
    "root": case(g.root, POSITIVE, reference=jnp.sqrt),
}


@pytest.mark.parametrize("name", CASES)
def test_primitive(name):
    CASES[name].check()


CORNERS = {
    "hypot at the origin": (g.hypot, (0.0, 0.0), (0.0, 0.0)),
    "hypot of huge numbers": (g.hypot, (3e200, 4e200), (0.6, 0.8)),
    "logaddexp of one infinity": (g.logaddexp, (np.inf, 1.0), (1.0, 0.0)),
    "logaddexp of nothing": (g.logaddexp, (-np.inf, 1.0), (0.0, 1.0)),
    "logaddexp of huge numbers": (g.logaddexp, (1e4, 1e4), (0.5, 0.5)),
    "sinc at 0": (g.sinc, (0.0,), (0.0,)),
    "xlogy where x is 0": (g.xlogy, (0.0, 2.0), (np.log(2.0), 0.0)),
    "xlogy at the origin": (g.xlogy, (0.0, 0.0), (-np.inf, 0.0)),
    "xlog1py at the corner": (g.xlog1py, (0.0, -1.0), (-np.inf, 0.0)),
    "exp_integral without growth": (g.exp_integral, (3.0, 0.0), (1.0, 4.5)),
    "exp_integral of decay to infinity": (g.exp_integral, (-np.inf, 2.0), (0.0, 0.25)),
    "root at 0": (g.root, (0.0,), (0.0,)),
}


@pytest.mark.parametrize("name", CORNERS)
def test_corner(name):
    fn, at, wanted = CORNERS[name]
    for got, want in zip(derivative(fn, at), wanted, strict=True):
        assert_close(got, want, 1e-14, name)
