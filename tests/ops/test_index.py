"""Gathers, scatters and dynamic slices."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from gradlab.ir.errors import ArgumentError, DTypeError, MissingRuleError, ShapeError
from gradlab.lower.compile import evaluate
from gradlab.lower.emit import emit
from gradlab.ops import dynamic as d
from gradlab.ops import index as g
from gradlab.transforms.jvp import jvp_graph
from tests.support import Case, stage, vjp_graph

RNG = np.random.default_rng(4)
V = RNG.permutation(5) / 3.0 - 0.6
M = RNG.permutation(12).reshape(3, 4) / 5.0 - 1.1
T = RNG.permutation(24).reshape(2, 3, 4) / 7.0 + 0.3
I = np.array([2, 0, 2, 1])  # noqa: E741  one position twice
J = np.array([0, 3, 1, 1])
OUT = np.array([2, -1, 7, 1], np.int32)
UNIQUE = np.array([2, 0, 1])
GRID = np.array([[0, 2], [1, 1]])
ONE = np.array(1)
EMPTY = np.zeros((0, 3))
NONE = np.zeros((0,), np.int32)
FEW = ("float32", "bfloat16")
U = RNG.normal(size=(4, 4))  # updates of M at I


def gather(axes, mode="fill"):
    return lambda x, *i: g.gather(x, *i, axes=axes, mode=mode)


def scatter(function, axes, **options):
    return lambda x, u, *i: function(x, u, *i, axes=axes, **options)


def stepped(x, k):
    """Another position, or other numbers."""
    return x + k % 2


CASES = {
    "gather": Case(gather((0,)), (M, I), lambda x, i: x[i]),
    "gather.inner": Case(gather((1,)), (T, GRID), lambda x, i: x[:, i], widths=()),
    "gather.two": Case(gather((1, 2)), (T, UNIQUE, J[:3]), lambda x, i, j: x[:, i, j], widths=FEW),
    "gather.all": Case(gather((0, 1)), (M, GRID, GRID + 1), lambda x, i, j: x[i, j], widths=()),
    "gather.scalar": Case(gather((1,)), (M, ONE), lambda x, i: x[:, i], vary=stepped, widths=()),
    "gather.element": Case(gather((0,)), (V, ONE), lambda x, i: x[i], vary=stepped, widths=FEW),
    "gather.none": Case(gather((0,)), (M, NONE), lambda x, i: x[i], widths=()),
    "gather.none_of_empty": Case(gather((0,)), (EMPTY, NONE), lambda x, i: x, widths=()),
    "gather.int": Case(gather((0,)), (J, I), lambda x, i: x[i]),
    "gather.fill": Case(
        gather((0,)),
        (V, OUT),
        lambda x, i: x.at[i].get(mode="fill", wrap_negative_indices=False),
        active=(True, False),
        order=0,
    ),
    "gather.fill_int": Case(gather((0,)), (J, OUT), lambda x, i: x.at[i].get(mode="fill", wrap_negative_indices=False)),
    "gather.zero": Case(gather((0,), "zero"), (M, OUT), lambda x, i: jnp.where(((i >= 0) & (i < 3))[:, None], x[i], 0)),
    "gather.clip": Case(gather((1,), "clip"), (M, OUT), lambda x, i: x[:, jnp.clip(i, 0, 3)], widths=()),
    "gather.wrap": Case(gather((0,), "wrap"), (M, OUT), lambda x, i: x[i % 3], widths=()),
    "gather.promise": Case(gather((0,), "promise_in_bounds"), (M, I.astype(np.uint8)), lambda x, i: x[i], widths=()),
    "gather.along": Case(
        lambda x, i: g.take_along_axis(x, i, axis=0),
        (M, np.array([[0, 1, 2, 0], [2, 2, 0, 1]])),
        lambda x, i: jnp.take_along_axis(x, i, 0),
        widths=(),
    ),
    "scatter_add": Case(scatter(g.scatter_add, (0,)), (M, U, I), lambda x, u, i: x.at[i].add(u), widths=("float32",)),
    "scatter_add.inner": Case(
        scatter(g.scatter_add, (1,)), (T, T[:, [[0, 1], [1, 2]]], GRID), lambda x, u, i: x.at[:, i].add(u), widths=()
    ),
    "scatter_add.two": Case(
        scatter(g.scatter_add, (0, 1)), (T, U, I % 2, I), lambda x, u, i, j: x.at[i, j].add(u), widths=()
    ),
    "scatter_add.updates_only": Case(
        scatter(g.scatter_add, (0,)),
        (M, U, I),
        lambda x, u, i: x.at[i].add(u),
        active=(False, True, False),
        widths=(),
    ),
    "scatter_add.drop": Case(
        scatter(g.scatter_add, (0,)),
        (V, V[:4], OUT),
        lambda x, u, i: x.at[i].add(jnp.where((i >= 0) & (i < 5), u, 0)),
        widths=(),
    ),
    "scatter_add.clip": Case(
        scatter(g.scatter_add, (0,), mode="clip"), (V, V[:4], OUT), lambda x, u, i: x.at[i.clip(0, 4)].add(u), widths=()
    ),
    "scatter_add.wrap": Case(
        scatter(g.scatter_add, (0,), mode="wrap"), (V, V[:4], OUT), lambda x, u, i: x.at[i % 5].add(u), widths=()
    ),
    "scatter_add.none": Case(scatter(g.scatter_add, (0,)), (M, M[:0], NONE), lambda x, u, i: x, widths=()),
    "scatter_add.int": Case(scatter(g.scatter_add, (0,)), (J, I, I), lambda x, u, i: x.at[i].add(u)),
    "scatter_set": Case(
        scatter(g.scatter_set, (0,)), (M, U[:3], UNIQUE), lambda x, u, i: x.at[i].set(u), widths=("float32",)
    ),
    "scatter_set.twice": Case(scatter(g.scatter_set, (0,)), (M, U, I), lambda x, u, i: x.at[i].set(u), widths=()),
    "scatter_set.unique": Case(
        scatter(g.scatter_set, (1,), unique=True), (T, T[:, ::-1], UNIQUE), lambda x, u, i: x.at[:, i].set(u), widths=()
    ),
    "scatter_set.scalar": Case(
        scatter(g.scatter_set, (0,)), (M, U[0], ONE), lambda x, u, i: x.at[i].set(u), vary=stepped, widths=()
    ),
    "scatter_set.drop": Case(
        scatter(g.scatter_set, (0,)),
        (V, V[:4], OUT),
        lambda x, u, i: x.at[jnp.where(i < 0, 9, i)].set(u, mode="drop"),
        widths=(),
    ),
    "scatter_mul": Case(
        scatter(g.scatter_mul, (0,), unique=True), (M, U[:3], UNIQUE), lambda x, u, i: x.at[i].multiply(u), widths=FEW
    ),
    "scatter_mul.twice": Case(
        scatter(g.scatter_mul, (0,)),
        (M, U, I),
        lambda x, u, i: x.at[i].multiply(u),
        active=(True, False, False),
        widths=(),
    ),
    "scatter_min": Case(scatter(g.scatter_min, (0,)), (M, U, I), lambda x, u, i: x.at[i].min(u), widths=("float32",)),
    "scatter_max": Case(
        scatter(g.scatter_max, (1,)), (M, U[:3], I), lambda x, u, i: x.at[:, i].max(u), widths=("float32",)
    ),
    "scatter_max.drop": Case(
        scatter(g.scatter_max, (0,)),
        (V, V[:4] + 0.1, OUT),
        lambda x, u, i: x.at[jnp.where(i < 0, 9, i)].max(u, mode="drop"),
        widths=(),
    ),
    "dynamic_slice": Case(
        lambda x, i, j: d.dynamic_slice(x, i, j, sizes=(2, 3)),
        (M, ONE, ONE),
        lambda x, i, j: lax.dynamic_slice(x, (i, j), (2, 3)),
        vary=stepped,
    ),
    "dynamic_slice.one_axis": Case(
        lambda x, i: d.dynamic_slice(x, 0, i, 0, sizes=(2, 2, 4)),
        (T, ONE),
        lambda x, i: lax.dynamic_slice(x, (0, i, 0), (2, 2, 4)),
        vary=stepped,
        widths=(),
    ),
    "dynamic_slice.outside": Case(
        lambda x, i: d.dynamic_slice(x, i, sizes=(3,)),
        (V, np.array(-2)),
        lambda x, i: x[:3],
        vary=lambda x, k: x + 4 * k if x.dtype.kind == "i" else np.roll(x, k),
        widths=(),
    ),
    "dynamic_slice.whole": Case(
        lambda x, i: d.dynamic_slice(x, i, sizes=(5,)), (V, ONE), lambda x, i: x, vary=stepped, widths=()
    ),
    "dynamic_slice.of_scalar": Case(
        lambda x: d.dynamic_slice(x, sizes=()), (V[0],), lambda x: x, vary=stepped, widths=()
    ),
    "dynamic_update_slice": Case(
        d.dynamic_update_slice,
        (M, M[:2, :3] + 1, ONE, ONE),
        lambda x, u, i, j: lax.dynamic_update_slice(x, u, (i, j)),
        vary=stepped,
    ),
    "dynamic_update_slice.one_axis": Case(
        lambda x, u, i: d.dynamic_update_slice(x, u, 0, i),
        (M, M[:, :1] + 1, ONE),
        lambda x, u, i: lax.dynamic_update_slice(x, u, (0, i)),
        vary=stepped,
        widths=(),
    ),
    "dynamic_update_slice.whole": Case(
        d.dynamic_update_slice, (V, V + 1, ONE), lambda x, u, i: u, vary=stepped, widths=()
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_primitive(name):
    CASES[name].check()


def test_no_derivative_flows_through_positions_out_of_bounds():
    graph = stage(gather((0,)), (V, OUT))
    forward, _ = jvp_graph(graph, (True, False))
    value, tangent = evaluate(forward, [V, OUT, np.ones(5)])
    np.testing.assert_array_equal(np.isnan(value), [False, True, True, False])
    np.testing.assert_array_equal(tangent, [1, 0, 0, 1])
    back, _, _ = vjp_graph(graph, (True, False))
    np.testing.assert_array_equal(evaluate(back, [V, OUT, np.ones(4)])[0], [0, 1, 1, 0, 0])


@pytest.mark.parametrize("function", [g.scatter_min, g.scatter_max])
def test_of_equal_extrema_the_array_then_the_first_update_has_the_derivative(function):
    x = np.array([1.0, 0.0, 2.0])
    u, i = np.array([3.0, 3.0, 2.0]), np.array([1, 1, 2])
    if function is g.scatter_min:
        x, u = -x, -u
    back, _, _ = vjp_graph(stage(scatter(function, (0,)), (x, u, i)), (True, True, False))
    cx, cu = evaluate(back, [x, u, i, np.array([5.0, 6.0, 7.0])])
    np.testing.assert_array_equal(cx, [5, 0, 7])
    np.testing.assert_array_equal(cu, [6, 0, 0])


def test_products_of_repeated_positions_refuse_their_derivative():
    graph = stage(scatter(g.scatter_mul, (0,)), (M, U, I))
    with pytest.raises(MissingRuleError, match="unique_indices=True"):
        jvp_graph(graph, (False, True, False))


def test_the_source_reads_as_one_would_write_it():
    source = emit(stage(gather((1,), "promise_in_bounds"), (M, I)))
    assert '.at[:, t1].get(mode="promise_in_bounds"' in source
    source = emit(stage(scatter(g.scatter_add, (0,)), (M, U, I)))
    assert '.at[t2].add(t1, mode="drop"' in source


@pytest.mark.parametrize(
    ("fn", "args", "error", "remedy"),
    [
        (gather((0,), "nearest"), (M, I), ArgumentError, "knows the modes"),
        (gather((2,)), (M, I), ShapeError, "Transpose the array first"),
        (gather((1, 0)), (M, I, I), ShapeError, "neighbouring axes"),
        (gather((0, 1)), (M, I), ShapeError, "one index array for each"),
        (gather((0,)), (M, V), DTypeError, "astype"),
        (gather((0,), "clip"), (EMPTY, I), ShapeError, "nothing to index"),
        (scatter(g.scatter_add, (0,)), (M, M, I), ShapeError, "needs updates"),
        (lambda x, i: d.dynamic_slice(x, i, i, sizes=(4, 1)), (M, ONE), ShapeError, "block that fits"),
        (lambda x, i: d.dynamic_slice(x, i, sizes=(1, 1)), (M, ONE), ShapeError, "one scalar start"),
        (lambda x, i: d.dynamic_slice(x, i, sizes=(1,)), (V, V[0]), DTypeError, "starts at integers"),
        (lambda x, i: d.dynamic_update_slice(x, i, 0), (V, I), DTypeError, "update of its dtype"),
    ],
)
def test_errors_say_what_to_do(fn, args, error, remedy):
    with pytest.raises(error, match=remedy):
        stage(fn, args)
