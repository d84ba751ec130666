"""Fixed points and their derivatives against closed forms and unrolled iterations; GMRES against known solutions."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.optim.krylov import gmres
from tests.control.support import GL, agree
from tests.support import QUICK

RNG = np.random.default_rng(0)
W = 0.4 * RNG.normal(size=(4, 4)) / 2
B = RNG.normal(size=4)


def layer(lx, w, b):
    """An implicit layer, h = tanh(W h + b), as a fixed point and as a hundred turns."""
    if lx is GL:
        return gl.fixed_point(lambda h, w: gnp.tanh(w @ h + b), gnp.zeros(4), (w,), tol=1e-14)
    return lx.scan(lambda h, _: (lx.np.tanh(w @ h + b), None), lx.np.zeros(4), None, length=100)[0]


def test_values_first_derivatives_and_batches():
    agree(layer, (W, B), axes=(None, 0), second=False, rtol=1e-9)


def test_a_scalar_in_closed_form():
    def kepler(m, e):
        """Kepler's equation, E = m + e sin E, which the iteration solves for e < 1."""
        return gl.fixed_point(lambda x: m + e * gnp.sin(x), m)

    at = (0.8, 0.6)
    x = float(kepler(*at))
    assert abs(x - 0.8 - 0.6 * np.sin(x)) < 1e-11
    both = gl.jit(lambda *at: (gl.grad(kepler, (0, 1))(*at), gl.hessian(kepler, 1)(*at)))(*at)
    d = 1 - 0.6 * np.cos(x)
    second = 2 * np.sin(x) * np.cos(x) / d**2 - 0.6 * np.sin(x) ** 3 / d**3
    np.testing.assert_allclose(both[0], (1 / d, np.sin(x) / d), rtol=1e-10)
    np.testing.assert_allclose(both[1], second, rtol=1e-10)
    np.testing.assert_allclose(jax.grad(jax.grad(kepler, 1), 1)(*at), second, rtol=1e-10)
    jitted = jax.jit(jax.grad(gl.jit(kepler), (0, 1)))
    np.testing.assert_allclose(jitted(*at), both[0], rtol=1e-12)


def test_another_solver_and_a_derivative_where_the_iteration_diverges():
    def newton(f, x0):
        def step(x):
            y, slope = gl.jvp(lambda x: f(x) - x, (x,), (1.0,))
            return x - y / slope

        return gl.fori_loop(0, 20, lambda _, x: step(x), x0)

    # |f'| = 3 at x = a / 4: no iteration gets there.
    np.testing.assert_allclose(gl.grad(lambda a: gl.fixed_point(lambda x: a - 3 * x, 0.0, solve=newton))(2.0), 0.25)


def test_trees_and_batches():
    def f(x, p):
        return {"u": p * gnp.cos(x["v"]), "v": 0.3 * gnp.sin(x["u"]).sum() + 0.1}

    def g(p):
        x = gl.fixed_point(f, {"u": gnp.zeros(2), "v": 0.0}, (p,))
        return x["u"].sum() * x["v"]

    many = np.array([[0.3, 0.4], [0.9, -0.2], [1.2, 0.1]])
    rows = gl.jit(gl.vmap(gl.grad(g)))(many)
    h = 1e-5
    for p, row in zip(many, rows, strict=True):
        for k in range(2):
            e = h * np.eye(2)[k]
            np.testing.assert_allclose(row[k], (g(p + e) - g(p - e)) / (2 * h), rtol=1e-8)


@pytest.mark.parametrize("a", [1.3, -1.0])
def test_what_does_not_converge_is_nan(a):
    """It runs away to infinity, or to and fro."""
    value, slope = gl.value_and_grad(lambda a: gl.fixed_point(lambda x: a * x + 1.0, 3.0, max_iters=5000))(a)
    assert np.isnan(value) and np.isnan(slope)


def test_convergence_to_zero_and_at_once():
    value, slope = gl.value_and_grad(lambda a: gl.fixed_point(lambda x: a * x, 3.0))(0.5)
    assert abs(value) < 1e-11 and abs(slope) < 1e-10
    assert gl.grad(lambda a: gl.fixed_point(lambda x: a * 1.0, 3.0))(0.5) == 1.0
    got = gl.grad(lambda a: gl.fixed_point(lambda x: gnp.cos(a * x), np.float32(0.5)))(np.float32(0.9))
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, -0.31207017, rtol=1e-4)


def test_arguments():
    with pytest.raises(ValueError, match="at least one"):
        gl.fixed_point(gnp.cos, 1.0, max_iters=0)
    with pytest.raises(TypeError, match="x0 holds i64"):
        gl.fixed_point(gnp.cos, 1)


MATRICES = {
    "one": np.array([[3.0]]),
    "rotation": np.array([[0.0, 1.0], [-1.0, 0.0]]),
    "random": RNG.normal(size=(30, 30)),
    "restarted": np.eye(80) + 0.5 * RNG.normal(size=(80, 80)) / 9,
    "complex": RNG.normal(size=(12, 12)) + 1j * RNG.normal(size=(12, 12)),
    "narrow": (np.eye(20) + 0.1 * RNG.normal(size=(20, 20))).astype(np.float32),
    "defective": np.eye(6) + np.eye(6, k=1),
    "badly scaled": np.diag(10.0 ** np.arange(-4, 5)),
}


def test_gmres_solves():
    xs = {name: np.asarray(RNG.normal(size=len(m)), m.dtype) for name, m in MATRICES.items()}
    found = jax.jit(
        lambda xs: {k: gmres(lambda v, k=k: MATRICES[k] @ v, MATRICES[k] @ x) for k, x in xs.items()},
        compiler_options=QUICK,
    )(xs)
    for name, m in MATRICES.items():
        eps, left = np.finfo(m.dtype).eps, m @ np.asarray(found[name]) - m @ xs[name]
        size = np.linalg.norm(m, 2) * np.linalg.norm(xs[name])
        assert found[name].dtype == m.dtype
        assert np.linalg.norm(left) <= 3 * eps**0.75 * size, name
    zero = gmres(lambda v: MATRICES["random"] @ v, np.zeros(30))
    assert not np.any(zero)


def test_gmres_says_when_it_failed():
    singular = np.diag([1.0, 0.0])
    assert np.isnan(gmres(lambda v: singular @ v, np.ones(2))).all()
    assert np.isnan(gmres(lambda v: MATRICES["random"] @ v, np.ones(30), max_steps=10)).all()
    same = gmres(lambda v: singular @ v, np.array([2.0, 0.0]))
    np.testing.assert_allclose(same, [2.0, 0.0])
