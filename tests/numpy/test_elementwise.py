"""Elementwise functions: values, dtypes, weak types and gradients are jax.numpy's."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from .compare import Call, compare, named

X = np.array([[0.3, -1.2, 2.6], [1.1, 0.7, -0.4]])
V = np.array([0.5, -2.0, 3.0])
P = abs(X) + 1.5
I = np.array([[3, -1, 2], [5, 1, 4]])  # noqa: E741
B = np.array([True, False, True])
C = X + 1j * X[::-1]
F = X.astype(np.float32)

REAL = (
    "sin cos tan arctan sinh cosh tanh arcsinh exp exp2 expm1 square abs absolute sign floor ceil real imag conj "
    "negative positive rint trunc isnan isfinite isinf signbit degrees radians deg2rad rad2deg reciprocal angle "
    "isposinf isneginf sinc fabs cbrt nan_to_num round modf atan asinh"
)
WHOLE = (
    "sin exp square abs sign floor ceil negative positive rint trunc isnan isfinite isinf signbit degrees reciprocal "
    "angle sinc cbrt sqrt invert bitwise_not logical_not real imag conj nan_to_num round fabs"
)
BINARY = (
    "add subtract multiply divide true_divide maximum minimum less less_equal greater greater_equal equal not_equal "
    "remainder mod fmod arctan2 logaddexp copysign fmax fmin logical_and logical_or logical_xor isclose"
)
QUIRKS = "hypot logaddexp2 heaviside"  # strong in jax.numpy even where all operands are weak
STEPS = "floor_divide nextafter"  # (floor_divide was strong in JAX 0.10.0)
BITS = (
    "bitwise_and bitwise_or bitwise_xor left_shift right_shift add subtract multiply divide maximum "
    "remainder floor_divide"
)

UNARY = {
    "real": named(REAL, X),
    "positive": named("sqrt log log2 log10 log1p cbrt reciprocal arccosh acosh", P),
    "bounded": named("arcsin arccos arctanh asin acos atanh", X / 4),
    "float32": named("sin exp sqrt square abs sinc reciprocal", abs(F)),
    "half": named("sin exp sqrt square abs sign floor reciprocal round tanh", abs(X).astype(np.float16)),
    "bfloat16": named("sin exp sqrt square abs sign floor isnan", abs(X).astype(ml_dtypes.bfloat16), grad=False),
    "integer": named(WHOLE, I),
    "int8": named("sin exp abs square negative sqrt", abs(I).astype(np.int8)),
    "bool": named("sin exp abs floor isnan isfinite invert logical_not sqrt square real imag rint trunc", B),
    "complex": named(
        "sin exp sqrt abs square real imag conj isnan negative reciprocal isinf round rint sign", C, grad=False
    ),
    "complex.smooth": named("sin exp square conj real imag", C),
    "number": named("sin exp abs square floor rint trunc isnan sqrt sign negative reciprocal round", 2.0),
    "whole number": named("sin exp abs floor square", 3),
}
PAIRS = {
    "arrays": (X, V), "number right": (X, 2.5), "whole number right": (X, 2), "number left": (2.5, X),
    "integers and number": (I, 2.5), "integers and whole": (I, 3), "mixed": (X, I), "numbers": (2.5, 3),
    "whole and number": (3, 2.5), "float32": (F, 2.5), "float32 and float64": (F, V),
}  # fmt: skip


@pytest.mark.parametrize("name", UNARY)
def test_unary(name):
    compare(UNARY[name])


@pytest.mark.parametrize("name", PAIRS)
def test_binary(name):
    x, y = PAIRS[name]
    calls = named(BINARY, x, y) + named(QUIRKS, x, y, weak=False, grad=name != "integers and number")
    compare(calls + named(STEPS, x, y, weak=False, grad=False))


@pytest.mark.parametrize(
    "pair", [(I, I + 7), (I, 2), (I.astype(np.int8), abs(I)), (abs(I).astype(np.uint8), np.uint8(3))]
)
def test_bits(pair):
    compare(named(BITS, *pair))


@pytest.mark.parametrize("other", [B, 3, 2.5, V], ids=str)
def test_booleans(other):
    compare(named("add multiply divide maximum minimum less equal logical_and arctan2", B, other))


def test_complex_pairs():
    for pair in ((C, X), (C, 2.5), (C, 2), (C, 1j), (X, 1j), (C, C)):
        compare(named("add multiply divide subtract equal", *pair))


def test_powers():
    compare(
        [
            *named("power float_power", P, V),
            *named("power", X, 3),
            *named("power", X, 0),
            *named("power", X, -2),
            *named("power", X, 1),
            *named("power", P, 0.5),
            *named("power", P, 2.5),
            *named("power", 2.5, V),
            *named("power", I, 3),
            *named("power", B, 3),
            *named("power", C, 2),
            *named("power", np.zeros(2), 2),
            *named("power", abs(I), abs(I)),
        ]
    )


def test_choosing():
    compare(
        [
            *named("clip", X, -0.5, 1.0),
            *named("clip", X, None, V, grad=False),
            *named("clip", I, 0, 3),
            *named("where", B, X, V),
            *named("where", X > 0, X, 0.0),
            *named("where", X > 0, 1, X),
            *named("where", B, I, 1.5),
            *named("where", I, X, X),
            Call("select", lambda m, x: m.select([x > 1, x > 0], [x, 2 * x], 7.0), (X,)),
            *named("nan_to_num", np.array([np.nan, np.inf, -np.inf, 1.0])),
            *named("round", X, 1, grad=False),
            *named("divmod", X, 0.7),
            *named("divmod", I, 2),
        ]
    )


def test_operators():
    def every(m, x, y):
        return [
            x + y, x - y, x * y, x / y, x // y, x % y, x**2, 2**x, x**y, -x, +x, abs(x), *divmod(x, y),
            1 + x, 1 - x, 2 * x, 1 / x, 7 // x, 7 % x, x < y, x <= 1, x > y, x <= 1, x == y, x != y, *divmod(7, x),
        ]  # fmt: skip

    def bits(m, i, j):
        return [i & j, i | j, i ^ j, ~i, i << j, i >> j, 3 & i, 3 | i, 3 ^ i, 1 << i, 64 >> i]

    compare([Call("real", every, (P, P[::-1] + 0.1)), Call("bits", bits, (abs(I), abs(I[::-1])))])
