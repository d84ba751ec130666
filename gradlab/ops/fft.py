"""Discrete Fourier transforms: one linear primitive, complex or real at one end, whose transposes are itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ir.errors import ArgumentError, DTypeError, ShapeError
from ..ir.graph import Aval
from ..ir.primitive import Primitive
from ..trace.builder import bind, bind1
from .arith import mul, rem
from .compare import eq, select
from .convert import complex as complex_
from .convert import conj, part_dtype
from .costs import transforms
from .families import linear
from .operands import fill, require_axes, require_elements, require_kind, zeros_like
from .shape import broadcast, iota

Ints = tuple[int, ...]
KINDS = ("fft", "ifft", "rfft", "irfft")
_WHOLE = {np.dtype("float32"): np.dtype("complex64"), np.dtype("float64"): np.dtype("complex128")}


def fft(x: Any, *, kind: str, axes: Sequence[int], lengths: Sequence[int]) -> Any:
    """The transform of `x` over `axes`, unscaled forward and divided by the number of points backward.

    **Arguments:** `kind`: fft or ifft, of complex x to the same shape; rfft, of real x to the half of the result that
    the other half mirrors, along the last of `axes`; irfft, back from such a half. `lengths`: the number of points
    along each axis: x's sizes, but for irfft's last, which is 2(m - 1) or 2m - 1 for a half of size m.
    """
    axes = tuple(axes)
    return bind1(fft_p, x, kind=kind, axes=axes, lengths=tuple(lengths)) if axes else x


def _infer(x: Aval, *, kind: str, axes: Ints, lengths: Ints) -> tuple[Aval]:
    if kind not in KINDS:
        raise ArgumentError(f"a Fourier transform is one of {', '.join(KINDS)}; got {kind!r}.")
    require_axes(kind, x, axes)
    real = kind == "rfft"
    require_kind(kind, x, "f" if real else "c")
    if real and x.dtype not in _WHOLE:
        raise DTypeError(f"rfft needs float32 or float64, got {x}. Convert it with .astype(...).")
    last, half = axes[-1], lengths[-1] // 2 + 1
    expected = lengths if kind != "irfft" else (*lengths[:-1], half)
    found = tuple(x.shape[a] for a in axes)
    expected = (*expected[:-1], 0) if kind == "irfft" and lengths[-1] == found[-1] == 0 else expected
    if real:
        require_elements(kind, x, axes[-1:])
    if found != expected:
        raise ShapeError(
            f"{kind} of {lengths} points needs sizes {expected} along axes {axes}, got {x}. Pad or cut it."
        )
    sizes = {"rfft": half, "irfft": lengths[-1]}
    out = x.reshaped(sizes.get(kind, n) if a == last else n for a, n in enumerate(x.shape))
    return (out.retyped(_WHOLE[x.dtype] if real else part_dtype(x.dtype) if kind == "irfft" else x.dtype),)


def _emit(x, *, kind, axes, lengths):
    """In the words of jax.numpy, which moves axes about and cuts what has more axes than XLA takes."""
    usual = kind != "irfft" or lengths[-1] == max(0, 2 * (x.aval.shape[axes[-1]] - 1))
    if len(axes) == 1:
        given = "" if usual else f", n={lengths[0]}"
        where = "" if axes == (x.aval.ndim - 1,) else f", axis={axes[0]}"
        return f"jnp.fft.{kind}({x}{given}{where})"
    given = "" if usual else f", s={lengths}"
    if len(axes) == 2:
        where = "" if axes == (x.aval.ndim - 2, x.aval.ndim - 1) else f", axes={axes}"
        return f"jnp.fft.{kind}2({x}{given}{where})"
    where = "" if axes == tuple(range(x.aval.ndim)) else f", axes={axes}"
    return f"jnp.fft.{kind}n({x}{given}{where})"


def _call(x, *, kind, axes, lengths):
    if len(axes) <= 3 and axes == tuple(range(x.aval.ndim - len(axes), x.aval.ndim)):
        return f'lax.fft({x}, "{kind}", {lengths})'
    return _emit(x, kind=kind, axes=axes, lengths=lengths)


def _weighted(half: Any, axis: int, n: int, alone: float, mirrored: float) -> Any:
    """Half a spectrum of n points, times one number where the other half mirrors it, another where it does not."""
    weights = Aval((half.shape[axis],), part_dtype(half.dtype))
    place = iota("int32", weights.shape)
    if n % 2 == 0:
        place = rem(place, fill(max(n // 2, 1), place.aval))  # 0 for the two ends
    factor = select(eq(place, zeros_like(place)), fill(alone, weights), fill(mirrored, weights))
    factor = broadcast(complex_(factor, zeros_like(factor)), half.shape, (axis,))
    return mul(half, factor)


def _transpose(cts, active, x, *, kind, axes, lengths):
    """A Fourier matrix is symmetric; a real transform reads one half of the spectrum for both."""
    (ct,) = cts
    points = math.prod(lengths)
    if not points or not x.aval.size:
        return (zeros_like(x),)
    if kind == "rfft":
        # Re Σ ct·exp(-iωt) over the half is Re Σ conj(ct)·exp(iωt), and irfft sums the half and its mirror image.
        half = conj(_weighted(ct, axes[-1], lengths[-1], float(points), points / 2))
        return (fft(half, kind="irfft", axes=axes, lengths=lengths),)
    if kind == "irfft":
        half = fft(ct, kind="rfft", axes=axes, lengths=lengths)
        return (conj(_weighted(half, axes[-1], lengths[-1], 1 / points, 2 / points)),)
    return bind(fft_p, ct, kind=kind, axes=axes, lengths=lengths)


def _batch(xs, dims, *, kind, axes, lengths):
    (d,) = dims
    return bind(fft_p, *xs, kind=kind, axes=tuple(a + (a >= d) for a in axes), lengths=lengths), dims


fft_p = Primitive(
    name="fft",
    infer=_infer,
    emit=_emit,
    call=_call,
    jvp=linear(lambda: fft_p),
    transpose=_transpose,
    batch=_batch,
    cost=transforms,
)
