"""Between samples: linear interpolation, differences on a grid, and phases made continuous."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..ir.errors import ArgumentError, DTypeError, ShapeError
from ..ops import arith, compare, convert, cumulative
from ..ops import shape as shape_ops
from ..ops import sort as sort_ops
from ..ops.index import gather
from ..ops.operands import kind
from . import axes as ax
from .choose import where
from .dispatch import public
from .elementwise import abs
from .formulas import mod
from .manipulation import concatenate, cut, ravel
from .promote import aval as aval_of
from .promote import home, result_dtype, retype, stretch
from .selection import diff

EXTRAPOLATE = "extrapolate"


@public("interp")
def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Any:
    """`jax.numpy.interp`, on tracers too. Where xp repeats, f is a step, and its slope there that of the next interval.

    The derivative at a knot is that of the interval to its right, at the last one that of the last interval.
    """
    for side in (left, right):
        if isinstance(side, str) and side != EXTRAPOLATE:
            raise ArgumentError(f'interp takes a number or "extrapolate" for left and right, got {side!r}.')
    at = home(x, xp, fp, left, right, period)
    x, xp, fp = (at.operand(a, None) for a in (x, xp, fp))
    if xp.ndim != 1 or xp.shape != fp.shape or not xp.size:
        raise ShapeError(f"interp needs xp and fp of one axis and one length (not 0), got {xp.aval} and {fp.aval}.")
    dtype = result_dtype([x.aval, xp.aval], inexact=True)[0]
    x, xp = retype(x, dtype), retype(xp, dtype)
    fp = retype(fp, result_dtype([fp.aval], inexact=True)[0])
    if kind(dtype) == "c":
        raise DTypeError(f"interp looks real numbers up, got x {x.aval} and xp {xp.aval}. Take their real part.")
    if period is not None:
        x, xp, fp = _periodic(x, xp, fp, period)
        left = right = EXTRAPOLATE
    below = None if isinstance(left, str) else x < xp[0]
    above = None if isinstance(right, str) else x > xp[-1]
    out = _between(x, xp, fp, [mask for mask in (below, above) if mask is not None])
    if below is not None:
        out = where(below, fp[0] if left is None else left, out)
    if above is not None:
        out = where(above, fp[-1] if right is None else right, out)
    return out


def _periodic(x: Any, xp: Any, fp: Any, period: Any) -> tuple[Any, Any, Any]:
    """x taken into one period, and the samples of that period with a neighbour on either side."""
    if aval_of(period).shape:
        raise ShapeError(f"interp needs a number for its period, got {aval_of(period)}.")
    period = abs(home(x, period).operand(period, None))
    x, xp = mod(x, period), mod(xp, period)
    xp, fp = sort_ops.sort(xp, fp, axis=0)
    xp = concatenate([xp[-1:] - period, xp, xp[:1] + period])
    return retype(x, xp.dtype), xp, concatenate([fp[-1:], fp, fp[:1]])


def _between(x: Any, xp: Any, fp: Any, outside: list[Any]) -> Any:
    """The line through the knots on both sides of x; constant where one of the masks `outside` is true."""
    n = xp.shape[0]
    dtype = result_dtype([x.aval, fp.aval])[0]
    if n == 1:
        return stretch(retype(fp[0], dtype), x.shape)
    run, rise = diff(xp), diff(fp)
    # A table of slopes: as many divisions as intervals, and one table less to read from than with both ends of each.
    level = compare.le(abs(run), float(np.spacing(np.finfo(xp.dtype).eps)))
    slope = where(level, 0.0, rise / where(level, 1.0, run))
    i = sort_ops.searchsorted(xp, x, side="right").clip(1, n - 1) - 1
    start, level, slope = (gather(a, i, axes=(0,), mode="promise_in_bounds") for a in (xp, fp, slope))
    delta = x - start
    for mask in outside:
        # An x at infinity is not to meet the slope's cotangent, which is 0 there.
        delta = where(mask, 0.0, delta)
    return retype(level + delta * slope, dtype)


@public("gradient")
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int | None = None) -> Any:
    """`jax.numpy.gradient`, on tracers too."""
    if edge_order is not None:
        raise ArgumentError(f"gradient takes one-sided differences at the edges; edge_order={edge_order} is not known.")
    at = home(f, *varargs)
    dtype, weak = result_dtype([aval_of(a) for a in (f, *varargs)], inexact=True)
    f, *spacing = (retype(at.operand(a, None), dtype, weak) for a in (f, *varargs))
    along = ax.several(axis, f.ndim)
    if not along:
        return []
    if any(f.shape[i] < 2 for i in along):
        raise ShapeError(f"gradient needs at least two elements along each axis of {along}, got {f.aval}.")
    if len(spacing) not in (0, 1, len(along)):
        raise ArgumentError(
            f"gradient along {len(along)} axes takes no, one or that many spacings, got {len(spacing)}."
        )
    each = spacing * len(along) if len(spacing) == 1 else spacing or [None] * len(along)
    out = [_gradient_along(f, h, i) for h, i in zip(each, along, strict=True)]
    return out[0] if len(out) == 1 else out


def _gradient_along(f: Any, h: Any, axis: int) -> Any:
    n = f.shape[axis]
    last, first = cut(f, axis, n - 1, n) - cut(f, axis, n - 2, n - 1), cut(f, axis, 1, 2) - cut(f, axis, 0, 1)
    before, middle, after = (cut(f, axis, i, n - 2 + i) for i in range(3))
    if h is None or not h.ndim:
        inner = (after - before) * 0.5
        parts = (first, inner, last)
        return concatenate(parts if h is None else [part / h for part in parts], axis)
    if h.shape != (n,):
        raise ShapeError(f"gradient needs as many coordinates as f has along axis {axis} ({n}), got {h.aval}.")
    step = diff(shape_ops.reshape(h, tuple(n if i == axis else 1 for i in range(f.ndim))), axis=axis)
    left, right = cut(step, axis, 0, n - 2), cut(step, axis, 1, n - 1)
    inner = (
        before * (-right / (left * (left + right)))
        + middle * ((right - left) / (left * right))
        + after * (left / (right * (left + right)))
    )
    edges = cut(step, axis, 0, 1), cut(step, axis, n - 2, n - 1)
    return concatenate([first / edges[0], inner, last / edges[1]], axis)


@public("ediff1d")
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """`jax.numpy.ediff1d`, on tracers too."""
    at = home(ary, to_end, to_begin)
    x = ravel(at.operand(ary, None))
    n = x.shape[0]
    parts = [cut(x, 0, min(1, n), n) - cut(x, 0, 0, max(n - 1, 0))]
    if to_begin is not None:
        parts.insert(0, retype(ravel(at.operand(to_begin, None)), x.dtype))
    if to_end is not None:
        parts.append(retype(ravel(at.operand(to_end, None)), x.dtype))
    return concatenate(parts) if len(parts) > 1 else parts[0]


@public("unwrap")
def unwrap(p: Any, discont: Any = None, axis: int = -1, period: Any = 2 * math.pi) -> Any:
    """`jax.numpy.unwrap`, on tracers too. How many periods a jump takes is constant: the derivative in p is 1."""
    at = home(p, discont, period)
    dtype, weak = result_dtype([aval_of(p), aval_of(period)])
    p, period = (retype(at.operand(a, None), dtype, weak) for a in (p, period))
    if kind(dtype) == "c":
        raise DTypeError(f"unwrap is of real phases, got {p.aval}. Give angle(z).")
    axis = ax.one(axis, p.ndim)
    n = p.shape[axis]
    if n < 2:
        return p
    turns = cumulative.cumsum(_turns(diff(p, axis=axis), discont, period), axis=axis)
    return concatenate([cut(p, axis, 0, 1), cut(p, axis, 1, n) + turns * period], axis)


def _turns(step: Any, discont: Any, period: Any) -> Any:
    """How many periods to add to each step: as bring it within half of one, where it is longer than `discont`."""
    step, period = convert.stop_gradient(step), convert.stop_gradient(period)
    whole = kind(step.dtype) in "iu"
    half = period // 2 if whole else period / 2
    within = mod(step + half, period) - half
    within = where((within == -half) & (step > 0), half, within)
    turns = (within - step) // period if whole else arith.round((within - step) / period)
    return where(abs(step) < (period / 2 if discont is None else discont), 0, turns)
