"""Loops taken apart: sections before, inside and after, by strips; carries in pieces. JAX says what the numbers are."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import gradlab as gl
import gradlab.control.abreast as abreast
import gradlab.numpy as gnp
from gradlab.ir.check import check
from gradlab.lower.finish import finish
from gradlab.passes.pipeline import tidy

from .support import GL, LAX

RNG = np.random.default_rng(3)
ROWS = RNG.normal(size=(37, 3))
STATE = RNG.normal(size=(2, 2, 3))
WEIGHTS = RNG.normal(size=(2, 4, 3))
MATRIX = RNG.normal(size=(3, 3)) / 2


def lstm(lx, w, state, rows):
    """Two layers whose states are stacked: a carry in pieces, gates that no turn waits for, sums of weights."""

    def step(s, x):
        new = []
        for k in range(2):
            h, c = s[k, 0], s[k, 1]
            gate = 1 / (1 + lx.np.exp(-(x * w[k, 0] + w[k, 1])))
            c = c * gate + lx.np.tanh(h * w[k, 2]) * lx.np.sin(x)
            x = gate * lx.np.tanh(c * w[k, 3])
            new.append(lx.np.stack([x, c]))
        return lx.np.stack(new), x

    last, xs = lx.scan(step, state, rows)
    return lx.np.sum(last**2) + lx.np.sum(xs * rows)


def network(lx, w, state, rows):
    """Products with a matrix, whose gradients are sums of products."""

    def step(h, x):
        h = lx.np.tanh(h @ w[0] + (x @ w[1]) * 0.5)
        return h, (lx.np.sum(h * h), lx.np.exp(-(x**2)) @ w[2])

    h, (total, other) = lx.scan(step, state[0, 0], rows, reverse=True)
    return lx.np.sum(h) + lx.np.sum(total) + lx.np.sum(other**2)


def handed_on(lx, w, state, rows):
    """A carry that is the slice before, one that only adds up, and a result that depends on no carry."""

    def step(c, x):
        before, total, h = c
        h = 0.9 * h + lx.np.cos(before * x)
        return (x, total + h * lx.np.sin(x), h), (lx.np.exp(x), lx.np.ones(3))

    (_, total, h), (e, ones) = lx.scan(step, (state[0, 0], state[0, 1], state[1, 0]), rows * w[0, 0])
    return lx.np.sum(total * h) + lx.np.sum(e * ones)


def nested(lx, w, state, rows):
    """A loop in a loop, which is not done abreast, between things that are."""

    def step(h, x):
        gate = lx.np.sin(x * w[0, 0])
        h = lx.scan(lambda c, _: (lx.np.tanh(c + gate), None), h, None, length=3)[0]
        return h, lx.np.cos(h) * gate

    h, ys = lx.scan(step, state[0, 0], rows)
    return lx.np.sum(h) + lx.np.sum(ys)


PROGRAMS = {
    "lstm": (lstm, WEIGHTS),
    "network": (network, np.stack([MATRIX, MATRIX.T, MATRIX - 0.3])),
    "handed_on": (handed_on, WEIGHTS),
    "nested": (nested, WEIGHTS),
}


@pytest.fixture
def always(monkeypatch):
    """Every loop is taken apart, by strips of 8 turns: four of them, and five turns left over."""
    monkeypatch.setattr(abreast, "WORTH", -1e9)
    monkeypatch.setattr(abreast, "LONGEST", 8)
    monkeypatch.setattr(abreast, "FEWEST", 4)


@pytest.mark.parametrize("name", PROGRAMS)
def test_gradients(name, always):
    fun, w = PROGRAMS[name]
    args = (w, STATE, ROWS)
    got = gl.jit(gl.value_and_grad(lambda *xs: fun(GL, *xs), (0, 1, 2)))(*args)
    want = jax.jit(jax.value_and_grad(lambda *xs: fun(LAX, *xs), (0, 1, 2)))(*args)
    for ours, theirs in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-13)


def scans(graph):
    found = []
    for eqn in graph.eqns:
        for _, inner in eqn.graphs:
            found += [eqn] if eqn.prim.name == "scan" else []
            found += scans(inner)
    return found


def test_a_carry_made_of_pieces_goes_round_in_pieces():
    def f(state):
        return gl.scan(lambda s, x: (gnp.stack([gnp.sin(s[1] * x), s[0] + x]), s), state, ROWS)

    graph = check(finish(tidy(gl.stage(f)(STATE[0]))))
    (eqn,) = scans(graph)
    assert eqn.params["loop"].n_carry == 2
    for ours, theirs in zip(gl.jit(f)(STATE[0]), f(STATE[0]), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_carry_read_as_a_whole_stays_whole():
    def f(state):
        return gl.scan(lambda s, x: (gnp.stack([gnp.sum(s) * x, s[0]]), None), state, ROWS)[0]

    (eqn,) = scans(check(finish(tidy(gl.stage(f)(STATE[0])))))
    assert eqn.params["loop"].n_carry == 1


def test_the_gates_of_a_reverse_pass_are_computed_before_it():
    graph = check(finish(tidy(gl.stage(gl.grad(lambda w: lstm(GL, w, STATE, ROWS)))(WEIGHTS))))
    backwards = [e for e in scans(graph) if e.params["loop"].reverse]
    (eqn,) = backwards
    assert not [e for e in eqn.params["body"].eqns if e.prim.name in ("tanh", "exp", "logistic")]


def test_large_arrays_stay_in_their_turns():
    def f(a, x):
        return gnp.sum(gl.scan(lambda c, r: (gnp.sin(c * a) + r, None), x, gnp.ones((20, 5000)))[0])

    graph = finish(tidy(gl.stage(gl.grad(f))(np.ones(5000), np.ones(5000))))
    assert all(e.params["body"].in_avals[-1].shape in ((5000,), ()) for e in scans(graph))


@pytest.mark.parametrize("length, most", [(512, 512), (1000, 500), (1023, 341), (8191, 455), (8192, 512)])
def test_strips_leave_nothing_over_where_they_can(length, most):
    assert abreast.strip_length(length, 1) == most
