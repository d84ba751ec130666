"""Shift invariance: what is subtracted and comes back is held constant; what the result depends on is not."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.ir.check import check
from gradlab.ir.graph import Graph
from gradlab.passes.idioms import hold_extrema
from tests.support import QUICK, assert_close

RNG = np.random.default_rng(5)
X = RNG.permutation(24).reshape(2, 3, 4) / 5.0 - 2.0
V = RNG.normal(size=(4, 2))


def logsumexp(np_, x, axis, keepdims=False):
    m = np_.max(x, axis=axis, keepdims=True)
    total = np_.log(np_.sum(np_.exp(x - m), axis=axis, keepdims=True)) + m
    return total if keepdims else np_.squeeze(total, axis)


def logsumexp_narrow(np_, x, axis):
    """The maximum added back without the axis."""
    m = np_.max(x, axis=axis)
    return m + np_.log(np_.sum(np_.exp(x - np_.expand_dims(m, axis)), axis=axis))


def softmax(np_, x, axis):
    e = np_.exp(x - np_.max(x, axis=axis, keepdims=True))
    return e / np_.sum(e, axis=axis, keepdims=True)


def log_softmax(np_, x, axis):
    shifted = x - np_.max(x, axis=axis, keepdims=True)
    return shifted - np_.log(np_.sum(np_.exp(shifted), axis=axis, keepdims=True))


def attention(np_, s, v):
    e = np_.exp(s - np_.max(s, axis=-1, keepdims=True))
    return np_.matmul(e, v) / np_.sum(e, axis=-1, keepdims=True)


def attention_narrow(np_, s, v):
    e = np_.exp(s - np_.max(s, axis=-1)[..., None])
    return np_.einsum("bij,jk->bik", e, v) / np_.sum(e, axis=-1)[..., None]


def soft_minimum(np_, x, axis):
    """The smallest is subtracted, and the exponent negative."""
    m = np_.min(x, axis=axis, keepdims=True)
    return m - np_.log(np_.sum(np_.exp(-(x - m)), axis=axis, keepdims=True))


def norm(np_, x, axis):
    """Scaled by exp of the largest logarithm: √Σ exp(2 (x − m)) · exp m."""
    m = np_.max(x, axis=axis, keepdims=True)
    return np_.sqrt(np_.sum(np_.exp(x - m) ** 2, axis=axis, keepdims=True)) * np_.exp(m)


def cross_entropy(np_, x):
    return -np_.sum(log_softmax(np_, x, -1)[..., 1])


AXES: dict[str, int | tuple[int, ...]] = {"last": -1, "first": 0, "middle": 1, "two": (0, 2), "all": (0, 1, 2)}
HELD: dict[str, Callable] = {
    **{f"logsumexp, {name}": lambda n, x, a=a: logsumexp(n, x, a) for name, a in AXES.items()},
    **{f"logsumexp with keepdims, {name}": lambda n, x, a=a: logsumexp(n, x, a, True) for name, a in AXES.items()},
    **{f"softmax, {name}": lambda n, x, a=a: softmax(n, x, a) for name, a in AXES.items()},
    **{f"log-softmax, {name}": lambda n, x, a=a: log_softmax(n, x, a) for name, a in AXES.items()},
    "logsumexp without keepdims": lambda n, x: logsumexp_narrow(n, x, 1),
    "attention": lambda n, x: attention(n, x, V),
    "attention without keepdims": lambda n, x: attention_narrow(n, x, V),
    "soft minimum": lambda n, x: soft_minimum(n, x, 0),
    "norm": lambda n, x: norm(n, x, 1),
    "cross entropy": cross_entropy,
    "of one another": lambda n, x: logsumexp(n, logsumexp(n, x, -1), -1),
    "softmax of softmax": lambda n, x: softmax(n, softmax(n, x, -1), 1),
    "a number above the extremum": lambda n, x: logsumexp(n, 3.0 * x + 1.0, -1),
    "read twice": lambda n, x: softmax(n, x, -1) * logsumexp(n, x, -1, True),
}


def shift(n, x, axis=-1, keepdims=True):
    return x - n.max(x, axis=axis, keepdims=keepdims)


KEPT: dict[str, Callable] = {
    "returned": lambda n, x: n.max(x, axis=-1),
    "returned beside": lambda n, x: n.stack([n.max(x, axis=-1), logsumexp(n, x, -1)]),
    "exp alone": lambda n, x: n.exp(shift(n, x)),
    "shift alone": lambda n, x: shift(n, x),
    "log of the sum alone": lambda n, x: n.log(n.sum(n.exp(shift(n, x)), axis=-1)),
    "subtracted twice": lambda n, x: n.log(n.sum(n.exp(shift(n, x)), axis=-1)) - n.max(x, axis=-1),
    "half of it back": lambda n, x: n.log(n.sum(n.exp(shift(n, x)), axis=-1)) + 0.5 * n.max(x, axis=-1),
    "summed over another axis": lambda n, x: (e := n.exp(shift(n, x))) / n.sum(e, axis=1, keepdims=True),
    "summed over one axis more": lambda n, x: (e := n.exp(shift(n, x))) / n.sum(e, axis=(1, 2), keepdims=True),
    "the sum squared": lambda n, x: (e := n.exp(shift(n, x))) / n.sum(e, axis=-1, keepdims=True) ** 2,
    "something added": lambda n, x: (e := n.exp(shift(n, x))) / (1.0 + n.sum(e, axis=-1, keepdims=True)),
    "used elsewhere": lambda n, x: softmax(n, x, -1) * n.sin(n.max(x, axis=-1, keepdims=True)),
    "compared": lambda n, x: n.where(shift(n, x) > -0.5, softmax(n, x, -1), 0.0),
    "another base": lambda n, x: (e := 2.0 ** shift(n, x)) / n.exp(n.sum(e, axis=-1, keepdims=True)),
    "weights": lambda n, x: n.matmul(n.exp(shift(n, x)), V),
    "contracted": lambda n, x: n.einsum("bij,i->bj", e := n.exp(shift(n, x)), V[:3, 0]) / n.sum(e, (1, 2))[:, None],
    "another extremum back": lambda n, x: n.log(n.sum(n.exp(shift(n, x)), axis=-1)) + n.min(x, axis=-1),
    "sorted": lambda n, x: n.sort(shift(n, x), axis=-1),
}  # fmt: skip


def staged(fn: Callable) -> Graph:
    return check(gl.stage(lambda x: fn(gnp, x))(X))


def held(graph: Graph) -> int:
    """How many extrema nobody differentiates."""
    return sum(eqn.prim.name == "stop_gradient" for eqn in graph.eqns)


def extrema(graph: Graph) -> int:
    return sum(eqn.prim.name in ("reduce_max", "reduce_min") for eqn in graph.eqns)


@pytest.mark.parametrize("name", HELD)
def test_an_invariant_extremum_is_held(name):
    graph = staged(HELD[name])
    after = check(hold_extrema(graph))
    assert held(after) == extrema(graph) >= 1
    assert after.out_avals == graph.out_avals
    assert hold_extrema(after) is after


@pytest.mark.parametrize("name", KEPT)
def test_an_extremum_that_matters_is_not(name):
    graph = staged(KEPT[name])
    assert extrema(graph) >= 1
    after = check(hold_extrema(graph))
    # Where one of several extrema is invariant by itself, the one that matters still has its derivative.
    assert held(after) < extrema(graph)


@pytest.mark.parametrize("table", [HELD, KEPT], ids=["held", "kept"])
def test_values_and_derivatives(table):
    """All of a table at once: value, gradient, and the Hessian in a direction, as JAX's."""
    some = {name: fn for name, fn in table.items() if not name.endswith((", first", ", all"))}

    def of(library, np_):
        def scalar(fn):
            return lambda x: (fn(np_, x) * np_.cos(fn(np_, x))).sum()

        def run(x, t):
            return {
                name: (library.value_and_grad(scalar(fn))(x), library.jvp(library.grad(scalar(fn)), (x,), (t,))[1])
                for name, fn in some.items()
            }

        return run

    ours, theirs = of(gl, gnp), of(jax, jnp)
    got, want = jax.jit(lambda x, t: (ours(x, t), theirs(x, t)), compiler_options=QUICK)(
        X, np.sin(np.arange(24.0)).reshape(X.shape)
    )
    for name in some:
        for a, b in zip(jax.tree.leaves(got[name]), jax.tree.leaves(want[name]), strict=True):
            assert_close(a, b, 1e-11, name)


def test_the_gradient_walks_around_the_maximum():
    """No index, no pick, no comparison: the derivative of log-sum-exp is a softmax."""
    text = gl.source(gl.grad(lambda x: logsumexp(gnp, x, -1).sum()))(X)
    for word in ("argmax", "where", "iota", "==", "take_along_axis", "gather"):
        assert word not in text


def test_an_extremum_of_a_constant_is_left_alone():
    graph = check(gl.stage(lambda x: softmax(gnp, gl.stop_gradient(x), -1) * x)(X))
    check(hold_extrema(graph))


def test_many_extrema_that_count():
    """What a long program depends on is followed so far only; what it does not depend on is found all the same."""

    def f(x):
        total = gnp.sum(softmax(gnp, x, -1) * x)
        for _ in range(300):
            x = gnp.sin(x)
            total = total + gnp.max(x)
        return total + gnp.sum(softmax(gnp, x, -1) * x)

    with gl.rerolling(False):
        graph = gl.stage(f)(X)
    held = check(hold_extrema(graph))
    assert [eqn.prim.name for eqn in held.eqns].count("stop_gradient") == 2
