"""What floating-point numbers are made of, and the arithmetic of integers that XLA needs a loop for."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir.errors import DTypeError, ShapeError
from ..ir.graph import Aval
from ..ir.primitive import Primitive, Refused
from ..trace.builder import bind, bind1
from .arith import div
from .compare import eq, select
from .costs import EACH
from .families import batch_elementwise, elementwise, no_derivative
from .operands import fill, require_kind, same_type

INT32 = np.dtype("int32")


def ldexp(x: Any, n: Any) -> Any:
    """x · 2ⁿ, with integers n."""
    return bind1(ldexp_p, x, n)


def mantissa(x: Any) -> Any:
    """x · 2⁻ⁿ with the n that brings it to [½, 1); 0, infinities and NaN as they are."""
    return bind1(mantissa_p, x)


def exponent(x: Any) -> Any:
    """The n of `mantissa`, an int32."""
    return bind1(exponent_p, x)


def spacing(x: Any) -> Any:
    """The distance to the next number away from 0, with x's sign."""
    return bind1(spacing_p, x)


def gcd(x: Any, y: Any) -> Any:
    """The greatest common divisor of integers."""
    return bind1(gcd_p, x, y)


def _ldexp_infer(x: Aval, n: Aval) -> tuple[Aval]:
    require_kind("ldexp", x, "f")
    if n.dtype.kind not in "iu":
        raise DTypeError(f"ldexp needs integer exponents, got {n}. Convert them with .astype(int).")
    if n.shape != x.shape:
        raise ShapeError(f"ldexp needs as many exponents as numbers, got {x} and {n}. Broadcast one of them.")
    return (Aval(x.shape, x.dtype),)


ldexp_p = Primitive(
    name="ldexp",
    infer=_ldexp_infer,
    emit=lambda x, n: f"jnp.ldexp({x}, {n})",
    jvp=lambda xs, ts: (bind(ldexp_p, *xs), (None if ts[0] is None else ldexp(ts[0], xs[1]),)),
    transpose=lambda cts, active, x, n: (ldexp(cts[0], n), None),
    batch=batch_elementwise(lambda: ldexp_p),
    cost=EACH,
)


def _exponent_infer(x: Aval) -> tuple[Aval]:
    require_kind("exponent", x, "f")
    return (Aval(x.shape, INT32),)


def _mantissa_slope(out, x):
    # The quotient is a power of two, so it is exact; 0 and infinities are their own mantissas.
    whole = eq(out, x)
    return select(whole, fill(1.0, x.aval), div(out, select(whole, fill(1.0, x.aval), x)))


mantissa_p = elementwise(
    "mantissa", emit="jnp.frexp({})[0]", partials=(_mantissa_slope,), kinds="f", scalars=False, cost=EACH
)
exponent_p = no_derivative("exponent", _exponent_infer, "jnp.frexp({})[1]", scalars=False)


def _same(name: str, kinds: str):
    def infer(*xs: Aval) -> tuple[Aval]:
        require_kind(name, xs[0], kinds)
        return (same_type(name, *xs),)

    return infer


spacing_p = no_derivative("spacing", _same("spacing", "f"), "jnp.spacing({})", scalars=False)
gcd_p = no_derivative(
    "gcd",
    _same("gcd", "iu"),
    "jnp.gcd({}, {})",
    scalars=False,
    commutes=True,
    cost=Refused("how many steps Euclid's algorithm takes depends on the numbers"),
)
