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


def test_a_tape_is_never_left_and_so_makes_nobody_wait():
    usual = gc.get_threshold()
    x = gl.Variable(1.0)
    with gl.GradientTape():
        y = x * 1.0
        for k in range(LONG + 10):
            y = y + float(k)
        assert gc.get_threshold() == usual
    assert gc.get_threshold() == usual


def test_an_inner_trace_hands_on_its_patience():
    usual, seen = gc.get_threshold(), []

    def inner(x):
        for _ in range(LONG + 10):
            x = gnp.sin(x)
        return x

    def f(x):
        y = gl.grad(inner)(x)
        seen.append(gc.get_threshold()[0])
        return y

    with gl.rerolling(True):
        gl.stage(f)(np.float64(1.0))
    assert seen[0] > usual[0]
    assert gc.get_threshold() == usual
