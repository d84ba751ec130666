"""Reductions and running reductions."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from gradlab.ir.errors import DTypeError, ShapeError
from gradlab.lower.compile import evaluate
from gradlab.ops import cumulative as c
from gradlab.ops import reduce as r
from gradlab.ops.shape import slice_in_dim, squeeze
from gradlab.transforms.jvp import jvp_graph
from tests.support import Case, stage, vjp_graph

RNG = np.random.default_rng(2)
M = RNG.normal(size=(3, 4)) + 0.1
T = RNG.permutation(24).reshape(2, 3, 4) / 7.0 + 0.3  # all distinct
V = RNG.permutation(7) / 3.0 - 1.1
ZEROS = np.array([[0.0, 1.3, -0.7, 0.0], [0.4, 0.0, 1.1, 2.0], [1.5, -0.5, 0.8, 1.2]])
Z = M + 1j * M[::-1]
INTS = np.array([[3, 1, 3, -2], [0, 0, -5, 7]])
BOOLS = np.array([[True, False], [True, True], [False, False]])
EMPTY = np.zeros((0, 3))
INF = np.inf
FEW = ("float32", "bfloat16")


def stepped(x, k):
    return x + k % 2


def over(function, *axes):
    return lambda x: function(x, axes=axes)


def along(function, axis, reverse=False):
    return lambda x: function(x, axis=axis, reverse=reverse)


CASES = {
    "reduce_sum": Case(over(r.reduce_sum, 1), (M,), lambda x: jnp.sum(x, 1)),
    "reduce_sum.all": Case(over(r.reduce_sum, 0, 2, 1), (T,), jnp.sum, widths=()),
    "reduce_sum.empty": Case(over(r.reduce_sum, 0), (EMPTY,), lambda x: jnp.sum(x, 0), widths=()),
    "reduce_sum.int": Case(over(r.reduce_sum, 0), (INTS.astype(np.int8),), lambda x: jnp.sum(x, 0, dtype=jnp.int8)),
    "reduce_prod": Case(over(r.reduce_prod, 1), (M,), lambda x: jnp.prod(x, 1), widths=FEW),
    "reduce_prod.zeros": Case(over(r.reduce_prod, 1), (ZEROS,), lambda x: jnp.prod(x, 1), widths=()),
    "reduce_prod.two": Case(over(r.reduce_prod, 0, 2), (T / 2,), lambda x: jnp.prod(x, (0, 2)), widths=(), order=1),
    "reduce_prod.complex": Case(over(r.reduce_prod, 0), (Z,), lambda x: jnp.prod(x, 0), widths=()),
    "reduce_prod.empty": Case(over(r.reduce_prod, 0), (EMPTY,), lambda x: jnp.prod(x, 0), widths=()),
    "reduce_prod.int": Case(
        over(r.reduce_prod, 0), (INTS.astype(np.int16),), lambda x: jnp.prod(x, 0, dtype=jnp.int16)
    ),
    "reduce_max": Case(over(r.reduce_max, 1), (T,), lambda x: jnp.max(x, 1)),
    "reduce_max.two": Case(over(r.reduce_max, 0, 2), (T,), lambda x: jnp.max(x, (0, 2)), widths=()),
    "reduce_max.all": Case(over(r.reduce_max, 0, 1, 2), (T,), jnp.max, widths=()),
    "reduce_max.vector": Case(over(r.reduce_max, 0), (V,), jnp.max, widths=FEW),
    "reduce_max.no_lines": Case(over(r.reduce_max, 1), (EMPTY,), lambda x: jnp.max(x, 1), widths=()),
    "reduce_min": Case(over(r.reduce_min, 0), (T,), lambda x: jnp.min(x, 0), widths=FEW),
    "reduce_min.int": Case(over(r.reduce_min, 0), (INTS,), lambda x: jnp.min(x, 0)),
    "argmax": Case(lambda x: r.argmax(x, axis=1), (T,), lambda x: jnp.argmax(x, 1).astype("int32"), order=0),
    "argmax.nan": Case(
        lambda x: r.argmax(x, axis=0, dtype="int64"), (np.array([1.0, np.nan, 3.0, np.nan]),), jnp.argmax, order=0
    ),
    "argmin": Case(lambda x: r.argmin(x, axis=1, dtype="int64"), (INTS,), lambda x: jnp.argmin(x, 1)),
    "argmin.bool": Case(lambda x: r.argmin(x, axis=1, dtype="int64"), (BOOLS,), lambda x: jnp.argmin(x, 1)),
    "index_of": Case(
        lambda x, y: r.index_of(x, y, axis=1),
        (INTS, np.array([3, 0])),
        lambda x, y: jnp.argmax(x == y[:, None], 1).astype("int32"),
        vary=lambda x, k: x,
    ),
    "index_of.vector": Case(
        lambda x, y: r.index_of(x, y, axis=0),
        (V, V[3]),
        lambda x, y: jnp.argmax(x == y).astype("int32"),
        order=0,
        vary=lambda x, k: x,
    ),
    "pick": Case(
        lambda x, i: r.pick(x, i, axis=1),
        (M, np.array([2, 0, 3])),
        lambda x, i: jnp.take_along_axis(x, i[:, None], 1)[:, 0],
    ),
    "pick.vector": Case(lambda x, i: r.pick(x, i, axis=0), (V, np.array(4)), lambda x, i: x[i], vary=stepped),
    "pick.bool": Case(lambda x, i: r.pick(x, i, axis=0), (BOOLS, np.array([2, 0])), lambda x, i: x[i, jnp.arange(2)]),
    "place": Case(
        lambda x, i: r.place(x, i, axis=0, size=5),
        (V[:4], np.array([2, 0, 4, 1])),
        lambda x, i: jnp.zeros((5, 4), x.dtype).at[i, jnp.arange(4)].set(x),
    ),
    "place.middle": Case(
        lambda x, i: r.place(x, i, axis=1, size=4),
        (M[:2, :3], np.array([[2, 0, 1], [3, 3, 1]])),
        lambda x, i: jnp.zeros((2, 4, 3)).at[jnp.arange(2)[:, None], i, jnp.arange(3)].set(x),
        widths=(),
    ),
    "place.scalar": Case(
        lambda x, i: r.place(x, i, axis=0, size=3),
        (V[0], np.array(1)),
        lambda x, i: jnp.zeros(3, x.dtype).at[i].set(x),
        vary=stepped,
        widths=FEW,
    ),
    "place.bool": Case(
        lambda x, i: r.place(x, i, axis=0, size=3),
        (BOOLS[:, 0], np.array([2, 0, 1])),
        lambda x, i: (jnp.arange(3)[:, None] == i) & x,
    ),
    "logsumexp": Case(over(r.logsumexp, 1), (M,), lambda x: jax.nn.logsumexp(x, 1)),
    "logsumexp.all": Case(over(r.logsumexp, 0, 1), (M * 30,), jax.nn.logsumexp, widths=(), step=1e-4, rtol=1e-5),
    "logsumexp.scalar": Case(over(r.logsumexp), (V[0],), lambda x: x, widths=FEW),
    "reduce_and": Case(over(r.reduce_and, 1), (BOOLS,), lambda x: jnp.all(x, 1)),
    "reduce_and.int": Case(over(r.reduce_and, 0), (INTS,), lambda x: lax.reduce_and(x, (0,))),
    "reduce_or": Case(over(r.reduce_any, 0, 1), (BOOLS,), jnp.any),
    "reduce_or.empty": Case(over(r.reduce_or, 0), (BOOLS[:0],), lambda x: jnp.any(x, 0)),
    "reduce_xor": Case(over(r.reduce_xor, 0), (BOOLS,), lambda x: jnp.sum(x, 0) % 2 == 1),
    "cumsum": Case(along(c.cumsum, 1), (M,), lambda x: jnp.cumsum(x, 1), widths=FEW),
    "cumsum.reverse": Case(along(c.cumsum, 0, True), (M,), lambda x: lax.cumsum(x, 0, True), widths=()),
    "cumsum.empty": Case(along(c.cumsum, 0), (EMPTY,), lambda x: x, widths=()),
    "cumsum.int": Case(along(c.cumsum, 1), (INTS.astype(np.int8),), lambda x: lax.cumsum(x, 1)),
    "cumprod": Case(along(c.cumprod, 1), (M,), lambda x: jnp.cumprod(x, 1), widths=FEW),
    "cumprod.zeros": Case(along(c.cumprod, 1, True), (ZEROS,), lambda x: lax.cumprod(x, 1, True), widths=()),
    "cumprod.complex": Case(along(c.cumprod, 0), (Z,), lambda x: jnp.cumprod(x, 0), widths=(), order=1),
    "cumprod.empty": Case(along(c.cumprod, 0), (EMPTY,), lambda x: x, widths=()),
    "cummax": Case(along(c.cummax, 1), (T,), lambda x: lax.cummax(x, 1), widths=FEW),
    "cummax.reverse": Case(along(c.cummax, 0, True), (V,), lambda x: lax.cummax(x, 0, True), widths=()),
    "cummin": Case(along(c.cummin, 0), (V,), lambda x: lax.cummin(x, 0), widths=FEW),
    "cummin.int": Case(along(c.cummin, 1, True), (INTS,), lambda x: lax.cummin(x, 1, True)),
    "cumlogsumexp": Case(along(c.cumlogsumexp, 1), (M,), lambda x: lax.cumlogsumexp(x, 1), widths=FEW),
    "cumlogsumexp.reverse": Case(
        along(c.cumlogsumexp, 0, True), (M * 20,), lambda x: lax.cumlogsumexp(x, 0, True), widths=(), order=1, rtol=1e-3
    ),
    "recur": Case(lambda a, b: c.recur(a, b, axis=1, reverse=False), (M, M[::-1]), widths=("float32",)),
    "recur.reverse": Case(lambda a, b: c.recur(a, b, axis=0, reverse=True), (ZEROS, M), widths=()),
    "product_slopes": Case(
        lambda x, t: c.product_slopes(x, t, axis=1, reverse=False, back=False),
        (M, M[::-1]),
        lambda x, t: jax.jvp(lambda x: jnp.cumprod(x, 1), (x,), (t,))[1],
        widths=("float32",),
    ),
    "product_slopes.back": Case(
        lambda x, t: c.product_slopes(x, t, axis=1, reverse=False, back=True),
        (M, M[::-1]),
        lambda x, t: jax.vjp(lambda x: jnp.cumprod(x, 1), x)[1](t)[0],
        widths=("float32",),
    ),
    "product_slopes.long": Case(
        lambda x, t: c.product_slopes(x, t, axis=0, reverse=False, back=True),
        (np.cos(np.arange(46.0)).reshape(23, 2), np.sin(np.arange(46.0)).reshape(23, 2)),
        lambda x, t: jax.vjp(lambda x: jnp.cumprod(x, 0), x)[1](t)[0],
        widths=(),
        order=0,
    ),
    "product_slopes.reverse": Case(
        lambda x, t: c.product_slopes(x, t, axis=0, reverse=True, back=True),
        (ZEROS, M),
        lambda x, t: jax.vjp(lambda x: lax.cumprod(x, 0, True), x)[1](t)[0],
        widths=(),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_primitive(name):
    CASES[name].check()


def derivative(fn, x):
    """The gradient of the sum of `fn` at x; and the jvp along ones."""
    graph = stage(fn, (x,))
    back, _, _ = vjp_graph(graph, (True,))
    (ct,) = evaluate(back, [x, np.ones(graph.out_avals[0].shape)])
    forward, _ = jvp_graph(graph, (True,))
    return np.asarray(ct), np.asarray(evaluate(forward, [x, np.ones(x.shape)])[1])


TIES = np.array([[2.0, 1.0, 2.0], [1.0, 2.0, 1.0]])
FIRST = {
    "max": (over(r.reduce_max, 1), TIES, [[1, 0, 0], [0, 1, 0]]),
    "max, row-major": (over(r.reduce_max, 0, 1), TIES, [[1, 0, 0], [0, 0, 0]]),
    "min": (over(r.reduce_min, 0), TIES, [[0, 1, 0], [1, 0, 1]]),
    "min, row-major": (over(r.reduce_min, 1, 0), TIES, [[0, 1, 0], [0, 0, 0]]),
    "max of -inf": (over(r.reduce_max, 0), np.array([-INF, -INF]), [1, 0]),
    "max of NaN (the last)": (over(r.reduce_max, 0), np.array([3.0, np.nan, 4.0, 2.0]), [0, 0, 0, 1]),
    "cummax": (along(c.cummax, 0), np.array([1.0, 1, 2, 1, 2]), [2, 0, 3, 0, 0]),
    "cummax, reverse": (along(c.cummax, 0, True), np.array([1.0, 2, 1, 2, 1]), [0, 2, 0, 2, 1]),
    "cummin": (along(c.cummin, 0), np.array([1.0, 1, 2, 0, 0]), [3, 0, 0, 2, 0]),
    "cummin, reverse": (along(c.cummin, 0, True), np.array([0.0, 2, 1, 1]), [1, 0, 2, 1]),
    "cummax of -inf": (along(c.cummax, 0), np.array([-INF, -INF, 0.0]), [2, 0, 1]),
}


@pytest.mark.parametrize("name", FIRST)
def test_of_equals_the_first_index_has_the_derivative(name):
    fn, x, want = FIRST[name]
    np.testing.assert_array_equal(derivative(fn, x)[0], want)


INFINITE = {
    "all -inf": (np.array([-INF, -INF]), -INF, [0, 0]),
    "one -inf": (np.array([-INF, 1.0]), 1.0, [0, 1]),
    "+inf": (np.array([1.0, INF, -INF]), INF, [0, 1, 0]),
    "+inf twice": (np.array([INF, 1.0, INF]), INF, [0.5, 0, 0.5]),
    "nothing": (np.array([]), -INF, []),
    "huge": (np.array([1e300, -1e300]), 1e300, [1, 0]),
}


@pytest.mark.parametrize("name", INFINITE)
def test_logsumexp_is_safe_at_infinities(name):
    x, value, gradient = INFINITE[name]
    fn = over(r.logsumexp, 0)
    assert evaluate(stage(fn, (x,)), [x])[0] == value
    ct, t = derivative(fn, x)
    np.testing.assert_array_equal(ct, gradient)
    assert t == sum(gradient)
    if x.size:
        running = along(c.cumlogsumexp, 0)
        assert evaluate(stage(running, (x,)), [x])[0][-1] == value
        assert np.isfinite(derivative(running, x)[0]).all()


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("n", [32, 33, 50])  # from 33 on places are counted in floats
def test_the_first_index_of_equals_however_long_the_axis(n, axis):
    x = np.random.default_rng(n).integers(0, 4, (3, n)).astype(float)
    x[1, -1] = 9.0
    x = x if axis else x.T
    most = x.max(axis)
    (index,) = evaluate(stage(lambda x, y: r.index_of(x, y, axis=axis), (x, most)), (x, most))
    assert index.dtype == np.int32 and list(index) == list(x.argmax(axis))
    (index,) = evaluate(stage(lambda x, y: r.index_of(x, y, axis=axis), (x, most)), (x, most + np.nan))
    assert list(index) == [n - 1] * 3


def test_logsumexp_of_nan_is_nan_and_so_is_its_derivative():
    assert np.isnan(derivative(over(r.logsumexp, 0), np.array([1.0, np.nan]))[1])


def test_products_with_zeros_are_right_to_second_order():
    x = np.array([0.0, 3.0, 0.0, 5.0])
    for fn in (over(r.reduce_prod, 0), lambda x: squeeze(slice_in_dim(c.cumprod(x, axis=0), 3, 4, axis=0), (0,))):
        graph = stage(fn, (x,))
        back, _, _ = vjp_graph(graph, (True,))
        twice, _ = jvp_graph(back, (True, False))
        hessian = np.stack([evaluate(twice, [x, np.array(1.0), e])[1] for e in np.eye(4)])
        want = np.zeros((4, 4))
        want[0, 2] = want[2, 0] = 15.0
        np.testing.assert_array_equal(hessian, want)


@pytest.mark.parametrize(
    ("fn", "arg", "error", "remedy"),
    [
        (over(r.reduce_max, 0), EMPTY, ShapeError, "Concatenate a starting value"),
        (over(r.reduce_max, 0), Z, DTypeError, "reduce_max needs a dtype"),
        (over(r.reduce_max, 2), M, ShapeError, "distinct axes"),
        (lambda x: r.argmin(x, axis=0), EMPTY, ShapeError, "starting value"),
        (lambda x: r.argmax(x, axis=0, dtype="int8"), np.zeros(1000), DTypeError, "that holds them"),
        (over(r.logsumexp, 0), Z, DTypeError, "logsumexp needs a dtype"),
        (lambda x: r.pick(x, x, axis=0), M, DTypeError, "integer index"),
        (lambda x: r.pick(x, r.argmax(x, axis=1), axis=0), M, ShapeError, "one index for each line"),
        (along(c.cumsum, 2), M, ShapeError, "axes within"),
    ],
)
def test_errors_say_what_to_do(fn, arg, error, remedy):
    with pytest.raises(error, match=remedy):
        stage(fn, (arg,))
