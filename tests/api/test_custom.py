"""custom_jvp, custom_vjp, stop_gradient, checkpoint: what the user says of a derivative is what is used."""

from __future__ import annotations

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.ir.errors import MissingRuleError
from tests.api.support import same

V = np.array([0.3, -1.2, 2.0])
M = np.linspace(-1.0, 1.0, 6).reshape(2, 3)

# A wrong factor in each rule shows that the rule, and nothing else, was used.


def tripled(m, np_):
    @m.custom_jvp
    def f(x):
        return np_.sin(x)

    @f.defjvp
    def f_jvp(primals, tangents):
        (x,), (t,) = primals, tangents
        return f(x), 3.0 * np_.cos(x) * t

    return f


def clipped(m, np_):
    @m.custom_vjp
    def f(x, y):
        return np_.sin(x) * y

    def fwd(x, y):
        return f(x, y), (np_.cos(x), x, y, None)

    def bwd(residuals, ct):
        cos, x, y, nothing = residuals
        assert nothing is None
        return 5.0 * ct * cos * y, 7.0 * ct * np_.sin(x)

    f.defvjp(fwd, bwd)
    return f


def sums(m, np_):
    @m.custom_jvp
    def f(x, y):
        return np_.exp(x) * y

    f.defjvps(lambda t, out, x, y: 2.0 * t * out, lambda t, out, x, y: 3.0 * t * np_.exp(x))
    return f


def partly(m, np_):
    @m.custom_jvp
    def f(x, y):
        return np_.exp(x) * y

    f.defjvps(lambda t, out, x, y: 2.0 * t * out, None)
    return f


def held(m, np_):
    @partial(m.custom_jvp, nondiff_argnums=(0, 2))
    def f(fun, x, n):
        return fun(x) ** n

    @f.defjvp
    def f_jvp(fun, n, primals, tangents):
        return f(fun, primals[0], n), 4.0 * n * tangents[0] * fun(primals[0])

    return lambda x: f(np_.sin, x, 3)


def held_vjp(m, np_):
    @partial(m.custom_vjp, nondiff_argnums=(0,))
    def f(fun, x):
        return fun(x)

    f.defvjp(lambda fun, x: (fun(x), x), lambda fun, x, ct: (6.0 * ct * fun(x),))
    return lambda x: f(np_.sin, x)


def trees(m, np_):
    @m.custom_vjp
    def f(tree, y):
        return {"out": tree["a"] * tree["b"][0], "y": y * 2}

    def fwd(tree, y):
        return f(tree, y), {"tree": tree, "none": None}

    def bwd(residuals, ct):
        a, b = residuals["tree"]["a"], residuals["tree"]["b"][0]
        return {"a": 2.0 * ct["out"] * b, "b": [np_.sum(ct["out"] * a)]}, 9.0 * ct["y"]

    f.defvjp(fwd, bwd)

    def g(x):
        out = f({"a": x, "b": [np_.sum(x)]}, x)
        return out["out"] + out["y"]

    return g


def with_none(m, np_):
    @m.custom_vjp
    def f(x, y):
        return x * y

    f.defvjp(lambda x, y: (x * y, y), lambda y, ct: (2.0 * ct * y, None))
    return lambda x: f(x, x + 1.0)


# name: (function of the library and its numpy, arguments)
CASES = {
    "custom_jvp": (tripled, (V,)),
    "custom_vjp": (clipped, (V, V + 1)),
    "defjvps": (sums, (V, V + 1)),
    "defjvps with None": (partly, (V, V + 1)),
    "nondiff_argnums": (held, (V,)),
    "nondiff_argnums of a vjp": (held_vjp, (V,)),
    "trees": (trees, (V,)),
    "None cotangent": (with_none, (V,)),
}


@pytest.mark.parametrize("name", CASES)
def test_derivatives_follow_the_rule(name):
    make, args = CASES[name]
    mine, theirs, argnums = make(gl, gnp), make(jax, jnp), tuple(range(len(args)))

    def oracle(*args):
        value, pull = jax.vjp(theirs, *args)
        first = jax.grad(lambda *args: theirs(*args).sum(), argnums)
        return value, pull(V), first(*args), jax.jacrev(lambda *args: first(*args)[0], 0)(*args)

    value, cts, sums, second = jax.jit(oracle)(*args)
    same(mine(*args), value)
    got, pull = gl.vjp(mine, *args)
    same((got, pull(V)), (value, cts))
    grad = gl.grad(lambda *args: mine(*args).sum(), argnums)
    same(gl.jit(grad)(*args), sums)
    same(gl.jacrev(lambda *args: grad(*args)[0])(*args), second)
    same(gl.jacfwd(lambda *args: grad(*args)[0])(*args), second)
    # forward mode: the rule, or the transpose of the backward one
    push = gl.jvp(mine, args, args)[1]
    np.testing.assert_allclose(V @ push, sum(ct @ x for ct, x in zip(cts, args, strict=True)), rtol=1e-10)
    # batched
    batch = [np.stack([x, x + 0.5]) for x in args]
    wanted = jax.jit(jax.vmap(jax.grad(lambda *args: theirs(*args).sum())))(*batch)
    same(gl.vmap(gl.grad(lambda *args: mine(*args).sum()))(*batch), wanted)
    same(gl.grad(lambda *args: gl.vmap(mine)(*args).sum())(*batch), wanted)
    # from JAX
    same(jax.grad(lambda *args: mine(*args).sum())(*args), sums[0])
    same(jax.jit(jax.vmap(gl.grad(lambda *args: mine(*args).sum())))(*batch), wanted)


def test_a_shared_argument_under_vmap_gets_the_sum():
    mine, theirs = clipped(gl, gnp), clipped(jax, jnp)

    def total(m, f):
        return lambda y: m.vmap(f, (0, None))(jnp.asarray(M), y).sum()

    same(gl.grad(total(gl, mine))(V), jax.jit(jax.grad(total(jax, theirs)))(V))


def test_both_rules_on_one_function():
    """Reverse mode takes the vjp rule, forward mode the jvp rule."""
    f = gl.custom_vjp(lambda x: x * x)
    f.defvjp(lambda x: (f(x), x), lambda x, ct: (10.0 * x * ct,))
    f.defjvp(lambda primals, tangents: (f(*primals), 100.0 * primals[0] * tangents[0]))
    assert gl.grad(f)(2.0) == 20.0
    assert gl.jvp(f, (2.0,), (1.0,))[1] == 200.0
    assert gl.jacfwd(f)(2.0) == 200.0
    assert gl.jacrev(f)(2.0) == 20.0
    assert gl.vmap(gl.grad(f))(V[:1])[0] == 10.0 * V[0]


def test_hessian_of_a_custom_vjp():
    """JAX refuses: forward over reverse runs the backward rule forwards."""
    f = gl.custom_vjp(lambda x: (x**3).sum())
    f.defvjp(lambda x: (f(x), x), lambda x, ct: (3.0 * x**2 * ct,))
    same(gl.hessian(f)(V), np.diag(6 * V))
    same(gl.hvp(f, (V,), (V,)), 6 * V * V)
    same(gl.jacfwd(f)(V), 3 * V**2)


def test_a_backward_rule_that_is_not_linear():
    """Reverse mode runs it; forward mode cannot, and says what to do."""
    f = gl.custom_vjp(lambda x: x * 1.0)
    f.defvjp(lambda x: (x * 1.0, None), lambda _, ct: (gnp.clip(ct, -1.0, 1.0),))
    assert gl.grad(lambda x: 5.0 * f(x))(2.0) == 1.0
    with pytest.raises(MissingRuleError, match="defjvp"):
        gl.jvp(f, (2.0,), (1.0,))


def test_a_rule_that_calls_its_own_function():
    """Each order of derivative unfolds the rule once more."""
    f = gl.custom_jvp(lambda x: gnp.exp(2.0 * x))

    @f.defjvp
    def rule(primals, tangents):
        return f(*primals), 3.0 * f(primals[0]) * tangents[0]

    value, derivative = np.exp(1.0), f
    for order in range(4):
        np.testing.assert_allclose(derivative(0.5), 3.0**order * value, rtol=1e-12)
        derivative = gl.grad(derivative)
    g = gl.custom_vjp(lambda x: gnp.exp(2.0 * x))
    g.defvjp(lambda x: (g(x), x), lambda x, ct: (3.0 * g(x) * ct,))
    np.testing.assert_allclose(gl.grad(gl.grad(gl.grad(g)))(0.5), 27 * value, rtol=1e-12)


def test_a_rule_that_calls_its_own_function_closes_over_an_array():
    f = gl.custom_vjp(lambda x: M @ x)
    f.defvjp(lambda x: (f(x), None), lambda _, ct: (2.0 * ct @ M,))
    same(gl.grad(lambda x: f(x).sum())(V), 2.0 * M.sum(0))
    same(gl.vmap(gl.grad(lambda x: f(x).sum()))(M), np.stack([2.0 * M.sum(0)] * 2))


def test_a_rule_that_calls_its_own_function_with_other_static_arguments():
    """Each call has the rule of its own argument."""

    def power(m):
        f = m.custom_jvp(lambda x, n: x**n, nondiff_argnums=(1,))
        f.defjvp(lambda n, primals, tangents: (f(primals[0], n), n * f(primals[0], n - 1) * tangents[0]))
        return lambda x: f(x, 5)

    mine, theirs = power(gl), power(jax)
    for _ in range(3):
        mine, theirs = gl.grad(mine), jax.grad(theirs)
        same(mine(2.0), theirs(2.0))
    with pytest.raises(MissingRuleError, match="ordinary ones"):
        gl.grad(gl.grad(gl.grad(mine)))(2.0)


def test_residuals_need_not_be_arrays():
    f = gl.custom_vjp(lambda x, y: x * y)

    def bwd(residuals, ct):
        how, y, table = residuals
        return (ct * y if how == "exact" else None), ct * table["x"]

    f.defvjp(lambda x, y: (x * y, ("exact", y, {"x": x, "fun": len})), bwd)
    assert gl.grad(f, (0, 1))(2.0, 3.0) == (3.0, 2.0)


def test_numerically_better_rule():
    """The classic: log(1 + exp(x)) without overflow in its derivative."""

    def softplus(m, np_):
        f = m.custom_jvp(lambda x: np_.log(1 + np_.exp(x)))
        f.defjvps(lambda t, out, x: (1 - 1 / (1 + np_.exp(x))) * t)
        return f

    assert gl.grad(softplus(gl, gnp))(800.0) == 1.0
    assert gl.grad(softplus(gl, gnp))(0.0) == 0.5


def test_a_python_scalar_argument_beside_an_array():
    """It is an argument of its own shape and type, whatever its neighbours are."""

    @gl.custom_vjp
    def picked(x, i):
        return x[i] * 1.0

    def bwd(kept, ct):
        return gnp.zeros_like(kept[0]).at[kept[1]].set(5 * ct), None

    picked.defvjp(lambda x, i: (x[i], (x, i)), bwd)
    for transform in (gl.grad, lambda f: gl.jit(gl.grad(f)), gl.jacfwd):
        same(transform(lambda x: picked(x, 1))(V), np.array([0.0, 5.0, 0.0]))


def test_keyword_arguments():
    f = gl.custom_jvp(lambda x, scale=2.0: x * scale)
    f.defjvps(lambda t, out, x, scale: 5.0 * t * scale, None)
    assert gl.grad(lambda x: f(x, scale=3.0))(1.0) == 15.0
    assert gl.grad(lambda x: f(x=x))(1.0) == 10.0
    assert f(2.0) == 4.0


def test_concrete_arguments_with_a_closure_over_a_tracer():
    """A function without a rule for what it closes over is not differentiated silently."""

    def outer(s):
        f = gl.custom_jvp(lambda x: x * s)
        f.defjvps(lambda t, out, x: t * s)
        return f(2.0)

    with pytest.raises(MissingRuleError, match="as an argument"):
        gl.grad(outer)(3.0)


# -- stop_gradient


def test_stop_gradient():
    same(gl.grad(lambda x: (gl.stop_gradient(x) * x).sum())(V), V)
    tree = {"a": V, "n": 3, "none": None}
    got = gl.stop_gradient(tree)
    same(got["a"], V)
    assert gl.jvp(lambda x: gl.stop_gradient({"a": x, "s": x * 2})["s"], (2.0,), (1.0,))[1] == 0.0
    assert gl.grad(gl.grad(lambda x: x**2 * gl.stop_gradient(x) ** 2))(3.0) == 18.0
    same(jax.grad(lambda x: (gl.stop_gradient(x) * x).sum())(V), V)
    same(gl.vmap(gl.grad(lambda x: gl.stop_gradient(x) * x))(V), V)


# -- checkpoint


def deep(np_, x, w):
    for _ in range(3):
        x = np_.sin(x * w)
    return np_.sum(x**2)


def test_checkpoint_computes_the_same():
    plain, kept = partial(deep, gnp), gl.checkpoint(partial(deep, gnp))
    args = (V, V + 1)
    same(kept(*args), jax.jit(partial(deep, jnp))(*args))
    same(gl.value_and_grad(kept, (0, 1))(*args), gl.value_and_grad(plain, (0, 1))(*args))
    same(gl.hessian(kept)(*args), gl.hessian(plain)(*args))
    same(gl.jvp(kept, args, args), gl.jvp(plain, args, args))
    same(gl.vmap(gl.grad(kept), (0, None))(M, V), gl.vmap(gl.grad(plain), (0, None))(M, V))
    same(gl.grad(lambda m: gl.vmap(kept, (0, None))(m, V).sum())(M), gl.vmap(gl.grad(plain), (0, None))(M, V))
    same(jax.jit(jax.grad(kept))(*args), gl.grad(plain)(*args))
    same(gl.grad(gl.checkpoint(lambda x: gl.checkpoint(partial(deep, gnp))(x, V)))(V), gl.grad(plain)(V, V))


def test_checkpoint_closes_over_arrays_and_tracers():
    w = jnp.asarray(V + 1)
    kept = gl.checkpoint(lambda x: deep(gnp, x, w))
    same(gl.grad(kept)(V), gl.grad(partial(deep, gnp))(V, w))

    def outer(w, x):
        return gl.checkpoint(lambda x: deep(gnp, x, w))(x)

    same(gl.grad(outer)(w, V), gl.grad(partial(deep, gnp), 1)(V, w))
    same(gl.grad(outer, (0, 1))(w, V)[::-1], gl.grad(partial(deep, gnp), (0, 1))(V, w))


def test_checkpoint_static_arguments():
    kept = gl.checkpoint(lambda x, how: (x**3 if how == "cube" else x).sum(), static_argnums=1)
    same(gl.grad(kept)(V, "cube"), 3 * V**2)
    same(kept(V, "cube"), jnp.asarray((V**3).sum()))


def test_checkpoint_keeps_the_recomputation():
    """XLA would merge it with the first computation but for the barrier; the sines of the chain are written twice."""
    plain = gl.source(gl.grad(partial(deep, gnp)))(V, V)
    kept = gl.source(gl.grad(lambda x, w: gl.checkpoint(partial(deep, gnp))(x, w) * x[0]))(V, V)
    assert "optimization_barrier" not in plain
    assert "optimization_barrier" in kept
    assert kept.count("jnp.sin(") == 2 * plain.count("jnp.sin(")


def test_checkpoint_keeps_only_its_arguments():
    """What vjp_fn holds is what the reverse pass keeps."""
    pull = gl.vjp(gl.checkpoint(partial(deep, gnp)), V, V + 1)[1]
    held_arrays = jax.tree_util.tree_leaves(pull)
    assert len(held_arrays) == 2
    same(held_arrays[0], V)
    same(held_arrays[1], V + 1)
    assert len(jax.tree_util.tree_leaves(gl.vjp(partial(deep, gnp), V, V + 1)[1])) > 2
    same(pull(1.0), gl.grad(partial(deep, gnp), (0, 1))(V, V + 1))


# -- under JAX's own transformations the rules stay


@gl.custom_vjp
def tenfold(x):
    return 3 * x


tenfold.defvjp(lambda x: (3 * x, None), lambda _, ct: (30 * ct,))


@gl.custom_jvp
def scaled(x, n):
    return x * n


@scaled.defjvp
def _scaled_jvp(primals, tangents):
    return scaled(*primals), 100.0 * tangents[0]


FACTOR = jnp.asarray(7.0)


@pytest.mark.parametrize(
    ("function", "x", "expected"),
    [
        (gl.jit(tenfold), 2.0, 30.0),
        (lambda x: gl.vmap(tenfold)(x).sum(), jnp.ones(2), [30.0, 30.0]),
        (gl.jit(lambda x: scaled(x * FACTOR, 3).sum()), jnp.ones(2), [700.0, 700.0]),
        (gl.jit(gl.checkpoint(tenfold)), 2.0, 30.0),
        (gl.jit(gl.grad(lambda x: scaled(x * x, 2))), 3.0, 200.0),
    ],
)
def test_jax_differentiates_by_the_rule(function, x, expected):
    np.testing.assert_allclose(jax.grad(function)(x), expected)
    np.testing.assert_allclose(jax.jit(jax.grad(function))(x), expected)


def test_jax_differentiates_a_rule_that_calls_its_function():
    @gl.custom_jvp
    def sine(x):
        return gnp.sin(x)

    @sine.defjvp
    def _(primals, tangents):
        return sine(*primals), tangents[0] * sine(primals[0] + math.pi / 2)

    np.testing.assert_allclose(jax.grad(jax.grad(gl.jit(sine)))(1.0), -math.sin(1.0))
    np.testing.assert_allclose(jax.vmap(jax.grad(gl.jit(sine)))(jnp.arange(3.0)), np.cos(np.arange(3.0)))
    np.testing.assert_allclose(jax.jvp(gl.jit(sine), (1.0,), (2.0,))[1], 2 * math.cos(1.0))


def test_a_scalar_inside_a_body_that_varies_does_not_recompile():
    @gl.custom_vjp
    def damped(x, rate):
        return x * rate

    damped.defvjp(lambda x, rate: (x * rate, rate), lambda rate, ct: (ct * rate * 2.0, None))

    def of(rate):
        return gl.grad(lambda x: gl.checkpoint(lambda x: (x * (0.1 + rate)).sum())(x) + damped(x, rate).sum())(V)

    gl.cache_clear()
    for rate in (0.1, 0.2, 0.3, 0.4, 0.5):
        np.testing.assert_allclose(of(rate), np.full(3, 0.1 + rate + 2 * rate))
    assert gl.cache_info().compiles <= 2
