"""What a new user gets wrong: each is an error of gradlab's that says what was needed, what came, and where."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.ir.errors import ArgumentError, DTypeError, GradlabError, IndexingError, ShapeError, StructureError

X = np.arange(6.0).reshape(2, 3) + 0.5
ALONG = ("sum", "mean", "prod", "max", "min", "std", "var", "median", "argmax", "cumsum", "sort", "flip", "squeeze")
WRITING = ("sum", "mean", "prod", "max", "min", "std", "var", "median", "cumsum")

CASES = {
    **{f"{n}(axis=2)": (lambda x, n=n: getattr(gnp, n)(x, axis=2), ShapeError, "out of bounds") for n in ALONG},
    **{f"{n}(axis='a')": (lambda x, n=n: getattr(gnp, n)(x, axis="a"), DTypeError, "integer, got 'a'") for n in ALONG},
    **{f"{n}(axis=1.0)": (lambda x, n=n: getattr(gnp, n)(x, axis=1.0), DTypeError, "integer, got 1.0") for n in ALONG},
    **{f"{n}(out=)": (lambda x, n=n: getattr(gnp, n)(x, out=np.zeros(())), ArgumentError, "out=") for n in WRITING},
    "method out=": (lambda x: x.sum(out=np.zeros(())), ArgumentError, "leave out= away"),
    "dtype": (lambda x: gnp.sum(x, dtype="float23"), DTypeError, "dtype was needed.*float23"),
    "astype": (lambda x: x.astype("numbers"), DTypeError, "dtype was needed.*numbers"),
    "where= shape": (lambda x: gnp.sum(x, where=np.ones(7, bool)), ShapeError, "broadcast"),
    "where= alone": (lambda x: gnp.max(x, where=x > 1), ArgumentError, "initial="),
    "max of nothing": (lambda x: gnp.max(x[:0]), ShapeError, "no elements"),
    "a list": (lambda x: gnp.sum([x, x]), StructureError, r"gradlab\.numpy\.stack\(x\)"),
    "a list of numbers": (lambda x: x + [1.0, 2.0, 3.0], (StructureError, TypeError), "array|unsupported"),
    "a string": (lambda x: gnp.add(x, "1"), StructureError, "number or an array"),
    "shapes": (lambda x: x + np.ones(4), ShapeError, "sizes 3 and 4"),
    "matmul": (lambda x: x @ x, ShapeError, "Transpose one"),
    "reshape": (lambda x: x.reshape(4, 2), ShapeError, "6 elements"),
    "reshape by a float": (lambda x: x.reshape(3.0, 2), DTypeError, "size in a shape must be an integer, got 3.0"),
    "zeros of a float": (lambda x: gnp.zeros(2.5) + x[0], DTypeError, "integer, got 2.5"),
    "linspace": (lambda x: gnp.linspace(x[0, 0], 1.0, -2), ShapeError, "negative"),
    "repeat": (lambda x: gnp.repeat(x, -1), ArgumentError, "not negative"),
    "repeat by floats": (lambda x: gnp.repeat(x, 1.5), ArgumentError, "integers"),
    "take": (lambda x: gnp.take(x, 0, mode="last"), ArgumentError, "modes fill, wrap and clip"),
    "select": (lambda x: gnp.select([x > 0], [x, x]), ArgumentError, "as many conditions"),
    "norm": (lambda x: gnp.linalg.norm(x, ord=3), ArgumentError, "norms"),
    "index": (lambda x: x[2], IndexingError, "out of bounds for axis 0"),
    "indices": (lambda x: x[0, 0, 0], IndexingError, "2 axes, 3 were indexed"),
    "index by a float": (lambda x: x[0.5], DTypeError, "no index"),
    "mask": (lambda x: x[np.ones(3, bool)], IndexingError, "mask of shape"),
    "truth": (lambda x: x if x > 0 else -x, ShapeError, "any.*where"),
}


@pytest.mark.parametrize("name", CASES)
def test_mistakes(name):
    fn, kind, words = CASES[name]
    with pytest.raises(kind, match=rf"(?s){words}") as caught:
        gl.grad(lambda x: gnp.sum(fn(x) * 1.0))(X)
    if isinstance(caught.value, GradlabError):
        assert "test_mistakes.py" in str(caught.value)


def test_arguments_are_named_after_the_function():
    with pytest.raises(TypeError, match=r"^max\(\) got an unexpected keyword argument 'dtype'"):
        gl.grad(lambda x: gnp.max(x, dtype=float))(X)


def test_empty_arrays_have_derivatives():
    def f(x):
        one = gnp.sum(x) + gnp.prod(x) + gnp.sum(gnp.cumsum(x) + gnp.cumprod(x)) + gnp.sum(gnp.sort(x))
        return one + gnp.linalg.norm(x) + gnp.sum(gnp.concatenate([x, x]) ** 2) + gnp.sum(gnp.outer(x, x))

    assert gl.grad(f)(np.ones(0)).shape == (0,)


def test_keepdims_and_where_together():
    def f(m):
        return lambda x: m.sum(
            m.mean(x, axis=1, keepdims=True, where=X > 1) * m.max(x, axis=(0, 1), keepdims=True, where=X < 5, initial=0)
            + m.var(x, axis=0, keepdims=True, where=X > 0) * m.prod(x, keepdims=True, where=X > 2)
        )

    np.testing.assert_allclose(gl.grad(f(gnp))(X), gl.grad(gl.from_jax(f(jnp)))(X), rtol=1e-12)
