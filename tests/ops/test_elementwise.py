"""Trigonometry, hyperbolas, bits."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from gradlab.ops import elementwise as e
from tests.support import Case

X = np.array([[0.7, -1.3, 2.1], [-0.4, 0.9, -2.6]])
Y = np.array([[1.9, 0.8, -0.6], [1.2, -2.3, 0.5]])
INSIDE = np.array([[0.7, -0.3, 0.1], [-0.9, 0.05, -0.6]])
ABOVE = np.array([[1.2, 3.0, 1.7], [8.0, 2.0, 40.0]])
Z = X / 2 + 1j * Y[::-1]
INTS = np.array([[7, -7, 2], [0, 5, -9]])
SHIFTS = np.array([[1, 2, 3], [0, 5, 2]])
BYTES = np.array([[7, 200, 2], [0, 5, 9]], np.uint8)
TRUTHS = np.array([[True, False, True], [False, False, True]])


def case(fn, *args, reference, **options):
    return Case(fn, args, reference, elementwise=True, **options)


CASES = {
    "sin": case(e.sin, X, reference=jnp.sin),
    "sin.complex": case(e.sin, Z, reference=jnp.sin),
    "cos": case(e.cos, X, reference=jnp.cos),
    "cos.complex": case(e.cos, Z, reference=jnp.cos),
    "tan": case(e.tan, X, reference=jnp.tan),
    "tan.complex": case(e.tan, Z, reference=jnp.tan),
    "asin": case(e.asin, INSIDE, reference=jnp.asin),
    "asin.complex": case(e.asin, Z, reference=jnp.asin),
    "acos": case(e.acos, INSIDE, reference=jnp.acos),
    "acos.complex": case(e.acos, Z, reference=jnp.acos),
    "atan": case(e.atan, X, reference=jnp.atan),
    "atan.complex": case(e.atan, Z, reference=jnp.atan),
    "atan2": case(e.atan2, X, Y, reference=jnp.atan2),
    "sinh": case(e.sinh, X, reference=jnp.sinh),
    "sinh.complex": case(e.sinh, Z, reference=jnp.sinh),
    "cosh": case(e.cosh, X, reference=jnp.cosh),
    "cosh.complex": case(e.cosh, Z, reference=jnp.cosh),
    "tanh": case(e.tanh, X, reference=jnp.tanh),
    "tanh.complex": case(e.tanh, Z, reference=jnp.tanh),
    "asinh": case(e.asinh, X, reference=jnp.asinh),
    "asinh.complex": case(e.asinh, Z, reference=jnp.asinh),
    "acosh": case(e.acosh, ABOVE, reference=jnp.acosh),
    "acosh.complex": case(e.acosh, Z, reference=jnp.acosh),
    "atanh": case(e.atanh, INSIDE, reference=jnp.atanh),
    "atanh.complex": case(e.atanh, Z, reference=jnp.atanh),
    "bitwise_and": case(e.bitwise_and, INTS, SHIFTS, reference=jnp.bitwise_and),
    "bitwise_and.bool": case(e.bitwise_and, TRUTHS, TRUTHS[::-1], reference=jnp.bitwise_and),
    "bitwise_or": case(e.bitwise_or, INTS, SHIFTS, reference=jnp.bitwise_or),
    "bitwise_or.bool": case(e.bitwise_or, TRUTHS, TRUTHS[::-1], reference=jnp.bitwise_or),
    "bitwise_xor": case(e.bitwise_xor, INTS, SHIFTS, reference=jnp.bitwise_xor),
    "bitwise_not": case(e.bitwise_not, BYTES, reference=jnp.bitwise_not),
    "bitwise_not.bool": case(e.bitwise_not, TRUTHS, reference=jnp.bitwise_not),
    "shift_left": case(e.shift_left, INTS, SHIFTS, reference=jnp.left_shift),
    "shift_right_arithmetic": case(e.shift_right_arithmetic, INTS, SHIFTS, reference=jnp.right_shift),
    "shift_right_logical": case(e.shift_right_logical, INTS, SHIFTS, reference=lax.shift_right_logical),
    "population_count": case(e.population_count, INTS, reference=lax.population_count),
    "clz": case(e.clz, BYTES, reference=lax.clz),
}


@pytest.mark.parametrize("name", CASES)
def test_primitive(name):
    CASES[name].check()
