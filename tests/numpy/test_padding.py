"""`pad` in all of its modes: values, dtypes and gradients are jax.numpy's."""

from __future__ import annotations

import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.ir.errors import ArgumentError, ShapeError

from .compare import Call, compare, stage

X = np.array([[0.3, -1.2, 2.6], [1.1, 0.7, -0.4]])
V = np.array([0.5, -2.0, 3.0, 1.5])
I = np.array([[3, -1, 2], [0, 5, 4]])  # noqa: E741
C = X + 1j * X[::-1]
B = np.array([True, False, True])
ONE = np.array([[4.0, 1.0]])
WIDTHS = ((1, 2), (0, 3))


def call(fn, *args, grad=True):
    return Call(f"{fn.__code__.co_name}{fn.__code__.co_firstlineno}", fn, args, grad)


def _around(line, widths, axis, options):
    """A function of NumPy's kind, that returns what it writes."""
    ends = (line[: widths[0]] * 0 + options["edge"], line[widths[0] : len(line) - widths[1]])
    return gnp.concatenate([*ends, line[len(line) - widths[1] :] * 0 + 2])


ENDS = ((0.5, -2.0), (3.0, 1.5))
STATISTICS = ["maximum", "mean", "median", "minimum"]
MODES = ["edge", *STATISTICS, "reflect", "symmetric", "wrap", "empty", "linear_ramp", "constant"]
TABLES = {
    "modes": [
        *(call(lambda m, x, k=k: m.pad(x, WIDTHS, mode=k), X) for k in MODES),
        *(call(lambda m, x, k=k: m.pad(x, (2, 9), mode=k), V) for k in MODES),
        *(call(lambda m, x, k=k: m.pad(x, 1, k), I) for k in MODES),
        *(call(lambda m, x, k=k: m.pad(x, 1, k), C) for k in ("edge", "mean", "reflect", "linear_ramp", "constant")),
        *(call(lambda m, x, k=k: m.pad(x, 1, k), B) for k in ("edge", "wrap", "constant", "maximum")),
        *(call(lambda m, x, k=k: m.pad(x, ((2, 3), (4, 5)), k), ONE) for k in ("reflect", "symmetric", "wrap")),
        call(lambda m, x: m.pad(x, 0, "reflect"), V),
        call(lambda m, x: m.pad(x, 3), np.float64(2.0)),
        call(lambda m, x: m.pad(x, 1, "constant"), np.zeros((0, 2))),
    ],
    "options": [
        call(lambda m, x: m.pad(x, WIDTHS, constant_values=7.0), X),
        call(lambda m, x: m.pad(x, 2, constant_values=(7.0, -1)), X),
        call(lambda m, x: m.pad(x, 2, constant_values=((1, 2), (3, 4))), X),
        call(lambda m, x, v: m.pad(x, 2, constant_values=v[0]), X, V),
        call(lambda m, x, v: m.pad(x, 2, constant_values=v[:2]), X, V),
        call(lambda m, x, v: m.pad(x, 2, constant_values=v.reshape(2, 2)), X, V),
        call(  # jax.numpy has no traced ends
            lambda m, x, v: m.pad(x, 2, "linear_ramp", end_values=v.reshape(2, 2) if m is gnp else ENDS),
            X,
            V,
            grad=False,
        ),
        call(lambda m, x: m.pad(x, WIDTHS, "linear_ramp", end_values=(5, -4)), X),
        call(lambda m, x: m.pad(x, 4, "linear_ramp", end_values=(5, -4)), I),
        *(call(lambda m, x, k=k: m.pad(x, 2, k, stat_length=2), V) for k in STATISTICS),
        call(lambda m, x: m.pad(x, 2, "mean", stat_length=((1, 2), (3, 9))), X),
        call(lambda m, x: m.pad(x, WIDTHS, "reflect", reflect_type="odd"), X),
        call(lambda m, x: m.pad(x, (9, 7), "reflect", reflect_type="odd"), V),
        call(lambda m, x: m.pad(x, (9, 7), "symmetric", reflect_type="odd"), V),
        call(lambda m, x: m.pad(x, ((2, 3), (0, 5)), "reflect", reflect_type="odd"), ONE),
        call(lambda m, x: m.pad(x, ((1, 2), (2, 1)), _around, edge=3.0), X),
    ],
}


@pytest.mark.parametrize("table", TABLES)
def test_as_in_jax(table):
    compare(TABLES[table])


def test_widths_by_axis():
    compare([call(lambda m, x: m.pad(x, ((0, 0), (1, 2)) if m is not gnp else {1: (1, 2)}, "edge"), X)])
    compare([call(lambda m, x: m.pad(x, ((2, 2), (0, 0)) if m is not gnp else {-2: 2}), X)])


def test_edges_are_slices():
    """Where the places are runs of neighbours no gather is needed."""
    for mode in ("edge", "reflect", "symmetric", "wrap"):
        graph, _, _ = stage([call(lambda m, x, mode=mode: m.pad(x, (2, 3), mode), V)])
        assert {eqn.prim.name for eqn in graph.eqns} <= {"slice", "rev", "broadcast", "concatenate"}, mode
    graph, _, _ = stage([call(lambda m, x: m.pad(x, 80, "wrap"), V)])
    assert [eqn.prim.name for eqn in graph.eqns] == ["gather"]


@pytest.mark.parametrize(
    ("error", "match", "how"),
    [
        (ArgumentError, "knows the modes constant, .*got mode='mirror'", {"mode": "mirror"}),
        (ArgumentError, "takes no options, got constant_values", {"mode": "edge", "constant_values": 1}),
        (ArgumentError, "takes the option stat_length only, got end_values", {"mode": "mean", "end_values": 1}),
        (ArgumentError, "even and odd", {"mode": "reflect", "reflect_type": "strange"}),
        (ArgumentError, "stat_length of at least 1", {"mode": "mean", "stat_length": 0}),
        (ArgumentError, "must not be negative.*Slice the array", {"pad_width": -1}),
        (ArgumentError, "a pair for each of the 1 axes", {"pad_width": (1, 2, 3)}),
    ],
)
def test_refusals(error, match, how):
    options = {"pad_width": 1, **how}
    with pytest.raises(error, match=match):
        gl.grad(lambda x: gnp.pad(x, **options).sum())(V)


def test_nothing_to_continue():
    with pytest.raises(ShapeError, match="nothing to continue.*empty along axis 0"):
        gl.grad(lambda x: gnp.pad(x, 1, mode="edge").sum())(np.zeros(0))
