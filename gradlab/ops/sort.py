"""Sorting: the derivative moves tangents as the elements moved."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir.errors import ArgumentError, ShapeError
from ..ir.graph import Aval
from ..ir.primitive import Primitive, Refused
from ..trace.builder import bind, bind1
from .costs import bisects, sorts
from .families import aligned, batch_size, no_derivative, with_axis
from .index import take_along_axis
from .operands import require_axes, require_kind
from .shape import iota

INT32 = np.dtype("int32")


def sort(*xs: Any, axis: int, num_keys: int = 1, stable: bool = True) -> tuple[Any, ...]:
    """The operands, of one shape, with each line along `axis` in ascending order of the first `num_keys` of them.

    NaN comes last. `stable`: whether elements with equal keys keep their order.
    **Returns:** as many arrays as operands.
    """
    return bind(sort_p, *xs, axis=axis, num_keys=num_keys, stable=bool(stable))


def argsort(x: Any, *, axis: int, stable: bool = True, dtype: Any = INT32) -> Any:
    """The positions along `axis` in ascending order of x there."""
    return sort(x, iota(dtype, x.shape, axis), axis=axis, stable=stable)[1]


def _sort_infer(*xs: Aval, axis: int, num_keys: int, stable: bool) -> tuple[Aval, ...]:
    require_axes("sort", xs[0], (axis,))
    for x in xs[:num_keys]:
        require_kind("sort", x, "biufc")
    if any(x.shape != xs[0].shape for x in xs):
        raise ShapeError(f"sort needs operands of one shape, got {', '.join(map(str, xs))}. Broadcast them first.")
    if not 1 <= num_keys <= len(xs):
        raise ArgumentError(f"sort needs between 1 and {len(xs)} keys among its {len(xs)} operands, got {num_keys}.")
    return xs


def _sort_emit(*xs, axis, num_keys, stable):
    operand = xs[0] if len(xs) == 1 else f"({', '.join(xs)})"
    keys = "" if num_keys == 1 else f", num_keys={num_keys}"
    # lax.sort is stable unless told otherwise, which costs it one more operand.
    return f"lax.sort({operand}, dimension={axis}{keys}{'' if stable else ', is_stable=False'})"


def _sort_jvp(xs, ts, *, axis, num_keys, stable):
    positions = iota(INT32 if xs[0].shape[axis] < 2**31 else "int64", xs[0].shape, axis)
    *outs, order = sort(*xs, positions, axis=axis, num_keys=num_keys, stable=stable)
    return tuple(outs), tuple(None if t is None else take_along_axis(t, order, axis=axis) for t in ts)


def _sort_batch(xs, dims, *, axis, num_keys, stable):
    xs, to = aligned(xs, dims)
    return bind(sort_p, *xs, axis=axis + (axis >= to), num_keys=num_keys, stable=stable), (to,) * len(xs)


sort_p = Primitive(
    name="sort",
    infer=_sort_infer,
    emit=_sort_emit,
    jvp=_sort_jvp,
    transpose=Refused("sort is not linear; only linear equations are transposed"),
    batch=_sort_batch,
    cost=sorts,
)


# -- top_k


def top_k(x: Any, *, k: int) -> tuple[Any, Any]:
    """The k largest elements along the last axis, largest first, and their int32 positions. Ties: first first."""
    return bind(top_k_p, x, k=k)  # type: ignore[return-value]


def _top_k_infer(x: Aval, *, k: int) -> tuple[Aval, Aval]:
    require_kind("top_k", x, "iuf")
    if not x.ndim or not 0 <= k <= x.shape[-1]:
        raise ShapeError(f"top_k needs k between 0 and the size of the last axis, got k={k} for {x}.")
    out = x.reshaped((*x.shape[:-1], k))
    return (out, Aval(out.shape, INT32))


def _top_k_jvp(xs, ts, *, k):
    values, order = bind(top_k_p, *xs, k=k)
    return (values, order), (take_along_axis(ts[0], order, axis=xs[0].ndim - 1), None)


top_k_p = Primitive(
    name="top_k",
    infer=_top_k_infer,
    emit=lambda x, *, k: f"lax.top_k({x}, {k})",
    jvp=_top_k_jvp,
    transpose=Refused("top_k is not linear; only linear equations are transposed"),
    batch=lambda xs, dims, *, k: (bind(top_k_p, with_axis(xs[0], dims[0], 0, xs[0].shape[dims[0]]), k=k), (0, 0)),
    cost=sorts,
)


# -- searchsorted

METHODS = ("scan", "scan_unrolled", "sort", "compare_all")


def searchsorted(a: Any, v: Any, *, side: str = "left", method: str = "scan") -> Any:
    """How many elements of each ascending line of `a` come before each element of `v`: where v would be put in.

    **Arguments:** `a`: (*lines, n); `v`: (*lines, *any), of a's dtype. `side`: left of equal elements, or right.
    `method`: how XLA looks: scan (bisection, the default), scan_unrolled, sort, or compare_all.
    **Returns:** int32 of v's shape (int64 for lines that need it).
    """
    return bind1(searchsorted_p, a, v, side=side, method=method, lines=a.ndim - 1)


def _searchsorted_infer(a: Aval, v: Aval, *, side: str, method: str, lines: int) -> tuple[Aval]:
    if side not in ("left", "right"):
        raise ArgumentError(f"searchsorted puts elements left or right of equal ones, got side={side!r}.")
    if method not in METHODS:
        raise ArgumentError(f"searchsorted knows the methods {', '.join(METHODS)}; got {method!r}.")
    if a.ndim != lines + 1 or v.shape[:lines] != a.shape[:lines] or a.dtype != v.dtype:
        raise ShapeError(
            f"searchsorted needs lines in ascending order and as many groups of elements of their dtype, got {a} and "
            f"{v}. To look into several lines at once, map it with gradlab.vmap."
        )
    return (Aval(v.shape, INT32 if a.shape[-1] < 2**31 else np.dtype("int64")),)


def _searchsorted_emit(a, v, *, side, method, lines):
    how = f'side="{side}", method="{method}"'
    if not lines:
        return f"jnp.searchsorted({a}, {v}, {how})"
    return f"{'jax.vmap(' * lines}lambda a, v: jnp.searchsorted(a, v, {how}){')' * lines}({a}, {v})"


def _searchsorted_batch(xs, dims, *, side, method, lines):
    (a, v), (d, dv) = xs, dims
    if d is None and not lines:
        return bind(searchsorted_p, a, v, side=side, method=method, lines=0), (dv,)
    size = batch_size(xs, dims)
    xs = with_axis(a, d, 0, size), with_axis(v, dv, 0, size)
    return bind(searchsorted_p, *xs, side=side, method=method, lines=lines + 1), (0,)


searchsorted_p = no_derivative(
    "searchsorted", _searchsorted_infer, _searchsorted_emit, _searchsorted_batch, scalars=False, cost=bisects
)
