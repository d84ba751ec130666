"""Axes and shapes as a caller may write them, made canonical: counted from 0, checked, Python integers."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

from ..ir.errors import AxisError, DTypeError, GradlabError, ShapeError
from ..ir.graph import Aval


def whole(n: Any, what: str) -> int:
    """An integer, also where a tracer or an array of one stands for it."""
    try:
        return operator.index(n)
    except GradlabError:
        raise
    except TypeError:
        shown = n.aval if hasattr(n, "aval") else f"{n!r} of type {type(n).__name__}"
        raise DTypeError(f"{what} must be an integer, got {shown}. Convert it with int(...).") from None


def one(axis: Any, ndim: int, name: str = "axis") -> int:
    """One axis within 0..ndim-1; negative ones count from the end."""
    axis = whole(axis, name)
    if not -ndim <= axis < ndim:
        raise AxisError(f"{name}={axis} is out of bounds for an array of {ndim} dimensions: use {-ndim}..{ndim - 1}.")
    return axis % ndim


def several(axis: Any, ndim: int, name: str = "axis") -> tuple[int, ...]:
    """The axes named: all for None, else one or several distinct ones, in the order given."""
    if axis is None:
        return tuple(range(ndim))
    if isinstance(axis, tuple | list):
        axes = tuple(one(a, ndim, name) for a in axis)
        if len(set(axes)) != len(axes):
            raise ShapeError(f"{name}={tuple(axis)} names an axis twice.")
        return axes
    return (one(axis, ndim, name),)


def shape_of(shape: Any) -> tuple[int, ...]:
    """A shape given as an int or a sequence of ints (or tracers that have a value)."""
    sizes = shape if isinstance(shape, tuple | list) else (shape,)
    out = tuple(whole(n, "a size in a shape") for n in sizes)
    if any(n < 0 for n in out):
        raise ShapeError(f"sizes in a shape must not be negative, got {out}.")
    return out


def resolved(shape: Sequence[Any], aval: Aval) -> tuple[int, ...]:
    """The target of a reshape, its one -1 replaced by what is left."""
    sizes = [whole(n, "a size in a shape") for n in shape]
    if sizes.count(-1) == 1:
        known = math.prod(n for n in sizes if n != -1)
        if known and aval.size % known == 0:
            sizes[sizes.index(-1)] = aval.size // known
    if min(sizes, default=0) < 0 or math.prod(sizes) != aval.size:
        raise ShapeError(
            f"reshape of {aval} ({aval.size} elements) to {tuple(shape)} does not fit. "
            "The sizes must multiply to the number of elements; at most one may be -1."
        )
    return tuple(sizes)
