"""Elements at positions known only at run time: gather reads them, the scatters write them, and each undoes the other.

`gather` and the scatters share one description. Integer arrays `indices`, all of one shape S, index the neighbouring
axes `axes` of x; `x.at[:, i, j]` is `axes=(1, 2)`. The *window* `x[:, i, j]` has the shape of x with `axes` removed
and S put in their place. Positions count from 0: unlike Python's, a negative one is out of bounds and not the end of
the axis (gradlab.numpy has replaced it before). What is done about a position out of bounds is the `mode`:

    clip                the nearest position within bounds
    wrap                the position modulo the size of the axis
    promise_in_bounds   undefined; the caller knows there is none
    fill                gather gives NaN (the lowest signed, highest unsigned integer, True) with derivative 0
    zero                gather gives 0: what the derivative of fill needs
    drop                a scatter leaves it out
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ir.errors import ArgumentError, DTypeError, ShapeError
from ..ir.graph import Aval
from ..ir.primitive import Primitive, Refused
from ..trace.builder import bind, bind1
from .arith import mul
from .compare import eq, select
from .costs import MOVES, updates
from .families import batch_size, with_axis
from .operands import fill, or_zeros, zeros_like
from .shape import broadcast, iota, reshape

Ints = tuple[int, ...]
INT32 = np.dtype("int32")
READS = ("clip", "wrap", "promise_in_bounds", "fill", "zero")
WRITES = ("clip", "wrap", "promise_in_bounds", "drop")


# -- what gather and the scatters share


def _window(name: str, x: Aval, indices: Sequence[Aval], axes: Ints, mode: str, modes: Sequence[str]) -> Aval:
    """The type of `x[:, i, j]`."""
    if mode not in modes:
        raise ArgumentError(f"{name} knows the modes {', '.join(modes)}; got {mode!r}.")
    if not axes or axes != tuple(range(axes[0], axes[0] + len(axes))) or axes[0] < 0 or axes[-1] >= x.ndim:
        raise ShapeError(f"{name} indexes neighbouring axes of {x}, in order; got {axes}. Transpose the array first.")
    if len(indices) != len(axes) or any(i.shape != indices[0].shape for i in indices):
        got = ", ".join(map(str, indices))
        raise ShapeError(f"{name} needs one index array for each of the axes {axes}, all of one shape; got {got}.")
    for i in indices:
        if i.dtype.kind not in "iu":
            raise DTypeError(f"{name} indexes with integers, got {i}. Convert it with .astype(int).")
    if indices[0].size and any(x.shape[a] == 0 for a in axes):
        raise ShapeError(
            f"{name} has nothing to index: {x} is empty along an axis of {axes}. Give no indices, or pad it."
        )
    return x.reshaped((*x.shape[: axes[0]], *indices[0].shape, *x.shape[axes[-1] + 1 :]))


def _at(x: Any, indices: Sequence[Any], axes: Ints, mode: str) -> tuple[str, str]:
    """`x.at[:, i, j]`, and the keywords that say what out of bounds means."""
    if mode == "wrap":
        indices = [f"{i} % {x.aval.shape[a]}" for i, a in zip(indices, axes, strict=True)]
        mode = "promise_in_bounds"
    extra = ", fill_value=0" if mode == "zero" else ""
    mode = "fill" if mode == "zero" else mode
    place = ", ".join([*[":"] * axes[0], *indices])
    return f"{x}.at[{place}]", f'mode="{mode}"{extra}, wrap_negative_indices=False'


def _where_in(x: Any, indices: Sequence[Any], axes: Ints, mode: str) -> tuple[str, str, str] | None:
    """For jax.lax: the positions as one array, the axes of the window, those of x. None for what jax.numpy decides."""
    first = indices[0].aval
    same = all(i.aval.dtype == first.dtype for i in indices) and first.dtype.kind == "i" and first.dtype.itemsize >= 4
    if mode == "wrap" or not same or not first.size or not x.aval.size or x.aval.weak:
        return None
    ndim, n = len(first.shape), x.aval.ndim
    columns = [f"lax.reshape({i}, {(*first.shape, 1)})" for i in indices]
    at = columns[0] if len(columns) == 1 else f"lax.concatenate([{', '.join(columns)}], {ndim})"
    return at, str((*range(axes[0]), *range(axes[0] + ndim, n - len(axes) + ndim))), str(axes)


def together(arrays: Sequence[Any], dims: Sequence[int | None], indices: Any, at: Sequence[int | None], axes: Ints):
    """Gives the batch one axis throughout: (arrays, indices, axes, its position in the arrays and their windows).

    With batched indices it becomes one more indexed axis, just before the others, where an iota walks along it.
    """
    size = batch_size((*arrays, *indices), (*dims, *at))
    if all(d is None for d in at):
        arrays = [with_axis(x, d, 0, size) for x, d in zip(arrays, dims, strict=True)]
        return arrays, indices, tuple(a + 1 for a in axes), 0
    to = axes[0]
    arrays = [with_axis(x, d, to, size) for x, d in zip(arrays, dims, strict=True)]
    indices = [with_axis(i, d, 0, size) for i, d in zip(indices, at, strict=True)]
    along = iota("int32", indices[0].shape, 0)
    return arrays, (along, *indices), (to, *(a + 1 for a in axes)), to


def _writing(mode: str) -> str:
    return "drop" if mode in ("fill", "zero") else mode


def _reading(mode: str) -> str:
    return "zero" if mode in ("fill", "drop") else mode


# -- gather


def gather(x: Any, *indices: Any, axes: Sequence[int], mode: str = "fill") -> Any:
    """`x[:, i, j]`: the elements of x at the positions `indices` along the neighbouring `axes`.

    **Arguments:** `indices`: one integer array per axis, all of one shape S. `mode`: clip, wrap, promise_in_bounds,
    fill or zero (see above).
    **Returns:** the shape of x with `axes` replaced by S.
    """
    return bind1(gather_p, x, *indices, axes=tuple(axes), mode=mode)


def _gather_infer(x: Aval, *indices: Aval, axes: Ints, mode: str) -> tuple[Aval]:
    return (_window("gather", x, indices, axes, mode, READS),)


def _gather_emit(x, *indices, axes, mode):
    at, how = _at(x, indices, axes, mode)
    return f"{at}.get({how})"


def _gather_call(x, *indices, axes, mode):
    found = _where_in(x, indices, axes, mode)
    if found is None:
        return _gather_emit(x, *indices, axes=axes, mode=mode)
    at, window, of = found
    sizes = tuple(1 if a in axes else n for a, n in enumerate(x.aval.shape))
    how = '"fill", fill_value=0' if mode == "zero" else f'"{mode}"'
    return f"lax.gather({x}, {at}, lax.GatherDimensionNumbers({window}, {of}, {of}), {sizes}, mode={how})"


def _gather_jvp(xs, ts, *, axes, mode):
    out = bind(gather_p, *xs, axes=axes, mode=mode)
    return out, (gather(ts[0], *xs[1:], axes=axes, mode=_reading(mode)),)


def _gather_transpose(cts, active, x, *indices, axes, mode):
    ct = scatter_add(zeros_like(x), cts[0], *indices, axes=axes, mode=_writing(mode))
    return (ct, *(None for _ in indices))


def _gather_batch(xs, dims, *, axes, mode):
    x, *indices = xs
    d, *at = dims
    if d is None:
        # Each slice reads the same x: a longer list of positions will do.
        size = batch_size(indices, at)
        indices = [with_axis(i, j, 0, size) for i, j in zip(indices, at, strict=True)]
        return bind(gather_p, x, *indices, axes=axes, mode=mode), (axes[0],)
    if all(j is None for j in at) and d > axes[-1]:
        out = d - len(axes) + indices[0].ndim
        return bind(gather_p, x, *indices, axes=axes, mode=mode), (out,)
    if all(j is None for j in at) and d <= axes[0]:
        return bind(gather_p, x, *indices, axes=tuple(a + 1 for a in axes), mode=mode), (d,)
    (x,), indices, axes, to = together([x], [d], indices, at, axes)
    return bind(gather_p, x, *indices, axes=axes, mode=mode), (to,)


gather_p = Primitive(
    name="gather",
    infer=_gather_infer,
    emit=_gather_emit,
    call=_gather_call,
    jvp=_gather_jvp,
    transpose=_gather_transpose,
    batch=_gather_batch,
    cost=MOVES,
)


# -- scatter_add


def scatter_add(x: Any, updates: Any, *indices: Any, axes: Sequence[int], mode: str = "drop") -> Any:
    """`x.at[:, i, j].add(updates)`: every update is added, however often its position occurs.

    **Arguments:** `updates`: of the window's shape and x's dtype. `indices`, `axes`: as in `gather`. `mode`: clip,
    wrap, promise_in_bounds or drop.
    """
    return bind1(scatter_add_p, x, updates, *indices, axes=tuple(axes), mode=_writing(mode))


def _scatter_infer(name: str):
    def infer(x: Aval, updates: Aval, *indices: Aval, axes: Ints, mode: str, unique: bool = False) -> tuple[Aval]:
        window = _window(name, x, indices, axes, mode, WRITES)
        if updates.shape != window.shape or updates.dtype != x.dtype:
            raise ShapeError(
                f"{name} into {x} needs updates {window}, got {updates}. Broadcast and convert them first."
            )
        return (Aval(x.shape, x.dtype, x.weak and updates.weak),)

    return infer


def _scatter_emit(method: str):
    def emit(x, updates, *indices, axes, mode, unique=False):
        at, how = _at(x, indices, axes, mode)
        return f"{at}.{method}({updates}, {how}{', unique_indices=True' if unique else ''})"

    return emit


def _scatter_call(method: str, function: str):
    def call(x, updates, *indices, axes, mode, unique=False):
        found = _where_in(x, indices, axes, mode)
        if found is None:
            return _scatter_emit(method)(x, updates, *indices, axes=axes, mode=mode, unique=unique)
        at, window, of = found
        how = f'mode="{mode}"{", unique_indices=True" if unique else ""}'
        return f"lax.{function}({x}, {at}, {updates}, lax.ScatterDimensionNumbers({window}, {of}, {of}), {how})"

    return call


def _scatter_batch(prim):
    def batch(xs, dims, **params):
        arrays, indices, axes, to = together(xs[:2], dims[:2], xs[2:], dims[2:], params["axes"])
        return bind(prim(), *arrays, *indices, **{**params, "axes": axes}), (to,)

    return batch


def _scatter_add_jvp(xs, ts, **params):
    x, updates, *indices = xs
    t, du, *_ = ts
    out = bind(scatter_add_p, *xs, **params)
    if du is None:
        return out, (t,)
    return out, (bind1(scatter_add_p, zeros_like(x) if t is None else t, du, *indices, **params),)


def _scatter_add_transpose(cts, active, x, updates, *indices, axes, mode):
    ct = gather(cts[0], *indices, axes=axes, mode=_reading(mode)) if active[1] else None
    return (cts[0] if active[0] else None, ct, *(None for _ in indices))


scatter_add_p = Primitive(
    name="scatter_add",
    infer=_scatter_infer("scatter_add"),
    emit=_scatter_emit("add"),
    call=_scatter_call("add", "scatter_add"),
    jvp=_scatter_add_jvp,
    transpose=_scatter_add_transpose,
    batch=_scatter_batch(lambda: scatter_add_p),
    cost=updates,
)


def take_along_axis(x: Any, index: Any, *, axis: int, mode: str = "promise_in_bounds") -> Any:
    """`x` with each line along `axis` read at the positions `index` gives for that line (same shape but for `axis`)."""
    if x.ndim == 1:
        return gather(x, index, axes=(0,), mode=mode)
    positions = [index if a == axis else iota(index.dtype, index.shape, a) for a in range(x.ndim)]
    return gather(x, *positions, axes=range(x.ndim), mode=mode)


# -- scatter_set


def scatter_set(
    x: Any, updates: Any, *indices: Any, axes: Sequence[int], mode: str = "drop", unique: bool = False
) -> Any:
    """`x.at[:, i, j].set(updates)`.

    Where a position occurs twice, one of its updates wins (the last one on CPU; XLA promises nothing), and the
    derivative is the winner's. `unique` promises that none does, which makes the derivative cheaper.
    """
    unique = bool(unique) or _size(indices) <= 1
    return bind1(scatter_set_p, x, updates, *indices, axes=tuple(axes), mode=_writing(mode), unique=unique)


def _size(indices: Sequence[Any]) -> int:
    return indices[0].aval.size


def _scatter_set_jvp(xs, ts, **params):
    x, updates, *indices = xs
    t, du = or_zeros(ts[:2], (x, updates))
    return bind(scatter_set_p, *xs, **params), bind(scatter_set_p, t, du, *indices, **params)


def _winners(x: Any, indices: Sequence[Any], axes: Ints, mode: str) -> Any:
    """Which of the positions, of shape S, are the ones whose update stays: every one writes its number, and looks."""
    board = fill(-1, Aval(tuple(x.shape[a] for a in axes), INT32))
    numbers = reshape(iota(INT32, (_size(indices),)), indices[0].shape)
    own = {"axes": range(len(axes)), "mode": mode}
    written = scatter_set(board, numbers, *indices, **own)
    return eq(gather(written, *indices, axes=own["axes"], mode=_reading(mode)), numbers)


def _scatter_set_transpose(cts, active, x, updates, *indices, axes, mode, unique):
    (ct,), cx, cu = cts, None, None
    if active[0]:
        cx = scatter_set(ct, zeros_like(updates), *indices, axes=axes, mode=mode, unique=unique)
    if active[1]:
        cu = gather(ct, *indices, axes=axes, mode=_reading(mode))
        if not unique:
            won = _winners(x, indices, axes, mode)
            won = broadcast(won, cu.shape, range(axes[0], axes[0] + won.ndim))
            cu = select(won, cu, zeros_like(cu))
    return (cx, cu, *(None for _ in indices))


scatter_set_p = Primitive(
    name="scatter_set",
    infer=_scatter_infer("scatter_set"),
    emit=_scatter_emit("set"),
    call=_scatter_call("set", "scatter"),
    jvp=_scatter_set_jvp,
    transpose=_scatter_set_transpose,
    batch=_scatter_batch(lambda: scatter_set_p),
    cost=MOVES,
)


# -- scatter_mul


def scatter_mul(
    x: Any, updates: Any, *indices: Any, axes: Sequence[int], mode: str = "drop", unique: bool = False
) -> Any:
    """`x.at[:, i, j].multiply(updates)`: x is multiplied by every update of its position.

    `unique` promises that no position occurs twice. The derivative by the updates is refused without it.
    """
    unique = bool(unique) or _size(indices) <= 1
    return bind1(scatter_mul_p, x, updates, *indices, axes=tuple(axes), mode=_writing(mode), unique=unique)


_NOT_UNIQUE = Refused(
    "the derivative of x.at[i].multiply(v) by v needs positions that occur once. If they do, say so with "
    "unique_indices=True; if not, multiply x by gradlab.numpy.exp of a scatter-add of logarithms."
)


def _scatter_mul_jvp(xs, ts, *, axes, mode, unique):
    x, updates, *indices = xs
    t, du, *_ = ts
    params = {"axes": axes, "mode": mode}
    out = bind(scatter_mul_p, *xs, **params, unique=unique)
    if t is not None:
        (t,) = bind(scatter_mul_p, t, updates, *indices, **params, unique=unique)
    if du is not None:
        if not unique:
            _NOT_UNIQUE()
        moved = mul(gather(x, *indices, axes=axes, mode=_reading(mode)), du)
        t = scatter_add(zeros_like(x) if t is None else t, moved, *indices, **params)
    return out, (t,)


def _scatter_mul_transpose(cts, active, x, updates, *indices, **params):
    return (bind1(scatter_mul_p, cts[0], updates, *indices, **params), *(None for _ in (updates, *indices)))


scatter_mul_p = Primitive(
    name="scatter_mul",
    infer=_scatter_infer("scatter_mul"),
    emit=_scatter_emit("multiply"),
    call=_scatter_call("multiply", "scatter_mul"),
    jvp=_scatter_mul_jvp,
    transpose=_scatter_mul_transpose,
    batch=_scatter_batch(lambda: scatter_mul_p),
    cost=updates,
)


# -- scatter_min, scatter_max


def scatter_min(x: Any, updates: Any, *indices: Any, axes: Sequence[int], mode: str = "drop") -> Any:
    """`x.at[:, i, j].min(updates)`. Of equals the derivative is x's, else the first update's in row-major order."""
    return bind1(scatter_min_p, x, updates, *indices, axes=tuple(axes), mode=_writing(mode))


def scatter_max(x: Any, updates: Any, *indices: Any, axes: Sequence[int], mode: str = "drop") -> Any:
    """`x.at[:, i, j].max(updates)`. Of equals the derivative is x's, else the first update's in row-major order."""
    return bind1(scatter_max_p, x, updates, *indices, axes=tuple(axes), mode=_writing(mode))


def _first_equal(x: Any, updates: Any, out: Any, indices: Sequence[Any], params: dict[str, Any]) -> tuple[Any, Any]:
    """Where x stayed, and which updates are the first to equal the result at their place, x not being equal to it."""
    reading = {**params, "mode": _reading(params["mode"])}
    stayed = eq(x, out)
    n, first_axis = _size(indices), params["axes"][0]
    numbers = reshape(iota(INT32, (n,)), indices[0].shape)
    numbers = broadcast(numbers, updates.shape, range(first_axis, first_axis + numbers.ndim))
    none = fill(n, numbers.aval)
    equal = eq(updates, gather(out, *indices, **reading))
    found = select(equal, numbers, none)
    # A place that x holds is marked -1, lower than any number.
    board = select(stayed, fill(-1, x.aval.retyped(INT32)), fill(n, x.aval.retyped(INT32)))
    lowest = gather(scatter_min(board, found, *indices, **params), *indices, **reading)
    return stayed, select(equal, eq(lowest, numbers), fill(False, equal.aval))


def _scatter_extremum(name: str, method: str) -> Primitive:
    def jvp(xs, ts, **params):
        x, updates, *indices = xs
        t, du, *_ = ts
        (out,) = bind(prim, *xs, **params)
        stayed, won = _first_equal(x, updates, out, indices, params)
        t = None if t is None else select(stayed, t, zeros_like(t))
        if du is not None:
            du = select(won, du, zeros_like(du))
            t = scatter_add(zeros_like(x) if t is None else t, du, *indices, **params)
        return (out,), (t,)

    prim = Primitive(
        name=name,
        infer=_scatter_infer(name),
        emit=_scatter_emit(method),
        call=_scatter_call(method, name),
        jvp=jvp,
        transpose=Refused(f"{name} is not linear; only linear equations are transposed"),
        batch=_scatter_batch(lambda: prim),
        cost=updates,
    )
    return prim


scatter_min_p = _scatter_extremum("scatter_min", "min")
scatter_max_p = _scatter_extremum("scatter_max", "max")
