"""`associative_scan`: all the prefixes of an associative operation, in a logarithm of steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

from ..ir.errors import ArgumentError, ShapeError
from ..ops.shape import concatenate, expand_dims, reshape, rev, slice_in_dim
from ..trace.avals import aval_of
from .arguments import name_of, require_function, tree_flatten, tree_unflatten
from .staging import is_traced, operand_of, require_same


def associative_scan(fn: Callable, elems: Any, reverse: bool = False, axis: int = 0) -> Any:
    """The running results `e0, fn(e0, e1), fn(fn(e0, e1), e2), …`, computed side by side.

    **Arguments:** `fn`: associative; of two pytrees like `elems`, with any number of elements along `axis`, to a third.
    `reverse`: from the last element on. `axis`: the axis of the elements.
    **Returns:** a pytree like `elems`.
    **Raises:** `ShapeError`, `StructureError` if the arrays have different lengths, or fn changes structure or types.
    **Source:** Blelloch, *Prefix sums and their applications* (1990).
    """
    require_function(fn, "associative_scan")
    if not is_traced(elems):
        return jax.lax.associative_scan(fn, elems, reverse=reverse, axis=axis)
    leaves, tree = tree_flatten(elems)
    if not leaves:
        raise ArgumentError("associative_scan needs at least one array in elems, got none.")
    rows = [operand_of(x) for x in leaves]
    avals = [aval_of(x) for x in rows]
    if any(not -a.ndim <= axis < a.ndim for a in avals):
        raise ShapeError(f"associative_scan needs an axis {axis} in each array, got {', '.join(map(str, avals))}.")
    axes = [axis % a.ndim for a in avals]
    lengths = {a.shape[k] for a, k in zip(avals, axes, strict=True)}
    if len(lengths) != 1:
        raise ShapeError(
            f"associative_scan needs arrays of one length along axis {axis}, got {', '.join(map(str, avals))}."
        )
    (length,) = lengths

    def combined(a: Sequence[Any], b: Sequence[Any]) -> list[Any]:
        made, got = tree_flatten(fn(tree_unflatten(tree, a), tree_unflatten(tree, b)))
        outs = [operand_of(x) for x in made]
        require_same(
            f"the result of {name_of(fn)}", "its arguments", tree, [x.aval for x in a], got, [x.aval for x in outs]
        )
        return outs

    def part(xs: Sequence[Any], start: int, limit: int, stride: int = 1) -> list[Any]:
        return [slice_in_dim(x, start, limit, stride, axis=k) for x, k in zip(xs, axes, strict=True)]

    def prefixes(xs: Sequence[Any], n: int) -> list[Any]:
        if n < 2:
            return list(xs)
        odd = prefixes(combined(part(xs, 0, n - 1, 2), part(xs, 1, n, 2)), n // 2)
        first = part(xs, 0, 1)
        if n == 2:
            even = first
        else:
            more = combined(part(odd, 0, (n - 1) // 2), part(xs, 2, n, 2))
            even = [concatenate([x, y], axis=k) for x, y, k in zip(first, more, axes, strict=True)]
        return [_interleaved(x, y, k) for x, y, k in zip(even, odd, axes, strict=True)]

    if reverse:
        rows = [rev(x, (k,)) for x, k in zip(rows, axes, strict=True)]
    outs = prefixes(rows, length)
    if reverse:
        outs = [rev(x, (k,)) for x, k in zip(outs, axes, strict=True)]
    return tree_unflatten(tree, outs)


def _interleaved(even: Any, odd: Any, axis: int) -> Any:
    """even[0], odd[0], even[1], …; there may be one even element more."""
    n = odd.shape[axis]
    pairs = [expand_dims(slice_in_dim(x, 0, n, axis=axis), (axis + 1,)) for x in (even, odd)]
    shape = (*odd.shape[:axis], 2 * n, *odd.shape[axis + 1 :])
    whole = reshape(concatenate(pairs, axis=axis + 1), shape)
    if even.shape[axis] == n:
        return whole
    return concatenate([whole, slice_in_dim(even, n, n + 1, axis=axis)], axis=axis)
