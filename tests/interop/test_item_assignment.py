"""Assignment to elements of a tracer is NumPy's, or refused: never silently something else.

This module speaks plain NumPy, so that `y += v` means here what it means there.
"""

from __future__ import annotations

import numpy as np
import pytest

import gradlab as gl
from gradlab.ir.errors import DTypeError, EscapedTracerError, ItemAssignmentError, ShapeError
from gradlab.trace.avals import aval_of
from gradlab.trace.builder import Builder
from gradlab.trace.tracer import Tracer

from . import numpy_cases as cases

X = np.array([[0.3, -1.2, 2.5], [1.1, 0.7, -0.4]])
MASK = X > 0.5


def elements(x):
    y = np.zeros(3, like=x)
    y[0] = x[0, 0] ** 2
    y[-1] = 3.0
    y[1:] += x[1, 1:]
    return y


def rows_in_a_loop(x):
    h = np.zeros((5, 3), like=x)
    h[0] = x[0]
    for t in range(1, 5):
        before = h[t - 1]
        h[t] = np.tanh(before * x[1]) + h[0]
    return h


def swap(x):
    y = x[0] * 2.0
    first = y[0]
    y[0] = y[1]
    y[1] = first
    y[0], y[2] = y[2], y[0]
    return y


def columns(x):
    y = np.empty_like(x)
    y[:, 0] = 1.0
    y[:, 1:] = x[:, :2]
    y[..., -1] *= x[:, 0]
    y[::-1, ::2] -= x[:, ::2]
    return y


def masks_and_places(x):
    y = x * 1.0
    y[y > 1] = 0.0
    y[MASK] = x[0, 0]
    y[x < 0] *= 3.0
    y[[1, 0], [0, 2]] = x[0, :2]
    y[1, np.array([0, 2])] += 5.0
    y[~MASK] = y[~MASK] ** 2
    return y


def places_of_a_tracer(x):
    y = np.zeros_like(x)
    y[0, np.argmax(x[0])] = x[1, 1]
    y[1, np.argsort(x[1])] = x[0]
    return y


def another_name(x):
    y = x * 1.0
    z = y
    z[0] = 7.0 * x[1]
    z += 1.0
    return y + z


def in_a_container(x):
    state = {"y": np.zeros_like(x), "all": []}
    state["y"][0] = x[1]
    state["all"].append(state["y"])
    state["y"] += x
    return state["all"][0]


def by_a_function(x):
    def fill(a, v):
        a[0] += v
        a *= 2.0

    y = x * 1.0
    fill(y, 3.0)
    fill(y, x[0])
    return y


def twins(x):
    """Equal programs are recorded once, and are two arrays nevertheless."""
    a, b = np.zeros_like(x), np.zeros_like(x)
    c, d = np.sin(x), np.sin(x)
    a[0], c[0] = 1.0, x[0]
    return a + 2 * b + 3 * c + 4 * d


def copies(x):
    y = x * 1.0
    kept = [y.copy(), +y, y**1, np.array(y, like=y), np.copy(y), y.astype(float), y.flatten(),
            np.concatenate([y]), y[[0, 1]], y[y < 99], np.clip(y, None, 99), np.tile(y, 1), np.positive(y),
            np.where(True, y, y)]  # fmt: skip
    y[:] = 0.0
    for k, other in enumerate(kept):
        other[0] = 2.0 * k
    return y + sum(np.sum(k * np.ravel(other)) for k, other in enumerate(kept))


def views_that_died(x):
    y = (x * 2.0).reshape(3, 2).T
    y[0, 1] = x[0, 0]
    y[1] += 1.0
    return y


def a_view_of_another_part(x):
    y = x * 1.0
    first = y[0]
    y[1] = first * 2.0
    y[1, 1:] = first[:2]
    return y + first


def a_view_taken_again(x):
    y = x * 1.0
    row = y[0]
    y[0] = row * 2.0
    row = y[0]
    return y + row


def methods(x):
    y = x[0] * 1.0
    y.sort()
    z = np.zeros_like(x)
    z.fill(y[0])
    return z + y


def while_iterating(x):
    y = x[0] * 1.0
    for i, v in enumerate(y):
        if i < 2:
            y[i + 1] = y[i + 1] + v
    return y


def broadcast_in_front(x):
    y = np.zeros(3, like=x)
    y[:] = x[:1]
    y[1:] = [4.0, 5.0]
    y[:2] = [x[0, 0], 2.0]
    return y


def integers_truncate(x):
    y = np.zeros(3, int, like=x)
    y[:] = x[0] * 10 + 0.5
    return y * x[1]


def no_dimensions(x):
    y = np.zeros((), like=x)
    y[()] = x[0, 0]
    y[...] += 1.0
    return y


PROGRAMS = [elements, rows_in_a_loop, swap, columns, masks_and_places, places_of_a_tracer, another_name, in_a_container,
            by_a_function, twins, copies, views_that_died, a_view_of_another_part, a_view_taken_again, methods,
            while_iterating, broadcast_in_front, integers_truncate, no_dimensions]  # fmt: skip


def test_programs_mean_what_they_mean_in_numpy():
    dx = np.cos(np.arange(6.0)).reshape(2, 3)
    got, tangents = gl.jvp(lambda x: [p(x) for p in PROGRAMS], (X,), (dx,))
    for program, value, tangent in zip(PROGRAMS, got, tangents, strict=True):
        np.testing.assert_allclose(value, program(X), err_msg=program.__name__)
        slope = (program(X + 1e-6 * dx) - program(X - 1e-6 * dx)) / 2e-6
        np.testing.assert_allclose(tangent, slope, rtol=1e-6, atol=1e-8, err_msg=program.__name__)


def test_under_jit_vmap_and_twice():
    def f(x):
        y = np.zeros(3, like=x)
        y[0] = x[0] * x[1]
        y[1:] = y[0] * x[1:]
        return np.sum(y)

    x = X[0]
    want = gl.grad(lambda x: x[0] * x[1] * (1 + x[1] + x[2]))(x)
    np.testing.assert_allclose(gl.jit(gl.grad(f))(x), want)
    np.testing.assert_allclose(gl.vmap(gl.grad(f))(X)[0], want)
    np.testing.assert_allclose(gl.hessian(f)(x), gl.hessian(lambda x: x[0] * x[1] * (1 + x[1] + x[2]))(x))
    masked = gl.jit(lambda x: masks(x))
    np.testing.assert_array_equal(masked(X), np.where(X > 0, X, 0))


def masks(x):
    y = x * 1.0
    y[y < 0] = 0.0  # the mask has no value here, and needs none
    return y


def test_inside_an_inner_function():
    def f(x):
        def inner(t):
            y = np.zeros_like(x)  # of the inner function, though like an array of the outer one
            y[0] = t
            z = x.copy()
            z[1] = t * x[1]
            return np.sum(y * z)

        return gl.grad(inner)(x[0]) * x[1]

    np.testing.assert_allclose(gl.grad(f)(X[0]), [X[0, 1], X[0, 0], 0])


def test_results_of_transformations_are_arrays_of_their_own():
    def f(x):
        h = x * 1.0
        y, back = gl.vjp(lambda h: h * h, h)
        h[0] = 100.0
        y[0] = 100.0
        return back(np.ones_like(h))[0]

    np.testing.assert_allclose(gl.grad(lambda x: f(x).sum())(X[0]), [2, 2, 2])


# -- refusals


def of_an_argument(x):
    x[0] = 1.0
    return x


def of_a_view_of_an_argument(x):
    row = x[0]
    row[1] = 1.0
    return row


def in_place_of_an_argument(x):
    x += 1.0
    return x


def through_a_view(x):
    y = x * 1.0
    row = y[0]
    row[1] = 5.0
    return y


def chained(x):
    y = x * 1.0
    y[0][1] = 5.0
    return y


def in_place_through_a_view(x):
    y = x * 1.0
    flat = y.ravel()
    flat += 1.0
    return y


def behind_a_view(x):
    y = x * 1.0
    row = y[0]
    y[0, 1] = 5.0
    return row


def behind_a_transpose(x):
    y = x * 1.0
    turned = y.T
    y[0] = 5.0
    return turned


def behind_a_sibling(x):
    y = x * 1.0
    left, right = y[:, :2], y[:, 1:]
    del y
    left[0] = 5.0
    return right


def behind_a_loop_variable(x):
    y = x * 1.0
    total = 0.0
    for i, row in enumerate(y):
        y[i] = 2.0 * row
        total = total + row
    return total


def returned_as_aux(x):
    y = x * 1.0
    row = y[0]
    y[:] = 0.0
    return np.sum(y), row


def of_the_function_around(x):
    y = x * 1.0

    def inner(t):
        y[0] = t
        return t

    return gl.grad(inner)(x[0, 0]) * y


BASE, VIEW, COPY = r"y\[0, i\] = v", r"row = y\[0\]\.copy\(\)", r"x = x\.copy\(\)"
REFUSED = {
    of_an_argument: COPY,
    of_a_view_of_an_argument: COPY,
    in_place_of_an_argument: COPY,
    of_the_function_around: COPY,
    through_a_view: BASE,
    chained: BASE,
    in_place_through_a_view: BASE,
    behind_a_view: VIEW,
    behind_a_transpose: VIEW,
    behind_a_sibling: VIEW,
    behind_a_loop_variable: VIEW,
}


@pytest.mark.parametrize("wrong", REFUSED, ids=lambda f: f.__name__)
def test_what_numpy_would_do_elsewhere_too_is_refused(wrong):
    with pytest.raises(ItemAssignmentError, match=rf"(?s){REFUSED[wrong]}.*at .*test_item_assignment"):
        gl.grad(lambda x: np.sum(wrong(x)))(X)


def test_an_outdated_view_is_no_result_either():
    with pytest.raises(ItemAssignmentError, match=VIEW):
        gl.grad(returned_as_aux, has_aux=True)(X)
    with pytest.raises(ItemAssignmentError, match=VIEW):
        gl.jacobian(behind_a_view)(X)


def test_mistakes():
    def assign(index, value, of=lambda x: x * 1.0):
        def f(x):
            y = of(x)
            y[index] = value(x) if callable(value) else value
            return np.sum(y.real)

        return gl.grad(f)(X)

    with pytest.raises(IndexError, match="out of bounds"):
        assign(2, 1.0)
    with pytest.raises(ShapeError, match="broadcast"):
        assign(0, lambda x: x)
    with pytest.raises(DTypeError, match=r"astype\(complex\)"):
        assign(0, 1j)
    with pytest.raises(ItemAssignmentError, match="a number or an array"):
        assign(0, "text")
    with pytest.raises(ItemAssignmentError, match="a number or an array"):
        assign(0, None)


def test_a_tracer_that_got_away_stays_away():
    kept = []

    def f(x):
        kept.append(x * 1.0)
        return np.sum(x)

    gl.grad(f)(X)
    with pytest.raises(EscapedTracerError):
        kept[0][0] = 1.0


# -- every function of NumPy's: a view here where it is one there, a copy here where it is one there

CONSERVATIVE = {  # copies in NumPy, depending on the layout of memory or on what nobody else holds
    "ascontiguousarray", "asfortranarray", "ravel", "reshape", "atleast_1d", "imag",
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_views_are_views_and_copies_are_copies():
    """What shares memory with an argument in NumPy is known to, and nothing else is."""
    wrong = []
    builder = Builder()
    with builder:
        args = [builder.input(aval_of(a)) for a in cases.ARGS]
        for name, call in cases.SMOOTH.items():
            try:
                got = call(*args)
            except Exception:  # those that need values, or are not there yet, are tested elsewhere
                continue
            for ours, theirs in zip(*[x if isinstance(x, list | tuple) else [x] for x in (got, call(*cases.ARGS))],
                                    strict=True):  # fmt: skip
                if type(ours) is not Tracer:
                    continue
                shares = isinstance(theirs, np.ndarray) and any(np.shares_memory(theirs, a) for a in cases.ARGS)
                knows = ours.shared is not None or any(ours is a for a in args)
                if shares != knows and not (knows and name in CONSERVATIVE):
                    wrong.append((name, shares, knows))
    assert wrong == []


# -- random programs


def random_program(seed, refuse=ItemAssignmentError):
    """A program that makes arrays, views and copies, writes into some of them, and reads others."""

    def run(x):
        rng = np.random.default_rng(seed)
        arrays = [x * 1.0]
        total = 0.0

        def pick():
            return arrays[rng.integers(len(arrays))]

        def part(a):
            if not a.ndim:
                return ...
            n = a.shape[0]
            i, j = sorted(rng.integers(0, n + 1, size=2).tolist())
            return [slice(i, j), (..., 0), slice(None, None, -1), (Ellipsis, slice(1, None)), int(rng.integers(n))][
                rng.integers(5)
            ] if n else ...  # fmt: skip

        for _ in range(rng.integers(4, 10)):
            match rng.integers(9):
                case 0:
                    arrays.append(np.zeros_like(x) if rng.integers(2) else pick().copy())
                case 1:
                    arrays.append(pick() * x[0, 0])
                case 2:
                    a = pick()
                    view = a[part(a)]
                    arrays += [view] if view.ndim and view.size else []
                case 3:
                    a = pick()
                    arrays.append([a.T, a.reshape(-1), a[None], np.swapaxes(a, 0, -1)][rng.integers(4)])
                case 4:
                    arrays.append(pick())
                case 5 | 6:
                    a = pick()
                    a[part(a)] = x[0, 1] * rng.normal()
                case 7:
                    a = pick()
                    a[part(a)] *= x[1, 0] + 2.0
                case 8:
                    a = pick()
                    a += rng.normal()
            if rng.integers(4) == 0 and len(arrays) > 1:
                del arrays[rng.integers(len(arrays))]
            if rng.integers(3) == 0:
                total = total + np.sum(pick()) * rng.normal()
        return total + np.sum(pick() * 1.5)

    return run


def test_random_programs_agree_with_numpy_or_are_refused():
    refused = []

    def all_of(x):
        totals = []
        for seed in range(200):
            try:
                totals.append(random_program(seed)(x))
            except ItemAssignmentError:
                refused.append(seed)
                totals.append(x[0, 0] * np.nan)
        return totals

    got = gl.jit(all_of)(X)
    for seed, value in enumerate(got):
        if seed not in refused:
            np.testing.assert_allclose(value, random_program(seed)(X), rtol=1e-10, err_msg=f"program {seed}")
    assert len(refused) < 120, f"{len(refused)} of 200 refused"
