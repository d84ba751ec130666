"""Our methods as Optax transformations: the same iterates, any chain, a state that resumes to the same bits."""

from __future__ import annotations

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gradlab.ir.errors import ArgumentError
from gradlab.optim import Status, bfgs, gradient_descent, lbfgs, minimize, transformations


def loss(p):
    x = jnp.concatenate([p["a"], p["b"][None]])
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


START = {"a": jnp.array([-1.2, 1.0, -1.2]), "b": jnp.asarray(1.0)}
value_and_grad = jax.jit(jax.value_and_grad(loss))


def steps(optimizer, params, state, n):
    for _ in range(n):
        value, grads = value_and_grad(params)
        updates, state = optimizer.update(grads, state, params, value=value)
        params = optax.apply_updates(params, updates)
    return params, state


@pytest.mark.parametrize("make", [lbfgs, bfgs, lambda: optax.chain(optax.clip(1e9), lbfgs())])
def test_it_minimises_and_resumes_to_the_same_bits(make):
    optimizer = make()
    params, state = steps(optimizer, START, optimizer.init(START), 20)
    saved = pickle.dumps(jax.tree_util.tree_map(np.asarray, (params, state)))
    end, _ = steps(optimizer, params, state, 40)
    again, _ = steps(optimizer, *pickle.loads(saved), 40)
    assert loss(end) < 1e-12
    assert all(np.array_equal(a, b) for a, b in zip(*map(jax.tree_util.tree_leaves, (end, again)), strict=True))


def test_it_is_the_method_of_minimize():
    result = minimize(loss, START)
    optimizer = lbfgs()
    params, _ = steps(optimizer, START, optimizer.init(START), int(result.n_evals) - 1)
    assert np.allclose(params["a"], result.x["a"], rtol=1e-9)
    assert minimize(loss, START, gradient_descent(), max_iters=50).f < loss(START)


@pytest.mark.parametrize("before", [optax.clip(0.1), optax.clip_by_global_norm(1.0), optax.scale(-1.0)])
def test_a_gradient_changed_on_the_way_is_noticed(before):
    optimizer, x = optax.chain(before, lbfgs()), {"x": jnp.full(4, 100.0)}
    curvatures = jnp.arange(1.0, 5.0)
    state = optimizer.init(x)
    for _ in range(40):
        off = x["x"] - 3
        updates, state = optimizer.update({"x": 2 * curvatures * off}, state, x, value=jnp.sum(curvatures * off**2))
        x = optax.apply_updates(x, updates)
    status = Status(int(state[1].status))
    assert status is Status.LINE_SEARCH_FAILED and "clipped" in status.text


def test_update_is_not_traced_again():
    optimizer = lbfgs(memory=3)
    params, state = steps(optimizer, START, optimizer.init(START), 2)
    size = transformations.step._cache_size()
    steps(optimizer, params, state, 5)
    steps(lbfgs(memory=3), params, state, 2)
    assert transformations.step._cache_size() == size


def test_a_missing_value_says_what_to_write():
    optimizer = lbfgs()
    with pytest.raises(ArgumentError, match="value=loss"):
        optimizer.update(START, optimizer.init(START), START)


def test_complex_gradients_as_optax_has_them():
    target = np.array([1 + 2j, -3j])

    def far(z):
        return jnp.sum(jnp.abs(z - target) ** 2)

    optimizer, z = lbfgs(), jnp.zeros(2, complex)
    state = optimizer.init(z)
    for _ in range(6):
        value, grad = jax.value_and_grad(far)(z)
        updates, state = optimizer.update(jnp.conj(grad), state, z, value=value)
        z = optax.apply_updates(z, updates)
    np.testing.assert_allclose(z, target, atol=1e-9)
    assert minimize(far, jnp.zeros(2, complex), lbfgs()).f < 1e-12
