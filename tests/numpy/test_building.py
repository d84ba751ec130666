"""Grids, blocks, editing, mapping, bits: values, dtypes and gradients are jax.numpy's."""

from __future__ import annotations

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.ir.errors import ConcretizationError, ConversionError, GradlabError, ShapeError

from .compare import Call, compare, named

X = np.array([[0.3, -1.2, 2.6], [1.1, 0.7, -0.4]])
V = np.array([0.5, -2.0, 3.0])
W = np.array([0.5, -2.0, 3.0, 1.5, 0.7])
I = np.array([[3, -1, 2], [0, 5, 4]])  # noqa: E741
N = np.array([12, -18, 0, 7])
C = V + 1j * V[::-1]
T = np.arange(24.0).reshape(2, 3, 4) / 7
BYTES = np.array([[1, 200, 7], [255, 0, 16]], np.uint8)
FLAGS = np.arange(22).reshape(2, 11) % 3 == 0


def call(fn, *args, grad=True, weak=True):
    return Call(f"{fn.__code__.co_name}{fn.__code__.co_firstlineno}", fn, args, grad, weak)


TABLES = {
    "editing": [
        call(lambda m, w: [m.delete(w, np.array([1, -1])), m.delete(w, slice(0, 4, 2)), m.delete(w, 2)], W),
        call(lambda m, x: [m.delete(x, 1, axis=1), m.delete(x, 3), m.delete(x, np.array([0, 2]), axis=-1)], X),
        call(lambda m, w: [m.delete(w, W > 0), m.delete(w, np.array([1, 1, 3]))], W),
        call(
            lambda m, w, i: [m.delete(w, (i if m is gnp else I)[1, 0]), m.delete(w, i[0], assume_unique_indices=True)],
            W,
            I,
        ),
        call(lambda m, w: [m.insert(w, 1, 9.5), m.insert(w, np.array([1, 1, 3]), np.array([7.0, 8.0, 9.0]))], W),
        call(lambda m, x, v: [m.insert(x, 1, v[:2], axis=1), m.insert(x, np.array([1]), v[:2, None], axis=1)], X, V),
        call(
            lambda m, x, v: [m.insert(x, slice(0, 2), 9, axis=0), m.insert(x, -1, v, axis=0), m.insert(x, 2, v)], X, V
        ),
        call(
            lambda m, w, i, v: [m.insert(w, i[1, :2], v[:2]), m.insert(w, i[0], 1.0), m.insert(w, i[0, 0], v)], W, I, V
        ),
        call(lambda m, n: m.insert(n, 2, 7.9), N),
        call(lambda m, v: [m.resize(v, (2, 4)), m.resize(v, 2), m.resize(v, ()), m.resize(v, (2, 0))], V),
        call(lambda m, w, v: m.put(w, np.array([0, -1, 2]), v, inplace=False), W, V),
        call(lambda m, x, v: m.put(x, np.array([0, 7, 3]), v[:2], mode="clip", inplace=False), X, V),
        call(lambda m, w, i, v: m.put(w, i[1, :2], v, mode="wrap", inplace=False), W, I, V),
        call(lambda m, x, v: [m.place(x, x > 0, v, inplace=False), m.place(x, X < 1, v[:2], inplace=False)], X, V),
        call(lambda m, x: m.put_along_axis(x, np.array([[1], [2]]), 5.0, 1, inplace=False), X),
        call(lambda m, x, v: m.put_along_axis(x, np.array([[1, 0, 1]]), v[None], 0, inplace=False), X, V),
        call(lambda m, x, v: m.put_along_axis(x, np.array([4, 0, 1]), v, None, inplace=False), X, V),
        call(lambda m, x, v: [m.fill_diagonal(x, 5.0, inplace=False), m.fill_diagonal(x, v[:2], inplace=False)], X, V),
        call(lambda m, t, v: m.fill_diagonal(t[:, :2, :2], v, inplace=False), T, V),
        call(lambda m, x, v: [m.block([[x, v[:2, None]], [v, 4.0]]), m.block([v, v]), m.block(v)], X, V),
        call(lambda m, x, i: m.block([[[x], [x]], [[i], [i]]]), X, I),
    ],
    "grids": [
        call(lambda m, v: [v, m.indices((2, 3)), *m.indices((2, 3), dtype=float, sparse=True)], V),
        call(lambda m, v, i: [v, *m.ix_(i[0], i[1, :2])], V, I),
        call(lambda m, x: [x[m.ix_(np.array([0, 1]), np.array([2, 0]))], x[m.diag_indices(2)]], X),
        call(lambda m, x: [x[m.tril_indices(2, 1, 3)], x[m.triu_indices_from(x)], x[m.tril_indices_from(x, -1)]], X),
        call(lambda m, x: [*m.diag_indices_from(x[:, :2]), *m.triu_indices(2)], X),
        call(lambda m, v: [v, m.mgrid[0:2], m.mgrid[0:2:0.5, 1:3], m.mgrid[0:1:3j], *m.ogrid[0:2, 0:3]], V),
        call(lambda m, v: [m.r_[v, 1, 2:4], m.r_["-1", v, v], m.r_["0,2", v, v], m.r_["0,2,0", v, v]], V),
        call(lambda m, v, x: [m.c_[v, v], m.c_[x, x], m.r_["c", v], m.r_["r", v, 1.0], m.r_[x, x]], V, X),
        call(lambda m, i: [m.ravel_multi_index((i[0], i[1]), (6, 7), mode=k) for k in ("clip", "wrap")], I),
        call(lambda m, i: m.ravel_multi_index((i[0], i[1]), (4, 3), mode="wrap", order="F"), I),
        call(lambda m, n: m.unravel_index(n, (2, 3)), N),
    ],
    "mapping": [
        call(lambda m, x: m.apply_along_axis(lambda v: m.outer(v, v), 1, x), T),
        call(lambda m, x: [m.apply_along_axis(m.sum, k, x) for k in (0, -1)], T),
        call(lambda m, x, v: m.apply_along_axis(lambda a, b, c=0: a * b + c, 1, x, 2.0, c=v[0]), X, V),
        call(lambda m, x: [m.apply_over_axes(m.sum, x, [0, 2]), m.apply_over_axes(m.max, x, [-1])], T),
        call(lambda m, v: [v[0] * m.fromfunction(lambda i, j: i * v[1] + j, (2, 3)), m.fromfunction(m.add, (2, 2))], V),
        call(lambda m, v: m.fromfunction(lambda i, j: i + j, (2, 3), dtype=int) * v[0], V),
        call(lambda m, x: m.piecewise(x, [x < 0, x > 1], [lambda v: -v, lambda v: m.sin(v) * v, 7]), X),
        call(lambda m, x: m.piecewise(x, [x < 1, x > 0], [lambda v: v**2, lambda v: v**3]), X),
        call(lambda m, x: m.piecewise(x, [x < 0], [lambda v, a, b=1: v * a + b, 3.0], 2.0, b=4.0), X),
        call(lambda m, n: m.piecewise(n, [n > 0], [lambda v: 2 * v, 2]), N),
        call(lambda m, x, v: m.vectorize(lambda a, b: m.where(a > b, a, b * a))(x, v), X, V),
        call(lambda m, x, v: m.vectorize(lambda a, b: a + b[0], excluded={1})(x, v), X, V),
        call(lambda m, x: m.vectorize(lambda a, b=0, c=0: a * b + c, excluded={"b"})(x, b=2.0), X),
        call(lambda m, x: m.vectorize(lambda a, b: a if b is None else a + b)(x, None), X),
        call(lambda m, x: m.vectorize(lambda a: (a, a * a))(x), X),
        call(lambda m, x, t: m.vectorize(m.matmul, signature="(n,k),(k,m)->(n,m)")(x[None], t.reshape(4, 3, 2)), X, T),
        call(lambda m, x, t: m.vectorize(m.dot, signature="(n),(n)->()")(x[:, None], t.reshape(4, 2, 3)[:, 0]), X, T),
        call(lambda m, v: m.vectorize(lambda a: (a.sum(), a * 2), signature="(n)->(),(n)")(v), V),
        call(lambda m, t: m.vectorize(m.trace, signature="(n,m)->()")(t), T),
        call(lambda m, x, v: [m.matvec(x, v), m.matvec(x[None], v), m.vecmat(v, x.T)], X, V),
        call(lambda m, c: [m.vecmat(c, c[:, None]), m.matvec(c[None], c)], C, grad=False),
        call(lambda m, x, i: [m.roll(x, i[0, 0], 1), m.roll(x, i[0, :2], (0, 1)), m.roll(x, i[0, 1])], X, I),
        call(lambda m, x: [m.roll(x, np.array([1, 2]), 1), m.roll(x, (1, -1), (0, 1)), m.roll(x, 1, (0, 1))], X),
    ],
    "bits": [
        *named("frexp", np.array([0.3, -8.0, 0.0, 5.5, np.inf])),
        *named("frexp", 3.0, grad=False),
        *named("frexp", N),
        call(lambda m, v, n: [m.ldexp(v, 3), m.ldexp(v, n[:3]), m.ldexp(v[:, None], n)], V, N),
        *named("ldexp", N, N, weak=False),
        *named("ldexp", V.astype(np.float32), I[0]),
        *named("spacing", V, grad=False),
        *named("spacing", N, grad=False),
        *named("gcd lcm", N, 8),
        *named("gcd lcm", I, N[:3].astype(np.int8)),
        *named("gcd lcm", BYTES, BYTES[::-1].copy()),
        *named("bitwise_count", N),
        *named("bitwise_count", BYTES),
        *named("packbits", FLAGS),
        *named("packbits", FLAGS, 1, "little"),
        *named("packbits", I, 0),
        *named("unpackbits", BYTES),
        *named("unpackbits", BYTES, 1),
        *named("unpackbits", BYTES, axis=1, count=-3),
        *named("unpackbits", BYTES, count=20, bitorder="little"),
        *named("unpackbits", BYTES, axis=0, count=20),
    ],
}


@pytest.mark.parametrize("table", TABLES)
def test_as_in_jax(table):
    compare(TABLES[table])


def test_lists_and_wrapped_diagonals():
    """What jax.numpy does not take, NumPy does."""

    def f(x):
        tall = gnp.fill_diagonal(gnp.zeros((5, 2)), x[:3], wrap=True, inplace=False)
        return gnp.delete(x, [0, -1]), gnp.insert(x, [1, 2], [8, x[0]]), tall

    (less, more, tall), (_, slope, _) = gl.jvp(f, (W,), (np.ones(5),))
    np.testing.assert_array_equal(less, W[1:4])
    np.testing.assert_array_equal(more, [0.5, 8, -2, 0.5, 3, 1.5, 0.7])
    np.testing.assert_array_equal(slope, [1, 0, 1, 1, 1, 1, 1])
    expected = np.zeros((5, 2))
    np.fill_diagonal(expected, W[:3], wrap=True)
    np.testing.assert_array_equal(tall, expected)
    rows = gl.jvp(lambda x: gnp.ix_(np.array([True, False, True]), x[:2] > 0), (W,), (W,))[0]
    assert [r.tolist() for r in rows] == [[[0], [2]], [[0]]]


def test_positions_under_a_mask_are_known_under_jit():
    def f(x):
        return x[gnp.mask_indices(3, gnp.triu)], x[gnp.mask_indices(3, gnp.tril, -1, size=4)]

    x = np.arange(9.0).reshape(3, 3)
    upper, lower = gl.jit(f)(x)
    np.testing.assert_array_equal(upper, x[np.triu_indices(3)])
    np.testing.assert_array_equal(lower, [3, 6, 7, 0])
    np.testing.assert_array_equal(gl.grad(lambda x: f(x)[0].sum())(x), np.triu(np.ones((3, 3))))


def test_outside_a_trace_they_are_jax():
    np.testing.assert_array_equal(gnp.mgrid[0:2, 0:2], jnp.mgrid[0:2, 0:2])
    np.testing.assert_array_equal(gnp.r_[jnp.ones(2), 0], jnp.r_[jnp.ones(2), 0])
    np.testing.assert_array_equal(gnp.vectorize(lambda a, b: a + b)(V, 1.0), V + 1)
    assert isinstance(gnp.vectorize(gnp.sin)(V), jax.Array)
    np.testing.assert_array_equal(gnp.mask_indices(3, gnp.triu), jnp.mask_indices(3, jnp.triu))


def test_hessian_through_vectorize_and_piecewise():
    def f(x):
        return gnp.vectorize(lambda a: gnp.piecewise(a, [a < 0], [lambda v: v**3, lambda v: v**2]))(x).sum()

    np.testing.assert_allclose(gl.hessian(f)(V), np.diag(np.where(V < 0, 6 * V, 2.0)))


REFUSALS = {
    "put in place": (ValueError, "inplace=False", lambda x: gnp.put(x, 0, 1.0)),
    "delete of unknown positions": (
        ConcretizationError,
        "assume_unique_indices=True",
        lambda x: gl.vmap(lambda i: gnp.delete(x, gnp.stack([i, i])))(np.arange(2)),
    ),
    "block": (ShapeError, "nested to one depth", lambda x: gnp.block([[x], x])),
    "signature": (GradlabError, "looks like", lambda x: gnp.vectorize(gnp.sin, signature="n->n")(x)),
    "core axes": (ShapeError, "core axis n .* lengths 3 and 2", lambda x: DOT(x, x[:2])),
    "core results": (ShapeError, "promises results", lambda x: gnp.vectorize(gnp.sin, signature="(n)->()")(x)),
    "piecewise": (GradlabError, "2 conditions needs 2 or 3", lambda x: gnp.piecewise(x, [x < 0, x > 0], [1])),
    "ravel": (ValueError, "not within 0..2", lambda x: gnp.ravel_multi_index((np.array([3]),), (3,)) + x),
    "place": (ShapeError, "mask of the array's shape", lambda x: gnp.place(x, x[:2] > 0, x, inplace=False)),
    "save": (ConversionError, "which has no numbers yet", lambda x: gnp.save("never", x)),
    "bitorder": (GradlabError, "'big' or 'little'", lambda x: gnp.packbits(x > 0, bitorder="middle")),
}


def DOT(x, y):
    return gnp.vectorize(gnp.dot, signature="(n),(n)->()")(x, y)


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name):
    error, match, fn = REFUSALS[name]
    with pytest.raises(error, match=match):
        gl.grad(lambda x: gnp.sum(fn(x)))(V)


def test_text():
    seen = []
    gl.grad(lambda x: seen.append((gnp.array_repr(x), gnp.array_str(x))) or x.sum())(V)
    assert seen == [("Tracer<f64[3]>", "Tracer<f64[3]>")]
    assert gnp.array_str(jnp.ones(2)) == "[1. 1.]"


def test_values_of_weak_numbers_stay_quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gl.grad(lambda x: gnp.ldexp(x, 2) + gnp.gcd(4, 6) * x)(2.0)
