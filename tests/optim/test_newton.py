"""Newton's methods: few evaluations, saddles left, limits of precision named, derivatives of second order only."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.optim import Status, minimize, problems
from gradlab.optim.subproblem import Spectrum, conjugate_step, dogleg_step, exact_step, spectrum

METHODS = ("newton-cg", "trust-region")


def rosenbrock(x):
    return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2


@pytest.mark.parametrize("method", METHODS)
def test_a_curved_valley(method):
    found = minimize(rosenbrock, np.array([-1.2, 1.0]), method, history=True, max_iters=100)
    assert found.status == Status.CONVERGED_GRADIENT
    np.testing.assert_allclose(found.x, [1, 1], atol=1e-5)
    assert found.n_evals <= 30
    values = np.asarray(found.history.f)[: int(found.n_iters) + 1]
    assert np.all(np.diff(values) < 0)


@pytest.mark.parametrize("method", METHODS)
def test_a_thousand_unknowns_of_condition_a_million(method):
    p = problems.quadratic()
    found = minimize(p.fun, p.x0, method)
    assert found.status == Status.CONVERGED_GRADIENT
    assert found.n_evals <= 20
    assert p.solved(float(found.f))


@pytest.mark.parametrize("options", [{}, {"exact_below": 0}])
def test_trust_region_leaves_a_saddle(options):
    def fun(x):
        return x[0] ** 2 + x[1] ** 4 / 4 - x[1] ** 2 / 2

    found = minimize(fun, np.array([1.0, 1e-5]), "trust-region", options=options)
    np.testing.assert_allclose(np.abs(found.x), [0, 1], atol=1e-6)
    assert found.f == pytest.approx(-0.25)


@pytest.mark.parametrize("method", METHODS)
def test_outside_the_domain_the_step_is_shorter(method):
    found = minimize(lambda x: gnp.sum(3 * x - gnp.log(x)), np.full(3, 0.01), method)
    np.testing.assert_allclose(found.x, 1 / 3, rtol=1e-6)
    wall = minimize(lambda x: gnp.sum(x - 2 * gnp.sqrt(x)), np.full(2, 100.0), method)
    np.testing.assert_allclose(wall.x, 1, rtol=1e-5)
    assert wall.success


@pytest.mark.parametrize("method", METHODS)
def test_without_a_floor_it_says_so(method):
    found = minimize(lambda x: gnp.sum(x**3), np.full(2, -1.0), method)
    assert found.status in (Status.UNBOUNDED, Status.NONFINITE)
    assert not found.success
    line = minimize(lambda x: gnp.sum(x), np.zeros(2), method)
    assert not line.success


@pytest.mark.parametrize("method", METHODS)
def test_what_rounding_hides_is_named(method):
    found = minimize(lambda x: 1e8 + gnp.sum((x - 1) ** 4 + (x - 1) ** 2), np.full(3, 4.0), method, gtol=1e-13)
    assert found.status in (Status.PRECISION_LIMIT, Status.CONVERGED_GRADIENT)
    np.testing.assert_allclose(found.x, 1, atol=1e-6)


def test_float32_stays_float32():
    found = minimize(rosenbrock, np.array([-1.2, 1.0], np.float32), "trust-region")
    assert found.x.dtype == np.float32
    assert found.success
    np.testing.assert_allclose(found.x, [1, 1], atol=1e-2)


def test_lanes_are_those_run_alone():
    starts = np.array([[-1.2, 1.0], [0.0, 0.0], [2.0, -1.0]])

    def solve(x):
        found = minimize(rosenbrock, x, "trust-region")
        return found.x, found.n_iters

    xs, iters = jax.vmap(solve)(starts)
    for x, k, start in zip(xs, iters, starts, strict=True):
        alone = minimize(rosenbrock, start, "trust-region")
        np.testing.assert_allclose(x, alone.x, atol=1e-9)
        assert k == alone.n_iters


# -- the subproblem


def random_model(seed, n=6, lowest=-1.0):
    rng = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(rng.normal(size=(n, n)))
    values = np.sort(rng.uniform(0.5, 5, n))
    values[0] = lowest
    return basis * values @ basis.T, rng.normal(size=n), basis[:, 0]


@pytest.mark.parametrize(("lowest", "radius"), [(-1.0, 0.7), (0.3, 0.2), (0.3, 50.0), (0.0, 2.0), (-1.0, 1e3)])
def test_the_step_is_the_least_in_the_ball(lowest, radius):
    h, g, _ = random_model(0, lowest=lowest)
    step = exact_step(spectrum(jnp.asarray(h), jnp.asarray(g)), radius)
    p = np.asarray(step.p)
    assert np.linalg.norm(p) <= radius * (1 + 1e-7)
    assert step.decrease == pytest.approx(-(g @ p + p @ h @ p / 2), rel=1e-6)
    rng = np.random.default_rng(1)
    others = rng.normal(size=(4000, p.size))
    others *= (radius * rng.uniform(size=(4000, 1)) ** 0.2) / np.linalg.norm(others, axis=1, keepdims=True)
    least = np.min(others @ g + np.einsum("ki,ij,kj->k", others, h, others) / 2)
    assert -step.decrease <= least + 1e-9


def test_the_hard_case_fills_up_along_the_lowest_direction():
    h, g, low = random_model(2)
    g = g - low * (low @ g)
    step = exact_step(spectrum(jnp.asarray(h), jnp.asarray(g)), 10.0)
    assert step.length == pytest.approx(10.0)
    p = np.asarray(step.p)
    assert step.decrease == pytest.approx(-(g @ p + p @ h @ p / 2), rel=1e-6)


def test_conjugate_directions_stop_at_the_edge_and_agree_inside():
    h, g, _ = random_model(3, lowest=0.5)
    product = jnp.asarray(h).__matmul__
    inside = conjugate_step(product, jnp.asarray(g), jnp.inf, 1e-12, 50)
    np.testing.assert_allclose(inside.p, -np.linalg.solve(h, g), rtol=1e-8)
    assert inside.products <= 7
    edge = conjugate_step(product, jnp.asarray(g), 0.3, 1e-12, 50)
    p = np.asarray(edge.p)
    assert np.linalg.norm(p) == pytest.approx(0.3)
    assert edge.length == pytest.approx(0.3)
    assert edge.decrease == pytest.approx(-(g @ p + p @ h @ p / 2))


def test_the_dogleg_lies_between_descent_and_newton():
    h, g, _ = random_model(4, lowest=0.5)
    s = spectrum(jnp.asarray(h), jnp.asarray(g))
    newton = -np.linalg.solve(h, g)
    np.testing.assert_allclose(dogleg_step(s, jnp.asarray(1e3), 1e-16).p, newton, rtol=1e-8)
    short = dogleg_step(s, jnp.asarray(1e-3), 1e-16)
    np.testing.assert_allclose(short.p, -1e-3 * g / np.linalg.norm(g), rtol=1e-8)
    between = dogleg_step(s, jnp.asarray(0.8 * np.linalg.norm(newton)), 1e-16)
    assert between.length == pytest.approx(0.8 * np.linalg.norm(newton))
    best = exact_step(s, 0.8 * np.linalg.norm(newton))
    assert short.decrease < between.decrease <= best.decrease + 1e-12


def test_a_hessian_that_is_not_finite_becomes_steepest_descent():
    s = spectrum(jnp.full((2, 2), jnp.nan), jnp.array([3.0, 4.0]))
    assert isinstance(s, Spectrum)
    np.testing.assert_allclose(exact_step(s, 1.0).p, [-0.6, -0.8])


def at_small_gradients(gradient):
    """SciPy's own test is on ‖g‖₂; this ends at ‖g‖∞ ≤ 1e-6."""

    def stop(intermediate_result):
        if np.max(np.abs(gradient(intermediate_result.x))) <= 1e-6:
            raise StopIteration

    return stop


def test_trust_region_needs_no_more_evaluations_than_scipys():
    names = ("beale", "brown_badly_scaled", "kowalik_osborne", "penalty_1", "powell_singular", "wood")
    ours = theirs = 0
    for name in names:
        p = getattr(problems, name)()
        value, gradient, hessian = jax.jit(p.fun), jax.jit(jax.grad(p.fun)), jax.jit(jax.hessian(p.fun))
        stop = at_small_gradients(gradient)
        found = minimize(p.fun, p.x0, "trust-region", gtol=1e-6)
        assert p.solved(float(found.f))
        ours += int(found.n_evals)
        theirs += scipy.optimize.minimize(
            value, p.x0, jac=gradient, hess=hessian, method="trust-exact", callback=stop, options={"gtol": 1e-12}
        ).nfev
    assert ours <= 0.9 * theirs


def test_products_are_counted():
    found = minimize(rosenbrock, np.array([-1.2, 1.0]), "newton-cg")
    assert found.n_iters <= found.extra.n_products <= 2 * found.n_evals
    assert minimize(rosenbrock, np.array([-1.2, 1.0]), "trust-region").extra.n_products == 0


@pytest.mark.parametrize("method", METHODS)
def test_a_wall_and_a_wrong_gradient_end_with_a_word(method):
    wall = minimize(lambda x: gnp.where(x > 2, gnp.inf, (x - 3) ** 2), 0.0, method)
    assert wall.status == Status.NONFINITE
    assert float(wall.x) == pytest.approx(2, abs=1e-6)
    assert wall.n_evals <= 150

    @gl.custom_vjp
    def wrong(x):
        return gnp.sum((x - 1) ** 2)

    wrong.defvjp(lambda x: (gnp.sum((x - 1) ** 2), x), lambda x, ct: (-ct * 2 * (x - 1),))
    wrong.defjvp(lambda p, t: (gnp.sum((p[0] - 1) ** 2), -gnp.sum(2 * (p[0] - 1) * t[0])))
    assert minimize(wrong, np.array([3.0, 4.0]), method).status == Status.LINE_SEARCH_FAILED
