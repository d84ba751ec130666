"""A user's mistake gives the right class of error, the remedy, and the line it was made on."""

from __future__ import annotations

import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.ir.errors import (
    ArgumentError,
    AxisError,
    ConcretizationError,
    ConversionError,
    DTypeError,
    EscapedTracerError,
    GradlabError,
    IndexingError,
    ItemAssignmentError,
    MissingRuleError,
    NonScalarError,
    ShapeError,
    StructureError,
)

V = np.array([0.3, -1.2, 2.0])
W = jnp.arange(3.0)
M = np.linspace(-1.0, 1.0, 6).reshape(2, 3)
LEAKED = []


class NotATree:
    def __init__(self, x):
        self.x = x


def bent(x):
    return x if x > 0 else -x


def assign(x):
    x[0] = 1.0
    return x.sum()


def assign_into_numpy(x):
    y = np.zeros(3)
    y[0] = x[0] * 2.0
    return y.sum()


def assign_slice_into_numpy(x):
    y = np.zeros(3)
    y[:] = x * 2.0
    return y.sum()


def leak(x):
    LEAKED.append(x * 2.0)
    return x.sum()


def use_leaked(how):
    def use():
        LEAKED.clear()
        gl.grad(leak)(V)
        return how(LEAKED[0])

    return use


def rule(jvp):
    f = gl.custom_jvp(lambda x: x * 2.0)
    f.defjvp(jvp)
    return f


def backward(bwd, fwd=lambda x: (x * 2.0, None)):
    f = gl.custom_vjp(lambda x: x * 2.0)
    f.defvjp(fwd, bwd)
    return f


def endless():
    tree = {}
    tree["itself"] = tree
    return tree


def call(transform, fun, *args, **kwargs):
    return lambda: transform(fun, **kwargs)(*args)


SQUARED = backward(lambda _, ct: (ct * ct,))
BUILTIN = {  # every error is also the nearest built-in one
    ArgumentError: ValueError,
    ConcretizationError: TypeError,
    ConversionError: TypeError,
    DTypeError: TypeError,
    EscapedTracerError: RuntimeError,
    IndexingError: IndexError,
    ItemAssignmentError: TypeError,
    MissingRuleError: NotImplementedError,
    NonScalarError: TypeError,
    ShapeError: ValueError,
    AxisError: IndexError,
    StructureError: TypeError,
}

# name: (what is done, the error, words of the remedy); each on a line of its own
ERRORS = {
    # the result of what grad differentiates
    "array to grad": (call(gl.grad, lambda x: x * 2, V), NonScalarError, r"f64\[3\].*\.sum\(\).*jacobian"),
    "tuple to grad": (call(gl.grad, lambda x: (x, x), 1.0), NonScalarError, "has_aux=True"),
    "None to grad": (call(gl.grad, lambda x: None, 1.0), NonScalarError, "got None"),
    "integer result": (call(gl.grad, lambda x: gnp.argmax(x), V), DTypeError, "floating point"),
    "complex result": (call(gl.grad, lambda x: x * 1j, 1.0), DTypeError, "holomorphic=True"),
    "real result": (call(gl.grad, lambda z: z.real, 1j, holomorphic=True), DTypeError, "Drop holomorphic"),
    "no pair": (call(gl.grad, lambda x: x, 1.0, has_aux=True), StructureError, r"pair \(value, aux\)"),
    # arguments
    "integer argument": (call(gl.grad, lambda x: x, 3), DTypeError, r"Write 3\.0"),
    "integer array": (call(gl.grad, lambda x: x, np.arange(3)), DTypeError, r"astype\(float\).*allow_int"),
    "boolean argument": (call(gl.grad, lambda x: x, True), DTypeError, "real or complex"),
    "contains itself": (lambda: gl.grad(lambda d: 1.0)(endless()), StructureError, "contains itself"),
    "string argument": (call(gl.grad, lambda x: x, "s"), StructureError, "leave it out of argnums"),
    "nested leaf": (call(gl.grad, lambda p: p["w"][0], {"w": [3]}), DTypeError, r"p\['w'\]\[0\]"),
    "string array": (call(gl.grad, lambda x: x, np.array(["s"])), DTypeError, "Convert it"),
    "real argument": (call(gl.grad, lambda x: x, 1.0, holomorphic=True), DTypeError, "astype"),
    "complex jacobian": (call(gl.jacobian, lambda x: x, 1j), DTypeError, "holomorphic=True"),
    "argnums": (call(gl.grad, lambda x: x, 1.0, argnums=1), ArgumentError, "argnames="),
    "negative argnums": (call(gl.grad, lambda x: x, 1.0, argnums=-2), ArgumentError, "1 positional argument"),
    "argnums twice": (call(gl.grad, lambda x: x, 1.0, argnums=(0, -1)), ArgumentError, "twice"),
    "argnums type": (lambda: gl.grad(leak, argnums="x"), ArgumentError, "tuple of ints"),
    "argnames": (call(gl.grad, lambda x: x, 1.0, argnames="y"), ArgumentError, "parameters are x"),
    "unconnected": (lambda: gl.grad(leak, unconnected="nan"), ArgumentError, '"zeros" or "none"'),
    "mode": (lambda: gl.jacobian(leak, mode="up"), ArgumentError, '"fwd" or "rev"'),
    "hessian mode": (lambda: gl.hessian(leak, mode="fwd"), ArgumentError, "fwd-over-rev"),
    "no function": (lambda: gl.grad(3.0), StructureError, r"grad\(f\)\(x\)"),
    "jit no function": (lambda: gl.jit(3.0), StructureError, r"jit\(f\)\(x\)"),
    "no pytree": (call(gl.grad, lambda o: o.x, NotATree(1.0)), StructureError, "Register its class"),
    "no pytree in vmap": (call(gl.vmap, lambda o: o.x, NotATree(V)), StructureError, "register_dataclass"),
    # results that are no arrays
    "string result": (call(gl.jacobian, lambda x: "s", 1.0), StructureError, "has_aux=True"),
    "object result": (call(gl.vmap, lambda x: NotATree(x), V), StructureError, "numbers or arrays"),
    "jit string result": (call(gl.jit, lambda x: "s", 1.0), StructureError, "numbers or arrays"),
    # inside an operation
    "shapes": (call(gl.grad, lambda x: (x + M[:, :2]).sum(), V), ShapeError, r"x\[:, None\]"),
    "matmul": (call(gl.grad, lambda x: (x @ M).sum(), V), ShapeError, "Transpose one"),
    "reshape": (call(gl.grad, lambda x: x.reshape(2, 2).sum(), V), ShapeError, "size|elements"),
    "concatenate": (call(gl.grad, lambda x: gnp.concatenate([x, M]).sum(), V), ShapeError, "agree|match|same"),
    "axis": (call(gl.grad, lambda x: x.sum(axis=1)[0], V), AxisError, "axis|axes"),
    "dtypes": (call(gl.grad, lambda x: (x & 1).sum(), V), DTypeError, "astype"),
    "float index": (call(gl.grad, lambda x: x[1.5], V), DTypeError, "integers"),
    "too many indices": (call(gl.grad, lambda x: x[0, 0], V), IndexingError, "axes|indices|axis"),
    # values nobody has yet
    "if under jit": (call(gl.jit, bent, 1.0), ConcretizationError, "numpy.where.*static_argnums"),
    "if under vmap": (call(gl.vmap, bent, V), ConcretizationError, "numpy.where"),
    "if in grad in jit": (lambda: gl.jit(gl.grad(bent))(1.0), ConcretizationError, "numpy.where"),
    "if in grad in jax.jit": (lambda: jax.jit(gl.grad(bent))(1.0), ConcretizationError, "where"),
    "float under jit": (call(gl.jit, lambda x: float(x), 1.0), ConcretizationError, "keep the value as an array"),
    "float under vmap": (call(gl.vmap, lambda x: float(x), V), ConcretizationError, "keep the value"),
    "int under jit": (call(gl.jit, lambda x: int(x), 1.0), ConcretizationError, "keep the value"),
    "item under jit": (call(gl.jit, lambda x: x.item(), 1.0), ConcretizationError, "keep the value"),
    "math under jit": (call(gl.jit, lambda x: math.sin(float(x)), 1.0), ConcretizationError, "keep the value"),
    "range under jit": (call(gl.jit, lambda n: sum(range(n)), 3), ConcretizationError, "static_argnums"),
    "list index under jit": (call(gl.jit, lambda n: [1.0, 2.0][n], 1), ConcretizationError, r"x\[i\]"),
    "size under jit": (call(gl.jit, lambda n: gnp.zeros(n), 3), ConcretizationError, "static_argnums"),
    "truth of an array": (call(gl.grad, lambda x: x.sum() if x > 0 else 0.0, V), ValueError, r"\.any\(\) or \.all\(\)"),
    # tracers that got away
    "leaked, added to": (use_leaked(lambda t: t + 1), EscapedTracerError, "return it as a result"),
    "leaked, asked": (use_leaked(lambda t: float(t[0])), EscapedTracerError, "return it as a result"),
    "leaked, in another": (use_leaked(lambda t: gl.grad(lambda x: (x * t).sum())(V)), EscapedTracerError, "return it"),
    "leaked, returned": (use_leaked(lambda t: gl.jacobian(lambda x: t)(V)), EscapedTracerError, "return it"),
    # item assignment
    "assignment": (call(gl.grad, assign, V), ItemAssignmentError, r"x\.at\[i\]\.set\(v\)"),
    "into NumPy's array": (call(gl.grad, assign_into_numpy, V), ItemAssignmentError, r"at\[i\]\.set"),
    "slice of NumPy's array": (call(gl.grad, assign_slice_into_numpy, V), ConversionError, "like=x"),
    # functions that cannot take a tracer
    "jax.numpy, if": (call(gl.grad, lambda x: x[0] if jnp.any(x > 0) else x[1], V), ConversionError, "lax.cond"),
    "jax.numpy, float": (call(gl.grad, lambda x: float(jnp.sin(x[0])), V), ConversionError, "import gradlab.numpy"),
    "np.array": (call(gl.grad, lambda x: np.array([x, x]).sum(), 1.0), ConversionError, "gradlab.numpy"),
    "np.vectorize": (call(gl.grad, lambda x: np.vectorize(abs)(x).sum(), V), ConversionError, "gradlab.numpy"),
    "in": (call(gl.grad, lambda x: 1.0 in x, V), ConversionError, r"\(x == item\)\.any\(\)"),
    # rules
    "not linear": (lambda: gl.linear_transpose(lambda x: gnp.sin(x), V)(V), MissingRuleError, "not linear"),
    "product not linear": (lambda: gl.linear_transpose(lambda x: x * x, V)(V), MissingRuleError, "linear"),
    "affine not linear": (lambda: gl.linear_transpose(lambda x: gnp.exp(x[0]) * x, V)(V), MissingRuleError, "linear"),
    "no rule yet": (lambda: gl.grad(gl.custom_jvp(lambda x: x))(1.0), StructureError, "defjvp or defvjp"),
    "bwd not linear": (lambda: gl.jvp(SQUARED, (1.0,), (1.0,)), MissingRuleError, "defjvp"),
    # structures
    "jvp rule, one result": (call(gl.grad, rule(lambda p, t: t[0]), 1.0), StructureError, r"\(out, out_tangent\)"),
    "jvp rule, structure": (call(gl.grad, rule(lambda p, t: (p[0], [t[0]])), 1.0), StructureError, "was needed"),
    "jvp rule, shape": (call(gl.grad, rule(lambda p, t: (p[0], t[0] * V)), 1.0), ShapeError, "was needed"),
    "bwd, count": (call(gl.grad, backward(lambda _, ct: (ct, ct)), 1.0), StructureError, "one per argument"),
    "bwd, shape": (call(gl.grad, backward(lambda _, ct: (ct * V,)), 1.0), ShapeError, "was needed"),
    "fwd, no pair": (call(gl.grad, backward(max, lambda x: x), 1.0), StructureError, r"\(out, residuals\)"),
    "tangent structure": (lambda: gl.jvp(gnp.sin, (V,), ([V],)), StructureError, "structure"),
    "tangent shape": (lambda: gl.jvp(gnp.sin, (V,), (M,)), ShapeError, "shape"),
    "tangent dtype": (lambda: gl.jvp(gnp.sin, (V,), (V.astype("float32"),)), DTypeError, "astype"),
    "no tuple": (lambda: gl.jvp(gnp.sin, V, V), StructureError, "as a tuple"),
    "cotangent structure": (lambda: gl.vjp(gnp.sin, V)[1]((V,)), StructureError, "structure"),
    "cotangent shape": (lambda: gl.vjp(gnp.sin, V)[1](M), ShapeError, "shape"),
    "cotangent count": (lambda: gl.vjp(gnp.sin, V)[1](V, V), StructureError, "one argument"),
    "f_jvp shape": (lambda: gl.linearize(gnp.sin, V)[1](M), ShapeError, "shape"),
    "integers to transpose": (lambda: gl.linear_transpose(lambda x: x, np.arange(3)), DTypeError, "real or complex"),
    # vmap
    "in_axes count": (call(gl.vmap, lambda x: x, V, in_axes=(0, 0)), ArgumentError, "1 positional"),
    "in_axes type": (lambda: gl.vmap(leak, in_axes="rows"), ArgumentError, "int, None, or a tuple"),
    "in_axes leaf": (call(gl.vmap, lambda x: x, V, in_axes=("rows",)), ArgumentError, "ints and None"),
    "in_axes range": (call(gl.vmap, lambda x: x, V, in_axes=1), ShapeError, "Use None"),
    "in_axes structure": (call(gl.vmap, lambda t: t["a"], {"a": V}, in_axes=([0],)), ArgumentError, "prefix"),
    "sizes": (call(gl.vmap, lambda x, y: x, V, M), ShapeError, "one length"),
    "nothing mapped": (call(gl.vmap, lambda x: x, V, in_axes=None), ShapeError, "axis_size"),
    "out_axes None": (call(gl.vmap, lambda x: x, V, out_axes=None), ArgumentError, "Give it an axis"),
    "out_axes range": (call(gl.vmap, lambda x: x, V, out_axes=3), ArgumentError, "axis 3"),
    "axis_name": (lambda: gl.vmap(leak, axis_name="i"), ArgumentError, "Reduce over the axis"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_error(name):
    act, error, remedy = ERRORS[name]
    with pytest.raises(error, match=f"(?s){remedy}") as caught:
        act()
    if error is ValueError:  # Python's and NumPy's own complaint
        return
    assert type(caught.value) is error
    assert issubclass(error, GradlabError) and issubclass(error, BUILTIN[error])
    assert f"\n  at {__file__}:" in str(caught.value), str(caught.value)


def test_every_class_of_error_is_met():
    assert BUILTIN.keys() <= {error for _, error, _ in ERRORS.values()}


def line_of(fun, words):
    """The number of the line of `fun` that holds `words`."""
    lines, start = inspect.getsourcelines(fun)
    return start + next(k for k, line in enumerate(lines) if words in line)


@pytest.mark.parametrize(
    ("fun", "words"),
    [(assign, "x[0] = 1.0"), (assign_into_numpy, "y[0] ="), (assign_slice_into_numpy, "y[:] =")],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_the_line_is_the_one_at_fault(fun, words):
    with pytest.raises(GradlabError, match=f":{line_of(fun, words)} in {fun.__name__}"):
        gl.grad(fun)(V)


def test_the_line_of_an_equation_deep_in_a_transformation():
    """Transposed long after it was recorded, an equation still knows where it was written."""

    def linear_but_for_one_line(x):
        y = 2.0 * x
        z = gnp.exp(y)
        return z + y

    with pytest.raises(MissingRuleError, match=f":{line_of(linear_but_for_one_line, 'exp')} in linear_but"):
        gl.linear_transpose(linear_but_for_one_line, V)(V)


def test_math_on_a_value_is_python():
    """As float(x): the value, without a derivative. That is what the conversion says."""
    assert gl.grad(lambda x: x * float(x))(3.0) == 3.0


def test_errors_of_the_user_pass_through():
    class Own(Exception):
        pass

    def fun(x):
        raise Own("mine")

    for transform in (gl.grad, gl.jit, gl.vmap, gl.hessian, gl.jacobian):
        with pytest.raises(Own) as caught:
            transform(fun)(V)
        assert str(caught.value) == "mine"
    with pytest.raises(TypeError, match="unsupported operand"):
        gl.grad(lambda x: "a" - 1)(1.0)
