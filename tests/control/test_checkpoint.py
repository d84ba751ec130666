"""`checkpoint` keeps what its policy says and computes the rest again; the results are the same under every policy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp

from .support import GL, LAX, agree, same

X = np.array([0.3, -0.7, 1.1])
W = np.array([[0.2, -0.5, 0.1], [0.7, 0.3, -0.4], [-0.3, 0.6, 0.5]])
POLICIES = ("nothing", "everything", "auto", ("middle",), ("nowhere",))


def chain(np_, name, w, x):
    x = name(np_.sin(w @ x), "middle")
    x = np_.tanh(w @ np_.exp(x) * x)
    return np_.where(x > 0, x * np_.cos(w @ x), x)


def called(policy):
    def fun(lx, w, x):
        inside = lambda w, x: chain(lx.np, gl.checkpoint_name if lx is GL else lambda x, _: x, w, x)  # noqa: E731
        kept = lx.checkpoint(inside, policy=policy) if lx is GL else lx.checkpoint(inside)
        return kept(w, x) * x[0], kept(w.T, x * 2.0)

    return fun


def looped(policy):
    """In a scan, with a scan inside."""

    def fun(lx, w, x):
        def step(h, r):
            h = chain(lx.np, gl.checkpoint_name if lx is GL else lambda x, _: x, w, h) + r
            return lx.scan(lambda c, k: (lx.np.sin(c * k), c), h, x)

        kept = lx.checkpoint(step, policy=policy) if lx is GL else lx.checkpoint(step)
        return lx.scan(kept, x, w)

    return fun


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_first_derivatives(policy):
    def both(lib, np_, lx, x):
        total = [lambda x, f=f: np_.sum(f(lx, W, x)[0]) for f in (called(policy), looped(policy))]
        return [lib.value_and_grad(f)(x) for f in total]

    same(*jax.jit(lambda x: (both(gl, gnp, GL, x), both(jax, jnp, LAX, x)))(X))


@pytest.mark.parametrize("fun", [called, looped], ids=lambda f: f.__name__)
def test_every_transformation(fun):
    agree(fun("auto" if fun is called else ("middle",)), (W, X), second=fun is called)


def held(policy):
    """How many arrays the reverse pass finds."""
    kept = gl.checkpoint(lambda x: chain(gnp, gl.checkpoint_name, W, x), policy=policy)
    return len(jax.tree.leaves(gl.vjp(kept, X)[1]))


def test_what_is_kept():
    nothing, everything, named, nowhere = (held(p) for p in ("nothing", "everything", ("middle",), ("nowhere",)))
    plain = len(jax.tree.leaves(gl.vjp(lambda x: chain(gnp, gl.checkpoint_name, W, x), X)[1]))
    assert nothing == nowhere == named - 1 < everything == plain


def test_auto_keeps_products_and_repeats_cheap_work():
    big = jnp.ones((200, 200))

    def f(w, x):
        h = w @ x
        return gnp.sum(gnp.tanh(gnp.abs(h) * h) * gnp.maximum(h, 0.0))

    def held(policy):
        return len(jax.tree.leaves(gl.vjp(gl.checkpoint(f, policy=policy), big, big)[1]))

    assert (held("nothing"), held("auto")) == (2, 3) and held("everything") > 5
    assert "optimization_barrier" not in gl.source(gl.grad(gl.checkpoint(f, policy="everything")))(big, big)


def test_a_named_value_in_a_loop_is_stacked():
    def f(x, policy):
        def step(c, r):
            c = gl.checkpoint_name(gnp.sin(c * r), "sine")
            return gnp.sum(gnp.exp(c)) * gnp.cos(c), None

        return gl.scan(gl.checkpoint(step, policy=policy), x, X)[0].sum()

    def stacked(policy):
        graph = gl.stage(gl.grad(lambda x: f(x, policy)))(X)
        first = next(e for e in graph.eqns if e.prim.name == "scan")
        return len(first.outputs) - first.params["loop"].n_carry

    assert stacked(("sine",)) == stacked("nothing") + 1
    same(gl.grad(lambda x: f(x, ("sine",)))(X), gl.grad(lambda x: f(x, "nothing"))(X), rtol=1e-13)


def test_jax_differentiates_it_too():
    for policy in POLICIES:
        kept = gl.checkpoint(lambda x: chain(jnp, gl.checkpoint_name, W, x).sum(), policy=policy)
        same(jax.grad(kept)(jnp.asarray(X)), jax.grad(lambda x: chain(jnp, lambda x, _: x, W, x).sum())(X), rtol=1e-13)


@pytest.mark.parametrize(
    "policy", ["most", 3, jax.checkpoint_policies.dots_saveable, (3,)], ids=["word", "number", "jax", "tuple"]
)
def test_unknown_policies(policy):
    with pytest.raises(ValueError, match="names"):
        gl.checkpoint(lambda x: x, policy=policy)


def test_a_name_is_a_string():
    with pytest.raises(ValueError, match="a string"):
        gl.checkpoint_name(X, 3)
