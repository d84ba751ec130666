"""join_blocks: sums of padded blocks become joints where they do not overlap, and their values stay."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.ir.check import check
from gradlab.ir.graph import Aval, Var
from gradlab.lower.compile import Executable
from gradlab.ops.convert import complex as complex_
from gradlab.ops.convert import imag, real
from gradlab.ops.elementwise import sin
from gradlab.ops.operands import fill
from gradlab.ops.shape import pad, slice_in_dim
from gradlab.passes.blocks import join_blocks
from gradlab.passes.dce import dce
from gradlab.passes.pipeline import tidy
from gradlab.trace.stage import trace_graph

F64 = np.dtype("float64")
X = np.arange(24.0).reshape(4, 6) / 7 + 0.1


def part(x, start, stop, axis=0, size=4):
    """Of x, the block from start to stop in its place, zeros around it."""
    low, high = [0] * x.ndim, [0] * x.ndim
    low[axis], high[axis] = start, x.shape[axis] - stop
    return pad(slice_in_dim(x, start, stop, axis=axis), 0.0, low, high)


# function -> how many joints and sums are left of it
CASES = {
    "two halves": (lambda x: part(x, 0, 2) + part(x, 2, 4), (1, 0)),
    "in another order": (lambda x: part(x, 3, 4) + part(x, 0, 1) + part(x, 1, 3), (1, 0)),
    "with a gap": (lambda x: part(x, 0, 1) + part(x, 2, 3), (1, 0)),
    "a sum of sums": (lambda x: (part(x, 0, 1) + part(x, 1, 2)) + (part(x, 2, 3) + part(x, 3, 4)), (1, 0)),
    "something else between": (lambda x: part(x, 0, 1) + sin(x) + part(x, 1, 2), (1, 1)),
    "two rows": (lambda x: part(x, 0, 2) + part(x, 1, 3) + part(x, 2, 4), (1, 1)),
    "overlapping": (lambda x: part(x, 0, 3) + part(x, 1, 4), (0, 1)),
    "twice the same": (lambda x: part(x, 0, 3) + part(x, 0, 3), (0, 1)),
    "two axes": (lambda x: part(x, 0, 3) + part(x, 0, 3, 1), (0, 1)),
    "other axis": (lambda x: part(x, 0, 3, 1) + part(x, 3, 6, 1), (1, 0)),
    "computed, other axis": (lambda x: part(sin(x), 0, 3, 1) + pad(sin(x[:, :3]), 0.0, (0, 3), (0, 0)), (0, 1)),
    "interior": (lambda x: pad(x[:, :3], 0.0, (0, 0), (0, 1), (0, 1)) + part(x, 0, 3), (0, 1)),
    "no zeros": (lambda x: pad(x[:2], 1.0, (0, 0), (2, 0)) + part(x, 2, 4), (0, 1)),
    "read twice": (lambda x: (y := part(x, 0, 1) + part(x, 1, 2)) * y + part(x, 2, 3), (1, 1)),
    "parts": (lambda x: real(_parts(x)) + imag(_parts(x)), (0, 1)),
}


def _parts(x):
    zeros = fill(0.0, x.aval)
    return complex_(x, zeros) + complex_(zeros, sin(x))


@pytest.mark.parametrize("name", CASES)
def test_joints(name):
    fn, (joints, sums) = CASES[name]
    graph = check(trace_graph(lambda builder, x: (fn(x),), [Aval((4, 6), F64)]))
    joined = check(tidy(join_blocks(graph)))
    found = [eqn.prim.name for eqn in joined.eqns]
    assert (found.count("concatenate"), found.count("add")) == (joints, sums)
    np.testing.assert_array_equal(Executable(joined).jitted(X)[0], Executable(graph).jitted(X)[0])


def test_the_derivative_of_splitting_joins():
    def f(x):
        a, b = gnp.split(x, 2)
        return gnp.sum(gnp.sin(a) * b)

    text = gl.source(gl.grad(f))(X)
    assert "concatenate" in text and "pad" not in text
    np.testing.assert_allclose(gl.grad(f)(X), np.concatenate([np.cos(X[:2]) * X[2:], np.sin(X[:2])]))


BY_HAND = {  # NumPy's, that compiles nothing
    "add": np.add,
    "slice": lambda x, start, limit, strides: x[start[0] : limit[0]],
    "pad": lambda x, zero, low, high, interior: np.pad(x, (low[0], high[0])),
    "concatenate": lambda *xs, axis: np.concatenate(xs),
}


def test_many_blocks():
    """More overlapping joints than are filled at a time: in time that does not grow as the square of their number."""
    rng = np.random.default_rng(0)
    starts, sizes = rng.integers(0, 380, 600).tolist(), rng.integers(1, 7, 600).tolist()

    def run(builder, x):
        total = None
        for start, size in zip(starts, sizes, strict=True):
            one = pad(slice_in_dim(x, start, start + size, axis=0), 0.0, (start,), (400 - start - size,))
            total = one if total is None else total + one
        return (total,)

    joined = check(dce(join_blocks(trace_graph(run, [Aval((400,), F64)]))))
    assert sum(eqn.prim.name == "add" for eqn in joined.eqns) < 300
    counts = np.zeros(400)
    for start, size in zip(starts, sizes, strict=True):
        counts[start : start + size] += 1.0
    value: dict[Any, np.ndarray] = {joined.inputs[0]: np.ones(400)}
    for eqn in joined.eqns:
        xs = [value[a] if isinstance(a, Var) else np.full(a.shape, a.value) for a in eqn.inputs]
        value[eqn.outputs[0]] = BY_HAND[eqn.prim.name](*xs, **eqn.params)
    np.testing.assert_array_equal(value[joined.outputs[0]], counts)
