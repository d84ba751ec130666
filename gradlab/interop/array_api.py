"""The array API standard on tracers: the names of the standard and no others, for code that asks `x` for its namespace.

`special` is the extension that the standard has not adopted yet; SciPy's functions look for it already.
"""

from __future__ import annotations

import sys
from typing import Any

import jax

from ..ir.errors import ArgumentError, ConversionError
from ..numpy import __array_api_version__ as __array_api_version__
from ..numpy import __array_namespace_info__ as __array_namespace_info__
from ..numpy import abs as abs
from ..numpy import acos as acos
from ..numpy import acosh as acosh
from ..numpy import add as add
from ..numpy import all as all
from ..numpy import any as any
from ..numpy import arange as arange
from ..numpy import argmax as argmax
from ..numpy import argmin as argmin
from ..numpy import argsort as argsort
from ..numpy import asarray as asarray
from ..numpy import asin as asin
from ..numpy import asinh as asinh
from ..numpy import astype as astype
from ..numpy import atan as atan
from ..numpy import atan2 as atan2
from ..numpy import atanh as atanh
from ..numpy import bitwise_and as bitwise_and
from ..numpy import bitwise_invert as bitwise_invert
from ..numpy import bitwise_left_shift as bitwise_left_shift
from ..numpy import bitwise_or as bitwise_or
from ..numpy import bitwise_right_shift as bitwise_right_shift
from ..numpy import bitwise_xor as bitwise_xor
from ..numpy import bool as bool
from ..numpy import broadcast_arrays as broadcast_arrays
from ..numpy import broadcast_to as broadcast_to
from ..numpy import can_cast as can_cast
from ..numpy import ceil as ceil
from ..numpy import clip as clip
from ..numpy import complex64 as complex64
from ..numpy import complex128 as complex128
from ..numpy import concat as concat
from ..numpy import conj as conj
from ..numpy import copysign as copysign
from ..numpy import cos as cos
from ..numpy import cosh as cosh
from ..numpy import count_nonzero as count_nonzero
from ..numpy import cumulative_prod as cumulative_prod
from ..numpy import cumulative_sum as cumulative_sum
from ..numpy import diff as diff
from ..numpy import divide as divide
from ..numpy import e as e
from ..numpy import empty as empty
from ..numpy import empty_like as empty_like
from ..numpy import equal as equal
from ..numpy import exp as exp
from ..numpy import expand_dims as expand_dims
from ..numpy import expm1 as expm1
from ..numpy import eye as eye
from ..numpy import fft as fft
from ..numpy import finfo as finfo
from ..numpy import flip as flip
from ..numpy import float32 as float32
from ..numpy import float64 as float64
from ..numpy import floor as floor
from ..numpy import floor_divide as floor_divide
from ..numpy import from_dlpack as from_dlpack
from ..numpy import full as full
from ..numpy import full_like as full_like
from ..numpy import greater as greater
from ..numpy import greater_equal as greater_equal
from ..numpy import hypot as hypot
from ..numpy import iinfo as iinfo
from ..numpy import imag as imag
from ..numpy import inf as inf
from ..numpy import int8 as int8
from ..numpy import int16 as int16
from ..numpy import int32 as int32
from ..numpy import int64 as int64
from ..numpy import isdtype as isdtype
from ..numpy import isfinite as isfinite
from ..numpy import isinf as isinf
from ..numpy import isnan as isnan
from ..numpy import less as less
from ..numpy import less_equal as less_equal
from ..numpy import linalg as linalg
from ..numpy import linspace as linspace
from ..numpy import log as log
from ..numpy import log1p as log1p
from ..numpy import log2 as log2
from ..numpy import log10 as log10
from ..numpy import logaddexp as logaddexp
from ..numpy import logical_and as logical_and
from ..numpy import logical_not as logical_not
from ..numpy import logical_or as logical_or
from ..numpy import logical_xor as logical_xor
from ..numpy import matmul as matmul
from ..numpy import matrix_transpose as matrix_transpose
from ..numpy import max as max
from ..numpy import maximum as maximum
from ..numpy import mean as mean
from ..numpy import meshgrid as meshgrid
from ..numpy import min as min
from ..numpy import minimum as minimum
from ..numpy import moveaxis as moveaxis
from ..numpy import multiply as multiply
from ..numpy import nan as nan
from ..numpy import negative as negative
from ..numpy import newaxis as newaxis
from ..numpy import nextafter as nextafter
from ..numpy import nonzero as nonzero
from ..numpy import not_equal as not_equal
from ..numpy import ones as ones
from ..numpy import ones_like as ones_like
from ..numpy import permute_dims as permute_dims
from ..numpy import pi as pi
from ..numpy import positive as positive
from ..numpy import pow as pow
from ..numpy import prod as prod
from ..numpy import real as real
from ..numpy import reciprocal as reciprocal
from ..numpy import remainder as remainder
from ..numpy import repeat as repeat
from ..numpy import reshape as reshape
from ..numpy import result_type as result_type
from ..numpy import roll as roll
from ..numpy import round as round
from ..numpy import searchsorted as searchsorted
from ..numpy import sign as sign
from ..numpy import signbit as signbit
from ..numpy import sin as sin
from ..numpy import sinh as sinh
from ..numpy import sort as sort
from ..numpy import special as special
from ..numpy import sqrt as sqrt
from ..numpy import square as square
from ..numpy import squeeze as squeeze
from ..numpy import stack as stack
from ..numpy import std as std
from ..numpy import subtract as subtract
from ..numpy import sum as sum
from ..numpy import take as take
from ..numpy import take_along_axis as take_along_axis
from ..numpy import tan as tan
from ..numpy import tanh as tanh
from ..numpy import tensordot as tensordot
from ..numpy import tile as tile
from ..numpy import tril as tril
from ..numpy import triu as triu
from ..numpy import trunc as trunc
from ..numpy import uint8 as uint8
from ..numpy import uint16 as uint16
from ..numpy import uint32 as uint32
from ..numpy import uint64 as uint64
from ..numpy import unique_all as unique_all
from ..numpy import unique_counts as unique_counts
from ..numpy import unique_inverse as unique_inverse
from ..numpy import unique_values as unique_values
from ..numpy import unstack as unstack
from ..numpy import var as var
from ..numpy import vecdot as vecdot
from ..numpy import where as where
from ..numpy import zeros as zeros
from ..numpy import zeros_like as zeros_like
from ..trace.avals import is_jax_tracer
from ..trace.tracer import Tracer

_VERSIONS = tuple(sorted({"2021.12", "2022.12", "2023.12", "2024.12", __array_api_version__}))


def _namespace(self: Tracer, *, api_version: str | None = None) -> Any:
    """The namespace of the array API standard for this array: this module.

    **Raises:** `ArgumentError` for a version of the standard that is not known here.
    """
    if api_version is not None and api_version not in _VERSIONS:
        raise ArgumentError(
            f"x.__array_namespace__(api_version={api_version!r}) needs one of the versions {', '.join(_VERSIONS)}. "
            "Leave api_version out to get the newest."
        )
    return sys.modules[__name__]


def _device(self: Tracer) -> Any:
    """The device the program runs on: that of the array behind the tracer, or else the default one."""
    for _, value in (*self.builder.given, *self.builder.captured):
        if isinstance(value, jax.Array) and not is_jax_tracer(value):
            return value.device
    return jax.config.jax_default_device or jax.local_devices()[0]  # type: ignore[attr-defined]


def _to_device(self: Tracer, device: Any, /, *, stream: Any = None) -> Tracer:
    """The array itself, for a program runs on one device.

    **Raises:** `ArgumentError` for another device, or a stream.
    """
    if stream is not None or device != self.device:
        raise ArgumentError(
            f"x.to_device inside a traced function needs the device of its inputs ({self.device}), got {device}"
            f"{'' if stream is None else ' with a stream'}. Move the arguments first, with jax.device_put(x, device)."
        )
    return self.fresh()


def _no_buffer(self: Tracer, **options: Any) -> Any:
    raise ConversionError(
        f"another library asked a tracer ({self.aval}) for its memory (DLPack), which it does not have: the function "
        "is only being read. Convert arguments before the call and results after it."
    )


def install() -> None:
    """Gives `Tracer` the standard's attributes and methods. Called once, when this file is imported."""
    Tracer.__array_namespace__ = _namespace  # type: ignore[attr-defined]
    Tracer.device = property(_device)  # type: ignore[attr-defined]
    Tracer.to_device = _to_device  # type: ignore[attr-defined]
    Tracer.__dlpack__ = _no_buffer  # type: ignore[attr-defined]
    Tracer.__dlpack_device__ = _no_buffer  # type: ignore[attr-defined]


install()
