"""Constructors that make a primitive's record from the one or two facts that set it apart from its family."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ir.errors import ShapeError
from ..ir.graph import Aval, Lit, is_inexact
from ..ir.primitive import Primitive, Refused
from ..trace.builder import FILL, bind, bind1
from .costs import ADDS, EACH, MOVES, MULTIPLIES, TRANSCENDENTAL, reduces
from .operands import BOOL, axes_text, or_zeros, reduced, require_axes, require_elements, require_kind, same_type

Rule = Callable[..., Any]


def caller(call: str | Rule | None) -> Rule | None:
    """A call rule from the name of a jax.lax function, or the rule itself."""
    return (lambda *xs, **params: f"lax.{call}({', '.join(xs)})") if isinstance(call, str) else call


def template(emit: str | Rule) -> Rule:
    """An emit rule from a format string such as `"jnp.sin({})"`, or the rule itself."""
    return (lambda *xs, **params: emit.format(*xs)) if isinstance(emit, str) else emit


def linear(prim: Callable[[], Primitive]) -> Rule:
    """The jvp of a function that is linear in all of its operands together: itself, of the tangents."""
    return lambda xs, ts, **params: (bind(prim(), *xs, **params), bind(prim(), *or_zeros(ts, xs), **params))


# -- batching


def batch_size(xs: Sequence[Any], dims: Sequence[int | None]) -> int:
    """The length of the batch axis of those operands that have one."""
    return next(x.shape[d] for x, d in zip(xs, dims, strict=True) if d is not None)


def with_axis(x: Any, dim: int | None, to: int, size: int) -> Any:
    """`x` with its batch axis at `to`: moved there, or made by repetition when it has none."""
    if dim == to:
        return x
    if dim is None:
        shape = (*x.shape[:to], size, *x.shape[to:])
        if isinstance(x, Lit):
            return Lit(x.value, x.aval.reshaped(shape))
        return _broadcast(x, shape, tuple(i + (i >= to) for i in range(x.ndim)))
    order = [i for i in range(x.ndim) if i != dim]
    order.insert(to, dim)
    return _permute(x, tuple(order))


def _broadcast(x: Any, shape: tuple[int, ...], axes: tuple[int, ...]) -> Any:
    return bind1(broadcast_p, x, shape=shape, axes=axes)


def _permute(x: Any, order: tuple[int, ...]) -> Any:
    return bind1(permute_p, x, order=order)


def aligned(xs: Sequence[Any], dims: Sequence[int | None]) -> tuple[list[Any], int]:
    """The operands, all with the batch axis where the first batched one has it; and where that is."""
    to, size = next(d for d in dims if d is not None), batch_size(xs, dims)
    return [with_axis(x, d, to, size) for x, d in zip(xs, dims, strict=True)], to


def batch_elementwise(prim: Callable[[], Primitive]) -> Rule:
    """Operands of one shape: all get the first batched operand's axis, and so do the results."""

    def batch(xs, dims, **params):
        xs, to = aligned(xs, dims)
        outs = bind(prim(), *xs, **params)
        return outs, (to,) * len(outs)

    return batch


# -- families

ONE, MINUS_ONE = "one", "minus one"  # a partial derivative that is this number everywhere


def mul_sum(pairs: Sequence[tuple[Any, Any]]) -> Any:
    """Σ coefficient · tangent over the pairs whose tangent is not a structural zero; None if none is left.

    A coefficient of None is a zero, of 1 or -1 a plain sum or difference.
    """
    total = None
    for coefficient, tangent in pairs:
        if tangent is None or coefficient is None:
            continue
        if coefficient is MINUS_ONE:
            total = bind1(neg_p, tangent) if total is None else bind1(sub_p, total, tangent)
            continue
        term = tangent if coefficient is ONE else bind1(mul_p, coefficient, tangent)
        total = term if total is None else bind1(add_p, total, term)
    return total


def elementwise(
    name: str,
    emit: str | Rule,
    partials: Sequence[Rule | str | Refused | None] = (),
    kinds: str = "fc",
    commutes: bool = False,
    transpose: Rule | Refused | None = None,
    fold: Rule | None = None,
    scalars: bool = True,
    infer: Rule | None = None,
    jvp: Rule | None = None,
    call: str | Rule | None = None,
    cost: Rule | Refused = TRANSCENDENTAL,
) -> Primitive:
    """y[i] = f(x[i], ...): operands and result of one shape and dtype.

    **Arguments:** `partials`: per operand the rule `(out, *xs) -> ∂f/∂x` (a tracer), ONE or MINUS_ONE where it is
    constant, None where it is zero everywhere, Refused where none is known. `kinds`: dtypes allowed, letters of
    b i u f c. `transpose`: only for a function that is linear in some operand. `scalars`: whether `emit` takes literals
    as plain numbers (a lax function does not). `infer`, `jvp`: whole rules, where kinds or partials do not say enough.
    `cost`: for what is not a transcendental function of each element.
    """
    if not partials and jvp is None:
        raise TypeError(f"{name} needs its partials, or a jvp")

    def check_kinds(*xs: Aval, **params: Any) -> tuple[Aval]:
        require_kind(name, xs[0], kinds)
        return (same_type(name, *xs),)

    def combine(xs, tangents, **params):
        out = bind1(prim, *xs, **params)
        pairs = []
        for partial, tangent in zip(partials, tangents, strict=True):
            live = tangent is not None and partial is not None
            pairs.append((partial(out, *xs, **params) if live and callable(partial) else partial, tangent))
        return (out,), (mul_sum(pairs),)

    prim = Primitive(
        name=name,
        infer=infer or check_kinds,
        emit=template(emit),
        jvp=jvp or combine,
        transpose=transpose or Refused(f"{name} is not linear; only linear equations are transposed"),
        batch=batch_elementwise(lambda: prim),
        cost=cost,
        scalars=scalars,
        commutes=commutes,
        call=caller(call),
        fold=fold,
    )
    return prim


def unary_linear(
    name: str,
    emit: str | Rule,
    infer: Rule,
    transpose: Rule,
    fold: Rule | None = None,
    call: str | Rule | None = None,
    cost: Rule = ADDS,
) -> Primitive:
    """y[i] = A x[i] with A linear (over the reals), shape kept: neg, conj, real, imag, convert."""
    prim = Primitive(
        name=name,
        infer=infer,
        emit=template(emit),
        jvp=linear(lambda: prim),
        transpose=transpose,
        batch=lambda xs, dims, **params: (bind(prim, *xs, **params), dims),
        cost=cost,
        scalars=True,
        call=caller(call),
        fold=fold,
    )
    return prim


def no_derivative(
    name: str,
    infer: Rule,
    emit: str | Rule,
    batch: Rule | None = None,
    scalars: bool = True,
    commutes: bool = False,
    fold: Rule | None = None,
    call: str | Rule | None = None,
    cost: Rule | Refused = EACH,
) -> Primitive:
    """A function that is constant almost everywhere, or whose result is boolean or integer: its tangent is zero."""

    def jvp(xs, tangents, **params):
        outs = bind(prim, *xs, **params)
        return outs, (None,) * len(outs)

    prim = Primitive(
        name=name,
        infer=infer,
        emit=template(emit),
        jvp=jvp,
        transpose=Refused(f"{name} has no derivative, so it never stands in a linear program"),
        batch=batch or batch_elementwise(lambda: prim),
        cost=cost,
        scalars=scalars,
        commutes=commutes,
        call=caller(call),
        fold=fold,
    )
    return prim


def comparison(name: str, emit: str, kinds: str = "biufc", commutes: bool = False) -> Primitive:
    """bool[i] = x[i] ⋛ y[i]."""

    def infer(x: Aval, y: Aval) -> tuple[Aval]:
        require_kind(name, x, kinds)
        return (Aval(same_type(name, x, y).shape, BOOL),)

    return no_derivative(name, infer, emit, commutes=commutes, call=name)


def moves_data(name: str, infer: Rule, emit: Rule, transpose: Rule, batch: Rule, call: Rule | None = None) -> Primitive:
    """Linear in its one operand and only moves, repeats or drops its elements; any dtype."""
    prim = Primitive(
        name=name,
        infer=infer,
        emit=emit,
        jvp=linear(lambda: prim),
        transpose=transpose,
        batch=batch,
        cost=MOVES,
        call=call,
        fold=lambda x, **params: x,
    )
    return prim


def reduction(
    name: str,
    emit: str | Rule,
    jvp: Rule,
    transpose: Rule | Refused,
    kinds: str,
    empty: bool = True,
    call: str | Rule | None = None,
    cost: Rule = reduces,
) -> Primitive:
    """y = reduce(x) over the static `axes`, which disappear; `empty`: whether the reduction of no elements exists."""

    def infer(x: Aval, *, axes: tuple[int, ...]) -> tuple[Aval]:
        require_kind(name, x, kinds)
        require_axes(name, x, axes)
        if not empty:
            require_elements(name, x, axes)
        return (reduced(x, axes),)

    def batch(xs, dims, *, axes):
        (x,), (dim,) = xs, dims
        moved = tuple(a + (a >= dim) for a in axes)
        return bind(prim, x, axes=moved), (dim - sum(a < dim for a in moved),)

    long = (lambda x, *, axes: f"lax.{call}({x}, {axes})") if isinstance(call, str) else call
    short = emit if callable(emit) else (lambda x, *, axes: emit.format(x, axes_text(x, axes)))
    prim = Primitive(
        name=name,
        infer=infer,
        # What jax.numpy makes of weak numbers is not weak; what jax.lax makes of them is.
        emit=lambda x, *, axes: long(x, axes=axes) if x.aval.weak and long else short(x, axes=axes),
        jvp=jvp,
        transpose=transpose,
        batch=batch,
        cost=cost,
        call=long,
    )
    return prim


# The primitives that rules of every family are made of. Their own rules mention each other, so they stand here.


def _broadcast_infer(x: Aval, *, shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[Aval]:
    fits = len(axes) == x.ndim and all(
        0 <= a < len(shape) and n in (1, shape[a]) for n, a in zip(x.shape, axes, strict=True)
    )
    if not fits or any(a >= b for a, b in zip(axes, axes[1:], strict=False)):
        raise ShapeError(f"broadcast cannot put {x} on axes {axes} of shape {shape}: each axis must match or be 1.")
    return (x.reshaped(shape),)


def _broadcast_emit(x, *, shape, axes):
    if not x.aval.shape:
        return f"jnp.full({shape}, {x})"
    if axes == tuple(range(len(shape) - len(axes), len(shape))):
        return f"jnp.broadcast_to({x}, {shape})"
    return f"lax.broadcast_in_dim({x}, {shape}, {axes})"


def _broadcast_transpose(cts, active, x, *, shape, axes):
    new = tuple(i for i in range(len(shape)) if i not in axes)
    grown = tuple(a for a, n in zip(axes, x.shape, strict=True) if n != shape[a])
    ct = bind1(reduce_sum_p, cts[0], axes=tuple(sorted(new + grown))) if new or grown else cts[0]
    return (bind1(reshape_p, ct, shape=x.shape) if grown else ct,)


def _broadcast_batch(xs, dims, *, shape, axes):
    (x,), (dim,) = xs, dims
    x = with_axis(x, dim, 0, x.shape[dim])
    return bind(broadcast_p, x, shape=(x.shape[0], *shape), axes=(0, *(a + 1 for a in axes))), (0,)


broadcast_p = moves_data(
    "broadcast",
    infer=_broadcast_infer,
    emit=_broadcast_emit,
    transpose=_broadcast_transpose,
    batch=_broadcast_batch,
    call=lambda x, *, shape, axes: f"lax.broadcast_in_dim({x}, {shape}, {axes})",
)
FILL.append(broadcast_p)


def _reshape_infer(x: Aval, *, shape: tuple[int, ...]) -> tuple[Aval]:
    out = x.reshaped(shape)
    if out.size != x.size or any(n < 0 for n in shape):
        raise ShapeError(f"reshape needs as many elements as {x} has ({x.size}), got shape {shape} ({out.size}).")
    return (out,)


def _reshape_batch(xs, dims, *, shape):
    (x,), (dim,) = xs, dims
    x = with_axis(x, dim, 0, x.shape[dim])
    return bind(reshape_p, x, shape=(x.shape[0], *shape)), (0,)


reshape_p = moves_data(
    "reshape",
    infer=_reshape_infer,
    emit=lambda x, *, shape: f"jnp.reshape({x}, {shape})",
    transpose=lambda cts, active, x, *, shape: bind(reshape_p, cts[0], shape=x.shape),
    batch=_reshape_batch,
    call=lambda x, *, shape: f"lax.reshape({x}, {shape})",
)


def _permute_infer(x: Aval, *, order: tuple[int, ...]) -> tuple[Aval]:
    if sorted(order) != list(range(x.ndim)):
        raise ShapeError(f"transpose needs an order of the axes 0..{x.ndim - 1} of {x}, got {order}.")
    return (x.reshaped(x.shape[i] for i in order),)


def _permute_batch(xs, dims, *, order):
    (dim,) = dims
    moved = (dim, *(i + (i >= dim) for i in order))
    return bind(permute_p, *xs, order=moved), (0,)


permute_p = moves_data(
    "permute",
    infer=_permute_infer,
    emit=lambda x, *, order: f"{x}.T" if order == (1, 0) else f"jnp.transpose({x}, {order})",
    transpose=lambda cts, active, x, *, order: bind(permute_p, cts[0], order=tuple(int(i) for i in np.argsort(order))),
    batch=_permute_batch,
    call=lambda x, *, order: f"lax.transpose({x}, {order})",
)


def _reduce_sum_transpose(cts, active, x, *, axes):
    kept = tuple(i for i in range(x.ndim) if i not in axes)
    return bind(broadcast_p, cts[0], shape=x.shape, axes=kept)


def _reduce_sum_emit(x, *, axes):
    # jax.numpy widens sums of small integers; the IR has made that decision already.
    narrow = x.aval.dtype.kind in "iu" and x.aval.dtype.itemsize < 8
    return f"jnp.sum({x}, {axes_text(x, axes)}{f', dtype={x.aval.dtype.name!r}' if narrow else ''})"


def _reduce_sum_call(x, *, axes):
    # Half precision is added up in single, as jax.numpy does.
    half = is_inexact(x.aval.dtype) and x.aval.dtype.itemsize < 4
    return _reduce_sum_emit(x, axes=axes) if half else f"lax.reduce_sum({x}, {axes})"


reduce_sum_p = reduction(
    "reduce_sum",
    emit=_reduce_sum_emit,
    call=_reduce_sum_call,
    jvp=linear(lambda: reduce_sum_p),
    transpose=_reduce_sum_transpose,
    kinds="iufc",
)

add_p = elementwise(
    "add",
    emit="{} + {}",
    call="add",
    partials=(ONE, ONE),
    fold=np.add,
    kinds="iufc",
    commutes=True,
    transpose=lambda cts, active, x, y: tuple(cts[0] if a else None for a in active),
    cost=ADDS,
)
sub_p = elementwise(
    "sub",
    emit="{} - {}",
    call="sub",
    partials=(ONE, MINUS_ONE),
    fold=np.subtract,
    kinds="iufc",
    transpose=lambda cts, active, x, y: (cts[0] if active[0] else None, bind1(neg_p, cts[0]) if active[1] else None),
    cost=ADDS,
)
mul_p = elementwise(
    "mul",
    emit="{} * {}",
    call="mul",
    partials=(lambda out, x, y: y, lambda out, x, y: x),
    fold=np.multiply,
    kinds="iufc",
    commutes=True,
    transpose=lambda cts, active, x, y: bilinear(cts[0], active, x, y),
    cost=MULTIPLIES,
)


def _neg_infer(x: Aval) -> tuple[Aval]:
    require_kind("neg", x, "iufc")
    return (x,)


neg_p = unary_linear(
    "neg",
    emit="-{}",
    call="neg",
    infer=_neg_infer,
    fold=np.negative,
    transpose=lambda cts, active, x: bind(neg_p, cts[0]),
)


def bilinear(ct: Any, active: Sequence[bool], x: Any, y: Any) -> tuple[Any, Any]:
    """Cotangents of x·y, linear in one of its operands."""
    return (bind1(mul_p, ct, y), None) if active[0] else (None, bind1(mul_p, ct, x))
