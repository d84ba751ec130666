"""Sets, places, and all whose size values decide: jax.numpy's results with size=, NumPy's where there are values.

Masks as indices too: read where their values are known, and written to anywhere.
"""

from __future__ import annotations

import jax
import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.ir.errors import ArgumentError, ConcretizationError, DTypeError, IndexingError, ShapeError

from .compare import Call, compare

A = np.array([3.0, 1.0, 2.0, 3.0, -1.0, 1.0])
B = np.array([2.0, 5.0, 3.0, 2.0])
N = np.array([np.nan, 1.0, np.nan, 0.0, 1.0])
I = np.array([4, 0, 0, 7, -2, 4])  # noqa: E741
J = np.array([[0, 4], [9, 0]])
M = np.array([[0.0, 2.0, 0.0], [1.5, 0.0, -1.0]])
R = np.array([[1, 2], [0, 5], [1, 2], [0, 4]])
C = np.array([1 + 2j, 1 - 1j, 1 + 2j, 0.5])


def call(fn, *args, grad=True):
    return Call(fn.__code__.co_name + str(fn.__code__.co_firstlineno), fn, args, grad, False)


def every(m, x, **how):
    return list(m.unique(x, True, True, True, **how))


TABLES = {
    "places": [
        call(lambda m, x: [*m.nonzero(x, size=4), *m.nonzero(x, size=2), *m.where(x, size=5, fill_value=-1)], M),
        call(lambda m, x: [*m.nonzero(x, size=5, fill_value=(7, 8)), m.flatnonzero(x > 0, size=3)], M),
        call(
            lambda m, x: [m.argwhere(x, size=4), m.argwhere(x[0], size=3, fill_value=9), m.argwhere(x[1, 0], size=1)], M
        ),
        call(lambda m, x: [m.compress(x[0] > 0, x, 1, size=2), m.compress(x[:, 0] > 0, x, 0, size=2, fill_value=7)], M),
        call(lambda m, x: [m.extract(x > 0, x, size=3), m.compress(m.asarray([True, False, True]), x, size=1)], M),
        call(lambda m, x: m.flatnonzero(x, size=3, fill_value=2.5), M),
    ],
    "unique": [
        call(lambda m, x: [*every(m, x, size=4), *every(m, x, size=6), *every(m, x, size=2)], A),
        call(lambda m, x: [*every(m, x, size=5, fill_value=9)], A),
        call(lambda m, x: [*every(m, x, size=4), *every(m, x, size=5, equal_nan=False)], N, grad=False),
        call(lambda m, i: [*every(m, i, size=4), *every(m, i > 0, size=2), m.unique(i, size=7, fill_value=-9)], I),
        call(lambda m, r: [*every(m, r, axis=0, size=3), *every(m, r, axis=1, size=2), *every(m, r, size=5)[:3]], R),
        call(lambda m, c: every(m, c, size=3), C, grad=False),
        call(lambda m, x: [*m.unique_all(x, size=5), *m.unique_counts(x, size=4), *m.unique_inverse(x, size=4)], A),
        call(lambda m, x: m.unique_values(x, size=5, fill_value=0), A),
    ],
    "sets": [
        call(lambda m, x, y: [m.union1d(x, y, size=6), m.union1d(x, y, size=7, fill_value=0)], A, B),
        call(
            lambda m, x, y: [m.intersect1d(x, y, size=3), m.intersect1d(x, y, size=4, fill_value=-7)], A, B, grad=False
        ),
        call(lambda m, x, y: [*m.intersect1d(x, y, return_indices=True, size=4)], A, B, grad=False),
        call(lambda m, x, y: [*m.intersect1d(x[:3], y[:3], True, True, size=2)], A, B, grad=False),
        call(lambda m, x, y: [m.setdiff1d(x, y, size=2), m.setdiff1d(x, y, size=5, fill_value=-7)], A, B),
        call(lambda m, x, y: [m.setxor1d(x, y, size=4), m.setxor1d(x, y, size=3)], A, B, grad=False),
        call(lambda m, x, y: m.setxor1d(x, y, size=6, fill_value=9), A, B, grad=False),
        call(lambda m, x, y: m.setxor1d(x[:3], y[:3], True, size=4), A, B, grad=False),
        call(lambda m, i, j: [m.union1d(i, j, size=8), m.intersect1d(i, j, size=2), m.setxor1d(i, j, size=3)], I, J),
        call(lambda m, i, j: [m.setdiff1d(i, j, size=3), m.isin(j, i), m.isin(i, j, invert=True)], I, J),
        call(lambda m, x, n: [m.isin(n, x), m.isin(x, n, method="sort"), m.isin(x, n, method="binary_search")], A, N),
        call(lambda m, n: [m.setxor1d(n, n[:3], size=3), m.intersect1d(n, n[1:], size=2)], N, grad=False),
    ],
    "choose": [
        call(
            lambda m, i, x: [m.choose(i, [x, 2 * x, -x], mode="clip"), m.choose(i, x, mode="wrap")],
            I[:6] - 1,
            A[:, None] * A,
        ),
    ],
}


@pytest.mark.parametrize("name", TABLES)
def test_like_jax(name):
    compare(TABLES[name])


# -- without a size, where there are values

BY_VALUE = {
    "nonzero": (lambda m, x: m.nonzero(x > 1), A),
    "where": (lambda m, x: m.where(x > 1), A),
    "nonzero of a matrix": (lambda m, x: m.nonzero(x), M),
    "argwhere": (lambda m, x: m.argwhere(x), M),
    "flatnonzero": (lambda m, x: m.flatnonzero(x), M),
    "unique": (lambda m, x: m.unique(x), A),
    "unique with all": (lambda m, x: m.unique(x, True, True, True), A),
    "unique rows": (lambda m, x: m.unique(x, axis=0), R * 1.0),
    "unique of nothing": (lambda m, x: m.unique(x[:0]), A),
    "unique_all": (lambda m, x: tuple(m.unique_all(x)), A),
    "union1d": (lambda m, x: m.union1d(x, x[1:] + 1), A),
    "intersect1d": (lambda m, x: m.intersect1d(x, x[1:] + 1), A),
    "intersect1d with indices": (lambda m, x: m.intersect1d(x, x[1:] + 1, return_indices=True), A),
    "intersect1d of disjoint ones": (lambda m, x: m.intersect1d(x, x + 100), A),
    "setdiff1d": (lambda m, x: m.setdiff1d(x, x[:2]), A),
    "setxor1d": (lambda m, x: m.setxor1d(x, x[1:] + 1), A),
    "compress": (lambda m, x: m.compress([False, True], x, 0), M),
    "extract": (lambda m, x: m.extract(x > 0, x), M),
    "trim_zeros": (lambda m, x: m.trim_zeros(x[0]), M),
    "trim_zeros in front": (lambda m, x: m.trim_zeros(x[0], "f"), M),
    "trim_zeros of zeros": (lambda m, x: m.trim_zeros(0 * x[0]), M),
    "a mask": (lambda m, x: x[x > 1], A),
    "a mask of rows": (lambda m, x: x[x[:, 0] > 1], M),
    "a mask of columns": (lambda m, x: x[:, x[0] > 1], M),
    "a mask beside a slice": (lambda m, x: x[1:, x[0] > 1], M),
    "a single truth": (lambda m, x: (x[True].shape, x[False].shape), A),
    "bincount": (lambda m, x: m.bincount(abs(x).astype(int)), A),
    "choose": (lambda m, x: m.choose((x > 1).astype(int), [x, -x]), A),
}


@pytest.mark.parametrize("name", BY_VALUE)
def test_without_size_in_an_eager_trace(name):
    fn, x = BY_VALUE[name]

    def run(x):
        found = fn(gnp, x)
        found = found if isinstance(found, tuple) else (found,)
        return sum((y * y).sum() * 1.0 for y in found if not isinstance(y, tuple)) + x.sum(), found

    slope, found = gl.grad(run, has_aux=True)(x)
    wanted = fn(np, x)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    for y, w in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(y, w)
    assert np.isfinite(slope).all()


@pytest.mark.parametrize("name", [n for n in BY_VALUE if n not in ("a single truth", "compress")])
def test_without_size_under_jit(name):
    fn, x = BY_VALUE[name]
    if name == "unique of nothing":
        assert gl.jit(lambda x: fn(gnp, x))(x).shape == (0,)
        return
    with pytest.raises(ConcretizationError, match=r"size|length|where|choose"):
        gl.jit(lambda x: fn(gnp, x))(x)


def test_known_arrays_need_no_size_under_jit():
    values, where = gl.jit(lambda x: (x * gnp.unique(A).sum(), x * gnp.nonzero(A > 1)[0]))(2.0)
    assert values == 2 * np.unique(A).sum()
    np.testing.assert_array_equal(where, [0, 4, 6])
    got = gl.vmap(lambda x: x[gnp.flatnonzero(A > 1)])(np.stack([A, -A]))
    np.testing.assert_array_equal(got, np.stack([A, -A])[:, A > 1])


def test_values_of_a_size_that_is_given():
    np.testing.assert_array_equal(gl.vmap(lambda x: gnp.unique(x, size=3))(J * 1.0), [[0, 4, 0], [0, 9, 0]])


def test_first_of_equals_has_the_derivative():
    np.testing.assert_array_equal(gl.grad(lambda x: (gnp.unique(x) * np.arange(1.0, 5)).sum())(A), [4, 2, 3, 0, 1, 0])
    np.testing.assert_array_equal(gl.grad(lambda x: gnp.intersect1d(x, B).sum())(A), [1, 0, 1, 0, 0, 0])
    np.testing.assert_array_equal(gl.grad(lambda x: x[x > 1].sum())(A), [1, 0, 1, 1, 0, 0])


# -- masks written to

UPDATES = {
    "set": (lambda x, v: x.at[x > 0].set(v), lambda x, v: np.where(x > 0, v, x)),
    "add": (lambda x, v: x.at[x > 0].add(v), lambda x, v: np.where(x > 0, x + v, x)),
    "subtract": (lambda x, v: x.at[x > 0].subtract(v), lambda x, v: np.where(x > 0, x - v, x)),
    "multiply": (lambda x, v: x.at[x > 0].multiply(v), lambda x, v: np.where(x > 0, x * v, x)),
    "divide": (lambda x, v: x.at[x > 0].divide(v), lambda x, v: np.where(x > 0, x / v, x)),
    "power": (lambda x, v: x.at[x > 0].power(v), lambda x, v: np.where(x > 0, abs(x) ** v, x)),
    "min": (lambda x, v: x.at[x > 0].min(v), lambda x, v: np.where(x > 0, np.minimum(x, v), x)),
    "max": (lambda x, v: x.at[x > 0].max(v), lambda x, v: np.where(x > 0, np.maximum(x, v), x)),
    "rows": (lambda x, v: x.at[x[:, 0] > 0].set(v), lambda x, v: np.where((x[:, 0] > 0)[:, None], v, x)),
    "columns": (lambda x, v: x.at[:, x[0] > 0].set(v), lambda x, v: np.where(x[0] > 0, v, x)),
    "dots": (lambda x, v: x.at[..., x[0] > 0].add(v), lambda x, v: np.where(x[0] > 0, x + v, x)),
    "a row of values": (
        lambda x, v: x.at[x[:, 0] > 0].set(v * np.arange(3.0)),
        lambda x, v: np.where((x[:, 0] > 0)[:, None], v * np.arange(3.0), x),
    ),
    "known mask": (lambda x, v: x.at[M > 0].set(v), lambda x, v: np.where(M > 0, v, x)),
    "single truth": (lambda x, v: x.at[x[0, 1] > 0].set(v), lambda x, v: np.where(x[0, 1] > 0, v, x)),
}


def test_masks_written_to_under_jit():
    many = gl.jit(lambda x, v: [fn(x, v) for fn, _ in UPDATES.values()])(M, 3.0)
    mapped = gl.vmap(lambda x, v: [fn(x, v) for fn, _ in UPDATES.values()], in_axes=(0, None))(np.stack([M, -M]), 3.0)
    for name, got, both, (_, want) in zip(UPDATES, many, mapped, UPDATES.values(), strict=True):
        np.testing.assert_allclose(got, want(M, 3.0), err_msg=name)
        np.testing.assert_allclose(both[0], want(M, 3.0), err_msg=name)
        if name != "known mask":
            np.testing.assert_allclose(both[1], want(-M, 3.0), err_msg=name)


def test_derivatives_of_masks_written_to():
    def ours(x, v):
        return sum((fn(x, v) * (i + 1)).sum() for i, (fn, _) in enumerate(UPDATES.values()))

    def jaxs(x, v):
        place = jax.numpy
        rows = [
            place.where(x > 0, v, x),
            place.where(x > 0, x + v, x),
            place.where(x > 0, x - v, x),
            place.where(x > 0, x * v, x),
            place.where(x > 0, x / v, x),
            place.where(x > 0, place.abs(x) ** v, x),
            place.where(x > 0, place.minimum(x, v), x),
            place.where(x > 0, place.maximum(x, v), x),
            place.where((x[:, 0] > 0)[:, None], v, x),
            place.where(x[0] > 0, v, x),
            place.where(x[0] > 0, x + v, x),
            place.where((x[:, 0] > 0)[:, None], v * np.arange(3.0), x),
            place.where(M > 0, v, x),
            place.where(x[0, 1] > 0, v, x),
        ]
        return sum((r * (i + 1)).sum() for i, r in enumerate(rows))

    for got, want in zip(gl.grad(ours, (0, 1))(M, 3.0), jax.grad(jaxs, (0, 1))(M, 3.0), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12)


def test_a_value_for_each_element_of_a_mask():
    got = gl.grad(lambda x, v: (x.at[x > 0].set(v) * M).sum(), (0, 1))(M, np.array([5.0, 6.0]))
    np.testing.assert_array_equal(got[1], [2.0, 1.5])
    with pytest.raises(ConcretizationError, match="one value v needs no size"):
        gl.jit(lambda x, v: x.at[x > 0].set(v))(M, np.array([5.0, 6.0]))


def test_outside():
    def read(x):
        return [
            x.at[7].get(mode="fill", fill_value=-1.0),
            x.at[np.array([0, 9, -9])].get(mode="fill", fill_value=np.nan),
            x.at[np.array([0, 9, -9])].get(mode="clip"),
            x.at[-1].get(mode="fill", fill_value=0.0, wrap_negative_indices=False),
            x.at[np.array([0, 9])].set(5.0, mode="drop"),
            x.at[9].add(5.0, mode="clip"),
            gnp.take(x, np.array([0, 9]), fill_value=2.0),
            gnp.take_along_axis(x, np.array([0, 9]), 0, mode="fill", fill_value=2.0),
        ]

    found = gl.jit(read)(B)
    wanted = [-1, [2, np.nan, np.nan], [2, 2, 2], 0, [5, 5, 3, 2], [2, 5, 3, 7], [2, 2], [2, 2]]
    for got, want in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    ("wrong", "kind", "remedy"),
    [
        (lambda x: x.at[9].get(), IndexingError, "out of bounds"),
        (lambda x: x[np.array([True, False])], IndexingError, "does not fit"),
        (lambda x: x.at[np.array([True, False])].set(1.0), IndexingError, "does not fit"),
        (lambda x: gnp.nonzero(x[0]), ShapeError, "atleast_1d"),
        (lambda x: gnp.where(x > 1, x), ArgumentError, "one of x and y"),
        (lambda x: gnp.unique(x[:0], size=2), ArgumentError, "fill_value"),
        (lambda x: gnp.isin(x, x, method="guess"), ArgumentError, "binary_search"),
        (lambda x: gnp.choose(x, [x]), DTypeError, "integers"),
        (lambda x: gnp.choose(x.astype(int), [x]), IndexingError, "asked for"),
    ],
)
def test_errors(wrong, kind, remedy):
    with pytest.raises(kind, match=remedy):
        gl.grad(lambda x: wrong(x).sum() * 1.0)(A)
