"""Where a condition holds: positions, as many as values decide, or as many as `size` says.

Of a tracer with a value (an eager gradlab.grad, ...) the number is asked for; under jit and vmap there is none, and
`size` must be given.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from ..ir.errors import ConcretizationError, ShapeError
from ..ir.graph import Aval
from ..ops import compare, cumulative, index, reduce
from ..ops import shape as ops
from ..ops.operands import fill
from ..trace.avals import canonical_dtype
from .dispatch import sized_by_values
from .formulas import truth
from .promote import aval as aval_of
from .promote import home, lift, result_dtype, retype, stretch


def length(name: str, size: Any, count: Any, instead: str = "", keyword: str = "size") -> int:
    """The length of a result: `size`, or the value of `count`; `keyword` is what a user says to give it.

    **Raises:** `ConcretizationError` where there is neither.
    """
    if size is not None:
        return operator.index(size)
    try:
        return int(np.asarray(count.value(name)).reshape(()))
    except ConcretizationError:
        raise ConcretizationError(
            f"{name} has a result whose size depends on values, which are not known here: under jit and vmap a "
            f"function is read before there are numbers. Give {name}(..., {keyword}=n){instead}. "
            f"Eager gradlab.grad/jvp/hessian need no {keyword}."
        ) from None


def counted(mask: Any) -> Any:
    """How many are true, of an array of one axis."""
    return reduce.reduce_sum(retype(mask, canonical_dtype(int)), axes=(0,))


def true_places(mask: Any, size: int, missing: int = 0) -> Any:
    """(size,): the positions of the true elements of a mask (n,), in order; then `missing`."""
    dtype = canonical_dtype(int)
    board = fill(missing, Aval((size,), dtype))
    n = mask.shape[0]
    if not n or not size:
        return mask.builder.operand(board, None)
    # Each true element writes its position at its rank; the others, and those too many, write outside.
    rank = cumulative.cumsum(retype(mask, dtype), axis=0) - 1
    rank = compare.select(mask, rank, fill(size, rank.aval))
    return index.scatter_set(board, ops.iota(dtype, (n,), 0), rank, axes=(0,), mode="drop")


def places_along_axes(name: str, mask: Any, size: Any, fill_value: Any) -> tuple[Any, ...]:
    flat = ops.reshape(mask, (mask.size,))
    total = counted(flat)
    size = length(name, size, total, "; what is missing is filled with fill_value")
    at = true_places(flat, size)
    fills = fill_value if isinstance(fill_value, tuple | list) else (fill_value,) * mask.ndim
    if len(fills) != mask.ndim:
        raise ShapeError(f"{name} needs one fill_value, or one for each of the {mask.ndim} axes, got {fill_value!r}.")
    given = [f for f in fills if f is not None]
    dtype = result_dtype([Aval((), canonical_dtype(int)), *(aval_of(f) for f in given)])[0] if given else at.dtype
    there = compare.lt(ops.iota(at.dtype, (size,), 0), stretch(total, (size,))) if given else None
    out = []
    for axis, (n, instead) in enumerate(zip(mask.shape, fills, strict=True)):
        stride = math.prod(mask.shape[axis + 1 :])
        along = at // stride if stride > 1 else at
        along = retype(along % n if axis and n else along, dtype)
        if instead is not None and there is not None:
            instead = retype(home(mask).operand(instead, None), dtype)
            along = compare.select(there, along, stretch(instead, (size,)))
        out.append(along)
    return tuple(out)


@sized_by_values("nonzero")
def nonzero(a: Any, *, size: int | None = None, fill_value: Any = None) -> tuple[Any, ...]:
    """`jax.numpy.nonzero`, on tracers too."""
    x = lift(a)
    if not x.ndim:
        raise ShapeError("nonzero of a number is not defined; use nonzero(atleast_1d(x)).")
    return places_along_axes("nonzero", truth(x), size, fill_value)


@sized_by_values("flatnonzero")
def flatnonzero(a: Any, *, size: int | None = None, fill_value: Any = None) -> Any:
    """`jax.numpy.flatnonzero`, on tracers too."""
    x = lift(a)
    return places_along_axes("flatnonzero", truth(ops.reshape(x, (x.size,))), size, fill_value)[0]


@sized_by_values("argwhere")
def argwhere(a: Any, *, size: int | None = None, fill_value: Any = None) -> Any:
    """`jax.numpy.argwhere`, on tracers too."""
    x = lift(a)
    mask = truth(x)
    found = places_along_axes("argwhere", mask if x.ndim else ops.reshape(mask, (1,)), size, fill_value)
    n = found[0].shape[0]
    if not x.ndim:
        return found[0].builder.literal(0, Aval((n, 0), found[0].dtype))
    return ops.concatenate([ops.reshape(p, (n, 1)) for p in found], 1)
