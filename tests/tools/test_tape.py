"""`GradientTape`: every documented argument, by known numbers and by JAX; and that it costs little more than `grad`."""

from __future__ import annotations

import gc
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.ir.errors import ArgumentError, DTypeError, HandedTracerError, ShapeError, StructureError, TapeError
from tests.tools.tapes import TABLE, M, X, variables


def close(got, wanted):
    assert jax.tree_util.tree_structure(got) == jax.tree_util.tree_structure(wanted)
    for x, y in zip(jax.tree_util.tree_leaves(got), jax.tree_util.tree_leaves(wanted), strict=True):
        assert np.shape(x) == np.shape(y) and x.dtype == jnp.asarray(y).dtype
        np.testing.assert_allclose(np.asarray(x), y, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", TABLE)
def test_table(name):
    close(*TABLE[name]())


# -- looking while recording


def test_values_while_recording():
    x, y = variables(3.0, X)
    with gl.GradientTape():
        z = x * x + 1
        assert float(z) == 10.0 and z.numpy() == 10.0 and int(z) == 10 and z > 9
        assert repr(z) == "Tensor(10., shape=(), dtype=float64)"
        assert f"{z:.2f}" == "10.00"
        assert (x * y).tolist() == [3.0, 6.0, -9.0]
    np.testing.assert_array_equal(np.asarray(z), 10.0)


def test_a_variable():
    v = gl.Variable(X, name="v")
    assert (v.shape, v.dtype, v.ndim, v.size, len(v)) == ((3,), np.dtype("float64"), 1, 3, 3)
    assert isinstance(v * 2, jax.Array) and isinstance(gnp.sin(v), jax.Array)
    np.testing.assert_array_equal(2 - v, 2 - X)
    np.testing.assert_array_equal(X * v, X * X)
    np.testing.assert_array_equal(jnp.asarray(X) * v, X * X)
    np.testing.assert_array_equal(v == X, [True] * 3)
    np.testing.assert_array_equal(v[1:].sum(), -1)
    v.assign_sub(np.ones(3)).assign_add(2 * np.ones(3))
    np.testing.assert_array_equal(v.numpy(), X + 1)
    assert repr(v) == "Variable('v', [ 2.,  3., -2.], shape=(3,), dtype=float64)"
    assert gl.Variable(3, dtype=np.float32).dtype == np.float32
    assert len({v, v}) == 1


def test_a_variable_in_other_transformations():
    v = gl.Variable(3.0)
    assert gl.grad(lambda x: x * x)(v) == 6
    assert gl.grad(lambda x: x * v + v * x)(2.0) == 6
    np.testing.assert_array_equal(gl.vmap(lambda x: v - x)(X), 3 - X)


def test_a_training_loop_compiles_once():
    w = gl.Variable(np.zeros(3))
    data, target = np.eye(3), np.array([1.0, 2.0, 3.0])
    losses = []
    for _ in range(60):
        with gl.GradientTape() as tape:
            loss = ((data @ w - target) ** 2).sum()
        w.assign_sub(0.1 * tape.gradient(loss, w))
        losses.append(float(loss))
        if len(losses) == 2:
            compiled = gl.cache_info().compiles
    assert gl.cache_info().compiles == compiled
    assert losses[-1] < 1e-8 < losses[0] == 14


def test_nothing_keeps_the_record_alive():
    (x,) = variables(X)
    gc.collect()
    gc.disable()
    try:
        with gl.GradientTape() as tape:
            y = (x * 2.5 + 1).sum()
        tape.gradient(y, x)
        record = weakref.ref(y.builder.captured[0][1])
        x.assign(X + 1)
        del tape, y
        assert record() is None
    finally:
        gc.enable()


def test_jax_numpy_inside_says_what_to_write():
    (x,) = variables(3.0)
    with pytest.raises(HandedTracerError, match="from_jax"), gl.GradientTape():
        jnp.sin(x * 2)


def test_a_raising_block_closes_the_tape():
    (x,) = variables(3.0)
    with pytest.raises(ZeroDivisionError), gl.GradientTape():
        raise ZeroDivisionError
    assert isinstance(x * x, jax.Array)


# -- errors


def used():
    (x,) = variables(3.0)
    with gl.GradientTape() as tape:
        y = x * x
    tape.gradient(y, x)
    return tape, y, x


def recorded():
    x, y = variables(3.0, X)
    with gl.GradientTape(persistent=True) as tape:
        z = x * y
    return tape, z, x


ERRORS = {
    "used up": (TapeError, "persistent=True", lambda: used()[0].gradient(*used()[1:])),
    "never opened": (TapeError, "recorded nothing", lambda: gl.GradientTape().gradient(1.0, 2.0)),
    "watch outside": (TapeError, "inside `with tape:`", lambda: gl.GradientTape().watch(X)),
    "stop outside": (TapeError, "inside `with tape:`", lambda: gl.GradientTape().stop_recording().__enter__()),
    "unconnected": (ArgumentError, "zeros", lambda: recorded()[0].gradient(*recorded()[1:], unconnected="nan")),
    "weights": (StructureError, "structure", lambda: (r := recorded())[0].gradient(*r[1:], output_gradients=[X, X])),
    "a weight": (ShapeError, "shape", lambda: (r := recorded())[0].gradient(*r[1:], output_gradients=1.0)),
    "jacobian": (StructureError, "one tensor", lambda: (r := recorded())[0].jacobian([r[1]], r[2])),
    "batch_jacobian": (ShapeError, "first axis", lambda: (r := recorded())[0].batch_jacobian(*r[1:])),
    "source": (StructureError, "source", lambda: (r := recorded())[0].gradient(r[1], ["x"])),
    "assign": (ShapeError, "Reshape", lambda: gl.Variable(X).assign(M)),
    "assign dtype": (DTypeError, "astype", lambda: gl.Variable(3).assign(np.array(2.5))),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    error, match, call = ERRORS[name]
    with pytest.raises(error, match=match):
        call()


def test_integers_are_not_watched_nor_a_tape_opened_twice():
    with gl.GradientTape() as tape, pytest.raises(DTypeError, match="astype"):
        tape.watch(3)
    with pytest.raises(TapeError, match="recording already"), gl.GradientTape() as tape, tape:
        pass
