"""Loops and branches outside a trace are JAX's, but what is wrong with a call is said in gradlab's words."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.ir.errors import ArgumentError, ShapeError, StructureError

X = np.ones(3)
CALLS = {
    "scan, no pair": (lambda: gl.scan(lambda c, x: c, 0.0, X), StructureError, "a pair .carry, y."),
    "scan, structure": (lambda: gl.scan(lambda c, x: ((c, c), x), 0.0, X), StructureError, "the same nesting"),
    "scan, dtype": (lambda: gl.scan(lambda c, x: (c + 1j, x), np.float64(0), X), ShapeError, "it: f64.. in the carry"),
    "scan, lengths": (lambda: gl.scan(lambda c, x: (c, x), 0.0, (X, X[:2])), ShapeError, r"got f64\[3\], f64\[2\]"),
    "scan, no length": (lambda: gl.scan(lambda c, x: (c, x), 0.0), ShapeError, "Give arrays, or length="),
    "scan, no function": (lambda: gl.scan(3.0, 0.0, X), StructureError, "Pass the function itself"),
    "map, a number": (lambda: gl.map(gnp.sin, 3.0), ShapeError, "first axis"),
    "while, shape": (
        lambda: gl.while_loop(lambda v: v.sum() < 3, lambda v: gnp.append(v, v), X[:1]),
        ShapeError,
        "must have the shapes",
    ),
    "while, bool": (lambda: gl.while_loop(lambda v: v < 3, lambda v: v + 1, X), ShapeError, "one boolean"),
    "fori, structure": (lambda: gl.fori_loop(0, 3, lambda i, v: (v, v), 0.0), StructureError, "the same nesting"),
    "fori, float": (lambda: gl.fori_loop(0, 3.5, lambda i, v: v, 0.0), ArgumentError, "an integer upper"),
    "cond, structure": (lambda: gl.cond(True, lambda: 1.0, lambda: (1.0, 2.0)), StructureError, "the same nesting"),
    "cond, an array": (lambda: gl.cond(X > 0, lambda: 1.0, lambda: 2.0), ShapeError, "vmap or where"),
    "switch, float": (lambda: gl.switch(1.5, [lambda: 1.0, lambda: 2.0]), ArgumentError, "integer index"),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_complaint(name):
    call, error, said = CALLS[name]
    with pytest.raises(error, match=said):
        call()
    with pytest.raises(error, match=said):  # and so it is in a trace of JAX's
        jax.jit(call)()


def test_an_error_of_the_users_own_stays():
    with pytest.raises(ValueError, match="invalid literal"):
        gl.scan(lambda c, x: (int("a"), x), 0.0, X)
