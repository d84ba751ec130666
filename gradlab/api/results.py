"""What a function returned: recorded leaf by leaf, checked, and put back into the user's structure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..ir.errors import StructureError
from ..ir.graph import Aval, is_inexact
from ..trace.avals import aval_of
from .arguments import name_of, tree_flatten, tree_unflatten
from .calling import Reading


class Results:
    """The results of a reading, and with `has_aux` the auxiliary ones, recorded as the trace's outputs in this order.

    **Attributes:** `tree`, `avals`: structure and types of the results proper; `n`, `n_aux`: how many outputs they and
    the auxiliary ones are.
    **Raises:** `StructureError` if the function returned no pair despite `has_aux`, or a leaf that is no array.
    """

    def __init__(self, reading: Reading, fun: Callable, has_aux: bool = False, of: str = ""):
        value, aux = split_aux(reading.result, has_aux, fun, of)
        leaves, self.tree = tree_flatten(value)
        self.avals = [aval_of_result(leaf, fun) for leaf in leaves]
        for leaf in leaves:
            reading.take(leaf)
        self._put_aux = reading.put_aux
        if has_aux:
            aux_leaves, self._aux_tree = tree_flatten(aux)
            reading.take_aux(aux_leaves)
        self.n = len(leaves)
        self.n_aux = len(reading.outs) - self.n

    def value(self, leaves: Sequence[Any]) -> Any:
        """The results proper, from one leaf for each of `avals`."""
        return tree_unflatten(self.tree, leaves)

    def aux(self, leaves: Sequence[Any]) -> Any:
        """The auxiliary results, from those of their leaves that are outputs."""
        return tree_unflatten(self._aux_tree, self._put_aux(leaves))


def split_aux(result: Any, has_aux: bool, fun: Callable, of: str) -> tuple[Any, Any]:
    """`(value, aux)` as `has_aux` promises.

    **Raises:** `StructureError` if the result is no pair.
    """
    if not has_aux:
        return result, None
    if not isinstance(result, tuple) or len(result) != 2:
        raise StructureError(
            f"{of}(..., has_aux=True) needs {name_of(fun)} to return a pair (value, aux), got {described(result)}."
        )
    return result


def aval_of_result(leaf: Any, fun: Callable) -> Aval:
    """The aval of one leaf of what `fun` returned.

    **Raises:** `StructureError` if it is no array.
    """
    try:
        return aval_of(leaf)
    except StructureError:
        raise StructureError(
            f"{name_of(fun)} must return numbers or arrays, got {leaf!r} of type {type(leaf).__name__}. "
            "Return it with has_aux=True, or leave it out."
        ) from None


def described(value: Any) -> str:
    """A returned value in an error's words: its type, and what it is."""
    return f"{value!r}" if value is None else f"a {type(value).__name__}: {value!r}"


def float0(aval: Aval) -> np.ndarray:
    """JAX's tangent of an integer: an array of its shape that holds nothing."""
    return np.zeros(aval.shape, jax.dtypes.float0)


def filled(values: Sequence[Any], alive: Sequence[bool], avals: Sequence[Aval]) -> list[Any]:
    """One tangent a leaf: zeros where it is structurally zero, float0 where the leaf is an integer."""
    got = iter(values)
    return [
        next(got) if on else jnp.zeros(aval.shape, aval.dtype) if is_inexact(aval.dtype) else float0(aval)
        for on, aval in zip(alive, avals, strict=True)
    ]
