"""Functions of functions: a function of one element, line or core array applied to all of them at once, by `vmap`."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp

from ..api.vectorize import vmap
from ..ir.errors import ArgumentError, ShapeError
from ..ops import shape as ops
from . import axes as ax
from .choose import where
from .creation import arange
from .dispatch import public, recording
from .manipulation import expand_dims, moveaxis
from .promote import alike, broadcast_shapes, home, lift, retype, stretch

Shape = tuple[int, ...]
Names = tuple[str, ...]


# -- vectorize


def vectorize(pyfunc: Callable[..., Any], *, excluded: Any = frozenset(), signature: str | None = None) -> Any:
    """`jax.numpy.vectorize`, on tracers too: `pyfunc` of single elements becomes a function of arrays that broadcast.

    **Arguments:** `excluded`: positions and names of arguments handed on as they are (all keyword arguments are).
    `signature`: the core axes, as in `"(m,n),(n)->(m)"`; the axes before them are mapped.
    """
    if any(not isinstance(key, int | str) for key in excluded):
        raise ArgumentError(f"vectorize excludes positions and names of arguments, got {excluded!r}.")
    native = jnp.vectorize(pyfunc, excluded=excluded, signature=signature)
    cores = None if signature is None else _parsed(signature)

    @functools.wraps(pyfunc)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        if not recording(args, kwargs):
            return native(*args, **kwargs)
        moving = [i for i, x in enumerate(args) if i not in excluded and x is not None]

        def of_moving(*xs: Any) -> Any:
            given = list(args)
            for i, x in zip(moving, xs, strict=True):
                given[i] = x
            return pyfunc(*given, **kwargs)

        at = home(*(args[i] for i in moving))
        xs = [at.operand(args[i], None) for i in moving]
        if cores is None:
            return _mapped(of_moving, xs, [0] * len(xs))
        ins, outs = cores
        if len(ins) != len(args) - sum(i in excluded for i in range(len(args))):
            raise ArgumentError(f"vectorize with signature {signature!r} takes {len(ins)} arrays, got {len(args)}.")
        kept = [i for i in range(len(args)) if i not in excluded]
        sizes = _sizes([ins[kept.index(i)] for i in moving], xs, signature)
        checked = _checked(of_moving, outs, sizes, signature)
        return _mapped(checked, xs, [len(ins[kept.index(i)]) for i in moving])

    return mapped


_CORE = r"\(\s*(?:\w+\s*(?:,\s*\w+\s*)*)?\)"
_SIGNATURE = re.compile(rf"\s*(?:{_CORE}\s*(?:,\s*{_CORE}\s*)*)?->\s*{_CORE}\s*(?:,\s*{_CORE}\s*)*$")


def _parsed(signature: Any) -> tuple[list[Names], list[Names]]:
    """The names of the core axes of each operand, and of each result."""
    if not isinstance(signature, str) or not _SIGNATURE.match(signature):
        raise ArgumentError(f"a signature looks like '(m,n),(n)->(m)', got {signature!r}.")
    sides = (re.findall(_CORE, side) for side in signature.split("->"))
    ins, outs = ([tuple(re.findall(r"\w+", core)) for core in side] for side in sides)
    return ins, outs


def _sizes(cores: Sequence[Names], xs: Sequence[Any], signature: Any) -> dict[str, int]:
    """The length of each named core axis."""
    sizes: dict[str, int] = {}
    for names, x in zip(cores, xs, strict=True):
        if x.ndim < len(names):
            raise ShapeError(f"{x.aval} has no core axes ({','.join(names)}), which signature {signature!r} asks for.")
        _agree(names, x.shape[x.ndim - len(names) :], sizes, signature)
    return sizes


def _agree(names: Names, shape: Shape, sizes: dict[str, int], signature: Any) -> None:
    for name, n in zip(names, shape, strict=True):
        if sizes.setdefault(name, n) != n:
            raise ShapeError(f"core axis {name} of signature {signature!r} has lengths {sizes[name]} and {n}.")


def _checked(function: Callable[..., Any], outs: Sequence[Names], sizes: dict[str, int], signature: Any) -> Any:
    """`function`, whose results must have the core axes promised."""

    def call(*xs: Any) -> Any:
        result = function(*xs)
        found = result if isinstance(result, tuple) else (result,)
        shapes = [lift(y).shape for y in found]
        if [len(s) for s in shapes] != [len(names) for names in outs]:
            raise ShapeError(f"signature {signature!r} promises results that have not these shapes: {shapes}.")
        for names, shape in zip(outs, shapes, strict=True):
            _agree(names, shape, dict(sizes), signature)
        return result

    return call


def _mapped(function: Callable[..., Any], xs: Sequence[Any], cores: Sequence[int]) -> Any:
    """`function` over all axes of `xs` but the last `cores` of each; those axes broadcast.

    An operand that has length 1 along a mapped axis is not repeated: it is handed on as it is.
    """
    outer = [x.shape[: x.ndim - n] for x, n in zip(xs, cores, strict=True)]
    full = broadcast_shapes(outer) if outer else ()
    ndim = len(full)
    padded = [(1,) * (ndim - len(s)) + s for s in outer]
    mapped = [axis for axis in range(ndim) if full[axis] != 1]
    for axis in reversed(mapped):
        function = vmap(function, tuple(0 if shape[axis] != 1 else None for shape in padded))
    thin = [
        ops.reshape(x, (*(n for n in shape if n != 1), *x.shape[x.ndim - core :]))
        for x, shape, core in zip(xs, padded, cores, strict=True)
    ]
    result = function(*thin)
    ones = tuple(axis for axis in range(ndim) if axis not in mapped)
    if isinstance(result, tuple | list):
        return tuple(expand_dims(y, ones) if ones else y for y in result)
    return expand_dims(result, ones) if ones else result


# -- along axes


@public("apply_along_axis")
def apply_along_axis(func1d: Callable[..., Any], axis: int, arr: Any, *args: Any, **kwargs: Any) -> Any:
    """`jax.numpy.apply_along_axis`, on tracers too: `func1d` of each line along `axis`; its axes go there."""
    x = lift(arr)
    axis = ax.one(axis, x.ndim)
    out = _mapped(lambda line: func1d(line, *args, **kwargs), [moveaxis(x, axis, -1)], [1])
    new = out.ndim - (x.ndim - 1)
    return moveaxis(out, tuple(range(x.ndim - 1, out.ndim)), tuple(range(axis, axis + new)))


@public("apply_over_axes")
def apply_over_axes(func: Callable[[Any, int], Any], a: Any, axes: Any) -> Any:
    """`jax.numpy.apply_over_axes`, on tracers too: `func(x, axis)` for each axis in turn, which keeps or drops it."""
    x = lift(a)
    for axis in axes if isinstance(axes, tuple | list) else (axes,):
        axis = ax.one(axis, x.ndim)
        out = func(x, axis)
        if out.ndim not in (x.ndim, x.ndim - 1):
            raise ShapeError(f"apply_over_axes needs func(x, axis) to keep or to drop an axis of {x.aval}, got {out}.")
        x = out if out.ndim == x.ndim else expand_dims(out, axis)
    return x


# -- by position and by condition


@public("fromfunction")
def fromfunction(function: Callable[..., Any], shape: Any, *, dtype: Any = float, **kwargs: Any) -> Any:
    """`jax.numpy.fromfunction`, recorded inside a trace: `function(i, j, ...)` of each position's scalars."""
    sizes = ax.shape_of(shape)
    places = [
        ops.reshape(arange(n, dtype=dtype), tuple(n if i == axis else 1 for i in range(len(sizes))))
        for axis, n in enumerate(sizes)
    ]
    return _mapped(lambda *xs: function(*xs, **kwargs), places, [0] * len(places))


@public("piecewise")
def piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **kw: Any) -> Any:
    """`jax.numpy.piecewise`, on tracers too: the last condition that holds picks the function, or number.

    Without a function more than conditions it is 0 where none holds.
    """
    conditions = list(condlist)
    functions = list(funclist)
    n = len(conditions)
    if len(functions) not in (n, n + 1):
        raise ArgumentError(f"piecewise of {n} conditions needs {n} or {n + 1} functions, got {len(functions)}.")
    default = functions.pop() if len(functions) > n else 0
    (x,) = alike(x)

    def of(function: Any) -> Any:
        if callable(function):
            function = _mapped(lambda v: function(v, *args, **kw), [x], [0])
        return stretch(retype(home(x).operand(function, x.aval.reshaped(())), x.dtype), x.shape)

    out = of(default)
    for condition, function in zip(conditions, functions, strict=True):
        out = where(condition, of(function), out)
    return out
