"""Reductions over axes, running ones, and the statistics made of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..ir.errors import ArgumentError, ShapeError
from ..ir.graph import Aval, is_inexact
from ..ops import arith, convert, cumulative, reduce
from ..ops import shape as shape_ops
from ..ops.guarded import root
from ..ops.operands import kind
from ..trace.avals import canonical_dtype, x64
from . import axes as ax
from . import elementwise as ew
from .choose import where as choose
from .dispatch import public
from .formulas import lifted_like, truth
from .promote import alike, lift, retype

_ANSWERS: dict[tuple, np.dtype] = {}


def _dtype_of(fn: Callable[..., Any], aval: Aval) -> np.dtype:
    """The dtype that a reduction of jax.numpy answers with."""
    key = (fn, aval.dtype, x64())
    found = _ANSWERS.get(key)
    if found is None:
        found = _ANSWERS[key] = np.dtype(jax.eval_shape(fn, jax.ShapeDtypeStruct((1,), aval.dtype)).dtype)
    return found


def given_dtype(dtype: Any, fn: Callable[..., Any], x: Any) -> np.dtype:
    """The dtype asked for, or else the one in which jax.numpy's `fn` answers for x."""
    return _dtype_of(fn, x.aval) if dtype is None else canonical_dtype(dtype)


def _shaped(out: Any, x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    if not keepdims:
        return out
    return shape_ops.reshape(out, tuple(1 if i in axes else n for i, n in enumerate(x.shape)))


def _only(x: Any, where: Any, instead: Any) -> Any:
    """x where the mask is true, the neutral element elsewhere."""
    return x if where is None else choose(where, x, x.dtype.type(instead).item())


def _lowest(dtype: np.dtype, sign: int) -> Any:
    if is_inexact(dtype):
        return sign * -math.inf
    if dtype.kind == "b":
        return sign < 0
    return np.iinfo(dtype).min if sign > 0 else np.iinfo(dtype).max


@public("sum")
def sum(a: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: bool = False, initial: Any = None,
        where: Any = None, promote_integers: bool = True) -> Any:  # fmt: skip
    """`jax.numpy.sum`, on tracers too."""
    x = lift(a)
    axes = ax.several(axis, x.ndim)
    x = _only(retype(x, given_dtype(dtype, jnp.sum if promote_integers else _plain_sum, x)), where, 0)
    total = _shaped(reduce.reduce_sum(x, axes=axes), x, axes, keepdims)
    return total if initial is None else total + initial


def _plain_sum(x):
    return jnp.sum(x, promote_integers=False)


def _plain_prod(x):
    return jnp.prod(x, promote_integers=False)


@public("prod")
def prod(a: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: bool = False, initial: Any = None,
         where: Any = None, promote_integers: bool = True) -> Any:  # fmt: skip
    """`jax.numpy.prod`, on tracers too."""
    x = lift(a)
    axes = ax.several(axis, x.ndim)
    x = _only(retype(x, given_dtype(dtype, jnp.prod if promote_integers else _plain_prod, x)), where, 1)
    total = _shaped(reduce.reduce_prod(x, axes=axes), x, axes, keepdims)
    return total if initial is None else total * initial


def _extremum(name: str, op: Any, over_bools: Any, pair: Any, sign: int) -> Any:
    @public(name)
    def call(a: Any, axis: Any = None, out: None = None, keepdims: bool = False, initial: Any = None,
             where: Any = None) -> Any:  # fmt: skip
        x = lift(a)
        axes = ax.several(axis, x.ndim)
        if where is not None and initial is None:
            raise ArgumentError(f"{name} with where= needs initial=, the result where nothing is selected.")
        if initial is not None:
            x = _only(x, where, _lowest(x.dtype, sign))
        empty = 0 in [x.shape[i] for i in axes]
        if empty and initial is None:
            raise ShapeError(f"{name} of no elements does not exist: {x.aval} over axes {axes}. Give initial=.")
        if empty:
            shape = tuple(n for i, n in enumerate(x.shape) if i not in axes)
            found = retype(shape_ops.broadcast(lift(initial), shape=shape, axes=()), x.dtype)
        elif not axes:
            found = x
        else:
            found = (over_bools if x.dtype.kind == "b" else op)(x, axes=axes)
        found = retype(found, x.dtype)
        found = _shaped(found, x, axes, keepdims)
        return found if initial is None or empty else pair(found, initial)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"`jax.numpy.{name}`, on tracers too."
    return call


max = _extremum("max", reduce.reduce_max, reduce.reduce_or, ew.maximum, 1)
min = _extremum("min", reduce.reduce_min, reduce.reduce_and, ew.minimum, -1)
amax = _extremum("amax", reduce.reduce_max, reduce.reduce_or, ew.maximum, 1)
amin = _extremum("amin", reduce.reduce_min, reduce.reduce_and, ew.minimum, -1)


def _truths(name: str, op: Any, neutral: bool) -> Any:
    @public(name)
    def call(a: Any, axis: Any = None, out: None = None, keepdims: bool = False, *, where: Any = None) -> Any:
        x = _only(truth(lift(a)), where, neutral)
        axes = ax.several(axis, x.ndim)
        return _shaped(op(x, axes=axes), x, axes, keepdims)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"`jax.numpy.{name}`, on tracers too."
    return call


all = _truths("all", reduce.reduce_and, True)
any = _truths("any", reduce.reduce_or, False)


def _position(name: str, op: Any) -> Any:
    @public(name)
    def call(a: Any, axis: int | None = None, out: None = None, keepdims: bool | None = None) -> Any:
        x = lift(a)
        whole = x.shape
        if axis is None:
            x, at = shape_ops.reshape(x, (x.size,)), 0
        else:
            at = ax.one(axis, x.ndim)
        if not x.shape[at]:
            raise ShapeError(f"{name} of no elements does not exist: {x.aval} along axis {at}.")
        found = op(x, axis=at, dtype=canonical_dtype(int))
        if not keepdims:
            return found
        kept = (1,) * len(whole) if axis is None else tuple(1 if i == at else n for i, n in enumerate(whole))
        return shape_ops.reshape(found, kept)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"`jax.numpy.{name}`, on tracers too."
    return call


argmax = _position("argmax", reduce.argmax)
argmin = _position("argmin", reduce.argmin)


# -- statistics


def _wide(dtype: np.dtype) -> np.dtype:
    """The dtype to compute in: half precision is summed in single."""
    return np.dtype("float32") if is_inexact(dtype) and dtype.itemsize < 4 else dtype


def _count(x: Any, axes: tuple[int, ...], keepdims: bool, where: Any, dtype: np.dtype) -> Any:
    if where is None:
        return math.prod(x.shape[i] for i in axes)
    return sum(retype(shape_ops.broadcast_to(lift(where), x.shape), dtype), axes, dtype, keepdims=keepdims)


@public("mean")
def mean(a: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: bool = False, *,
         where: Any = None) -> Any:  # fmt: skip
    """`jax.numpy.mean`, on tracers too."""
    x = lift(a)
    axes = ax.several(axis, x.ndim)
    result = given_dtype(dtype, jnp.mean, x)
    wide = _wide(result)
    total = sum(retype(x, wide), axes, wide, None, keepdims, None, where)
    n = _count(x, axes, keepdims, where, wide)
    return retype(total / (float(n) if type(n) is int else n), result)


def variance_dtypes(x: Any, dtype: Any) -> tuple[np.dtype, np.dtype]:
    """The dtype of a variance, and the one to compute it in."""
    result = given_dtype(dtype, jnp.var, x)
    return result, _wide(_dtype_of(jnp.mean, x.aval) if dtype is None or x.dtype.kind == "c" else result)


def squared_size(x: Any) -> Any:
    """|x|²; by x·x̄ of complex numbers, whose derivative is finite at 0."""
    return convert.real(arith.mul(x, convert.conj(x))) if kind(x.dtype) == "c" else arith.square(x)


@public("var")
def var(a: Any, axis: Any = None, dtype: Any = None, out: None = None, ddof: int = 0, keepdims: bool = False, *,
        where: Any = None, mean: Any = None, correction: Any = None) -> Any:  # fmt: skip
    """`jax.numpy.var`, on tracers too."""
    if correction is not None and not (type(ddof) is int and ddof == 0):
        raise ArgumentError("var and std take one of ddof and correction, which mean the same; got both.")
    x = lift(a)
    axes = ax.several(axis, x.ndim)
    result, wide = variance_dtypes(x, dtype)
    x = retype(x, wide)
    centred = x - (_mean(x, axes, None, None, True, where=where) if mean is None else mean)
    square = squared_size(centred)
    total = sum(square, axes, square.dtype, None, keepdims, None, where)
    n = _count(x, axes, keepdims, where, square.dtype)
    left = n - (ddof if correction is None else correction)
    if isinstance(left, int | float):
        return retype(total / float(left if left > 0 else math.nan), result)
    left = lift(left)
    # Divided by 1 where there is nothing to divide by, the derivative has no 0/0.
    some = left > 0
    return retype(choose(some, total / choose(some, left, 1.0), math.nan), result)


_mean = mean


@public("std")
def std(a: Any, axis: Any = None, dtype: Any = None, out: None = None, ddof: int = 0, keepdims: bool = False, *,
        where: Any = None, mean: Any = None, correction: Any = None) -> Any:  # fmt: skip
    """`jax.numpy.std`, on tracers too; where it is 0, its derivative is 0: all elements equal is its minimum."""
    return root(var(lift(a), axis, dtype, None, ddof, keepdims, where=where, mean=mean, correction=correction))


@public("average")
def average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, keepdims: bool = False) -> Any:
    """`jax.numpy.average`, on tracers too."""
    a = lift(a)
    if weights is None:
        out = mean(a, axis, keepdims=keepdims)
        n = math.prod(a.shape[i] for i in ax.several(axis, a.ndim))
        total = lifted_like(out, out.dtype.type(n).item())
    else:
        a, weights = weighted(a, lift(weights), axis)
        total = sum(weights, axis, keepdims=keepdims)
        out = sum(a * weights, axis, keepdims=keepdims) / total
    return (out, shape_ops.broadcast_to(total, out.shape)) if returned else out


def weighted(a: Any, weights: Any, axis: Any) -> Any:
    """The array and its weights promoted, the weights, given for the axes reduced, repeated along the others.

    **Raises:** `ShapeError` where they have another shape.
    """
    if weights.shape != a.shape:
        axes = ax.several(axis, a.ndim)
        if axis is None or weights.shape != tuple(a.shape[i] for i in axes):
            raise ShapeError(f"weights need the shape of {a.aval}, or of its axes reduced; got {weights.aval}.")
        order = tuple(sorted(range(len(axes)), key=axes.__getitem__))
        weights = shape_ops.permute(weights, order) if order != tuple(range(len(order))) else weights
        weights = shape_ops.broadcast(weights, shape=a.shape, axes=sorted(axes))
    return alike(a, weights, inexact=True)


def _minmax_of_jax(a, axis=None, out=None, keepdims=False, initial=None, where=None):
    """`minmax` for a jax.numpy that has none yet."""
    how = {"axis": axis, "keepdims": keepdims, "initial": initial, "where": where}
    return jnp.min(a, **how), jnp.max(a, **how)


@public(getattr(jnp, "minmax", _minmax_of_jax))
def minmax(a: Any, axis: Any = None, out: None = None, keepdims: bool = False, initial: Any = None,
           where: Any = None) -> Any:  # fmt: skip
    """The smallest and the largest element, as `min` and `max`; `initial` is one number or one for each."""
    low, high = initial if isinstance(initial, tuple) else (initial, initial)
    return min(a, axis, None, keepdims, low, where), max(a, axis, None, keepdims, high, where)


@public("ptp")
def ptp(a: Any, axis: Any = None, out: None = None, keepdims: bool = False) -> Any:
    """`jax.numpy.ptp`, on tracers too."""
    a = lift(a)
    return max(a, axis, keepdims=keepdims) - min(a, axis, keepdims=keepdims)


@public("count_nonzero")
def count_nonzero(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """`jax.numpy.count_nonzero`, on tracers too."""
    return sum(retype(truth(lift(a)), canonical_dtype(int)), axis, keepdims=keepdims)


# -- running


def _running(name: str, op: Any) -> Any:
    native = getattr(jnp, name)

    @public(name)
    def call(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Any:
        x = lift(a)
        if axis is None:
            x, axis = shape_ops.reshape(x, (x.size,)), 0
        x = retype(x, given_dtype(dtype, native, x))
        return op(x, axis=ax.one(axis, x.ndim))

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"`jax.numpy.{name}`, on tracers too."
    return call


cumsum = _running("cumsum", cumulative.cumsum)
cumprod = _running("cumprod", cumulative.cumprod)


def _from_the_start(name: str, op: Any, first: int) -> Any:
    native = getattr(jnp, name)

    @public(name)
    def call(x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Any:
        x = lift(x)
        if not x.ndim or (axis is None and x.ndim > 1):
            raise ShapeError(f"{name} runs along one axis: give axis= for an array {x.aval}.")
        at = ax.one(axis or 0, x.ndim)
        out = op(retype(x, given_dtype(dtype, native, x)), axis=at)
        if not include_initial:
            return out
        low = tuple(int(i == at) for i in range(x.ndim))
        return shape_ops.pad(out, out.dtype.type(first).item(), low, (0,) * x.ndim)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"`jax.numpy.{name}`, on tracers too."
    return call


cumulative_sum = _from_the_start("cumulative_sum", cumulative.cumsum, 0)
cumulative_prod = _from_the_start("cumulative_prod", cumulative.cumprod, 1)
