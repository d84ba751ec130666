"""A pick moved below what makes the line: fewer elements computed, the same numbers, the same derivatives."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.ir.check import check
from gradlab.ir.graph import Aval, Graph
from gradlab.lower.compile import Executable
from gradlab.ops.arith import add, mul
from gradlab.ops.contract import dot_general
from gradlab.ops.elementwise import sin, sin_p
from gradlab.ops.families import broadcast_p, permute_p, reduce_sum_p, reshape_p
from gradlab.ops.operands import fill
from gradlab.ops.reduce import pick
from gradlab.passes.dce import dce
from gradlab.passes.sink import SHORTEST_LINE, sink
from gradlab.trace.builder import bind1
from gradlab.trace.stage import trace_graph
from tests.support import Programs, assert_close, vjp_graph

RNG = np.random.default_rng(8)
K = SHORTEST_LINE + 1
INT = np.dtype("int32")
F64 = np.dtype("float64")


def array(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape)


def index(*shape: int) -> np.ndarray:
    return RNG.integers(0, K, shape).astype(INT)


def broadcast(x, shape, axes):
    return bind1(broadcast_p, x, shape=shape, axes=axes)


def permute(x, *order):
    return bind1(permute_p, x, order=order)


def reshape(x, *shape):
    return bind1(reshape_p, x, shape=shape)


def total(x, *axes):
    return bind1(reduce_sum_p, x, axes=axes)


def dot(x, y, contract):
    return dot_general(x, y, contract=contract)


# name -> the function, its operands, and the primitives that must be gone from above the pick
CASES: dict[str, tuple[Callable, tuple, set[str]]] = {
    "elementwise": (lambda x, i: pick(sin(mul(x, x)), i, axis=1), (array(5, K), index(5)), set()),
    "elementwise, first axis": (lambda x, i: pick(sin(x), i, axis=0), (array(K, 5), index(5)), set()),
    "with a literal": (lambda x, i: pick(add(mul(x, 2.0), 1.0), i, axis=0), (array(K), index()), set()),
    "of a literal": (lambda x, i: pick(mul(fill(2.0, x.aval), x), i, axis=0), (array(K), index()), set()),
    "a stretch along the line": (
        lambda x, i: pick(sin(broadcast(x, (5, K), (0,))), i, axis=1), (array(5), index(5)), {"pick"},
    ),
    "a stretch across the lines": (
        lambda x, i: pick(broadcast(x, (5, K), (1,)), i, axis=1), (array(K), index(5)), {"pick"},
    ),
    "a stretch of an axis of 1": (
        lambda x, i: pick(broadcast(x, (5, K), (0, 1)), i, axis=1), (array(5, 1), index(5)), {"pick"},
    ),
    "a stretch of the other axis": (
        lambda x, i: pick(broadcast(x, (5, K), (0, 1)), i, axis=1), (array(1, K), index(5)), set(),
    ),
    "a stretch around": (
        lambda x, i: pick(broadcast(x, (4, K, 3), (1,)), i, axis=1), (array(K), index(4, 3)), {"pick"},
    ),
    "a stretch, the line first": (
        lambda x, i: pick(broadcast(x, (K, 4, 3), (0, 2)), i, axis=0), (array(K, 3), index(4, 3)), set(),
    ),
    "a turn": (lambda x, i: pick(sin(permute(x, 1, 0)), i, axis=1), (array(K, 5), index(5)), set()),
    "a turn of three": (
        lambda x, i: pick(permute(sin(x), 2, 0, 1), i, axis=2), (array(4, K, 3), index(3, 4)), set(),
    ),
    "another turn of three": (
        lambda x, i: pick(permute(sin(x), 1, 2, 0), i, axis=0), (array(4, K, 3), index(3, 4)), set(),
    ),
    "axes of 1 come and go": (
        lambda x, i: pick(reshape(sin(x), 1, 5, K, 1), i, axis=2), (array(5, 1, K), index(1, 5, 1)), set(),
    ),
    "a line that is reshaped": (
        lambda x, i: pick(reshape(sin(x), 2, K), i, axis=1), (array(2 * K), index(2)), set(),
    ),
    "a sum": (lambda x, i: pick(total(mul(x, x), 2), i, axis=1), (array(5, K, 3), index(5)), set()),
    "a sum of two": (lambda x, i: pick(total(sin(x), 0, 2), i, axis=0), (array(4, K, 3), index()), set()),
    "a product, from the right": (
        lambda x, y, i: pick(dot(x, y, ((1,), (1,))), i, axis=1), (array(5, 3), array(K, 3), index(5)), {"dot_general"},
    ),
    "a product, from the left": (
        lambda x, y, i: pick(dot(x, y, ((1,), (0,))), i, axis=0), (array(K, 3), array(3, 5), index(5)), {"dot_general"},
    ),
    "a product, transposed": (
        lambda x, y, i: pick(dot(x, y, ((0,), (0,))), i, axis=1), (array(3, 5), array(3, K), index(5)), {"dot_general"},
    ),
    "a product with a vector": (
        lambda x, y, i: pick(dot(x, y, ((1,), (0,))), i, axis=0), (array(K, 3), array(3), index()), {"dot_general"},
    ),
    "a product over two axes": (
        lambda x, y, i: pick(dot(x, y, ((1, 2), (1, 0))), i, axis=1), (array(5, 2, 3), array(3, 2, K), index(5)),
        {"dot_general"},
    ),
    "two picks": (
        lambda x, i, j: add(pick(sin(x), i, axis=1), pick(sin(x), j, axis=1)), (array(5, K), index(5), index(5)), set(),
    ),
    "a pick of a pick": (
        lambda x, i, j: pick(mul(pick(sin(x), i, axis=2), 2.0), j, axis=1),
        (array(5, K, K), index(5, K), index(5)), set(),
    ),
    "a short line": (
        lambda x, i: pick(sin(x), i, axis=0), (array(3), np.array(2, INT)), set(),
    ),
}  # fmt: skip


STAY = {"a line that is reshaped", "a short line"}


def sines(graph: Graph) -> int:
    """How many of them are computed."""
    return sum(eqn.outputs[0].aval.size for eqn in graph.eqns if eqn.prim is sin_p)


def staged(fn: Callable, args: tuple) -> Graph:
    return check(trace_graph(lambda builder, *xs: [fn(*xs)], [Aval(a.shape, a.dtype) for a in args]))


@pytest.mark.parametrize("name", CASES)
def test_sink(name):
    """The same value, jvp and vjp; less above the pick."""
    fn, args, gone = CASES[name]
    graph = staged(fn, args)
    after = dce(check(sink(graph)))
    assert after.out_avals == graph.out_avals and after.in_avals == graph.in_avals
    assert not gone & {eqn.prim.name for eqn in after.eqns}
    if sines(graph) and name not in STAY:
        assert sines(after) < sines(graph)
    programs = Programs()
    active = [a.dtype == F64 for a in args]
    for k, g in enumerate((graph, after)):
        programs.add(f"value {k}", g, list(args))
        back = vjp_graph(g, active)[0]
        programs.add(f"vjp {k}", back, [*args, np.sin(np.arange(g.outputs[0].aval.size)).reshape(g.outputs[0].shape)])
    got = programs.run()
    for what in ("value", "vjp"):
        for one, two in zip(got[f"{what} 0"], got[f"{what} 1"], strict=True):
            assert_close(two, one, 1e-13, what)


def test_a_graph_without_a_pick_is_left_alone():
    graph = staged(lambda x: sin(x), (array(3),))
    assert sink(graph) is graph


def test_a_line_that_others_read_is_not_summed_twice():
    def fn(x, i):
        y = total(mul(x, x), 2)
        return add(pick(y, i, axis=1), total(y, 1))

    graph = dce(check(sink(staged(fn, (array(5, K, 3), index(5))))))
    assert [eqn.prim.name for eqn in graph.eqns].count("reduce_sum") == 2


@pytest.mark.parametrize("make", [lambda x: add(sin(x), x), lambda x: mul(x, x)], ids=["diamonds", "squares"])
def test_a_shared_line_is_walked_once(make):
    """2⁶⁰ paths through sixty diamonds, one pick: a pass that walked them all would never end."""

    def fn(x, i):
        for _ in range(60):
            x = make(x)
        return pick(x, i, axis=0)

    graph = staged(fn, (array(K), index()))
    after = check(sink(graph))
    assert len(after.eqns) <= 3 * len(graph.eqns)


def test_many_picks_of_a_shared_line():
    def fn(x, *indices):
        y = x
        for _ in range(20):
            y = add(sin(y), x)
        out = pick(y, indices[0], axis=0)
        for i in indices[1:]:
            out = add(out, pick(y, i, axis=0))
        return out

    graph = staged(fn, (array(K), *(index() for _ in range(10))))
    assert len(check(sink(graph)).eqns) <= 12 * len(graph.eqns)


# -- k-means, in both forms: the derivative of a distance to the nearest centre


def expanded(np_, centres, points):
    d = ((points[:, None, :] - centres[None, :, :]) ** 2).sum(-1)
    return np_.min(d, axis=1).sum()


def multiplied(np_, centres, points):
    d = (points**2).sum(1)[:, None] - 2 * points @ centres.T + (centres**2).sum(1)
    return np_.min(d, axis=1).sum()


def one_sided(np_, centres, points):
    d = (centres**2).sum(1) - 2 * np_.matmul(points, np_.transpose(centres))
    return np_.max(-d, 1).mean()


def weighted(np_, centres, points):
    d = np_.sqrt(((points[None] - centres[:, None]) ** 2).sum(axis=2, keepdims=True)) + 0.1
    return (np_.min(d, axis=0)[:, 0] * np_.cos(points[:, 0])).sum()


@pytest.mark.parametrize("loss", [expanded, multiplied, one_sided, weighted])
def test_nearest_centres(loss):
    centres, points, along = array(K, 3), array(20, 3), array(K, 3)

    def of(library, np_):
        def f(c, p):
            return loss(np_, c, p)

        def run(c, p, t):
            hvp = library.jvp(lambda c: library.grad(f)(c, p), (c,), (t,))[1]
            return library.value_and_grad(f, argnums=(0, 1))(c, p), hvp

        return run

    ours, theirs = of(gl, gnp), of(jax, jnp)
    got, want = jax.jit(lambda *xs: (ours(*xs), theirs(*xs)))(centres, points, along)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert_close(a, b, 1e-12, loss.__name__)


@pytest.mark.parametrize("loss", [expanded, multiplied])
def test_the_gradient_of_k_means_is_sparse(loss):
    """Nothing but the distances themselves has a line per point and centre and component, and no mask is multiplied."""
    graph = gl.stage(gl.grad(lambda c, p: loss(gnp, c, p)))(array(K, 3), array(20, 3))
    assert "scatter_add" in {eqn.prim.name for eqn in graph.eqns}
    assert "place" not in {eqn.prim.name for eqn in graph.eqns}


def test_a_pick_of_a_repeated_literal():
    """The index varies only along the axis that the literal is repeated on."""

    def run(builder, index):
        line = builder.literal(2.0, Aval((10,), F64))
        return [pick(bind1(broadcast_p, line, shape=(10, 4), axes=(0,)), index, axis=0)]

    graph = trace_graph(run, [Aval((4,), INT)])
    (got,) = Executable(check(sink(graph))).jitted(np.arange(4, dtype=np.int32))
    np.testing.assert_array_equal(got, np.full(4, 2.0))
