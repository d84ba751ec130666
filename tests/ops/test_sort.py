"""Sorting."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from gradlab.ir.errors import ArgumentError, ShapeError
from gradlab.lower.compile import evaluate
from gradlab.ops import sort as s
from tests.support import Case, stage, vjp_graph

RNG = np.random.default_rng(3)
M = RNG.permutation(12).reshape(3, 4) / 5.0 - 1.1  # all distinct
V = RNG.permutation(6) / 3.0
KEYS = np.array([[2, 0, 2, 1], [0, 0, 0, 1], [3, 2, 1, 0]])
EMPTY = np.zeros((0, 3))
FEW = ("float32", "bfloat16")

CASES = {
    "sort": Case(lambda x: s.sort(x, axis=1), (M,), lambda x: jnp.sort(x, 1)),
    "sort.vector": Case(lambda x: s.sort(x, axis=0, stable=False), (V,), jnp.sort, widths=()),
    "sort.nan": Case(lambda x: s.sort(x, axis=0), (np.array([np.nan, 1.0, -np.inf, np.inf]),), jnp.sort, order=0),
    "sort.empty": Case(lambda x: s.sort(x, axis=0), (EMPTY,), lambda x: x, widths=()),
    "sort.by_key": Case(
        lambda k, x: s.sort(k, x, axis=1), (KEYS, M), lambda k, x: lax.sort((k, x), dimension=1), widths=FEW
    ),
    "sort.two_keys": Case(
        lambda k, x, y: s.sort(k, x, y, axis=0, num_keys=2),
        (KEYS, M, M**2),
        lambda k, x, y: lax.sort((k, x, y), dimension=0, num_keys=2),
        widths=(),
    ),
    "sort.argsort": Case(
        lambda x: s.argsort(x, axis=1, dtype="int64"), (KEYS,), lambda x: jnp.argsort(x, 1, stable=True)
    ),
    "searchsorted": Case(
        lambda a, v: s.searchsorted(a, v), (np.sort(V), M), lambda a, v: jnp.searchsorted(a, v), order=0, widths=FEW
    ),
    "searchsorted.lines": Case(
        lambda a, v: s.searchsorted(a, v, side="right", method="sort"),
        (np.sort(KEYS, 1), KEYS[:, :2]),
        lambda a, v: jax.vmap(lambda a, v: jnp.searchsorted(a, v, side="right"))(a, v),
    ),
    "top_k": Case(lambda x: s.top_k(x, k=2), (M,), lambda x: tuple(lax.top_k(x, 2)), widths=FEW),
    "top_k.int": Case(lambda x: s.top_k(x, k=3), (KEYS,), lambda x: tuple(lax.top_k(x, 3))),
    "top_k.none": Case(lambda x: s.top_k(x, k=0), (V,), lambda x: (x[:0], x[:0].astype("int32")), widths=()),
}


@pytest.mark.parametrize("name", CASES)
def test_primitive(name):
    CASES[name].check()


def test_equal_elements_keep_their_order_in_the_derivative():
    x = np.array([1.0, 0.0, 1.0, 0.0])
    for fn in (lambda x: s.sort(x, axis=0), lambda x: s.sort(x, x, axis=0)[1]):
        back, _, _ = vjp_graph(stage(fn, (x,)), (True,))
        (ct,) = evaluate(back, [x, np.arange(4.0)])
        np.testing.assert_array_equal(ct, [2, 0, 3, 1])


@pytest.mark.parametrize(
    ("fn", "error", "remedy"),
    [
        (lambda x: s.sort(x, axis=2), ShapeError, "distinct axes"),
        (lambda x: s.sort(x, axis=0, num_keys=2), ArgumentError, "between 1 and 1 keys"),
        (lambda x: s.top_k(x, k=5), ShapeError, "size of the last axis"),
    ],
)
def test_errors_say_what_to_do(fn, error, remedy):
    with pytest.raises(error, match=remedy):
        stage(fn, (M,))
