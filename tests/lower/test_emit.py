"""The emitted text: made of safe names and exact numbers, the same in its two forms, and enough by itself."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.ir.check import check
from gradlab.ir.errors import DTypeError
from gradlab.ir.graph import Aval, Eqn, Graph, Lit, Var, is_inexact
from gradlab.ir.primitive import REGISTRY
from gradlab.lower import emit as emit_module
from gradlab.lower.compile import load
from gradlab.lower.emit import LONG, emit, function_name, module_text
from gradlab.ops.arith import integer_pow, mul, pow
from gradlab.ops.compare import select
from gradlab.trace.avals import canonical_dtype
from gradlab.trace.builder import bind, bind1
from gradlab.trace.stage import trace_graph
from tests.support import QUICK, assert_close

F64 = np.dtype("float64")
SCALAR = Aval((), F64)

# -- what may stand in a text

ALLOWED = (
    ast.Module, ast.FunctionDef, ast.arguments, ast.arg, ast.Assign, ast.Return, ast.Call, ast.keyword, ast.Attribute,
    ast.Name, ast.Load, ast.Store, ast.Constant, ast.Tuple, ast.List, ast.BinOp, ast.UnaryOp, ast.Compare, ast.operator,
    ast.unaryop, ast.cmpop, ast.Subscript, ast.Slice, ast.Lambda,
)  # fmt: skip
ROOTS = {"jax", "jnp", "lax", "np", "complex"}
WORD = re.compile(r"[A-Za-z0-9_ ,.>-]*\Z")


def assert_harmless(text: str) -> None:
    """Only functions of assignments, inner functions and a return; calls of jax, numpy or these; plain constants."""
    tree = ast.parse(text)
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert {ast.unparse(node) for node in imports} <= set(emit_module.MODULES.values())
    for function in tree.body:
        if function in imports:
            continue
        for inner in (node for node in ast.walk(function) if isinstance(node, ast.FunctionDef)):
            assert not inner.decorator_list and not inner.returns
            assert all(isinstance(line, ast.Assign | ast.Return | ast.FunctionDef) for line in inner.body)
        assert isinstance(function, ast.FunctionDef)
        known = {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}
        known |= {
            node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        assert not known & (ROOTS | functions), "a local name hides a module or a part"
        for node in ast.walk(function):
            assert isinstance(node, ALLOWED), f"{ast.dump(node)} in\n{text}"
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                assert node.id in known | ROOTS | functions, f"{node.id} comes from nowhere in\n{text}"
            if isinstance(node, ast.Attribute):
                assert not node.attr.startswith("_")
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert WORD.match(node.value)


HOSTILE = [
    "jax", "jnp", "lax", "np", "lambda", "None", "True", "match", "_", "__import__", "__debug__", "__class__", "print",
    "complex", "exec", "naïve", "ｊax", "变量", "x" * 5000, "x" * 41, "", "a b", "1st", "x;import os", "x\nimport os",
    "'); import os; ('", "x\\", "x#", "{x}", "{0}", "{", "%s", "f", "f_part1", "t", "t0", "t1", "x_1", "x", "x",
    "self\0",
]  # fmt: skip


def chain(length: int, names: list[str], name: str = "x") -> Graph:
    """sin(sin(...)) with the given names for its variables, in turn."""
    x = Var(SCALAR, name)
    eqns, last = [], x
    for k in range(length):
        out = Var(SCALAR, names[k % len(names)])
        eqns.append(Eqn(REGISTRY["sin"], (last,), (out,), {}))
        last = out
    return check(Graph([x], eqns, [last]))


@pytest.mark.parametrize("length", [len(HOSTILE), 2 * LONG + 5])
def test_hostile_variable_names(length):
    text = emit(chain(length, HOSTILE))
    assert_harmless(text)
    assert max(map(len, text.splitlines())) < 2000
    want = 0.3
    for _ in range(length):
        want = np.sin(want)
    with jax.disable_jit():
        (got,) = load(text, "f")(jnp.float64(0.3))
    assert_close(got, want, 1e-14, "value")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_argument_and_function_names(name):
    graph = chain(2, ["y"], name)
    text = module_text(graph, name)
    assert_harmless(text)
    (function,) = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    assert function.name == function_name(name)
    assert load(emit(graph, name), function_name(name)).__code__.co_argcount == 1


def test_hostile_names_in_a_users_function():
    def f(tree, **options):
        """'''); import os; os.abort()  # \\"""
        lax = tree["']; import os; ['"] * 2.0
        jnp = lax + tree["\n    return 0"]
        return jnp * options["jax"]

    f.__name__ = f.__qualname__ = "f():\n    import os\n    return 0\ndef g"
    tree = {"']; import os; ['": 1.5, "\n    return 0": 2.0}
    for of in (f, gl.grad(f)):
        text = gl.source(of)(tree, jax=3.0)
        assert_harmless(text)
    assert gl.grad(f)(tree, jax=3.0) == {"']; import os; ['": 6.0, "\n    return 0": 3.0}


def test_readable_names_are_kept():
    def loss(w, x):
        inner = w * x
        return inner + gnp.sin(inner)

    assert emit(gl.stage(loss)(2.0, 3.0), "loss").splitlines()[:2] == ["def loss(w, x):", "    inner = w * x"]


# -- numbers

NUMBERS = {
    "float64": [np.inf, -np.inf, np.nan, -0.0, 0.0, 1.0, 0.1, -2.5, 1e308, 5e-324, 2**70, -3],
    "float32": [np.inf, -np.inf, np.nan, -0.0, 1, 0.1, -2.5, 1e38, 16777217],
    "float16": [np.inf, np.nan, -0.0, 65504.0, 0.1],
    "bfloat16": [np.inf, -np.inf, np.nan, -0.0, 1.5, 0.1, 3e38],
    "int64": [2**63 - 1, -(2**63), 2**53 + 1, -1, 0, 2**31],
    "int32": [2**31 - 1, -(2**31), -1, 0, 1],
    "uint64": [2**64 - 1, 2**63, 0],
    "uint32": [2**32 - 1, 2**31, 0],
    "uint8": [255, 128, 0],
    "int8": [-128, 127],
    "bool": [True, False],
    "complex64": [complex(np.nan, np.inf), complex(-0.0, -1.5), complex(0.0, -0.0), -2, 1.5],
    "complex128": [complex(-np.inf, np.nan), complex(-0.0, -0.0), 1j, complex(0.1, -0.1), 2**60],
}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_literal_keeps_every_bit(name, monkeypatch):
    dtype = jnp.dtype(name)

    def run(builder, mask, other):
        outs = []
        for value in NUMBERS[name]:
            for shape in ((), (2,)):
                full = Lit(value, Aval(shape, dtype))
                outs.append(full)
                if not shape:
                    outs += [select(mask, full, other), select(mask, full, full)]
        return outs

    graph = check(trace_graph(run, [Aval((), np.dtype(bool)), Aval((), dtype)]))
    for long in (1000, -1):
        monkeypatch.setattr(emit_module, "LONG", long)
        text = emit(graph)
        assert_harmless(text)
        found = iter(jax.jit(load(text, "f"), compiler_options=QUICK)(True, np.ones((), dtype)))
        for value in NUMBERS[name]:
            want = np.asarray(value).astype(dtype)
            for shape in ((), (), (), (2,)):
                got = np.asarray(next(found))
                assert got.dtype == dtype and got.shape == shape
                assert _bits(got) == _bits(np.broadcast_to(want, got.shape)), f"{value!r} in {name} as {got}"


def _bits(x: np.ndarray) -> list:
    """The numbers as their bytes, any NaN as the same one."""
    if x.dtype.kind == "c":
        return [_bits(x.real), _bits(x.imag)]
    return ["nan" if is_inexact(x.dtype) and np.isnan(v) else v.tobytes() for v in x.reshape(-1)]


def test_negative_literals_are_safe_in_any_expression(monkeypatch):
    def run(builder, x):
        minus = Lit(-2.0, SCALAR)
        i = Lit(-2, SCALAR)
        return [pow(minus, x), mul(x, minus), integer_pow(minus, y=2), bind1(REGISTRY["neg"], minus),
                bind1(REGISTRY["sub"], x, minus), bind1(REGISTRY["sub"], minus, i), bind1(REGISTRY["div"], minus, x),
                bind1(REGISTRY["div"], minus, Lit(-np.inf, SCALAR)), integer_pow(minus, y=-1)]  # fmt: skip

    graph = check(trace_graph(run, [SCALAR]))
    want = [4.0, -4.0, 4.0, 2.0, 4.0, 0.0, -1.0, 0.0, -0.5]
    for long in (1000, -1):
        monkeypatch.setattr(emit_module, "LONG", long)
        got = jax.jit(load(emit(graph), "f"), compiler_options=QUICK)(2.0)
        assert [float(y) for y in got] == want


# -- the two forms of a primitive


class Form(NamedTuple):
    """How a primitive is called: shapes of its operands, its parameters, the dtype of the first, last one if fixed."""

    shapes: tuple[tuple[int, ...], ...]
    params: dict[str, Any] = {}  # read only
    first: str | None = None
    last: str | None = None


S = (2, 3)
UNARY, BINARY = Form((S,)), Form((S, S))
FORMS: dict[str, list[Form]] = {
    **{name: [BINARY, Form(((), ()))] for name in ("add", "sub", "mul", "div", "maximum", "minimum", "atan2")},
    **{name: [BINARY, Form(((), ()))] for name in ("eq", "ne", "lt", "le", "gt", "ge")},
    "neg": [UNARY],
    "root": [UNARY],
    "integer_pow": [Form((S,), {"y": y}) for y in (2, 3, -1, -2)],
    "select": [Form((S, S, S), first="bool"), Form(((), (), ()), first="bool")],
    "broadcast": [
        Form(((3,),), {"shape": (2, 3), "axes": (1,)}),
        Form(((2,),), {"shape": (2, 3), "axes": (0,)}),
        Form(((2, 1),), {"shape": (2, 4), "axes": (0, 1)}),
        Form(((),), {"shape": (2,), "axes": ()}),
    ],
    "reshape": [Form((S,), {"shape": (3, 2)}), Form(((1,),), {"shape": ()})],
    "permute": [Form((S,), {"order": (1, 0)}), Form(((2, 3, 1),), {"order": (2, 0, 1)})],
    "reduce_sum": [Form((S,), {"axes": (1,)}), Form((S,), {"axes": (0, 1)})],
    "reduce_max": [Form((S,), {"axes": (1,)}), Form((S,), {"axes": (0, 1)})],
    "reduce_min": [Form((S,), {"axes": (0,)})],
    "dot_general": [
        Form((a, b), {"contract": contract, "batch": batch, "precision": None, "out_dtype": None})
        for a, b, contract, batch in (
            ((3,), (3,), ((0,), (0,)), ((), ())),
            ((2, 3), (3,), ((1,), (0,)), ((), ())),
            ((3, 2), (3,), ((0,), (0,)), ((), ())),
            ((3,), (3, 2), ((0,), (0,)), ((), ())),
            ((3,), (2, 3), ((0,), (1,)), ((), ())),
            ((2, 3), (3, 4), ((1,), (0,)), ((), ())),
            ((2, 3), (4, 3), ((1,), (1,)), ((), ())),
            ((3, 2), (3, 4), ((0,), (0,)), ((), ())),
            ((5, 2, 3), (5, 3, 4), ((2,), (1,)), ((0,), (0,))),
        )
    ],
    "slice": [
        Form((S,), {"start": (0, 1), "limit": (2, 3), "strides": (1, 1)}),
        Form(((4, 3),), {"start": (1, 0), "limit": (4, 3), "strides": (2, 1)}),
    ],
    "concatenate": [Form((S, (4, 3)), {"axis": 0}), Form((S, S), {"axis": 1})],
    "iota": [
        Form((), {"dtype": np.dtype(dtype), "shape": shape, "axis": axis})
        for dtype, shape, axis in (("int32", (3,), 0), ("float32", (2, 3), 1))
    ],
    "convert": [Form((S,), {"dtype": np.dtype(name)}) for name in ("float32", "int32", "bool", "complex64")],
    "place": [
        Form((S, S), {"axis": 1, "size": 5}, last="int32"),
        Form(((), ()), {"axis": 0, "size": 5}, last="int32"),
    ],
    "index_of": [Form((S, (2,)), {"axis": 1}), Form(((3,), ()), {"axis": 0})],
    "gather": [
        Form(((4, 3), (2,)), {"axes": (axis,), "mode": mode}, last="int32")
        for axis, mode in ((0, "clip"), (1, "fill"), (1, "zero"), (0, "wrap"))
    ],
    **{
        name: [
            Form(((4, 3), S, (2,)), {"axes": (0,), "mode": "clip", **unique}, last="int32"),
            Form(((4, 3), (4, 2), (2,)), {"axes": (1,), "mode": "drop", **unique}, last="int32"),
        ]
        for name, unique in (
            ("scatter_add", {}),
            ("scatter_set", {"unique": False}),
            ("scatter_mul", {"unique": False}),
            ("scatter_min", {}),
            ("scatter_max", {}),
        )
    },
    "fft": [
        Form((S,), {"kind": kind, "axes": axes, "lengths": lengths})
        for kind, axes, lengths in (
            ("fft", (1,), (3,)),
            ("ifft", (0, 1), (2, 3)),
            ("rfft", (1,), (3,)),
            ("rfft", (1, 0), (3, 2)),
            ("irfft", (1,), (4,)),
            ("irfft", (0, 1), (2, 5)),
        )
    ],
}
DTYPES = (
    "float32", "float64", "bfloat16", "float16", "int32", "int64", "uint8", "uint32", "bool", "complex64", "complex128",
)  # fmt: skip
FEW = ("float32", "bfloat16", "uint8", "complex64")


def test_every_call_form_is_compared():
    with_call = {name for name, prim in REGISTRY.items() if prim.call is not None}
    # A family of functions of one operand may spell its call; those are all alike.
    others = {n for n in with_call - FORMS.keys() if REGISTRY[n].call("x") != f"lax.{n}(x)"}
    assert not others, f"no row in FORMS for {sorted(others)}"


def forms() -> dict[str, list[Form]]:
    with_call = {name for name, prim in REGISTRY.items() if prim.call is not None}
    return {name: FORMS.get(name, [UNARY]) for name in sorted(with_call)}


def both_forms(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> list[Callable[..., tuple]]:
    """The function as a short program is written, and as a long one is."""
    found = []
    for long in (10_000, -1):
        monkeypatch.setattr(emit_module, "LONG", long)
        text = emit(graph)
        assert_harmless(text)
        found.append(load(text, "f"))
    return found


def every_call(dtype: np.dtype, weak: bool) -> tuple[Graph, list[str]]:
    """A graph in which each primitive that takes `dtype` meets literals in each place; who made each output."""
    shapes = ((), (1,), (2,), (3,), (2, 1), (3, 2), (2, 3), (4, 2), (4, 3), (3, 4), (2, 3, 1), (5, 2, 3), (5, 3, 4))
    fixed = [np.dtype(name) for name in ("bool", "int32")]
    taken = [Aval(s, d, weak and d == dtype) for d in dict.fromkeys((dtype, *fixed)) for s in shapes]
    who: list[str] = []

    def run(builder, *xs):
        at = {(x.shape, x.dtype): x for x in xs}
        outs = []
        for name, rows in forms().items():
            if dtype.kind == "b" and name in ("scatter_add", "scatter_mul"):
                continue  # JAX adds and multiplies no booleans
            for form in rows:
                dtypes = [dtype] * len(form.shapes)
                if form.first:
                    dtypes[0] = np.dtype(form.first)
                if form.last:
                    dtypes[-1] = np.dtype(form.last)
                for mask in product((False, True), repeat=len(form.shapes)):
                    operands = [
                        Lit(_number(d), at[s, d].aval) if literal else at[s, d]
                        for s, d, literal in zip(form.shapes, dtypes, mask, strict=True)
                    ]
                    try:
                        (out,) = bind(REGISTRY[name], *operands, **form.params)
                    except DTypeError:
                        continue
                    outs.append(out)
                    who.append(f"{name} {form.params} of literals {mask}")
        return outs

    graph = trace_graph(run, taken)
    assert len(who) == len(graph.outputs)
    return check(graph), who


def _number(dtype: np.dtype) -> bool | int | float | complex:
    return {"b": True, "i": 3, "u": 3, "c": 1.5 - 2j}.get(dtype.kind, 1.5)


def _values(graph: Graph) -> list[Any]:
    rng = np.random.default_rng(3)
    found = []
    for aval in graph.in_avals:
        x = rng.integers(1, 5, aval.shape)
        if aval.dtype.kind == "c":
            x = x + 1j * rng.integers(1, 5, aval.shape)
        found.append(np.asarray(x if aval.dtype.kind != "b" else x > 2, aval.dtype))
    return found


@pytest.mark.parametrize("name", FEW)
def test_both_forms_give_the_same(name, monkeypatch):
    graph, who = every_call(jnp.dtype(name), weak=False)
    short, long = both_forms(graph, monkeypatch)
    got = jax.jit(lambda *xs: (short(*xs), long(*xs)), compiler_options=QUICK)(*_values(graph))
    for by, one, two in zip(who, *got, strict=True):
        one, two = (np.asarray(y, np.float32 if y.dtype == jnp.bfloat16 else None) for y in (one, two))
        np.testing.assert_array_equal(one, two, err_msg=f"{by} in {name}")


@pytest.mark.parametrize("x64", [True, False])
@pytest.mark.parametrize("name", [*DTYPES, "weak int", "weak float", "weak complex"])
def test_both_forms_have_the_types_infer_says(name, x64, monkeypatch):
    weak = {"weak int": int, "weak float": float, "weak complex": complex}.get(name)
    with jax.enable_x64(x64):
        dtype = np.dtype(jnp.asarray(weak(1)).dtype) if weak else canonical_dtype(jnp.dtype(name))
        graph, who = every_call(dtype, weak is not None)
        given = [jax.ShapeDtypeStruct(a.shape, a.dtype, weak_type=a.weak) for a in graph.in_avals]
        for fn in both_forms(graph, monkeypatch):
            for by, aval, out in zip(who, graph.out_avals, jax.eval_shape(fn, *given), strict=True):
                # A boolean yields to everything, weak or not; JAX calls a comparison of weak numbers weak.
                found = Aval(out.shape, out.dtype, out.weak_type and out.dtype != bool)
                assert found == aval, f"{by}: {found}, infer says {aval}"


# -- the text by itself


def long_program(x, w):
    for k in range(LONG):
        x = gnp.tanh(x @ w) * 0.5 + x / (k + 1.0)
    return gnp.sum(gnp.where(x > 0, x, -0.1 * x) ** 2)


def softmax_program(x, w):
    y = x @ w
    e = gnp.exp(y - gnp.max(y, axis=-1, keepdims=True))
    p = e / gnp.sum(e, axis=-1, keepdims=True)
    return gnp.sum(gnp.log(p[:, 0])) + gnp.cumsum(gnp.sort(x, axis=1), axis=0).max()


INPUTS = (np.linspace(-1, 1, 12).reshape(3, 4), np.cos(np.arange(16.0)).reshape(4, 4))
TEXTS = {
    "value": lambda: gl.source(softmax_program)(*INPUTS),
    "grad": lambda: gl.source(gl.grad(softmax_program, argnums=(0, 1)))(*INPUTS),
    "long": lambda: gl.rerolling(False)(gl.source(gl.grad(long_program)))(*INPUTS),
    "rolled": lambda: gl.source(gl.grad(long_program))(*INPUTS),
    "hessian": lambda: gl.source(gl.hessian(lambda w: softmax_program(INPUTS[0], w)))(INPUTS[1]),
}
ALONE = """
import importlib.abc, json, sys
class Wall(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "gradlab":
            raise ImportError("the text needs gradlab")
sys.meta_path.insert(0, Wall())
import jax, numpy
jax.config.update("jax_enable_x64", True)
found = {}
for name, (text, function, inputs) in json.load(sys.stdin).items():
    scope = {}
    exec(text, scope)
    outs = jax.jit(scope[function])(*[numpy.array([float.fromhex(v) for v in x]).reshape(s) for x, s in inputs])
    found[name] = [[float(v).hex() for v in numpy.asarray(y).ravel()] for y in outs]
json.dump(found, sys.stdout)
"""


def _hex(x: Any) -> list[str]:
    return [float(v).hex() for v in np.asarray(x).ravel()]


def test_the_text_runs_alone_and_exactly():
    work, want = {}, {}
    for name, make in TEXTS.items():
        text = make()
        assert_harmless(text)
        function = [node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)][-1]
        inputs = [INPUTS[1], INPUTS[0]] if name == "hessian" else INPUTS
        work[name] = (text, function, [(_hex(x), x.shape) for x in inputs])
        scope: dict[str, Any] = {}
        exec(text, scope)
        want[name] = [_hex(y) for y in jax.jit(scope[function])(*inputs)]
    command = [sys.executable, "-c", ALONE]
    done = subprocess.run(command, input=json.dumps(work), capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == want


def test_the_text_is_the_same_in_every_run():
    texts = {name: make() for name, make in TEXTS.items()}
    assert {name: make() for name, make in TEXTS.items()} == texts
    program = (
        "import jax, json; jax.config.update('jax_enable_x64', True)\n"
        "from tests.lower.test_emit import TEXTS\n"
        "print(json.dumps({name: make() for name, make in TEXTS.items()}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, check=False, timeout=120, cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": os.fspath(Path(__file__).parents[2])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == texts
