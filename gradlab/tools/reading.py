"""A function read at its arguments, to be looked at: the program, the numbers that go in, what the user calls them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Number
from typing import Any, NamedTuple

import jax
import numpy as np

from ..api.arguments import Call, Selection, avals_to_differentiate, name_of, tree_flatten
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
    arguments; `names`: of those; `places`: the arguments with such leaves only; `again(inputs)`: the program read once
    more, of other inputs; `asked`: what took values out as plain numbers, and where.
    """

    graph: Graph
    inputs: list[Any]
    active: list[bool]
    names: list[str]
    places: tuple[int, ...]
    again: Callable[[Sequence[Any]], Graph]
    asked: Sequence[tuple[str, Where | None]]


def read(fun: Callable, args: tuple, kwargs: dict, of: str) -> ReadProgram:
    """`fun` read at its arguments: those made of numbers and arrays become inputs, the others are static.

    **Raises:** `StructureError` if none of them is real or complex.
    """
    numeric = [k for k, arg in enumerate(args) if _is_numeric(arg)]
    call = Call(Selection(fun, tuple(numeric), None, of), args, kwargs)
    avals = avals_to_differentiate(call, of, allow_int=True)
    graph, inputs, asked = _read(fun, call, call.leaves, avals)
    active = [is_inexact(aval.dtype) for aval in avals] + [False] * (len(inputs) - len(avals))
    if not any(active):
        raise StructureError(f"{of} found no real or complex number among the arguments of {name_of(fun)}.")

    def again(others: Sequence[Any]) -> Graph:
        leaves = list(others[: len(avals)])
        return _read(fun, call, leaves, [aval_of(x) for x in leaves])[0]

    names = [call.leaf_name(k) for k in range(len(avals)) if active[k]]
    moving, start = [], 0
    for place, tree in zip(call.places, call.trees, strict=True):
        if all(active[start : start + tree.num_leaves]):
            moving.append(place)
        start += tree.num_leaves
    return ReadProgram(graph, inputs, active, names, tuple(moving), again, asked)


def _is_numeric(arg: Any) -> bool:
    leaves = tree_flatten(arg)[0]
    return bool(leaves) and all(isinstance(x, Number | np.ndarray | np.generic | jax.Array) for x in leaves)


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
