"""Reductions over static axes. An extremum's derivative is the element it picks, by index: no mask is carried along.

`pick` reads one element along an axis and `place` writes it back into zeros; each is the other's transpose. Of equal
extrema the first one counts (row-major over the reduced axes). A NaN is the extremum of its line, as in jax.numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ir.errors import DTypeError, ShapeError
from ..ir.graph import Aval
from ..ir.primitive import Primitive, Refused
from ..trace.builder import bind, bind1
from .arith import add, div, exp, log, mul, sub
from .compare import eq, select
from .convert import stop_gradient
from .costs import MOVES, log_sum_exp, looks, multiplies_out, places, reduces
from .cumulative import INF
from .families import aligned, batch_size, no_derivative, reduce_sum_p, reduction, with_axis
from .operands import (
    axes_text,
    dtype_text,
    fill,
    reduced,
    require_axes,
    require_elements,
    require_kind,
    same_type,
    zeros_like,
)
from .shape import broadcast, merge_axes, pad, slice_in_dim, squeeze

Ints = tuple[int, ...]
INT32 = np.dtype("int32")


def broadcast_back(y: Any, shape: Ints, axes: Ints) -> Any:
    """`y`, reduced over `axes` of an array of that shape, repeated along them again."""
    return broadcast(y, shape, tuple(i for i in range(len(shape)) if i not in axes))


# -- pick and place


def pick(x: Any, index: Any, *, axis: int) -> Any:
    """`x[..., index, ...]`: of each line along `axis`, the element at its own `index`, which is within bounds.

    **Arguments:** `index`: integers, of x's shape without `axis`. **Returns:** the same shape.
    """
    return bind1(pick_p, x, index, axis=axis)


def place(ct: Any, index: Any, *, axis: int, size: int) -> Any:
    """Zeros but for `ct` at `index` along a new axis of length `size`: the transpose of `pick`."""
    return bind1(place_p, ct, index, axis=axis, size=size)


def _require_index(name: str, aval: Aval, index: Aval) -> None:
    if index.dtype.kind not in "iu":
        raise DTypeError(f"{name} needs an integer index, got {index}. Convert it with .astype(int).")
    if index.shape != aval.shape:
        raise ShapeError(f"{name} needs one index for each line, of shape {aval.shape}, got {index}.")


def _pick_infer(x: Aval, index: Aval, *, axis: int) -> tuple[Aval]:
    require_axes("pick", x, (axis,))
    out = reduced(x, (axis,))
    _require_index("pick", out, index)
    return (out,)


def _pick_emit(x, index, *, axis):
    if x.aval.ndim == 1:
        return f'{x}.at[{index}].get(mode="promise_in_bounds", wrap_negative_indices=False)'
    where = f"jnp.expand_dims({index}, {axis})"
    return f'jnp.take_along_axis({x}, {where}, {axis}, mode="promise_in_bounds").squeeze({axis})'


def _batch_lines(prim: Callable[[], Primitive]) -> Callable[..., Any]:
    """The batch rule where the second operand, and the result, have one element for each line along `axis`."""

    def batch(xs, dims, *, axis):
        (x, y), (d, dy) = xs, dims
        size = batch_size(xs, dims)
        to = 0 if d is None else d
        x, axis = with_axis(x, d, to, size), axis + (axis >= to)
        out = to - (to > axis)
        return bind(prim(), x, with_axis(y, dy, out, size), axis=axis), (out,)

    return batch


pick_p = Primitive(
    name="pick",
    infer=_pick_infer,
    emit=_pick_emit,
    jvp=lambda xs, ts, *, axis: (bind(pick_p, *xs, axis=axis), bind(pick_p, ts[0], xs[1], axis=axis)),
    transpose=lambda cts, active, x, index, *, axis: (place(cts[0], index, axis=axis, size=x.shape[axis]), None),
    batch=_batch_lines(lambda: pick_p),
    cost=MOVES,
)


def _place_infer(ct: Aval, index: Aval, *, axis: int, size: int) -> tuple[Aval]:
    _require_index("place", ct, index)
    out = ct.reshaped((*ct.shape[:axis], size, *ct.shape[axis:]))
    require_axes("place", out, (axis,))
    return (out,)


def _place_emit(ct, index, *, axis, size):
    # A comparison with an iota, not a scatter: XLA fuses it into whatever reads the result.
    shape = (*ct.aval.shape[:axis], size, *ct.aval.shape[axis:])
    zero = "False" if ct.aval.dtype.kind == "b" else "0"
    if len(shape) == 1:
        places = f"jnp.arange({size}, dtype={dtype_text(index.aval.dtype)})"
        return f"jnp.where({places} == {index}, {ct}, {zero})"
    places = f"lax.broadcasted_iota({dtype_text(index.aval.dtype)}, {shape}, {axis})"
    return f"jnp.where({places} == jnp.expand_dims({index}, {axis}), jnp.expand_dims({ct}, {axis}), {zero})"


def _place_call(ct, index, *, axis, size):
    if ct.aval.weak:
        return _place_emit(ct, index, axis=axis, size=size)
    shape = (*ct.aval.shape[:axis], size, *ct.aval.shape[axis:])
    kept = tuple(a for a in range(len(shape)) if a != axis)
    places = f"lax.broadcasted_iota({dtype_text(index.aval.dtype)}, {shape}, {axis})"
    there = f"lax.eq({places}, lax.broadcast_in_dim({index}, {shape}, {kept}))"
    zeros = f"lax.full({shape}, 0, {dtype_text(ct.aval.dtype)})"
    return f"lax.select({there}, lax.broadcast_in_dim({ct}, {shape}, {kept}), {zeros})"


def _place_batch(xs, dims, *, axis, size):
    xs, to = aligned(xs, dims)
    before = to <= axis
    return bind(place_p, *xs, axis=axis + before, size=size), (to + (not before),)


place_p = Primitive(
    name="place",
    infer=_place_infer,
    emit=_place_emit,
    call=_place_call,
    jvp=lambda xs, ts, **params: (bind(place_p, *xs, **params), bind(place_p, ts[0], xs[1], **params)),
    transpose=lambda cts, active, ct, index, *, axis, size: (pick(cts[0], index, axis=axis), None),
    batch=_place_batch,
    cost=places,
)


# -- argmax, argmin


def argmax(x: Any, *, axis: int, dtype: Any = INT32) -> Any:
    """The index of the largest element along an axis, the first of equals; of the first NaN if there is one."""
    return bind1(argmax_p, x, axis=axis, dtype=np.dtype(dtype))


def argmin(x: Any, *, axis: int, dtype: Any = INT32) -> Any:
    """The index of the smallest element along an axis, the first of equals; of the first NaN if there is one."""
    return bind1(argmin_p, x, axis=axis, dtype=np.dtype(dtype))


def _arg_extremum(name: str) -> Primitive:
    def infer(x: Aval, *, axis: int, dtype: np.dtype) -> tuple[Aval]:
        require_kind(name, x, "biuf")
        require_axes(name, x, (axis,))
        require_elements(name, x, (axis,))
        if dtype.kind not in "iu" or np.iinfo(dtype).max < x.shape[axis] - 1:
            raise DTypeError(
                f"{name} over {x.shape[axis]} elements needs an integer dtype that holds them, got {dtype}."
            )
        return (Aval(reduced(x, (axis,)).shape, dtype),)

    def batch(xs, dims, *, axis, dtype):
        (d,) = dims
        axis += axis >= d
        return bind(prim, *xs, axis=axis, dtype=dtype), (d - (d > axis),)

    prim = no_derivative(
        name,
        infer,
        emit=lambda x, *, axis, dtype: f"lax.{name}({x}, {axis}, {dtype_text(dtype)})",
        batch=batch,
        cost=reduces,
        scalars=False,
    )
    return prim


argmax_p = _arg_extremum("argmax")
argmin_p = _arg_extremum("argmin")


def index_of(x: Any, y: Any, *, axis: int) -> Any:
    """The first index along `axis` at which x equals y; the last index of all if it never does (y is NaN).

    **Arguments:** `y`: of x's shape without `axis`, such as its maximum. **Returns:** int32 of y's shape (int64 for an
    axis that needs it).
    """
    return bind1(index_of_p, x, y, axis=axis)


def _index_of_infer(x: Aval, y: Aval, *, axis: int) -> tuple[Aval]:
    require_axes("index_of", x, (axis,))
    require_elements("index_of", x, (axis,))
    out = same_type("index_of", reduced(x, (axis,)), y)
    return (Aval(out.shape, INT32 if x.shape[axis] < 2**31 else np.dtype("int64")),)


# XLA's CPU folds a long row of integers in two passes, a row of floats in one. These floats count exactly up to 2**24.
_COUNTED_IN_FLOATS = range(33, 2**24 + 1)


def _counting(n: int) -> tuple[str, str, str]:
    """The dtype that counts n places, how one writes the last place in it, and what follows to make it an index."""
    index = "jnp.int32" if n < 2**31 else "jnp.int64"
    return ("jnp.float32", f"{n - 1}.0", index) if n in _COUNTED_IN_FLOATS else (index, f"{n - 1}", "")


def _index_of_emit(x, y, *, axis):
    # Two reductions that vectorise (this one and the extremum) take a third of the time of one argmax on CPU.
    shape = x.aval.shape
    count, last, index = _counting(shape[axis])
    back = index and f".astype({index})"
    if len(shape) == 1:
        return f"jnp.min(jnp.where({x} == {y}, jnp.arange({shape[0]}, dtype={count}), {last})){back}"
    places = f"lax.broadcasted_iota({count}, {shape}, {axis})"
    return f"jnp.min(jnp.where({x} == jnp.expand_dims({y}, {axis}), {places}, {last}), axis={axis}){back}"


def _index_of_call(x, y, *, axis):
    shape = x.aval.shape
    count, last, index = _counting(shape[axis])
    kept = tuple(a for a in range(len(shape)) if a != axis)
    there = f"lax.eq({x}, lax.broadcast_in_dim({y}, {shape}, {kept}))"
    places = f"lax.broadcasted_iota({count}, {shape}, {axis}), lax.full({shape}, {last}, {count})"
    first = f"lax.reduce_min(lax.select({there}, {places}), ({axis},))"
    return f"lax.convert_element_type({first}, {index})" if index else first


index_of_p = no_derivative(
    "index_of",
    _index_of_infer,
    _index_of_emit,
    _batch_lines(lambda: index_of_p),
    scalars=False,
    call=_index_of_call,
    cost=looks,
)


# -- the family


def _nonlinear(name: str) -> Refused:
    return Refused(f"{name} is not linear; only linear equations are transposed")


def _extremum(name: str) -> Primitive:
    def jvp(xs, ts, *, axes):
        (x, axis), (t, _) = merge_axes(xs[0], axes), merge_axes(ts[0], axes)
        (out,) = bind(prim, *xs, axes=axes)
        return (out,), (pick(t, index_of(x, out, axis=axis), axis=axis),)

    emit = f"jnp.{name.removeprefix('reduce_')}({{}}, {{}})"
    prim = reduction(name, emit, jvp, _nonlinear(name), kinds="iuf", empty=False, call=name)
    return prim


def reduce_max(x: Any, *, axes: Sequence[int]) -> Any:
    """max x over `axes`; NaN if there is one. Its derivative is that of the first largest element."""
    return _reduce(reduce_max_p, x, axes)


def reduce_min(x: Any, *, axes: Sequence[int]) -> Any:
    """min x over `axes`; NaN if there is one. Its derivative is that of the first smallest element."""
    return _reduce(reduce_min_p, x, axes)


reduce_max_p = _extremum("reduce_max")
reduce_min_p = _extremum("reduce_min")


def reduce_sum(x: Any, *, axes: Sequence[int]) -> Any:
    """Σ x over `axes`, in x's dtype."""
    return _reduce(reduce_sum_p, x, axes)


def _reduce(prim: Primitive, x: Any, axes: Sequence[int]) -> Any:
    axes = tuple(sorted(axes))
    return bind1(prim, x, axes=axes) if axes else x


def reduce_prod(x: Any, *, axes: Sequence[int]) -> Any:
    """∏ x over `axes`, in x's dtype; its derivative is right where elements are 0."""
    return _reduce(reduce_prod_p, x, axes)


def _prod_jvp(xs, ts, *, axes):
    (x, axis), (t, _) = merge_axes(xs[0], axes), merge_axes(ts[0], axes)
    if not x.shape[axis]:
        return bind(reduce_prod_p, *xs, axes=axes), (reduce_sum(t, axes=(axis,)),)
    # Halves are multiplied until one element is left, by the product rule: nothing is divided by an element.
    while x.shape[axis] > 1:
        (a, b), (da, db) = _halves(x, axis, 1.0), _halves(t, axis, 0.0)
        x, t = mul(a, b), add(mul(da, b), mul(a, db))
    return (squeeze(x, (axis,)),), (squeeze(t, (axis,)),)


def _halves(x: Any, axis: int, beyond: float) -> tuple[Any, Any]:
    """The halves along an axis; of an odd number of elements, the second one has a last one that is `beyond`."""
    n = x.shape[axis]
    first, second = slice_in_dim(x, 0, (n + 1) // 2, axis=axis), slice_in_dim(x, (n + 1) // 2, n, axis=axis)
    high = [0] * x.ndim
    high[axis] = n % 2
    return first, pad(second, beyond, [0] * x.ndim, high)


def _prod_emit(x, *, axes):
    # jax.numpy widens products of small integers; the IR has made that decision already.
    narrow = x.aval.dtype.kind in "iu" and x.aval.dtype.itemsize < 8
    return f"jnp.prod({x}, {axes_text(x, axes)}{f', dtype={dtype_text(x.aval.dtype)}' if narrow else ''})"


reduce_prod_p = reduction(
    "reduce_prod", _prod_emit, _prod_jvp, _nonlinear("reduce_prod"), kinds="iufc", cost=multiplies_out
)


def logsumexp(x: Any, *, axes: Sequence[int]) -> Any:
    """log Σ exp x over `axes`, of real x, without overflow.

    Of −inf alone (or of nothing) it is −inf with derivative 0; where some x are +inf, these share the derivative 1.
    """
    axes = tuple(sorted(axes))
    return bind1(logsumexp_p, x, axes=axes)


def _logsumexp_jvp(xs, ts, *, axes):
    (x,), (t,) = xs, ts
    if 0 in x.shape:
        return bind(logsumexp_p, x, axes=axes), (reduce_sum(t, axes=axes),)
    # Written out: the exponentials serve value and derivative. The shift cancels in both, so it has no derivative.
    top = stop_gradient(reduce_max(x, axes=axes))
    top = select(eq(top, fill(-INF, top.aval)), zeros_like(top), top)
    shift = sub(x, broadcast_back(top, x.shape, axes))
    terms = exp(select(eq(x, fill(INF, x.aval)), zeros_like(x), shift))
    total = reduce_sum(terms, axes=axes)
    some = select(eq(total, zeros_like(total)), fill(1.0, total.aval), total)
    return (add(top, log(total)),), (div(reduce_sum(mul(terms, t), axes=axes), some),)


logsumexp_p = reduction(
    "logsumexp", "jax.nn.logsumexp({}, {})", _logsumexp_jvp, _nonlinear("logsumexp"), kinds="f", cost=log_sum_exp
)


# -- booleans and bits


def reduce_and(x: Any, *, axes: Sequence[int]) -> Any:
    """Whether all are true; of integers, bit by bit."""
    return _reduce(reduce_and_p, x, axes)


def reduce_or(x: Any, *, axes: Sequence[int]) -> Any:
    """Whether any is true; of integers, bit by bit."""
    return _reduce(reduce_or_p, x, axes)


def reduce_xor(x: Any, *, axes: Sequence[int]) -> Any:
    """Whether an odd number are true; of integers, bit by bit."""
    return _reduce(reduce_xor_p, x, axes)


reduce_all, reduce_any = reduce_and, reduce_or


def _bits(name: str, plain: str | None) -> Primitive:
    def emit(x, *, axes):
        if plain and x.aval.dtype.kind == "b":
            return f"{plain}({x}, {axes_text(x, axes)})"
        return f"lax.{name}({x}, {axes})"

    prim = reduction(
        name,
        emit,
        jvp=lambda xs, ts, *, axes: (bind(prim, *xs, axes=axes), (None,)),
        transpose=_nonlinear(name),
        kinds="biu",
    )
    return prim


reduce_and_p = _bits("reduce_and", "jnp.all")
reduce_or_p = _bits("reduce_or", "jnp.any")
reduce_xor_p = _bits("reduce_xor", None)
