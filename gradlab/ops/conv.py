"""Convolution: one bilinear primitive with XLA's every parameter, closed under its own transposes and batching.

In each dimension of space, with x dilated (zeros between neighbours) and padded, out[i] is the sum over k of
x[i·stride + k·rhs_dilation] y[k]: neither operand is reversed. The axes of batch (m), features in (j) and out (k) make
it a product of matrices, [m, j] [j, k] -> [m, k]; with g groups [m, gj] [j, gk] -> [m, gk], or, where the groups
are in the batch, [gm, j] [j, gk] -> [m, gk]. A group is always the outer part of its axis.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ir.errors import ArgumentError, ShapeError
from ..ir.graph import Aval
from ..ir.primitive import Primitive
from ..trace.builder import bind, bind1
from .contract import precision_of, precision_text
from .convert import convert
from .costs import convolves
from .families import add_p, batch_size
from .operands import dtype_text, fill, require_kind, zeros_like
from .shape import moveaxis, reshape, rev

Ints = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]
Spec = tuple[
    Ints, Ints, Ints
]  # of lhs, rhs and out: the axes (batch, feature in, *spatial), (feature out, in, *spatial)


def conv_general_dilated(
    lhs: Any,
    rhs: Any,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """`jax.lax.conv_general_dilated` of operands of one dtype."""
    n = lhs.ndim - 2
    _require_rank(lhs.aval, rhs.aval)
    spec = dimension_spec(dimension_numbers, lhs.ndim)
    of_lhs, of_rhs = (((1,) * n if d is None else _ints(d)) for d in (lhs_dilation, rhs_dilation))
    strides = _ints(window_strides)
    if isinstance(padding, str):
        if any(d != 1 for d in of_lhs):
            raise ArgumentError(f"padding={padding!r} has no meaning where lhs is dilated: give (low, high) pairs.")
        sizes = [lhs.shape[a] for a in spec[0][2:]]
        windows = [_dilated(rhs.shape[a], d) for a, d in zip(spec[1][2:], of_rhs, strict=True)]
        padding = named_padding(padding, sizes, windows, strides)
    return _conv(
        lhs,
        rhs,
        strides=strides,
        padding=tuple((operator.index(low), operator.index(high)) for low, high in padding),
        lhs_dilation=of_lhs,
        rhs_dilation=of_rhs,
        spec=spec,
        feature_groups=operator.index(feature_group_count),
        batch_groups=operator.index(batch_group_count),
        precision=precision_of(precision),
        out_dtype=None if preferred_element_type is None else np.dtype(preferred_element_type),
    )


def _ints(xs: Sequence[int]) -> Ints:
    return tuple(operator.index(x) for x in xs)


def dimension_spec(given: Any, ndim: int) -> Spec:
    """Which axes are batch, feature and space, from None, strings as ("NCHW", "OIHW", "NCHW"), or tuples of axes."""
    if given is None:
        axes = tuple(range(ndim))
        return axes, axes, axes
    if not isinstance(given, list | tuple) or len(given) != 3 or any(len(part) != ndim for part in given):
        raise ArgumentError(
            f"dimension_numbers for arrays of {ndim} axes are three strings or tuples of that length, got {given!r}."
        )
    lhs, rhs, out = given
    if not all(isinstance(part, str) for part in given):
        return _ints(lhs), _ints(rhs), _ints(out)
    space = [c for c in rhs if c not in "OI"]
    firsts = ("NC", "OI", "NC")
    if any(sorted(part) != sorted((*first, *space)) for part, first in zip(given, firsts, strict=True)):
        raise ArgumentError(
            "dimension_numbers name the axes of lhs and out by N, C and one letter for each axis of space, "
            f"those of rhs by O, I and the same letters; got {given!r}."
        )
    of_lhs, of_rhs, of_out = (
        tuple(part.index(c) for c in (*first, *space)) for part, first in zip(given, firsts, strict=True)
    )
    return of_lhs, of_rhs, of_out


def named_padding(name: str, sizes: Sequence[int], windows: Sequence[int], strides: Sequence[int]) -> Pads:
    """The padding called VALID (none), SAME or SAME_LOWER (ceil(size / stride) results; the odd one high, or low)."""
    name = name.upper()
    if name == "VALID":
        return ((0, 0),) * len(sizes)
    if name not in ("SAME", "SAME_LOWER"):
        raise ArgumentError(f'padding is "VALID", "SAME", "SAME_LOWER" or (low, high) pairs; got {name!r}.')
    total = [max((-(-n // s) - 1) * s + w - n, 0) for n, w, s in zip(sizes, windows, strides, strict=True)]
    return tuple((t // 2, t - t // 2) if name == "SAME" else (t - t // 2, t // 2) for t in total)


def _dilated(size: int, by: int) -> int:
    return (size - 1) * by + 1 if size else 0


# -- types and text


def _require_rank(x: Aval, y: Aval) -> None:
    if x.ndim != y.ndim or x.dtype != y.dtype or x.ndim < 2:
        raise ShapeError(
            f"conv_general_dilated needs operands of one dtype and as many axes (2 at least), got {x} and {y}. "
            "Reshape or convert one."
        )


def _infer(x: Aval, y: Aval, *, strides, padding, lhs_dilation, rhs_dilation, spec, feature_groups, batch_groups,
           precision, out_dtype) -> tuple[Aval]:  # fmt: skip
    require_kind("conv_general_dilated", x, "biufc")
    axes = list(range(x.ndim))
    n = x.ndim - 2
    _require_rank(x, y)
    if any(sorted(part) != axes for part in spec):
        raise ShapeError(f"conv_general_dilated needs each of the axes of {x} once in each part, got {spec}.")
    if any(len(given) != n for given in (strides, padding, lhs_dilation, rhs_dilation)):
        raise ShapeError(
            f"conv_general_dilated of {x} has {n} dimensions of space, got strides {strides}, padding {padding}, "
            f"dilations {lhs_dilation} and {rhs_dilation}: give one for each."
        )
    if min((*strides, *lhs_dilation, *rhs_dilation, feature_groups, batch_groups)) < 1:
        raise ArgumentError("conv_general_dilated needs strides, dilations and numbers of groups of 1 or more.")
    (m, j), (k, i) = (tuple(a.shape[axis] for axis in part[:2]) for a, part in zip((x, y), spec, strict=False))
    groups = feature_groups * batch_groups
    if j != i * feature_groups or k % groups or m % batch_groups or groups not in (feature_groups, batch_groups):
        raise ShapeError(
            f"conv_general_dilated needs lhs features ({j}) = feature groups ({feature_groups}) x rhs features ({i}), "
            f"rhs outputs ({k}) and lhs batch ({m}) that the groups (of features, or {batch_groups} of the batch) "
            f"divide; got {x} and {y} with axes {spec}."
        )
    space = []
    for a, b, s, (low, high), dx, dy in zip(
        spec[0][2:], spec[1][2:], strides, padding, lhs_dilation, rhs_dilation, strict=True
    ):
        room = _dilated(x.shape[a], dx) + low + high - _dilated(y.shape[b], dy)
        space.append(room // s + 1 if room >= 0 else 0)
    by_part = dict(zip(spec[2], (m // batch_groups, k, *space), strict=True))
    shape = tuple(by_part[a] for a in axes)
    return (Aval(shape, x.dtype if out_dtype is None else out_dtype, x.weak and y.weak and out_dtype is None),)


def _emit(
    x, y, *, strides, padding, lhs_dilation, rhs_dilation, spec, feature_groups, batch_groups, precision, out_dtype
):
    n = len(strides)
    parts = [str(x), str(y), str(strides), str(padding)]
    if lhs_dilation != (1,) * n:
        parts.append(f"lhs_dilation={lhs_dilation}")
    if rhs_dilation != (1,) * n:
        parts.append(f"rhs_dilation={rhs_dilation}")
    if spec != (tuple(range(n + 2)),) * 3:
        parts.append(f"dimension_numbers=lax.ConvDimensionNumbers({spec[0]}, {spec[1]}, {spec[2]})")
    if feature_groups != 1:
        parts.append(f"feature_group_count={feature_groups}")
    if batch_groups != 1:
        parts.append(f"batch_group_count={batch_groups}")
    if precision is not None:
        parts.append(f"precision={precision_text(precision)}")
    if out_dtype is not None:
        parts.append(f"preferred_element_type={dtype_text(out_dtype)}")
    return f"lax.conv_general_dilated({', '.join(parts)})"


# -- derivatives


def _jvp(xs, tangents, **params):
    (x, y), (dx, dy) = xs, tangents
    terms = [] if dx is None else [bind1(conv_p, dx, y, **params)]
    terms += [] if dy is None else [bind1(conv_p, x, dy, **params)]
    tangent = terms[0] if len(terms) == 1 else bind1(add_p, *terms)
    return bind(conv_p, x, y, **params), (tangent,)


def _transpose(cts, active, x, y, **params):
    (ct,) = cts
    if not ct.aval.size or 0 in x.shape or 0 in y.shape:
        return tuple(zeros_like(a) if on else None for a, on in zip((x, y), active, strict=True))
    if active[0]:
        return _like(_lhs_cotangent(ct, x, _like(y, ct), params), x), None
    return None, _like(_rhs_cotangent(ct, _like(x, ct), y, params), y)


def _like(x: Any, other: Any) -> Any:
    return x if x.dtype == other.dtype else convert(x, dtype=other.dtype)


def _swapped(part: Ints) -> Ints:
    return (part[1], part[0], *part[2:])


def _extents(ct, x, y, params):
    """For each dimension of space the sizes of x, y and ct, stretched by their dilations, and the padding before."""
    dilations = (params["lhs_dilation"], params["rhs_dilation"], params["strides"])
    wide = [
        [_dilated(a.shape[axis], d) for axis, d in zip(part[2:], dilation, strict=True)]
        for a, part, dilation in zip((x, y, ct), params["spec"], dilations, strict=True)
    ]
    return zip(*wide, (low for low, _ in params["padding"]), strict=True)


def _lhs_cotangent(ct, x, y, params):
    """[m, gk] [k, gj] -> [m, gj], with y read backwards; x's dilation and the stride change places."""
    of_x, of_y, of_ct = params["spec"]
    batch_groups = params["batch_groups"]
    groups = params["feature_groups"] * batch_groups
    moved = dict(
        params,
        strides=params["lhs_dilation"],
        lhs_dilation=params["strides"],
        padding=tuple((b - low - 1, a + low - c) for a, b, c, low in _extents(ct, x, y, params)),
        spec=(of_ct, _swapped(of_y), of_x),
        feature_groups=groups,
        batch_groups=1,
        out_dtype=None,
    )
    out = _conv(ct, rev(_regrouped(y, of_y[0], of_y[1], groups), of_y[2:]), **moved)
    return _regrouped(out, of_x[1], of_x[0], batch_groups)


def _rhs_cotangent(ct, x, y, params):
    """[gj, m] [m, gk] -> [j, gk]: batch and features change places and groups, y's dilation and the stride too."""
    of_x, of_y, of_ct = map(_swapped, params["spec"])
    moved = dict(
        params,
        strides=params["rhs_dilation"],
        rhs_dilation=params["strides"],
        padding=tuple((low, c + b - a - low - 1) for a, b, c, low in _extents(ct, x, y, params)),
        spec=(of_x, of_ct, of_y),
        feature_groups=params["batch_groups"],
        batch_groups=params["feature_groups"],
        out_dtype=None,
    )
    return _conv(x, ct, **moved)


# -- axes taken into others, and out again


def _into(x: Any, source: Any, axis: int, groups: int = 1) -> Any:
    """`x` with the axis at `source` made the outer part of `axis` (counted without it), or of each of its groups."""
    x = moveaxis(x, source, axis)
    size, n = x.shape[axis : axis + 2]
    if groups > 1:
        x = reshape(x, (*x.shape[: axis + 1], groups, n // groups, *x.shape[axis + 2 :]))
        x = moveaxis(x, axis, axis + 1)
    rest = x.shape[axis + 2 + (groups > 1) :]
    return reshape(x, (*x.shape[:axis], size * n, *rest))


def _out_of(x: Any, axis: int, size: int, groups: int = 1) -> Any:
    """The inverse: the outer part, `size` long, of each of the groups of `axis` as an axis of its own, before it."""
    before, n, after = x.shape[:axis], x.shape[axis] // size, x.shape[axis + 1 :]
    if groups > 1:
        x = moveaxis(reshape(x, (*before, groups, size, n // groups, *after)), axis + 1, axis)
    return reshape(x, (*before, size, n, *after))


def _regrouped(x: Any, source: int, to: int, groups: int) -> Any:
    """`x` with the groups of one axis made the groups of another."""
    return x if groups == 1 else _into(_out_of(x, source, groups), source, to)


def _batch(xs, dims, *, spec, feature_groups, batch_groups, **params):
    (x, y), (dx, dy) = xs, dims
    size = batch_size(xs, dims)
    of_x, of_y, of_out = spec
    if not size:
        each = [a.aval.reshaped(n for i, n in enumerate(a.shape) if i != d) for a, d in zip(xs, dims, strict=True)]
        (out,) = _infer(*each, spec=spec, feature_groups=feature_groups, batch_groups=batch_groups, **params)
        return (fill(0, out.reshaped((0, *out.shape))),), (0,)
    if dx is not None and dy is not None:
        # Each slice has its own y: one more level of groups, outside those there are.
        x = _into(x, dx, of_x[1] if batch_groups == 1 else of_x[0])
        y, place, inner = _into(y, dy, of_y[0]), of_out[1], 1
        if batch_groups == 1:
            feature_groups *= size
        else:
            batch_groups *= size
    elif dy is None:
        x, place, inner = _into(x, dx, of_x[0], batch_groups), of_out[0], 1
    else:
        inner = feature_groups * batch_groups
        y, place = _into(y, dy, of_y[0], inner), of_out[1]
    out = _conv(x, y, spec=spec, feature_groups=feature_groups, batch_groups=batch_groups, **params)
    return (_out_of(out, place, size, inner),), (place,)


def _conv(
    x, y, *, strides, padding, lhs_dilation, rhs_dilation, spec, feature_groups, batch_groups, precision, out_dtype
):
    return bind1(conv_p, x, y, strides=strides, padding=padding, lhs_dilation=lhs_dilation, rhs_dilation=rhs_dilation,
                 spec=spec, feature_groups=feature_groups, batch_groups=batch_groups, precision=precision,
                 out_dtype=out_dtype)  # fmt: skip


conv_p = Primitive(name="conv", infer=_infer, emit=_emit, jvp=_jvp, transpose=_transpose, batch=_batch, cost=convolves)
