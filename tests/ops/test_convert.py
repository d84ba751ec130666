"""dtype conversion between all kinds, and complex parts."""

from __future__ import annotations

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from gradlab.ir.errors import DTypeError
from gradlab.ir.graph import Aval, Lit
from gradlab.ops import convert as v
from gradlab.passes.fold import fold
from tests.support import Case, assert_close, derivative, stage

X = np.array([[0.7, -1.3, 2.1], [-0.4, 0.0, -2.6]])
Z = X + 1j * X[::-1]
INTS = np.array([[7, -7, 2], [0, 5, -9]])
TRUTHS = X > 0


def to(dtype):
    return lambda x: v.convert(x, dtype=dtype)


def case(fn, *args, reference, **options):
    return Case(fn, args, reference, elementwise=True, **options)


CASES = {
    "conj": case(v.conj, Z, reference=jnp.conj),
    "real": case(v.real, Z, reference=jnp.real),
    "imag": case(v.imag, Z, reference=jnp.imag),
    "complex": case(v.complex, X, X[::-1], reference=lax.complex, widths=("float32",)),
    "complex.literal": case(lambda x: v.complex(x, 0.0), X, reference=lambda x: x + 0j, widths=("float32",)),
    "convert": case(to("float64"), X, reference=lambda x: x.astype("float64")),
    "convert.complex": case(to("complex128"), X, reference=lambda x: x.astype("complex128")),
    "convert.real_part": case(to("float64"), Z, reference=lambda z: z.real.astype("float64")),
    "convert.round_trip": case(
        lambda x: v.convert(to("complex128")(x), dtype="float64"), X, reference=lambda x: x + 0.0, widths=()
    ),
    "convert.int": case(to("int32"), X, reference=lambda x: x.astype("int32"), order=0),
    "convert.bool": case(to("bool"), X, reference=lambda x: x.astype("bool")),
    "convert.complex_bool": case(to("bool"), Z, reference=lambda z: z != 0),
    "convert.int_float": case(to("float32"), INTS, reference=lambda x: x.astype("float32")),
    "convert.bool_int": case(to("int8"), TRUTHS, reference=lambda x: x.astype("int8")),
    "convert.bool_float": case(to("float64"), TRUTHS, reference=lambda x: x.astype("float64")),
    "convert.unsigned": case(to("uint8"), np.abs(INTS), reference=lambda x: x.astype("uint8")),
    "stop_gradient": case(v.stop_gradient, X, reference=lambda x: x, order=0),
    "stop_gradient.int": case(v.stop_gradient, INTS, reference=lambda x: x),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_primitive(name):
    CASES[name].check()


FLOATS = ("float16", "bfloat16", "float32", "float64")


@pytest.mark.parametrize(("source", "target"), [*itertools.permutations(FLOATS, 2)])
def test_the_cotangent_comes_back_in_its_own_dtype(source, target):
    (ct,) = derivative(to(jnp.dtype(target)), (np.asarray(1.5, jnp.dtype(source)),))
    assert ct.dtype == jnp.dtype(source) and ct == 1


def test_stop_gradient_has_no_tangent():
    (ct,) = derivative(lambda x: v.stop_gradient(x), (3.0,))
    assert ct is None


def test_literals_convert_at_once_and_exactly():
    lit = v.convert(Lit(0.1, Aval((2,), np.dtype("float64"))), dtype="float32")
    assert isinstance(lit, Lit)
    assert_close(lit.value, np.float32(0.1), 0.0, "0.1 in float32")
    assert isinstance(v.convert(Lit(2.5, Aval((), np.dtype("float64"), True)), dtype="float64"), Lit)


def test_a_number_out_of_range_is_left_to_run_time():
    graph = fold(stage(lambda x: v.convert(Lit(1e30, Aval((), np.dtype("float64"))), dtype="int32"), (1.0,)))
    assert len(graph.eqns) == 1


def test_complex_needs_parts_that_fit():
    with pytest.raises(DTypeError, match="astype"):
        stage(v.complex, (np.float16(1), np.float16(1)))
