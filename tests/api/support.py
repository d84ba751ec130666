"""What a test of the public functions says again and again: two results are the same, to the last dtype."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np


def same(got: Any, wanted: Any, rtol: float = 1e-10, atol: float = 1e-12, weak: bool = False) -> None:
    """Assert that two pytrees agree: structure, shapes, dtypes, values; with `weak`, weak types too."""
    leaves, tree = jax.tree_util.tree_flatten(got)
    oracle, wanted_tree = jax.tree_util.tree_flatten(wanted)
    assert tree == wanted_tree
    for x, y in zip(leaves, oracle, strict=True):
        a, b = jax.typeof(x), jax.typeof(y)
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        assert not weak or a.weak_type == b.weak_type
        if a.dtype != jax.dtypes.float0:
            np.testing.assert_allclose(x, y, rtol=rtol, atol=atol)
