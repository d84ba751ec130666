"""Roots: found in few evaluations, differentiated as solutions, and an honest word where there is none."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.ir.errors import ArgumentError, ShapeError
from gradlab.optim import Status, problems, root

METHODS = ("newton", "broyden")
SYSTEMS = {"broyden_tridiagonal": 15, "helical_valley": 30, "trigonometric": 40, "chebyquad": 40}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SYSTEMS)
def test_systems(name, method):
    p = problems.chebyquad(9) if name == "chebyquad" else getattr(problems, name)()
    found = root(p.residuals, p.x0, method)
    assert found.status == Status.CONVERGED_RESIDUAL
    assert np.max(np.abs(p.residuals(found.x))) <= 1e-10
    assert found.n_evals <= SYSTEMS[name]
    if method == "broyden":
        assert found.extra.n_jacobians <= 5


def test_complex_and_scalar():
    found = root(lambda z: z**3 - 1, 0.1 + 1j)
    assert complex(found.x) == pytest.approx(-0.5 + 0.75**0.5 * 1j)
    assert root(lambda x: gnp.cos(x) - x, 1.0).x == pytest.approx(0.7390851332151607)


def test_where_there_is_none_it_says_so():
    p = problems.freudenstein_roth()
    found = root(p.residuals, p.x0)
    assert found.status == Status.NO_ROOT
    assert not found.success
    assert "least_squares" in found.message
    for method in ("newton", "broyden"):  # the first step ends where the derivative is 0
        assert root(lambda x: x**2 + 1, 1.0, method).status == Status.NO_ROOT


def test_nan_on_the_way_and_at_the_start():
    assert float(root(lambda x: gnp.log(x) - 1, 20.0).x) == pytest.approx(np.e)
    assert root(lambda x: gnp.log(x), -1.0).status == Status.NONFINITE_START


def cubic(x, a):
    return x**3 + x - a


def test_derivatives_of_the_solution():
    a = np.array([2.0, 10.0])

    def solution(a):
        return root(cubic, np.ones(2), args=(a,)).x

    expected = np.diag([1 / 4, 1 / 13])
    for jacobian in (jax.jacfwd, jax.jacrev, gl.jacobian):
        np.testing.assert_allclose(jacobian(solution)(a), expected, atol=1e-10)
    closed = gl.grad(lambda a: root(lambda x: x**3 + x - a, np.ones(2)).x.sum())(a)
    np.testing.assert_allclose(closed, [1 / 4, 1 / 13], atol=1e-10)
    second = gl.hessian(lambda a: root(cubic, 1.0, args=(a,)).x)(10.0)
    assert float(second) == pytest.approx(-12 / 13**3)


def test_lanes_are_those_run_alone():
    a = np.array([1.0, 5.0, 30.0])
    together = jax.vmap(lambda a: root(cubic, 1.0, args=(a,)).x)(a)
    np.testing.assert_allclose(cubic(together, a), 0, atol=1e-9)


def test_mistakes_are_named():
    with pytest.raises(ShapeError, match="least_squares"):
        root(lambda x: x[:1], np.ones(2))
    with pytest.raises(ArgumentError, match="newton, broyden"):
        root(lambda x: x, 1.0, "secant")


def test_unrolled_and_implicit_agree():
    def solution(a, how):
        return root(cubic, 1.0, args=(a,), differentiate=how).x

    for how in ("implicit", "unroll"):
        assert float(jax.jacfwd(solution)(10.0, how)) == pytest.approx(1 / 13, rel=1e-6)
    with pytest.raises(ArgumentError, match="implicit"):
        root(cubic, 1.0, args=(1.0,), differentiate="backwards")
