"""Mantissas, exponents, neighbours; common divisors."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from gradlab.ops import floats as f
from tests.support import Case, derivative

X = np.array([[0.7, -1.3, 2.1], [-0.45, 9.2, -2.6]])
SHIFTS = np.array([[3, -1, 0], [2, 40, -7]])
I, J = np.array([[12, -18, 0], [7, 5, 100]]), np.array([[8, 12, 5], [0, 10, -75]])  # noqa: E741

CASES = {
    "ldexp": Case(f.ldexp, (X, SHIFTS), jnp.ldexp, widths=("float32",)),
    "mantissa": Case(f.mantissa, (X,), lambda x: jnp.frexp(x)[0], elementwise=True, widths=("float32", "float16")),
    "exponent": Case(f.exponent, (X,), lambda x: jnp.frexp(x)[1], elementwise=True),
    "spacing": Case(f.spacing, (X,), jnp.spacing, order=0, elementwise=True, widths=("float32",)),
    "gcd": Case(f.gcd, (I, J), jnp.gcd, elementwise=True),
}


@pytest.mark.parametrize("name", CASES)
def test_primitive(name):
    CASES[name].check()


def test_a_mantissa_at_zero():
    assert derivative(f.mantissa, (0.0,)) == [1.0]
