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
    "regularized_incomplete_beta": (s.regularized_incomplete_beta, 3, 1),
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
