"""Windows: sequences that rise and fall, by which a signal is weighted."""

from __future__ import annotations

import math
import operator
from typing import Any

from ..ir.errors import DTypeError
from ..ops.operands import kind
from ..ops.special import bessel_i0
from .creation import arange, ones
from .dispatch import public
from .elementwise import abs, cos, sqrt
from .promote import lift, promote


def _points(M: Any) -> Any:
    """The positions 0..M-1 in a window; None for one that is a single point (or none)."""
    return arange(operator.index(M), dtype=float) if M > 1 else None


def _cosines(name: str, *weights: float) -> Any:
    """Σ weights[k] cos(2πk n / (M - 1))."""

    @public(name)
    def call(M: int) -> Any:
        n = _points(M)
        if n is None:
            return ones((M,))
        waves = (w * cos(n * (2 * math.pi * k) / (M - 1)) for k, w in enumerate(weights[1:], 1))
        return sum(waves, weights[0])

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"`jax.numpy.{name}`, recorded inside a trace."
    return call


blackman = _cosines("blackman", 0.42, -0.5, 0.08)
hamming = _cosines("hamming", 0.54, -0.46)
hanning = _cosines("hanning", 0.5, -0.5)


@public("bartlett")
def bartlett(M: int) -> Any:
    """`jax.numpy.bartlett`, recorded inside a trace."""
    n = _points(M)
    return ones((M,)) if n is None else 1 - abs(2 * n + (1 - M)) / (M - 1)


@public("kaiser")
def kaiser(M: int, beta: Any) -> Any:
    """`jax.numpy.kaiser`, of a traced beta too."""
    n = _points(M)
    if n is None:
        return ones((M,))
    half = 0.5 * (M - 1)
    return i0(beta * sqrt(1 - ((n - half) / half) ** 2)) / i0(beta)


@public("i0")
def i0(x: Any) -> Any:
    """`jax.numpy.i0`, on tracers too."""
    (x,) = promote(lift(x), inexact=True)
    if kind(x.dtype) != "f":
        raise DTypeError(f"i0 is of real numbers here, got {x.aval}.")
    return bessel_i0(x)
