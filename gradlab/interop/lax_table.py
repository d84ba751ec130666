"""JAX's operations in the IR's words: elementwise functions, movement of data, products, reductions, sorting.

A rule is given the operands, the types of the results, and the parameters of JAX's equation. Where the parameters ask
for what the IR has no word for, it declines with `NotImplemented`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..control.call import checkpoint_name
from ..ir.graph import Aval, Lit, is_inexact
from ..ops import arith, compare, contract, cumulative, dynamic, elementwise, reduce, shape, sort, special
from ..ops.convert import complex, conj, convert, imag, real, stop_gradient
from ..ops.operands import BOOL, fill, kind, zeros_like
from ..ops.weaken import weaken
from .jaxpr import reads

# -- elementwise


def stretched(x: Any, to: tuple[int, ...]) -> Any:
    """`x` of that shape: operands of an elementwise operation may be scalars, or have axes of length 1."""
    return shape.broadcast_to(x, to)


def _elementwise(function: Callable[..., Any]) -> Callable[..., Any]:
    def rule(xs, outs, accuracy=None, out_dtype=None):
        if accuracy is not None or (out_dtype is not None and out_dtype != xs[0].dtype):
            return NotImplemented
        return function(*[stretched(x, outs[0].shape) for x in xs])

    return rule


_SAME = {
    arith: "add sub mul neg rem sqrt rsqrt cbrt square exp exp2 expm1 log log1p logistic floor ceil sign abs nextafter "
    "is_finite",
    compare: "eq ne lt le gt ge",
    elementwise: "sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh shift_left shift_right_arithmetic "
    "shift_right_logical population_count clz",
    special: "erf erfc erf_inv lgamma digamma polygamma zeta igamma igammac igamma_grad_a "
    "regularized_incomplete_beta bessel_i0e bessel_i1e",
}
_OTHERWISE = {
    "add_jaxvals": arith.add,
    "and": elementwise.bitwise_and, "or": elementwise.bitwise_or, "xor": elementwise.bitwise_xor,
    "not": elementwise.bitwise_not, "real": real, "imag": imag, "complex": complex,
}  # fmt: skip
for _module, _names in _SAME.items():
    for _name in _names.split():
        reads(_name)(_elementwise(getattr(_module, _name)))
for _name, _function in _OTHERWISE.items():
    reads(_name)(_elementwise(_function))


@reads("div")
def _div(xs, outs):
    x, y = (stretched(x, outs[0].shape) for x in xs)
    return arith.div(x, y) if is_inexact(x.dtype) else arith.quotient(x, y)


def _extremum_of(function):
    def rule(xs, outs):
        if outs[0].dtype.kind == "c":
            return NotImplemented
        return function(*[stretched(x, outs[0].shape) for x in xs])

    return rule


reads("max")(_extremum_of(arith.maximum))
reads("min")(_extremum_of(arith.minimum))


@reads("pow")
def _pow(xs, outs):
    x, y = (stretched(x, outs[0].shape) for x in xs)
    return arith.pow(x, y if y.dtype == x.dtype else convert(y, dtype=x.dtype))


@reads("integer_pow")
def _integer_pow(xs, outs, *, y):
    return arith.integer_pow(xs[0], y=int(y))


@reads("log2")
def _log2(xs, outs, *, accuracy=None):
    return arith.div(arith.log(xs[0]), math.log(2)) if accuracy is None else NotImplemented


@reads("one_minus_square")
def _one_minus_square(xs, outs):
    (x,) = xs
    return arith.mul(arith.sub(1.0, x), arith.add(x, 1.0))


@reads("conj")
def _conj(xs, outs, *, input_dtype=None):
    (x,) = xs
    return conj(x) if x.dtype.kind == "c" else complex(x, zeros_like(x))


@reads("round")
def _round(xs, outs, *, rounding_method):
    return arith.round(xs[0], away=rounding_method.name == "AWAY_FROM_ZERO")


@reads("clamp")
def _clamp(xs, outs):
    return arith.clamp(*[stretched(x, outs[0].shape) for x in xs])


@reads("select_n")
def _select_n(xs, outs):
    which, *cases = xs
    which = stretched(which, outs[0].shape)
    if len(cases) == 1:
        return cases[0]
    if which.dtype == BOOL:
        return compare.select(which, cases[1], cases[0])
    found = cases[-1]
    for k in reversed(range(len(cases) - 1)):
        found = compare.select(compare.le(which, fill(k, which.aval)), cases[k], found)
    return found


@reads("convert_element_type")
def _convert(xs, outs, *, new_dtype, weak_type=False, sharding=None):
    (x,), (out,) = xs, outs
    if x.dtype == out.dtype and x.aval.weak == out.weak:
        return x
    if not out.weak:
        return convert(x, dtype=out.dtype)
    x = real(x) if x.dtype.kind == "c" and out.dtype.kind != "c" else x
    return weaken(x, dtype=out.dtype)


@reads("stop_gradient")
def _stop_gradient(xs, outs):
    return stop_gradient(xs[0])


@reads("name")
def _checkpoint_name(xs, outs, *, name):
    return checkpoint_name(xs[0], name)


@reads("copy", "device_put")
def _same(xs, outs, **params):
    return list(xs[: len(outs)])


# -- movement


@reads("broadcast_in_dim")
def _broadcast_in_dim(xs, outs, *, shape: Any, broadcast_dimensions, sharding=None):
    return _broadcast(xs[0], outs[0].shape, broadcast_dimensions) if len(xs) == 1 else NotImplemented


def _broadcast(x, to, axes):
    return shape.broadcast(x, to, tuple(axes))


@reads("reshape")
def _reshape(xs, outs, *, new_sizes, dimensions=None, sharding=None):
    if len(xs) > 1:
        return NotImplemented
    x = xs[0] if dimensions is None else shape.permute(xs[0], dimensions)
    return shape.reshape(x, outs[0].shape)


@reads("squeeze")
def _squeeze(xs, outs, *, dimensions):
    return shape.reshape(xs[0], outs[0].shape)


@reads("transpose")
def _transpose(xs, outs, *, permutation):
    return shape.permute(xs[0], permutation)


@reads("rev")
def _rev(xs, outs, *, dimensions):
    return shape.rev(xs[0], dimensions)


@reads("slice")
def _slice(xs, outs, *, start_indices, limit_indices, strides=None):
    return shape.slice_(xs[0], start_indices, limit_indices, strides)


@reads("split")
def _split(xs, outs, *, sizes, axis):
    return shape.split(xs[0], tuple(sizes), axis=axis)


@reads("concatenate")
def _concatenate(xs, outs, *, dimension):
    return shape.concatenate(xs, dimension)


@reads("stack")
def _stack(xs, outs, *, axis):
    return shape.concatenate([shape.expand_dims(x, (axis,)) for x in xs], axis)


@reads("unstack")
def _unstack(xs, outs, *, axis):
    (x,) = xs
    return [shape.reshape(shape.slice_in_dim(x, k, k + 1, axis=axis), out.shape) for k, out in enumerate(outs)]


@reads("tile")
def _tile(xs, outs, *, reps):
    (x,) = xs
    sizes = tuple(n for pair in zip(reps, x.shape, strict=True) for n in pair)
    axes = tuple(range(1, len(sizes), 2))
    return shape.reshape(shape.broadcast(x, sizes, axes), outs[0].shape)


@reads("pad")
def _pad(xs, outs, *, padding_config):
    low, high, interior = zip(*padding_config, strict=True) if padding_config else ((), (), ())
    return shape.pad(*xs, low=low, high=high, interior=interior)


@reads("iota")
def _iota(xs, outs, *, dtype, shape: Any, dimension, sharding=None):
    return _ramp(outs[0], dimension) if not xs and kind(outs[0].dtype) != "b" else NotImplemented


def _ramp(out, axis):
    return shape.iota(out.dtype, out.shape, axis)


def _starts(starts):
    """The starts of a block, of one dtype."""
    dtypes = {s.dtype for s in starts if type(s) is not Lit} or {np.dtype("int32")}
    dtype = dtypes.pop() if len(dtypes) == 1 else np.dtype("int64" if np.dtype("int64") in dtypes else "int32")
    return [fill(s.value, Aval((), dtype)) if type(s) is Lit else convert(s, dtype=dtype) for s in starts]


@reads("dynamic_slice")
def _dynamic_slice(xs, outs, *, slice_sizes):
    return (
        dynamic.dynamic_slice(xs[0], *_starts(xs[1:]), sizes=slice_sizes)
        if len(xs) == 1 + xs[0].ndim
        else (NotImplemented)
    )


@reads("dynamic_update_slice")
def _dynamic_update_slice(xs, outs):
    return dynamic.dynamic_update_slice(xs[0], xs[1], *_starts(xs[2:]))


# -- products


@reads("dot_general")
def _dot_general(xs, outs, *, dimension_numbers, precision=None, preferred_element_type=None, out_sharding=None):
    (x, y), (out,) = xs, outs
    contracted, batch = dimension_numbers
    given = precision if isinstance(precision, tuple) else (precision,)
    if any(p is not None and p.__class__.__name__ != "Precision" for p in given):
        return NotImplemented  # an algorithm of XLA's, for which the IR has no word
    if x.dtype != y.dtype:
        return NotImplemented
    other = None if out.dtype == x.dtype else out.dtype
    return contract.dot_general(
        x, y, contract=contracted, batch=batch, precision=_precision(precision), out_dtype=other
    )


def _precision(given):
    """JAX writes a precision as a pair of equal ones."""
    return given[0] if isinstance(given, tuple) and given[0] == given[1] else given


# -- reductions


def _reduction(function):
    def rule(xs, outs, *, axes, out_sharding=None):
        return function(xs[0], axes=axes)

    return rule


for _name in ("sum", "prod", "max", "min", "and", "or", "xor"):
    reads(f"reduce_{_name}")(_reduction(getattr(reduce, f"reduce_{_name}")))


def _arg_extremum(function):
    def rule(xs, outs, *, axes, index_dtype):
        return function(xs[0], axis=axes[0], dtype=outs[0].dtype)

    return rule


reads("argmax")(_arg_extremum(reduce.argmax))
reads("argmin")(_arg_extremum(reduce.argmin))


def _cumulative(function):
    def rule(xs, outs, *, axis, reverse):
        return function(xs[0], axis=axis, reverse=bool(reverse))

    return rule


for _name in ("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp"):
    reads(_name)(_cumulative(getattr(cumulative, _name)))


# -- sorting


@reads("sort")
def _sort(xs, outs, *, dimension, is_stable, num_keys):
    return sort.sort(*xs, axis=dimension, num_keys=num_keys, stable=is_stable)


@reads("top_k")
def _top_k(xs, outs, *, k, axis=-1, operand=None, is_stable=True):
    (x,) = xs
    if operand is not None or axis % x.ndim != x.ndim - 1 or outs[1].dtype != np.dtype("int32"):
        return NotImplemented
    return sort.top_k(x, k=k)
