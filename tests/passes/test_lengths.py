"""Roots of sums of squares are recognised, other roots are left alone."""

from __future__ import annotations

import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.ir.check import check
from gradlab.passes.lengths import lengths

X = np.array([[0.5, -2.0], [1.0, 3.0]])

FOUND = {
    "sum of squares": lambda x: gnp.sqrt(gnp.sum(x**2, 1)),
    "of products": lambda x: gnp.sqrt(x[0] * x[0] + x[1] * x[1]),
    "mean": lambda x: gnp.sqrt(gnp.mean(gnp.square(x))),
    "inner product": lambda x: gnp.sqrt(x[0] @ x[0]),
    "scaled and moved": lambda x: gnp.sqrt((3.0 * (x.T**4)).reshape(4).astype("float32")),
    "size of complex numbers": lambda x: gnp.sqrt(gnp.sum(((x + 1j) * gnp.conj(x + 1j)).real)),
}
LEFT = {
    "of a number": gnp.sqrt,
    "odd power": lambda x: gnp.sqrt(gnp.sum(x**3)),
    "away from zero": lambda x: gnp.sqrt(gnp.sum(x**2) + 1e-6),
    "difference": lambda x: gnp.sqrt(x[0] ** 2 - x[1] ** 2),
    "product of two": lambda x: gnp.sqrt(x[0] @ x[1]),
    "table of products": lambda x: gnp.sqrt(x @ x.T),
    "complex square": lambda x: gnp.sqrt((x + 1j) ** 2),
    "negative scale": lambda x: gnp.sqrt(-2.0 * x**2),
}


@pytest.mark.parametrize("name", [*FOUND, *LEFT])
def test_lengths(name):
    fn = FOUND.get(name) or LEFT[name]
    roots = [eqn.prim.name for eqn in check(lengths(gl.stage(fn)(X))).eqns if eqn.prim.name in ("root", "sqrt")]
    assert roots == ["root" if name in FOUND else "sqrt"]


def test_shared_terms_are_looked_at_once():
    """A sum doubled forty times has 2⁴⁰ terms, written out."""

    def f(x):
        s = x * x
        for _ in range(40):
            s = s + s
        return gnp.sqrt(s)

    graph = check(lengths(gl.stage(f)(1.5)))
    assert [eqn.prim.name for eqn in graph.eqns].count("root") == 1
