"""What every primitive says of its operands: their kinds, the checks on them, constants like them, their text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ir.errors import DTypeError, ShapeError
from ..ir.graph import Aval, Lit, is_inexact, is_key
from ..trace.avals import NO_KEYS

BOOL = np.dtype(bool)


def kind(dtype: np.dtype) -> str:
    """One letter: b(ool), i(nteger), u(nsigned), f(loating), c(omplex), k(ey); bfloat16 and float8 are f."""
    if is_key(dtype):
        return "k"
    return "f" if dtype.kind == "V" and is_inexact(dtype) else dtype.kind


_KIND_NAMES = {"b": "bool", "i": "integer", "u": "unsigned", "f": "floating", "c": "complex"}


def require_kind(name: str, aval: Aval, kinds: str) -> None:
    """**Raises:** `DTypeError` unless the dtype is of one of these kinds (letters of `kind`)."""
    if kind(aval.dtype) not in kinds:
        allowed = ", ".join(_KIND_NAMES[k] for k in kinds)
        remedy = NO_KEYS if is_key(aval.dtype) else "Convert it first with .astype(...)."
        raise DTypeError(f"{name} needs a dtype that is {allowed}; got {aval}. {remedy}")


def require_axes(name: str, aval: Aval, axes: Sequence[int]) -> None:
    """**Raises:** `ShapeError` unless these are distinct axes of the array, counted from 0."""
    if any(not 0 <= a < aval.ndim for a in axes) or len(set(axes)) != len(axes):
        raise ShapeError(f"{name} needs distinct axes within 0..{aval.ndim - 1} for {aval}, got {tuple(axes)}.")


def require_elements(name: str, aval: Aval, axes: Sequence[int]) -> None:
    """**Raises:** `ShapeError` if the array is empty along one of these axes."""
    if any(aval.shape[a] == 0 for a in axes):
        raise ShapeError(
            f"{name} of no elements does not exist: {aval} is empty along an axis of {tuple(axes)}. "
            "Concatenate a starting value to it (numpy's initial=)."
        )


def same_type(name: str, *avals: Aval) -> Aval:
    """The common aval of operands that must agree; weak only if all are.

    **Raises:** `ShapeError` if shapes or dtypes differ.
    """
    first = avals[0]
    for other in avals[1:]:
        if other.shape != first.shape or other.dtype != first.dtype:
            got = ", ".join(map(str, avals))
            raise ShapeError(
                f"{name} needs operands of one shape and dtype, got {got}. "
                "gradlab.numpy broadcasts and promotes; primitives do not."
            )
    return Aval(first.shape, first.dtype, all(a.weak for a in avals))


def fill(value: bool | int | float | complex, aval: Aval) -> Lit:
    """The constant array of one number, of exactly this type (a weak one stays weak)."""
    return Lit(value, aval)


def zeros_like(x: Any) -> Lit:
    """The constant array of zeros of x's type."""
    return fill(False if x.dtype == BOOL else 0.0 if is_inexact(x.dtype) else 0, x.aval)


def or_zeros(tangents: Sequence[Any], xs: Sequence[Any]) -> list[Any]:
    """The tangents of `xs`, structural zeros made arrays."""
    return [zeros_like(x) if t is None else t for t, x in zip(tangents, xs, strict=True)]


def reduced(aval: Aval, axes: Sequence[int]) -> Aval:
    """The type without these axes."""
    return aval.reshaped(n for i, n in enumerate(aval.shape) if i not in axes)


def dtype_text(dtype: np.dtype) -> str:
    """A dtype as an expression in emitted code: `jnp.float32`."""
    return "jnp.bool_" if dtype.kind == "b" else f"jnp.{dtype.name}"


def axes_text(x: Any, axes: Sequence[int]) -> str:
    """`axis=0`, `axis=(0, 2)`, or `axis=None` for all of x's axes."""
    if len(axes) == len(x.aval.shape):
        return "axis=None"
    return f"axis={axes[0]}" if len(axes) == 1 else f"axis={tuple(axes)}"
