"""The elementwise functions that are one primitive each."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir.errors import DTypeError
from ..ops import arith, compare, convert, elementwise, families, guarded
from .promote import retype
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


def as_number(x: Any) -> Any:
    """Booleans as integers, of the dtype jax.numpy takes."""
    return retype(x, np.dtype("int32")) if x.aval.dtype.kind == "b" else x


def _as_is(x: Any) -> Any:
    return x


def _refuse_bool(name: str, remedy: str):
    def rule(x: Any, y: Any = None) -> Any:
        raise DTypeError(f"{name} is not defined for booleans, got {x.aval}. {remedy}")

    return rule


negative = unary(
    "negative", families.neg_p, "iufc", False, _refuse_bool("negative", "Use logical_not (~x), or x.astype(int).")
)
abs = unary("abs", arith.abs_p, "ifc", False, _as_is)
absolute = unary("absolute", arith.abs_p, "ifc", False, _as_is)
fabs = unary("fabs", arith.abs_p, "f")
sign = unary("sign", arith.sign_p, "iufc", False, _refuse_bool("sign", "Convert it with .astype(int)."))
floor = unary("floor", arith.floor_p, "f", False, _as_is)
ceil = unary("ceil", arith.ceil_p, "f", False, _as_is)
real = unary("real", convert.real_p, "c", False, _as_is)
conj = unary("conj", convert.conj_p, "c", False, _as_is)
conjugate = unary("conjugate", convert.conj_p, "c", False, _as_is)
invert = unary("invert", elementwise.bitwise_not_p, "biu", False, lambda x: elementwise.bitwise_not(x))
bitwise_not = unary("bitwise_not", elementwise.bitwise_not_p, "biu", False)
bitwise_invert = unary("bitwise_invert", elementwise.bitwise_not_p, "biu", False)

# -- two operands

AND, OR = elementwise.bitwise_and, elementwise.bitwise_or
ADD = Binary("add", families.add_p, rule=OR)
SUBTRACT = Binary(
    "subtract",
    families.sub_p,
    rule=_refuse_bool("subtract", "Use logical_xor (x ^ y), or convert one with .astype(int)."),
)
MULTIPLY = Binary("multiply", families.mul_p, rule=AND)
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
