"""Running: what the cache keeps and what it forgets, that eager is Python, that nothing is left behind, and threads."""

from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.api import calling
from gradlab.lower.compile import LRU
from gradlab.trace.builder import AMBIENT
from tests.api.support import same

V = np.array([0.3, -1.2, 2.0])


@pytest.fixture
def cache():
    gl.cache_clear()
    yield gl.cache_info
    assert AMBIENT.stack == ()


@pytest.fixture
def small_cache(monkeypatch):
    """The caches with room for eight programs each."""
    caches = {name: LRU(8) for name in ("EXECUTABLES", "TRANSFORMED")}
    for name, made in caches.items():
        monkeypatch.setattr(calling, name, made)
    return caches["EXECUTABLES"]


# -- scalars that change


def test_a_learning_rate_that_changes_does_not_recompile(cache):
    """The first value is compiled in, the second makes it an input; after that nothing is compiled."""
    for step in range(10):
        rate = 0.1 / (step + 1)
        same(gl.grad(lambda x: (x * x * rate).sum())(V), 2 * V * rate)  # noqa: B023
    info = cache()
    assert info.compiles == 2 and info.misses == 1 and info.hits == 9 and info.currsize == 1


@pytest.mark.parametrize(
    ("transform", "wanted"),
    [
        (lambda f: gl.jvp(f, (2.0,), (1.0,))[1], lambda c: c),
        (lambda f: gl.value_and_grad(f)(2.0)[0], lambda c: 2 * c),
        (lambda f: gl.vmap(f)(V)[0], lambda c: 0.3 * c),
        (lambda f: gl.jacobian(f)(2.0), lambda c: c),
        (lambda f: gl.hessian(lambda x: f(x * x))(2.0), lambda c: 2 * c),
        (lambda f: gl.vjp(f, 2.0)[1](1.0)[0], lambda c: c),
        (lambda f: gl.linearize(f, 2.0)[1](1.0), lambda c: c),
    ],
    ids=["jvp", "value_and_grad", "vmap", "jacobian", "hessian", "vjp", "linearize"],
)
def test_so_it_is_under_every_transformation(transform, wanted, cache):
    for c in (3.0, 4.0, 5.0, 6.0, 3.0):
        np.testing.assert_allclose(transform(lambda x: x * c), wanted(c))  # noqa: B023
        compiled = cache().compiles
        if c == 4.0:
            after_two = compiled
    assert cache().compiles == after_two


def test_two_scalars_that_change_at_different_times(cache):
    for a, b in [(1.0, 2.0), (3.0, 2.0), (3.0, 4.0), (5.0, 6.0), (1.0, 2.0)]:
        same(gl.grad(lambda x: (x * a + x * x * b).sum())(V), a + 2 * b * V)  # noqa: B023
    assert cache().compiles == 3


def test_scalars_are_told_apart():
    """-0.0 is not 0.0, a nan is a nan, True is not 1, and an int is not a float."""
    for c, wanted in [(0.0, np.inf), (-0.0, -np.inf), (0.0, np.inf), (np.nan, np.nan), (2.0, 0.5), (np.nan, np.nan)]:
        np.testing.assert_equal(float(gl.grad(lambda x: x / c)(1.0)), wanted)  # noqa: B023
    for c in (1, True, 1.0, 2, False, 0.0, np.float32(1.0), np.int8(3), 1):
        got = gl.value_and_grad(lambda x: (x * c).sum())(V.astype("float32"))  # noqa: B023
        same(got, jax.value_and_grad(lambda x: (x * c).sum())(jnp.asarray(V.astype("float32"))), rtol=1e-6)  # noqa: B023
    for c in (3, 2, 3, 5):
        assert gl.grad(lambda x: x**c)(2.0) == c * 2.0 ** (c - 1)  # noqa: B023
    for c in (np.inf, -np.inf, 1e300, 5e-324):
        np.testing.assert_equal(float(gl.grad(lambda x: x * c)(1.0)), c)  # noqa: B023


def test_a_scalar_that_becomes_an_input_keeps_its_type():
    for c in (2, 3, 4):
        got = gl.jvp(lambda x: x * c, (np.float32(1.5),), (np.float32(1.0),))  # noqa: B023
        assert {x.dtype.name for x in got} == {"float32"} and got[1] == c
    for flag in (True, False, True):
        got = gl.grad(lambda x: (gnp.where(flag, x, 2 * x)).sum())(V)  # noqa: B023
        same(got, np.full(3, 1.0 if flag else 2.0))


def test_a_scalar_that_becomes_an_input_stays_weak():
    """The dtype of what is made of a result must not depend on what the cache has seen."""
    for c in (2.0, 3.0, 4.0):
        value, grad = gl.value_and_grad(lambda x: x * c * x)(2.0)  # noqa: B023
        assert value.weak_type and grad.weak_type and (grad * jnp.float32(1)).dtype == "float32"
    for c, wanted in [(1.0, 1.0), (2.0, 2.0), (1e300, np.inf)]:  # out of float32's range: inf, without a warning
        assert gl.grad(lambda x: x * c)(np.float32(1)) == wanted  # noqa: B023


# -- the cache


def test_the_cache_is_bounded_and_forgets_what_was_used_longest_ago(small_cache):
    def power(n):
        fun = lambda x: x  # noqa: E731
        for _ in range(n):
            fun = (lambda f: lambda x: f(x) * x)(fun)
        return gl.grad(fun)(1.0)

    for n in range(1, 20):
        assert power(n) == n + 1
        assert len(small_cache) <= 8
    assert gl.cache_info().currsize == gl.cache_info().maxsize == 8
    before = gl.cache_info()
    power(19)
    assert gl.cache_info().hits == before.hits + 1
    power(1)
    assert gl.cache_info().misses == before.misses + 1


def test_cache_clear(cache):
    gl.grad(lambda x: x * x)(2.0)
    assert cache().currsize == 1
    gl.cache_clear()
    assert cache()[:4] == (0, 0, 0, 0)
    assert gl.grad(lambda x: x * x)(2.0) == 4.0


def test_many_graphs_do_not_grow_memory(small_cache):
    """Hundreds of different programs: no more than the cache's bound of them stay alive."""
    alive = []

    def program(k):
        fun = lambda x: (gnp.zeros(k % 17) + x).sum() * x + (x * gnp.ones((k // 17 + 1, 2))).sum()  # noqa: E731
        # made and transformed, not compiled: XLA is not what is tested here
        reading = calling.Reading(lambda tracers: fun(*tracers), [2.0])
        reading.take(reading.result)
        made, _ = reading.program(("grad", k), lambda graph: calling.Program(graph))
        alive.append(
            (weakref.ref(made), weakref.ref(reading.builder)) if _weak(reading.builder) else (weakref.ref(made),)
        )

    for k in range(300):
        program(k)
    gc.collect()
    assert sum(refs[0]() is not None for refs in alive) <= 8
    assert sum(len(refs) > 1 and refs[1]() is not None for refs in alive) == 0


def _weak(x):
    try:
        weakref.ref(x)
    except TypeError:
        return False
    return True


def test_a_call_leaves_no_tracer_alive():
    """What the function closed over, and its arguments, die with the call."""

    class Held(np.ndarray):
        pass

    x = V.view(Held)
    ref = weakref.ref(x)
    gl.grad(lambda x: (x * x).sum())(x)
    del x
    gc.collect()
    assert ref() is None


# -- eager is Python


def test_python_runs_at_every_call():
    seen = []

    def fun(x):
        seen.append(len(seen))
        return x * 2.0

    for _ in range(3):
        gl.grad(fun)(1.0)
        gl.jvp(fun, (1.0,), (1.0,))
    assert seen == list(range(6))


def test_closed_over_arrays_changed_between_calls(cache):
    for table in (np.array([1.0, 2.0, 3.0]), jnp.asarray(V)):
        f = gl.grad(lambda x: (x * table).sum())  # noqa: B023
        same(f(V), np.asarray(table))
    table = np.array([1.0, 2.0, 3.0])
    f = gl.grad(lambda x: (x * table).sum())
    same(f(V), np.array([1.0, 2.0, 3.0]))
    table[0] = 7.0
    same(f(V), np.array([7.0, 2.0, 3.0]))
    table = table * 2
    same(f(V), np.array([14.0, 4.0, 6.0]))
    assert cache().compiles == 1


def test_closed_over_arrays_changed_during_a_call():
    table = np.array([1.0, 2.0, 3.0])

    def fun(x):
        y = (x * table).sum()
        table[0] += 1.0
        z = (x * x * table).sum()
        table[:] = 0.0
        return y + z

    same(gl.grad(fun)(V), np.array([1.0, 2.0, 3.0]) + 2 * V * np.array([2.0, 2.0, 3.0]))
    same(gl.grad(fun)(V), 2 * V * np.array([1.0, 0.0, 0.0]))


def test_a_vjp_fn_keeps_the_point():
    """What is written into an array later does not move it."""
    x = V.copy()
    pull, push = gl.vjp(lambda x: x * x, x)[1], gl.linearize(lambda x: x * x, x)[1]
    x[:] = 100.0
    same(pull(np.ones(3)), (2 * V,))
    same(push(np.ones(3)), 2 * V)


def test_randomness_is_drawn_anew():
    rng = np.random.default_rng(0)
    f = gl.grad(lambda x: (x * rng.normal(size=3)).sum())
    first, second = f(V), f(V)
    assert not np.allclose(first, second)


# -- exceptions


class Own(Exception):
    pass


def failing(x):
    y = gnp.sin(x)
    if AMBIENT.stack:
        raise Own
    return y


@pytest.mark.parametrize(
    "call",
    [
        lambda: gl.grad(failing)(1.0),
        lambda: gl.jvp(failing, (1.0,), (1.0,)),
        lambda: gl.vjp(failing, 1.0),
        lambda: gl.hessian(failing)(V),
        lambda: gl.vmap(failing)(V),
        lambda: gl.jit(failing)(V),
        lambda: gl.stage(failing)(V),
        lambda: gl.grad(lambda x: gl.grad(failing)(x) + x)(1.0),
        lambda: gl.grad(lambda x: gl.vmap(failing)(x).sum())(V),
        lambda: gl.grad(gl.checkpoint(failing))(1.0),
        lambda: gl.linear_transpose(failing, V)(V),
        lambda: gl.grad(lambda x: gl.jit(failing)(x))(1.0),
    ],
)
def test_an_exception_leaves_nothing_behind(call):
    for _ in range(2):
        with pytest.raises(Own):
            call()
        assert AMBIENT.stack == ()
    assert gl.grad(lambda x: x * x)(3.0) == 6.0
    assert not calling.FRESH.on


def test_an_exception_caught_inside_the_function():
    """An inner derivative that fails does not disturb the outer one."""

    def fun(x):
        try:
            y = gl.grad(failing)(x)
        except Own:
            y = x * x
        return y * x

    assert gl.grad(fun)(2.0) == 12.0


def test_an_exception_in_a_custom_rule():
    f = gl.custom_vjp(lambda x: x * 1.0)

    def bwd(residuals, ct):
        raise Own

    f.defvjp(lambda x: (x * 1.0, None), bwd)
    for _ in range(2):
        with pytest.raises(Own):
            gl.grad(f)(1.0)
        assert AMBIENT.stack == ()
    g = gl.custom_jvp(lambda x: x * 1.0)
    g.defjvps(lambda t, out, x: 5.0 * t)
    assert gl.grad(g)(1.0) == 5.0


# -- threads


def test_threads_trace_at_once():
    """Eight threads, each with a program of its own, all of them inside a trace at the same time."""
    together = threading.Barrier(8)

    def work(k):
        def fun(x):
            together.wait(timeout=60)
            y = x
            for _ in range(k + 1):
                y = gnp.sin(y) * (k + 1.0)
            inner = gl.grad(lambda z: z * z * y.sum())(x[0])
            together.wait(timeout=60)
            return (y * y).sum() + inner

        return [np.asarray(gl.grad(fun)(V)) for _ in range(3)]

    def oracle(k):
        def fun(x):
            y = x
            for _ in range(k + 1):
                y = jnp.sin(y) * (k + 1.0)
            return (y * y).sum() + 2 * x[0] * y.sum()

        return jax.jit(jax.grad(fun))(V)

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, range(8)))
    for k, got in enumerate(results):
        for one in got:
            np.testing.assert_allclose(one, oracle(k), rtol=1e-9, atol=1e-9)


def test_threads_share_one_cache_entry():
    """The same program with other scalars in each thread."""

    def work(k):
        return [float(gl.grad(lambda x: x * x * (k + 0.5))(float(i))) for i in range(20)]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, range(8)))
    for k, got in enumerate(results):
        assert got == [2.0 * i * (k + 0.5) for i in range(20)]
