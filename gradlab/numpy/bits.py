"""Functions that look inside numbers: bits, mantissas and exponents, divisors."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir.errors import ArgumentError, DTypeError
from ..ops import arith, compare, elementwise, floats
from ..ops import shape as ops
from ..ops.operands import kind, zeros_like
from . import axes as ax
from . import reductions as red
from .dispatch import public
from .elementwise import as_number
from .formulas import truth
from .manipulation import cut, moveaxis, ravel
from .promote import alike, lift, retype

UINT8, INT32 = np.dtype("uint8"), np.dtype("int32")

# -- floating-point numbers


@public("frexp")
def frexp(x: Any, /) -> tuple[Any, Any]:
    """`jax.numpy.frexp`, on tracers too: x = mantissa · 2**exponent; the mantissa has a derivative."""
    (x,) = alike(x, inexact=True)
    x = retype(x, x.dtype)
    return floats.mantissa(x), floats.exponent(x)


@public("ldexp")
def ldexp(x1: Any, x2: Any, /) -> Any:
    """`jax.numpy.ldexp`, on tracers too: x1 · 2**x2, with integers x2."""
    (n,) = alike(x2)
    if kind(n.dtype) not in "iu":
        raise DTypeError(f"ldexp needs integer exponents, got {n.aval}. Convert them with .astype(int).")
    (x,) = alike(x1, inexact=True)
    dtype = x.dtype
    x, n = alike(x, n)[0], alike(n, x)[0]
    return floats.ldexp(retype(x, dtype), retype(n, INT32))


@public("spacing")
def spacing(x: Any, /) -> Any:
    """`jax.numpy.spacing`, on tracers too; its derivative is 0."""
    (x,) = alike(x, inexact=True)
    return floats.spacing(x)


# -- integers


def _integers(name: str, *xs: Any) -> list[Any]:
    out = [as_number(x) for x in alike(*xs)]
    if out[0].dtype.kind not in "iu":
        raise DTypeError(f"{name} needs integers, got {out[0].aval}. Convert them with .astype(int).")
    return out


@public("gcd")
def gcd(x1: Any, x2: Any) -> Any:
    """`jax.numpy.gcd`, on tracers too."""
    return floats.gcd(*_integers("gcd", x1, x2))


@public("lcm")
def lcm(x1: Any, x2: Any) -> Any:
    """`jax.numpy.lcm`, on tracers too."""
    x, y = (arith.abs(z) if z.dtype.kind == "i" else z for z in _integers("lcm", x1, x2))
    divisor = floats.gcd(x, y)
    none = compare.eq(divisor, 0)
    safe = compare.select(none, divisor + 1, divisor)
    return compare.select(none, zeros_like(x), x * arith.quotient(y, safe))


@public("bitwise_count")
def bitwise_count(x: Any, /) -> Any:
    """`jax.numpy.bitwise_count`, on tracers too: the number of ones in |x|."""
    (x,) = _integers("bitwise_count", x)
    return retype(elementwise.population_count(arith.abs(x) if x.dtype.kind == "i" else x), UINT8)


# -- bits as bytes


def _places(bitorder: str, shape: tuple[int, ...]) -> Any:
    """For each of eight bits along the last axis, how far it is from the lowest."""
    if bitorder not in ("big", "little"):
        raise ArgumentError(f"bitorder is 'big' or 'little', got {bitorder!r}.")
    places = ops.iota(UINT8, shape, len(shape) - 1)
    return places if bitorder == "little" else 7 - places


@public("packbits")
def packbits(a: Any, axis: int | None = None, bitorder: str = "big") -> Any:
    """`jax.numpy.packbits`, on tracers too: eight elements a byte, missing ones zero."""
    x = lift(a)
    if x.dtype.kind not in "biu":
        raise DTypeError(f"packbits needs booleans or integers, got {x.aval}. Compare it with 0 first.")
    x, axis = (ravel(x), 0) if axis is None else (x, ax.one(axis, x.ndim))
    x = moveaxis(retype(truth(x), UINT8), axis, -1)
    n = -(-x.shape[-1] // 8)
    x = ops.pad(x, 0, (0,) * x.ndim, (*(0,) * (x.ndim - 1), 8 * n - x.shape[-1]))
    x = ops.reshape(x, (*x.shape[:-1], n, 8))
    return moveaxis(red.sum(elementwise.shift_left(x, _places(bitorder, x.shape)), -1, UINT8), -1, axis)


@public("unpackbits")
def unpackbits(a: Any, axis: int | None = None, count: int | None = None, bitorder: str = "big") -> Any:
    """`jax.numpy.unpackbits`, on tracers too: the bits of bytes, as bytes; `count` of them, or all but -count."""
    x = lift(a)
    if x.dtype != UINT8:
        raise DTypeError(f"unpackbits needs bytes (uint8), got {x.aval}. Convert it with .astype('uint8').")
    x, axis = (ravel(x), 0) if axis is None else (x, ax.one(axis, x.ndim))
    x = moveaxis(x, axis, -1)
    shape = (*x.shape, 8)
    bits = elementwise.shift_right_logical(
        ops.broadcast(x, shape=shape, axes=tuple(range(x.ndim))), _places(bitorder, shape)
    )
    bits = ops.reshape(bits & 1, (*x.shape[:-1], 8 * x.shape[-1]))
    total = bits.shape[-1]
    if count is not None:
        wanted = max(total + count, 0) if count < 0 else count
        bits = cut(bits, bits.ndim - 1, 0, min(wanted, total))
        bits = ops.pad(bits, 0, (0,) * bits.ndim, (*(0,) * (bits.ndim - 1), wanted - bits.shape[-1]))
    return moveaxis(bits, -1, axis)
