"""`gradlab.numpy.fft`: every Fourier transform of jax.numpy, from one primitive; cut, padded and scaled around it."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..ir.errors import ArgumentError, DTypeError, ShapeError
from ..ir.graph import is_inexact
from ..ops import convert
from ..ops import fft as ops
from ..ops import shape as shape_ops
from ..ops.operands import kind as kind_of
from ..trace.avals import canonical_dtype
from . import axes as ax
from .creation import arange
from .dispatch import public
from .manipulation import concatenate, cut, roll
from .promote import inexact_dtype, lift, retype

NORMS = (None, "backward", "ortho", "forward")


def _scaled(out: Any, lengths: Sequence[int], norm: str | None, inverse: bool) -> Any:
    """`out` scaled from the default, "backward", to what `norm` asks for."""
    if norm not in NORMS:
        raise ArgumentError(f'norm is "backward", "ortho" or "forward"; got {norm!r}.')
    if norm in (None, "backward"):
        return out
    points = float(math.prod(lengths))
    root = math.sqrt(points) if norm == "ortho" else points
    return out * (root if inverse else 1 / root if root else math.inf)


def _fitted(x: Any, axes: Sequence[int], sizes: Sequence[int]) -> Any:
    """`x` cut to the sizes along the axes, and zeros put behind where it is shorter."""
    for axis, n in zip(axes, sizes, strict=True):
        if x.shape[axis] > n:
            x = cut(x, axis, 0, n)
    high = [0] * x.ndim
    for axis, n in zip(axes, sizes, strict=True):
        high[axis] = n - x.shape[axis]
    return shape_ops.pad(x, 0, (0,) * x.ndim, high)


def _operand(x: Any, kind: str) -> Any:
    """`x` in the dtype the transform reads: floating for rfft, complex for the others."""
    if kind == "rfft":
        if kind_of(x.dtype) == "c":
            raise DTypeError(f"a real transform is of real numbers, got {x.aval}. Take x.real, or use fft.")
        return retype(x, _inexact(x.dtype))
    return retype(x, jnp.promote_types(_inexact(x.dtype), "complex64"))


def _inexact(dtype: Any) -> Any:
    return dtype if is_inexact(dtype) else inexact_dtype(dtype)


def _transform(name: str, kind: str, a: Any, s: Any, axes: Any, norm: str | None) -> Any:
    x = lift(a)
    if s is not None:
        s = tuple(operator.index(n) for n in s)
        if any(n <= 0 for n in s):
            raise ShapeError(f"{name} needs positive lengths, got {s}.")
        if axes is not None and len(s) != len(axes):
            raise ShapeError(f"{name} needs as many lengths as axes, got {s} and {tuple(axes)}.")
    if axes is None:
        axes = range(x.ndim) if s is None else range(x.ndim - len(s), x.ndim)
    axes = ax.several(tuple(axes), x.ndim, "axes")
    x = _operand(x, kind)
    if s is None:
        lengths = [x.shape[i] for i in axes]
        if kind == "irfft" and axes:
            lengths[-1] = max(0, 2 * (lengths[-1] - 1))
    else:
        lengths = list(s)
        x = _fitted(x, axes, [*s[:-1], s[-1] // 2 + 1] if kind == "irfft" and axes else s)
    out = ops.fft(x, kind=kind, axes=axes, lengths=lengths)
    return _scaled(out, lengths, norm, name.startswith("i"))


def _one(name: str, kind: str) -> Any:
    """The transform along one axis."""

    @public(getattr(jnp.fft, name))
    def call(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
        return _transform(name, kind, a, None if n is None else (n,), *_alone(name, axis), norm)

    return _named(call, name)


def _alone(name: str, axis: Any) -> tuple[tuple[int, ...]]:
    if isinstance(axis, list | tuple):
        raise ShapeError(f"{name} transforms along one axis, got axis={axis}. Use {name}n for several.")
    return ((axis,),)


def _two(name: str, kind: str) -> Any:
    """The transform along two axes."""

    @public(getattr(jnp.fft, name))
    def call(a: Any, s: Any = None, axes: Sequence[int] = (-2, -1), norm: str | None = None) -> Any:
        if len(axes) != 2:
            raise ShapeError(f"{name} transforms along two axes, got axes={tuple(axes)}. Use {name[:-1]}n for others.")
        return _transform(name, kind, a, s, axes, norm)

    return _named(call, name)


def _many(name: str, kind: str) -> Any:
    """The transform along any axes, all of them unless named."""

    @public(getattr(jnp.fft, name))
    def call(a: Any, s: Any = None, axes: Any = None, norm: str | None = None) -> Any:
        return _transform(name, kind, a, s, axes, norm)

    return _named(call, name)


def _named(call: Any, name: str) -> Any:
    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"`jax.numpy.fft.{name}`, on tracers too."
    return call


fft, fft2, fftn = _one("fft", "fft"), _two("fft2", "fft"), _many("fftn", "fft")
ifft, ifft2, ifftn = _one("ifft", "ifft"), _two("ifft2", "ifft"), _many("ifftn", "ifft")
rfft, rfft2, rfftn = _one("rfft", "rfft"), _two("rfft2", "rfft"), _many("rfftn", "rfft")
irfft, irfft2, irfftn = _one("irfft", "irfft"), _two("irfft2", "irfft"), _many("irfftn", "irfft")


@public(jnp.fft.hfft)
def hfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """`jax.numpy.fft.hfft`, on tracers too."""
    x = _operand(lift(a), "fft")
    points = 2 * (x.shape[axis] - 1) if n is None else n
    return (
        _transform("hfft", "irfft", convert.conj(x), None if n is None else (n,), *_alone("hfft", axis), norm) * points
    )


@public(jnp.fft.ihfft)
def ihfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """`jax.numpy.fft.ihfft`, on tracers too."""
    x = lift(a)
    points = x.shape[axis] if n is None else n
    out = _transform("ihfft", "rfft", x, None if n is None else (n,), *_alone("ihfft", axis), norm)
    return convert.conj(out) * (1 / points)


# -- frequencies and their order


@public(jnp.fft.fftfreq)
def fftfreq(n: int, d: Any = 1.0, *, dtype: Any = None, device: Any = None) -> Any:
    """`jax.numpy.fft.fftfreq`, of a traced spacing d too."""
    dtype = canonical_dtype(float if dtype is None else dtype)
    wide = np.dtype(jnp.finfo(_inexact(dtype)).dtype)
    ramp = arange(n, dtype=wide)
    half = (n + 1) // 2
    k = concatenate([cut(ramp, 0, 0, half), cut(ramp, 0, half, n) - n])
    return retype(k / _spacing("fftfreq", n, d, wide), dtype)


@public(jnp.fft.rfftfreq)
def rfftfreq(n: int, d: Any = 1.0, *, dtype: Any = None, device: Any = None) -> Any:
    """`jax.numpy.fft.rfftfreq`, of a traced spacing d too."""
    dtype = canonical_dtype(float if dtype is None else dtype)
    return arange(n // 2 + 1, dtype=dtype) / _spacing("rfftfreq", n, d, dtype)


def _spacing(name: str, n: Any, d: Any, dtype: Any) -> Any:
    if isinstance(n, list | tuple) or isinstance(d, list | tuple):
        raise ArgumentError(f"{name} needs one integer n and one spacing d, got {n} and {d}.")
    return retype(lift(d) * n, dtype)


def _shifted(name: str, sign: int) -> Any:
    @public(getattr(jnp.fft, name))
    def call(x: Any, axes: Any = None) -> Any:
        x = lift(x)
        along = ax.several(axes, x.ndim, "axes")
        return roll(x, tuple(sign * (x.shape[i] // 2) for i in along), along)

    return _named(call, name)


fftshift, ifftshift = _shifted("fftshift", 1), _shifted("ifftshift", -1)
