"""`cond` and `switch` are those of jax.lax, under every transformation and inside each other."""

from __future__ import annotations

import numpy as np
import pytest

import gradlab as gl

from .support import agree

X = np.array([0.3, -0.7, 1.1])


def sides(lx, x, a):
    """Branches that keep different things, one of them nothing; operands of several kinds; closures."""
    up = lx.cond(
        x.sum() > 0.0,
        lambda p: (lx.np.sin(p["u"]) * lx.np.exp(a), p["k"]),
        lambda p: (p["u"], p["k"] + 1),
        {"u": x * a, "k": 3},
    )
    down = lx.cond(a > 10.0, lambda: lx.np.exp(x), lambda: lx.np.cos(x) * lx.np.sin(a * x) * x)
    zero = lx.cond(a > 0.0, lambda q: q * 0.0 + 1.0, lambda q: lx.np.ones(3), x)
    return up, down, zero


def chosen(lx, x, a, k):
    """A number of branches, the index out of range too; a number as predicate."""
    branches = [lx.np.sin, lambda t: t * a, lambda t: lx.np.exp(t) * lx.np.cos(t * a)]
    return (
        lx.switch(k, branches, x),
        lx.switch(k + 7, branches, x),
        lx.switch(k - 9, branches, x),
        lx.cond(k, lx.np.sin, lx.np.cos, x),
    )


def inside(lx, x, a):
    """A branch within a branch, and loops within branches."""

    def outer(t):
        inner = lx.cond(
            t[0] > 0.2, lambda s: lx.scan(lambda c, r: (lx.np.sin(c * r) * a, c), a, s)[0], lambda s: a * a, t
        )
        return t * inner

    return lx.cond(a > 0.1, outer, lambda t: lx.fori_loop(0, 3, lambda i, v: lx.np.sin(v) * a, t), x)


CASES = {
    "sides": (sides, (X, 0.4), (0, 1), (0, 0)),
    "chosen": (chosen, (X, 0.4, 1), (0, 1), (0, 0, 0)),
    "inside": (inside, (X, 0.4), (0, 1), (0, 0)),
}


@pytest.mark.parametrize("name", CASES)
def test_every_transformation(name):
    fun, args, argnums, axes = CASES[name]
    agree(fun, args, argnums, axes)
    if name == "inside":
        agree(fun, args, argnums, (0, None))


WRONG = {
    "structure": (0.5, lambda a: (a, a), lambda a: a, "same nesting"),
    "type": (0.5, lambda a: a, lambda a: a.astype("float32"), r"astype"),
    "predicate": (X, lambda a: a, lambda a: a, "vmap or where"),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors(name):
    pred, yes, no, remedy = WRONG[name]
    with pytest.raises(gl.ir.errors.GradlabError, match=remedy):
        gl.jit(lambda p, a: gl.cond(p, yes, no, a))(pred, np.float64(0.3))


def test_switch_needs_branches_and_an_integer():
    with pytest.raises(ValueError, match="at least one branch"):
        gl.switch(0, [], 1.0)
    with pytest.raises(gl.ir.errors.GradlabError, match="astype"):
        gl.jit(lambda k: gl.switch(k, [lambda: 1.0, lambda: 2.0]))(0.5)
