"""Which of many differences to believe: those that steps of many lengths agree on.

A function may oscillate faster than a step is long, or go up stairs too small to see; then differences at a few steps
may agree with each other and with nothing else. So the steps go down from the widest to those that rounding drowns, and
what an extrapolation over a few of them says is firm where those over shorter steps go on saying it, a run of them.
There may be two such runs: one slope at large, and another from close by. Where there is none, the sharpest of them
counts that no shorter steps contradict; it may acquit a derivative, never accuse one. Two ladders of steps must say the
same: a coincidence of one is none of the other.

**Source:** the choice among estimates of growing precision and bias is O. V. Lepski's, *On a problem of adaptive
estimation in Gaussian white noise*, Theory Probab. Appl. 35 (1991) 454-466.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .numeric import Estimate, extrapolate

WINDOW = 4  # steps that one extrapolation sees
LADDERS = (1.0, 0.625)  # where a direction has three binary digits, steps of both are exact
APART = 4.0  # estimates contradict each other when they are this many times their errors apart
SHARP = 0.05  # an error beyond this part of the slope is none that a run is made of


class Slope(NamedTuple):
    """A derivative by differences, how far it may be off (infinite: they do not tell), whether it is firm; the step."""

    value: np.ndarray
    error: np.ndarray
    firm: np.ndarray
    step: np.ndarray


class Slopes(NamedTuple):
    """`lasting`: what most steps say, in a row; `latest`: what the shortest say that rounding leaves sharp."""

    lasting: Slope
    latest: Slope


class _Window(NamedTuple):
    value: np.ndarray
    error: np.ndarray
    nothing: np.ndarray  # a slope below this is none: rounding makes as much
    step: float


def settled(values: Callable[[float], Sequence[Any]], u: float, quick: Sequence[Estimate]) -> list[Slopes]:
    """The slopes at 0 of curves.

    **Arguments:** `values(t)`: one array per curve, at a point moved by `t` in proportion to what stands there. `u`:
    their rounding unit. `quick`: estimates by the wide steps that are looked at anyway.
    """
    found = [_ladder(values, u, scale, quick) for scale in LADDERS]
    return [Slopes(*map(_agreed, a, b)) for a, b in zip(*found, strict=True)]


def _ladder(values: Callable, u: float, scale: float, quick: Sequence[Estimate]) -> list[Slopes]:
    steps = [scale * 4.0**k for k in range(math.floor(math.log2(u) / 16), math.ceil(math.log2(u) / 2) + 2, -1)]
    if len(steps) < WINDOW:
        alone = [(np.asarray(one.value), np.asarray(one.error)) for one in quick]
        return [Slopes(*[Slope(v, e, np.isfinite(v), np.zeros(v.shape))] * 2) for v, e in alone]
    ahead, behind = ([values(s * t) for t in steps] for s in (1, -1))
    found = []
    for i, first in enumerate(quick):
        value, error = np.asarray(first.value), np.asarray(first.error)
        windows = [_Window(value, error, np.zeros(value.shape), steps[WINDOW - 1])]
        for at in range(len(steps) - WINDOW + 1):
            part = slice(at, at + WINDOW)
            windows.append(_window(steps[part], [row[i] for row in ahead[part]], [row[i] for row in behind[part]], u))
        with np.errstate(invalid="ignore"):
            found.append(_runs(windows))
    return found


def _window(steps: Sequence[float], ahead: Sequence[Any], behind: Sequence[Any], u: float) -> _Window:
    found = extrapolate(steps, ahead, behind)
    size = np.max(np.abs(np.asarray([*ahead, *behind])).astype(np.float64), axis=0)
    # What is computed of x + t is as wrong as if x were off by a rounding.
    return _Window(found.value, found.error + np.abs(found.value) * u / steps[-1], 16 * u * size / steps[-1], steps[-1])


def _runs(windows: Sequence[_Window]) -> Slopes:
    """Number by number, the best of the longest and of the last run of windows that say the same.

    A run is two of them at least; else it is not firm.
    """
    lasting = latest = _unopposed(windows)
    value, error, step = np.zeros_like(lasting.value), np.zeros_like(lasting.error), np.zeros_like(lasting.step)
    length, longest = np.zeros(value.shape, int), np.ones(value.shape, int)
    for one in windows:
        apart, size = np.abs(one.value - value), np.abs(one.value)
        sharp = np.isfinite(one.value) & ((one.error <= SHARP * size) | (size <= one.nothing))
        joins = sharp & (length > 0) & ((apart <= APART * (one.error + error)) | (apart <= SHARP / 4 * size))
        length = np.where(joins, length + 1, sharp)
        keeps = joins & (error <= one.error)
        value, error = np.where(keeps, value, one.value), np.where(keeps, error, one.error)
        step = np.where(keeps, step, one.step)
        now = Slope(value, error, np.ones(value.shape, bool), step)
        latest = _replaced(latest, now, length > 1)
        lasting = _replaced(lasting, now, (length > 1) & (length >= longest))
        longest = np.maximum(longest, length)
    return Slopes(lasting, latest)


def _replaced(old: Slope, new: Slope, where: np.ndarray) -> Slope:
    return Slope(*(np.where(where, b, a) for a, b in zip(old, new, strict=True)))


def _unopposed(windows: Sequence[_Window]) -> Slope:
    """Number by number, of estimates by ever shorter steps the one of least error that all after it agree with."""
    *wider, last = windows
    value, error, after = last.value, np.where(np.isfinite(last.error), last.error, np.inf), [last]
    standing, step = np.ones(value.shape, bool), np.full(value.shape, last.step)
    for one in reversed(wider):
        known = np.isfinite(one.value) & np.isfinite(one.error)
        for other in after:
            apart = np.abs(one.value - other.value) > APART * (one.error + other.error)
            standing = standing & ~(known & apart)
        better = standing & known & ~(one.error >= error)
        value, error = np.where(better, one.value, value), np.where(better, one.error, error)
        step = np.where(better, one.step, step)
        after.append(one)
    return Slope(value, error, np.zeros(value.shape, bool), step)


def _agreed(a: Slope, b: Slope) -> Slope:
    """The better of two estimates where they agree, with the larger error; an infinite one where not."""
    with np.errstate(invalid="ignore"):
        apart = np.abs(a.value - b.value)
        one = (apart <= APART * (a.error + b.error)) | (a.firm & b.firm & (apart <= SHARP / 4 * np.abs(a.value)))
    error = np.where(one, np.maximum(np.maximum(a.error, b.error), apart), np.inf)
    value = np.where(a.error <= b.error, a.value, b.value)
    return Slope(value, error, one & a.firm & b.firm, np.maximum(a.step, b.step))
