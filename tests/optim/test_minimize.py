"""`minimize`: what it reads, keeps, refuses, and how it composes with the transformations."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.ir.errors import ArgumentError, DTypeError, NonScalarError, ShapeError, StructureError
from gradlab.optim import METHODS, Status, minimize
from gradlab.optim.flat import flat_of

X0 = np.array([-1.2, 1.0, -1.2, 1.0])


def rosenbrock(x):
    return gnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def ridge(x, lam, b):
    a = np.random.default_rng(0).normal(size=(6, 4))
    return gnp.sum((a @ x - b) ** 2) + lam * gnp.sum(x * x) + 0.1 * gnp.sum(x**4)


B = np.arange(6.0)


@pytest.mark.parametrize("method", ["lbfgs", "bfgs", "newton-cg", "trust-region", "gradient-descent", optax.lbfgs()])
def test_every_method_finds_the_minimum(method):
    result = minimize(rosenbrock, X0[:2], method, max_iters=10_000)  # in four dimensions it has a second minimum
    assert result.status is Status.CONVERGED_GRADIENT, result
    assert np.allclose(result.x, 1, atol=1e-5)
    assert float(result.gnorm) == np.max(np.abs(result.grad)) <= 1e-6


def test_a_first_order_optimizer_lowers_f():
    result = minimize(rosenbrock, X0, optax.adam(1e-2), max_iters=100)
    assert result.status is Status.MAX_ITERS and float(result.f) < rosenbrock(X0)
    assert int(result.n_evals) == 101


def test_functions_of_jax():
    result = minimize(lambda x: jnp.sum((x - jnp.arange(3.0)) ** 2), jnp.zeros(3))
    assert np.allclose(result.x, [0, 1, 2])


def test_evaluations_are_counted_truly():
    seen = []
    result = minimize(rosenbrock, X0, callback=lambda r: seen.append(int(r.n_evals)) and False)
    assert seen == sorted(set(seen)) and seen[-1] == int(result.n_evals)
    assert int(result.n_iters) == len(seen) - 1


def test_read_once_and_again_when_something_changed():
    calls, scale = [], [1.0]

    def reads(x):
        calls.append(1)
        return gnp.sum((x - 1) ** 2)

    for _ in range(3):
        minimize(reads, X0)
    assert len(calls) == 3  # it reaches a list, which may have changed

    def of_list(x):
        return gnp.sum((x - scale[0]) ** 2)

    assert np.allclose(minimize(of_list, X0).x, 1)
    scale[0] = 2.0
    assert np.allclose(minimize(of_list, X0).x, 2)

    data = np.array([1.0, 2.0, 3.0, 4.0])

    def of_array(x):
        return gnp.sum((x - data) ** 2)

    assert np.allclose(minimize(of_array, X0).x, data)
    data[:] = 7.0
    assert np.allclose(minimize(of_array, X0).x, 7)


TARGET = 1.0


@dataclass(frozen=True)
class Distance:
    target: float

    def __call__(self, x):
        return gnp.sum((x - self.target) ** 2)


def test_what_a_function_reaches_is_looked_at_in_each_call():
    inner, distance = 1.0, Distance(1.0)

    def of_cell(x):
        return gnp.sum((x - inner) ** 2)

    def of_global(x):
        return gnp.sum((x - TARGET) ** 2)

    def of_default(x, target=1.0):
        return gnp.sum((x - target) ** 2)

    def of_keyword(x, *, target=1.0):
        return gnp.sum((x - target) ** 2)

    def of_object(x):
        return distance(x)

    def of_code(x):
        return gnp.sum((x - 1.0) ** 2)

    functions = (of_cell, of_global, of_default, of_keyword, of_object, of_code)
    for _ in range(3):  # read, kept by what it reaches, kept by its name
        assert all(np.allclose(minimize(f, X0).x, 1) for f in functions)
    inner, distance = 2.0, Distance(2.0)
    of_default.__defaults__ = (2.0,)
    of_keyword.__kwdefaults__["target"] = 2.0
    of_code.__code__ = (lambda x: gnp.sum((x - 2.0) ** 2)).__code__
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(globals(), "TARGET", 2.0)
        assert all(np.allclose(minimize(f, X0).x, 2) for f in functions)


def test_a_constant_problem_inside_another_program():
    def f(a):
        return a * minimize(lambda x: gnp.sum((x - 3) ** 2), np.zeros(2)).x

    assert np.allclose(jax.jit(f)(2.0), 6) and np.allclose(gl.jit(f)(2.0), 6)
    assert np.allclose(jax.vmap(f)(jnp.ones(3)), 3)
    assert np.allclose(gl.jacobian(f)(2.0), 3)


@pytest.mark.parametrize("name", ["gtol", "ftol", "xtol"])
def test_a_tolerance_for_each_lane(name):
    def f(x):
        return gnp.sum((x - 1) ** 4)

    def evals(tolerance):
        return minimize(f, np.zeros(2), **{"gtol": 0.0, "max_iters": 40, name: tolerance}).n_evals

    for _ in range(2):  # read, and kept
        assert [int(evals(t)) for t in (1e-2, 1e-6)] == jax.vmap(evals)(jnp.array([1e-2, 1e-6])).tolist()


def test_other_starts_and_arguments_do_not_compile_again():
    minimize(ridge, jnp.zeros(4), args=(0.3, B))
    before = gl.cache_info().misses
    for lam in (0.1, 0.7):
        minimize(ridge, jnp.ones(4) * lam, args=(lam, B + lam))
    assert gl.cache_info().misses == before


def test_aux_history_and_callback():
    result = minimize(lambda x: (rosenbrock(x), {"twice": 2 * x, "word": "kept"}), X0, has_aux=True, history=True)
    assert result.aux["word"] == "kept" and np.allclose(result.aux["twice"], 2 * result.x)
    n = int(result.n_iters)
    assert float(result.history.f[0]) == float(rosenbrock(X0)) and float(result.history.f[n]) == float(result.f)
    assert int(result.history.n_evals[n]) == int(result.n_evals) and np.isnan(result.history.f[n + 1])
    assert result.history.n_evals[0] == 1  # what is refused counts for the step that it led to
    stopped = minimize(rosenbrock, X0, callback=lambda r: int(r.n_iters) == 3)
    assert stopped.status is Status.CALLBACK and int(stopped.n_iters) == 3
    seen = []
    minimize(lambda x: (rosenbrock(x), {"x": x}), X0, has_aux=True, callback=lambda r: seen.append(r.aux) or True)
    np.testing.assert_array_equal(seen[0]["x"], X0)


def test_a_method_for_bounds_does_without():
    assert minimize(rosenbrock, X0, "lbfgsb").status is Status.CONVERGED_GRADIENT


def test_limits():
    assert minimize(rosenbrock, X0, max_iters=3).status is Status.MAX_ITERS
    few = minimize(rosenbrock, X0, max_evals=5)
    assert few.status is Status.MAX_EVALS and int(few.n_evals) == 5
    assert minimize(rosenbrock, X0, ftol=1e-1).status is Status.CONVERGED_VALUE
    assert minimize(rosenbrock, X0, xtol=1e-2).status is Status.CONVERGED_STEP


def test_the_result_is_a_pytree():
    result = minimize(rosenbrock, X0)
    leaves, tree = jax.tree_util.tree_flatten(result)
    assert jax.tree_util.tree_unflatten(tree, leaves).status is result.status
    assert "CONVERGED_GRADIENT" in str(result) and result.success is True


@pytest.mark.parametrize(
    ("call", "error", "remedy"),
    [
        (lambda: minimize(rosenbrock, np.array([1, 2])), DTypeError, "pass it in args="),
        (lambda: minimize(lambda p: p["a"] ** 2, {"a": 3}), DTypeError, r"x0\['a'\].*Write 3\.0"),
        (lambda: minimize(lambda x: x * 2, X0), NonScalarError, "Sum it"),
        (lambda: minimize(lambda x: gnp.sum(x) + 1j, X0), DTypeError, r"Take \.real"),
        (lambda: minimize(rosenbrock, X0, "nelder-mead"), ArgumentError, "lbfgs, lbfgsb"),
        (lambda: minimize(rosenbrock, X0, options={"m": 3}), ArgumentError, "memory"),
        (lambda: minimize(rosenbrock, X0, "bfgs", bounds=(0, 1)), ArgumentError, "lbfgsb"),
        (lambda: minimize(rosenbrock, X0, bounds=(0, -1)), ArgumentError, "at most its upper"),
        (lambda: minimize(rosenbrock, X0, bounds=(np.zeros(3), 1)), ShapeError, "broadcast"),
        (lambda: minimize(rosenbrock, X0, bounds=((0, 1), None)), StructureError, "shaped like x0.*np.array"),
        (lambda: minimize(3, X0), StructureError, r"minimize\(f, x0\)"),
        (lambda: minimize(ridge, X0, args=3.0), ArgumentError, r"args=\(a,\)"),
        (lambda: minimize(rosenbrock, X0, callback=True), ArgumentError, "function of a Result"),
        (lambda: jax.jit(lambda x: minimize(rosenbrock, x, callback=print).x)(X0), ArgumentError, "loop of Python"),
        (lambda: minimize(rosenbrock, {"a": "text"}), StructureError, "args="),
        (lambda: minimize(rosenbrock, X0, differentiate="never"), ArgumentError, "unroll"),
    ],
)
def test_mistakes(call, error, remedy):
    with pytest.raises(error, match=remedy):
        call()


def test_trees_as_vectors():
    tree = {"a": np.float32(2), "b": (np.ones((2, 0)), np.array([1 + 2j, 3 - 1j])), "c": np.arange(3.0)}
    flat, leaves = flat_of(tree)
    assert flat.dtype == np.float64 and flat.size == 8
    vector = flat.vector(leaves)
    back = flat.unflatten(vector)
    assert jax.tree_util.tree_all(jax.tree_util.tree_map(lambda a, b: bool(jnp.all(a == b)), tree, back))
    assert [x.dtype for x in jax.tree_util.tree_leaves(back)] == [np.asarray(x).dtype for x in leaves]
    gradient = flat.leaves(vector, conjugate=True)
    assert np.allclose(flat.gradient(gradient), vector)


def total(lam, b, **options):
    result = minimize(ridge, jnp.zeros(4), args=(lam, b), gtol=1e-10, **options)
    return jnp.sum(jnp.sin(result.x)) + result.f


def difference(f, x, h=1e-6):
    return (f(x + h) - f(x - h)) / (2 * h)


def test_derivatives_of_the_solution():
    expected = difference(lambda lam: total(lam, B), 0.3)
    close = {"rtol": 1e-6}
    assert np.allclose(jax.grad(total)(0.3, B), expected, **close)
    assert np.allclose(gl.grad(total)(0.3, B), expected, **close)
    assert np.allclose(jax.jvp(lambda lam: total(lam, B), (0.3,), (1.0,))[1], expected, **close)
    unrolled = jax.jvp(lambda lam: total(lam, B, differentiate="unroll"), (0.3,), (1.0,))[1]
    assert np.allclose(unrolled, expected, **close)
    by_b = jax.jit(jax.grad(total, 1))(0.3, B)
    assert np.allclose(by_b[2], difference(lambda t: total(0.3, B + t * np.eye(6)[2]), 0.0), **close)


def test_derivatives_respect_bounds():
    bounds = (-0.5, np.array([0.2, 1.0, np.inf, 0.3]))

    def f(lam, top=0.2):
        return jnp.sum(
            jnp.sin(
                minimize(
                    ridge, jnp.zeros(4), args=(lam, B), gtol=1e-10, bounds=(bounds[0], jnp.minimum(bounds[1], top))
                ).x
            )
        )

    assert np.allclose(jax.grad(f)(0.3), difference(f, 0.3), rtol=1e-5)
    assert np.allclose(jax.grad(f, 1)(0.3, 0.2), difference(lambda t: f(0.3, t), 0.2), rtol=1e-5)


def test_batches_equal_the_runs_one_by_one():
    lams = np.array([0.1, 1.0, 10.0])

    def one(lam):
        result = minimize(ridge, jnp.zeros(4), args=(lam, B))
        return result.x, result.n_evals, result.code

    alone = [one(lam) for lam in lams]
    for vmap in (jax.vmap, gl.vmap):
        xs, evals, codes = vmap(one)(lams)
        assert np.allclose(xs, [x for x, _, _ in alone], rtol=1e-12)
        assert list(evals) == [int(n) for _, n, _ in alone] and set(map(int, codes)) == {1}


def test_every_name_is_a_method():
    assert set(METHODS) >= {"lbfgs", "lbfgsb", "bfgs", "newton-cg", "trust-region", "gradient-descent"}


def test_unrolled_under_jacfwd():
    """A Jacobian by forward mode: jax.vmap of the derivative of the loop."""

    def solution(a):
        return minimize(lambda x, a: gnp.sum((x - a) ** 2 + x**4), np.zeros(2), args=(a,), differentiate="unroll").x

    a = np.array([0.5, -1.0])
    x = solution(a)
    np.testing.assert_allclose(jax.jacfwd(solution)(a), np.diag(2 / (2 + 12 * x**2)), atol=1e-4)
