"""Reductions over sliding windows (pooling): sums, and extrema, whose derivative is the one element each window picks.

Of equal extrema the first one counts, row-major. Its position is found by a reduction of its own, so the tangent is a
gather and the cotangent a scatter, whatever the size of the window.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ir.errors import ArgumentError, ShapeError
from ..ir.graph import Aval
from ..ir.primitive import Primitive, Refused
from ..trace.builder import bind, bind1
from .arith import rem
from .costs import slides
from .families import linear, no_derivative, with_axis
from .index import gather
from .operands import dtype_text, fill, kind, require_kind, zeros_like
from .shape import pad, reshape

Ints = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]
INT32 = np.dtype("int32")


def window_sum(x: Any, window: Sequence[int], strides: Any = None, padding: Any = None, base_dilation: Any = None,
               window_dilation: Any = None) -> Any:  # fmt: skip
    """Σ x over windows, as `jax.lax.reduce_window` slides them.

    **Arguments:** one number an axis (for padding a pair): `window`: its size. `strides`: from one window to the next
    (1). `padding`: zeros before and after (none). `base_dilation`, `window_dilation`: the distance of neighbours once
    zeros have come between the elements of x, and in the window (1).
    """
    return bind1(window_sum_p, x, **_params(x, window, strides, padding, base_dilation, window_dilation))


def window_max(x: Any, window: Sequence[int], strides: Any = None, padding: Any = None, base_dilation: Any = None,
               window_dilation: Any = None) -> Any:  # fmt: skip
    """max x over windows as in `window_sum`, padded with the lowest number."""
    return bind1(window_max_p, x, **_params(x, window, strides, padding, base_dilation, window_dilation))


def window_min(x: Any, window: Sequence[int], strides: Any = None, padding: Any = None, base_dilation: Any = None,
               window_dilation: Any = None) -> Any:  # fmt: skip
    """min x over windows as in `window_sum`, padded with the highest number."""
    return bind1(window_min_p, x, **_params(x, window, strides, padding, base_dilation, window_dilation))


def _params(
    x: Any, window: Any, strides: Any, padding: Any, base_dilation: Any, window_dilation: Any
) -> dict[str, Any]:
    def ints(given: Any) -> Ints:
        return (1,) * x.ndim if given is None else tuple(operator.index(n) for n in given)

    return {
        "window": ints(window),
        "strides": ints(strides),
        "padding": ((0, 0),) * x.ndim if padding is None else tuple(ints(pair) for pair in padding),
        "base_dilation": ints(base_dilation),
        "window_dilation": ints(window_dilation),
    }


def _stretched(size: int, by: int) -> int:
    return (size - 1) * by + 1 if size else 0


def _slid(name: str, x: Aval, *, window: Ints, strides: Ints, padding: Pads, base_dilation: Ints,
          window_dilation: Ints) -> Aval:  # fmt: skip
    """The type of one number for each window.

    **Raises:** `ShapeError` unless there is one size, stride, padding and dilation an axis; `ArgumentError` where one
    is too small.
    """
    given = (window, strides, padding, base_dilation, window_dilation)
    if any(len(each) != x.ndim for each in given):
        raise ShapeError(f"{name} of {x} needs {x.ndim} of each: sizes, strides, padding and dilations; got {given}.")
    if any(n < 1 for n in (*window, *strides, *base_dilation, *window_dilation)):
        raise ArgumentError(
            f"{name} needs windows, strides and dilations of 1 or more, got {window}, {strides}, {base_dilation} and "
            f"{window_dilation}."
        )
    rooms = (
        _stretched(n, b) + low + high - _stretched(k, d)
        for n, b, (low, high), k, d in zip(x.shape, base_dilation, padding, window, window_dilation, strict=True)
    )
    return x.reshaped(room // s + 1 if room >= 0 else 0 for room, s in zip(rooms, strides, strict=True))


def _one_more(params: dict[str, Any], at: int) -> dict[str, Any]:
    """The same windows on an array with one more axis, of which each takes one slice."""
    return {name: (*v[:at], (0, 0) if name == "padding" else 1, *v[at:]) for name, v in params.items()}


def _dilations(**dilations: Ints) -> str:
    return "".join(f", {name}={by}" for name, by in dilations.items() if any(b != 1 for b in by))


# -- the reductions


def _reduction(name: str, kinds: str, jvp: Any, transpose: Any, start: Any, reducer: str) -> Primitive:
    def infer(x: Aval, **params: Any) -> tuple[Aval]:
        require_kind(name, x, kinds)
        return (_slid(name, x, **params),)

    def emit(x, *, window, strides, padding, base_dilation, window_dilation):
        extra = _dilations(base_dilation=base_dilation, window_dilation=window_dilation)
        return f"lax.reduce_window({x}, {start(x.aval.dtype)}, {reducer}, {window}, {strides}, {padding}{extra})"

    def batch(xs, dims, **params):
        return bind(prim, *xs, **_one_more(params, dims[0])), dims

    prim = Primitive(name=name, infer=infer, emit=emit, jvp=jvp, transpose=transpose, batch=batch, cost=slides)
    return prim


def _sum_transpose(cts, active, x, *, window, strides, padding, base_dilation, window_dilation):
    """Each element gets the cotangents of the windows it stands in: a sum over windows, of the cotangents spread."""
    (ct,) = cts
    if not ct.aval.size or 0 in x.shape:
        return (zeros_like(x),)
    low = [_stretched(k, d) - 1 - a for k, d, (a, _) in zip(window, window_dilation, padding, strict=True)]
    high = [
        _stretched(n, b) - _stretched(m, s) + a
        for n, b, m, s, (a, _) in zip(x.shape, base_dilation, ct.shape, strides, padding, strict=True)
    ]
    spread = pad(ct, 0, low, high, [s - 1 for s in strides])
    return (window_sum(spread, window, base_dilation, None, None, window_dilation),)


def _outermost(dtype: np.dtype, name: str) -> tuple[float | int, str]:
    """The number that no other is below (for max) or above (for min), and its text."""
    if kind(dtype) == "f":
        return (-math.inf, "-jnp.inf") if name == "max" else (math.inf, "jnp.inf")
    end = "min" if name == "max" else "max"
    return getattr(np.iinfo(dtype), end), f"jnp.iinfo({dtype_text(dtype)}).{end}"


def _extremum(name: str) -> Primitive:
    def jvp(xs, ts, *, window, strides, padding, base_dilation, window_dilation):
        (x,), (t,) = xs, ts
        out = bind1(prim, x, **_params(x, window, strides, padding, base_dilation, window_dilation))
        low, high, between = [a for a, _ in padding], [b for _, b in padding], [b - 1 for b in base_dilation]
        if not out.aval.size:
            return (out,), (zeros_like(out),)
        around = pad(x, _outermost(x.dtype, name)[0], low, high, between)
        place = bind1(
            window_place_p, around, extremum=name, window=window, strides=strides, window_dilation=window_dilation
        )
        moved = pad(t, 0, low, high, between)
        return (out,), (gather(reshape(moved, (moved.aval.size,)), place, axes=(0,), mode="promise_in_bounds"),)

    refused = Refused(f"window_{name} is not linear; only linear equations are transposed")
    start = lambda dtype: _outermost(dtype, name)[1]  # noqa: E731
    prim = _reduction(f"window_{name}", "iuf", jvp, refused, start, f"lax.{name}")
    return prim


window_sum_p = _reduction(
    "window_sum",
    "iufc",
    linear(lambda: window_sum_p),
    _sum_transpose,
    lambda dtype: {"f": "0.0", "c": "0j"}.get(kind(dtype), "0"),
    "lax.add",
)
window_max_p = _extremum("max")
window_min_p = _extremum("min")


# -- where an extremum stands


def _place_infer(x: Aval, *, extremum: str, window: Ints, strides: Ints, window_dilation: Ints) -> tuple[Aval]:
    require_kind("window_place", x, "iuf")
    plain = {"padding": ((0, 0),) * x.ndim, "base_dilation": (1,) * x.ndim}
    out = _slid("window_place", x, window=window, strides=strides, window_dilation=window_dilation, **plain)
    return (Aval(out.shape, _places(x)),)


def _places(x: Aval) -> np.dtype:
    return INT32 if x.size < 2**31 else np.dtype("int64")


def _place_emit(x, *, extremum, window, strides, window_dilation):
    dtype, places, size = x.aval.dtype, dtype_text(_places(x.aval)), x.aval.size
    sign, end = (">", "jnp.inf") if extremum == "max" else ("<", "-jnp.inf")
    # NaN is the extremum of its window; as the furthest number it can be compared.
    x_text = f"jnp.where({x} == {x}, {x}, {end})" if kind(dtype) == "f" else x
    starts = f"(jnp.array({_outermost(dtype, extremum)[1]}, {dtype_text(dtype)}), jnp.array({size - 1}, {places}))"
    wins = f"(q[0] {sign} p[0]) | ((q[0] == p[0]) & (q[1] < p[1]))"
    return (
        f"lax.reduce_window(({x_text}, lax.iota({places}, {size}).reshape({x.aval.shape})), {starts}, "
        f"lambda p, q: tuple(jnp.where({wins}, b, a) for a, b in zip(p, q)), {window}, {strides}, "
        f'"VALID"{_dilations(window_dilation=window_dilation)})[1]'
    )


def _place_batch(xs, dims, *, extremum, **params):
    x = with_axis(xs[0], dims[0], 0, xs[0].shape[dims[0]])
    each = math.prod(x.shape[1:])
    place = bind1(window_place_p, x, extremum=extremum, **_one_more(params, 0))
    return (rem(place, fill(each, place.aval)) if each else place,), (0,)


# The position, in all of x in row-major order, of the first extremum of each window.
window_place_p = no_derivative("window_place", _place_infer, _place_emit, _place_batch, scalars=False, cost=slides)
