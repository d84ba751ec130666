"""Sliding windows."""

from __future__ import annotations

import numpy as np
import pytest
from jax import lax

from gradlab.ir.errors import ArgumentError, DTypeError, ShapeError
from gradlab.lower.compile import evaluate
from gradlab.lower.emit import emit
from gradlab.ops import window as w
from gradlab.trace.builder import bind1
from tests.support import Case, stage, vjp_graph

RNG = np.random.default_rng(2)
M = RNG.permutation(60).reshape(2, 6, 5) / 7.0
V = RNG.permutation(45) / 7.0
FEW = ("float32", "bfloat16")
OPS = {
    "sum": (w.window_sum, lax.add, 0.0),
    "max": (w.window_max, lax.max, -np.inf),
    "min": (w.window_min, lax.min, np.inf),
}
POOL = {"window": (1, 2, 2), "strides": (1, 2, 2)}
WIDE = {"window": (1, 3, 2), "strides": (1, 2, 1), "padding": ((0, 0), (1, 0), (1, 1)), "base_dilation": (1, 1, 2),
        "window_dilation": (1, 2, 1)}  # fmt: skip
LONG = {"window": (36,), "strides": (2,), "padding": ((3, 1),)}


def case(name, x, params, **extra):
    fn, reducer, start = OPS[name]
    given = {"window": "window_dimensions", "strides": "window_strides"}
    named = {"padding": "VALID"} | {given.get(k, k): v for k, v in params.items()}
    named.setdefault("window_strides", (1,) * x.ndim)
    start = (
        start if x.dtype.kind == "f" else {"sum": 0, "max": np.iinfo(x.dtype).min, "min": np.iinfo(x.dtype).max}[name]
    )
    return Case(
        lambda x: fn(x, **params), (x,), lambda x: lax.reduce_window(x, x.dtype.type(start), reducer, **named), **extra
    )


GEOMETRY = {"window": (1, 2, 3), "strides": (1, 3, 1), "window_dilation": (1, 2, 1)}
PLACES = np.arange(60, dtype=np.int32).reshape(M.shape)
POSITIONS = np.array(
    [
        [[max(PLACES[i, j : j + 3 : 2, k : k + 3].flat, key=lambda p: M.flat[p]) for k in range(3)] for j in (0, 3)]
        for i in (0, 1)
    ]
)


CASES = {
    "window_sum": case("sum", M, POOL, widths=FEW),
    "window_sum.wide": case("sum", M, WIDE, widths=()),
    "window_sum.cut": case("sum", M, {"window": (1, 2, 1), "strides": (1, 3, 1)}, widths=(), order=1),
    "window_sum.none": case("sum", M, {"window": (3, 1, 1)}, widths=()),
    "window_sum.int": case("sum", np.arange(6).reshape(2, 3), {"window": (1, 2)}),
    "window_max": case("max", M, POOL, widths=FEW),
    "window_max.wide": case("max", M, WIDE, widths=(), order=1),
    "window_max.long": case("max", V, LONG, widths=()),
    "window_max.int": case("max", np.arange(6).reshape(2, 3), {"window": (1, 2)}),
    "window_max.none": case("max", M, {"window": (3, 1, 1)}, widths=(), order=1),
    "window_max.one": case("max", M, {"window": (1, 1, 1)}, widths=(), order=1),
    "window_min": case("min", M, POOL | {"strides": (1, 1, 1)}, widths=FEW, order=1),
    "window_min.long": case("min", V, LONG | {"window_dilation": (1,)}, widths=(), order=1),
    "window_place": Case(
        lambda x: bind1(w.window_place_p, x, extremum="max", **GEOMETRY), (M,), lambda x: POSITIONS, order=0
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_primitive(name):
    CASES[name].check()


@pytest.mark.parametrize("size", [3, 40])
def test_the_first_of_equal_elements_takes_the_derivative(size):
    x = np.zeros((2, size + 1))
    back, _, _ = vjp_graph(stage(lambda x: w.window_max(x, (1, size)), (x,)), (True,))
    (ct,) = evaluate(back, [x, np.array([[1.0, 2.0], [3.0, 4.0]])])
    want = np.zeros_like(x)
    want[:, :2] = [[1, 2], [3, 4]]
    np.testing.assert_array_equal(ct, want)


def test_nan_takes_the_derivative():
    x = np.array([1.0, np.nan, 3.0, np.nan])
    back, _, _ = vjp_graph(stage(lambda x: w.window_max(x, (3,)), (x,)), (True,))
    np.testing.assert_array_equal(evaluate(back, [x, np.array([1.0, 2.0])])[0], [0, 3, 0, 0])


def test_text():
    text = emit(stage(lambda x: w.window_max(x, (1, 2, 2), (1, 2, 2)), (M,)))
    assert "lax.reduce_window(t0, -jnp.inf, lax.max, (1, 2, 2), (1, 2, 2), ((0, 0), (0, 0), (0, 0)))" in text


@pytest.mark.parametrize(
    ("fn", "error", "remedy"),
    [
        (lambda x: w.window_sum(x, (1, 2)), ShapeError, "3 of each"),
        (lambda x: w.window_sum(x, (1, 2, 0)), ArgumentError, "1 or more"),
        (lambda x: w.window_max(x > x, (1, 2, 2)), DTypeError, "Convert it"),
    ],
)
def test_errors_say_what_to_do(fn, error, remedy):
    with pytest.raises(error, match=remedy):
        stage(fn, (M,))
