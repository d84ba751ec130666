"""The logistic function is recognised however it is written, and only it."""

from __future__ import annotations

import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.passes.pipeline import tidy

X = np.array([-800.0, -2.0, 0.0, 0.7, 800.0])


@pytest.mark.parametrize(
    "f", [lambda x: 1 / (1 + gnp.exp(-x)), lambda x: (gnp.exp(-x) + 1.0) ** -1, lambda x: 1 / (1 + gnp.exp(-1 * x))]
)
def test_it_is_recognised(f):
    graph = tidy(gl.stage(f)(X))
    assert [e.prim.name for e in graph.eqns] == ["logistic"]
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(gl.jit(f)(X), 1 / (1 + np.exp(-X)), rtol=1e-14)
    np.testing.assert_allclose(gl.grad(lambda x: f(x).sum())(X), [0.0, 0.10499358540350652, 0.25, 0.2217128732901, 0.0])


@pytest.mark.parametrize(
    "f", [lambda x: 2 / (1 + gnp.exp(-x)), lambda x: 1 / (2 + gnp.exp(-x)), lambda x: 1 / (1 - gnp.exp(-x) * x)]
)
def test_others_are_not(f):
    assert "logistic" not in [e.prim.name for e in tidy(gl.stage(f)(X)).eqns]
