"""A zero that was chosen stays zero: branches not taken have no derivative, of any order, in any mode."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.ir.check import check
from gradlab.ir.graph import Graph
from gradlab.ops.families import mul_p
from gradlab.transforms.jvp import jvp_graph
from gradlab.transforms.linearize import linearize_graph
from gradlab.transforms.transpose import transpose_graph
from tests.support import assert_close

X = np.array([0.0, 1.0, 4.0, -1.0])
NOTHING = np.zeros(4)
ROWS = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, -2.0]])
MATRIX = np.array([[2.0, 1.0, 0.5, 1.0], [1.0, 3.0, 1.0, 0.2], [0.1, 1.0, 2.0, 1.0], [1.0, 0.3, 0.2, 4.0]])


# Each case is f(np, x, safe). For JAX, safe(mask, x, y) is x where the mask is true and y elsewhere, which is how one
# has to keep its derivatives finite by hand; for gradlab it is x.


def unit(np, x, safe):
    length = np.sqrt(safe(np.sum(x**2) > 0, np.sum(x**2), 1.0))
    return np.where(np.sum(x**2) > 0, x / length, 0.0)


def piecewise(np, x, safe):
    h = np.sqrt(safe(x > 0, x, 1.0))
    return np.where(x > 2, h, 0.0) + np.where((x > 0) & (x <= 2), h**3, 0.0) - np.where(x > 3, 1 / h, 0.0)


def nested(np, x, safe):
    r = safe(x != 0, x, 1.0)
    p = safe(x > 0, x, 1.0)
    return np.where(x != 0, np.where(x > 0, np.log(p) / np.sqrt(p), np.sin(r) / r), 0.0)


def moved(np, x, safe):
    y = np.sqrt(safe(x > 0, x, 1.0)).reshape(2, 2).T[::-1]
    mask = (x > 0).reshape(2, 2).T[::-1]
    return np.where(mask, np.stack([y, y * y * y])[:, :, :], 0.0)[:, 0:1]


def stacked(np, x, safe):
    p = safe(x > 0, x, 1.0)
    return np.where(x > 0, np.concatenate([np.sqrt(p[:2]), np.log(p[2:])]), 0.0)


def padded(np, x, safe):
    return np.where(x[1:] > 0, np.sqrt(safe(x > 0, x, 1.0))[1:] * x[:-1], 0.0)


def repeated(np, x, safe):
    some = safe(np.any(x > 1e3) | (x[0] > 0), x[0], 1.0)
    return np.where(x > 1e3, np.sqrt(some) * x, 0.0)


def total(np, x, safe):
    s = np.sum(x)
    p = safe(s > 0, x, 1.0)
    return np.where(s > 0, np.log(np.sum(p)) * np.sum(np.sqrt(p * p + np.sum(p))), 0.0)


def rows(np, x, safe):
    n = np.sum(x * x, axis=1, keepdims=True)
    length = np.sqrt(safe(n > 0, n, 1.0))
    return np.where(n > 0, (x / length) @ MATRIX[:2, :3], 0.0)


def rooted(np, x, safe):
    return np.sqrt(safe(x > 0, np.where(x > 0, x, 0.0), 1.0)) * np.where(x > 0, 1.0, 0.0)


def cast(np, x, safe):
    return np.where(x > 0, np.sqrt(safe(x > 0, x, 1.0)).astype("float32") * 2, 0).astype("float64")


def phase(np, x, safe):
    z = safe(x != 0, x, 1.0) * (1 + 2j)
    return np.where(x != 0, (z / np.abs(z) * np.sqrt(z)).real + np.angle(z), 0.0)


def powers(np, x, safe):
    p = safe(x > 0, x, 1.0)
    return np.where(x > 0, p**0.5 + p**-1.5 + p ** np.sin(p) + 2.0 / p, 0.0)


def product(np, x, safe):
    s = np.sum(x**2)
    p = safe(s > 0, x, 1.0)
    return np.where(s > 0, MATRIX @ (p / np.sqrt(np.sum(p**2))), 0.0)


def solved(np, x, safe):
    s = np.sum(x**2)
    p = safe(s > 0, x, np.arange(1.0, 5.0))
    return np.where(s > 0, np.cumsum(np.sort(p / np.sqrt(np.sum(p**2)))), 0.0)


def chosen(np, x, safe):
    p = safe(x > 0, x, 1.0)
    return np.select([x > 2, x > 0], [np.sqrt(p), np.log(p) * p], 0.0)


def clipped(np, x, safe):
    return np.where(np.abs(x) < 1, np.arccos(safe(np.abs(x) < 1, x, 0.5)) * np.maximum(x, -0.3), np.clip(x, -0.5, 3.0))


CASES = {
    "root": (lambda np, x, safe: np.where(x > 0, np.sqrt(safe(x > 0, x, 1.0)), 0.0), X),
    "sinc": (lambda np, x, safe: np.where(x == 0, 1.0, np.sin(x) / safe(x != 0, x, 1.0)), X),
    "logarithm": (lambda np, x, safe: np.where(x > 0, np.log(safe(x > 0, x, 1.0)), 0.0), X),
    "entropy": (lambda np, x, safe: np.where(x > 0, x * np.log(safe(x > 0, x, 1.0)), 0.0), X),
    "of a scalar": (lambda np, x, safe: np.where(x > 0, np.log(safe(x > 0, x, 1.0)), 0.0), np.array(0.0)),
    "unit vector": (unit, X),
    "unit vector of nothing": (unit, NOTHING),
    "piecewise": (piecewise, X),
    "nested": (nested, X),
    "moved": (moved, X),
    "stacked": (stacked, X),
    "padded": (padded, X),
    "repeated": (repeated, X),
    "total": (total, X),
    "total of nothing": (total, NOTHING),
    "rows": (rows, ROWS),
    "rooted": (rooted, X),
    "cast": (cast, X),
    "phase": (phase, X),
    "powers": (powers, X),
    "product": (product, X),
    "product of nothing": (product, NOTHING),
    "any linear map of nothing": (solved, NOTHING),
    "chosen": (chosen, X),
    "clipped": (clipped, X),
}
ALONG = {name: np.cos(1 + np.arange(x.size)).reshape(x.shape) for name, (_, x) in CASES.items()}
POINTS = {name: x for name, (_, x) in CASES.items()}


def loss(np, safe):
    """The sum of squares of every case, a little moved, each of its own argument."""
    return lambda xs: sum(np.sum((fn(np, xs[name], safe) + 0.3) ** 2) for name, (fn, _) in CASES.items())


ours = loss(gnp, lambda mask, x, safe: x)  # nothing is guarded by hand
theirs = loss(jnp, lambda mask, x, safe: jnp.where(mask, x, safe))


def results(lib, f):
    """First and second derivatives in every mode, of all cases at once."""
    transforms = gl if lib is gnp else jax
    grad = transforms.grad(f)

    def along_gradient(xs, ts):
        gs = grad(xs)
        return sum(lib.sum(gs[name] * ts[name]) for name in xs)

    def forward(xs):
        return transforms.jvp(f, (xs,), (ALONG,))[1]

    return lambda xs: {
        "gradient": grad(xs),
        "forward": forward(xs),
        "forward over reverse": transforms.jvp(grad, (xs,), (ALONG,))[1],
        "reverse over reverse": transforms.grad(along_gradient)(xs, ALONG),
        "reverse over forward": transforms.grad(forward)(xs),
    }


@pytest.fixture(scope="module")
def both():
    want = jax.jit(results(jnp, theirs))(POINTS)
    return gl.jit(results(gnp, ours))(POINTS), want


MODES = ["gradient", "forward", "forward over reverse", "reverse over reverse", "reverse over forward"]


@pytest.mark.parametrize("of", MODES)
def test_a_branch_not_taken_has_no_derivative(both, of):
    got, want = both[0][of], both[1][of]
    if of == "forward":
        assert_close(got, want, 1e-6, of)
        return
    for name in CASES:
        assert_close(got[name], want[name], 1e-5 if name == "cast" else 1e-10, f"{of} of {name}")


def branchy(x):
    return gnp.where(x > 0, gnp.sqrt(x) * gnp.log(x), gnp.where(x == 0, 1.0, gnp.sin(x) / x))


def test_of_scalars_under_vmap_and_eagerly():
    at = np.array([0.0, 1.0, 4.0, -1.0])
    first = [0.0, 1.0, 0.5 + np.log(4) / 4, np.cos(1) * -1 + np.sin(1)]
    second = [0.0, 0.0, -np.log(4) / 32, -np.sin(1) - 2 * np.cos(1) + 2 * np.sin(1)]
    assert_close(gl.vmap(gl.grad(branchy))(at), first, 1e-14, "vmap of grad")
    assert_close(gl.grad(lambda x: gnp.sum(gl.vmap(branchy)(x)))(at), first, 1e-14, "grad of vmap")
    assert_close(gl.grad(branchy)(0.0), 0.0, 1e-14, "grad of a scalar")
    assert_close(gl.vmap(gl.grad(gl.grad(branchy)))(at), second, 1e-14, "second derivative")
    assert_close(gl.jacfwd(branchy)(at), np.diag(first), 1e-14, "Jacobian by forward mode")
    assert_close(gl.jacrev(branchy)(at), np.diag(first), 1e-14, "Jacobian by reverse mode")
    assert_close(gl.hessian(lambda x: gnp.sum(branchy(x)))(at), np.diag(second), 1e-14, "Hessian")


def test_a_checkpointed_branch_of_one_condition():
    half = gl.checkpoint(lambda x: gnp.sqrt(x) * x)
    f = lambda x: gnp.sum(gnp.where(x[0] > 0, half(x) / x, 0.0))  # noqa: E731
    assert_close(gl.grad(f)(NOTHING), NOTHING, 1e-14, "gradient")
    assert_close(gl.hessian(f)(NOTHING), np.zeros((4, 4)), 1e-14, "Hessian")


# -- what the program looks like


def backward(f, *args):
    """The linear program of f at these arguments, and its transpose."""
    graph = gl.stage(f)(*args)
    lin = linearize_graph(graph, [True] * len(args))
    n = len(lin.linear.inputs) - lin.n_residuals
    return check(lin.linear), check(transpose_graph(lin.linear, [False] * lin.n_residuals + [True] * n)[0])


def names(graph: Graph) -> list[str]:
    return [eqn.prim.name for eqn in graph.eqns]


def test_the_zero_is_chosen_last():
    _, back = backward(lambda x: gnp.where(x > 0, gnp.sqrt(x) * 2, 0.0), X)
    assert names(back) == ["mul", "mul", "select"]


def test_two_branches_are_chosen_between_once():
    _, back = backward(lambda x: gnp.where(abs(x) < 1, 0.5 * x * x, abs(x) - 0.5), X)
    assert names(back).count("select") == 1
    assert "add" not in names(back) or names(back).index("add") < names(back).index("select")


def test_a_rectified_layer_is_as_it_was():
    _, back = backward(lambda w, x: gnp.where(x @ w > 0, x @ w, 0.0), MATRIX, X)
    assert names(back).count("select") == 1
    assert not {"bitwise_and", "bitwise_or", "bitwise_not", "reduce_or"} & set(names(back))


def test_without_a_choice_nothing_is_rewritten():
    graph = gl.stage(lambda x: gnp.sum(gnp.sin(x) * x))(X)
    assert "select" not in names(jvp_graph(graph, [True])[0])
    assert mul_p in {eqn.prim for eqn in graph.eqns}
