"""The methods of ufuncs: values, dtypes and gradients are jax.numpy's; `frompyfunc`."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.ir.errors import ArgumentError, ConcretizationError, ShapeError

from .compare import Call, compare, stage

X = np.array([[0.3, -1.2, 2.6], [1.1, 0.7, -0.4], [0.9, 1.6, 0.2]])
V = np.array([0.5, -2.0, 3.0, 1.5, 0.8])
I = np.array([[3, -1, 2], [0, 5, 4]])  # noqa: E741
B = np.array([[True, False, True], [True, True, False]])
PLACES = np.array([1, 0, 1])

REAL = ["add", "multiply", "maximum", "minimum", "logaddexp", "subtract", "logaddexp2", "logical_and", "logical_xor"]
WHOLE = ["add", "multiply", "maximum", "bitwise_and", "bitwise_or", "bitwise_xor", "subtract", "logical_or"]
TRUTHS = ["logical_and", "logical_or", "logical_xor", "bitwise_and", "maximum"]


def call(fn, *args, grad=True, name=""):
    return Call(f"{name}{fn.__code__.co_firstlineno}", fn, args, grad)


def of(names, fn, *args):
    return [call(lambda m, *xs, n=n: fn(getattr(m, n), *xs), *args, name=n) for n in names]


def powers(a, b):
    """Not associative, and not smooth in one of its operands at 0."""
    return a * 0.5 + b**2


TABLES = {
    "reduce": [
        *of(REAL, lambda u, x: [u.reduce(x), u.reduce(x, axis=1, keepdims=True)], X),
        *of([n for n in REAL if n != "logaddexp"], lambda u, x: u.reduce(x, axis=None), X),  # jax fails in this one
        *of(WHOLE, lambda u, i: [u.reduce(i), u.reduce(i, axis=-1), u.reduce(i[:1])], I),
        *of(TRUTHS, lambda u, b: [u.reduce(b), u.reduce(b, axis=1)], B),
        *of(["add", "multiply", "maximum", "minimum", "subtract"], lambda u, x: u.reduce(x, initial=2.0), X),
        *of(["add", "multiply", "logaddexp"], lambda u, x: u.reduce(x, where=x > 0), X),
        *of(["maximum", "minimum"], lambda u, x: u.reduce(x, where=x > 0, initial=0.1), X),
        *of(["add", "multiply"], lambda u, i: u.reduce(i, dtype=np.float32), I),
        *of(["add", "multiply", "logical_or"], lambda u, x: u.reduce(x[:0]), X),
        call(lambda m, x: m.add.reduce(x, axis=(0, 1)), X),
    ],
    "accumulate": [
        *of(REAL, lambda u, x: [u.accumulate(x), u.accumulate(x, axis=1), u.accumulate(x[:1])], X),
        *of(WHOLE, lambda u, i: u.accumulate(i, axis=1), I),
        *of(TRUTHS, lambda u, b: u.accumulate(b), B),
    ],
    "outer, at, reduceat": [
        *of(["add", "multiply", "maximum", "subtract", "logaddexp"], lambda u, x, v: u.outer(x, v), X, V),
        *of(["add", "bitwise_xor"], lambda u, i: u.outer(i, 2), I),
        *of(["add", "subtract", "maximum", "minimum"], lambda u, v, x: u.at(v, PLACES, x[0], inplace=False), V, X),
        *of(["logaddexp"], lambda u, v, x: u.at(v, PLACES, x[0], inplace=False), V, X),
        *of(["add", "bitwise_or"], lambda u, i: u.at(i, (0, PLACES), 2, inplace=False), I),
        call(lambda m, x: m.negative.at(x, (PLACES, 2), inplace=False), X),
        *of(["add", "multiply", "maximum"], lambda u, v: u.reduceat(v, np.array([0, 3, 1, 1])), V),
        *of(["add", "bitwise_or"], lambda u, i: u.reduceat(i, np.array([0, 2]), axis=1), I),
    ],
    "frompyfunc": [
        call(lambda m, v: m.frompyfunc(powers, 2, 1).reduce(v), V),
        call(lambda m, x: m.frompyfunc(powers, 2, 1).reduce(x, axis=1, initial=2.0), X),
        call(lambda m, x: [m.frompyfunc(powers, 2, 1).accumulate(x, axis=k) for k in (0, 1)], X),
        call(lambda m, v, x: [m.frompyfunc(powers, 2, 1)(v[:3], x), m.frompyfunc(powers, 2, 1).outer(v, x)], V, X),
        call(lambda m, v, x: m.frompyfunc(powers, 2, 1).at(v, PLACES, x[0], inplace=False), V, X),
        call(lambda m, x: m.frompyfunc(lambda a: a**3, 1, 1)(x), X),
    ],
}


@pytest.mark.parametrize("table", TABLES)
def test_as_in_jax(table):
    compare(TABLES[table])


def test_what_jax_has_not():
    """Every ufunc of NumPy's has the methods, also those that jax.numpy gives none."""

    def f(x):
        return gnp.divide.reduce(x), gnp.hypot.reduce(x), gnp.power.outer(x[:2], x[2:]), gnp.arctan2.accumulate(x)

    values, _ = gl.jvp(f, (np.abs(V),), (V,))
    v = np.abs(V)
    expected = np.divide.reduce(v), np.hypot.reduce(v), np.power.outer(v[:2], v[2:]), np.arctan2.accumulate(v)
    for got, want in zip(values, expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-14)
    np.testing.assert_allclose(gl.grad(gnp.logaddexp.reduce)(V), np.exp(V) / np.exp(V).sum(), rtol=1e-14)
    np.testing.assert_array_equal(gnp.divide.reduce(jnp.asarray([8.0, 2.0, 2.0])), 2.0)


def test_factors_at_places():
    """A product has a derivative in its factors, be they one a place or several; jax.numpy's has none."""
    for places in (np.array([1, 0, 4]), PLACES):

        def f(x, v, places=places):
            return gnp.sum(gnp.multiply.at(x, places, v, inplace=False) ** 2)

        def loop(x, v, places=places):
            for i, w in zip(places, v, strict=True):
                x = x.at[i].set(x[i] * w)
            return jnp.sum(x**2)

        for got, want in zip(gl.grad(f, (0, 1))(V, X[0]), jax.grad(loop, (0, 1))(V, X[0]), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-14)
    slope = gl.grad(lambda v: gnp.sum(gnp.asarray(V).at[np.array([2, 0])].multiply(v)))(X[0, :2])
    np.testing.assert_array_equal(slope, V[[2, 0]])


def test_attributes():
    for name in ("add", "multiply", "maximum", "logaddexp", "logical_and", "bitwise_xor", "subtract"):
        ours, theirs = getattr(gnp, name), getattr(jnp, name)
        assert (ours.nin, ours.nout, ours.nargs, ours.identity) == (2, 1, 3, theirs.identity), name
    assert (gnp.sin.nin, gnp.sin.nargs, gnp.modf.nout) == (1, 2, 2)
    three = gnp.frompyfunc(powers, 2, 1, identity=3)
    assert isinstance(three, gnp.ufunc)
    assert (three.identity, repr(three)) == (3, "<gradlab.numpy.ufunc 'powers'>")


def test_an_associative_reduction_is_a_tree():
    graph, _, _ = stage([call(lambda m, v: m.hypot.reduce(v), np.arange(16.0))])
    assert sum(eqn.prim.name == "hypot" for eqn in graph.eqns) == 4
    graph, _, _ = stage([call(lambda m, v: m.divide.reduce(v), np.arange(1.0, 99.0))])
    assert len(graph.eqns) < 10


REFUSALS = {
    "at": (NotImplementedError, "inplace=False", lambda x: gnp.add.at(x, 0, 1.0)),
    "unary": (ValueError, "two operands and one result", lambda x: gnp.sin.reduce(x)),
    "out": (ArgumentError, "writes no out=", lambda x: gnp.add.reduce(x, out=x)),
    "where": (ValueError, "needs initial=", lambda x: gnp.subtract.reduce(x, where=x > 0)),
    "empty": (ShapeError, "Give initial=", lambda x: gnp.subtract.reduce(x[:0])),
    "bounds": (IndexError, "not within 0..4", lambda x: gnp.add.reduceat(x, [7])),
    "unknown": (
        ConcretizationError,
        "segment",
        lambda x: gl.vmap(lambda i: gnp.add.reduceat(x, i[None]))(np.arange(2)),
    ),
    "operands": (ArgumentError, "1 operands beside", lambda x: gnp.add.at(x, 0, inplace=False)),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name):
    error, match, fn = REFUSALS[name]
    with pytest.raises(error, match=match):
        gl.grad(lambda x: gnp.sum(fn(x)))(V)
