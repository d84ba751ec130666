"""jacobian, jacfwd, jacrev, value_and_jacobian, hessian, hvp: JAX's shapes and structures, the function read once."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from tests.api.support import same

V = np.array([0.3, -1.2, 2.0])
M = np.linspace(-1.0, 1.0, 6).reshape(2, 3)

# name: (function of the numpy module and its arguments, arguments, argnums)
CASES = {
    "vector": (lambda np_, x: np_.sin(x) * x[0], (V,), 0),
    "wide": (lambda np_, x: M @ x * x[0], (V,), 0),
    "tall": (lambda np_, x: np_.sin(x[0] * M) + x[1], (V[:2],), 0),
    "matrix": (lambda np_, m: m @ m.T, (M,), 0),
    "scalar to scalar": (lambda np_, x: x**3, (2.0,), 0),
    "scalar to vector": (lambda np_, x: np_.cos(x * V), (2.0,), 0),
    "vector to scalar": (lambda np_, x: np_.sum(x**3), (V,), 0),
    "two arguments": (lambda np_, x, y: x[:, None] * np_.exp(y), (V, V[:2]), (0, 1)),
    "second argument": (lambda np_, x, y: x * y, (V, 2.0), 1),
    "a tuple of one": (lambda np_, x: x * x, (V,), (0,)),
    "trees": (
        lambda np_, t: {"p": t["a"] * t["b"][0], "q": [np_.sum(t["b"] ** 2)]},
        ({"a": V, "b": V[:2]},),
        0,
    ),
    "unconnected": (lambda np_, x, y: (x * 2.0, np_.ones(2)), (V, 1.0), (0, 1)),
    "empty input": (lambda np_, x, y: y * 2.0 + np_.sum(x), (np.zeros(0), V), (0, 1)),
    "empty output": (lambda np_, x: x[:0] * 2.0, (V,), 0),
    "float32": (lambda np_, x: x * x, (V.astype("float32"),), 0),
}


@pytest.mark.parametrize("name", CASES)
def test_jacobian(name):
    program, args, argnums = CASES[name]
    rtol = 1e-5 if name == "float32" else 1e-10
    wanted = jax.jit(jax.jacrev(partial(program, jnp), argnums))(*args)
    mine = partial(program, gnp)
    for made in (
        gl.jacobian(mine, argnums),
        gl.jacfwd(mine, argnums),
        gl.jacrev(mine, argnums),
    ):
        same(made(*args), wanted, rtol)
    value, matrix = gl.value_and_jacobian(mine, argnums)(*args)
    same(matrix, wanted, rtol)
    same(value, jax.jit(partial(program, jnp))(*args), rtol)


@pytest.mark.parametrize("name", [name for name in CASES if "empty output" not in name])
def test_hessian(name):
    """Nested as JAX nests it: (result, first argument, second argument)."""
    program, args, argnums = CASES[name]
    rtol = 1e-5 if name == "float32" else 1e-10
    wanted = jax.jit(jax.hessian(partial(program, jnp), argnums))(*args)
    same(gl.hessian(partial(program, gnp), argnums)(*args), wanted, rtol)


def test_modes_agree():
    def g(x):
        return gnp.sin(x[0]) * x[1] ** 2 * x[2]

    modes = {mode: gl.jacobian(lambda x: M @ x * x[0], mode=mode)(V) for mode in ("auto", "fwd", "rev")}
    for got in modes.values():
        same(got, modes["auto"])
    wanted = jax.jit(jax.hessian(lambda x: jnp.sin(x[0]) * x[1] ** 2 * x[2]))(V)
    for mode in ("auto", "fwd-over-rev", "rev-over-rev", "fwd-over-fwd", "rev-over-fwd"):
        same(gl.hessian(g, mode=mode)(V), wanted)


def test_auto_takes_the_cheaper_mode():
    """A forward Jacobian of n inputs carries n tangents, a reverse one of m outputs m cotangents."""
    one_in, one_out = (lambda x: gnp.sin(x) * V), (lambda x: (gnp.sin(x) * V).sum())
    for fun, x, cheap in ((one_in, 2.0, "fwd"), (one_out, V, "rev")):
        auto, chosen = gl.source(gl.jacobian(fun))(x), gl.source(gl.jacobian(fun, mode=cheap))(x)
        assert auto == chosen


def test_argnames():
    def fun(x, *, y):
        return x * y**2

    same(gl.jacobian(fun, argnames="y")(V, y=V), np.diag(2 * V * V))
    same(gl.jacfwd(fun, argnames="y")(V, y=V), np.diag(2 * V * V))
    same(gl.jacrev(fun, argnames=("y",))(V, y=V), (np.diag(2 * V * V),))
    got = gl.hessian(fun, argnames="y")(2.0, y=3.0)
    assert got == 4.0


def test_aux():
    def fun(x):
        return x * x, {"note": "text", "sum": x.sum()}

    for made in (gl.jacobian, gl.jacfwd, gl.jacrev):
        matrix, aux = made(fun, has_aux=True)(V)
        same((matrix, aux["sum"]), (np.diag(2 * V), jnp.asarray(V.sum())))
        assert aux["note"] == "text"
    (value, aux), matrix = gl.value_and_jacobian(fun, has_aux=True)(V)
    same((value, matrix), (V * V, np.diag(2 * V)))
    assert aux["note"] == "text"
    matrix, aux = gl.hessian(lambda x: ((x**3).sum(), ("text", x)), has_aux=True)(V)
    same((matrix, aux[1]), (np.diag(6 * V), V))
    assert aux[0] == "text"


def test_holomorphic():
    z = V + 0.5j
    wanted = jax.jit(jax.jacfwd(lambda z: z * z * z[0], holomorphic=True))(z)
    for made in (gl.jacobian, gl.jacfwd, gl.jacrev):
        same(made(lambda z: z * z * z[0], holomorphic=True)(z), wanted)
    same(gl.hessian(lambda z: (z**3).sum(), holomorphic=True)(z), np.diag(6 * z))


@pytest.mark.parametrize("made", [gl.jacobian, gl.jacfwd, gl.jacrev, gl.value_and_jacobian, gl.hessian])
def test_the_function_is_read_once(made):
    calls = []

    def fun(x):
        calls.append(1)
        return (gnp.sin(x) * x[0]).sum()

    made(fun)(V)
    assert len(calls) == 1


def test_hessian_is_linear_programs_on_one_linearisation():
    """The expensive primal (sin, cos, exp of the vector) is computed once, not once per row."""
    graph = gl.stage(gl.hessian(lambda x: gnp.exp(gnp.sin(x)).sum()))(V)
    counts = {name: sum(eqn.prim.name == name for eqn in graph.eqns) for name in ("exp", "sin", "cos")}
    assert counts == {"exp": 1, "sin": 1, "cos": 1}
    for eqn in graph.eqns:
        if eqn.prim.name in counts:
            assert eqn.outputs[0].aval.shape == (3,)


def test_hvp():
    def fun(np_, x, y):
        return np_.sum(np_.sin(x) * y) * x[0]

    primals, tangents = (V, V + 1), (V * 2, np.ones(3))
    wanted = jax.jit(lambda p, t: jax.jvp(jax.grad(partial(fun, jnp), (0, 1)), p, t)[1])(primals, tangents)
    same(gl.hvp(partial(fun, gnp), primals, tangents), wanted)
    one = gl.hvp(lambda x: fun(gnp, x, V), (V,), (V,))
    same(one, gl.hessian(lambda x: fun(gnp, x, V))(V) @ V)
    tree = {"a": V, "b": 2.0}
    got = gl.hvp(lambda t: (t["a"] ** 2).sum() * t["b"], (tree,), (tree,))
    same(got, {"a": 2 * 2.0 * V + 2 * V * 2.0, "b": jnp.asarray(2 * (V * V).sum())})


def test_under_jit_and_in_one_another():
    wanted = jax.jit(jax.jacfwd(jax.hessian(lambda x: (x**4).sum() * x[0])))(V)
    same(gl.jit(gl.jacfwd(gl.hessian(lambda x: (x**4).sum() * x[0])))(V), wanted)
    same(jax.jit(gl.jacrev(gl.jacrev(gl.jacfwd(lambda x: (x**4).sum() * x[0]))))(V), wanted)
