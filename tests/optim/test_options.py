"""Options that cannot be are refused before anything runs: the message says what was needed and what came."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import gradlab.numpy as gnp
import gradlab.optim
from gradlab.ir.errors import ArgumentError
from gradlab.optim.lbfgsb import LBFGSB
from gradlab.optim.newton_cg import NewtonCG

X0: Any = np.array([1.0, 2.0])
INF, NAN = float("inf"), float("nan")

# (options, what the message holds), for the methods named before.
OPTIONS = {
    ("lbfgs", "bfgs", "lbfgsb", "gradient-descent"): [
        ({"memory": "a"}, "memory to be a whole number at least 1, or None, got 'a'.*memory=None"),
        ({"memory": -1}, "got -1"),
        ({"memory": 0}, "got 0"),
        ({"memory": 2.0}, "whole number.*got 2.0"),
        ({"memory": True}, "got True"),
        ({"c1": 0.0}, "c1 to be a number above 0 and below c2 = 0.[89], got 0.0"),
        ({"c1": 0.95}, "below c2"),
        ({"c1": NAN}, "got nan"),
        ({"c2": 1.0}, "c2 to be a number above c1 = 0.0001 and below 1, got 1.0"),
        ({"c1": 0.3, "c2": 0.2}, "c1 to be.*below c2 = 0.2, got 0.3"),
        ({"c2": "b"}, "c2 to be.*got 'b'"),
        ({"max_trials": 0}, "max_trials=30"),
        ({"patience": 0}, "patience=12"),
        ({"patience": None}, "got None"),
        ({"m": 3}, "memory"),
        ("ab", "mapping"),
    ],
    ("newton-cg",): [
        ({"tolerance": 1.0}, "above 0 and below 1, got 1.0"),
        ({"max_products": 0}, "at least 1"),
        ({"c1": -1e-4}, "got -0.0001"),
        ({"max_trials": 1.5}, "whole number"),
    ],
    ("trust-region",): [
        ({"exact_below": -1}, "at least 0"),
        ({"initial_radius": 0.0}, "above 0"),
        ({"initial_radius": INF}, "below inf"),
        ({"initial_radius": 2.0, "max_radius": 1.0}, "at most max_radius = 1.0"),
        ({"max_radius": 0}, "above 0, got 0"),
        ({"max_products": "x"}, "got 'x'"),
    ],
}


# What is refused has no type that fits.
optim: Any = gradlab.optim


def unread(*_):
    raise AssertionError("the function was called")


@pytest.mark.parametrize("methods", OPTIONS)
def test_options_of_methods(methods):
    for method in methods:
        for options, words in OPTIONS[methods]:
            with pytest.raises(ArgumentError, match=words):
                optim.minimize(unread, X0, method, options=options)


def square(x):
    return gnp.sum(x * x)


REFUSED = {
    "transformation, memory": (lambda: optim.lbfgs(memory=0), "memory"),
    "transformation, c1 and c2": (lambda: optim.bfgs(c1=0.5, c2=0.4), "below c2 = 0.4"),
    "transformation, trials": (lambda: optim.gradient_descent(max_trials=0), "max_trials=30"),
    "transformation of a name": (lambda: optim.as_transformation("lbfgs"), r"optim\.lbfgs\(\)"),
    "transformation of Newton": (lambda: optim.as_transformation(NewtonCG()), r"optim\.minimize"),
    "transformation in a box": (lambda: optim.as_transformation(LBFGSB()), "values and gradients only"),
    "a method": (lambda: optim.METHODS["lbfgs"](memory=np.int64(0)), "memory"),
    "gtol": (lambda: optim.minimize(square, X0, gtol=-1.0), "gtol to be a number at least 0, got -1.0"),
    "gtol, text": (lambda: optim.minimize(square, X0, gtol="small"), "got 'small'"),
    "gtol, many": (lambda: optim.minimize(square, X0, gtol=np.ones(2)), "gtol"),
    "ftol": (lambda: optim.minimize(square, X0, ftol=NAN), "ftol"),
    "xtol": (lambda: optim.minimize(square, X0, xtol=None), "xtol.*got None"),
    "max_iters": (lambda: optim.minimize(square, X0, max_iters=1.5), "max_iters to be a whole number at least 0"),
    "max_iters, array": (lambda: optim.minimize(square, X0, max_iters=np.array(1.5)), "whole number"),
    "max_evals": (lambda: optim.minimize(square, X0, max_evals=0), "max_evals to be a whole number at least 1"),
    "history": (lambda: optim.minimize(square, X0, history=True, max_iters="a"), "history=True needs max_iters"),
    "history, traced": (
        lambda: jax.jit(lambda n: optim.minimize(square, X0, history=True, max_iters=n).x)(3), "history=True needs"
    ),
    "f_scale": (lambda: optim.least_squares(unread, X0, f_scale=0.0), "f_scale to be a number above 0"),
    "f_scale, text": (lambda: optim.least_squares(unread, X0, f_scale="1"), "got '1'"),
    "f_scale, traced": (lambda: jax.jit(lambda s: optim.least_squares(unread, X0, f_scale=s).x)(1.0), "f_scale"),
    "loss": (lambda: optim.least_squares(unread, X0, loss=["huber"]), "huber"),
    "path": (lambda: optim.least_squares(unread, X0, ["lm"]), "dogleg"),
    "least_squares, gtol": (lambda: optim.least_squares(lambda x: x, X0, gtol=-1e-8), "gtol"),
    "least_squares, iterations": (lambda: optim.least_squares(lambda x: x, X0, max_iters="a"), "max_iters"),
    "least_squares, history": (lambda: optim.least_squares(lambda x: x, X0, max_iters=1.5, history=True), "history"),
    "root, tol": (lambda: optim.root(unread, X0, tol=-1), "tol to be a number at least 0, got -1"),
    "root, tol, text": (lambda: optim.root(unread, X0, tol="a"), "tol"),
    "root, evaluations": (lambda: optim.root(lambda x: x, X0, max_evals=0), "max_evals"),
    "curve_fit, unknown": (lambda: optim.curve_fit(unread, X0, X0, X0, maxfev=9), "maxfev.*max_evals"),
    "curve_fit, taken": (lambda: optim.curve_fit(unread, X0, X0, X0, jacobian="products"), "jacobian"),
    "curve_fit, f_scale": (lambda: optim.curve_fit(unread, X0, X0, X0, f_scale=-1.0), "f_scale"),
    "curve_fit, sigma": (lambda: optim.curve_fit(unread, X0, X0, X0, sigma=[1.0, 0.0]), "sigma.*positive.*1 of 2"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    call, words = REFUSED[name]
    with pytest.raises(ArgumentError, match=words):
        call()


def test_what_is_a_number():
    options = {"memory": np.int64(3), "c1": np.float32(1e-3), "c2": np.float64(0.5)}
    few = optim.minimize(
        square, X0, options=options, gtol=np.float64(1e-3), max_iters=np.int64(4), max_evals=np.array(9)
    )
    fit = optim.least_squares(lambda x: x - 1, X0, f_scale=np.array(2.0), loss="huber", gtol=0, max_iters=np.array(9))
    assert few.success and fit.success


def test_the_line_is_the_users():
    with pytest.raises(ArgumentError, match=r"test_options\.py.*optim\.lbfgs"):
        optim.lbfgs(patience=0)
