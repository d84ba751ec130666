"""dot_general and weaken."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from gradlab.ir.errors import ArgumentError, ShapeError
from gradlab.lower.compile import Executable
from gradlab.lower.emit import emit
from gradlab.ops.arith import add
from gradlab.ops.contract import dot_general, eye
from tests.support import Case, stage, vjp_graph

A = np.sin(np.arange(6.0)).reshape(2, 3)
B = np.cos(np.arange(12.0)).reshape(3, 4)
T = np.sin(np.arange(24.0)).reshape(2, 3, 4)
S = np.cos(np.arange(40.0)).reshape(4, 5, 2)
V = np.array([0.3, -1.0, 2.0])


def case(x, y, contract, batch=((), ()), **extra):
    return Case(
        lambda x, y: dot_general(x, y, contract=contract, batch=batch, **extra),
        (x, y),
        lambda x, y: lax.dot_general(x, y, (contract, batch)),
    )


CASES = {
    "dot_general": case(A, B, ((1,), (0,))),
    "dot_general.transposed": case(A, B.T.copy(), ((1,), (1,))),
    "dot_general.first": case(A.T.copy(), B, ((0,), (0,))),
    "dot_general.inner": case(V, V, ((0,), (0,))),
    "dot_general.vector": case(V, B, ((0,), (0,))),
    "dot_general.matvec": case(A, V, ((1,), (0,))),
    "dot_general.outer": case(V, A, ((), ())),
    "dot_general.batch": case(T, S, ((2,), (0,)), ((0,), (2,))),
    "dot_general.two": case(T, S, ((0, 2), (2, 0))),
    "dot_general.two swapped": case(T, S, ((2, 0), (0, 2))),
    "dot_general.empty": case(np.zeros((2, 0)), np.zeros((0, 3)), ((1,), (0,))),
    "dot_general.complex": case(A + 1j, B - 2j, ((1,), (0,))),
    "dot_general.highest": case(A, B, ((1,), (0,)), precision="highest"),
    "eye": Case(lambda x: add(x, eye(3, x.dtype)), (T[0, :, :3],), lambda x: x + jnp.eye(3, dtype=x.dtype)),
}


@pytest.mark.parametrize("name", CASES)
def test_primitive(name):
    CASES[name].check()


@pytest.mark.parametrize(
    ("x", "y", "contract", "text"),
    [
        (A, B, ((1,), (0,)), "t0 @ t1"),
        (A, B.T, ((1,), (1,)), "t0 @ t1.T"),
        (A.T, B, ((0,), (0,)), "t0.T @ t1"),
        (A.T, B[:, :1], ((0,), (0,)), "(t1.T @ t0).T"),  # the column is turned, not the matrix
        (A[:1], B.T, ((1,), (1,)), "(t1 @ t0.T).T"),
        (A.T[:, :1], B, ((0,), (0,)), "t0.T @ t1"),
        (V, B, ((0,), (0,)), "t0 @ t1"),
        (A.T, V, ((0,), (0,)), "t1 @ t0"),
        (T, V, ((1,), (0,)), "lax.dot_general"),
    ],
)
def test_text(x, y, contract, text):
    graph = stage(lambda x, y: dot_general(x, y, contract=contract), (x, y))
    assert text in emit(graph)
    assert graph.out_avals[0].shape == jnp.tensordot(x, y, contract).shape


def test_errors():
    with pytest.raises(ShapeError, match="pair up in size"):
        stage(lambda x, y: dot_general(x, y, contract=((0,), (0,))), (A, B))
    with pytest.raises(ArgumentError, match="highest"):
        stage(lambda x, y: dot_general(x, y, contract=((1,), (0,)), precision="best"), (A, B))


def test_sum_wider_than_the_operands():
    x, y = A.astype(np.float32), B.astype(np.float32)
    graph = stage(lambda x, y: dot_general(x, y, contract=((1,), (0,)), out_dtype="float64"), (x, y))
    back, _, _ = vjp_graph(graph, [True, True])
    ct = np.cos(np.arange(8.0)).reshape(2, 4)
    dx, dy = Executable(back).jitted(x, y, ct)
    assert graph.out_avals[0].dtype == np.float64
    assert dx.dtype == dy.dtype == np.float32
    np.testing.assert_allclose(dx, ct @ y.T, rtol=1e-6)
    np.testing.assert_allclose(dy, x.T @ ct, rtol=1e-6)
