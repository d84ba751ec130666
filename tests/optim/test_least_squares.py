"""Least squares: SciPy's answers with bounds and losses, any tree, and derivatives of the solution."""

from __future__ import annotations

import jax
import numpy as np
import pytest
import scipy.optimize

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.ir.errors import ArgumentError, DTypeError, SolveError, StructureError
from gradlab.optim import Status, curve_fit, least_squares, problems
from gradlab.optim.losses import LOSSES, reweighted, rho

T = np.linspace(0, 3, 40)
NOISE = np.random.default_rng(0).normal(size=40)
CLEAN = 2.5 * np.exp(-1.3 * T) + 0.5
DATA = CLEAN + 0.05 * NOISE + np.where(np.arange(40) % 7 == 0, 3.0, 0.0)
START = np.array([1.0, 1.0, 0.0])


def decay(x, y=DATA):
    return x[0] * gnp.exp(-x[1] * T) + x[2] - y


def by_numpy(x, y=DATA):
    return x[0] * np.exp(-x[1] * T) + x[2] - y


TIGHT = {"ftol": 0.0, "xtol": 0.0, "gtol": 1e-10}


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_are_scipys(loss):
    start = START if loss == "linear" else np.array([2.0, 1.0, 0.3])
    found = least_squares(decay, start, loss=loss, f_scale=0.1, gtol=1e-7, ftol=1e-14)
    theirs = scipy.optimize.least_squares(by_numpy, start, loss=loss, f_scale=0.1, gtol=1e-12, ftol=1e-14, xtol=1e-12)
    assert found.success
    assert float(found.f) == pytest.approx(theirs.cost, rel=1e-7)
    np.testing.assert_allclose(found.x, theirs.x, rtol=2e-3 if loss == "linear" else 1e-4)


def test_a_loss_of_ones_own_and_its_derivatives():
    z = np.array([0.0, 0.4, 1.7])
    for a, b in zip(rho(gnp.log1p, z), LOSSES["cauchy"](z), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    r, weights = reweighted("cauchy", 2.0, np.array([0.5, -1.0]))
    first = 1 / (1 + np.array([0.5, -1.0]) ** 2 / 4)
    np.testing.assert_allclose(r * weights, first * np.array([0.5, -1.0]))


@pytest.mark.parametrize("method", ["lm", "dogleg"])
def test_bounds_hold_and_are_reported(method):
    p = problems.nonnegative_fit()
    found = least_squares(p.residuals, p.x0, method, bounds=p.bounds)
    assert 2 * float(found.f) == pytest.approx(p.f_min, rel=1e-9)
    assert np.all(found.x >= 0)
    np.testing.assert_array_equal(np.asarray(found.active) == -1, np.asarray(found.x) == 0)
    assert found.n_evals <= 5
    outside = least_squares(p.residuals, -p.x0, method, bounds=p.bounds)
    assert outside.projected
    assert "outside the bounds" in outside.message


@pytest.mark.parametrize(("method", "name"), [("lm", "meyer"), ("dogleg", "osborne_1")])
def test_hard_fits(method, name):
    p = getattr(problems, name)()
    found = least_squares(p.residuals, p.x0, method, max_evals=500)
    assert p.solved(2 * float(found.f))


def test_trees_and_complex_residuals_dense_or_by_products():
    data = 3 * np.exp(2j * T[:12])

    def misfit(p):
        return {"all": p["a"] * gnp.exp(1j * p["w"] * T[:12]) - data}

    for jacobian in ("dense", "products"):
        found = least_squares(misfit, {"a": 1.0 + 0.5j, "w": 1.8}, jacobian=jacobian)
        assert found.x["a"] == pytest.approx(3, abs=1e-5)
        assert found.x["w"] == pytest.approx(2, abs=1e-5)
        assert found.extra.residuals.shape == (24,)
    assert found.extra.jacobian is None
    assert found.extra.n_products > 0


def test_more_unknowns_than_residuals():
    found = least_squares(lambda x: gnp.stack([x[0] + x[1] - 1, x[2] * x[0] - 2]), np.ones(3))
    assert found.f < 1e-12


def test_shifted_data_give_the_derivative_by_differences():
    y = CLEAN[::4]

    def fit(y, method="lm"):
        return least_squares(lambda p: p[0] * gnp.exp(-p[1] * T[::4]) + p[2] - y, START, method, **TIGHT).x

    forward = jax.jacfwd(fit)(y)
    np.testing.assert_allclose(gl.jacobian(fit)(y), forward, rtol=1e-8, atol=1e-12)
    step = 1e-4 * np.sin(np.arange(10.0))
    np.testing.assert_allclose((fit(y + step) - fit(y - step)) / 2, forward @ step, rtol=1e-4, atol=1e-8)


def test_an_active_bound_is_followed():
    def fit(y, top):
        found = least_squares(
            lambda x, y: gnp.stack([x[0] - y[0], x[1] - y[1], x[0] * x[1]]), np.zeros(2), args=(y,), bounds=(None, top)
        )
        return found.x

    y = np.array([1.0, 2.0])
    d_y, d_top = jax.jacrev(fit, argnums=(0, 1))(y, 0.5)
    assert fit(y, 0.5)[1] == 0.5
    np.testing.assert_allclose(d_y[1], 0, atol=1e-12)
    assert d_top[1] == pytest.approx(1)
    h = 1e-5
    np.testing.assert_allclose(d_top, (fit(y, 0.5 + h) - fit(y, 0.5 - h)) / (2 * h), atol=1e-6)


def test_batches_are_those_run_alone():
    data = np.stack([CLEAN, 2 * CLEAN])
    together = jax.vmap(lambda y: least_squares(decay, START, args=(y,)).x)(data)
    for x, y in zip(together, data, strict=True):
        np.testing.assert_allclose(x, least_squares(decay, START, args=(y,)).x, rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "remedy"),
    [
        (lambda: least_squares(decay, START, "newton"), ArgumentError, "lm, dogleg"),
        (lambda: least_squares(decay, START, loss="l2"), ArgumentError, "soft_l1"),
        (lambda: least_squares(decay, START, jacobian="products", bounds=(0, None)), ArgumentError, "dense"),
        (lambda: least_squares(lambda x: x, np.arange(3)), DTypeError, "Convert it"),
        (lambda: least_squares(lambda x: gnp.argsort(x), START), DTypeError, "floating point"),
        (lambda: least_squares(decay, START, f_scale=0.0), ArgumentError, "above 0"),
        (lambda: least_squares(lambda x: x[:0], START), StructureError, "at least one residual"),
    ],
)
def test_mistakes_are_named(call, error, remedy):
    with pytest.raises(error, match=remedy):
        call()


def test_nonfinite_starts_say_so():
    found = least_squares(lambda x: gnp.log(x), np.array([-1.0]))
    assert found.status == Status.NONFINITE_START


# -- curve_fit


def model(x, a, b, c):
    return a * gnp.exp(-b * x) + c


NOISY = CLEAN + 0.1 * NOISE


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"sigma": np.linspace(0.1, 0.3, 40), "absolute_sigma": True},
        {"sigma": 0.04 * np.eye(40) + 0.01 * np.exp(-np.abs(np.subtract.outer(T, T))), "absolute_sigma": True},
        {"bounds": (np.array([0.0, 0.0, 0.6]), np.array([3.0, 2.0, 1.0]))},
    ],
)
def test_fits_and_covariances_are_scipys(options):
    p, covariance = curve_fit(model, T, NOISY, **options)
    theirs = scipy.optimize.curve_fit(lambda x, a, b, c: a * np.exp(-b * x) + c, T, NOISY, **options)
    np.testing.assert_allclose(p, theirs[0], rtol=1e-4)
    np.testing.assert_allclose(covariance, theirs[1], rtol=1e-3, atol=1e-3 * np.max(theirs[1]))


def test_a_tree_of_parameters_and_the_whole_result():
    p, covariance, result = curve_fit(
        lambda x, p: model(x, p["a"], p["b"], p["c"]), T, NOISY, {"a": 1.0, "b": 1.0, "c": 0.0}, full_output=True
    )
    assert covariance.shape == (3, 3)
    assert result.success
    assert p["b"] == pytest.approx(1.3, rel=0.2)


def test_what_data_do_not_determine_is_infinite():
    _, covariance = curve_fit(lambda x, a, b: a + b + 0 * x, T, NOISY)
    assert np.all(np.isinf(covariance))


def test_no_fit_is_an_error():
    with pytest.raises(SolveError, match="full_output"):
        curve_fit(lambda x, a: gnp.log(a - 2) * x, T, NOISY)
    with pytest.raises(ArgumentError, match="p0"):
        curve_fit(lambda x, *p: x, T, NOISY)
    with pytest.raises(ArgumentError, match="it takes"):
        curve_fit(lambda x, a, b: a * x + b, np.arange(4.0), np.arange(4.0), p0=[1.0, 2.0, 3.0])
    with pytest.raises(ArgumentError, match="1 values that are not finite"):
        curve_fit(lambda x, a: a * x, np.arange(3.0), np.array([0.0, 1.0, np.nan]))


def test_lists_are_data():
    assert curve_fit(lambda x, a: a * x, [1.0, 2.0], [2.0, 4.0])[0] == pytest.approx(2)
