"""Dtypes: conversion, and what kind of numbers an array holds."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from ..ops.operands import kind
from ..trace.avals import canonical_dtype
from ..trace.tracer import Tracer
from .dispatch import public
from .promote import aval as aval_of
from .promote import lift, result_dtype, retype


@public("astype")
def astype(x: Any, dtype: Any, /, *, copy: bool = False, device: Any = None) -> Any:
    """`jax.numpy.astype`, on tracers too."""
    return retype(lift(x), canonical_dtype(float if dtype is None else dtype))


def iscomplexobj(x: Any) -> bool:
    """`jax.numpy.iscomplexobj`, on tracers too."""
    return kind(x.aval.dtype) == "c" if type(x) is Tracer else jnp.iscomplexobj(x)


def isrealobj(x: Any) -> bool:
    """`jax.numpy.isrealobj`, on tracers too."""
    return not iscomplexobj(x)


def result_type(*args: Any) -> Any:
    """`jax.numpy.result_type`, of tracers too."""
    if any(type(a) is Tracer for a in args):
        return result_dtype([aval_of(a) if not isinstance(a, type) else aval_of(a(0)) for a in args])[0]
    return jnp.result_type(*args)


def shape(a: Any) -> tuple[int, ...]:
    """`jax.numpy.shape`, of tracers too."""
    return aval_of(a).shape if type(a) is Tracer else jnp.shape(a)


def ndim(a: Any) -> int:
    """`jax.numpy.ndim`, of tracers too."""
    return len(shape(a))


def size(a: Any, axis: int | None = None) -> int:
    """`jax.numpy.size`, of tracers too."""
    if type(a) is not Tracer:
        return jnp.size(a, axis)
    return a.size if axis is None else a.shape[axis]


def isscalar(element: Any) -> bool:
    """`jax.numpy.isscalar`, of tracers too."""
    return not element.shape if type(element) is Tracer else jnp.isscalar(element)
