"""Order: sorting, partly sorting, and positions in order. Of equal elements the first comes first, with its tangent."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from ..ir.errors import ArgumentError, DTypeError
from ..ops import elementwise, shape
from ..ops import sort as ops
from ..ops.operands import kind
from ..trace.avals import canonical_dtype
from . import axes as ax
from .dispatch import public
from .manipulation import concatenate, cut, flip, moveaxis
from .promote import aval as aval_of
from .promote import home, lift, retype


def _line(name: str, a: Any, axis: int | None, **unsupported: Any) -> tuple[Any, int]:
    for option, value in unsupported.items():
        if value is not None:
            raise ArgumentError(f"{name} has one algorithm and one order: leave {option}= away, got {value!r}.")
    x = lift(a)
    if axis is None or not x.ndim:
        x, axis = shape.reshape(x, (x.size,)), 0 if axis is None else axis
    return x, ax.one(axis, x.ndim)


@public("sort")
def sort(a: Any, axis: int | None = -1, *, kind: None = None, order: None = None, stable: bool = True,
         descending: bool = False) -> Any:  # fmt: skip
    """`jax.numpy.sort`, on tracers too."""
    x, axis = _line("sort", a, axis, kind=kind, order=order)
    out = ops.sort(x, axis=axis, stable=stable)[0]
    return flip(out, axis) if descending else out


@public("argsort")
def argsort(a: Any, axis: int | None = -1, *, kind: None = None, order: None = None, stable: bool = True,
            descending: bool = False, dtype: Any = None) -> Any:  # fmt: skip
    """`jax.numpy.argsort`, on tracers too."""
    x, axis = _line("argsort", a, axis, kind=kind, order=order)
    x = flip(x, axis) if descending else x
    found = ops.argsort(x, axis=axis, stable=stable, dtype=canonical_dtype(int if dtype is None else dtype))
    # Turned before and after, equal elements keep their order though the larger come first.
    return (x.shape[axis] - 1) - flip(found, axis) if descending else found


@public("lexsort")
def lexsort(keys: Any, axis: int = -1, *, batch_size: int = 16) -> Any:
    """`jax.numpy.lexsort`, on tracers too: all keys in one sort, whatever `batch_size`."""
    if not isinstance(keys, list | tuple):
        whole = lift(keys)
        keys = [whole[i] for i in range(whole.shape[0])] if whole.ndim else ()
    if not len(keys):
        raise ArgumentError("lexsort needs at least one key.")
    at = home(*keys)
    xs = [at.operand(k, None) for k in keys]
    shapes = {x.shape for x in xs}
    if len(shapes) > 1:
        raise ArgumentError(f"lexsort needs keys of one shape, got {', '.join(map(str, shapes))}.")
    dtype = canonical_dtype(int)
    if not xs[0].ndim:
        return at.literal(0, aval_of(xs[0]).reshaped(()).retyped(dtype))
    axis = ax.one(axis, xs[0].ndim)
    places = shape.iota(dtype, xs[0].shape, axis)
    return ops.sort(*xs[::-1], places, axis=axis, num_keys=len(xs))[-1]


@public("sort_complex")
def sort_complex(a: Any) -> Any:
    """`jax.numpy.sort_complex`, on tracers too."""
    x = ops.sort(lift(a), axis=lift(a).ndim - 1)[0]
    return retype(x, np.result_type(x.dtype, np.complex64) if x.dtype.kind in "fc" else canonical_dtype(complex))


# -- partly sorted


def _real(name: str, x: Any) -> Any:
    if kind(x.dtype) == "c":
        raise DTypeError(f"{name} needs numbers that have an order, got {x.aval}.")
    return x


@public("partition")
def partition(a: Any, kth: int, axis: int = -1) -> Any:
    """`jax.numpy.partition`, on tracers too: ascending up to `kth`, descending behind; NaN counts as largest."""
    x, axis = _line("partition", a, axis)
    n = x.shape[axis]
    kth = ax.one(kth, n, "kth")
    x = ops.sort(_real("partition", x), axis=axis)[0]
    return concatenate([cut(x, axis, 0, kth + 1), flip(cut(x, axis, kth + 1, n), axis)], axis)


@public("argpartition")
def argpartition(a: Any, kth: int, axis: int = -1) -> Any:
    """`jax.numpy.argpartition`, on tracers too."""
    x, axis = _line("argpartition", a, axis)
    n = x.shape[axis]
    kth = ax.one(kth, n, "kth")
    found = ops.argsort(_real("argpartition", x), axis=axis, dtype="int32" if n < 2**31 else "int64")
    above = ops.sort(cut(found, axis, kth + 1, n), axis=axis)[0]
    return concatenate([cut(found, axis, 0, kth + 1), above], axis)


def _top_k_of_lax(a: Any, k: int, /, *, axis: int = -1, mode: str = "largest", sorted: bool = True) -> Any:
    """`top_k` for a jax.numpy that has none yet."""
    x = jnp.moveaxis(jnp.asarray(a), axis, -1)
    integer = jnp.issubdtype(x.dtype, jnp.integer)
    turned = x if mode == "largest" else ~x if integer else -x
    values, places = lax.top_k(turned, k)
    values = values if mode == "largest" else ~values if integer else -values
    return jnp.moveaxis(values, -1, axis), jnp.moveaxis(places, -1, axis)


@public(getattr(jnp, "top_k", _top_k_of_lax))
def top_k(a: Any, k: int, /, *, axis: int = -1, mode: str = "largest", sorted: bool = True) -> Any:
    """The k largest (or smallest) elements along an axis, the extreme one first, and their positions."""
    if mode not in ("largest", "smallest"):
        raise ArgumentError(f"top_k knows the modes largest and smallest, got {mode!r}.")
    x, axis = _line("top_k", a, axis)
    x = moveaxis(_real("top_k", x), axis, -1)
    if mode == "largest":
        values, places = ops.top_k(x, k=k)
    else:
        values, places = ops.top_k(_turned(x), k=k)
        values = _turned(values)
    return moveaxis(values, -1, axis), moveaxis(places, -1, axis)


def _turned(x: Any) -> Any:
    """The same numbers in the opposite order."""
    return elementwise.bitwise_not(x) if x.dtype.kind in "iu" else -x
