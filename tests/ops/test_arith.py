"""Arithmetic, powers, exponentials, rounding: the table, and what happens at the points where smoothness ends."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from gradlab.ir.errors import DTypeError, MissingRuleError, ShapeError
from gradlab.ops import arith as a
from gradlab.ops.operands import fill
from gradlab.transforms.jvp import jvp_graph
from gradlab.transforms.transpose import transpose_graph
from tests.support import Case, assert_close, derivative, stage

X = np.array([[0.7, -1.3, 2.1], [-0.4, 0.9, -2.6]])
Y = np.array([[1.9, 0.8, -0.6], [1.2, -2.3, 0.5]])
POSITIVE = np.array([[0.3, 1.7, 4.0], [0.05, 2.5, 9.0]])
Z = X + 1j * Y[::-1]
W = Y - 0.5j * X
INTS = np.array([[7, -7, 2], [0, 5, -9]])
OTHERS = np.array([[2, 2, -3], [4, -5, 2]])
BYTES = np.array([[7, 200, 2], [0, 5, 9]], np.uint8)


def case(fn, *args, reference, **options):
    return Case(fn, args, reference, elementwise=True, **options)


CASES = {
    "add": case(a.add, X, Y, reference=jnp.add),
    "add.complex": case(a.add, Z, W, reference=jnp.add),
    "add.int": case(a.add, INTS, OTHERS, reference=jnp.add),
    "sub": case(a.sub, X, Y, reference=jnp.subtract),
    "mul": case(a.mul, X, Y, reference=jnp.multiply),
    "mul.complex": case(a.mul, Z, W, reference=jnp.multiply),
    "mul.square": case(lambda x: a.mul(x, x), X, reference=jnp.square),
    "neg": case(a.neg, X, reference=jnp.negative),
    "div": case(a.div, X, Y, reference=jnp.divide),
    "div.complex": case(a.div, Z, W, reference=jnp.divide),
    "div.self": case(lambda x, y: a.div(x, a.add(a.mul(x, x), y)), X, Y + 3, reference=lambda x, y: x / (x * x + y)),
    "quotient": case(a.quotient, INTS, OTHERS, reference=lax.div),
    "rem": case(a.rem, X, Y, reference=lax.rem, widths=("float32",)),
    "rem.int": case(a.rem, INTS, OTHERS, reference=lax.rem),
    "integer_pow": case(lambda x: a.integer_pow(x, y=3), X, reference=lambda x: x**3),
    "integer_pow.square": case(a.square, Z, reference=jnp.square),
    "integer_pow.reciprocal": case(a.reciprocal, X, reference=jnp.reciprocal),
    "integer_pow.negative": case(lambda x: a.integer_pow(x, y=-3), Z, reference=lambda x: x**-3),
    "integer_pow.one": case(lambda x: a.integer_pow(x, y=1), X, reference=lambda x: x),
    "integer_pow.int": case(lambda x: a.integer_pow(x, y=2), BYTES, reference=lambda x: x**2),
    "pow": case(a.pow, POSITIVE, X, reference=jnp.power),
    "pow.complex": case(a.pow, Z, W, reference=jnp.power, widths=()),
    "pow.half": case(lambda x: a.pow(x, 0.5), POSITIVE, reference=lambda x: x**0.5),
    "pow.two": case(lambda x: a.pow(2.0, x), X, reference=lambda x: 2.0**x),
    "sqrt": case(a.sqrt, POSITIVE, reference=jnp.sqrt),
    "sqrt.complex": case(a.sqrt, Z, reference=jnp.sqrt),
    "rsqrt": case(a.rsqrt, POSITIVE, reference=lax.rsqrt),
    "rsqrt.complex": case(a.rsqrt, Z, reference=lax.rsqrt),
    "cbrt": case(a.cbrt, X, reference=jnp.cbrt),
    "exp": case(a.exp, X, reference=jnp.exp),
    "exp.complex": case(a.exp, Z, reference=jnp.exp),
    "exp2": case(a.exp2, X, reference=jnp.exp2),
    "expm1": case(a.expm1, X, reference=jnp.expm1),
    "expm1.complex": case(a.expm1, Z, reference=jnp.expm1),
    "log": case(a.log, POSITIVE, reference=jnp.log),
    "log.complex": case(a.log, Z, reference=jnp.log),
    "log1p": case(a.log1p, POSITIVE, reference=jnp.log1p),
    "logistic": case(a.logistic, X, reference=jax.nn.sigmoid),
    "maximum": case(a.maximum, X, Y, reference=jnp.maximum),
    "maximum.int": case(a.maximum, INTS, OTHERS, reference=jnp.maximum),
    "minimum": case(a.minimum, X, Y, reference=jnp.minimum),
    "maximum.clamp": case(lambda x: a.clamp(-1.0, x, 0.8), X, reference=lambda x: jnp.clip(x, -1.0, 0.8)),
    "abs": case(a.abs, X, reference=jnp.abs),
    "abs.complex": case(a.abs, Z, reference=jnp.abs),
    "abs.int": case(a.abs, INTS, reference=jnp.abs),
    "sign": case(a.sign, X, reference=jnp.sign),
    "sign.complex": case(a.sign, Z, reference=jnp.sign, order=0),
    "floor": case(a.floor, X, reference=jnp.floor),
    "ceil": case(a.ceil, X, reference=jnp.ceil),
    "round": case(a.round, X, reference=jnp.round),
    "round.away": case(lambda x: a.round(x, away=True), X, reference=lax.round),
    "round.halves": case(a.round, np.array([0.5, 1.5, -2.5]), reference=jnp.round, order=0),
    "nextafter": case(a.nextafter, X, Y, reference=jnp.nextafter, order=0, widths=("float32",)),
    "is_finite": case(a.is_finite, np.array([1.0, np.inf, np.nan]), reference=jnp.isfinite),
}


@pytest.mark.parametrize("name", CASES)
def test_primitive(name):
    CASES[name].check()


CORNERS = {
    "maximum of a tie": (a.maximum, (2.0, 2.0), (1.0, 0.0)),
    "minimum of a tie": (a.minimum, (2.0, 2.0), (1.0, 0.0)),
    "abs at 0": (a.abs, (0.0,), (0.0,)),
    "x**0 at 0": (a.pow, (0.0, 0.0), (0.0, 0.0)),
    "0**y": (a.pow, (0.0, 2.0), (0.0, 0.0)),
    "0**1": (a.pow, (0.0, 1.0), (1.0, 0.0)),
    "literal x**0 at 0": (lambda x: a.pow(x, 0.0), (0.0,), (0.0,)),
    "literal x**1 at 0": (lambda x: a.pow(x, 1.0), (0.0,), (1.0,)),
    "literal 0**y": (lambda y: a.pow(0.0, y), (2.0,), (0.0,)),
    "square at 0": (a.square, (0.0,), (0.0,)),
    "clamp on its bound": (lambda x: a.clamp(0.0, x, 1.0), (1.0,), (1.0,)),
    "clamp outside": (lambda x: a.clamp(0.0, x, 1.0), (1.5,), (0.0,)),
    "complex abs at 0": (a.abs, (0j,), (0j,)),
    "|z|² at 1+2j": (lambda z: a.square(a.abs(z)), (1 + 2j,), (2 - 4j,)),
    "stop at sign": (lambda x: a.mul(x, a.sign(x)), (-3.0,), (-1.0,)),
}


@pytest.mark.parametrize("name", CORNERS)
def test_corner(name):
    fn, at, wanted = CORNERS[name]
    for got, want in zip(derivative(fn, at), wanted, strict=True):
        assert_close(got, want, 1e-14, name)


def test_maximum_propagates_nan():
    nan = np.array([np.nan, 1.0])
    Case(a.maximum, (nan, nan[::-1].copy()), jnp.maximum, order=0).check()


def test_a_constant_power_is_written_without_select():
    graph, _ = jvp_graph(stage(lambda x: a.pow(x, 2.5), (X,)), [True])
    assert "select" not in str(graph)


def test_operands_must_agree():
    with pytest.raises(ShapeError, match="gradlab.numpy broadcasts"):
        stage(a.div, (X, X[0]))
    with pytest.raises(DTypeError, match="astype"):
        stage(a.sqrt, (INTS,))
    with pytest.raises(DTypeError, match="no negative powers"):
        stage(a.reciprocal, (INTS,))


def test_what_is_not_linear_is_not_transposed():
    with pytest.raises(MissingRuleError, match="not linear"):
        transpose_graph(stage(a.exp, (X,)), [True])
    with pytest.raises(MissingRuleError, match="linear only in its first"):
        transpose_graph(stage(a.div, (X, Y)), [False, True])


def test_power_zero_is_one():
    assert a.integer_pow(fill(3.0, stage(a.neg, (X,)).in_avals[0]), y=0).value == 1.0
