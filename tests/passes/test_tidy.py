"""dce, cse, fold, simplify and rewrite: what is left of a graph, and that no bit of its values changed."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradlab.ir.check import check
from gradlab.ir.graph import Aval, Eqn, Graph, Lit
from gradlab.lower.compile import Executable
from gradlab.ops.arith import add, div, maximum, minimum, mul, neg, quotient, sub
from gradlab.ops.compare import lt, select
from gradlab.ops.convert import convert
from gradlab.ops.elementwise import sin
from gradlab.ops.families import add_p, broadcast_p, mul_p, neg_p, permute_p, reduce_sum_p, reshape_p
from gradlab.ops.sort import sort
from gradlab.passes.cse import cse
from gradlab.passes.dce import dce
from gradlab.passes.fold import fold
from gradlab.passes.pipeline import CANONICAL, tidy
from gradlab.passes.rewrite import rewrite
from gradlab.passes.simplify import simplify
from gradlab.trace.builder import bind1
from gradlab.trace.stage import trace_graph
from tests.support import QUICK

F64 = np.dtype("float64")
VEC, SCALAR = Aval((3,), F64), Aval((), F64)
MATRIX = Aval((2, 3), F64)


def staged(fn: Callable, *avals: Aval) -> Graph:
    def run(builder, *xs):
        ys = fn(*xs)
        return ys if isinstance(ys, tuple) else (ys,)

    return check(trace_graph(run, avals))


def names(graph: Graph) -> list[str]:
    return [eqn.prim.name for eqn in graph.eqns]


def raw(prim, x, **params):
    """A primitive as a rule or a user might bind it, no thin function in between."""
    return bind1(prim, x, **params)


def lit(value, aval=VEC) -> Lit:
    return Lit(value, aval)


# -- dce


def test_dce_keeps_what_is_read():
    def fn(x):
        sin(sin(x))
        neg(mul(x, x))
        return add(x, 1.0)

    graph = staged(fn, VEC)
    assert names(graph) == ["sin", "sin", "mul", "neg", "add"]
    assert dce(graph) == staged(lambda x: add(x, 1.0), VEC)


def test_dce_keeps_an_equation_for_one_of_its_outputs():
    graph = staged(lambda x, y: sort(x, y, axis=0)[1], VEC, VEC)
    assert dce(graph) is graph


def test_dce_and_the_others_leave_a_tidy_graph_alone():
    graph = staged(lambda x: sin(add(x, 1.0)), VEC)
    assert all(one(graph) is graph for one in CANONICAL)
    unused = staged(lambda x, y: x, VEC, VEC)
    assert tidy(unused) is unused and len(unused.inputs) == 2


# -- cse


def doubled(*parts: Callable) -> Graph:
    """Each part computed in a trace that shares nothing: equal expressions stand there twice."""
    graphs = [staged(part, VEC, VEC) for part in parts]
    first = graphs[0].inputs
    eqns, outs = [], []
    for graph in graphs:
        instead = dict(zip(graph.inputs, first, strict=True))
        for eqn in graph.eqns:
            eqns.append(eqn._replace(inputs=tuple(instead.get(a, a) for a in eqn.inputs)))
        outs += [instead.get(a, a) for a in graph.outputs]
    return check(Graph(first, eqns, outs))


SHARED = {
    "the same": (lambda x, y: sin(add(x, y)), lambda x, y: sin(add(x, y)), 2),
    "swapped operands of one that commutes": (lambda x, y: mul(x, y), lambda x, y: mul(y, x), 1),
    "swapped operands of one that does not": (lambda x, y: sub(x, y), lambda x, y: sub(y, x), 2),
    "a comparison": (lambda x, y: lt(x, y), lambda x, y: lt(y, x), 2),
    "what follows from it": (lambda x, y: sin(mul(x, y)), lambda x, y: sin(mul(y, x)), 2),
    "other literals": (lambda x, y: mul(x, 0.0), lambda x, y: mul(x, -0.0), 2),
    "NaN": (lambda x, y: mul(x, math.nan), lambda x, y: mul(x, float("nan")), 1),
    "other parameters": (
        lambda x, y: raw(reshape_p, x, shape=(3, 1)), lambda x, y: raw(reshape_p, x, shape=(1, 3)), 2,
    ),
    "the same parameters": (
        lambda x, y: raw(reshape_p, x, shape=(3, 1)), lambda x, y: raw(reshape_p, x, shape=(3, 1)), 1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SHARED)
def test_cse(name):
    one, two, count = SHARED[name]
    graph = check(cse(doubled(one, two)))
    assert len(graph.eqns) == count
    assert (graph.outputs[0] is graph.outputs[1]) == (count == len(staged(one, VEC, VEC).eqns))
    assert cse(graph) is graph


# -- fold: in the dtype it would have had

F32, BF16 = Aval((3,), np.dtype("float32")), Aval((3,), jnp.dtype(jnp.bfloat16))
U8, I32, C64 = Aval((3,), np.dtype("uint8")), Aval((3,), np.dtype("int32")), Aval((3,), np.dtype("complex64"))
BOOLS = Aval((3,), np.dtype(bool))
FOLDED = {
    "float32 rounds": (lambda: add(lit(1.0, F32), lit(1e-9, F32)), 1.0),
    "float32 overflows": (lambda: mul(lit(3e38, F32), lit(10.0, F32)), math.inf),
    "float32 tenths": (lambda: mul(lit(0.1, F32), lit(3.0, F32)), float(np.float32(0.1) * np.float32(3.0))),
    "bfloat16 rounds": (lambda: add(lit(256.0, BF16), lit(1.0, BF16)), 256.0),
    "uint8 wraps": (lambda: add(lit(250, U8), lit(10, U8)), 4),
    "int32 wraps": (lambda: mul(lit(2**30, I32), lit(4, I32)), 0),
    "unsigned negation": (lambda: neg(lit(1, U8)), 255),
    "NaN propagates": (lambda: maximum(lit(1.0, F32), lit(math.nan, F32)), math.nan),
    "zero by zero": (lambda: div(lit(0.0, F32), lit(0.0, F32)), math.nan),
    "signed zero": (lambda: mul(lit(0.0, F32), lit(-1.0, F32)), -0.0),
    "the smaller": (lambda: minimum(lit(2, I32), lit(-1, I32)), -1),
    "a choice": (lambda: select(lit(True, BOOLS), lit(1.0, F32), lit(2.0, F32)), 1.0),
    "a stretch": (lambda: raw(broadcast_p, lit(2.5, SCALAR), shape=(3,), axes=()), 2.5),
    "complex": (lambda: mul(lit(1 + 2j, C64), lit(-1j, C64)), 2 - 1j),
    "all of it": (lambda: add(mul(lit(2.0), lit(3.0)), neg(lit(1.0))), 5.0),
}


@pytest.mark.parametrize("name", FOLDED)
def test_fold(name):
    make, value = FOLDED[name]
    graph = staged(lambda x: make(), VEC)
    folded = check(fold(graph))
    assert folded.eqns == () and folded.out_avals == graph.out_avals
    (out,) = folded.outputs
    assert type(out) is Lit and repr(out.value) == repr(value)
    got, want = jax.jit(lambda x: (*Executable(folded).fn(x), *Executable(graph).fn(x)), compiler_options=QUICK)(
        np.ones(3)
    )
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got, want)


UNFOLDED = {
    "an operand that is no literal": lambda x: mul(x, 2.0),
    "no rule": lambda x: sin(lit(1.0)),
    "integer division": lambda x: quotient(lit(1, I32), lit(0, I32)),
    "out of range": lambda x: convert(lit(1e30), dtype="int32"),
}


@pytest.mark.parametrize("name", UNFOLDED)
def test_fold_leaves(name):
    graph = staged(UNFOLDED[name], VEC)
    assert fold(graph) is graph


# -- simplify


def rule(fn, result, *avals):
    """A program, and what it becomes."""
    return fn, result, avals or (VEC, VEC)


SIMPLER = {
    "x * 1": rule(lambda x, y: mul(x, 1.0), lambda x, y: x),
    "1 * x": rule(lambda x, y: mul(lit(1.0), x), lambda x, y: x),
    "x * -1": rule(lambda x, y: mul(x, -1.0), lambda x, y: neg(x)),
    "-x * -y": rule(lambda x, y: mul(neg(x), neg(y)), lambda x, y: mul(x, y)),
    "--x": rule(lambda x, y: neg(neg(x)), lambda x, y: x),
    "----x": rule(lambda x, y: neg(neg(neg(neg(x)))), lambda x, y: x),
    "x + -0.0": rule(lambda x, y: add(x, -0.0), lambda x, y: x),
    "-0.0 + x": rule(lambda x, y: add(lit(-0.0), x), lambda x, y: x),
    "x + -y": rule(lambda x, y: add(x, neg(y)), lambda x, y: sub(x, y)),
    "-x + y": rule(lambda x, y: add(neg(x), y), lambda x, y: sub(y, x)),
    "x - 0": rule(lambda x, y: sub(x, 0.0), lambda x, y: x),
    "x - -y": rule(lambda x, y: sub(x, neg(y)), lambda x, y: add(x, y)),
    "a rule's result is simplified again": rule(lambda x, y: add(neg(neg(x)), neg(neg(y))), lambda x, y: add(x, y)),
    "a stretch to the same": rule(lambda x, y: raw(broadcast_p, x, shape=(3,), axes=(0,)), lambda x, y: x),
    "a stretch of a stretch": rule(
        lambda x, y: raw(broadcast_p, raw(broadcast_p, x, shape=(2, 3), axes=(1,)), shape=(2, 4, 3), axes=(0, 2)),
        lambda x, y: raw(broadcast_p, x, shape=(2, 4, 3), axes=(2,)),
    ),
    "a reshape to the same": rule(lambda x, y: raw(reshape_p, x, shape=(3,)), lambda x, y: x),
    "a reshape there and back": rule(
        lambda x, y: raw(reshape_p, raw(reshape_p, x, shape=(3, 1)), shape=(3,)), lambda x, y: x
    ),
    "a reshape of a reshape": rule(
        lambda x, y: raw(reshape_p, raw(reshape_p, x, shape=(3, 1)), shape=(1, 3)),
        lambda x, y: raw(reshape_p, x, shape=(1, 3)),
    ),
    "an order that is none": rule(lambda x: raw(permute_p, x, order=(0, 1)), lambda x: x, MATRIX),
    "a transpose of a transpose": rule(
        lambda x: raw(permute_p, raw(permute_p, x, order=(1, 0)), order=(1, 0)), lambda x: x, MATRIX
    ),
    "an order of an order": rule(
        lambda x: raw(permute_p, raw(permute_p, x, order=(2, 0, 1)), order=(0, 2, 1)),
        lambda x: raw(permute_p, x, order=(2, 1, 0)),
        Aval((2, 3, 4), F64),
    ),
    "a sum over nothing": rule(lambda x, y: raw(reduce_sum_p, x, axes=()), lambda x, y: x),
}  # fmt: skip


def special(aval: Aval, shift: int) -> np.ndarray:
    """Numbers among which inexact algebra shows: signed zeros, infinities, NaN, the largest and the smallest.

    No subnormal: XLA's arithmetic on a CPU flushes those to zero, and no arithmetic at all does not.
    """
    numbers = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.5, -2.5, 2.3e-308, 1.7e308])
    return np.resize(np.roll(numbers, shift), aval.shape) if aval.shape != (3,) else np.roll(numbers, shift)[:3]


@pytest.mark.parametrize("name", SIMPLER)
def test_simplify(name):
    fn, result, avals = SIMPLER[name]
    graph = staged(fn, *avals)
    simpler = dce(check(simplify(graph)))
    assert simpler == dce(staged(result, *avals))
    assert simplify(simpler) is simpler
    before, after = Executable(graph).fn, Executable(simpler).fn
    with jax.disable_jit():
        for shift in range(0, 9, 2):
            values = [jnp.asarray(special(a, shift * (k + 1))) for k, a in enumerate(avals)]
            np.testing.assert_array_equal(_bits(before(*values)[0]), _bits(after(*values)[0]))


def _bits(x) -> np.ndarray:
    x = np.asarray(x)
    return np.where(np.isnan(x), np.nan, x).view(np.int64) if x.dtype == F64 else x


INEXACT = {
    "x * 0": lambda x, y: mul(x, 0.0),
    "x + 0.0": lambda x, y: add(x, 0.0),
    "0.0 + x": lambda x, y: add(lit(0.0), x),
    "x - -0.0": lambda x, y: sub(x, -0.0),
    "x - x": lambda x, y: sub(x, x),
    "x / x": lambda x, y: div(x, x),
    "x / y * y": lambda x, y: mul(div(x, y), y),
    "x + y - y": lambda x, y: sub(add(x, y), y),
    "(x + 1) + 1": lambda x, y: add(add(x, 1.0), 1.0),
    "x * 2 * 3": lambda x, y: mul(mul(x, 2.0), 3.0),
    "0 - x": lambda x, y: sub(lit(0.0), x),
    "-(x - y)": lambda x, y: neg(sub(x, y)),
    "x * y + x * z": lambda x, y: add(mul(x, y), mul(x, sin(y))),
}


@pytest.mark.parametrize("name", INEXACT)
def test_what_is_not_exact_is_not_done(name):
    graph = staged(INEXACT[name], VEC, VEC)
    assert simplify(graph) is graph


def test_simplify_keeps_the_type():
    weak = Aval((3,), F64, True)
    graph = staged(lambda x: mul(x, Lit(1.0, VEC)), weak)
    assert check(simplify(graph)).out_avals == graph.out_avals == (VEC,)


# -- rewrite


def test_rewrite_offers_every_equation_once_and_again_after_a_change():
    graph = staged(lambda x: neg(sin(neg(x))), VEC)
    seen = []

    def watch(eqn, made):
        seen.append((eqn.prim.name, {v: e.prim.name for v, e in made.items()}))
        return None

    assert rewrite(graph, watch) is graph
    assert [name for name, _ in seen] == ["neg", "sin", "neg"]
    assert [len(made) for _, made in seen] == [0, 1, 2]

    def turn(eqn, made):
        return Eqn(mul_p, (eqn.inputs[0], lit(-1.0)), eqn.outputs, {}, eqn.where) if eqn.prim is neg_p else None

    turned = check(rewrite(graph, turn))
    assert names(turned) == ["mul", "sin", "mul"] and turned.eqns[0].where == graph.eqns[0].where


def test_rewrite_follows_replacements_into_the_results():
    graph = staged(lambda x: (add(x, 1.0), mul(add(x, 1.0), 2.0)), VEC)
    gone = check(rewrite(graph, lambda eqn, made: (graph.inputs[0],) if eqn.prim is add_p else None))
    assert gone == staged(lambda x: (x, mul(x, 2.0)), VEC)


def test_rewrite_does_not_mutate():
    graph = staged(lambda x, y: sub(mul(neg(x), neg(y)), 0.0), VEC, VEC)
    text, key = str(graph), graph.key
    assert names(dce(simplify(graph))) == ["mul"]
    assert str(graph) == text and graph.key == key
