"""Arrays from nothing, from numbers, and from nested lists of arrays.

`device` is taken and has no meaning inside a trace: a program runs where its arguments are.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..ir.graph import Aval, is_inexact
from ..ops import shape as shape_ops
from ..ops.arith import exp, floor, log
from ..ops.compare import eq, ge, select
from ..ops.operands import fill, kind
from ..trace.avals import canonical_dtype
from ..trace.builder import AMBIENT
from ..trace.tracer import Tracer
from . import axes as ax
from .dispatch import has_tracer, no_sharding, public
from .manipulation import stack
from .promote import SCALARS, home, lift, number, promote, retype, stretch
from .promote import aval as aval_of


def constant(value: Any, shape: Any, dtype: Any, weak: bool = False) -> Tracer:
    """The array of one number."""
    dtype = canonical_dtype(dtype)
    return AMBIENT.stack[-1].literal(number(value, dtype), Aval(ax.shape_of(shape), dtype, weak))


@public("zeros")
def zeros(shape: Any, dtype: Any = None, *, device: Any = None, out_sharding: Any = None) -> Any:
    """`jax.numpy.zeros`, recorded inside a trace."""
    no_sharding("zeros", out_sharding)
    return constant(0, shape, float if dtype is None else dtype)


@public("ones")
def ones(shape: Any, dtype: Any = None, *, device: Any = None, out_sharding: Any = None) -> Any:
    """`jax.numpy.ones`, recorded inside a trace."""
    no_sharding("ones", out_sharding)
    return constant(1, shape, float if dtype is None else dtype)


@public("empty")
def empty(shape: Any, dtype: Any = None, *, device: Any = None, out_sharding: Any = None) -> Any:
    """`jax.numpy.empty`, recorded inside a trace: zeros."""
    no_sharding("empty", out_sharding)
    return zeros(shape, dtype)


@public("full")
def full(shape: Any, fill_value: Any, dtype: Any = None, *, device: Any = None, out_sharding: Any = None) -> Any:
    """`jax.numpy.full`, on tracers too."""
    no_sharding("full", out_sharding)
    if type(fill_value) in SCALARS:
        found = aval_of(fill_value)
        return constant(fill_value, shape, found.dtype if dtype is None else dtype, found.weak and dtype is None)
    value = lift(fill_value)
    value = retype(value, value.dtype if dtype is None else canonical_dtype(dtype), value.weak_type and dtype is None)
    return stretch(value, ax.shape_of(shape))


def _like(name: str, value: Any) -> Any:
    @public(name)
    def call(a: Any, dtype: Any = None, shape: Any = None, *, device: Any = None, out_sharding: Any = None) -> Any:
        no_sharding(name, out_sharding)
        found = aval_of(a)
        dtype, weak = (found.dtype, found.weak) if dtype is None else (canonical_dtype(dtype), False)
        out = Aval(found.shape if shape is None else ax.shape_of(shape), dtype, weak and shape is None)
        return (AMBIENT.stack[-1] if AMBIENT.stack else home(a)).literal(number(value, dtype), out)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"`jax.numpy.{name}`, on tracers too."
    return call


zeros_like = _like("zeros_like", 0)
ones_like = _like("ones_like", 1)


@public("empty_like")
def empty_like(prototype: Any, dtype: Any = None, shape: Any = None, *, device: Any = None) -> Any:
    """`jax.numpy.empty_like`, on tracers too: zeros."""
    return zeros_like(prototype, dtype, shape)


@public("full_like")
def full_like(a: Any, fill_value: Any, dtype: Any = None, shape: Any = None, *, device: Any = None,
              out_sharding: Any = None) -> Any:  # fmt: skip
    """`jax.numpy.full_like`, on tracers too."""
    no_sharding("full_like", out_sharding)
    found = aval_of(a)
    value = home(a, fill_value).operand(fill_value, found.reshaped(()))
    weak = found.weak and dtype is None
    value = retype(value, found.dtype if dtype is None else canonical_dtype(dtype), weak)
    return stretch(value, found.shape if shape is None else ax.shape_of(shape))


# -- from data


def _assembled(x: Any) -> Any:
    """A nested list with tracers in it, as one array."""
    return stack([_assembled(item) for item in x]) if isinstance(x, list | tuple) else x


@public("array")
def array(object: Any, dtype: Any = None, copy: bool = True, order: Any = "K", ndmin: int = 0, *, device: Any = None,
          out_sharding: Any = None) -> Any:  # fmt: skip
    """`jax.numpy.array`, on tracers and nested lists with tracers too."""
    no_sharding("array", out_sharding)
    if isinstance(object, list | tuple):
        out = _assembled(object) if has_tracer(object) else lift(_host(object))
        out = retype(out, out.dtype)
    else:
        out = lift(object)
    out = out if dtype is None else retype(out, canonical_dtype(dtype))
    return out if out.ndim >= ndmin else shape_ops.reshape(out, (1,) * (ndmin - out.ndim) + out.shape)


def _host(x: Any) -> np.ndarray:
    """Nested lists of numbers and arrays, with JAX's default dtypes for Python numbers."""
    out = np.asarray(x)
    python = not any(isinstance(leaf, np.ndarray | np.generic) or hasattr(leaf, "dtype") for leaf in _leaves(x))
    if python and out.dtype.kind in "ifc":
        return out.astype(canonical_dtype({"i": int, "f": float, "c": complex}[out.dtype.kind]))
    return out if not python or out.size else out.astype(canonical_dtype(float))


def _leaves(x: Any) -> list[Any]:
    return [leaf for item in x for leaf in _leaves(item)] if isinstance(x, list | tuple) else [x]


@public("asarray")
def asarray(a: Any, dtype: Any = None, order: Any = None, *, copy: bool | None = None, device: Any = None,
            out_sharding: Any = None) -> Any:  # fmt: skip
    """`jax.numpy.asarray`, on tracers and nested lists with tracers too."""
    no_sharding("asarray", out_sharding)
    if type(a) is Tracer and not copy and (dtype is None or (canonical_dtype(dtype) == a.dtype and not a.weak_type)):
        return a  # the same object: an assignment to it is seen under both names, as in NumPy
    return array(a, dtype, False)


# -- ramps


@public("arange")
def arange(start: Any, stop: Any = None, step: Any = None, dtype: Any = None, *, device: Any = None,
           out_sharding: Any = None) -> Any:  # fmt: skip
    """`jax.numpy.arange`, recorded inside a trace; the bounds must be numbers known now."""
    no_sharding("arange", out_sharding)
    low, high = (0, start) if stop is None else (start, stop)
    low, high, step = (_known(x) for x in (low, high, 1 if step is None else step))
    given = [x for x in (start, stop) if x is not None]
    kinds = [type(_known(x)) for x in given] + [type(step)]
    dtype = canonical_dtype(dtype or (complex if complex in kinds else float if float in kinds else int))
    n = max(math.ceil((high - low) / step), 0)
    if dtype.kind in "iuf" and low == 0 and step == 1:
        return shape_ops.iota(dtype, (n,), 0)
    if dtype.kind in "iu" and isinstance(low, int) and isinstance(step, int):
        ramp = shape_ops.iota(dtype, (n,), 0)
        return (ramp if step == 1 else ramp * step) + low if low else ramp * step
    return lift(np.arange(low, high, step, dtype=dtype))


def _known(x: Any) -> Any:
    """A number as Python's."""
    return x.item() if hasattr(x, "item") else x


@public("linspace")
def linspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None,
             axis: int = 0, *, device: Any = None) -> Any:  # fmt: skip
    """`jax.numpy.linspace`, on tracers too."""
    (num,) = ax.shape_of(num)
    start, stop = promote(start, stop, inexact=True)
    at = home(start, stop)
    start, stop = (retype(at.operand(x, None), x.dtype) for x in (start, stop))
    result = start.dtype if dtype is None else canonical_dtype(dtype)
    div = num - 1 if endpoint else num
    axis = ax.one(axis, start.ndim + 1)
    shape = (*start.shape[:axis], num, *start.shape[axis:])
    kept = tuple(i for i in range(len(shape)) if i != axis)
    low, high = (shape_ops.broadcast(x, shape=shape, axes=kept) for x in (start, stop))
    if num > 1:
        ramp = shape_ops.iota(start.dtype, shape, axis) / float(div)
        out = low * (1 - ramp) + ramp * high
        if endpoint:
            # The last point is `stop` itself, not its rounding.
            last = ge(shape_ops.iota("int32", shape, axis), fill(num - 1, Aval(shape, np.dtype("int32"))))
            out = select(last, high, out)
    else:
        out = low
    if dtype is not None and not is_inexact(result):
        out = floor(out)
    out = retype(out, result)
    step = (stop - start) / float(div) if div else start * math.nan
    return (out, step) if retstep else out


@public("logspace")
def logspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0, dtype: Any = None,
             axis: int = 0) -> Any:  # fmt: skip
    """`jax.numpy.logspace`, on tracers too."""
    out = base ** linspace(start, stop, num, endpoint, axis=axis)
    return out if dtype is None else retype(out, canonical_dtype(dtype))


@public("geomspace")
def geomspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0) -> Any:
    """`jax.numpy.geomspace`, on tracers too, of real bounds of one sign or of complex ones."""
    start, stop = promote(start, stop, inexact=True)
    at = home(start, stop)
    start, stop = (retype(at.operand(x, None), x.dtype) for x in (start, stop))
    axis = ax.one(axis, start.ndim + 1)
    powers = linspace(0.0, 1.0, num, endpoint, dtype=start.real.dtype)
    powers = shape_ops.reshape(powers, tuple(num if i == axis else 1 for i in range(start.ndim + 1)))
    low, ratio = (shape_ops.reshape(x, (*x.shape[:axis], 1, *x.shape[axis:])) for x in (start, stop / start))
    # One logarithm and one exponential, whose derivative it is; a complex ratio may be 0.
    out = low * (ratio**powers if kind(start.dtype) == "c" else exp(powers * log(ratio)))
    return out if dtype is None else retype(out, canonical_dtype(dtype))


# -- matrices


@public("eye")
def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = None, *, device: Any = None) -> Any:
    """`jax.numpy.eye`, recorded inside a trace."""
    shape = ax.shape_of((N, N if M is None else M))
    return retype(_diagonal_mask(shape, k), canonical_dtype(float if dtype is None else dtype))


def _diagonal_mask(shape: tuple[int, ...], k: int) -> Tracer:
    rows, columns = (shape_ops.iota("int32", shape, i) for i in (0, 1))
    return eq(rows + k if k else rows, columns)


@public("identity")
def identity(n: int, dtype: Any = None) -> Any:
    """`jax.numpy.identity`, recorded inside a trace."""
    return eye(n, dtype=dtype)


def lower_mask(rows: int, columns: int, k: int = 0) -> Tracer:
    """Where column <= row + k."""
    i, j = (shape_ops.iota("int32", (rows, columns), axis) for axis in (0, 1))
    return ge(i + k if k else i, j)


@public("tri")
def tri(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Any:
    """`jax.numpy.tri`, recorded inside a trace."""
    # Its default dtype is not that of other functions in every version of JAX.
    default = jax.eval_shape(lambda: jnp.tri(1)).dtype
    return retype(lower_mask(N, N if M is None else M, k), canonical_dtype(default if dtype is None else dtype))
