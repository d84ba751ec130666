"""Loops that search: batched, each element ending when it has found its place, and differentiated in what they find."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.ir.check import check

from .support import GL, agree

RNG = np.random.default_rng(0)


def place(lx, sorted_, x):
    """The first place at which x could stand in a sorted array: a while loop on two integers."""
    sorted_ = lx.np.asarray(sorted_)

    def halve(ends):
        low, high = ends
        middle = (low + high) // 2
        right = sorted_[middle] < x
        return lx.np.where(right, middle + 1, low), lx.np.where(right, high, middle)

    return lx.while_loop(lambda ends: ends[0] < ends[1], halve, (0, sorted_.shape[0]))[0]


def interpolated(lx, xs, ys, x):
    """ys at x, on the line between the two points that the search has found."""
    k = lx.np.clip(place(lx, xs, x), 1, xs.shape[0] - 1)
    share = (x - xs[k - 1]) / (xs[k] - xs[k - 1])
    return ys[k - 1] * (1 - share) + ys[k] * share


def by_library(lx, xs, ys, x):
    return lx.np.interp(x, xs, ys)


@pytest.mark.parametrize("n", [1, 9])
def test_searchsorted_of_a_batch(n):
    sorted_, xs = np.sort(RNG.integers(0, 8, n)).astype(float), np.arange(-1.0, 9.0, 0.5)
    rows = np.stack([sorted_, sorted_ + 0.5])
    each = gl.jit(gl.vmap(lambda s, x: place(GL, s, x), (None, 0)))
    np.testing.assert_array_equal(each(sorted_, xs), np.searchsorted(sorted_, xs))
    both = gl.jit(gl.vmap(gl.vmap(lambda s, x: place(GL, s, x), (None, 0)), (0, None)))
    np.testing.assert_array_equal(both(rows, xs), [np.searchsorted(row, xs) for row in rows])
    check(gl.stage(gl.vmap(lambda x: place(GL, sorted_, x)))(xs))


def test_what_is_found_by_searching_is_differentiated():
    """The loop's integers carry no derivative; what stands at the place has one, in every mode."""
    xs, ys = np.linspace(0.0, 2.0, 7) ** 2, RNG.normal(size=7)
    agree(interpolated, (xs, ys, 1.37), axes=(None, None, 0), reference=by_library)
    agree(interpolated, (xs, ys, 1.37), axes=(0, 0, None), reference=by_library, second=False)


def bisected(lx, f, low, high, steps=60):
    """Where f, rising, crosses zero, by halving: each turn moves one end, so no derivative comes out of the loop."""

    def halve(_, ends):
        low, high = ends
        middle = (low + high) / 2
        below = f(middle) < 0
        return lx.np.where(below, middle, low), lx.np.where(below, high, middle)

    return lx.fori_loop(0, steps, halve, (low, high))[0]


def crossing(lx, a, b):
    """The root of x³ + a x = b, found by bisection, differentiated as a root."""

    def solve(f, _):
        low, high = lx.np.zeros_like(a) - 10.0, lx.np.zeros_like(a) + 10.0
        return bisected(lx, f, low, high)

    return lx.custom_root(lambda x: x**3 + a * x - b, a * 0.0, solve, lambda g, y: y / g(lx.np.ones_like(y)))


def cardano(lx, a, b):
    root = lx.np.sqrt(b * b / 4 + a**3 / 27)
    return lx.np.cbrt(b / 2 + root) - lx.np.cbrt(root - b / 2)


def test_bisection_differentiated_as_a_root():
    agree(crossing, (1.3, 0.7), reference=cardano, rtol=1e-9)


def test_bisection_until_it_is_near_enough():
    """Each element of a batch ends after turns of its own, and none moves on once it is there."""

    def widths(x, width):
        def near(state):
            return state[1] - state[0] > width

        def halve(state):
            low, high, turns = state
            middle = (low + high) / 2
            below = middle * middle < x
            return gnp.where(below, middle, low), gnp.where(below, high, middle), turns + 1

        return gl.while_loop(near, halve, (0.0, 4.0, 0))

    xs, ws = np.array([2.0, 3.0, 9.0, 0.5]), np.array([1e-3, 1e-9, 8.0, 0.5])
    low, high, turns = gl.jit(gl.vmap(widths))(xs, ws)
    np.testing.assert_array_equal(turns, np.maximum(np.ceil(np.log2(4.0 / ws)), 0))
    assert np.all((low * low <= xs) & (xs <= high * high) | (turns == 0)) and np.all((high - low <= ws) | (turns == 0))
    alone = jax.vmap(lambda x, w: widths(x, w))(jnp.asarray(xs), jnp.asarray(ws))
    np.testing.assert_array_equal(low, alone[0])
