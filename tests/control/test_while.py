"""`while_loop` is that of jax.lax forwards; backwards it is exact for any trip count, in memory that does not grow."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.ir.check import check

from .support import GL, LAX, agree, same

X = np.array([0.3, -0.7, 1.1])


def repeated(lx, n, a, x):
    """A while loop in gradlab; for JAX, which has no reverse mode of one, a scan that stops changing after n turns."""

    def turn(c, k):
        return lx.np.sin(c * a) + 0.1 * x * k

    if lx is GL:
        return lx.while_loop(lambda s: s[0] < n, lambda s: (s[0] + 1, turn(s[1], s[0])), (0, x))[1]
    return lx.scan(lambda c, k: (lx.np.where(k < n, turn(c, k), c), None), x, lx.np.arange(9))[0]


def doubling(lx, a, x):
    """A condition on what moves; a carry that the derivative does not concern; a closure in the condition."""

    def going(s):
        return (s["y"].sum() < 40.0 + a) & (s["n"] < 8)

    def turn(s):
        return {"y": s["y"] * (1.5 + a * a), "n": s["n"] + 1, "z": s["z"] * s["y"] * a}

    start = {"y": x * x, "n": np.int32(0), "z": lx.np.ones(3)}
    if lx is GL:
        return lx.while_loop(going, turn, start)
    where = lambda s: jax.tree.map(lambda new, old: lx.np.where(going(s), new, old), turn(s), s)  # noqa: E731
    return lx.scan(lambda s, _: (where(s), None), start, None, length=8)[0]


def inside(lx, a, x):
    """A branch, a loop and another while loop inside; a while loop inside a scan."""

    def inner(c, n):
        if lx is GL:
            return lx.while_loop(lambda s: s[0] < n, lambda s: (s[0] + 1, lx.np.sin(s[1]) * a + x), (0, c))[1]
        return lx.scan(lambda c, k: (lx.np.where(k < n, lx.np.sin(c) * a + x, c), None), c, lx.np.arange(3))[0]

    def turn(c, k):
        c = lx.cond(c[0] > 0.2, lambda t: lx.np.cos(t) * a, lambda t: t * t, c)
        c = lx.scan(lambda h, r: (lx.np.tanh(h * r + x), None), c, x)[0]
        return inner(c, k)

    if lx is GL:
        y = lx.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, turn(s[1], s[0])), (0, x))[1]
    else:
        y = lx.scan(lambda c, k: (turn(c, k), None), x, lx.np.arange(3))[0]
    return y, lx.scan(lambda c, r: (inner(c, 2) * r, c), x, x)


@pytest.mark.parametrize("fun", [doubling, inside], ids=lambda f: f.__name__)
def test_every_transformation(fun):
    agree(fun, (0.4, X), second=fun is doubling)


def test_a_batched_trip_count():
    agree(repeated, (np.int32(3), 0.4, X), (1, 2), (0, None, 0))
    f, g = (lambda n, a, lx=lx: repeated(lx, n, a, X).sum() for lx in (GL, LAX))
    ns = np.array([0, 5, 2], np.int32)
    same(
        gl.jit(gl.vmap(gl.value_and_grad(f, 1), (0, None)))(ns, 0.4),
        jax.jit(jax.vmap(jax.value_and_grad(g, 1), (0, None)))(ns, jnp.float64(0.4)),
    )


@pytest.mark.parametrize("checkpoints", [1, 2, 3, None])
def test_reverse_mode_is_exact_for_any_trip_count(checkpoints):
    def last(n, a):
        def turn(s):
            return s[0] + 1, gnp.sin(s[1] * a) + s[2] * a, s[2] * 0.999

        return gl.while_loop(lambda s: s[0] < n, turn, (0, a * a, 1.0 + a), checkpoints=checkpoints)[1]

    @jax.jit
    def both(n, a):
        return gl.grad(last, 1)(n, a), gl.jvp(lambda a: last(n, a), (a,), (1.0,))[1]

    for n in (0, 1, 2, 7, 31, 353) if checkpoints != 1 else (0, 1, 2, 7, 31):
        backward, forward = both(n, 0.9)
        np.testing.assert_allclose(backward, forward, rtol=1e-12)


def test_reverse_mode_equals_that_of_a_scan_and_memory_is_flat():
    def turn(c, a):
        return gnp.sin(c * a) + 0.1

    def looped(n, a, checkpoints=8):
        return gl.while_loop(lambda s: s[0] < n, lambda s: (s[0] + 1, turn(s[1], a)), (0, a), checkpoints=checkpoints)[
            1
        ]

    run = jax.jit(gl.grad(looped, 1)).lower(1, 0.9).compile()
    wanted = jax.jit(
        jax.grad(lambda a: jax.lax.scan(lambda c, _: (jnp.sin(c * a) + 0.1, None), a, None, length=353)[0])
    )
    np.testing.assert_allclose(run(353, 0.9), wanted(0.9), rtol=1e-12)
    assert run.memory_analysis().temp_size_in_bytes < 4000
    long = gl.jvp(lambda a: looped(100_000, a), (0.9,), (1.0,))[1]
    np.testing.assert_allclose(run(100_000, 0.9), long, rtol=1e-11)


def test_few_numbers_go_forwards():
    """No state is kept and no turn run again: the gradient is one loop, and a product."""

    def f(n, a, x, k):
        start = (0, x * a if k > 1 else x, gnp.asarray(1.0) + (a if k > 1 else 0.0))
        turn = lambda s: (s[0] + 1, gnp.sin(s[1] * a) + s[2] * 0.1, s[2] * 0.9)  # noqa: E731
        return gnp.sum(gl.while_loop(lambda s: s[0] < n, turn, start)[1])

    for x, k in ((X, 1), (0.3, 1), (0.3, 3)):
        g = gl.grad(lambda n, a, x=x, k=k: f(n, a, x, k), 1)
        assert [e.prim.name for e in gl.stage(g)(3, 0.5).eqns].count("while_loop") == 1
        for n in (0, 1, 9):
            wanted = gl.jvp(lambda a, n=n, x=x, k=k: f(n, a, x, k), (0.5,), (1.0,))[1]
            np.testing.assert_allclose(g(n, 0.5), wanted, rtol=1e-13, atol=1e-15)
        twice = gl.grad(g, 1)(5, 0.5)
        h = 1e-5
        np.testing.assert_allclose(twice, (g(5, 0.5 + h) - g(5, 0.5 - h)) / (2 * h), rtol=1e-7)
    many = gl.stage(gl.grad(lambda n, a: f(n, a, np.ones(6), 1), 1))(3, np.ones(6))
    assert [e.prim.name for e in many.eqns].count("while_loop") > 1


def test_what_no_cotangent_reaches_is_not_kept():
    def f(n, a):
        return gl.while_loop(lambda s: s[0] < n, lambda s: (s[0] + 1, s[1] * 2.0), (0, gl.stop_gradient(a)))[1] * a

    graph = check(gl.stage(gl.grad(f, 1))(3, 0.5))
    assert [e.prim.name for e in graph.eqns].count("while_loop") == 1


def test_a_bound_that_is_traced():
    def f(lx, n, a):
        return lx.fori_loop(1, n, lambda i, v: lx.np.sin(v * a) + i, a)

    got = jax.jit(gl.grad(lambda n, a: f(GL, n, a), 1))(5, 0.3)
    same(got, jax.jit(jax.grad(lambda a: f(LAX, 5, a)))(jnp.float64(0.3)))
    same(jax.jit(gl.grad(lambda n, a: f(GL, n, a), 1))(np.int8(5), 0.3), got)
    assert float(gl.grad(lambda n, a: f(GL, n, a), 1)(0, 0.3)) == 1.0


WRONG = {
    "structure": (lambda s: (s[0], s[0]), "same nesting", lambda s: s[0] < 3),
    "type": (lambda s: (s[0] + 1, s[1].astype("float32"), s[2]), r"\[1\].*float|f64.*f32|astype", lambda s: s[0] < 3),
    "shape": (
        lambda s: (s[0] + 1, s[1], gnp.ones(3) * s[2]),
        r"start from an array of the final type",
        lambda s: s[0] < 3,
    ),
    "predicate": (lambda s: s, r"Compare, and reduce", lambda s: s[0]),
    "array": (lambda s: s, r"\.any\(\)", lambda s: gnp.ones(3) * s[1] > 0),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors(name):
    body, remedy, going = WRONG[name]
    with pytest.raises(gl.ir.errors.GradlabError, match=remedy):
        gl.grad(lambda a: gl.while_loop(going, body, (0, a, a * 1.0))[1])(0.5)


def test_checkpoints_must_be_positive():
    with pytest.raises(ValueError, match="at least one"):
        gl.grad(lambda a: gl.while_loop(lambda c: c < 1, lambda c: c * 2, a, checkpoints=0))(0.5)
