"""Text to executable: what is forgotten goes at once."""

from __future__ import annotations

import gc
import weakref

import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.lower.compile import Executable
from gradlab.lower.emit import LONG


@pytest.mark.parametrize("length", [3, LONG + 3], ids=["short", "in parts"])
def test_a_forgotten_executable_is_gone_without_the_garbage_collector(length):
    def f(x):
        for k in range(length):
            x = gnp.sin(x) if k % 3 else x * (x + k)  # nothing that repeats
        return x

    executable = Executable(gl.stage(f)(0.3))
    assert executable.text.count("def ") == 1 if length < LONG else executable.text.count("def ") > 1
    executable.jitted(0.3)
    alive = weakref.ref(executable.fn)
    gc.disable()
    try:
        del executable
        assert alive() is None
    finally:
        gc.enable()
