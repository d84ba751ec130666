"""Random programs: whatever is composed of the operations, its derivatives are JAX's, to rounding.

A program is a list of steps `(operation, i, j, k)`: the operation applied to the values number i and j (modulo how many
there are), with k for its choices. It is rehearsed in NumPy first; a step that would stand on a kink or a tie, where
conventions differ, or leave the range of well-conditioned numbers, is left out. So every list is a program, and
hypothesis can shrink one freely.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.api import programs
from gradlab.ir.check import check
from gradlab.passes.pipeline import CANONICAL
from gradlab.transforms.batch import batch_graph
from gradlab.transforms.jvp import jvp_graph
from gradlab.transforms.linearize import linearize_graph
from gradlab.transforms.transpose import transpose_graph
from tests.support import QUICK

Step = tuple[str, int, int, int]
GAP = 1e-3  # how far from a kink or a tie
LARGEST = 50.0
BATCH = 2
RTOL = {"float64": 1e-9, "float32": 2e-3}
SHAPES = ((), (1,), (3,), (2, 3), (3, 1), (9,), (2, 1, 3), (0, 3), (2, 8), (3, 3))


class Operation(NamedTuple):
    """`run(np, x, y, k)`; `gap(x, y, k)`: NumPy's distance to the nearest kink or tie."""

    run: Callable[..., Any]
    gap: Callable[..., Any] = lambda x, y, k: np.inf


def axis_of(x: Any, k: int) -> int:
    return k % x.ndim


def fitting(np_: Any, x: Any, y: Any) -> Any:
    """`y`, or its sum where it does not broadcast with x."""
    pairs = zip(x.shape[::-1], y.shape[::-1], strict=False)
    return y if all(m == n or 1 in (m, n) for m, n in pairs) else np_.sum(y)


def binary(run: Callable[..., Any], gap: Callable[..., Any] = lambda x, y: np.inf) -> Operation:
    return Operation(lambda np_, x, y, k: run(np_, x, fitting(np_, x, y)), lambda x, y, k: gap(x, fitting(np, x, y)))


def unary(run: Callable[..., Any], gap: Callable[..., Any] = lambda x: np.inf) -> Operation:
    return Operation(lambda np_, x, y, k: run(np_, x), lambda x, y, k: gap(x))


def along(run: Callable[..., Any], gap: Callable[..., Any] = lambda x, axis: np.inf) -> Operation:
    """Along one axis."""
    return Operation(lambda np_, x, y, k: run(np_, x, axis_of(x, k)), lambda x, y, k: gap(x, axis_of(x, k)))


def reduction(run: Callable[..., Any], gap: Callable[..., Any] = lambda x, axis: np.inf) -> Operation:
    """Over one axis or all of them, kept or not."""

    def axis(x, k):
        return None if k % 4 == 3 or not x.ndim else axis_of(x, k)

    return Operation(lambda np_, x, y, k: run(np_, x, axis(x, k), k % 2 == 0), lambda x, y, k: gap(x, axis(x, k)))


def smallest(x: Any) -> float:
    return np.abs(x).min(initial=np.inf)


def ties(x: Any, axis: int | None) -> float:
    x = x.reshape(-1) if axis is None else x
    return smallest(np.diff(np.sort(x, -1 if axis is None else axis), axis=-1 if axis is None else axis))


def matrices(np_: Any, x: Any, y: Any) -> Any:
    """x·yᵀ over the last axes if they agree, else x·xᵀ."""
    x, y = (np_.reshape(a, (-1, a.shape[-1] if a.ndim else 1)) if a.size else np_.reshape(a, (0, 1)) for a in (x, y))
    return np_.matmul(x, np_.transpose(y if y.shape[-1] == x.shape[-1] else x))


def softmax(np_: Any, x: Any, axis: int | None, keepdims: bool) -> Any:
    e = np_.exp(x - np_.max(x, axis=axis, keepdims=True))
    return e / np_.sum(e, axis=axis, keepdims=True)


def logsumexp(np_: Any, x: Any, axis: int | None, keepdims: bool) -> Any:
    m = np_.max(x, axis=axis, keepdims=keepdims)
    s = np_.sum(np_.exp(x - np_.max(x, axis=axis, keepdims=True)), axis=axis, keepdims=keepdims)
    return m + np_.log(s)


def nearest(np_: Any, x: Any, axis: int) -> Any:
    """The squared distance of each element to the nearest of five points."""
    points = np.linspace(-1.03, 0.97, 9).astype(x.dtype)
    return np_.min((x[..., None] - points) ** 2, axis=-1)


def to_nearest_tie(x: Any, axis: int) -> float:
    points = np.linspace(-1.03, 0.97, 9)
    return smallest(x[..., None] - (points[1:] + points[:-1]) / 2)


def euler(np_: Any, x: Any) -> Any:
    for _ in range(3):
        x = x + 0.1 * np_.sin(x)
    return x


def scaled(np_: Any, x: Any, k: int) -> Any:
    return x * 2.5 if k % 2 else 0.5 - x / 3


def rows(x: Any, k: int) -> np.ndarray:
    """Positions along the first axis, one of them twice."""
    return np.array([k, 0, k + 1]) % x.shape[0]


def ordered(np_: Any, x: Any, axis: int) -> Any:
    return np_.take_along_axis(x, np_.argsort(x, axis=axis), axis=axis)


OPERATIONS: dict[str, Operation] = {
    "sin": unary(lambda n, x: n.sin(x)),
    "tanh": unary(lambda n, x: n.tanh(x)),
    "exp": unary(lambda n, x: n.exp(-x * x)),
    "square": unary(lambda n, x: n.square(x)),
    "cube": unary(lambda n, x: x**3),
    "power": binary(lambda n, x, y: n.abs(x) ** y, lambda x, y: smallest(x)),
    "base": unary(lambda n, x: 2.0**x),
    "log": unary(lambda n, x: n.log(1 + x * x)),
    "sqrt": unary(lambda n, x: n.sqrt(1 + x**2)),
    "reciprocal": unary(lambda n, x: 1 / (2 + n.cos(x))),
    "negative": unary(lambda n, x: -x),
    "abs": unary(lambda n, x: n.abs(x), smallest),
    "expm1": unary(lambda n, x: n.expm1(n.log1p(x * x))),
    "arctan": unary(lambda n, x: n.arctan(x)),
    "euler": unary(euler),
    "scaled": Operation(lambda n, x, y, k: scaled(n, x, k)),
    "add": binary(lambda n, x, y: x + y),
    "sub": binary(lambda n, x, y: x - y),
    "mul": binary(lambda n, x, y: x * y),
    "div": binary(lambda n, x, y: x / y, lambda x, y: smallest(y) / 100),
    "maximum": binary(lambda n, x, y: n.maximum(x, y), lambda x, y: smallest(x - y)),
    "minimum": binary(lambda n, x, y: n.minimum(x, y), lambda x, y: smallest(x - y)),
    "where": binary(lambda n, x, y: n.where(x > y, n.sin(x), y * x), lambda x, y: smallest(x - y)),
    "where_zero": unary(lambda n, x: n.where(x < 0, 0.1 * x, x), smallest),
    "clip": unary(lambda n, x: n.clip(x, -0.5, 0.75), lambda x: min(smallest(x + 0.5), smallest(x - 0.75))),
    "arctan2": binary(lambda n, x, y: n.arctan2(x, y), lambda x, y: smallest(x)),
    "logaddexp": binary(lambda n, x, y: n.logaddexp(x, y), lambda x, y: smallest(x - y)),
    "sum": reduction(lambda n, x, a, keep: n.sum(x, axis=a, keepdims=keep)),
    "mean": reduction(lambda n, x, a, keep: n.mean(x, axis=a, keepdims=keep)),
    "prod": reduction(lambda n, x, a, keep: n.prod(x, axis=a, keepdims=keep), lambda x, a: smallest(x)),
    "max": reduction(lambda n, x, a, keep: n.max(x, axis=a, keepdims=keep), ties),
    "min": reduction(lambda n, x, a, keep: n.min(x, axis=a, keepdims=keep), ties),
    "var": reduction(lambda n, x, a, keep: n.var(x, axis=a, keepdims=keep)),
    "logsumexp": reduction(logsumexp, ties),
    "softmax": reduction(softmax, ties),
    "nearest": along(nearest, to_nearest_tie),
    "cumsum": along(lambda n, x, a: n.cumsum(x, axis=a)),
    "cumprod": along(lambda n, x, a: n.cumprod(x, axis=a), lambda x, a: smallest(x)),
    "sort": along(lambda n, x, a: n.sort(x, axis=a), ties),
    "argsort": along(ordered, ties),
    "diff": along(lambda n, x, a: n.diff(x, axis=a)),
    "flip": along(lambda n, x, a: n.flip(x, a)),
    "roll": Operation(lambda n, x, y, k: n.roll(x, k, axis_of(x, k))),
    "stack": Operation(lambda n, x, y, k: n.stack([x, n.sin(x)], axis=k % (x.ndim + 1))),
    "concatenate": along(lambda n, x, a: n.concatenate([x, 2.0 * x], axis=a)),
    "join": binary(lambda n, x, y: n.concatenate([n.ravel(x), n.ravel(y)])),
    "expand": Operation(lambda n, x, y, k: n.expand_dims(x, k % (x.ndim + 1))),
    "squeeze": unary(lambda n, x: n.squeeze(x)),
    "ravel": unary(lambda n, x: n.reshape(x, (-1,))),
    "column": unary(lambda n, x: n.reshape(x, (x.size, 1))),
    "transpose": unary(lambda n, x: n.transpose(x)),
    "swap": Operation(lambda n, x, y, k: n.swapaxes(x, 0, axis_of(x, k))),
    "spread": unary(lambda n, x: n.broadcast_to(x, (2, *x.shape))),
    "pad": unary(lambda n, x: n.pad(x, 1)),
    "head": Operation(lambda n, x, y, k: x[: k + 1]),
    "stride": unary(lambda n, x: x[..., ::2]),
    "element": Operation(lambda n, x, y, k: x[k % x.shape[0]]),
    "gather": Operation(lambda n, x, y, k: x[rows(x, k)]),
    "take": Operation(lambda n, x, y, k: n.take(x, rows(x, k), axis=0)),
    "matmul": binary(matrices),
    "einsum": unary(lambda n, x: n.einsum("...i,...j->...ij", x, n.sin(x))),
    "dot": unary(lambda n, x: n.dot(n.ravel(x), n.ravel(n.cos(x)))),
}  # fmt: skip


class Program(NamedTuple):
    """The steps that are kept, and the inputs they were rehearsed on."""

    steps: tuple[Step, ...]
    inputs: tuple[np.ndarray, np.ndarray]

    def values(self, np_: Any, x: Any, y: Any) -> list[Any]:
        values = [x, y]
        for name, i, j, k in self.steps:
            values.append(OPERATIONS[name].run(np_, values[i % len(values)], values[j % len(values)], k))
        return values

    def written_with(self, np_: Any) -> Callable[[Any, Any], Any]:
        """The program as a scalar function."""

        def program(x, y):
            last = self.values(np_, x, y)[-1]
            return np_.sum(np_.sin(last) + 0.1 * last)

        return program


def rehearsed(steps: list[Step], shapes: tuple[int, int], dtype: str, seed: int = 0) -> Program:
    """The program without the steps that cannot be taken, or should not be."""
    rng = np.random.default_rng(seed)
    x, y = (np.asarray(rng.permutation(np.arange(40)[:n]) / 7.3 - 1.13).reshape(s) for n, s in _sizes(shapes))
    x = x * 0.83
    values, kept = [x, y], []
    for step in steps:
        name, i, j, k = step
        a, b = values[i % len(values)], values[j % len(values)]
        try:
            with np.errstate(all="ignore"):
                close = OPERATIONS[name].gap(a, b, k) < GAP
                out = None if close else np.asarray(OPERATIONS[name].run(np, a, b, k))
        except (ValueError, IndexError, ZeroDivisionError, RuntimeWarning):
            continue
        if out is not None and out.size <= 200 and np.isfinite(out).all() and np.abs(out).max(initial=0) <= LARGEST:
            kept.append(step)
            values.append(out)
    return Program(tuple(kept), (x.astype(dtype), y.astype(dtype)))


def _sizes(shapes: tuple[int, int]):
    return [(int(np.prod(SHAPES[s])), SHAPES[s]) for s in shapes]


def derivatives(of: Any, f: Callable[..., Any], x: Any, y: Any, xs: Any) -> dict[str, Any]:
    """Everything we compare, by gradlab or by JAX."""
    return {
        "value and grad": of.value_and_grad(f, argnums=(0, 1))(x, y),
        "jvp": of.jvp(f, (x, y), (2 * x + 1, y - 3)),
        "hessian": of.hessian(f)(x, y),
        "grad of grad": of.grad(lambda y: of.grad(f)(x, y).sum())(y),
        "vmap(grad)": of.vmap(of.grad(f, argnums=(0, 1)), in_axes=(0, None))(xs, y),
        "vmap": of.vmap(f, in_axes=(0, None))(xs, y),
        "jit(grad)": of.jit(of.grad(f))(x, y),
    }


def compare(program: Program) -> None:
    x, y = program.inputs
    xs = np.stack([x, x * 1.0000001])
    ours, theirs = program.written_with(gnp), program.written_with(jnp)

    def both(x, y, xs):
        return derivatives(gl, ours, x, y, xs), derivatives(jax, theirs, x, y, xs)

    got, want = jax.jit(both, compiler_options=QUICK)(x, y, xs)
    same(got, want, RTOL[x.dtype.name])


def same(got: dict[str, Any], want: dict[str, Any], rtol: float) -> None:
    for what in want:
        flat, tree = jax.tree.flatten(want[what])
        assert jax.tree.structure(got[what]) == tree, what
        scale = max([1.0, *(float(np.abs(w).max(initial=0.0)) for w in map(np.asarray, flat))])
        for g, w in zip(jax.tree.leaves(got[what]), flat, strict=True):
            assert (g.shape, g.dtype) == (w.shape, w.dtype), what
            np.testing.assert_allclose(g, w, rtol=rtol, atol=rtol * scale, err_msg=what)


def check_every_step(program: Program) -> None:
    """The graph stays well formed through each pass and each transformation."""
    graph = check(gl.stage(program.written_with(gnp))(*program.inputs))
    for one in CANONICAL:
        graph = check(one(graph))
    active = [True] * len(graph.inputs)
    check(jvp_graph(graph, active)[0])
    linear = linearize_graph(graph, active)
    check(linear.primal)
    check(linear.linear)
    unknown = [k >= linear.n_residuals for k in range(len(linear.linear.inputs))]
    check(transpose_graph(linear.linear, unknown)[0])
    check(batch_graph(graph, [0] + [None] * (len(active) - 1), BATCH)[0])
    second = programs.hessian_program(graph, active, 1, "rev", "fwd").graph
    for one in CANONICAL:
        second = check(one(check(second)))


steps = st.tuples(st.sampled_from(sorted(OPERATIONS)), *[st.integers(0, 7)] * 3)
shapes = st.tuples(*[st.integers(0, len(SHAPES) - 1)] * 2)
dtypes = st.sampled_from(["float64", "float64", "float64", "float32"])


@settings(derandomize=True, deadline=None, max_examples=30, database=None)
@given(st.lists(steps, min_size=3, max_size=12), shapes, dtypes)
@example([("nearest", 0, 1, 1)], (3, 5), "float64")  # a closed-over NumPy array, under a trace of JAX's
@example([("add", 0, 1, 0)], (3, 5), "float64")  # vmap of a function whose scalars vary from call to call
@example([("diff", 0, 0, 0)], (7, 2), "float64")  # of nothing
def test_random_programs(steps, shapes, dtype):
    program = rehearsed(steps, shapes, dtype)
    check_every_step(program)
    compare(program)


EAGER = [
    ([("logsumexp", 0, 0, 0), ("mul", 2, 1, 0), ("cumsum", 3, 0, 0)], (9, 3), "float64"),
    ([("matmul", 0, 1, 0), ("sort", 2, 0, 1), ("gather", 3, 0, 1), ("var", 4, 0, 1)], (3, 9), "float32"),
    ([("nearest", 0, 0, 0), ("concatenate", 2, 0, 0), ("where", 3, 1, 0), ("cumsum", 4, 0, 0)], (5, 1), "float64"),
]


@pytest.mark.parametrize("case", range(len(EAGER)))
def test_eagerly(case):
    """The same without any jit: each derivative compiles itself, and answers a second time from the cache."""
    program = rehearsed(*EAGER[case])
    x, y = program.inputs
    xs = np.stack([x, x * 1.0000001])
    assert len(program.steps) == len(EAGER[case][0])
    theirs = program.written_with(jnp)
    want = jax.jit(lambda *xs: derivatives(jax, theirs, *xs), compiler_options=QUICK)(x, y, xs)
    for _ in range(2):
        same(derivatives(gl, program.written_with(gnp), x, y, xs), want, RTOL[x.dtype.name])
