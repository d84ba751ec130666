"""Rolled loops, seen closely: what comes out of a few turns, and how a trace is numbered."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.control import reroll as module
from gradlab.control import turn
from gradlab.control.code import code_of, code_read
from gradlab.control.reroll import reroll
from gradlab.control.scan import scan_p
from gradlab.ir.check import check
from gradlab.ir.graph import Aval, Graph
from gradlab.passes.dce import dce
from gradlab.trace.builder import Builder

from .support import same

RNG = np.random.default_rng(4)
X = RNG.uniform(0.5, 1.5, 6)
P = RNG.uniform(0.5, 1.5, 6)
ROWS = RNG.uniform(-1.0, 1.0, (12, 6))


def unrolled(fun, args) -> Graph:
    with gl.rerolling(False):
        return gl.stage(fun)(*args)


def test_what_a_few_turns_give_is_not_stacked(monkeypatch):
    """An array of as many rows as are read goes round the loop in place of a stack of all turns."""
    monkeypatch.setattr(turn, "LARGE", 0)

    def ours(x, p):
        some, n = [], gnp.zeros(6, int)
        for t in range(24):
            k = gnp.sin(x) * p
            x = x + 0.1 * k
            n = n + (x > 1.0)
            if t in (3, 10, 11):
                some += [x, n]
            if t == 17:
                some.append(k)
        return *some, x, n

    def theirs(x, p):
        def step(carry, _):
            x, n = carry
            k = jnp.sin(x) * p
            x = x + 0.1 * k
            n = n + (x > 1.0)
            return (x, n), (k, x, n)

        (x, n), (ks, xs, ns) = jax.lax.scan(step, (x, jnp.zeros(6, int)), None, length=24)
        return xs[3], ns[3], xs[10], ns[10], xs[11], ns[11], ks[17], x, n

    def total(fun):
        return lambda x, p: sum(jnp.sum(y * (k + 1.0)) for k, y in enumerate(fun(x, p)[:-1]))

    short = check(reroll(unrolled(ours, (X, P)), least=20))
    (loop,) = [eqn for eqn in short.eqns if eqn.prim is scan_p]
    # Three rows or four (the last turn need not be a whole one), and one for the other turns.
    assert [v.shape for v in loop.outputs if v.ndim > 1] in ([(4, 6)] * 2 + [(2, 6)], [(5, 6)] * 2 + [(2, 6)])
    monkeypatch.setattr(module, "LEAST", 20)
    same(gl.jit(ours)(X, P), theirs(X, P), rtol=1e-13)

    def mine(x, p):
        return sum(gnp.sum(y * (k + 1.0)) for k, y in enumerate(ours(x, p)[:-1]))

    same(gl.grad(mine, (0, 1))(X, P), jax.grad(total(theirs), (0, 1))(X, P), rtol=1e-11)
    same(gl.vmap(gl.grad(mine))(np.stack([X, P]), np.stack([P, X])),
         jax.vmap(jax.grad(total(theirs)))(np.stack([X, P]), np.stack([P, X])), rtol=1e-11)  # fmt: skip
    same(gl.jvp(mine, (X, P), (P, X))[1], jax.jvp(total(theirs), (X, P), (P, X))[1], rtol=1e-11)


def test_a_trace_is_numbered_as_its_graph():
    """Read off the columns of a trace, or equation by equation off the graph: the same program, without dead code."""

    def f(builder, x, p, rows):
        for t in range(9):
            _ = gnp.exp(x) * 3.0  # read by nobody
            q, r = gnp.linalg.qr(rows[:6])
            x = gnp.sin(x) * p + rows[t] * (t + 0.5) + q[t % 6] * r[0]
        return x, p, gnp.concatenate([x[k : k + 1] for k in range(6)])

    for varying in (frozenset(), frozenset((1, 3))):
        builder = Builder()
        with builder:
            outs = [*f(builder, *(builder.input(Aval(a.shape, a.dtype)) for a in (X, P, ROWS))), ROWS]
            outs = [builder.operand(a, None) for a in outs]
        whole = dce(builder.graph(outs, varying))
        read, made = code_read(builder, outs, varying), code_of(whole)
        for name in ("weight", "first", "start", "origin", "size"):
            np.testing.assert_array_equal(getattr(read, name), getattr(made, name), name)
        pairs = set(zip(read.kind.tolist(), made.kind.tolist(), strict=True))
        assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
        assert read.joins == made.joins
        assert Graph(read.inputs, read.eqns, [read.values[n] for n in read.outputs]) == whole
        assert [e.where for e in read.eqns] == [e.where for e in whole.eqns]
