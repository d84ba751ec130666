"""Trigonometry and hyperbolas, and the bits of integers."""

from __future__ import annotations

from typing import Any

from ..ir.graph import Aval
from ..trace.builder import bind1
from .arith import add, div, mul, neg, reciprocal, rsqrt, square, sub
from .compare import eq, select
from .families import elementwise, no_derivative
from .operands import fill, require_kind, same_type, zeros_like


def sin(x: Any) -> Any:
    return bind1(sin_p, x)


def cos(x: Any) -> Any:
    return bind1(cos_p, x)


def tan(x: Any) -> Any:
    return bind1(tan_p, x)


def asin(x: Any) -> Any:
    return bind1(asin_p, x)


def acos(x: Any) -> Any:
    return bind1(acos_p, x)


def atan(x: Any) -> Any:
    return bind1(atan_p, x)


def atan2(y: Any, x: Any) -> Any:
    """The angle of the point (x, y)."""
    return bind1(atan2_p, y, x)


def sinh(x: Any) -> Any:
    return bind1(sinh_p, x)


def cosh(x: Any) -> Any:
    return bind1(cosh_p, x)


def tanh(x: Any) -> Any:
    return bind1(tanh_p, x)


def asinh(x: Any) -> Any:
    return bind1(asinh_p, x)


def acosh(x: Any) -> Any:
    return bind1(acosh_p, x)


def atanh(x: Any) -> Any:
    return bind1(atanh_p, x)


def _one_minus_square(x):
    # As a product, 1 - x² keeps its digits near x = ±1.
    return mul(sub(1.0, x), add(x, 1.0))


def _over_square(x, y):
    """x / (x² + y²), and 0 at the origin, where there is no angle."""
    size = add(square(x), square(y))
    nowhere = eq(size, 0.0)
    return select(nowhere, zeros_like(size), div(x, select(nowhere, fill(1.0, size.aval), size)))


sin_p = elementwise("sin", emit="lax.sin({})", partials=(lambda out, x: cos(x),))
cos_p = elementwise("cos", emit="lax.cos({})", partials=(lambda out, x: neg(sin(x)),))
tan_p = elementwise("tan", emit="lax.tan({})", partials=(lambda out, x: add(square(out), 1.0),))
asin_p = elementwise("asin", emit="lax.asin({})", partials=(lambda out, x: rsqrt(_one_minus_square(x)),))
acos_p = elementwise("acos", emit="lax.acos({})", partials=(lambda out, x: neg(rsqrt(_one_minus_square(x))),))
atan_p = elementwise("atan", emit="lax.atan({})", partials=(lambda out, x: reciprocal(add(square(x), 1.0)),))
atan2_p = elementwise(
    "atan2",
    emit="jnp.atan2({}, {})",
    call="atan2",
    partials=(
        lambda out, y, x: _over_square(x, y),
        lambda out, y, x: neg(_over_square(y, x)),
    ),
    kinds="f",
)
sinh_p = elementwise("sinh", emit="lax.sinh({})", partials=(lambda out, x: cosh(x),))
cosh_p = elementwise("cosh", emit="lax.cosh({})", partials=(lambda out, x: sinh(x),))
tanh_p = elementwise("tanh", emit="lax.tanh({})", partials=(lambda out, x: sub(1.0, square(out)),))
asinh_p = elementwise("asinh", emit="lax.asinh({})", partials=(lambda out, x: rsqrt(add(square(x), 1.0)),))


def _acosh_slope(out: Any, x: Any) -> Any:
    below, above = sub(x, 1.0), add(x, 1.0)
    if x.dtype.kind == "c":  # the root of the product is on the wrong branch for half of the complex plane
        return mul(rsqrt(below), rsqrt(above))
    return rsqrt(mul(below, above))


acosh_p = elementwise(
    "acosh",
    emit="lax.acosh({})",
    partials=(_acosh_slope,),
)
atanh_p = elementwise("atanh", emit="lax.atanh({})", partials=(lambda out, x: reciprocal(_one_minus_square(x)),))


# -- bits


def bitwise_and(x: Any, y: Any) -> Any:
    return bind1(bitwise_and_p, x, y)


def bitwise_or(x: Any, y: Any) -> Any:
    return bind1(bitwise_or_p, x, y)


def bitwise_xor(x: Any, y: Any) -> Any:
    return bind1(bitwise_xor_p, x, y)


def bitwise_not(x: Any) -> Any:
    return bind1(bitwise_not_p, x)


def shift_left(x: Any, y: Any) -> Any:
    return bind1(shift_left_p, x, y)


def shift_right_arithmetic(x: Any, y: Any) -> Any:
    """Signed integers shifted right, the sign repeated."""
    return bind1(shift_right_arithmetic_p, x, y)


def shift_right_logical(x: Any, y: Any) -> Any:
    """Bits shifted right, zeros coming in."""
    return bind1(shift_right_logical_p, x, y)


def population_count(x: Any) -> Any:
    """How many bits are set."""
    return bind1(population_count_p, x)


def clz(x: Any) -> Any:
    """How many leading bits are zero."""
    return bind1(clz_p, x)


def _bits(name: str, emit: str, kinds: str, scalars: bool = True):
    def infer(*xs: Aval) -> tuple[Aval]:
        require_kind(name, xs[0], kinds)
        return (same_type(name, *xs),)

    return no_derivative(name, infer, emit, scalars=scalars)


bitwise_and_p = _bits("bitwise_and", "{} & {}", "biu")
bitwise_or_p = _bits("bitwise_or", "{} | {}", "biu")
bitwise_xor_p = _bits("bitwise_xor", "{} ^ {}", "biu")
bitwise_not_p = _bits("bitwise_not", "~{}", "biu")
shift_left_p = _bits("shift_left", "{} << {}", "iu")
shift_right_arithmetic_p = _bits("shift_right_arithmetic", "{} >> {}", "i")
shift_right_logical_p = _bits("shift_right_logical", "lax.shift_right_logical({}, {})", "iu", scalars=False)
population_count_p = _bits("population_count", "lax.population_count({})", "iu")
clz_p = _bits("clz", "lax.clz({})", "iu")
