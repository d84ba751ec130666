"""The elementwise functions that are one primitive each, and those that are a short formula of primitives."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp

from ..ir.errors import DTypeError
from ..ir.graph import is_inexact
from ..ops import arith, compare, convert, elementwise, families, guarded
from ..trace.avals import canonical_dtype
from ..trace.tracer import Tracer
from .dispatch import public, recording
from .promote import SCALARS, alike, broadcast_shapes, lift, promote, retype, stretch
from .promote import aval as aval_of
from .ufunc import Binary, named, straight, unary

# -- one operand, floating

sin = unary("sin", elementwise.sin_p)
cos = unary("cos", elementwise.cos_p)
tan = unary("tan", elementwise.tan_p)
arcsin = unary("arcsin", elementwise.asin_p)
arccos = unary("arccos", elementwise.acos_p)
arctan = unary("arctan", elementwise.atan_p)
asin = unary("asin", elementwise.asin_p)
acos = unary("acos", elementwise.acos_p)
atan = unary("atan", elementwise.atan_p)
sinh = unary("sinh", elementwise.sinh_p)
cosh = unary("cosh", elementwise.cosh_p)
tanh = unary("tanh", elementwise.tanh_p)
arcsinh = unary("arcsinh", elementwise.asinh_p)
arccosh = unary("arccosh", elementwise.acosh_p)
arctanh = unary("arctanh", elementwise.atanh_p)
asinh = unary("asinh", elementwise.asinh_p)
acosh = unary("acosh", elementwise.acosh_p)
atanh = unary("atanh", elementwise.atanh_p)
exp = unary("exp", arith.exp_p)
exp2 = unary("exp2", arith.exp2_p)
expm1 = unary("expm1", arith.expm1_p)
log = unary("log", arith.log_p)
log1p = unary("log1p", arith.log1p_p)
sqrt = unary("sqrt", arith.sqrt_p)
cbrt = unary("cbrt", arith.cbrt_p, "f")
sinc = unary("sinc", guarded.sinc_p, "f")
isfinite = unary("isfinite", arith.is_finite_p)

# -- one operand, of the same dtype


def _as_number(x: Any) -> Any:
    """Booleans as integers, as jax.numpy's promote_dtypes_numeric."""
    return retype(x, promote(x, 0)[0].dtype) if x.aval.dtype.kind == "b" else x


def _unsigned_or_bool(x: Any) -> Any:
    return x


def _refuse_bool(name: str, remedy: str):
    def rule(x: Any, y: Any = None) -> Any:
        raise DTypeError(f"{name} is not defined for booleans, got {x.aval}. {remedy}")

    return rule


negative = unary(
    "negative", families.neg_p, "iufc", False, _refuse_bool("negative", "Use logical_not (~x), or x.astype(int).")
)
abs = unary("abs", arith.abs_p, "ifc", False, _unsigned_or_bool)
absolute = unary("absolute", arith.abs_p, "ifc", False, _unsigned_or_bool)
fabs = unary("fabs", arith.abs_p, "f")
sign = unary("sign", arith.sign_p, "iufc", False, _refuse_bool("sign", "Convert it with .astype(int)."))
floor = unary("floor", arith.floor_p, "f", False, _unsigned_or_bool)
ceil = unary("ceil", arith.ceil_p, "f", False, _unsigned_or_bool)
real = unary("real", convert.real_p, "c", False, _unsigned_or_bool)
conj = unary("conj", convert.conj_p, "c", False, _unsigned_or_bool)
conjugate = unary("conjugate", convert.conj_p, "c", False, _unsigned_or_bool)
invert = unary(
    "invert", elementwise.bitwise_not_p, "biu", False, lambda x: elementwise.bitwise_not(x)
)
bitwise_not = unary("bitwise_not", elementwise.bitwise_not_p, "biu", False)
bitwise_invert = unary("bitwise_invert", elementwise.bitwise_not_p, "biu", False)

# -- two operands

_AND, _OR = elementwise.bitwise_and, elementwise.bitwise_or
ADD = Binary("add", families.add_p, rule=_OR)
SUBTRACT = Binary(
    "subtract", families.sub_p, rule=_refuse_bool("subtract", "Use logical_xor (x ^ y), or convert one with .astype(int).")
)
MULTIPLY = Binary("multiply", families.mul_p, rule=_AND)
DIVIDE = Binary("divide", arith.div_p, inexact=True, kinds="fc")
LESS = Binary("less", compare.lt_p, kinds="biuf")
LESS_EQUAL = Binary("less_equal", compare.le_p, kinds="biuf")
GREATER = Binary("greater", compare.gt_p, kinds="biuf")
GREATER_EQUAL = Binary("greater_equal", compare.ge_p, kinds="biuf")
EQUAL = Binary("equal", compare.eq_p, kinds="biufc")
NOT_EQUAL = Binary("not_equal", compare.ne_p, kinds="biufc")
BITWISE_AND = Binary("bitwise_and", elementwise.bitwise_and_p, kinds="biu")
BITWISE_OR = Binary("bitwise_or", elementwise.bitwise_or_p, kinds="biu")
BITWISE_XOR = Binary("bitwise_xor", elementwise.bitwise_xor_p, kinds="biu")
LEFT_SHIFT = Binary("left_shift", elementwise.shift_left_p, kinds="iu")
RIGHT_SHIFT = Binary(
    "right_shift", elementwise.shift_right_arithmetic_p, kinds="i", rule=elementwise.shift_right_logical
)

add, subtract, multiply, divide = ADD.function, SUBTRACT.function, MULTIPLY.function, DIVIDE.function
true_divide = named(straight(arith.div_p, "fc", divide), "true_divide")
less, less_equal, greater, greater_equal = LESS.function, LESS_EQUAL.function, GREATER.function, GREATER_EQUAL.function
equal, not_equal = EQUAL.function, NOT_EQUAL.function
bitwise_and, bitwise_or, bitwise_xor = BITWISE_AND.function, BITWISE_OR.function, BITWISE_XOR.function
left_shift, right_shift = LEFT_SHIFT.function, RIGHT_SHIFT.function
bitwise_left_shift = named(straight(elementwise.shift_left_p, "iu", left_shift), "bitwise_left_shift")
bitwise_right_shift = named(straight(elementwise.shift_right_arithmetic_p, "i", right_shift), "bitwise_right_shift")
maximum = Binary("maximum", arith.maximum_p, kinds="biuf").function
minimum = Binary("minimum", arith.minimum_p, kinds="biuf").function
arctan2 = Binary("arctan2", elementwise.atan2_p, inexact=True, kinds="f").function
atan2 = Binary("atan2", elementwise.atan2_p, inexact=True, kinds="f").function
hypot = Binary("hypot", guarded.hypot_p, inexact=True, kinds="f").function
logaddexp = Binary("logaddexp", guarded.logaddexp_p, inexact=True, kinds="f").function
nextafter = Binary("nextafter", arith.nextafter_p, inexact=True, kinds="f").function


# -- powers


def _power(x: Any, y: Any) -> Any:
    """x**y: an integer power where y is a Python int, so that it is exact and differentiable at 0."""
    if type(y) is int:
        x = lift(x)
        if x.aval.dtype.kind == "b":
            (x,) = alike(_as_number(x))
        return lifted_like(x, arith.integer_pow(x, y=y))
    if type(y) is float and y == 0.5 and type(x) is Tracer:
        return arith.sqrt(promote(x, y)[0])
    x, y = promote(x, y)
    if x.aval.dtype.kind == "b":
        x, y = _as_number(x), _as_number(y)
    return arith.pow(x, y)


def lifted_like(x: Tracer, y: Any) -> Tracer:
    """`y` as a tracer of x's trace: rules may answer with literals."""
    return y if type(y) is Tracer else x.builder.operand(y, x.aval)


@public("power")
def power(x1: Any, x2: Any, /) -> Any:
    """`jax.numpy.power`, on tracers too."""
    return _power(x1, x2)


@public("pow")
def pow(x1: Any, x2: Any, /) -> Any:
    """`jax.numpy.pow`, on tracers too."""
    return _power(x1, x2)


@public("float_power")
def float_power(x: Any, y: Any, /) -> Any:
    """`jax.numpy.float_power`, on tracers too."""
    return arith.pow(*promote(x, y, inexact=True))


def _square(x: Any) -> Any:
    return lifted_like(x, arith.integer_pow(x, y=2)) if x.aval.dtype.kind != "b" else x


# -- formulas


def formula(native: str, inexact: bool = True):
    """A function written with operators on operands promoted together; its name is the native one."""

    def decorate(fn: Any) -> Any:
        ours = getattr(jnp, native)

        def call(*xs: Any) -> Any:
            if recording(xs, {}):
                return fn(*alike(*xs, inexact=inexact))
            return ours(*xs)

        return named(call, native)

    return decorate


@formula("positive", inexact=False)
def positive(x):
    return x


@formula("square", inexact=False)
def square(x):
    return _square(x)


@formula("reciprocal")
def reciprocal(x):
    return arith.reciprocal(x)


@formula("log2")
def log2(x):
    return arith.log(x) / math.log(2)


@formula("log10")
def log10(x):
    return arith.log(x) / math.log(10)


@formula("logaddexp2")
def logaddexp2(x, y):
    return arith.mul(guarded.logaddexp(x * math.log(2), y * math.log(2)), 1 / math.log(2))


@formula("deg2rad")
def deg2rad(x):
    return x * (math.pi / 180)


@formula("rad2deg")
def rad2deg(x):
    return x * (180 / math.pi)


radians = formula("radians")(lambda x: x * (math.pi / 180))
degrees = formula("degrees")(lambda x: x * (180 / math.pi))


@formula("rint")
def rint(x):
    return _round_complex(x)


def _round_complex(x: Any) -> Any:
    if x.aval.dtype.kind == "c":
        return convert.complex(arith.round(convert.real(x)), arith.round(convert.imag(x)))
    return arith.round(x)


@formula("trunc", inexact=False)
def trunc(x):
    if not is_inexact(x.aval.dtype):
        return x
    return compare.select(compare.lt(x, 0.0), arith.ceil(x), arith.floor(x))


def _trunc_rem(x: Any, y: Any) -> tuple[Any, Any]:
    """What truncated division leaves, and whether rounding toward -inf leaves y more."""
    left = arith.rem(x, y)
    if x.aval.dtype.kind == "u":
        return left, None
    zero = families.zeros_like(x)
    signs_differ = compare.ne(compare.lt(left, zero), compare.lt(y, zero))
    return left, _AND(signs_differ, compare.ne(left, zero))


@formula("remainder", inexact=False)
def remainder(x, y):
    x, y = _as_number(x), _as_number(y)
    left, corrected = _trunc_rem(x, y)
    return left if corrected is None else compare.select(corrected, left + y, left)


mod = formula("mod", inexact=False)(lambda x, y: remainder(x, y))
fmod = formula("fmod", inexact=False)(lambda x, y: arith.rem(_as_number(x), _as_number(y)))


@formula("floor_divide", inexact=False)
def floor_divide(x, y):
    x, y = _as_number(x), _as_number(y)
    if not is_inexact(x.aval.dtype):
        whole = arith.quotient(x, y)
        _, corrected = _trunc_rem(x, y)
        return whole if corrected is None else compare.select(corrected, whole - 1, whole)
    left, corrected = _trunc_rem(x, y)
    whole = arith.div(x - left, y)
    return arith.round(compare.select(corrected, whole - 1, whole), away=True)


@public("divmod")
def divmod(x1: Any, x2: Any, /) -> tuple[Any, Any]:
    """`jax.numpy.divmod`, on tracers too."""
    return floor_divide(x1, x2), remainder(x1, x2)


@public("modf")
def modf(x: Any, /, out: None = None) -> tuple[Any, Any]:
    """`jax.numpy.modf`, on tracers too."""
    (x,) = alike(x, inexact=True)
    whole = trunc(x)
    return x - whole, whole


def _truth(x: Any) -> Any:
    return x if x.aval.dtype.kind == "b" else compare.ne(x, families.zeros_like(x))


def _logical(name: str, op: Any) -> Any:
    return formula(name, inexact=False)(lambda *xs: op(*map(_truth, xs)))


logical_and = _logical("logical_and", _AND)
logical_or = _logical("logical_or", _OR)
logical_xor = _logical("logical_xor", elementwise.bitwise_xor)
logical_not = _logical("logical_not", elementwise.bitwise_not)


def _filled(x: Any, value: bool) -> Any:
    return lifted_like(x, families.fill(value, x.aval.retyped(families.BOOL)))


@formula("isnan", inexact=False)
def isnan(x):
    return compare.ne(x, x) if is_inexact(x.aval.dtype) else _filled(x, False)


@formula("isinf", inexact=False)
def isinf(x):
    if not is_inexact(x.aval.dtype):
        return _filled(x, False)
    if x.aval.dtype.kind == "c":
        return _OR(compare.eq(arith.abs(convert.real(x)), math.inf), compare.eq(arith.abs(convert.imag(x)), math.inf))
    return compare.eq(arith.abs(x), math.inf)


@formula("isposinf", inexact=False)
def isposinf(x):
    return compare.eq(x, math.inf) if is_inexact(x.aval.dtype) else _filled(x, False)


@formula("isneginf", inexact=False)
def isneginf(x):
    return compare.eq(x, -math.inf) if is_inexact(x.aval.dtype) else _filled(x, False)


@formula("signbit", inexact=False)
def signbit(x):
    # The sign of 1/x tells -0.0 from 0.0.
    if not is_inexact(x.aval.dtype):
        return compare.lt(x, families.zeros_like(x)) if x.aval.dtype.kind == "i" else _filled(x, False)
    return compare.lt(compare.select(compare.eq(x, 0.0), arith.div(1.0, x), x), 0.0)


@formula("copysign")
def copysign(x, y):
    return compare.select(signbit(y), -arith.abs(x), arith.abs(x))


@formula("heaviside")
def heaviside(x, y):
    step = compare.select(compare.lt(x, 0.0), families.zeros_like(x), families.fill(1.0, x.aval))
    return compare.select(isnan(x), x, compare.select(compare.eq(x, 0.0), y, step))


@formula("fmax", inexact=False)
def fmax(x, y):
    return compare.select(_OR(compare.gt(x, y), isnan(y)), x, y)


@formula("fmin", inexact=False)
def fmin(x, y):
    return compare.select(_OR(compare.lt(x, y), isnan(y)), x, y)


@formula("imag", inexact=False)
def imag(x):
    return convert.imag(x) if x.aval.dtype.kind == "c" else lifted_like(x, families.zeros_like(x))


@public("angle")
def angle(z: Any, deg: bool = False) -> Any:
    """`jax.numpy.angle`, on tracers too."""
    (z,) = alike(z, inexact=True)
    parts = (convert.imag(z), convert.real(z)) if z.aval.dtype.kind == "c" else (lifted_like(z, families.zeros_like(z)), z)
    out = elementwise.atan2(*parts)
    return out * (180 / math.pi) if deg else out


@public("round")
def round(a: Any, decimals: int = 0, out: None = None) -> Any:
    """`jax.numpy.round`, on tracers too."""
    (a,) = alike(a)
    if not is_inexact(a.aval.dtype):
        if decimals >= 0:
            return a
        raise NotImplementedError("round of integers to negative decimals is not defined in jax.numpy either.")
    if decimals == 0:
        return _round_complex(a)
    factor = 10.0**decimals
    return _round_complex(a * factor) / factor


around = public("around")(round.__wrapped__)  # type: ignore[attr-defined]


@public("nan_to_num")
def nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    """`jax.numpy.nan_to_num`, on tracers too."""
    (x,) = alike(x)
    if not is_inexact(x.aval.dtype):
        return x
    if x.aval.dtype.kind == "c":
        parts = (nan_to_num(p, copy, nan, posinf, neginf) for p in (convert.real(x), convert.imag(x)))
        return convert.complex(*parts)
    info = jnp.finfo(x.dtype)
    posinf = float(info.max) if posinf is None else posinf
    neginf = float(info.min) if neginf is None else neginf
    x = where(isnan(x), alike(nan, x)[0] if type(nan) not in SCALARS else nan, x)
    return where(compare.eq(x, -math.inf), neginf, where(compare.eq(x, math.inf), posinf, x))


# -- choosing


@public("where")
def where(condition: Any, x: Any = None, y: Any = None, /, *, size: Any = None, fill_value: Any = None) -> Any:
    """`jax.numpy.where` of three arguments, on tracers too."""
    if x is None or y is None:
        raise DTypeError("where(mask) alone has a shape that depends on values; give where(mask, x, y).")
    return select_of(condition, *promote(x, y))


def select_of(mask: Any, x: Any, y: Any) -> Any:
    """x where mask, else y; x and y agree, the mask broadcasts with them."""
    (mask,) = alike(mask)
    mask = _truth(mask)
    if mask.aval.shape != x.aval.shape:
        mask, x, y = stretched(mask, x, y)
    return compare.select(mask, x, y)


def stretched(*xs: Any) -> list[Any]:
    shape = broadcast_shapes([x.aval.shape for x in xs])
    return [stretch(x, shape) for x in xs]


@public("select")
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """`jax.numpy.select`, on tracers too."""
    if len(condlist) != len(choicelist) or not condlist:
        raise ValueError(f"select needs as many conditions as choices, got {len(condlist)} and {len(choicelist)}.")
    *choices, out = promote(*choicelist, default)
    for mask, choice in zip(condlist[::-1], choices[::-1], strict=True):
        out = select_of(mask, choice, out)
    return out


@public("clip")
def clip(arr: Any = None, /, min: Any = None, max: Any = None, *, a: Any = None, a_min: Any = None, a_max: Any = None) -> Any:
    """`jax.numpy.clip`, on tracers too."""
    arr = a if arr is None else arr
    low, high = (a_min if min is None else min), (a_max if max is None else max)
    if low is not None:
        arr = maximum(arr, low)
    if high is not None:
        arr = minimum(arr, high)
    return lift(arr)


@public("isclose")
def isclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Any:
    """`jax.numpy.isclose`, on tracers too."""
    a, b = alike(a, b, inexact=True)
    near = compare.le(arith.abs(a - b), arith.abs(b) * rtol + atol)
    finite = _AND(arith.is_finite(a), arith.is_finite(b))
    out = _OR(_AND(finite, near), compare.eq(a, b))
    return _OR(out, _AND(isnan(a), isnan(b))) if equal_nan else out


@public("astype")
def astype(x: Any, dtype: Any, /, *, copy: bool = False, device: Any = None) -> Any:
    """`jax.numpy.astype`, on tracers too."""
    return retype(lift(x), canonical_dtype(float if dtype is None else dtype))


def in_kinds(x: Any, kinds: str) -> bool:
    return families.kind(aval_of(x).dtype) in kinds


def iscomplexobj(x: Any) -> bool:
    """`jax.numpy.iscomplexobj`, on tracers too."""
    return in_kinds(x, "c") if type(x) is Tracer else jnp.iscomplexobj(x)


def isrealobj(x: Any) -> bool:
    """`jax.numpy.isrealobj`, on tracers too."""
    return not iscomplexobj(x)
