"""The problems have the minima they say they have, and derivatives that agree with JAX's."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from scipy.optimize import minimize

import gradlab as gl
from gradlab.optim import problems

MGH = problems.more_garbow_hillstrom()


def lbfgsb(p, gtol=1e-6):
    both = jax.jit(jax.value_and_grad(p.fun))

    def fun(x):
        value, gradient = both(x)
        return float(value), np.asarray(gradient)

    box = None if p.bounds is None else list(zip(*p.bounds, strict=True))
    options = {"maxiter": 2000, "maxfun": 20000, "gtol": gtol, "ftol": 0}
    return minimize(fun, p.x0, jac=True, method="L-BFGS-B", bounds=box, options=options)


def test_there_are_forty_two_and_no_two_have_a_name():
    assert len(MGH) == 42
    every = (*MGH, *problems.bounded(), *problems.learning())
    assert len({p.name for p in every}) == len(every)


@pytest.mark.parametrize("k", range(0, 42, 6))
def test_gradients_of_mgh(k):
    group = MGH[k : k + 6]
    theirs = jax.jit(lambda xs: [jax.grad(p.fun)(x) for p, x in zip(group, xs, strict=True)])
    ours = jax.jit(lambda xs: [gl.grad(p.fun)(x) for p, x in zip(group, xs, strict=True)])
    xs = [1.1 * p.x0 + 0.01 for p in group]
    for a, b in zip(ours(xs), theirs(xs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11 * np.abs(b).max())


# Those SciPy's L-BFGS-B solves in few evaluations; the others are the benchmark's.
QUICK = ("Beale", "Bard", "Kowalik and Osborne", "Brown and Dennis", "Chebyquad n=8", "Trigonometric n=10")


@pytest.mark.parametrize("p", [p for p in MGH if p.name in QUICK], ids=lambda p: p.name)
def test_minima_of_mgh(p):
    assert p.solved(lbfgsb(p).fun)
    assert not p.solved(float(p.fun(p.x0)))


@pytest.mark.parametrize("p", [p for p in problems.bounded() if p.name[:2] != "HS"], ids=lambda p: p.name)
def test_minima_in_boxes(p):
    assert np.all(p.bounds[0] <= p.bounds[1])
    assert p.solved(lbfgsb(p, 1e-8).fun)


def test_precision_follows_the_point():
    p = problems.watson(6)
    assert p.fun(p.x0.astype(np.float32)).dtype == np.float32
    assert p.residuals(p.x0).shape == (31,)


def test_solved_says_no_to_what_is_not_finite():
    p = problems.freudenstein_roth()
    assert p.solved(48.98425368)
    assert not p.solved(48.98425368, local=False)
    assert not p.solved(np.nan)
    assert p.scaled(10).x0[0] == 5.0
