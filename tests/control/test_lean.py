"""Loops and branches carry no more than they must; compared as graphs, then as numbers."""

from __future__ import annotations

import numpy as np
import pytest

import gradlab as gl
import gradlab.control.scan as scan_module
import gradlab.numpy as gnp
from gradlab.ir.check import check
from gradlab.passes.pipeline import tidy

from .support import GL, LAX, agree

X = np.array([0.3, -0.7, 1.1])
ROWS = np.linspace(-1.0, 1.0, 12).reshape(4, 3)


def only(f, *args, name="scan"):
    """The one equation of that name in the tidy program, and the program."""
    graph = check(tidy(gl.stage(f)(*args)))
    found = [e for e in graph.eqns if e.prim.name == name]
    assert len(found) <= 1
    return (found[0] if found else None), graph


def shape(eqn):
    """How many consts, carries, slices and stacked results a scan has."""
    loop, body = eqn.params["loop"], eqn.params["body"]
    n, m = loop.n_consts, loop.n_carry
    return n, m, len(body.inputs) - n - m, len(body.outputs) - m


def invariant(lx, a, x, rows):
    def step(c, r):
        p, q, zero = c
        return (p * q + r + zero, q, zero * 1.0), None

    return lx.scan(step, (x, a, a * 0.0), rows)[0]


def constant_results(lx, a, x, rows):
    return lx.scan(lambda c, r: (c * a + r, (a, lx.np.ones(3), r, lx.np.sin(a) * x)), x, rows)[1]


def twice(lx, a, x, rows):
    def step(c, r):
        return (c[0] * r[0] + r[1], c[1] * r[0] + r[1]), (c[0], c[1], c[0])

    return lx.scan(step, (x * a, x * a), (rows, rows))


def spread(lx, a, x, rows):
    same = lx.np.broadcast_to(x, (4, 3))
    return lx.scan(lambda c, r: (c * a + r[0] * r[1], r[2]), x, (same, rows, lx.np.zeros(4)))


def chained(lx, a, x, rows):
    """What is only known to stay the same once another carry is."""

    def step(c, r):
        p, q, s = c
        return (p, q * 1.0, s * q + r), p

    return lx.scan(step, (a, a, x), rows)


def in_step(lx, a, x, rows):
    """p, q and r are one carry, which reads s; u starts as they do and leaves them later; v only starts like s."""

    def step(c, row):
        p, q, r, s, t, u, v = c
        new = lx.np.sin(q) * a + row * s
        return (new, lx.np.sin(p) * a + row * t, a * lx.np.sin(r) + t * row, s + r, t + q, new + u * 0.5, v + u), p

    return lx.scan(step, (x, x, x, x * 0.5, x * 0.5, x, x * 0.5), rows)


def apart(lx, a, x, rows):
    """Each is the other a turn before, but for one step: they are alike until then."""
    return lx.scan(lambda c, row: ((c[1] + row, c[0]), None), (x, x), rows)[0]


def counting(lx, a, x):
    """Two of the carries that the condition reads are one."""

    def turn(s):
        n, m, y, z = s
        return n + 1, m + 1, y * z * a, z * y * a

    if lx is GL:
        return lx.while_loop(lambda s: s[0] + s[1] < 6, turn, (0, 0, x, x))
    return lx.scan(lambda s, _: (turn(s), None), (0, 0, x, x), None, length=3)[0]


def waiting(lx, a, x):
    """A while loop; in JAX, where it has no reverse mode, a scan of the same length."""

    def turn(s):
        return s[0] + 1, s[1] * s[2] * s[3], s[2], s[3]

    if lx is GL:
        return lx.while_loop(lambda s: s[0] < 3 + s[3], turn, (0, x, a, 1.0))
    return lx.scan(lambda s, _: (turn(s), None), (0, x, a, 1.0), None, length=4)[0]


def branches(lx, a, x):
    y = lx.np.sin(x)
    return lx.cond(a > 0, lambda y, x: (y * a, x, 1.0, y * a), lambda y, x: (y + 1, x, 1.0, y + 1), y, x)


SCANS = {  # (consts, carries, slices, stacked)
    "invariant": (invariant, (2, 1, 1, 0)),
    "constant_results": (constant_results, None),
    "twice": (twice, (0, 1, 1, 1)),
    "in_step": (in_step, (1, 4, 1, 1)),
    "apart": (apart, (0, 2, 1, 0)),
    "spread": (spread, (2, 1, 1, 0)),
    "chained": (chained, (1, 1, 1, 0)),
}


@pytest.mark.parametrize("name", SCANS)
def test_scan(name):
    fun, wanted = SCANS[name]
    eqn, _ = only(lambda a, x, rows: fun(GL, a, x, rows), 0.7, X, ROWS)
    assert (eqn and shape(eqn)) == wanted
    if eqn is not None:
        consts, _, rows = eqn.params["loop"].parts(eqn.inputs)
        assert len({*consts, *rows}) == len(consts) + len(rows)


def test_derivatives():
    for name, (fun, _) in SCANS.items():
        agree(fun, (0.7, X, ROWS), second=name == "chained")
    for fun in (waiting, branches, counting):
        agree(fun, (0.7, X), second=fun is waiting)


def test_a_handed_on_carry_has_no_tangent_in_the_loop():
    graph = tidy(gl.stage(gl.grad(lambda a: invariant(GL, a, X, ROWS)[0].sum()))(0.7))
    first, second = (e for e in graph.eqns if e.prim.name == "scan")
    assert shape(first)[1] == 1 and shape(second)[1] == 3  # the sums for q and zero, and p


def test_while_loop():
    eqn, graph = only(lambda a, x: waiting(GL, a, x), 0.7, X, name="while_loop")
    how = eqn.params["how"]
    assert (how.n_cond, how.n_body, len(eqn.outputs)) == (0, 1, 2)
    assert graph.outputs[2] is graph.inputs[0]


def test_a_while_loop_carries_what_is_alike_once():
    eqn, _ = only(lambda a, x: counting(GL, a, x), 0.7, X, name="while_loop")
    assert len(eqn.outputs) == 2


def test_cond():
    eqn, graph = only(lambda a, x: branches(GL, a, x), 0.7, X, name="cond")
    assert len(eqn.outputs) == 1 and graph.outputs[1] is graph.inputs[1]
    assert graph.outputs[0] is graph.outputs[3]


def test_a_known_branch_is_taken():
    def f(x):
        return gl.scan(lambda c, r: (gl.cond(gnp.asarray(True), gnp.sin, gnp.cos, c) + r, None), x, ROWS)[0]

    eqn, _ = only(f, X)
    assert all(e.prim.name != "cond" for e in eqn.params["body"].eqns)


def test_no_body_is_differentiated_twice_alike(monkeypatch):
    asked = []
    true_jvp = scan_module.jvp_graph

    def counted(graph, active):
        asked.append(tuple(active))
        return true_jvp(graph, active)

    monkeypatch.setattr(scan_module, "jvp_graph", counted)
    gl.stage(gl.grad(lambda a: gl.scan(lambda c, r: (gnp.sin(c * a) + r, None), X, ROWS)[0].sum()))(0.31)
    assert len(asked) == len(set(asked)) == 2  # the carry has no tangent at first


def test_lax_agrees_on_the_cases_themselves():
    for fun, _ in SCANS.values():
        for ours, theirs in zip(*(_leaves(fun(lx, 0.7, X, ROWS)) for lx in (GL, LAX)), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-13)


def _leaves(tree):
    return [tree] if not isinstance(tree, tuple) else [leaf for part in tree for leaf in _leaves(part)]
