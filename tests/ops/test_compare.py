"""Comparisons and select."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from gradlab.ir.errors import DTypeError, ShapeError
from gradlab.ops import compare as c
from tests.support import Case, stage

X = np.array([[0.7, np.nan, 2.1], [-0.0, 0.9, np.inf]])
Y = np.array([[0.7, 0.8, -0.6], [0.0, 2.3, np.inf]])
FINITE = np.array([[1.9, 0.8, -0.6], [1.2, -2.3, 0.5]])
Z = FINITE + 1j
INTS = np.array([[7, -7, 2], [0, 5, -9]])
MASK = np.array([[True, False, True], [False, False, True]])


def case(fn, *args, reference, **options):
    return Case(fn, args, reference, elementwise=True, **options)


CASES = {
    "eq": case(c.eq, X, Y, reference=jnp.equal),
    "eq.complex": case(c.eq, Z, Z[::-1], reference=jnp.equal),
    "eq.bool": case(c.eq, MASK, MASK[::-1], reference=jnp.equal),
    "ne": case(c.ne, X, Y, reference=jnp.not_equal),
    "lt": case(c.lt, X, Y, reference=jnp.less),
    "lt.int": case(c.lt, INTS, INTS[::-1], reference=jnp.less),
    "le": case(c.le, X, Y, reference=jnp.less_equal),
    "gt": case(c.gt, X, Y, reference=jnp.greater),
    "ge": case(c.ge, X, Y, reference=jnp.greater_equal),
    "select": case(c.select, MASK, FINITE, FINITE[::-1] + 5, reference=jnp.where),
    "select.complex": case(c.select, MASK, Z, -Z, reference=jnp.where),
    "select.int": case(c.select, MASK, INTS, -INTS, reference=jnp.where),
    "select.one": case(lambda m, x: c.select(m, x, 0.0), MASK, FINITE, reference=lambda m, x: jnp.where(m, x, 0.0)),
}


@pytest.mark.parametrize("name", CASES)
def test_primitive(name):
    CASES[name].check()


def test_errors_say_what_to_do():
    with pytest.raises(ShapeError, match="gradlab.numpy.where converts and broadcasts"):
        stage(c.select, (MASK[0], FINITE, FINITE))
    with pytest.raises(ShapeError, match="gradlab.numpy.where"):
        stage(c.select, (INTS, FINITE, FINITE))
    with pytest.raises(DTypeError, match="lt needs a dtype"):
        stage(c.lt, (Z, Z))
