"""What is recorded and what is JAX's own; NumPy's protocols; errors with the remedy and the user's line."""

from __future__ import annotations

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab.interop.numpy_protocols  # noqa: F401  # installs the protocols
import gradlab.numpy as gnp
from gradlab.ir.errors import AxisError, ConversionError, DTypeError, IndexingError, ItemAssignmentError, ShapeError
from gradlab.ir.graph import Aval
from gradlab.trace.builder import Builder
from gradlab.trace.tracer import Tracer

from .compare import Call, compare

X = np.array([[0.3, -1.2, 2.5], [1.1, 0.7, -0.4]])


@pytest.fixture
def x():
    builder = Builder()
    with builder:
        yield builder.input(Aval((2, 3), np.dtype("float64")))


def test_outside_a_trace_it_is_jax_numpy():
    for got in (
        gnp.sin(X),
        gnp.sum(X, axis=0),
        gnp.zeros(3),
        gnp.concatenate([X, X]),
        gnp.einsum("ij->j", X),
        gnp.linalg.norm(X),
    ):
        assert isinstance(got, jax.Array)
    np.testing.assert_allclose(jax.grad(lambda x: gnp.sum(gnp.sin(x) ** 2))(X), 2 * np.sin(X) * np.cos(X))


def test_inside_a_trace_everything_is_recorded(x):
    for got in (gnp.sin(X), gnp.zeros(3), gnp.arange(4), gnp.array([1.0, 2.0]), gnp.concatenate([X, x]), gnp.sum(3.0)):
        assert type(got) is Tracer


def test_numpy_functions_on_tracers():
    def protocols(module, x, v):
        return [
            np.sin(x),
            np.sum(x, axis=0),
            np.concatenate([x, x]),
            np.ones(3) + x,
            np.float64(2) * x,
            v * np.arange(3.0),
            np.where(np.zeros((2, 3), bool), x, v),
            np.maximum(x, np.ones(3)),
            np.linalg.norm(x),
            np.mean(x),
            x @ np.ones(3),
            np.ones(2) @ x,
            np.dot(x, v),
            np.transpose(x),
        ]

    def jax_numpy(module, x, v):
        return [
            jnp.sin(x),
            jnp.sum(x, axis=0),
            jnp.concatenate([x, x]),
            np.ones(3) + x,
            np.float64(2) * x,
            v * np.arange(3.0),
            jnp.where(np.zeros((2, 3), bool), x, v),
            jnp.maximum(x, np.ones(3)),
            jnp.linalg.norm(x),
            jnp.mean(x),
            x @ np.ones(3),
            np.ones(2) @ x,
            jnp.dot(x, v),
            jnp.transpose(x),
        ]

    either = lambda module, *xs: (protocols if module is gnp else jax_numpy)(module, *xs)  # noqa: E731
    compare([Call("protocols", either, (X, np.array([0.5, -2.0, 3.0])))])


def test_norm_at_zero_has_derivative_zero():
    smooth = Call(
        "zero", lambda m, x: m.sum(m.linalg.norm(x, axis=1)) if m is gnp else m.sum(x * 0), (np.zeros((2, 2)),)
    )
    compare([smooth])


@pytest.mark.parametrize(
    ("wrong", "kind", "remedy"),
    [
        (lambda x: x.__setitem__(0, 1.0), ItemAssignmentError, r"x\.at\[i\]\.set\(v\)(.|\n)*at .*test_dispatch"),
        (lambda x: x + np.zeros(4), ShapeError, "insert one with(.|\n)*test_dispatch"),
        (lambda x: x @ x, ShapeError, r"matmul(.|\n)*\(3 != 2\)"),
        (lambda x: x.reshape(4, -1), ShapeError, "multiply to the number of elements"),
        (lambda x: x[5], IndexingError, "out of bounds for axis 0"),
        (lambda x: x[0, 0, 0], IndexingError, "too many indices"),
        (lambda x: x[1.5], DTypeError, "is no index"),
        (lambda x: x[x], DTypeError, "astype"),
        (lambda x: gnp.sum(x, axis=2), AxisError, "axis=2 is out of bounds"),
        (lambda x: gnp.concatenate([x, x[:, :2]]), ShapeError, "agree on every other axis"),
        (lambda x: -(x > 0), DTypeError, "logical_not"),
        (lambda x: (x > 0) - (x > 1), DTypeError, "logical_xor"),
        (lambda x: gnp.einsum("ij,jk", x, x), ShapeError, "einsum"),
        (lambda x: np.emath.sqrt(x), ConversionError, r"np\.sqrt\(x\.astype\(complex\)\)"),
        (lambda x: np.sin(x, out=np.zeros((2, 3))), ConversionError, "cannot be written"),
        (lambda x: x + "a", TypeError, "unsupported operand"),
        (lambda x: gnp.stack([x, x[0]]), ShapeError, "one shape"),
    ],
)
def test_errors(x, wrong, kind, remedy):
    with pytest.raises(kind, match=remedy):
        wrong(x)


def test_foreign_operands_are_asked(x):
    class Foreign:
        def __rmul__(self, other):
            return "mine"

    assert x * Foreign() == "mine"


# JAX's own internals, and parameters that it takes only to refuse them.
_UNNAMED = {"einsum": {"operands", "_dot_general"}, "array": {"args"}}


def test_signatures():
    """Every parameter of jax.numpy's own functions has its name here, `**kwargs` too."""
    missing = {}
    for name, theirs in vars(jnp).items():
        if name.startswith("_") or not callable(theirs) or isinstance(theirs, type | jnp.ufunc):
            continue
        if theirs.__module__.startswith("numpy"):
            continue
        named = {p.name for p in inspect.signature(theirs).parameters.values() if p.kind is not p.POSITIONAL_ONLY}
        own = inspect.signature(getattr(gnp, name)).parameters.keys()
        if lacking := named - own - _UNNAMED.get(name, set()):
            missing[name] = lacking
    assert not missing
