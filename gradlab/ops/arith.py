"""Arithmetic: the four operations, powers and roots, exponentials and logarithms, rounding."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..ir.errors import DTypeError
from ..ir.graph import Aval, Lit
from ..ir.primitive import Primitive, Refused
from ..trace.builder import bind1
from .compare import eq, ge, le, select
from .convert import complex, imag, part_dtype, real
from .costs import DIVIDES, EACH, absolute, power
from .families import ONE, add_p, batch_elementwise, elementwise, mul_p, neg_p, no_derivative, sub_p
from .operands import BOOL, fill, or_zeros, require_kind, same_type, zeros_like


def add(x: Any, y: Any) -> Any:
    return bind1(add_p, x, y)


def sub(x: Any, y: Any) -> Any:
    return bind1(sub_p, x, y)


def mul(x: Any, y: Any) -> Any:
    return bind1(mul_p, x, y)


def neg(x: Any) -> Any:
    return bind1(neg_p, x)


# -- division


def div(x: Any, y: Any) -> Any:
    return bind1(div_p, x, y)


def quotient(x: Any, y: Any) -> Any:
    """Integer division rounded toward zero, as lax.div."""
    return bind1(quotient_p, x, y)


def rem(x: Any, y: Any) -> Any:
    """What division rounded toward zero leaves; it has the sign of x."""
    return bind1(rem_p, x, y)


def _div_jvp(xs, tangents):
    x, y = xs
    dx, dy = tangents
    out = div(x, y)
    if dy is None:
        return (out,), (div(dx, y),)
    if dx is None:
        return (out,), (mul(neg(div(out, y)), dy),)
    return (out,), (div(sub(dx, mul(out, dy)), y),)


def _div_transpose(cts, active, x, y):
    return (div(cts[0], y), None) if active[0] and not active[1] else _nonlinear_div()


_nonlinear_div = Refused("div is linear only in its first operand; only linear equations are transposed")

div_p = elementwise(
    "div",
    emit="{} / {}",
    call="div",
    jvp=_div_jvp,
    transpose=_div_transpose,
    fold=lambda x, y: None if x.dtype.kind == "c" else np.true_divide(x, y),
    cost=DIVIDES,
)


def _same(name: str, kinds: str):
    """The infer of operands that agree, of the given kinds."""

    def infer(*xs: Aval, **params: Any) -> tuple[Aval]:
        require_kind(name, xs[0], kinds)
        return (same_type(name, *xs),)

    return infer


quotient_p = no_derivative("quotient", infer=_same("quotient", "iu"), emit="lax.div({}, {})", scalars=False)


def _truncated_ratio(x, y):
    ratio = div(x, y)
    return mul(sign(ratio), floor(abs(ratio)))


rem_p = elementwise(
    "rem",
    emit="lax.rem({}, {})",
    partials=(ONE, lambda out, x, y: neg(_truncated_ratio(x, y))),
    kinds="iuf",
    scalars=False,
    cost=EACH,
)


# -- powers and roots


def integer_pow(x: Any, *, y: int) -> Any:
    """x^y for a static integer y."""
    if y == 0:
        return fill(1.0 if x.dtype.kind not in "iu" else 1, x.aval)
    return x if y == 1 else bind1(integer_pow_p, x, y=y)


def square(x: Any) -> Any:
    return integer_pow(x, y=2)


def reciprocal(x: Any) -> Any:
    return integer_pow(x, y=-1)


def pow(x: Any, y: Any) -> Any:
    return bind1(pow_p, x, y)


def sqrt(x: Any) -> Any:
    return bind1(sqrt_p, x)


def rsqrt(x: Any) -> Any:
    return bind1(rsqrt_p, x)


def cbrt(x: Any) -> Any:
    return bind1(cbrt_p, x)


def _integer_pow_infer(x: Aval, *, y: int) -> tuple[Aval]:
    require_kind("integer_pow", x, "iufc")
    if y < 0 and x.dtype.kind in "iu":
        raise DTypeError(f"integers have no negative powers, got {x} to the power {y}. Convert it to floating first.")
    return (x,)


def _integer_pow_partial(out, x, *, y):
    return neg(mul(out, out)) if y == -1 else mul(float(y), integer_pow(x, y=y - 1))


integer_pow_p = elementwise(
    "integer_pow",
    emit=lambda x, *, y: f"1 / {x}" if y == -1 else f"{x} ** {y}",
    partials=(_integer_pow_partial,),
    infer=_integer_pow_infer,
    call=lambda x, *, y: f"lax.integer_pow({x}, {y})",
    cost=power,
)


def _pow_by_base(out, x, y):
    """y·x^(y-1), and 0 where y is 0, even at x = 0."""
    if isinstance(y, Lit):
        return zeros_like(x) if y.value == 0 else mul(y, pow(x, fill(y.value - 1, y.aval)))
    constant = eq(y, 0.0)
    return select(constant, zeros_like(x), mul(y, pow(x, select(constant, fill(1.0, y.aval), sub(y, 1.0)))))


def _pow_by_exponent(out, x, y):
    """log(x)·x^y, and 0·x^y where x is 0."""
    if isinstance(x, Lit):
        return zeros_like(x) if x.value == 0 else mul(log(x), out)
    return mul(log(select(eq(x, 0.0), fill(1.0, x.aval), x)), out)


pow_p = elementwise("pow", emit="{} ** {}", partials=(_pow_by_base, _pow_by_exponent), kinds="iufc")

sqrt_p = elementwise("sqrt", emit="lax.sqrt({})", partials=(lambda out, x: div(0.5, out),))
rsqrt_p = elementwise("rsqrt", emit="lax.rsqrt({})", partials=(lambda out, x: mul(-0.5, div(out, x)),))
cbrt_p = elementwise(
    "cbrt", emit="jnp.cbrt({})", partials=(lambda out, x: mul(1 / 3, integer_pow(out, y=-2)),), kinds="f"
)


# -- exponentials and logarithms


def exp(x: Any) -> Any:
    return bind1(exp_p, x)


def exp2(x: Any) -> Any:
    return bind1(exp2_p, x)


def expm1(x: Any) -> Any:
    return bind1(expm1_p, x)


def log(x: Any) -> Any:
    return bind1(log_p, x)


def log1p(x: Any) -> Any:
    return bind1(log1p_p, x)


def logistic(x: Any) -> Any:
    """1 / (1 + exp(-x))."""
    return bind1(logistic_p, x)


exp_p = elementwise("exp", emit="lax.exp({})", partials=(lambda out, x: out,))
exp2_p = elementwise("exp2", emit="jnp.exp2({})", partials=(lambda out, x: mul(math.log(2), out),))
expm1_p = elementwise("expm1", emit="lax.expm1({})", partials=(lambda out, x: add(out, 1.0),))
log_p = elementwise("log", emit="lax.log({})", partials=(lambda out, x: reciprocal(x),))
log1p_p = elementwise("log1p", emit="lax.log1p({})", partials=(lambda out, x: reciprocal(add(x, 1.0)),))
logistic_p = elementwise("logistic", emit="lax.logistic({})", partials=(lambda out, x: mul(out, sub(1.0, out)),))


# -- the larger, the smaller, the size


def maximum(x: Any, y: Any) -> Any:
    """The larger; NaN if either is. The derivative of a tie goes to the first."""
    return bind1(maximum_p, x, y)


def minimum(x: Any, y: Any) -> Any:
    """The smaller; NaN if either is. The derivative of a tie goes to the first."""
    return bind1(minimum_p, x, y)


def clamp(low: Any, x: Any, high: Any) -> Any:
    """`x` kept between `low` and `high`; on a bound, the derivative is x's."""
    return minimum(maximum(x, low), high)


def abs(x: Any) -> Any:
    """|x|, real also where x is complex; its derivative at 0 is 0."""
    return bind1(abs_p, x)


def _first_if(first_wins, function):
    """The jvp of picking x or y: the tangent of whichever is picked, x's on a tie."""

    def jvp(xs, tangents):
        return (function(*xs),), (select(first_wins(*xs), *or_zeros(tangents, xs)),)

    return jvp


maximum_p = elementwise(
    "maximum",
    emit="jnp.maximum({}, {})",
    call="max",
    jvp=_first_if(ge, maximum),
    kinds="biuf",
    fold=np.maximum,
    cost=EACH,
)
minimum_p = elementwise(
    "minimum",
    emit="jnp.minimum({}, {})",
    call="min",
    jvp=_first_if(le, minimum),
    kinds="biuf",
    fold=np.minimum,
    cost=EACH,
)


def _abs_infer(x: Aval) -> tuple[Aval]:
    require_kind("abs", x, "iufc")
    return (x.retyped(part_dtype(x.dtype), x.weak),)


def _abs_jvp(xs, tangents):
    (x,), (dx,) = xs, tangents
    out = abs(x)
    if x.dtype.kind != "c":
        return (out,), (mul(sign(x), dx),)
    at_zero = eq(out, 0.0)
    size, nothing = select(at_zero, fill(1.0, out.aval), out), zeros_like(out)
    # conj(x) / |x| by its parts: a complex division takes longer than both of these.
    parts = (select(at_zero, nothing, div(part, size)) for part in (real(x), neg(imag(x))))
    return (out,), (real(mul(complex(*parts), dx)),)


abs_p = Primitive(
    name="abs",
    infer=_abs_infer,
    emit="jnp.abs({})".format,
    jvp=_abs_jvp,
    transpose=Refused("abs is not linear; only linear equations are transposed"),
    batch=batch_elementwise(lambda: abs_p),
    cost=absolute,
    scalars=True,
)


# -- steps: constant almost everywhere


def sign(x: Any) -> Any:
    """-1, 0 or 1; of a complex number x/|x|, of which, as in JAX, no derivative is taken."""
    return bind1(sign_p, x)


def floor(x: Any) -> Any:
    return bind1(floor_p, x)


def ceil(x: Any) -> Any:
    return bind1(ceil_p, x)


def round(x: Any, *, away: bool = False) -> Any:
    """The nearest whole number; of two equally near the even one, or with `away` the one farther from zero."""
    return bind1(round_p, x, away=away)


def nextafter(x: Any, y: Any) -> Any:
    """The next number after x in the direction of y."""
    return bind1(nextafter_p, x, y)


def is_finite(x: Any) -> Any:
    return bind1(is_finite_p, x)


def _round_emit(x, *, away):
    return f"lax.round({x}, lax.RoundingMethod.AWAY_FROM_ZERO)" if away else f"jnp.round({x})"


def _is_finite_infer(x: Aval) -> tuple[Aval]:
    require_kind("is_finite", x, "fc")
    return (x.retyped(BOOL),)


sign_p = no_derivative("sign", infer=_same("sign", "iufc"), emit="lax.sign({})")
floor_p = no_derivative("floor", infer=_same("floor", "f"), emit="lax.floor({})")
ceil_p = no_derivative("ceil", infer=_same("ceil", "f"), emit="lax.ceil({})")
round_p = no_derivative("round", infer=_same("round", "f"), emit=_round_emit)
nextafter_p = no_derivative("nextafter", infer=_same("nextafter", "f"), emit="jnp.nextafter({}, {})")
is_finite_p = no_derivative("is_finite", infer=_is_finite_infer, emit="jnp.isfinite({})")
