"""Statistics, sorting, searching, histograms: values, dtypes and gradients are jax.numpy's; edges are chosen."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.ir.errors import ArgumentError, ConcretizationError, DTypeError, ShapeError

from .compare import Call, compare, named

RNG = np.random.default_rng(5)
X = np.array([[0.3, -1.2, 2.6, 0.9], [1.1, 0.7, -0.4, -2.0], [0.2, 4.0, 1.5, 0.6]])
N = np.where(X > 1.7, np.nan, X)
W = np.array([0.5, 2.0, 0.0, 1.0])
V = np.array([0.5, -2.0, 3.0, 0.7, 1.9])
I = np.array([[3, -1, 2, 7], [0, 5, 4, 3], [1, 1, 6, 2]])  # noqa: E741
K = np.array([2, 0, 2, 5, 1, 2])
C = X[:, :3] + 1j * X[::-1, 1:]
Q = np.array([0.1, 0.55, 0.9])
T = np.arange(24.0).reshape(2, 3, 4) % 7 + np.arange(24.0).reshape(2, 3, 4) / 31
METHODS = ("linear", "lower", "higher", "midpoint", "nearest", "inverted_cdf")


def call(fn, *args, grad=True, weak=False):
    return Call(fn.__code__.co_name + str(fn.__code__.co_firstlineno), fn, args, grad, weak)


TABLES = {
    "quantiles": [
        *[call(lambda m, x, k=k: m.quantile(x, 0.3, axis=1, method=k), X) for k in METHODS],
        *[call(lambda m, x, q, k=k: m.quantile(x, q, axis=0, method=k), X, Q) for k in METHODS],
        *[call(lambda m, x, q, k=k: m.nanquantile(x, q, axis=1, method=k, keepdims=True), N, Q) for k in METHODS],
        call(lambda m, x: m.quantile(x, np.array([0.0, 0.5, 1.0]), keepdims=True), X),
        call(lambda m, x, q: m.percentile(x, q, axis=(0, 2)), T, 100 * Q),
        call(lambda m, x, q: m.nanpercentile(x, q, axis=(2, 1), keepdims=True), T, 100 * Q),
        call(lambda m, x: [m.percentile(x, 35), m.percentile(x, 35, method="nearest")], X),
        call(lambda m, x: m.quantile(x, 0.4, axis=1, weights=W, method="inverted_cdf"), X),
        call(lambda m, x, w: m.quantile(x, Q, 1, weights=w, method="inverted_cdf", keepdims=True), X, W, grad=False),
        call(lambda m, x: m.nanquantile(x, Q, weights=abs(X), method="inverted_cdf"), N),
        call(lambda m, x: [m.median(x), m.median(x, 1, keepdims=True), m.median(x, (0, 1))], X),
        call(lambda m, x: [m.nanmedian(x), m.nanmedian(x, 1, keepdims=True), m.nanmedian(x, 0)], N),
        call(lambda m, x: [m.median(x, 0), m.quantile(x, 0.2, 0), m.quantile(x, m.asarray(0.2), 0)], N, grad=False),
        *named("median nanmedian", I),
        *named("median", X.astype(np.float32), axis=1),
        *named("quantile nanquantile", X.astype(np.float32), 0.3, axis=1),
    ],
    "nan": [
        *named("nansum nanprod nanmax nanmin nanmean nanvar nanstd nanargmax nanargmin nancumsum nancumprod", N),
        *named("nansum nanprod nanmax nanmin nanmean nanvar nanstd nanargmax nanargmin nancumsum", N, axis=0),
        *named("nansum nanmax nanmean nanstd", N, axis=1, keepdims=True),
        *named("nansum nanmax nanmean nanvar nanargmax nancumsum nancumprod", I),
        *named("nanvar nanstd", N, ddof=1, axis=1),
        call(
            lambda m, x: [
                m.nansum(x, 1, initial=2.0),
                m.nanmax(x, 1, initial=0.5),
                m.nanmin(x, where=x < 1, initial=9),
            ],
            N,
        ),
        call(
            lambda m, x: [m.nanmean(x, 1, where=W > 0), m.nanvar(x, 0, where=W > 0), m.nanprod(x, where=W > 0)],
            N,
            grad=False,
        ),
        call(lambda m, x: m.nanvar(x, 0, mean=m.nanmean(x, 0, keepdims=True)), N),
        *named("nanmean nanvar", C),
        call(
            lambda m, x: [f(x, 1) for f in (m.nanmax, m.nanmean, m.nanvar, m.nanargmin, m.nansum, m.nanmedian)],
            np.array([[np.nan, np.nan], [1.0, np.nan]]),
            grad=False,
        ),
    ],
    "reductions": [
        call(lambda m, x: [m.var(x, 1, where=W > 0), m.std(x, where=x > 0), m.var(x, ddof=1, where=x > 0)], X),
        call(
            lambda m, x: [
                m.var(x, 1, correction=1),
                m.std(x, 0, ddof=2),
                m.var(x, 0, mean=m.mean(x, 0, keepdims=True)),
            ],
            X,
        ),
        call(lambda m, x: [m.mean(x, 1, where=W > 0), m.var(x, 1, keepdims=True, where=W > 0)], X),
        call(lambda m, x: [m.var(x, 0, ddof=3), m.var(x, 0, ddof=5)], X, grad=False),
        call(
            lambda m, x, w: [*m.average(x, 1, w, returned=True), m.average(x, axis=1, weights=w, keepdims=True)], X, W
        ),
        call(lambda m, x: [*m.average(x, 0, returned=True), *m.average(x, returned=True)], X),
        call(lambda m, x, w: m.average(x, (2, 0), w), T, T[0, 0, :, None] + np.arange(2.0)),
        call(lambda m, x: [*m.average(x, 1, weights=np.array([1, 2, 3, 4]), returned=True)], I, grad=False),
        *named("cumulative_sum cumulative_prod", V),
        *named("cumulative_sum cumulative_prod", X, axis=1, include_initial=True),
        *named("cumulative_sum cumulative_prod", I.astype(np.int8), axis=0),
        call(lambda m, x: [m.prod(x, promote_integers=False), m.sum(x, promote_integers=False)], I.astype(np.int8)),
        call(
            lambda m, x: [
                m.sum(x, where=W > 0, axis=1),
                m.prod(x, 1, where=W > 0),
                m.max(x, 1, initial=0, where=W > 0),
            ],
            X,
        ),
        *(
            [call(lambda m, x: [*m.minmax(x), *m.minmax(x, 1, initial=(1.0, 2.0))], X)]
            if hasattr(jnp, "minmax")
            else []
        ),
    ],
    "covariance": [
        *named("cov corrcoef", X),
        *named("cov corrcoef", X, rowvar=False),
        call(lambda m, x, y: [m.cov(x, y), m.corrcoef(x[0], y[1]), m.cov(x, y, rowvar=False)], X, X[::-1] ** 2),
        call(lambda m, x: [m.cov(x, bias=True), m.cov(x, ddof=2), m.cov(x, ddof=0), m.cov(x[0])], X),
        call(lambda m, x, w: [m.cov(x, aweights=w), m.cov(x, fweights=np.array([1, 0, 2, 3]), aweights=w)], X, W + 0.1),
        call(lambda m, x: m.cov(x, fweights=np.array([1, 0, 2, 3])), X),
        call(lambda m, x: m.cov(x, dtype=np.float32), X, grad=False),
        *named("cov", I),
        *named("cov corrcoef", C, grad=False),
    ],
    "order": [
        call(lambda m, x: [m.sort(x, axis=None), m.sort(x, 0, descending=True), m.sort(x, stable=False)], X),
        call(lambda m, x: [m.argsort(x, 0), m.argsort(x, None), m.argsort(x % 3, descending=True)], I),
        call(
            lambda m, x, y: [m.lexsort((x, y)), m.lexsort([y, x % 2], axis=0), m.lexsort(m.stack([x, y]))],
            I,
            I[::-1] % 3,
        ),
        call(lambda m, x: [m.partition(x, 1), m.partition(x, 2, axis=0), m.partition(x, -1)], X),
        call(lambda m, x: [m.argpartition(x, 1), m.argpartition(x, 0, axis=0), m.argpartition(x, 3)], I),
        *named("sort_complex", X),
        *named("sort_complex", C, grad=False),
        *named("sort_complex", I),
        *[
            call(lambda m, x, k=k: m.argsort(x, dtype=k), I)
            for k in ("int32", "int16")
            if jax.__version_info__ > (0, 10, 1)
        ],
    ],
    "searching": [
        *[
            call(
                lambda m, v, k=k: [
                    m.searchsorted(np.sort(V), v, method=k),
                    m.searchsorted(np.sort(V), v, "right", method=k),
                ],
                np.append(V, 0.1),
            )
            for k in ("scan", "scan_unrolled", "sort", "compare_all")
        ],
        call(lambda m, v: m.searchsorted(v, m.asarray([[0.1, 0.5]]), sorter=m.argsort(v)), V),
        call(lambda m, i: m.searchsorted(np.array([0.5, 1.5, 4.0]), i), I),
        call(
            lambda m, x: [
                m.digitize(x, np.sort(V)),
                m.digitize(x, -np.sort(-V), right=True),
                m.digitize(x, np.zeros(0)),
            ],
            X,
        ),
        call(lambda m, k: [m.bincount(k, length=4), m.bincount(k, length=8), m.bincount(k > 1, length=2)], K),
        call(lambda m, k, w: m.bincount(k - 1, w, length=5), K, RNG.normal(size=6)),
    ],
    "histograms": [
        call(lambda m, x: [*m.histogram(x), *m.histogram(x, 4, (-1, 2)), m.histogram_bin_edges(x, 3)], X),
        call(lambda m, x, w: [*m.histogram(x, np.array([-2.0, 0.3, 1.0, 4.0]), weights=w, density=True)], X, abs(X)),
        call(lambda m, x: [*m.histogram(x, density=True)], X, grad=False),
        call(lambda m, x: [*m.histogram(x, 3)], np.full(4, 2.0), grad=False),
        call(lambda m, i: [*m.histogram(i, 3), m.histogram_bin_edges(i, np.array([0, 2, 9]))], I),
        call(
            lambda m, x, y: [*m.histogram2d(x, y, 3), *m.histogram2d(x, y, [2, np.array([-3.0, 0, 5.0])])], X[0], X[1]
        ),
        call(lambda m, x, w: [*m.histogram2d(x, x * x, np.linspace(-1, 4, 5), weights=w, density=True)], X[0], W),
        call(lambda m, x: [m.histogramdd(x, 2)[0], *m.histogramdd(x, (2, 3, 1), [None, (0, 1), None])[1]], X[:, :3]),
    ],
    "comparisons": [
        call(
            lambda m, x, i: [m.allclose(x, x + 1e-9), m.allclose(x, i), m.array_equal(x, x), m.array_equal(x, i[0])],
            X,
            I,
            grad=False,
        ),
        call(
            lambda m, n: [m.array_equal(n, n), m.array_equal(n, n, equal_nan=True), m.allclose(n, n, equal_nan=True)],
            N,
            grad=False,
        ),
        call(lambda m, x: [m.array_equiv(x, x), m.array_equiv(x[:1], x)], X, grad=False),
        *named("iscomplex isreal", C * (X[:, :3] > 0.5), grad=False),
        *named("iscomplex isreal", X, grad=False),
    ],
}


@pytest.mark.parametrize("name", TABLES)
def test_like_jax(name):
    compare(TABLES[name])


def test_top_k():
    def largest(x):
        values, places = gnp.top_k(x, 2, axis=0)
        low, at = gnp.top_k(x, 3, mode="smallest")
        return (values * X[:2]).sum() + (low * X[:, :3]).sum(), (values, places, low, at)

    slope, (values, places, low, at) = gl.grad(largest, has_aux=True)(X)
    order = np.argsort(-X, 0)[:2]
    np.testing.assert_array_equal(places, order)
    np.testing.assert_array_equal(values, np.take_along_axis(X, order, 0))
    np.testing.assert_array_equal(low, np.sort(X, 1)[:, :3])
    np.testing.assert_array_equal(at, np.argsort(X, 1)[:, :3])
    want = np.zeros_like(X)
    np.put_along_axis(want, order, X[:2], 0)
    more = np.zeros_like(X)
    np.put_along_axis(more, np.asarray(at), X[:, :3], 1)
    np.testing.assert_allclose(slope, want + more)
    for a, b in zip(
        gnp.top_k(I, 2, mode="smallest"), gl.jit(lambda i: gnp.top_k(i, 2, mode="smallest"))(I), strict=True
    ):
        np.testing.assert_array_equal(a, b)


A = np.array([1.0, 3.0, 3.0, 2.0])
FLAT = np.full(3, 2.0)
EDGES = {
    "median of equal elements": (lambda x: gnp.median(x), A, [0, 0.5, 0, 0.5]),
    "sort keeps equal elements in order": (lambda x: gnp.sort(x)[2], A, [0, 1, 0, 0]),
    "top_k takes the first": (lambda x: gnp.top_k(x, 1)[0].sum(), A, [0, 1, 0, 0]),
    "partition takes each once": (lambda x: gnp.partition(x, 1).sum(), A, [1, 1, 1, 1]),
    "percentile at a knot": (lambda x: gnp.percentile(x, 100 / 3), A, [0, 0, 0, 1]),
    "quantile at a knot, by q": (lambda q: gnp.quantile(A, q), np.array(0.0), 3.0),
    "quantile at the last knot, by q": (lambda q: gnp.quantile(np.array([1.0, 5.0]), q), np.array(1.0), 4.0),
    "quantile beside infinity": (lambda x: gnp.quantile(x, gnp.asarray(0.5)), np.array([1.0, 2, np.inf]), [0, 1, 0]),
    "std of equal elements": (gnp.std, FLAT, [0, 0, 0]),
    "nanstd of equal elements": (gnp.nanstd, np.array([2.0, np.nan, 2.0]), [0, 0, 0]),
    "nanstd of one": (gnp.nanstd, np.array([2.0, np.nan]), [0, 0]),
    "nanmean": (gnp.nanmean, np.array([2.0, np.nan, 4.0]), [0.5, 0, 0.5]),
    "nanvar": (gnp.nanvar, np.array([2.0, np.nan, 4.0]), [-1, 0, 1]),
    "nanmedian": (gnp.nanmedian, np.array([2.0, np.nan, 4.0]), [0.5, 0, 0.5]),
    "nanprod": (gnp.nanprod, np.array([2.0, np.nan, 0.0]), [0, 0, 2]),
    "nanmax of all": (
        lambda x: gnp.where(gnp.arange(2) > 0, gnp.nanmax(x, 1), 0).sum(),
        np.array([[np.nan, np.nan], [1.0, np.nan]]),
        [[0, 0], [1, 0]],
    ),
    "nancumprod": (lambda x: gnp.nancumprod(x)[-1], np.array([2.0, np.nan, 3.0]), [3, 0, 2]),
    "max where nothing is": (lambda x: gnp.max(x, where=x > 9, initial=1.0), A, [0, 0, 0, 0]),
    "var of a masked line": (
        lambda x: gnp.nansum(gnp.var(x, 1, where=np.array([[True] * 2, [False] * 2]))),
        np.array([[1.0, 3.0], [5.0, 6.0]]),
        [[-1, 1], [0, 0]],
    ),
}


@pytest.mark.parametrize("name", EDGES)
def test_derivative_at_the_edge(name):
    fn, at, wanted = EDGES[name]
    np.testing.assert_allclose(gl.grad(fn)(at), wanted, rtol=1e-9, err_msg=name)


def test_shapes_that_do_not_fit_are_not_equivalent():
    assert gl.grad(lambda x: x[0] * (1 + gnp.array_equiv(x, x[:3])))(V)[0] == 1.0


def test_sizes_by_value():
    assert gl.grad(lambda w: (gnp.bincount(K, w) * np.arange(6)).sum())(np.ones(6)).shape == (6,)
    total, slope = gl.value_and_grad(lambda x: gnp.bincount(gnp.floor(abs(x)).astype(int), x).max())(V)
    assert total == 3.0
    np.testing.assert_array_equal(slope, [0, 0, 1, 0, 0])
    assert gl.jit(lambda: gnp.bincount(K) * 1)().shape == (6,)


@pytest.mark.parametrize(
    ("wrong", "kind", "remedy"),
    [
        (lambda x: gnp.quantile(x, 0.5, method="cubic"), ArgumentError, "inverted_cdf"),
        (lambda x: gnp.quantile(x + 1j, 0.5), DTypeError, "order"),
        (lambda x: gnp.quantile(x, 0.5, weights=abs(x)), ArgumentError, "method='inverted_cdf'"),
        (lambda x: gnp.var(x, ddof=1, correction=1), ArgumentError, "one of ddof and correction"),
        (lambda x: gnp.average(x, weights=x[:2]), ShapeError, "weights need the shape"),
        (lambda x: gnp.searchsorted(x[None], x), ShapeError, "vmap"),
        (lambda x: gnp.searchsorted(x, x, method="guess"), ArgumentError, "scan_unrolled"),
        (lambda x: gnp.digitize(x, x[None]), ShapeError, "one axis"),
        (lambda x: gnp.bincount(x), DTypeError, "astype"),
        (lambda x: gnp.sort(x, kind="heapsort"), ArgumentError, "kind="),
        (lambda x: gnp.cumulative_sum(x[None]), ShapeError, "axis="),
        (lambda x: gnp.histogram(x, "auto"), ArgumentError, "number or their edges"),
        (lambda x: gnp.cov(x[None, None]), ShapeError, "vectors or matrices"),
        (lambda x: gl.jit(lambda x: gnp.bincount(x.astype(int)))(x), ConcretizationError, "length=n"),
    ],
)
def test_errors(wrong, kind, remedy):
    with pytest.raises(kind, match=remedy):
        gl.grad(lambda x: wrong(x) * 1.0)(V)
