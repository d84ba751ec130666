"""Convolution."""

from __future__ import annotations

import numpy as np
import pytest
from jax import lax

from gradlab.ir.errors import ArgumentError, ShapeError
from gradlab.lower.compile import Executable
from gradlab.lower.emit import emit
from gradlab.ops.conv import conv_general_dilated as conv
from tests.support import Case, stage, vjp_graph

RNG = np.random.default_rng(11)
NHWC = ("NHWC", "HWIO", "NHWC")
ODD = ("HNWC", "IWOH", "CWNH")


def arrays(x, y, dtype=float):
    return tuple(np.asarray(RNG.normal(size=shape), dtype) for shape in (x, y))


def case(x, y, *args, order=2, widths=(), batch=True, dtype=float, **params):
    given = arrays(x, y, dtype)
    return Case(
        lambda x, y: conv(x, y, *args, **params),
        given,
        lambda x, y: lax.conv_general_dilated(x, y, *args, **params),
        order=order,
        widths=widths,
        batch=batch,
    )


CASES = {
    "conv": case((2, 3, 7), (4, 3, 3), (1,), "VALID", widths=("float32", "bfloat16")),
    "conv.strides": case((2, 2, 8, 5), (3, 2, 3, 2), (3, 2), ((1, 2), (0, -1)), order=1),
    "conv.same": case((1, 7, 6, 2), (3, 2, 2, 3), (2, 1), "SAME", dimension_numbers=NHWC),
    "conv.same low": case((1, 2, 7), (2, 2, 4), (2,), "SAME_LOWER", order=1),
    "conv.dilated": case((2, 1, 5), (2, 1, 3), (2,), ((2, 4),), (2,), (3,)),
    "conv.axes": case((4, 2, 5, 3), (3, 2, 4, 3), (1, 2), "VALID", None, (1, 2), ODD, order=1),
    "conv.features": case((2, 6, 5), (4, 3, 2), (1,), ((1, 0),), feature_group_count=2),
    "conv.batch": case((4, 3, 5), (6, 3, 2), (2,), "VALID", batch_group_count=2),
    "conv.features last": case(
        (5, 2, 6), (2, 2, 6), (1,), "VALID", dimension_numbers=("WNC", "WIO", "WNC"), feature_group_count=3, order=1
    ),  # fmt: skip
    "conv.batch last": case(
        (5, 3, 4), (2, 3, 6), (1,), "VALID", dimension_numbers=("WCN", "WIO", "CWN"), batch_group_count=2, order=1
    ),  # fmt: skip
    "conv.complex": case((2, 3, 4), (2, 3, 2), (1,), "VALID", dtype=complex, order=1),
    "conv.no space": case((2, 3), (4, 3), (), (), order=1),
    "conv.no result": case((2, 3, 2), (4, 3, 3), (1,), "VALID", order=1),
    "conv.nothing": case((0, 3, 4), (4, 3, 3), (1,), "VALID", order=1),
    "conv.highest": case((1, 2, 4), (2, 2, 2), (1,), "VALID", precision="highest", order=1, batch=False),
}


@pytest.mark.parametrize("name", CASES)
def test_primitive(name):
    CASES[name].check()


def test_text():
    x, y = arrays((1, 7, 6, 2), (3, 2, 2, 3))
    text = emit(stage(lambda x, y: conv(x, y, (2, 1), "SAME", dimension_numbers=NHWC), (x, y)))
    names = "lax.ConvDimensionNumbers((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))"
    assert f"lax.conv_general_dilated(t0, t1, (2, 1), ((1, 1), (0, 1)), dimension_numbers={names})" in text
    plain = stage(lambda x, y: conv(x, y, (1,), ((0, 0),)), arrays((1, 2, 4), (2, 2, 2)))
    assert "lax.conv_general_dilated(t0, t1, (1,), ((0, 0),))" in emit(plain)


def test_sum_wider_than_the_operands():
    x, y = arrays((1, 2, 4), (2, 2, 2), np.float32)
    graph = stage(lambda x, y: conv(x, y, (1,), "VALID", preferred_element_type="float64"), (x, y))
    back, _, _ = vjp_graph(graph, [True, True])
    ct = np.cos(np.arange(6.0)).reshape(1, 2, 3)
    dx, dy = Executable(back).jitted(x, y, ct)
    assert graph.out_avals[0].dtype == np.float64
    assert dx.dtype == dy.dtype == np.float32


@pytest.mark.parametrize(
    ("x", "y", "args", "params", "error", "remedy"),
    [
        ((1, 2, 4), (2, 3, 2), ((1,), "VALID"), {}, ShapeError, "lhs features"),
        ((1, 2, 4), (2, 2), ((1,), "VALID", (1,), (1,)), {}, ShapeError, "as many axes"),
        ((1, 2, 4), (2, 2, 2), ((1, 1), ((0, 0),)), {}, ShapeError, "give one for each"),
        ((1, 2, 4), (2, 2, 2), ((0,), ((0, 0),)), {}, ArgumentError, "1 or more"),
        ((1, 2, 4), (2, 2, 2), ((1,), "CIRCULAR"), {}, ArgumentError, "SAME_LOWER"),
        ((1, 2, 4), (2, 2, 2), ((1,), "SAME", (2,)), {}, ArgumentError, "pairs"),
        ((1, 2, 4), (2, 2, 2), ((1,), "SAME"), {"dimension_numbers": ("NCH", "OIW", "NCH")}, ArgumentError, "letters"),
    ],
)
def test_errors_say_what_to_do(x, y, args, params, error, remedy):
    with pytest.raises(error, match=remedy):
        stage(lambda x, y: conv(x, y, *args, **params), arrays(x, y))
