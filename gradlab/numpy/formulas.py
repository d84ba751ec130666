"""The elementwise functions that are a short formula of primitives: powers, remainders, roundings, tests."""

from __future__ import annotations

import inspect
import math
from typing import Any

import jax.numpy as jnp

from ..ir.errors import ArgumentError, MissingRuleError
from ..ir.graph import is_inexact
from ..ops import arith, compare, convert, elementwise, guarded, operands
from ..trace.avals import canonical_dtype
from ..trace.tracer import Tracer
from .aliasing import own, sharing
from .dispatch import is_operand, public, read_held, recording
from .elementwise import AND, OR, as_number
from .promote import alike, lift, promote, retype
from .ufunc import named, straight

# -- powers


def _power(x: Any, y: Any) -> Any:
    """x**y: an integer power where y is a Python int, so that it is exact and differentiable at 0."""
    if type(y) is int:
        x = lift(x)
        if x.aval.dtype.kind == "b":
            (x,) = alike(as_number(x))
        return own(lifted_like(x, arith.integer_pow(x, y=y)), (x,))
    if type(y) is float and y == 0.5 and type(x) is Tracer:
        return arith.sqrt(promote(x, y)[0])
    x, y = promote(x, y)
    if x.aval.dtype.kind == "b":
        x, y = as_number(x), as_number(y)
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
    x = as_number(x)
    return lifted_like(x, arith.integer_pow(x, y=2))


# -- formulas


def formula(native: str, inexact: bool = True):
    """A function written with operators on operands promoted together; its name is the native one."""

    def decorate(fn: Any) -> Any:
        ours = getattr(jnp, native)
        known = sharing(native)
        signature = inspect.signature(ours)

        def call(*xs: Any, **by_name: Any) -> Any:
            if by_name:
                xs = in_order(native, signature, xs, by_name)
            if recording(xs, {}):
                like = alike(*xs, inexact=inexact)
                return known(fn(*like), tuple(like), {})
            return ours(*read_held(xs))

        if any(p.kind is p.VAR_POSITIONAL for p in signature.parameters.values()):  # one of jax.numpy's ufuncs
            own_ones = inspect.signature(fn).parameters.values()
            shown = inspect.Signature([p.replace(kind=p.POSITIONAL_ONLY) for p in own_ones])
        else:
            shown = signature
        call.__signature__ = shown  # type: ignore[attr-defined]
        return named(call, native)

    return decorate


def in_order(name: str, signature: inspect.Signature, xs: tuple, by_name: dict[str, Any]) -> tuple[Any, ...]:
    """The operands by position, of a call that names some.

    **Raises:** `ArgumentError` for `out` and `where`, which jax.numpy has and refuses too.
    """
    given = signature.bind(*xs, **by_name)
    for option in ("out", "where"):
        if given.arguments.pop(option, None) is not None:
            raise ArgumentError(f"{name} writes into no array and computes all elements: leave {option}= away.")
    return tuple(x for value in given.arguments.values() for x in (value if isinstance(value, tuple) else (value,)))


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


@formula("rint", inexact=False)
def rint(x):
    return _round_complex(x if is_inexact(x.aval.dtype) else retype(x, canonical_dtype(float), x.weak_type))


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
    zero = operands.zeros_like(x)
    signs_differ = compare.ne(compare.lt(left, zero), compare.lt(y, zero))
    return left, AND(signs_differ, compare.ne(left, zero))


@formula("remainder", inexact=False)
def remainder(x, y):
    x, y = as_number(x), as_number(y)
    left, corrected = _trunc_rem(x, y)
    return left if corrected is None else compare.select(corrected, left + y, left)


mod = formula("mod", inexact=False)(lambda x, y: remainder(x, y))
fmod = formula("fmod", inexact=False)(lambda x, y: arith.rem(as_number(x), as_number(y)))


@formula("floor_divide", inexact=False)
def floor_divide(x, y):
    x, y = as_number(x), as_number(y)
    if not is_inexact(x.aval.dtype):
        whole = arith.quotient(x, y)
        _, corrected = _trunc_rem(x, y)
        return whole if corrected is None else compare.select(corrected, whole - 1, whole)
    left, corrected = _trunc_rem(x, y)
    whole = arith.div(x - left, y)
    whole = arith.round(compare.select(corrected, whole - 1, whole), away=True)
    return compare.select(compare.eq(y, 0.0), arith.div(x, y), whole)


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


def truth(x: Any) -> Any:
    return x if x.aval.dtype.kind == "b" else compare.ne(x, operands.zeros_like(x))


def _logical(name: str, op: Any) -> Any:
    return formula(name, inexact=False)(lambda x, y: op(truth(x), truth(y)))


logical_and = _logical("logical_and", AND)
logical_or = _logical("logical_or", OR)
logical_xor = _logical("logical_xor", elementwise.bitwise_xor)


@formula("logical_not", inexact=False)
def logical_not(x):
    return elementwise.bitwise_not(truth(x))


def _filled(x: Any, value: bool) -> Any:
    return lifted_like(x, operands.fill(value, x.aval.retyped(operands.BOOL)))


@formula("isnan", inexact=False)
def isnan(x):
    return compare.ne(x, x) if is_inexact(x.aval.dtype) else _filled(x, False)


@formula("isinf", inexact=False)
def isinf(x):
    if not is_inexact(x.aval.dtype):
        return _filled(x, False)
    if x.aval.dtype.kind == "c":
        return OR(compare.eq(arith.abs(convert.real(x)), math.inf), compare.eq(arith.abs(convert.imag(x)), math.inf))
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
        return compare.lt(x, operands.zeros_like(x)) if x.aval.dtype.kind == "i" else _filled(x, False)
    return compare.lt(compare.select(compare.eq(x, 0.0), arith.div(1.0, x), x), 0.0)


@formula("copysign")
def copysign(x, y):
    out = compare.select(signbit(y), -arith.abs(x), arith.abs(x))
    return retype(out, x.dtype, x.weak_type and y.weak_type)


@formula("heaviside")
def heaviside(x, y):
    step = compare.select(compare.lt(x, 0.0), operands.zeros_like(x), operands.fill(1.0, x.aval))
    return compare.select(isnan(x), x, compare.select(compare.eq(x, 0.0), y, step))


@formula("fmax", inexact=False)
def fmax(x, y):
    return compare.select(OR(compare.ge(x, y), isnan(y)), x, y)


@formula("fmin", inexact=False)
def fmin(x, y):
    return compare.select(OR(compare.le(x, y), isnan(y)), x, y)


@formula("imag", inexact=False)
def imag(x):
    return convert.imag(x) if x.aval.dtype.kind == "c" else lifted_like(x, operands.zeros_like(x))


@public("angle")
def angle(z: Any, deg: bool = False) -> Any:
    """`jax.numpy.angle`, on tracers too."""
    (z,) = alike(z, inexact=True)
    parts = (
        (convert.imag(z), convert.real(z)) if z.aval.dtype.kind == "c" else (lifted_like(z, operands.zeros_like(z)), z)
    )
    out = elementwise.atan2(*parts)
    return out * (180 / math.pi) if deg else out


@public("round")
def round(a: Any, decimals: int = 0, out: None = None) -> Any:
    """`jax.numpy.round`, on tracers too."""
    (a,) = alike(a)
    if not is_inexact(a.aval.dtype):
        if decimals >= 0:
            return a
        raise MissingRuleError(
            "round of integers to negative decimals is not defined in jax.numpy either. Convert with .astype(float)."
        )
    if decimals == 0:
        return _round_complex(a)
    factor = 10.0**decimals
    return _round_complex(a * factor) / factor


around = public("around")(round.__wrapped__)  # type: ignore[attr-defined]


@public("isclose")
def isclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Any:
    """`jax.numpy.isclose`, on tracers too."""
    a, b = alike(a, b, inexact=True)
    near = compare.le(arith.abs(a - b), arith.abs(b) * rtol + atol)
    finite = AND(arith.is_finite(a), arith.is_finite(b))
    out = OR(AND(finite, near), compare.eq(a, b))
    return OR(out, AND(isnan(a), isnan(b))) if equal_nan else out


POWER = straight(arith.pow_p, "", lambda x, y: _power(x, y) if is_operand(y) else NotImplemented)


def power_swapped(y: Any, x: Any) -> Any:
    """The reflected operator `x ** y`."""
    return _power(x, y) if is_operand(x) else NotImplemented
