"""Special functions, at moderate and at extreme points."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.scipy import special

from gradlab.ir.errors import MissingRuleError
from gradlab.ops import special as s
from gradlab.transforms.jvp import jvp_graph
from tests.support import Case, derivative, stage

X = np.array([[0.7, -1.3, 2.1], [-0.4, 0.9, -2.6]])
POSITIVE = np.array([0.3, 1.7, 4.0, 6.5])
ORDERS = np.array([1.0, 2.0, 1.0, 3.0])
A = np.array([0.5, 2.0, 3.3, 7.0])
B = np.array([1.5, 0.7, 2.0, 4.0])
INSIDE = np.array([0.7, 0.3, 0.1, 0.85])


def case(fn, *args, reference, **options):
    return Case(fn, args, reference, **{"elementwise": True, **options})


SINGLE = {"widths": ("float32",)}  # these iterate until convergence, which a narrower type may never reach
LARGE = {
    **SINGLE,
    "elementwise": False,
    "batch": [(0, 1)],
}  # XLA takes a second for each copy; igamma stands for them all
CASES = {
    "erf": case(s.erf, X, reference=lax.erf),
    "erfc": case(s.erfc, X, reference=lax.erfc),
    "erf_inv": case(s.erf_inv, INSIDE, reference=lax.erf_inv),
    "log_ndtr": case(s.log_ndtr, 3 * X, reference=special.log_ndtr, widths=("float32",)),  # no half precision
    "lgamma": case(s.lgamma, POSITIVE, reference=lax.lgamma),
    "lgamma.negative": case(s.lgamma, X, reference=lax.lgamma),
    "digamma": case(s.digamma, POSITIVE, reference=lax.digamma),
    "polygamma": case(s.polygamma, ORDERS, POSITIVE, reference=lax.polygamma, active=(False, True), **SINGLE),
    "zeta": case(s.zeta, POSITIVE + 2, A, reference=lax.zeta, active=(False, True), **SINGLE),
    "igamma": case(s.igamma, A, POSITIVE, reference=lax.igamma, order=1, batch=[(0, None)], **SINGLE),
    "igammac": case(s.igammac, A, POSITIVE, reference=lax.igammac, active=(False, True), **LARGE),
    "igamma_grad_a": case(
        s.igamma_grad_a, A, POSITIVE, reference=lax.igamma_grad_a, active=(False, True), order=1, **LARGE
    ),
    "random_gamma_grad": case(
        s.random_gamma_grad, A, POSITIVE, reference=lax.random_gamma_grad, active=(False, True), order=1, **LARGE
    ),
    "regularized_incomplete_beta": case(
        s.regularized_incomplete_beta,
        A,
        B,
        INSIDE,
        reference=lax.betainc,
        active=(False, False, True),
        **LARGE | {"batch": [(0, None, 1)]},
    ),
    "regularized_incomplete_beta.parameters": case(
        s.regularized_incomplete_beta, A, B, INSIDE, reference=lax.betainc, elementwise=False, batch=False, **SINGLE
    ),
    "betaln": case(s.betaln, A, B, reference=special.betaln),
    "bessel_i0e": case(s.bessel_i0e, X, reference=lax.bessel_i0e),
    "bessel_i1e": case(s.bessel_i1e, X, reference=lax.bessel_i1e),
    "bessel_i0": case(s.bessel_i0, X, reference=special.i0),
    "bessel_i1": case(s.bessel_i1, X, reference=special.i1),
}


@pytest.mark.parametrize("name", CASES)
def test_primitive(name):
    CASES[name].check()


REFUSED = {
    "polygamma": (s.polygamma, 2, 0),
    "zeta": (s.zeta, 2, 0),
    "igamma_grad_a": (s.igamma_grad_a, 2, 0),
    "random_gamma_grad": (s.random_gamma_grad, 2, 0),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_derivative_says_so_and_what_to_do(name):
    fn, n, operand = REFUSED[name]
    graph = stage(fn, (A,) * n)
    with pytest.raises(MissingRuleError, match=f"(?s){name} has no derivative.*stop_gradient.*at "):
        jvp_graph(graph, [i == operand for i in range(n)])


def test_i1e_has_slope_one_half_at_zero():
    assert derivative(s.bessel_i1e, (0.0,)) == derivative(s.bessel_i1, (0.0,)) == [0.5]
    assert derivative(s.bessel_i1e, (np.float32(1e-30),))[0] == jnp.float32(0.5)


# By mpmath, 40 digits: the parameters, x, and the derivatives in a and in b.
BETAINC = [
    (30.0, 50.0, 0.4, -0.05051265428408331, 0.0318758582335134),
    (300.0, 500.0, 0.3, -6.984178896492925e-07, 3.546417090246209e-07),
    (0.01, 3.0, 0.2, -0.4931145372516753, 0.002233338596573355),
    (0.01, 0.02, 0.9, -21.28184341732838, 11.333866947029419),
    (5.0, 0.001, 0.99, -0.00021094047197789992, 2.556324368731799),
    (1000.0, 2.0, 0.999, -0.00036806336551001344, 0.2761675051482458),
    (1e4, 1e4, 0.501, -0.0027076864549408, 0.002713107207041238),
    (0.001, 1000.0, 1e-5, -4.023756886971625, 9.86566263369962e-07),
    (3.0, 1.0, 0.0001, -9.210340371976185e-12, 1.833258330333167e-12),
    (2.0, 3.0, 0.0, 0.0, 0.0),
    (2.0, 3.0, 1.0, 0.0, 0.0),
]


def test_incomplete_beta_in_its_parameters():
    a, b, x, by_a, by_b = np.array(BETAINC).T
    found = derivative(s.regularized_incomplete_beta, (a, b, x))
    np.testing.assert_allclose(found[0], by_a, rtol=1e-10)
    np.testing.assert_allclose(found[1], by_b, rtol=1e-10)
