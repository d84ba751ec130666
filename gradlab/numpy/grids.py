"""Positions: grids of them, those of diagonals and triangles, and between many axes and one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..ir.errors import ArgumentError, DTypeError, ShapeError
from ..ir.graph import Aval
from ..lower.compile import evaluate
from ..ops import arith, compare
from ..ops import shape as ops
from ..trace.avals import canonical_dtype
from ..trace.stage import trace_graph
from ..trace.tracer import Tracer
from . import axes as ax
from .creation import arange, array, linspace
from .dispatch import public, recording, sized_by_values
from .manipulation import concatenate, stack
from .promote import alike, home, lift, retype, stretch
from .promote import aval as aval_of

# -- of whole grids


def _along(x: Any, axis: int, ndim: int) -> Any:
    """A vector as an array of `ndim` axes, of length 1 but for `axis`."""
    return ops.reshape(x, tuple(x.shape[0] if i == axis else 1 for i in range(ndim)))


@public("indices")
def indices(dimensions: Any, dtype: Any = None, sparse: bool = False) -> Any:
    """`jax.numpy.indices`, recorded inside a trace."""
    sizes = ax.shape_of(tuple(dimensions))
    lines = [_along(arange(n, dtype=dtype or int), i, len(sizes)) for i, n in enumerate(sizes)]
    if sparse:
        return tuple(lines)
    if not lines:
        return arange(0, dtype=dtype or int)
    return stack([stretch(x, sizes) for x in lines])


@public("ix_")
def ix_(*args: Any) -> tuple[Any, ...]:
    """`jax.numpy.ix_`, on tracers too: vectors of positions (or masks with a value) as an index of their product."""
    out = []
    for i, a in enumerate(args):
        x = array(a) if isinstance(a, list | tuple) else a
        if aval_of(x).ndim != 1:
            raise ShapeError(f"ix_ needs vectors, got {aval_of(x)}. Use ravel().")
        if aval_of(x).dtype.kind == "b":
            x = np.flatnonzero(x.tolist() if type(x) is Tracer else x).astype(canonical_dtype(int))
        out.append(_along(home(*args).operand(x, None), i, len(args)))
    return tuple(out)


# -- of diagonals and triangles: static, computed where they are asked for


def _captured(native: str) -> Callable[..., Any]:
    """A function of sizes only, whose arrays of positions are constants."""
    return sized_by_values(native)(getattr(jnp, native))


diag_indices = _captured("diag_indices")
tril_indices = _captured("tril_indices")
triu_indices = _captured("triu_indices")


def diag_indices_from(arr: Any) -> tuple[Any, ...]:
    """`jax.numpy.diag_indices_from`, of tracers too."""
    shape = aval_of(arr).shape
    if len(shape) < 2 or len(set(shape)) > 1:
        raise ShapeError(f"diag_indices_from needs at least two axes, all of one length, got {aval_of(arr)}.")
    return diag_indices(shape[0], len(shape))


def _from(name: str, of_sizes: Callable[..., Any]) -> Callable[..., Any]:
    def call(arr: Any, k: int = 0) -> tuple[Any, Any]:
        shape = arr.shape
        if len(shape) != 2:
            raise ShapeError(f"{name} needs a matrix, got shape {shape}.")
        return of_sizes(shape[0], k=k, m=shape[1])

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"`jax.numpy.{name}`, of tracers too."
    return call


tril_indices_from = _from("tril_indices_from", tril_indices)
triu_indices_from = _from("triu_indices_from", triu_indices)


def mask_indices(n: int, mask_func: Callable[..., Any], k: int = 0, *, size: int | None = None) -> tuple[Any, ...]:
    """`jax.numpy.mask_indices`, recorded inside a trace: where `mask_func(ones((n, n)), k)` is not 0."""
    if not recording((n, k), {}):
        return jnp.mask_indices(n, mask_func, k, size=size)
    # The mask is computed at once, in a program of its own: it decides a shape.
    graph = trace_graph(lambda _, x: [lift(mask_func(x, k))], [Aval((n, n), canonical_dtype(float))])
    with jax.ensure_compile_time_eval():
        (mask,) = evaluate(graph, [np.ones((n, n), graph.in_avals[0].dtype)])
    rows, columns = np.nonzero(np.asarray(mask))
    wanted = len(rows) if size is None else size
    filled = [np.concatenate([i, np.zeros(max(wanted - len(i), 0), int)])[:wanted] for i in (rows, columns)]
    at_rows, at_columns = (lift(i.astype(canonical_dtype(int))) for i in filled)
    return at_rows, at_columns


# -- between many axes and one


@public("ravel_multi_index")
def ravel_multi_index(
    multi_index: Any, dims: Any, mode: str = "raise", order: str = "C", *, dtype: Any = None
) -> Any:  # fmt: skip
    """`jax.numpy.ravel_multi_index`, on tracers too; mode="raise" needs positions that have a value."""
    sizes = ax.shape_of(tuple(dims))
    at = [retype(x, canonical_dtype(dtype or int)) for x in alike(*multi_index)]
    if len(at) != len(sizes) or aval_of(multi_index[0]).dtype.kind not in "iu":
        raise ArgumentError(f"ravel_multi_index needs one integer array for each of {sizes}, got {at}.")
    modes = (mode,) * len(sizes) if isinstance(mode, str) else tuple(mode)
    strides = [math.prod(sizes[i + 1 :]) if order == "C" else math.prod(sizes[:i]) for i in range(len(sizes))]
    total: Any = None
    for x, n, stride, how in zip(at, sizes, strides, modes, strict=True):
        if how == "raise":
            values = np.asarray(x.tolist())
            if values.size and not (values.min() >= 0 and values.max() < n):
                raise ValueError(f"invalid entry in coordinates array: {values.tolist()} is not within 0..{n - 1}")
        elif how == "wrap":
            x = x % n
        elif how == "clip":
            x = x.clip(0, n - 1)
        elif how != "ignore":
            raise ArgumentError(f"ravel_multi_index knows the modes raise, wrap, clip and ignore, got {how!r}.")
        total = x * stride if total is None else total + x * stride
    return total


@public("unravel_index")
def unravel_index(indices: Any, shape: Any) -> tuple[Any, ...]:
    """`jax.numpy.unravel_index`, on tracers too; what is out of bounds goes to the nearer end."""
    (x,) = alike(array(indices) if isinstance(indices, list | tuple) else indices)
    if x.dtype.kind not in "iu":
        raise DTypeError(f"unravel_index needs integers, got {x.aval}. Convert them with .astype(int).")
    sizes = ax.shape_of(shape)
    total = math.prod(sizes)
    if x.dtype.kind == "i":
        x = compare.select(compare.lt(x, 0), x + total, x)
    x = x.clip(0, max(total - 1, 0))
    out = []
    for n in reversed(sizes):
        out.append(arith.rem(x, n))
        x = arith.quotient(x, n)
    return tuple(reversed(out))


# -- by slices: mgrid, ogrid, r_, c_


def _line(item: Any) -> Any:
    """The numbers that `start:stop:step` means; an imaginary step is how many, ends included."""
    start, stop, step = (0 if item.start is None else item.start), item.stop, (1 if item.step is None else item.step)
    if isinstance(step, complex):
        return linspace(start, stop, int(abs(step)), endpoint=True)
    return arange(start, stop, step)


class _Grid:
    """`np.mgrid[0:3, 0:2]`: positions by slices."""

    def __init__(self, name: str, sparse: bool):
        self.native = getattr(jnp, name)
        self.sparse = sparse

    def __getitem__(self, key: Any) -> Any:
        items = key if isinstance(key, tuple) else (key,)
        if not recording([x for s in items for x in (s.start, s.stop, s.step)], {}):
            return self.native[key]
        lines = [lift(_line(item)) for item in items]
        if not isinstance(key, tuple):
            return lines[0]
        lines = [_along(x, i, len(lines)) for i, x in enumerate(_of_one_dtype(lines))]
        if self.sparse:
            return lines
        return stack([stretch(x, tuple(y.shape[i] for i, y in enumerate(lines))) for x in lines])


def _of_one_dtype(lines: list[Any]) -> list[Any]:
    dtype = np.result_type(*(x.dtype for x in lines))
    return [retype(x, dtype) for x in lines]


class _Joined:
    """`np.r_[a, 0, 1:4]`: arrays, numbers and slices joined along an axis, which a first string may say."""

    def __init__(self, name: str, axis: int, ndim: int, front: int):
        self.native = getattr(jnp, name)
        self.default = (axis, ndim, front)

    def __getitem__(self, key: Any) -> Any:
        items = list(key) if isinstance(key, tuple) else [key]
        flat = [x for item in items for x in ((item.start, item.stop) if isinstance(item, slice) else (item,))]
        if not recording([x for x in flat if not isinstance(x, str)], {}):
            return self.native[key]
        axis, ndim, front = self.default
        matrix = ""
        if isinstance(items[0], str):
            text = items.pop(0)
            if text in ("r", "c"):
                matrix = text
            else:
                numbers = [int(n) for n in text.split(",")]
                axis, ndim, front = [*numbers, *(0, 1, -1)[len(numbers) :]]
        out = concatenate([_raised(item, ndim, front) for item in items], axis)
        return ops.reshape(out, (1, out.size) if matrix == "r" else (out.size, 1)) if matrix and out.ndim == 1 else out


def _raised(item: Any, ndim: int, front: int) -> Any:
    """What stands between commas, as an array of at least `ndim` axes, `front` new ones before its own (-1: all)."""
    x = lift(_line(item) if isinstance(item, slice) else array(item) if isinstance(item, list | tuple) else item)
    missing = ndim - x.ndim
    if missing <= 0:
        return x
    before = front + missing + 1 if front < 0 else min(front, missing)
    return ops.reshape(x, (*(1,) * before, *x.shape, *(1,) * (missing - before)))


mgrid = _Grid("mgrid", False)
ogrid = _Grid("ogrid", True)
r_ = _Joined("r_", 0, 1, -1)
c_ = _Joined("c_", -1, 2, 0)
