"""`vmap`: a function of one example becomes a function of a batch of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import jax

from ..ir.errors import ArgumentError, ShapeError
from ..ir.graph import Aval
from ..trace.avals import aval_of
from .arguments import OnLeaves, name_of, require_function, tree_flatten
from .calling import Reading, run
from .programs import batch_program
from .results import Results


def vmap(
    fun: Callable, in_axes: Any = 0, out_axes: Any = 0, axis_name: Any = None, axis_size: int | None = None
) -> Callable:
    """A function that maps `fun` over an axis of its arguments, as one program with one more axis.

    **Arguments:** `in_axes`: the mapped axis of each positional argument: an int, None (not mapped), or a tuple with an
    entry per argument, each an int, None or a pytree prefix of them. Keyword arguments are mapped over axis 0.
    `out_axes`: where the axis goes in the result, likewise. `axis_size`: needed only when nothing is mapped.
    **Returns:** a function of arguments with that axis; its results have it too.
    **Raises:** `ArgumentError`, `ShapeError` when axes are missing or of different lengths.
    """
    require_function(fun, "vmap")
    if axis_name is not None:
        raise ArgumentError(
            "vmap has no axis_name: gradlab has no collectives. Reduce over the axis after vmap instead."
        )
    if not isinstance(in_axes, int | tuple | list) and in_axes is not None:
        raise ArgumentError(f"in_axes must be an int, None, or a tuple with an entry per argument, got {in_axes!r}.")

    @wraps(fun)
    def batched(*args, **kwargs):
        wanted = tuple(in_axes) if isinstance(in_axes, list) else in_axes
        if isinstance(wanted, tuple) and len(wanted) != len(args):
            raise ArgumentError(
                f"in_axes has {len(wanted)} entries, but {name_of(fun)} was called with {len(args)} positional "
                "arguments. Give one entry for each."
            )
        leaves, tree = tree_flatten((args, kwargs))
        axes = [*_prefix(wanted, args, "in_axes"), *[0] * (len(leaves) - len(tree_flatten(args)[0]))]
        mapped = [k for k, axis in enumerate(axes) if axis is not None]
        dims, inner, size = _mapped([(leaves[k], axes[k]) for k in mapped], axis_size)
        call = OnLeaves(fun, leaves, tree, mapped)
        reading = Reading(call, [leaves[k] for k in mapped], inner, concrete=False, fun=fun)
        results = Results(reading, fun)
        wished = _prefix(out_axes, reading.result, "out_axes")
        ends = tuple([_normal(axis, aval) for axis, aval in zip(wished, results.avals, strict=True)])
        spec = ("vmap", dims, ends, size)
        program, inputs = reading.program(spec, lambda graph: batch_program(graph, dims, size, ends))
        for on, axis, aval in zip(program.alive, ends, results.avals, strict=True):
            if on and axis is None:
                raise ArgumentError(
                    f"out_axes is None for a result that depends on the mapped axis: {aval}. Give it an axis."
                )
        return results.value(run(program, inputs))

    return batched


def _mapped(pairs: Sequence[tuple[Any, int]], axis_size: int | None) -> tuple[tuple[int, ...], list[Aval], int]:
    """Of arrays and the axes mapped in them: those axes counted from 0, the types without them, their common length.

    **Raises:** `ShapeError` for an axis that is not there, and when the lengths differ or there is none.
    """
    dims: list[int] = []
    inner: list[Aval] = []
    sizes: dict[int, str] = {}
    for leaf, axis in pairs:
        aval = aval_of(leaf)
        if not -aval.ndim <= axis < aval.ndim:
            raise ShapeError(
                f"vmap was asked to map axis {axis} of {aval}, which has {aval.ndim} axes. Use None for it."
            )
        axis %= aval.ndim
        dims.append(axis)
        inner.append(aval.reshaped((*aval.shape[:axis], *aval.shape[axis + 1 :])))
        sizes.setdefault(aval.shape[axis], f"{aval} along axis {axis}")
    if axis_size is not None:
        sizes.setdefault(axis_size, f"axis_size={axis_size}")
    if len(sizes) != 1:
        what = " and ".join(sizes.values()) or "nothing to map: give in_axes or axis_size"
        raise ShapeError(f"vmap needs mapped axes of one length, got {what}.")
    (size,) = sizes
    return tuple(dims), inner, size


def _normal(axis: int | None, aval: Aval) -> int | None:
    if axis is None:
        return None
    if not -aval.ndim - 1 <= axis <= aval.ndim:
        raise ArgumentError(f"out_axes asks for axis {axis} in a result with {aval.ndim + 1} axes.")
    return axis % (aval.ndim + 1)


def _prefix(axes: Any, tree: Any, what: str) -> list[int | None]:
    """One axis per leaf of `tree`, from a pytree prefix of axes."""
    if axes is None or isinstance(axes, int):
        return [axes] * len(tree_flatten(tree)[0])
    try:
        spread = jax.tree.broadcast(axes, tree, is_leaf=lambda a: a is None)
    except ValueError as error:
        raise ArgumentError(f"{what} must be a pytree prefix of what it describes: {error}") from None
    found = jax.tree_util.tree_leaves(spread, is_leaf=lambda a: a is None)
    for axis in found:
        if axis is not None and not isinstance(axis, int):
            raise ArgumentError(f"{what} holds ints and None, got {axis!r}.")
    return found
