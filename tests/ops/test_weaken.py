"""Weakness: the numbers stay, the dtype yields."""

from __future__ import annotations

import numpy as np
import pytest

from gradlab.lower.compile import Executable
from gradlab.ops.weaken import weaken
from tests.support import Case, stage

CASES = {"weaken": Case(lambda x: weaken(x, dtype=x.dtype), (np.array([0.3, -7.0]),), lambda x: x, elementwise=True)}


@pytest.mark.parametrize("name", CASES)
def test_primitive(name):
    CASES[name].check()


@pytest.mark.parametrize(("x", "dtype"), [(np.arange(3), "float64"), (np.array([True, False]), "int64")])
def test_what_runs_is_weak(x, dtype):
    graph = stage(lambda x: weaken(x, dtype=dtype), (x,))
    (got,) = Executable(graph).jitted(x)
    assert graph.out_avals[0].weak
    assert (got.dtype, got.weak_type) == (dtype, True)
    np.testing.assert_array_equal(got, x)
