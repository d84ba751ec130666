"""`scan`, `map` and `fori_loop` are those of jax.lax, under every transformation and inside each other."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.control.scan import scan_p
from gradlab.passes.pipeline import tidy

from .support import agree, same

X = np.array([0.3, -0.7, 1.1])
ROWS = np.linspace(-1.0, 1.0, 12).reshape(4, 3)
W = np.array([[0.2, -0.5, 0.1], [0.7, 0.3, -0.4], [-0.3, 0.6, 0.5]])


def rnn(lx, w, h, xs):
    def step(h, x):
        h = lx.np.tanh(w @ h + x)
        return h, h.sum() * x

    return lx.scan(step, h, xs)


def pytrees(lx, a, x, rows):
    """Nested containers, an integer and a boolean carry, integer slices, no slices for a part, None."""

    def step(carry, r):
        p, (n, flag), _ = carry
        u, (k, nothing) = r
        assert nothing is None
        q = {"u": lx.np.where(flag, lx.np.sin(p["u"] * a) + u["r"], p["u"]), "v": p["v"] * 0.9 + k * a}
        return (q, (n + k, ~flag), None), {"y": q["u"] + n, "none": None, "flags": (flag, k)}

    init = ({"u": x, "v": a}, (np.int32(2), np.bool_(True)), None)
    ks = np.arange(4, dtype=np.int32)
    return lx.scan(step, init, ({"r": rows}, (ks, None)))


def hoists(lx, a, x, rows):
    """What does not change, carries that stay zero or constant, outputs that do not change, a carry handed on."""

    def step(carry, r):
        c, d, e, before = carry
        k = lx.np.exp(a) * lx.np.sin(x)
        return (c * k + r, d, d * 2.0, c), (k, lx.np.ones(3), a, before, r)

    return lx.scan(step, (x, a, a * 0.0, lx.np.zeros(3)), rows, reverse=True)


def nothing(lx, a, x):
    """Empty carries, empty slices, empty results; no trips."""
    one, ys = lx.scan(lambda c, r: (c, (r * a).sum()), (), x)
    two, none = lx.scan(lambda c, _: (lx.np.sin(c) * a, None), x, None, length=3)
    three, zero = lx.scan(lambda c, r: (c * r * a, c), x, lx.np.zeros((0, 3)))
    four, _ = lx.scan(lambda c, _: (c * a, c), x, None, length=0)
    return one, ys, two, none, three, zero, four


def nested(lx, w, h, xs):
    """A scan, a branch, a checkpoint and functions with rules inside a scan."""

    @lx.custom_jvp
    def twisted(x):
        return lx.np.sin(x)

    twisted.defjvp(lambda primals, tangents: (lx.np.sin(primals[0]), 3.0 * tangents[0] * lx.np.cos(primals[0])))

    def step(h, x):
        inner, total = lx.scan(lambda c, r: (lx.np.sin(c * r), c * h.sum()), x, w)
        pick = lx.cond(total.sum() > 0.0, lambda t: lx.np.sin(t) * w[0], lambda t: lx.np.cos(h) * 2.0, inner)
        again = lx.checkpoint(lambda h, p: lx.np.tanh(w @ h) * lx.np.sin(p))(h, pick)
        return twisted(again) + x, lx.switch(lx.np.int32(x[0] > 0) + 1, [lx.np.sin, lx.np.cos, lx.np.tanh], again)

    return lx.scan(step, h, xs, unroll=2)


def loops(lx, a, x, rows):
    """map, fori_loop over Python numbers, a loop of a known trip count inside a scan."""

    def step(c, r):
        return lx.fori_loop(0, 3, lambda i, v: lx.np.sin(v * a) + i * r, c), None

    mapped = lx.map(lambda r: (r * a, lx.np.dot(r, x)), rows)
    return mapped, lx.fori_loop(2, 5, lambda i, v: (v[0] * a + i, v[1] + 1), (x, 0)), lx.scan(step, x, rows)[0]


def derivatives(lx, w, h, xs):
    """Derivatives and batches of loops inside a loop, of what it closes over too."""

    def step(h, x):
        g = lx.grad(lambda q: rnn(lx, w * q.sum(), q, xs[:2])[0].sum())(h)
        v = lx.vmap(lambda q: rnn(lx, w, q * h, xs[:2])[0].sum())(xs[:2])
        return lx.np.tanh(g * h) + x, v.sum() * x

    return lx.scan(step, h, xs[:3])


def prefixes(lx, a, x, rows):
    """associative_scan of pytrees, of odd, even and short lengths, backwards, along another axis."""

    def affine(p, q):
        return {"k": q["k"] * p["k"], "b": q["k"] * p["b"] + q["b"]}

    one = lx.associative_scan(affine, {"k": rows * a, "b": rows + x}, reverse=True)
    two = lx.associative_scan(lambda p, q: p * q, rows * a, axis=-1)
    short = [lx.associative_scan(lambda p, q: p + q * a, x[:n]) for n in (0, 1, 2)]
    return one, two, short, lx.associative_scan(lx.np.add, lx.np.concatenate([x, x, x[:1]]))


CASES = {
    "prefixes": (prefixes, (0.7, X, ROWS)),
    "rnn": (rnn, (W, X, ROWS)),
    "pytrees": (pytrees, (0.7, X, ROWS)),
    "hoists": (hoists, (0.7, X, ROWS)),
    "nothing": (nothing, (0.7, X)),
    "nested": (nested, (W, X, ROWS)),
    "loops": (loops, (0.7, X, ROWS)),
    "derivatives": (derivatives, (W, X, ROWS)),
}


@pytest.mark.parametrize("name", CASES)
def test_every_transformation(name):
    fun, args = CASES[name]
    agree(fun, args, second=name not in ("derivatives", "nested"))


def test_outside_a_trace_it_is_that_of_jax():
    got = gl.scan(lambda c, r: (c + r, c * r), 0.0, jnp.arange(4.0))
    same(got, jax.lax.scan(lambda c, r: (c + r, c * r), 0.0, jnp.arange(4.0)))

    def f(a, x):
        return gl.scan(lambda c, r: (gnp.sin(c * a) + r, None), a, x)[0]

    x = jnp.asarray(X)
    wanted = jax.grad(lambda a: jax.lax.scan(lambda c, r: (jnp.sin(c * a) + r, None), a, x)[0])(jnp.float64(0.4))
    for found in (jax.grad(f)(0.4, x), gl.grad(f)(0.4, X), gl.jit(gl.grad(f))(0.4, X), jax.jit(gl.grad(f))(0.4, X)):
        np.testing.assert_allclose(found, wanted, rtol=1e-12)
    np.testing.assert_allclose(jax.vmap(gl.grad(f), (0, None))(jnp.array([0.4, 0.1]), x)[0], wanted, rtol=1e-12)
    outer = gl.grad(lambda b: gl.grad(lambda a: gl.scan(lambda c, r: (c * a * b + r, None), a, X)[0])(0.4))(0.3)
    plain = jax.grad(lambda b: jax.grad(lambda a: jax.lax.scan(lambda c, r: (c * a * b + r, None), a, x)[0])(0.4))(0.3)
    np.testing.assert_allclose(outer, plain, rtol=1e-12)


def test_the_last_stacked_carry_is_the_carry():
    def f(a, reverse):
        ys = gl.scan(lambda c, r: (gnp.sin(c * a) + r,) * 2, a, X, reverse=reverse)[1]
        return ys[0] if reverse else ys[-1]

    for reverse in (False, True):
        text = gl.source(lambda a, reverse=reverse: f(a, reverse))(0.4)
        assert ", None" in text and "reshape" not in text
        wanted = gl.grad(
            lambda a, reverse=reverse: gl.scan(lambda c, r: (gnp.sin(c * a) + r, None), a, X, reverse=reverse)[0]
        )
        np.testing.assert_allclose(gl.grad(lambda a, reverse=reverse: f(a, reverse))(0.4), wanted(0.4), rtol=1e-14)


def test_a_scalar_that_changes_does_not_recompile():
    def loss(a, k):
        return gl.scan(lambda c, r: (gnp.sin(c * a) * k + r, None), a, X)[0]

    for k in (1.5, 2.5):
        gl.grad(lambda a, k=k: loss(a, k))(0.3)
    before = gl.cache_info().compiles
    found = [float(gl.grad(lambda a, k=k: loss(a, k))(0.3)) for k in (3.5, 4.5)]
    assert gl.cache_info().compiles == before and found[0] != found[1]


def test_source_runs_on_its_own():
    def f(a, x):
        return gl.scan(lambda c, r: (gnp.sin(c * a) + r, c * r), a, x)[1].sum()

    scope = {}
    exec(gl.source(gl.grad(f))(0.4, X), scope)
    np.testing.assert_allclose(scope["grad_f"](jnp.asarray(0.4), X)[0], gl.grad(f)(0.4, X), rtol=1e-14)


WRONG = {
    "structure": (lambda c, x: ((c, c), None), X, "same nesting"),
    "type": (lambda c, x: (c.astype("float32"), None), X, "f64.* in the carry, f32"),
    "no pair": (lambda c, x: c, X, r"Return \(carry, None\)"),
    "lengths": (lambda c, x: (c, None), (X, ROWS), "one length"),
    "no axis": (lambda c, x: (c, None), 1.0, "first axis"),
    "no length": (lambda c, x: (c, None), None, "length="),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors(name):
    step, xs, remedy = WRONG[name]
    with pytest.raises(gl.ir.errors.GradlabError, match=remedy):
        gl.jit(gl.grad(lambda a: gl.scan(step, a[0], xs)[0]))(X)


def weighted(w, b, xs):
    def step(h, x):
        h = gnp.tanh(h @ w + x + b)
        return h, (h**2).sum()

    return gl.scan(step, gnp.zeros(12), xs)[1].sum()


def test_the_gradient_by_a_matrix_is_one_product_after_the_loop():
    """The matrix goes round no loop, and nothing changes in value, in second order or under vmap."""
    rng = np.random.default_rng(0)
    w, b, xs = rng.standard_normal((12, 12)) / 4, rng.standard_normal(12), rng.standard_normal((7, 12))
    graph = tidy(gl.stage(gl.grad(weighted))(w, b, xs))
    carried = [v.shape for e in graph.eqns if e.prim is scan_p for v in e.outputs[: e.params["loop"].n_carry]]
    assert (12, 12) not in carried and any(e.prim.name == "dot_general" for e in graph.eqns)

    def in_jax(w, b, xs):
        def step(h, x):
            h = jnp.tanh(h @ w + x + b)
            return h, (h**2).sum()

        return jax.lax.scan(step, jnp.zeros(12), xs)[1].sum()

    def second(grad):
        return lambda w: (grad(w, b, xs) ** 2).sum()

    got = gl.jit(lambda w: (gl.grad(weighted)(w, b, xs), gl.grad(second(gl.grad(weighted)))(w)))(w)
    want = jax.jit(lambda w: (jax.grad(in_jax)(w, b, xs), jax.grad(second(jax.grad(in_jax)))(w)))(w)
    for x, y in zip(got, want, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-10, atol=1e-12)
    many = np.stack([w, w.T])
    got = gl.jit(gl.vmap(gl.grad(weighted), in_axes=(0, None, None)))(many, b, xs)
    np.testing.assert_allclose(got[1], gl.grad(weighted)(w.T, b, xs), rtol=1e-10, atol=1e-12)
