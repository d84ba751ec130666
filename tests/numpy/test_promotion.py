"""Promotion is JAX's: every pair of dtypes and Python numbers, weak or not, with 64-bit numbers on and off."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab.numpy as gnp
from gradlab.ir.errors import ShapeError
from gradlab.ir.graph import Aval
from gradlab.numpy.promote import broadcast_shapes, result_dtype
from gradlab.trace.builder import Builder

NARROW = ["bool", "int8", "int16", "int32", "uint8", "uint16", "uint32", "bfloat16", "float16", "float32", "complex64"]
WIDE = [*NARROW, "int64", "uint64", "float64", "complex128"]
NUMBERS = (True, 3, 2.5, 1j)


def avals(names):
    """Each dtype strong, and the dtypes Python numbers have weak."""
    strong = [Aval((2,), jnp.dtype(name)) for name in names]
    return [
        *strong,
        *(Aval((2,), a.dtype, True) for a in strong if a.dtype.name[-2:] in ("32", "64") and a.dtype.kind != "u"),
    ]


def _ask_jax(*shapes):
    answer = []
    jax.eval_shape(lambda *xs: answer.extend(jax.dtypes.result_type(*xs, return_weak_type_flag=True)) or xs, *shapes)
    return answer


@pytest.mark.parametrize("x64", [True, False])
def test_pairs(x64):
    with jax.enable_x64(x64):
        for x, y in itertools.product(avals(WIDE if x64 else NARROW), repeat=2):
            builder = Builder()
            with builder:
                got = gnp.equal(builder.input(x), builder.input(y))
                dtype, weak = result_dtype([x, y])
            shapes = [jax.ShapeDtypeStruct(a.shape, a.dtype, weak_type=a.weak) for a in (x, y)]
            like = _ask_jax(*shapes)
            assert [dtype, weak] == like, (x, y)
            assert got.dtype == bool


@pytest.mark.parametrize("x64", [True, False])
@pytest.mark.parametrize("op", ["add", "multiply", "divide"])
def test_numbers(op, x64):
    with jax.enable_x64(x64):
        for x, number in itertools.product(avals(WIDE if x64 else NARROW), NUMBERS):
            if x.weak and x64 and x.dtype.name in NARROW:
                continue  # weak, yet not the dtype of Python's numbers: no array a user makes is of such a type
            builder = Builder()
            with builder:
                tracer = builder.input(x)
                got = [getattr(gnp, op)(tracer, number).aval, getattr(gnp, op)(number, tracer).aval]
            shape = jax.ShapeDtypeStruct(x.shape, x.dtype, weak_type=x.weak)
            want = jax.eval_shape(lambda a, n=number: getattr(jnp, op)(a, n), shape)
            for aval in got:
                assert (aval.dtype, aval.weak and aval.dtype != bool) == (want.dtype, want.weak_type), (x, number)


def test_agreeing_operands_leave_one_equation():
    builder = Builder()
    with builder:
        x, y = (builder.input(Aval((3,), np.dtype("float64"))) for _ in range(2))
        out = 2.0 * gnp.sin(x) + y
    assert [eqn.prim.name for eqn in builder.graph([out]).eqns] == ["sin", "mul", "add"]


def test_shapes_that_do_not_broadcast():
    assert broadcast_shapes([(3, 1), (4,), ()]) == (3, 4)
    assert broadcast_shapes([(0,), (1,)]) == (0,)
    builder = Builder()
    with builder, pytest.raises(ShapeError, match=r"\(2,\) and \(3,\).*insert one with"):
        builder.input(Aval((2,), np.dtype("float64"))) + np.zeros(3)
