"""While a long program is read the garbage collector waits, and afterwards, whatever happened, it does as before."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.trace.patience import LONG, PATIENCE, patient


def test_it_waits_for_long_programs_only():
    usual, seen = gc.get_threshold(), []

    def f(x):
        for k in range(LONG + 10):
            x = gnp.sin(x)
            if k in (10, LONG + 5):
                seen.append(gc.get_threshold()[0])
        return x

    gl.stage(f)(np.float64(1.0))
    assert seen[0] == usual[0] < seen[1]
    assert gc.get_threshold() == usual


def test_it_is_as_before_after_an_error():
    usual = gc.get_threshold()

    def f(x):
        for _ in range(LONG + 10):
            x = gnp.sin(x)
        raise KeyError("the user's own")

    with pytest.raises(KeyError):
        gl.grad(f)(1.0)
    with pytest.raises(ZeroDivisionError), patient(LONG):
        raise ZeroDivisionError
    assert gc.get_threshold() == usual


def test_the_last_one_to_end_restores():
    usual = gc.get_threshold()
    PATIENCE.begin()
    PATIENCE.begin()
    PATIENCE.end()
    assert gc.get_threshold() != usual
    PATIENCE.end()
    assert gc.get_threshold() == usual
    with patient(LONG - 1):
        assert gc.get_threshold() == usual
