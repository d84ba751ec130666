"""`pad`: an array continued beyond its edges, one axis after the other, in each of NumPy's ways."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ir.errors import ArgumentError, ShapeError
from ..ir.graph import is_inexact
from ..ops import shape as ops
from ..trace.tracer import Tracer
from . import axes as ax
from . import reductions as red
from .creation import asarray, linspace
from .dispatch import has_tracer, public
from .formulas import rint
from .indexing import getitem
from .manipulation import cut, flip
from .mapping import apply_along_axis
from .promote import home, number, retype, stretch
from .quantiles import median

_OPTIONS = {
    "constant": {"constant_values": 0},
    "empty": {},
    "edge": {},
    "wrap": {},
    "linear_ramp": {"end_values": 0},
    "maximum": {"stat_length": None},
    "mean": {"stat_length": None},
    "median": {"stat_length": None},
    "minimum": {"stat_length": None},
    "reflect": {"reflect_type": "even"},
    "symmetric": {"reflect_type": "even"},
}
_STATISTICS = {"maximum": red.max, "minimum": red.min, "mean": red.mean, "median": median}


@public("pad")
def pad(array: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Any:
    """`jax.numpy.pad`, on tracers too, in all of its modes; the values it pads with may be traced as well."""
    x = home(array, *kwargs.values()).operand(array, None)
    widths = _widths(pad_width, x.ndim)
    if callable(mode):
        return _by_function(x, widths, mode, kwargs)
    if mode not in _OPTIONS:
        raise ArgumentError(f"pad knows the modes {', '.join(_OPTIONS)} and functions, got mode={mode!r}.")
    known = _OPTIONS[mode]
    if kwargs.keys() - known:
        takes = f"the option {', '.join(known)} only" if known else "no options"
        raise ArgumentError(f"pad with mode={mode!r} takes {takes}, got {', '.join(sorted(kwargs))}.")
    option = next(iter({**known, **kwargs}.values()), 0)
    if mode in ("constant", "empty"):
        return _constant(x, widths, option)
    if mode in ("reflect", "symmetric") and option not in ("even", "odd"):
        raise ArgumentError(f"pad knows the reflect types even and odd, got {option!r}.")
    if mode == "linear_ramp":
        option = _sides(option, x)
    elif mode in _STATISTICS:
        option = [None] * x.ndim if option is None else _widths(option, x.ndim, "stat_length")
    for axis, (low, high) in enumerate(widths):
        if not low and not high:
            continue
        if not x.shape[axis]:
            raise ShapeError(f"pad with mode={mode!r} has nothing to continue: {x.aval} is empty along axis {axis}.")
        if mode == "linear_ramp":
            x = _ramps(x, axis, low, high, option[axis])  # type: ignore[index]
        elif mode in _STATISTICS:
            x = _statistics(x, axis, low, high, _STATISTICS[mode], option[axis])  # type: ignore[index]
        elif option == "odd":
            x = _odd(x, axis, low, high, mode == "reflect")
        else:
            x = by_runs(x, np.pad(np.arange(x.shape[axis]), (low, high), mode=mode), axis)
    return x


# -- what was asked for


def _widths(given: Any, ndim: int, name: str = "pad_width") -> list[tuple[int, int]]:
    """Numbers of elements (before, after) per axis, from one number, a pair, a pair an axis, or a dict of axes."""
    if isinstance(given, dict):
        spread = {ax.one(axis, ndim): w for axis, w in given.items()}
        given = [spread.get(axis, 0) for axis in range(ndim)]
        given = [w if isinstance(w, tuple | list) else (w, w) for w in given]
    try:
        pairs = np.broadcast_to(np.asarray(_listed(given)), (ndim, 2)).tolist()
        out = [(operator.index(low), operator.index(high)) for low, high in pairs]
    except (TypeError, ValueError):
        raise ArgumentError(
            f"{name} is an integer, a pair (before, after), or a pair for each of the {ndim} axes; got {given!r}."
        ) from None
    if any(w < 0 for pair in out for w in pair):
        raise ArgumentError(f"{name} must not be negative, got {given!r}. Slice the array to make it smaller.")
    return out


def _listed(x: Any) -> Any:
    """Nested lists with each tracer in them as its value."""
    if isinstance(x, tuple | list):
        return [_listed(item) for item in x]
    return x.tolist() if type(x) is Tracer else x


def _sides(values: Any, x: Any) -> list[tuple[Any, Any]]:
    """Two scalars of x's dtype per axis, from anything that broadcasts to (ndim, 2)."""
    scalar = x.aval.reshaped(())
    if has_tracer((values,)):
        whole = stretch(retype(asarray(values), x.dtype), (x.ndim, 2))
        return [(whole[axis, 0], whole[axis, 1]) for axis in range(x.ndim)]
    pairs = np.broadcast_to(np.asarray(values), (x.ndim, 2)).tolist()
    return [tuple(x.builder.literal(number(v, x.dtype), scalar) for v in pair) for pair in pairs]  # type: ignore[misc]


# -- the ways


def _constant(x: Any, widths: Sequence[tuple[int, int]], values: Any) -> Any:
    sides = _sides(values, x)
    if len({id(v) if type(v) is Tracer else v for pair in sides for v in pair}) <= 1 or not x.ndim:
        return _filled(x, sides[0][0] if sides else 0, [w[0] for w in widths], [w[1] for w in widths])
    for axis, (pair, width) in enumerate(zip(sides, widths, strict=True)):
        for side in (0, 1):
            low, high = ([width[k] if (i, k) == (axis, side) else 0 for i in range(x.ndim)] for k in (0, 1))
            x = _filled(x, pair[side], low, high)
    return x


def _filled(x: Any, value: Any, low: Sequence[int], high: Sequence[int]) -> Any:
    return ops.pad(x, value, tuple(low), tuple(high), (0,) * x.ndim) if any(low) or any(high) else x


def _joined(before: Any, x: Any, after: Any, axis: int) -> Any:
    parts = [part for part in (before, x, after) if part is not None]
    return ops.concatenate(parts, axis) if len(parts) > 1 else x


def _repeated(x: Any, axis: int, n: int) -> Any:
    """A slice one thick along an axis, n thick; None of no thickness."""
    return stretch(x, (*x.shape[:axis], n, *x.shape[axis + 1 :])) if n else None


def _ramps(x: Any, axis: int, low: int, high: int, ends: tuple[Any, Any]) -> Any:
    def ramp(end: Any, edge: Any, n: int) -> Any:
        edge = ops.reshape(edge, (*x.shape[:axis], *x.shape[axis + 1 :]))
        return linspace(end, edge, n, False, dtype=x.dtype, axis=axis) if n else None

    n = x.shape[axis]
    before, after = ramp(ends[0], cut(x, axis, 0, 1), low), ramp(ends[1], cut(x, axis, n - 1, n), high)
    return _joined(before, x, flip(after, axis) if high else None, axis)


def _statistics(x: Any, axis: int, low: int, high: int, statistic: Any, lengths: tuple[int, int] | None) -> Any:
    n = x.shape[axis]
    first, last = (n, n) if lengths is None else (min(length, n) for length in lengths)
    if not first or not last:
        raise ArgumentError("pad needs a stat_length of at least 1: there is no statistic of no elements.")

    def of(part: Any, thick: int) -> Any:
        found = statistic(part, axis=axis, keepdims=True)
        found = retype(found if is_inexact(x.dtype) or found.dtype == x.dtype else rint(found), x.dtype)
        return _repeated(found, axis, thick)

    return _joined(of(cut(x, axis, 0, first), low), x, of(cut(x, axis, n - last, n), high), axis)


def _odd(x: Any, axis: int, low: int, high: int, reflect: bool) -> Any:
    """Each side turned about its edge point: 2·edge less the mirror image, again from what that gave if need be."""
    for side, left in ((0, low), (1, high)):
        while left:
            n = x.shape[axis]
            if reflect and n == 1:
                piece = _repeated(x, axis, left)
                taken = left
            else:
                taken = min(left, n - reflect)
                inner = (reflect, reflect + taken) if side == 0 else (n - reflect - taken, n - reflect)
                edge = cut(x, axis, 0, 1) if side == 0 else cut(x, axis, n - 1, n)
                piece = 2 * edge - flip(cut(x, axis, *map(int, inner)), axis)
            x = _joined(piece if side == 0 else None, x, piece if side else None, axis)
            left -= taken
    return x


_MOST_RUNS = 16  # beyond it a gather is shorter than the slices


def by_runs(x: Any, places: np.ndarray, axis: int) -> Any:
    """`x` taken at static `places` along an axis, as slices: runs of step 1, 0 or -1 are one piece each."""
    pieces: list[Any] = []
    i = 0
    while i < len(places):
        if len(pieces) > _MOST_RUNS:
            return getitem(x, (slice(None),) * axis + (places,))
        step = int(places[i + 1] - places[i]) if i + 1 < len(places) else 1
        step = step if step in (-1, 0, 1) else 1
        j = i + 1
        while j < len(places) and places[j] - places[j - 1] == step:
            j += 1
        first, last = int(places[i]), int(places[j - 1])
        piece = cut(x, axis, min(first, last), max(first, last) + 1)
        if step == 0:
            piece = _repeated(piece, axis, j - i)
        pieces.append(ops.rev(piece, (axis,)) if step == -1 else piece)
        i = j
    return ops.concatenate(pieces, axis) if len(pieces) > 1 else pieces[0]


def _by_function(x: Any, widths: list[tuple[int, int]], function: Any, kwargs: dict[str, Any]) -> Any:
    """Zeros around, then each line along each axis as `function(line, widths, axis, kwargs)` returns it."""
    x = _constant(x, widths, 0)
    for axis in range(x.ndim):
        x = apply_along_axis(function, axis, x, widths[axis], axis, kwargs)
    return x
