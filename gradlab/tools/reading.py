"""A function read at its arguments, to be looked at: the program, the numbers that go in, what the user calls them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Number
from typing import Any, NamedTuple

import jax
import numpy as np

from ..api.arguments import (
    Call,
    Selection,
    avals_to_differentiate,
    leaf_paths,
    name_of,
    parameter_name,
    tree_flatten,
)
from ..api.calling import Reading
from ..api.naming import named
from ..api.results import Results
from ..ir.errors import StructureError
from ..ir.graph import Aval, Graph, is_inexact
from ..ir.where import Where
from ..trace.avals import aval_of, is_key_dtype


class ReadProgram(NamedTuple):
    """(leaves of the numeric arguments*, captured*) -> (results*), and the point.

    **Attributes:** `inputs`: NumPy arrays (random keys as they are); `active`: which inputs are real or complex
    arguments; `names`: of those; `places`: the arguments with such leaves only, by position or name; `again(inputs)`:
    the program read once more, of other inputs; `asked`: what took values out as plain numbers, and where; `held`:
    what to say of arguments that have arrays in them, but other things too, so that they are constants here.
    """

    graph: Graph
    inputs: list[Any]
    active: list[bool]
    names: list[str]
    places: tuple[int | str, ...]
    again: Callable[[Sequence[Any]], Graph]
    asked: Sequence[tuple[str, Where | None]]
    held: Sequence[str]


def read(fun: Callable, args: tuple, kwargs: dict, of: str) -> ReadProgram:
    """`fun` read at its arguments: those made of numbers and arrays become inputs, the others are static.

    **Raises:** `StructureError` if none of them is real or complex.
    """
    numeric = tuple(k for k, arg in enumerate(args) if _is_numeric(arg))
    named_ones = tuple(name for name, arg in kwargs.items() if _is_numeric(arg))
    call = Call(Selection(fun, numeric, named_ones, of), args, kwargs)
    avals = avals_to_differentiate(call, of, allow_int=True)
    graph, inputs, asked = _read(fun, call, call.leaves, avals)
    active = [is_inexact(aval.dtype) for aval in avals] + [False] * (len(inputs) - len(avals))
    if not any(active):
        raise StructureError(f"{of} found no real or complex number among the arguments of {name_of(fun)}.")

    def again(others: Sequence[Any]) -> Graph:
        leaves = list(others[: len(avals)])
        return _read(fun, call, leaves, [aval_of(x) for x in leaves])[0]

    names = [call.leaf_name(k) for k in range(len(avals)) if active[k]]
    moving: list[int | str] = []
    start = 0
    for place, tree in zip(call.places, call.trees, strict=True):
        if all(active[start : start + tree.num_leaves]):
            moving.append(place)
        start += tree.num_leaves
    return ReadProgram(graph, inputs, active, names, tuple(moving), again, asked, _held(fun, args, kwargs))


def _held(fun: Callable, args: tuple, kwargs: dict) -> list[str]:
    found = []
    for place, arg in (*enumerate(args), *kwargs.items()):
        leaves, tree = tree_flatten(arg)
        other = [k for k, x in enumerate(leaves) if not isinstance(x, _NUMERIC)]
        if other and any(isinstance(x, np.ndarray | jax.Array) for x in leaves):
            name = parameter_name(fun, place)
            what = f"{name}{leaf_paths(tree)[other[0]]} is of type {type(leaves[other[0]]).__name__}"
            found.append(f"{name} is held constant: {what}; pass its arrays as an argument of their own")
    return found


_NUMERIC = Number | np.ndarray | np.generic | jax.Array


def _is_numeric(arg: Any) -> bool:
    leaves = tree_flatten(arg)[0]
    return bool(leaves) and all(isinstance(x, _NUMERIC) for x in leaves)


def _read(fun: Callable, call: Call, leaves: list[Any], avals: Sequence[Aval]) -> tuple[Graph, list[Any], Any]:
    with named() as notes:
        reading = Reading(call, leaves, avals, names=call.input_names, fun=fun)
        Results(reading, fun)
        graph, inputs = reading.end()
    inputs = [
        x if is_key_dtype(getattr(x, "dtype", None)) else np.asarray(x, v.dtype)
        for x, v in zip(inputs, graph.inputs, strict=True)
    ]
    return graph, inputs, notes.asked
