"""`jit(f, branches="specialize")` computes what `f` does, whichever way its `if` and `while` go, at a jitted price."""

from __future__ import annotations

from itertools import cycle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.api import specialize
from gradlab.ir.errors import GradlabError
from gradlab.ir.graph import Aval
from gradlab.trace.asking import EXACT, TRUTH, WHOLE, as_bytes, from_bytes, in_bytes

X = np.array([0.3, -0.7, 1.1])


class Counted:
    """A function that counts how often Python ran it."""

    def __init__(self, fun):
        self.fun, self.calls = fun, 0
        self.__name__ = fun.__name__

    def __call__(self, *args, **kwargs):
        self.calls += 1
        return self.fun(*args, **kwargs)


def newton(a):
    """The square root, until it no longer changes; and how many steps that took."""
    x, step, steps = a, 1.0 + 0.0 * a, 0
    while abs(step) > 1e-10:
        step = (x * x - a) / (2 * x)
        x, steps = x - step, steps + 1
    return x, steps


def test_newton_has_a_program_for_each_number_of_steps():
    fun = Counted(newton)
    root = gl.jit(fun, branches="specialize")
    values = (2.0, 3.0, 100.0, 2.0, 2.5, 3.0, 100.0, 2.0)
    for a in values:
        x, steps = root(a)
        assert isinstance(x, jax.Array)
        assert (float(x), int(steps)) == (np.sqrt(a), newton(a)[1])
    assert fun.calls == len({newton(a)[1] for a in values}) == 3


def test_a_derivative_inside_and_outside():
    inside = Counted(lambda a: gl.grad(lambda a: newton(a)[0])(a))
    inside.__name__ = "inside"
    slope = gl.jit(inside, branches="specialize")
    for a in (2.0, 3.0, 2.1, 100.0, 2.0):
        np.testing.assert_allclose(slope(a), 0.5 / np.sqrt(a), rtol=1e-12)
    assert inside.calls == 3
    root = gl.jit(newton, branches="specialize")
    np.testing.assert_allclose(gl.grad(lambda a: root(a)[0])(2.0), 0.5 / np.sqrt(2.0), rtol=1e-12)
    curvature = gl.jit(gl.hessian(lambda a: root(a)[0]), branches="specialize")
    np.testing.assert_allclose([curvature(2.0), curvature(3.0)], [-0.25 * 2**-1.5, -0.25 * 3**-1.5], rtol=1e-12)


def branchy(params, x, *, shift, mode="up"):
    """A pytree, a static argument, keywords, several guards that depend on one another, an index."""
    y = params["w"] * x + shift
    if y.sum() > 0:
        y = gnp.sin(y)
        if y[0] > 0.5:
            y = y * 2
    elif mode == "up":
        y = -y
    for _ in range(int(params["n"])):
        y = y * 1.5
    return {"y": y, "mask": y[y > 0.1], "at": x[params["n"].__index__()]}


def test_trees_keywords_and_static_arguments():
    fast = gl.jit(branchy, branches="specialize", static_argnames=("mode",), max_specializations=20)
    for _ in range(2):
        for n in (0, 2):
            for scale in (1.0, -1.0, 4.0):
                for mode in ("up", "down"):
                    params = {"w": np.array([1.0, 2.0, scale]), "n": np.int64(n)}
                    got = fast(params, X, shift=0.1, mode=mode)
                    want = branchy(
                        {"w": jnp.asarray(params["w"]), "n": params["n"]}, jnp.asarray(X), shift=0.1, mode=mode
                    )
                    assert jax.tree.structure(got) == jax.tree.structure(want)
                    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
                        np.testing.assert_allclose(a, b, rtol=1e-13)


def test_types_have_programs_of_their_own():
    fun = Counted(lambda x: x * 2 if x.sum() > 0 else -x)
    fun.__name__ = "fun"
    fast = gl.jit(fun, branches="specialize", max_specializations=2)
    for _ in range(3):
        for x in (X, X[:2], X.astype(np.float32), X[:2] + 5.0, 3.0, -3):
            got = fast(x)
            np.testing.assert_array_equal(got, x * 2 if np.sum(x) > 0 else -np.asarray(x))
            assert got.dtype == jnp.asarray(x).dtype
    assert fun.calls == 6
    fast.clear_cache()
    fast(X)
    assert fun.calls == 7


def test_each_answer_is_guarded_as_it_was_asked_for():
    def fun(x, n):
        if n:  # only whether it is zero
            return x * int(x[0])  # only its whole part
        return x * float(x[1])  # each digit

    counted = Counted(fun)
    fast = gl.jit(counted, branches="specialize")
    for x, n, calls in (
        ([2.2, 1.0], 1, 1), ([2.9, 3.0], 5, 1), ([-0.4, 3.0], 2, 2), ([0.4, 3.0], -1, 2), ([2.2, 1.0], 0, 3),
        ([5.0, 1.0], 0, 3), ([5.0, np.nextafter(1.0, 2.0)], 0, 4), ([1.0, np.nan], 0, 5), ([2.0, -np.nan], 0, 5),
    ):  # fmt: skip
        x = np.array(x)
        np.testing.assert_array_equal(fast(x, n), x * int(x[0]) if n else x * float(x[1]))
        assert counted.calls == calls, (x, n)


def test_a_computed_number_is_guarded_as_the_program_computes_it():
    """The whole program may round a number otherwise than the part of it that Python was told; then that is told."""
    rng = np.random.default_rng(0)

    def fun(x):
        return x * float((x * x).sum() * 1.1 + x[0] / 3)

    counted, xs = Counted(fun), rng.normal(size=(12, 5))
    fast, calls = gl.jit(counted, branches="specialize", max_specializations=12), []
    for _ in range(2):
        for x in xs:
            np.testing.assert_allclose(fast(x), x * ((x * x).sum() * 1.1 + x[0] / 3), rtol=1e-12)
        calls.append(counted.calls)
    assert calls[1] == calls[0]


def test_where_no_program_agrees_with_itself_the_parts_give_the_result(monkeypatch):
    turned = cycle((True, False))
    monkeypatch.setattr(specialize, "in_bytes", lambda values, kinds: in_bytes(values, kinds) ^ next(turned))
    counted = Counted(lambda x: (x * 2, 3) if x > 0 else (x, 4))
    counted.__name__ = "fun"
    fast = gl.jit(counted, branches="specialize", max_specializations=2)
    for calls in (2, 4, 6):
        assert fast(1.5) == (3.0, 3) and counted.calls == calls
    assert fast(-1.5) == (-1.5, 4)


def endless(x):
    """For x <= 1 this goes on for ever."""
    return gl.while_loop(lambda s: s < 1e3, lambda s: s * x, x)


@pytest.mark.parametrize(
    "call",
    [
        endless,
        lambda x: gl.scan(lambda c, r: (endless(c), None), x, None, length=1)[0],
        lambda x: gl.custom_root(lambda r: r - endless(x), x, lambda f, r: r - f(r), lambda g, y: y),
    ],
)
def test_a_wrong_guess_is_never_returned_and_always_ends(call):
    def fun(x):
        return call(x) if x > 1.0 else x * 2

    fast, slope = gl.jit(fun, branches="specialize"), gl.jit(gl.grad(fun), branches="specialize")
    assert [float(fast(x)) for x in (2.0, 0.5, 3.0, 0.9)] == [1024.0, 1.0, 2187.0, 1.8]
    np.testing.assert_allclose([slope(x) for x in (2.0, 0.5, 3.0)], [5120.0, 2.0, 5103.0], rtol=1e-12)


def test_at_most_so_many():
    fast = gl.jit(lambda x, n: x * int(n), branches="specialize", max_specializations=3)
    assert [float(fast(2.0, n)) for n in (1, 2, 3)] == [2.0, 4.0, 6.0]
    with pytest.raises(GradlabError, match=r"(?s)3 ways.*was 4\n.*where before.*gradlab.cond, gradlab.while_loop"):
        fast(2.0, 4)
    assert float(fast(2.0, 2)) == 4.0  # those there are go on


def test_nested_ones_are_one():
    inner = gl.jit(lambda x: x * 2 if x > 0 else x * 3, branches="specialize")
    counted = Counted(lambda x: inner(x) + inner(x - 1) + (0 if x > 5 else 1))
    counted.__name__ = "outer"
    outer = gl.jit(counted, branches="specialize")
    for _ in range(2):
        assert [float(outer(x)) for x in (2.0, 0.5, -1.0, 7.0)] == [7.0, 0.5, -8.0, 26.0]
    assert counted.calls == 4


def test_loops_and_batches_inside_ask_what_is_outside():
    def fun(x, a):
        def turn(c, r):
            return (c * r if a > 0 else c + r), None

        both = gl.vmap(lambda r: r * 2 if a.sum() > 1 else r)(x)
        return gl.scan(turn, a, x)[0], both

    fast = gl.jit(fun, branches="specialize")
    for _ in range(2):
        for a in (0.5, -0.5, 2.0):
            got = fast(X, a)
            np.testing.assert_allclose(got[0], a * X.prod() if a > 0 else a + X.sum(), rtol=1e-12)
            np.testing.assert_allclose(got[1], X * 2 if a > 1 else X)


def test_what_has_no_values_says_so():
    fast = gl.jit(lambda x: x if x > 0 else -x, branches="specialize")
    for call, x in ((jax.jit(fast), 1.0), (jax.grad(fast), 1.0), (gl.vmap(fast), X), (gl.jit(fast), 1.0)):
        with pytest.raises(GradlabError, match="asked for the value of a tracer"):
            call(x)
    straight = gl.jit(lambda x: x * 2, branches="specialize")
    assert jax.grad(straight)(1.0) == 2.0 and straight.lower(1.0) is not None
    assert straight.eval_shape(X).shape == (3,)


def test_arguments():
    with pytest.raises(ValueError, match="Leave it away"):
        gl.jit(newton, branches="specialize", donate_argnums=0)
    with pytest.raises(ValueError, match="at least one"):
        gl.jit(newton, branches="specialize", max_specializations=0)
    with pytest.raises(ValueError, match='"refuse" or "specialize"'):
        gl.jit(newton, branches="follow")
    with pytest.raises(TypeError):
        gl.jit(newton, branches="specialize")(1.0, 2.0)
    with pytest.raises(ZeroDivisionError):
        gl.jit(lambda x: 1 / 0 if x > 0 else x, branches="specialize")(1.0)


@pytest.mark.parametrize(
    "values",
    [
        np.array([True, False]), np.arange(-3, 3, dtype=np.int8), np.array([1 << 40, -5]), np.array(7, np.uint16),
        np.array([0.5, -0.0, np.inf, np.nan]), np.array([1.5, -0.2], np.float32), np.array([1 + 2j, np.nan]),
        np.array([1.5, 2.5], jnp.bfloat16),
    ],
)  # fmt: skip
def test_bytes_here_and_on_the_device(values):
    kinds = [EXACT, TRUTH] + [WHOLE] * (values.dtype.kind == "f")
    got = np.asarray(in_bytes([jnp.asarray(values)] * len(kinds), kinds)).tobytes()
    assert got == b"".join(as_bytes(values, kind) for kind in kinds)
    back = from_bytes(as_bytes(values, EXACT), EXACT, Aval(values.shape, values.dtype))
    np.testing.assert_array_equal(back, values)
