"""Recording: the same operation is written once, closures become inputs, scalars are masked, nothing escapes."""

from __future__ import annotations

import threading

import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.ir.check import check
from gradlab.ir.errors import ConcretizationError, ConversionError, EscapedTracerError, InvalidGraphError, ShapeError
from gradlab.ir.graph import Aval, Lit
from gradlab.lower.compile import evaluate
from gradlab.ops.arith import add, mul
from gradlab.ops.elementwise import sin
from gradlab.ops.families import add_p, mul_p
from gradlab.trace.builder import AMBIENT, LITERAL, Builder, bind
from gradlab.trace.stage import current, inline, trace_graph
from gradlab.trace.tracer import Tracer

F64 = np.dtype("float64")
SCALAR, VEC = Aval((), F64), Aval((3,), F64)


def recorded(fn, *avals):
    """A builder in which `fn` has run, and the graph of its result."""
    builder = Builder()
    with builder:
        out = fn(*[builder.input(aval) for aval in avals])
    return builder, check(builder.graph([out]))


# -- hash-consing


def test_an_operation_is_written_once():
    builder, graph = recorded(lambda x, y: add(mul(x, y), add(sin(mul(x, y)), sin(mul(x, y)))), VEC, VEC)
    assert [eqn.prim.name for eqn in graph.eqns] == ["mul", "sin", "add", "add"]
    assert AMBIENT.stack == ()


def test_literals_are_shared_by_value_dtype_and_shape():
    def fn(x, y):
        same = [mul(x, 2.0), mul(x, 2.0), mul(x, fill := Lit(2.0, VEC)), mul(x, fill)]
        assert len({out.id for out in same}) == 1
        other = [mul(x, -0.0), mul(x, 0.0), mul(y, 2.0), mul(x, 3.0), mul(x, Lit(2.0, VEC._replace(weak=True)))]
        assert len({out.id for out in other}) == len(other)
        nans = [mul(x, float("nan")), mul(x, np.nan)]
        assert nans[0].id == nans[1].id
        return same[0]

    builder, _ = recorded(fn, VEC, SCALAR)
    assert len(builder.scalars) == 7


def test_parameters_tell_operations_apart():
    graph = gl.stage(lambda x: gnp.sum(x, axis=0) + gnp.sum(x, axis=1))(np.ones((3, 3)))
    assert [eqn.prim.name for eqn in graph.eqns] == ["reduce_sum", "reduce_sum", "add"]


def test_scalars_are_masked_in_the_rows():
    """Two programs that differ in a number have the same rows: the cache recognises them."""
    one, g1 = recorded(lambda x: mul(add(x, 1.5), 2.0), VEC)
    two, g2 = recorded(lambda x: mul(add(x, -7.0), 0.25), VEC)
    assert one.rows == two.rows and g1 != g2
    assert [row for row in one.rows if row[0] is LITERAL] == [(LITERAL, VEC)] * 2
    assert [value for _, value in one.scalars] == [1.5, 2.0]
    same, _ = recorded(lambda x: mul(add(x, 2.0), 2.0), VEC)
    assert same.rows != one.rows  # one literal read twice is another program


def test_varying_scalars_become_inputs():
    builder, fixed = recorded(lambda x: mul(add(x, 1.5), 2.0), VEC)
    last, (aval,) = next(reversed(list(builder.memo.values())))
    out = Tracer(aval, builder, last)
    graph = check(builder.graph([out], varying=frozenset([1])))
    assert [str(v.aval) for v in graph.inputs] == ["f64[3]", "f64[]"]
    (want,) = evaluate(fixed, [np.arange(3.0)])
    (got,) = evaluate(graph, [np.arange(3.0), np.float64(2.0)])
    np.testing.assert_array_equal(got, want)


# -- captures


def test_a_closed_over_array_is_an_input_not_a_constant():
    w = jnp.arange(3.0)
    graph = gl.stage(lambda x: x * w + w)(np.ones(3))
    assert [str(v.aval) for v in graph.inputs] == ["f64[3]", "f64[3]"]
    assert not any(type(a) is Lit for eqn in graph.eqns for a in eqn.inputs)


def test_an_outer_tracer_is_captured_by_the_inner_trace():
    outer = Builder()
    with outer:
        x = outer.input(VEC)
        inner = Builder()
        with inner:
            y = inner.input(VEC)
            out = add(mul(x, y), x)
        assert out.builder is inner and [(h.builder, h.id) for _, h in inner.captured] == [(x.builder, x.id)]
        graph = check(inner.graph([out]))
        (result,) = inline(graph, outer, [sin(x), x])
    assert result.builder is outer
    assert [eqn.prim.name for eqn in outer.graph([result]).eqns] == ["sin", "mul", "add"]


def test_a_transformation_must_not_capture():
    w = np.ones(3)
    with pytest.raises(InvalidGraphError, match="captured"):
        trace_graph(lambda builder, x: [bind(add_p, x, w)[0]], [VEC])


def test_numpy_arrays_are_snapshots():
    w = np.arange(3.0)

    def f(x):
        first = x * w
        w[:] = 10.0
        second = x * w
        w[:] = np.arange(3.0)
        return first + second

    assert len(gl.stage(f)(np.ones(3)).inputs) == 3
    w[:] = np.arange(3.0)
    np.testing.assert_array_equal(gl.vmap(f)(np.ones((1, 3)))[0], np.arange(3.0) + 10.0)
    w[:] = np.arange(3.0)
    np.testing.assert_array_equal(gl.grad(lambda x: f(x).sum())(np.ones(3)), np.arange(3.0) + 10.0)


def test_an_array_that_is_written_between_calls_is_read_again():
    w = np.arange(3.0)
    slope = gl.grad(lambda x: (x * w).sum())
    np.testing.assert_array_equal(slope(np.ones(3)), [0.0, 1.0, 2.0])
    w[:] = 5.0
    np.testing.assert_array_equal(slope(np.ones(3)), [5.0, 5.0, 5.0])


# -- where an operation belongs


def test_an_operation_goes_to_the_innermost_trace_of_its_operands():
    outer = Builder()
    with outer:
        x = outer.input(VEC)
        inner = Builder()
        with inner:
            y = inner.input(VEC)
            assert current([x, y]) is inner and current([x]) is outer and current([1.0]) is inner
            assert mul(x, x).builder is outer
            assert bind(mul_p, Lit(1.0, VEC), Lit(2.0, VEC))[0].builder is inner
    with pytest.raises(ConversionError, match="no trace is open"):
        bind(mul_p, Lit(1.0, VEC), Lit(2.0, VEC))


def test_an_error_leaves_no_trace_open():
    def f(x):
        raise KeyError("mine")

    for of in (gl.grad(f), gl.vmap(f), gl.jit(f), gl.stage(f), gl.grad(gl.grad(f))):
        with pytest.raises(KeyError, match="mine"):
            of(np.ones(3))
        assert AMBIENT.stack == ()
    assert gl.grad(lambda x: x * x)(3.0) == 6.0


def test_two_threads_trace_at_once():
    found: dict[int, list[float]] = {k: [] for k in range(4)}
    together = threading.Barrier(4)

    def work(k):
        def f(x):
            y = x * (k + 1.0)
            together.wait(10)
            return y * y

        for _ in range(3):
            found[k].append(float(gl.grad(f)(1.0)))

    threads = [threading.Thread(target=work, args=(k,)) for k in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == {k: [2.0 * (k + 1) ** 2] * 3 for k in found}


# -- escape


def escape() -> Tracer:
    kept = []
    gl.grad(lambda x: kept.append(x * 2.0) or x * x)(3.0)
    return kept[0]


ESCAPES = {
    "a function of it": lambda x: sin(x),
    "an operator": lambda x: x + 1.0,
    "two of them": lambda x: x * x,
    "its value": lambda x: float(x),
    "another trace": lambda x: gl.grad(lambda y: y * x)(1.0),
    "a result": lambda x: gl.grad(lambda y: x)(1.0),
}


@pytest.mark.parametrize("name", ESCAPES)
def test_a_tracer_does_not_outlive_its_trace(name):
    with pytest.raises(EscapedTracerError, match="return it as a result instead"):
        ESCAPES[name](escape())
    assert AMBIENT.stack == ()


def test_an_error_names_the_users_line():
    with pytest.raises(ShapeError, match="test_builder.py") as caught:
        recorded(lambda x, y: bind(add_p, x, y)[0], VEC, SCALAR)
    assert str(caught.value).count("\n  at ") == 1


# -- values


def test_the_value_asked_for_is_computed_from_what_it_needs():
    ran = []

    def counting(graph, inputs):
        ran.append([eqn.prim.name for eqn in graph.eqns])
        return evaluate(graph, inputs)

    builder = Builder(counting)
    with builder:
        x = builder.input(SCALAR, 3.0)
        unused, needed = sin(x), mul(add(x, 1.0), 2.0)
        assert float(needed) == 8.0 and bool(needed) and float(needed) == 8.0
        assert ran == [["add", "mul"]]
        assert float(mul(needed, needed)) == 64.0
        assert ran[1:] == [["mul"]]
        assert unused.aval == SCALAR


def test_no_value_no_answer():
    builder = Builder()
    with builder:
        x = builder.input(SCALAR)
        for ask in (bool, float, int, complex, Tracer.item, Tracer.tolist):
            with pytest.raises(ConcretizationError, match=r"(?s)has none.*at .*test_builder.py"):
                ask(x)
        with pytest.raises(ValueError, match=r"\.any\(\) or \.all\(\)"):
            bool(builder.input(VEC))
        with pytest.raises(ConversionError, match=r"\(x == item\)\.any\(\)"):
            _ = 1.0 in x
        with pytest.raises(ConversionError, match="Leave it out"):
            np.asarray(x)
        with pytest.raises(TypeError, match="len"):
            len(x)
