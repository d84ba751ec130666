"""Python loops become scans: the program that was rolled computes what it was, in value and gradient, and is short."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.control import reroll as module
from gradlab.control.code import code_of
from gradlab.control.repeats import windows
from gradlab.control.reroll import reroll
from gradlab.control.scan import scan_p
from gradlab.ir.check import check
from gradlab.ir.graph import Graph
from gradlab.lower.compile import Executable
from gradlab.ops.table import packed, table, table_p

from .support import same

RNG = np.random.default_rng(4)
X = RNG.uniform(0.5, 1.5, 6)
P = RNG.uniform(0.5, 1.5, 6)
ROWS = RNG.uniform(-1.0, 1.0, (12, 6))
SQUARE = RNG.uniform(-1.0, 1.0, (12, 12))
W = RNG.uniform(-0.5, 0.5, (6, 6))
ODD = (0.3, -0.0, 0.7, -0.2, 0.5, 0.6, 0.9, 0.11, math.inf, 0.13, 0.14, 0.15)


def plain(x, p):
    """Carries only; constants that stay."""
    for _ in range(12):
        k = gnp.sin(x) * p
        x = x + 0.1 * (k + gnp.sin(x + 0.5 * k) * p)
    return x


def begins_with_a_number(w, xs):
    """The first turn starts from a literal; slices advance."""
    h = gnp.zeros(6)
    for t in range(12):
        h = gnp.tanh(w @ h + xs[t])
    return h


def iterates(x, xs):
    for row in xs:
        x = gnp.sin(x) * row + row
    return x


def columns_backwards(x, xs):
    """Slices along the second axis, from the end, every other one; results stacked in reverse."""
    out = []
    for t in reversed(range(0, 12, 2)):
        x = gnp.sin(x) * xs[:6, t] + xs[t, 6:] * x
        out.append(x)
    return gnp.stack(out[::-1])


def blocks(x, xs):
    """Slices of several elements that tile the array."""
    for t in range(6):
        x = gnp.cos(gnp.sin(x) * 1.5) + xs[2 * t : 2 * t + 2, :3].reshape(6)
    return x


def overlapping(x, xs):
    """Slices that overlap have no common stack, and are copied into one."""
    for t in range(8):
        x = gnp.sin(x) * xs[t : t + 2, 0].sum() + xs[t : t + 3, 1].sum()
    return x


def constants(x):
    """Numbers that differ: a progression, a table, a condition."""
    for k in range(12):
        x = gnp.sin(x) * (k + 1) + gnp.arctan(x) * ODD[k] + gnp.where(k % 2 == 0, x, 0.5)
    return gnp.where(gnp.isfinite(x), x, 1.0) * gnp.sin(x[0])


def collects(x):
    """Per-turn results: stacked along both axes, concatenated, read one by one, summed; the last is the carry."""
    out, sums = [], []
    for _ in range(12):
        x = gnp.sin(x) * 1.5 + x
        out.append(x)
        sums.append(gnp.sum(x * x))
    joined = gnp.concatenate(out)
    return gnp.stack(out), gnp.stack(out, axis=1), joined, out[3], gnp.array(sums), sum(sums), x


def ends_inside(x):
    """What the last turn made on the way is read after it."""
    for _ in range(12):
        k = gnp.cos(x) * 0.5
        x = gnp.sin(k) + x
    return x, k


def looks_back(x):
    """Values from three turns ago."""
    a = [x, x * 2.0, x * 3.0]
    for _ in range(12):
        a.append(gnp.sin(a[-1]) * a[-3] + a[-2] * 0.5)
    return a[-1], a[-2], a[-4]


def trapezia(x, xs):
    """A slice is read in two turns."""
    for t in range(11):
        x = x + 0.5 * (xs[t] + xs[t + 1]) * gnp.sin(x)
    return x


def shares(x, p):
    """What does not change is computed in the first turn, and only there."""
    for _ in range(12):
        x = gnp.sin(x) * gnp.exp(-p) + gnp.cos(p) * x * 0.5
    return x


def sets_items(x):
    """Item assignment at places that advance, reading what was assigned before."""
    y = gnp.zeros(12).at[0].set(x[0])
    for t in range(1, 12):
        y = y.at[t].set(gnp.sin(y[t - 1]) * 0.5 + x[t % 6] * y[t - 1])
    return y


def twice(x, p, q):
    """Two loops of one body one after the other."""
    for _ in range(12):
        x = gnp.sin(x) * p + x
    for _ in range(12):
        x = gnp.sin(x) * q + x
    return x


def nested(x, xs):
    """An inner loop over data that are sliced once; between the inner loops something else."""
    for _ in range(7):
        for t in range(12):
            x = gnp.sin(x) * xs[t] + gnp.cos(x) * xs[t, 0]
        x = gnp.tanh(x * x)
    return x


def layers(x, ps):
    """Parameters of their own for each turn."""
    for w, b in ps:
        x = x @ w + b
        for _ in range(2):
            x = gnp.tanh(x) * gnp.exp(-x * x) + gnp.sin(x) / (1.0 + x * x) - gnp.cos(b * x)
            x = gnp.log1p(x * x) * gnp.arctan(x) - gnp.sqrt(1.0 + x * x) + gnp.tanh(b - x)
    return x


def branches(x):
    """Loops inside: a turn holds a scan and a branch."""
    for _ in range(12):
        x, _ = gl.scan(lambda c, _: (gnp.sin(c) + 0.1, None), x, None, length=3)
        x = gl.cond(x.sum() > 1.0, lambda x: x * 0.5, lambda x: x + 1.0, x)
    return x


CASES = {
    "plain": (plain, (X, P), 3),
    "begins with a number": (begins_with_a_number, (W, ROWS), 1),
    "iterates": (iterates, (X, ROWS), 1),
    "columns backwards": (columns_backwards, (X, SQUARE), None),
    "blocks": (blocks, (X, SQUARE), 4),
    "overlapping": (overlapping, (X, SQUARE), None),
    "constants": (constants, (X,), None),
    "collects": (collects, (X,), None),
    "ends inside": (ends_inside, (X,), 1),
    "looks back": (looks_back, (X,), 9),
    "trapezia": (trapezia, (X, ROWS), 4),
    "shares": (shares, (X, P), 9),
    "sets items": (sets_items, (X,), None),
    "twice": (twice, (X, P, X), 2),
    "nested": (nested, (X, ROWS), None),
    "layers": (layers, (X, [(W + 0.1 * k, P) for k in range(7)]), None),
    "branches": (branches, (X,), 1),
}


def of(fun):
    """One number of all the results."""

    def total(*args):
        leaves = jax.tree.leaves(fun(*args))
        return sum(gnp.sum(gnp.sin(y) * (k + 1.3)) for k, y in enumerate(leaves))

    return total


def scans(graph: Graph) -> int:
    return sum((eqn.prim is scan_p) + sum(scans(g) for _, g in eqn.graphs) for eqn in graph.eqns)


def unrolled(fun, args) -> Graph:
    with gl.rerolling(False):
        return gl.stage(fun)(*args)


@pytest.mark.parametrize("name", CASES)
def test_same_values(name):
    fun, args, n = CASES[name]
    long = unrolled(fun, args)
    short = check(reroll(long, least=20))
    assert scans(short) > (name == "branches")
    assert len(short.eqns) <= (len(long.eqns) / 1.7 if n is None else n)
    leaves = jax.tree.leaves(args)
    both = jax.jit(lambda *xs: (Executable(long).fn(*xs), Executable(short).fn(*xs)))
    same(*both(*leaves), name, rtol=1e-13)


@pytest.mark.parametrize("name", [n for n in CASES if n not in ("branches", "two")])
def test_same_gradients(name, monkeypatch):
    """The gradient of the rolled loop is that of the one JAX unrolls."""
    fun, args, _ = CASES[name]
    monkeypatch.setattr(module, "LEAST", 20)
    argnums = tuple(range(len(args)))

    def ours(*args):
        return gl.grad(of(fun), argnums)(*args)

    def theirs(*args):
        with gl.rerolling(False):
            return gl.grad(of(fun), argnums)(*args)

    assert scans(gl.stage(ours)(*args)) > 0
    check(gl.stage(ours)(*args))
    same(jax.jit(ours)(*args), jax.jit(theirs)(*args), name, rtol=1e-10)


def test_outer_loops_are_rolled_too():
    short = reroll(unrolled(nested, (X, ROWS)), least=20)
    (outer,) = [eqn for eqn in short.eqns if eqn.prim is scan_p]
    assert outer.params["loop"].length == 7
    (inner,) = [eqn for eqn in outer.params["body"].eqns if eqn.prim is scan_p]
    assert inner.params["loop"].length == 12
    assert short.inputs[1] in outer.inputs  # the data themselves: nothing is copied


def test_nothing_to_roll():
    def f(x):
        for k in range(100):
            x = gnp.roll(gnp.sin(x), k)
        return x

    graph = unrolled(f, (np.arange(200.0),))
    assert scans(reroll(graph, least=20)) == 0
    small = unrolled(plain, (X, P))
    assert reroll(small) is small  # too small to be worth it


def test_arrays_are_copied_only_where_it_pays():
    """A few large layers stay as they are; what has to come out of a stack again costs compilation as well."""

    def network(x, ws):
        for w in ws:
            x = gnp.tanh(w @ x)
        return x

    few = (np.ones(300), [np.ones((300, 300))] * 9)
    assert scans(reroll(unrolled(network, few), least=10)) == 0
    many = (np.ones(4), [np.ones((4, 4))] * 60)
    assert scans(reroll(unrolled(network, many), least=10)) == 0
    # Captured arrays are constants: their cotangents are not asked for.
    assert scans(reroll(unrolled(network, many), n_own=1, least=10)) == 1


def test_it_can_be_switched_off():
    def f(x):
        for _ in range(200):
            x = gnp.sin(x) * 1.5 + x
        return gnp.sum(x)

    assert scans(gl.stage(f)(X)) == 1
    assert scans(gl.stage(gl.grad(f))(X)) == 2
    assert "while" not in gl.jit(f, reroll=False).lower(X).as_text()
    assert "while" in gl.jit(f).lower(X).as_text()
    assert "while" not in gl.jit(gl.grad(f), reroll=False).lower(X).as_text()
    eager = gl.grad(f)(X)
    with gl.rerolling(False):
        assert scans(gl.stage(gl.grad(f))(X)) == 0
        with pytest.raises(ZeroDivisionError), gl.rerolling(True):
            raise ZeroDivisionError
        assert scans(gl.stage(f)(X)) == 0
        np.testing.assert_allclose(gl.grad(f)(X), eager, rtol=1e-9)
    assert scans(gl.stage(f)(X)) == 1


def test_it_stays_switched_off_inside_another_trace():
    def f(x):
        for _ in range(200):
            x = gnp.sin(x) * 1.5 + x
        return gnp.sum(x)

    kept = gl.jit(f, reroll=False)

    def around(x):
        for _ in range(200):
            x = gnp.cos(x) + x
        return kept(x) * 2.0

    def reference(x):
        x = jax.lax.fori_loop(0, 200, lambda _, x: jnp.cos(x) + x, x)
        return 2.0 * jax.lax.fori_loop(0, 200, lambda _, x: jnp.sin(x) * 1.5 + x, x).sum()

    def loops(fun):
        return str(jax.make_jaxpr(fun)(X)).count("scan[")

    assert loops(gl.jit(kept)) == loops(gl.grad(kept)) == loops(gl.jit(gl.grad(kept))) == 0
    assert loops(gl.jit(gl.vmap(gl.grad(lambda x: kept(x * X))))) == 0
    assert loops(gl.jit(gl.grad(gl.jit(f)))) > 0
    both = gl.jit(gl.grad(around))
    assert loops(gl.jit(around)) == 1 <= loops(both)
    assert str(jax.make_jaxpr(both)(X)).count(" cos ") > 150
    same(both(X), jax.grad(reference)(X), rtol=1e-9)


def test_derivatives_of_every_kind():
    """A long loop under each transformation against the loop of jax.lax."""

    def ours(x, p):
        for t in range(60):
            x = x + 0.02 * (gnp.sin(x) * p - 0.1 * x * x) * (1.0 + 0.1 * t)
        return x

    def theirs(x, p):
        def step(x, t):
            return x + 0.02 * (jnp.sin(x) * p - 0.1 * x * x) * (1.0 + 0.1 * t), None

        return jax.lax.scan(step, x, jnp.arange(60.0))[0]

    def results(library, f, total):
        return (
            f(X, P),
            library.jvp(f, (X, P), (P, X))[1],
            library.grad(total, (0, 1))(X, P),
            library.hessian(total)(X, P),
            library.vmap(library.grad(total))(np.stack([X, P]), np.stack([P, X])),
        )

    got = jax.jit(lambda: results(gl, ours, lambda x, p: gnp.sum(gnp.sin(ours(x, p)))))()
    want = jax.jit(lambda: results(jax, theirs, lambda x, p: jnp.sum(jnp.sin(theirs(x, p)))))()
    same(got, want, rtol=1e-11)
    same(gl.grad(lambda x, p: gnp.sum(gnp.sin(ours(x, p))), (0, 1))(X, P), want[2], rtol=1e-11)


def test_data_that_are_closed_over():
    """Rows of an array that is no argument of the differentiated function are one array again."""

    def loss(w, xs):
        h = gnp.zeros(6)
        for t in range(xs.shape[0]):
            h = gnp.tanh(w @ h + xs[t])
        return gnp.sum(h)

    many = np.tile(ROWS, (6, 1))
    gradient = gl.stage(gl.jit(gl.grad(loss)))(W, many)
    assert scans(gradient) == 2
    assert len(gradient.eqns) < 20
    with gl.rerolling(False):
        want = gl.grad(loss)(W, many)
    np.testing.assert_allclose(gl.grad(loss)(W, many), want, rtol=1e-11)


def test_scalars_that_change_do_not_read_the_loop_again():
    def f(x, rate):
        for _ in range(100):
            x = x - rate * gnp.sin(x) * 2.5
        return gnp.sum(x)

    for rate in (0.1, 0.2, 0.3):
        want = jax.grad(lambda x, r=rate: jax.lax.fori_loop(0, 100, lambda _, x: x - r * jnp.sin(x) * 2.5, x).sum())(X)
        np.testing.assert_allclose(gl.grad(lambda x, r=rate: f(x, r))(X), want, rtol=1e-12)
    before = gl.cache_info().compiles
    gl.grad(lambda x: f(x, 0.4))(X)
    assert gl.cache_info().compiles == before


def test_a_body_is_made_once():
    """Two hundred inner loops share one body, so that the outer loop is found."""

    def f(x):
        for _ in range(20):
            for _ in range(30):
                x = gnp.sin(x) * 1.5 + x
            x = gnp.cos(x)
        return x

    graph = reroll(unrolled(f, (X,)), least=50)
    (outer,) = graph.eqns
    assert outer.params["loop"].length == 20
    assert [e.prim.name for e in outer.params["body"].eqns] == ["scan", "cos"]


def test_the_finder_sees_the_period():
    graph = unrolled(begins_with_a_number, (W, ROWS))
    (found,) = windows(code_of(graph), 20)
    assert (found.trips, found.period, found.start) == (12, 5, 0)


def test_table():
    numbers = (0.1, -0.0, math.nan, -math.inf, 1e300)
    for dtype in ("float64", "float32", "complex64", "bool", "int32"):
        values = numbers if dtype[0] in "fc" else (1, 0, 1)

        graph = gl.stage(lambda x, v=values, d=dtype: (x, table(v, d)))(X)
        assert [eqn.prim for eqn in graph.eqns] == [table_p]
        (_, got) = Executable(check(graph)).jitted(X)
        with np.errstate(over="ignore"):
            want = np.array(values, dtype)
        assert got.dtype == want.dtype
        assert np.asarray(got).tobytes() == want.tobytes()
    assert packed([0.0], np.dtype("float64")) != packed([-0.0], np.dtype("float64"))
    assert "bytes" in str(graph)
