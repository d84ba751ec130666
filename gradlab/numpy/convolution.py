"""Convolution and correlation of two sequences."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir.errors import ArgumentError, ShapeError
from ..ops import convert
from ..ops import shape as shape_ops
from ..ops.conv import conv_general_dilated
from ..ops.operands import kind
from ..trace.avals import canonical_dtype
from .dispatch import public
from .promote import aval as aval_of
from .promote import home, result_dtype, retype


def _pair(name: str, a: Any, v: Any, wide: Any) -> list[Any]:
    """The sequences in one dtype, floating unless the dtype of the result was given."""
    at = home(a, v)
    dtype, weak = result_dtype([aval_of(a), aval_of(v)], inexact=wide is None)
    xs = [retype(at.operand(x, None), dtype, weak) for x in (a, v)]
    if any(x.ndim != 1 or not x.size for x in xs):
        raise ShapeError(
            f"{name} is of two sequences, each of one axis and not empty; got {xs[0].aval} and {xs[1].aval}. "
            "For more axes map it with gradlab.vmap."
        )
    return xs


def _slid(name: str, x: Any, y: Any, mode: str, precision: Any, wide: Any) -> Any:
    """Σ_k x[i + k] y[k], for every i where they overlap (full), in the middle (same), or where y fits whole (valid)."""
    n = y.shape[0]
    padding = {"valid": (0, 0), "same": (n // 2, n - n // 2 - 1), "full": (n - 1, n - 1)}
    if mode not in padding:
        raise ArgumentError(f"{name} has the modes full, same and valid; got mode={mode!r}.")
    out = conv_general_dilated(
        shape_ops.reshape(x, (1, 1, *x.shape)),
        shape_ops.reshape(y, (1, 1, n)),
        (1,),
        (padding[mode],),
        precision=precision,
        preferred_element_type=None if wide is None else np.dtype(canonical_dtype(wide)),
    )
    return shape_ops.reshape(out, out.shape[2:])


@public("convolve")
def convolve(a: Any, v: Any, mode: str = "full", *, precision: Any = None, preferred_element_type: Any = None) -> Any:
    """`jax.numpy.convolve`, on tracers too."""
    x, y = _pair("convolve", a, v, preferred_element_type)
    if x.shape[0] < y.shape[0]:
        x, y = y, x
    return _slid("convolve", x, shape_ops.rev(y, (0,)), mode, precision, preferred_element_type)


@public("correlate")
def correlate(a: Any, v: Any, mode: str = "valid", *, precision: Any = None, preferred_element_type: Any = None) -> Any:
    """`jax.numpy.correlate`, on tracers too."""
    x, y = _pair("correlate", a, v, preferred_element_type)
    if kind(y.dtype) == "c":
        y = convert.conj(y)
    if x.shape[0] >= y.shape[0]:
        return _slid("correlate", x, y, mode, precision, preferred_element_type)
    return shape_ops.rev(_slid("correlate", y, x, mode, precision, preferred_element_type), (0,))
