"""A function read at its arguments, to be looked at: the program, the numbers that go in, what the user calls them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from numbers import Number
from types import FunctionType
from typing import Any, NamedTuple

import jax
import numpy as np

from ..api.arguments import (
    Call,
    Selection,
    avals_to_differentiate,
    name_of,
    parameters,
    tree_flatten,
    tree_unflatten,
)
from ..api.calling import Reading
from ..api.naming import Notes, named
from ..api.results import Results
from ..ir.errors import StructureError
from ..ir.graph import Aval, Graph, is_inexact
from ..trace.avals import aval_of, is_key_dtype


class ReadProgram(NamedTuple):
    """(leaves of the numeric arguments*, captured*) -> (results*), and the point.

    **Attributes:** `inputs`: NumPy arrays (random keys as they are); `active`: which inputs are real or complex
    arguments; `names`: of those; `places`: the arguments with such leaves only, by position or name; `again(inputs)`:
    the program read once more, of other inputs; `notes`: what was noted on reading.
    """

    graph: Graph
    inputs: list[Any]
    active: list[bool]
    names: list[str]
    places: tuple[int | str, ...]
    again: Callable[[Sequence[Any]], Graph]
    notes: Notes


def read(fun: Callable, args: tuple, kwargs: dict, of: str) -> ReadProgram:
    """`fun` read at its arguments: numbers and arrays become inputs, whatever else is in them is static.

    **Raises:** `StructureError` if none of them is real or complex.
    """
    fun, args, kwargs = opened(fun, args, kwargs)
    numeric = tuple(k for k, arg in enumerate(args) if _is_numeric(arg))
    named_ones = tuple(name for name, arg in kwargs.items() if _is_numeric(arg))
    call = Call(Selection(fun, numeric, named_ones, of), args, kwargs)
    avals = avals_to_differentiate(call, of, allow_int=True)
    graph, inputs, notes = _read(fun, call, call.leaves, avals)
    active = [is_inexact(aval.dtype) for aval in avals] + [False] * (len(inputs) - len(avals))
    if not any(active):
        raise StructureError(
            f"{of} found no real or complex number among the arguments of {name_of(fun)}: integers have no derivative. "
            "Pass 3.0 for 3, x.astype(float) for x."
        )

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
    return ReadProgram(graph, inputs, active, names, tuple(moving), again, notes)


def opened(fun: Callable, args: tuple, kwargs: dict) -> tuple[Callable, tuple, dict]:
    """The same call with all its arrays in arguments that have nothing else in them.

    A model may hold functions and settings beside its arrays (an Equinox module, any registered pytree): these are put
    back when the function is called. If `fun` is such a model itself, or a method of one, the model comes as a first
    argument `self`.
    """
    owner, method = getattr(fun, "__self__", None), getattr(fun, "__func__", None)
    if owner is not None and method is not None and any(map(_moves, tree_flatten(owner)[0])):
        args, fun = (owner, *args), _of_the_model(fun, method)
    elif not isinstance(fun, FunctionType) and any(map(_moves, tree_flatten(fun)[0])):
        args, fun = (fun, *args), _of_the_model(fun, lambda self, *args, **kwargs: self(*args, **kwargs))
    still = {place: arg for place, arg in (*enumerate(args), *kwargs.items()) if _is_mixed(arg)}
    if not still:
        return fun, args, kwargs
    whole = fun

    @wraps(whole)
    def completed(*args: Any, **kwargs: Any) -> Any:
        args = tuple([_completed(arg, still[k]) if k in still else arg for k, arg in enumerate(args)])
        kwargs = {k: _completed(arg, still[k]) if k in still else arg for k, arg in kwargs.items()}
        return whole(*args, **kwargs)

    args = tuple([_thinned(arg) if k in still else arg for k, arg in enumerate(args)])
    return completed, args, {k: _thinned(arg) if k in still else arg for k, arg in kwargs.items()}


def _of_the_model(fun: Callable, call: Callable) -> Callable:
    """`call` as a function of the model and the arguments of `fun`, under the name of that."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return call(self, *args, **kwargs)

    by_position = inspect.Parameter.POSITIONAL_OR_KEYWORD
    names = ["self", *(name for name in parameters(fun) if name != "self")]
    signature = inspect.Signature([inspect.Parameter(name, by_position) for name in names])
    vars(method).update(__wrapped__=fun, __signature__=signature)
    method.__name__ = name_of(fun)
    return method


_NUMERIC = Number | np.ndarray | np.generic | jax.Array


def _is_numeric(arg: Any) -> bool:
    leaves = tree_flatten(arg)[0]
    return bool(leaves) and all(isinstance(x, _NUMERIC) for x in leaves)


def _moves(leaf: Any) -> bool:
    return isinstance(leaf, np.ndarray | np.generic | jax.Array | float | complex)


def _is_mixed(arg: Any) -> bool:
    leaves = tree_flatten(arg)[0]
    return not all(isinstance(x, _NUMERIC) for x in leaves) and any(map(_moves, leaves))


def _thinned(arg: Any) -> Any:
    """The argument with None for everything that is no array."""
    leaves, tree = tree_flatten(arg)
    return tree_unflatten(tree, [x if _moves(x) else None for x in leaves])


def _completed(arg: Any, like: Any) -> Any:
    """The argument with what it lacks of another."""
    leaves, tree = tree_flatten(like)
    own = iter(tree_flatten(arg)[0])
    return tree_unflatten(tree, [next(own) if _moves(x) else x for x in leaves])


def _read(fun: Callable, call: Call, leaves: list[Any], avals: Sequence[Aval]) -> tuple[Graph, list[Any], Notes]:
    with named() as notes:
        reading = Reading(call, leaves, avals, names=call.input_names, fun=fun)
        Results(reading, fun)
        graph, inputs = reading.end()
    inputs = [
        x if is_key_dtype(getattr(x, "dtype", None)) else np.asarray(x, v.dtype)
        for x, v in zip(inputs, graph.inputs, strict=True)
    ]
    return graph, inputs, notes
