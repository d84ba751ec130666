"""The program: equality and hash by structure, the checks, the printed form, the user's line, the record."""

from __future__ import annotations

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.ir.check import check
from gradlab.ir.errors import GradlabError, InvalidGraphError, MissingRuleError, ShapeError
from gradlab.ir.graph import Aval, Eqn, Graph, Lit, Var, chained, is_inexact, short_dtype
from gradlab.ir.pretty import pretty
from gradlab.ir.primitive import REGISTRY, Primitive, Refused, Text
from gradlab.ir.where import Where, here
from gradlab.ops.families import add_p, mul_p, neg_p, reduce_sum_p, reshape_p

F64, F32 = np.dtype("float64"), np.dtype("float32")
VEC = Aval((3,), F64)


def square_plus(value: float = 1.0, aval: Aval = VEC, names: tuple[str | None, ...] = (None,) * 4) -> Graph:
    """x·y + value, in fresh variables."""
    x, y, xy, out = (Var(aval, name) for name in names)
    eqns = [Eqn(mul_p, (x, y), (xy,), {}), Eqn(add_p, (xy, Lit(value, aval)), (out,), {})]
    return Graph([x, y], eqns, [out])


# -- avals


def test_avals_print_short():
    assert [str(Aval((2, 3), np.dtype(d))) for d in ("float64", "int32", "uint8", "complex64", "bool")] == [
        "f64[2,3]", "i32[2,3]", "u8[2,3]", "c64[2,3]", "bool[2,3]",
    ]  # fmt: skip
    assert str(Aval((), F32, True)) == "f32[]~"
    assert short_dtype(np.dtype(jnp.bfloat16)) == "bf16"
    assert short_dtype(np.dtype(jnp.float8_e4m3fn)) == "float8_e4m3fn"


def test_avals_measure():
    assert (VEC.ndim, VEC.size, Aval((), F64).size, Aval((4, 0), F64).size) == (1, 3, 1, 0)
    assert VEC.reshaped([1, 3]) == Aval((1, 3), F64)
    assert Aval((3,), F64, True).retyped("float32") == Aval((3,), F32)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", jnp.bfloat16, jnp.float8_e5m2, "complex64"])
def test_inexact(dtype):
    assert is_inexact(np.dtype(dtype))


@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool"])
def test_exact(dtype):
    assert not is_inexact(np.dtype(dtype))


# -- equality


def test_equal_programs_are_equal_whatever_their_names():
    one, two = square_plus(), square_plus(names=("a", "b", "c", "d"))
    assert one == two and hash(one) == hash(two) and one.key == two.key
    assert len({one, two}) == 1


def swapped() -> Graph:
    graph = square_plus()
    return Graph(graph.inputs[::-1], graph.eqns, graph.outputs)


OTHERS = {
    "another literal": lambda: square_plus(2.0),
    "an integer literal of that value in another dtype": lambda: square_plus(aval=Aval((3,), F32)),
    "weak": lambda: square_plus(aval=Aval((3,), F64, True)),
    "another shape": lambda: square_plus(aval=Aval((4,), F64)),
    "inputs the other way round": swapped,
    "one more output": lambda: Graph((g := square_plus()).inputs, g.eqns, [*g.outputs, g.inputs[0]]),
    "one equation less": lambda: Graph((g := square_plus()).inputs, g.eqns[:1], g.eqns[0].outputs),
    "a literal result": lambda: Graph((g := square_plus()).inputs, g.eqns, [Lit(0.0, VEC)]),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_programs_are_not_equal(name):
    assert square_plus() != check(OTHERS[name]())
    assert square_plus() != 3


def reshaped(shape: tuple[int, ...]) -> Graph:
    x, y = Var(Aval((4,), F64)), Var(Aval(shape, F64))
    return check(Graph([x], [Eqn(reshape_p, (x,), (y,), {"shape": shape})], [y]))


def test_parameters_count():
    assert reshaped((2, 2)) == reshaped((2, 2)) != reshaped((4, 1))


def test_signed_zeros_and_nans_are_told_apart_as_ieee_does():
    assert square_plus(0.0) != square_plus(-0.0)
    assert square_plus(math.nan) == square_plus(float("nan")) != square_plus(math.inf)
    assert square_plus(0j) != square_plus(complex(0.0, -0.0))


def test_chained_feeds_one_program_into_another():
    first, second = square_plus(), square_plus(5.0)
    eqns, outs = chained(first, second, [first.outputs[0], Lit(2.0, VEC)])
    x, y, a, b, c, d = (Var(VEC) for _ in range(6))
    by_hand = [
        Eqn(mul_p, (x, y), (a,), {}), Eqn(add_p, (a, Lit(1.0, VEC)), (b,), {}),
        Eqn(mul_p, (b, Lit(2.0, VEC)), (c,), {}), Eqn(add_p, (c, Lit(5.0, VEC)), (d,), {}),
    ]  # fmt: skip
    assert check(Graph(first.inputs, eqns, outs)) == Graph([x, y], by_hand, [d])


# -- check

X, Y, Z = Var(VEC, "x"), Var(VEC, "y"), Var(VEC, "z")
ADD = Eqn(add_p, (X, Y), (Z,), {})
NARROW = Var(Aval((3,), F32))
MALFORMED = {
    "an input twice": (Graph([X, X], [], [X]), "the input list defines .* a second time"),
    "used before defined": (Graph([X], [ADD], [Z]), r"equation 0 \(add\) reads Var\(y: f64\[3\]\) before"),
    "used before its equation": (
        Graph([X], [Eqn(neg_p, (Z,), (Y,), {}), Eqn(neg_p, (X,), (Z,), {})], [Y]),
        r"equation 0 \(neg\) reads Var\(z",
    ),
    "defined twice": (Graph([X, Y], [ADD, ADD], [Z]), r"equation 1 \(add\) defines Var\(z.* a second time"),
    "an input redefined": (Graph([X, Y], [Eqn(neg_p, (X,), (Y,), {})], [Y]), r"equation 0 \(neg\) defines Var\(y"),
    "a wrong type": (
        Graph([X], [Eqn(neg_p, (X,), (NARROW,), {})], [NARROW]),
        "is typed .*float32.*infer says .*float64",
    ),
    "a wrong weakness": (
        Graph([X], [Eqn(neg_p, (X,), ((w := Var(Aval((3,), F64, True))),), {})], [w]),
        r"equation 0 \(neg\) is typed",
    ),
    "too few outputs": (Graph([X], [Eqn(neg_p, (X,), (), {})], [X]), r"equation 0 \(neg\) is typed \(\)"),
    "an unknown result": (Graph([X], [], [Y]), "the output list reads Var"),
    "an array as a literal": (
        Graph([X], [Eqn(add_p, (X, Lit(np.ones(3), VEC)), (Z,), {})], [Z]),  # type: ignore[arg-type]
        "holds a literal that is no scalar",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED)
def test_check_finds(name):
    graph, message = MALFORMED[name]
    with pytest.raises(InvalidGraphError, match=message):
        check(graph)


def test_check_lets_infer_speak():
    with pytest.raises(ShapeError, match="one shape and dtype"):
        check(Graph([X, NARROW], [Eqn(add_p, (X, NARROW), (Z,), {})], [Z]))


def test_check_looks_inside():
    graph = gl.stage(gl.checkpoint(lambda x: gnp.sin(x)))(1.0)
    (eqn,) = check(graph).eqns
    (name,) = eqn.prim.graphs
    inner = eqn.params[name]
    broken = Graph(inner.inputs, [], inner.outputs)
    with pytest.raises(InvalidGraphError, match="the output list reads"):
        check(Graph(graph.inputs, [eqn._replace(params={**eqn.params, name: broken})], graph.outputs))


# -- pretty


def test_pretty_is_exact():
    total = Var(Aval((), F64))
    graph = square_plus()
    eqns = [*graph.eqns, Eqn(reduce_sum_p, graph.outputs, (total,), {"axes": (0,)})]
    assert pretty(Graph(graph.inputs, eqns, [total, Lit(2, Aval((), F32))])) == (
        "{ a:f64[3] b:f64[3] ->\n"
        "  c:f64[3] = mul a b\n"
        "  d:f64[3] = add c 1.0:f64[3]\n"
        "  e:f64[] = reduce_sum[axes=(0)] d\n"
        "  return e 2 }"
    )
    assert pretty(Graph([], [], [])) == "{  ->\n  return  }"


def test_pretty_shows_inner_programs_and_lines():
    graph = gl.stage(gl.checkpoint(lambda x: gnp.sin(x)))(1.0)
    text = pretty(graph)
    assert "sin" in text and text.count("{") == 2
    lined = pretty(gl.stage(lambda x: gnp.sin(x))(1.0), lines=True)
    assert lined.splitlines()[1].startswith("  b:f64[]~ = sin a  # ")
    assert "test_graph.py" in lined


def test_pretty_has_names_enough():
    x = Var(VEC)
    eqns, last = [], x
    for _ in range(60):
        out = Var(VEC)
        eqns.append(Eqn(neg_p, (last,), (out,), {}))
        last = out
    lines = pretty(Graph([x], eqns, [last])).splitlines()
    assert [lines[25], lines[26], lines[52]] == ["  z:f64[3] = neg y", "  aa:f64[3] = neg z", "  ba:f64[3] = neg az"]


# -- the user's line


def test_where_knows_the_line_and_the_name():
    def f(x):
        doubled = x * 2.0
        return gnp.sin(doubled)

    graph = gl.stage(f)(1.0)
    first, second = (eqn.where for eqn in graph.eqns)
    assert first.text == "doubled = x * 2.0" and first.assigned == "doubled"
    assert second.text == "return gnp.sin(doubled)" and second.assigned is None
    assert second.lineno == first.lineno + 1 == f.__code__.co_firstlineno + 2
    assert str(first).endswith("in f: doubled = x * 2.0") and "test_graph.py:" in str(first)


def test_where_without_source():
    scope: dict = {}
    exec(compile("def f(x):\n    return x + 1.0\n", "<nowhere>", "exec"), scope)
    (eqn,) = gl.stage(scope["f"])(1.0).eqns
    assert str(eqn.where) == "<nowhere>:2 in f" and eqn.where.text == ""


def test_here_is_this_line():
    where = here()
    assert isinstance(where, Where) and where.text == "where = here()" and where.assigned == "where"


# -- the record

SLOTS = {slot: Refused("not in this test") for slot in ("infer", "emit", "jvp", "transpose", "batch", "cost")}


@pytest.mark.parametrize("slot", SLOTS)
def test_a_missing_slot_is_refused_at_once(slot):
    with pytest.raises(TypeError, match=slot):
        Primitive(name="half_done", **{k: v for k, v in SLOTS.items() if k != slot})  # type: ignore[arg-type]
    assert "half_done" not in REGISTRY


def test_a_name_belongs_to_one_primitive():
    with pytest.raises(ValueError, match="'add' is defined twice"):
        Primitive("add", **SLOTS)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must be an identifier"):
        Primitive("a-b", **SLOTS)  # type: ignore[arg-type]
    assert REGISTRY["add"] is add_p


def test_a_primitive_with_programs_says_what_they_mean():
    with pytest.raises(TypeError, match="`expand` or `bodies`"):
        Primitive("with_graphs", **SLOTS, graphs=("body",))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="`expand` or `bodies`"):
        Primitive("with_expand", **SLOTS, expand=lambda *xs: xs)  # type: ignore[arg-type]
    assert not {"with_graphs", "with_expand"} & REGISTRY.keys()


def test_a_record_is_frozen_and_refusals_speak():
    with pytest.raises(dataclasses.FrozenInstanceError):
        add_p.name = "sum"  # type: ignore[misc]
    with pytest.raises(MissingRuleError, match="not in this test"):
        SLOTS["jvp"](1, 2)
    assert repr(add_p) == "add"


def test_text_knows_what_it_stands_for():
    text = Text("x", VEC)
    assert text == "x" and text.aval is VEC and not text.is_number


def test_an_error_gets_the_users_line_once():
    error = GradlabError("needs something").at("a.py:1 in f")
    assert str(error.at("b.py:2")) == "needs something\n  at a.py:1 in f"
    assert "test_graph.py" in str(GradlabError("x").at(None))
