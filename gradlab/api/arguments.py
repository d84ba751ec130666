"""Which arguments of a call are differentiated, and how to call the function with tracers in their place."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from types import FunctionType
from typing import Any

import jax
import numpy as np

from ..ir.errors import ArgumentError, DTypeError, StructureError
from ..ir.graph import Aval, is_inexact, is_key, short_dtype
from ..trace.avals import aval_of
from ..trace.tracer import HELD, Held, Tracer

tree_unflatten = jax.tree_util.tree_unflatten
tree_structure = jax.tree_util.tree_structure

_flatten = jax.tree_util.tree_flatten


def tree_flatten(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> tuple[list[Any], Any]:
    """`jax.tree_util.tree_flatten`.

    **Raises:** `StructureError` for a container that contains itself.
    """
    try:
        return _flatten(tree, is_leaf)
    except (RecursionError, SystemError) as error:
        if "recursion depth" not in f"{error} {error.__cause__}":
            raise
        raise StructureError(
            f"a tree of numbers and arrays was needed, got a {type(tree).__name__} that contains itself (or is nested "
            "thousands deep). Take out the reference back to it."
        ) from error


def require_function(fun: Callable, of: str, remedy: str = "Write {of}(f)(x), not {of}(f(x)).") -> Callable:
    """`fun`, if it can be called.

    **Raises:** `StructureError`.
    """
    if not callable(fun):
        raise StructureError(f"{of} needs a function, got {fun!r}. {remedy.format(of=of)}")
    return fun


def name_of(fun: Callable) -> str:
    """How errors and emitted code call the function."""
    return getattr(fun, "__name__", None) or type(fun).__name__


def derived_from(fun: Callable, what: str) -> Callable[[Callable], Callable]:
    """`functools.wraps(fun)`, under the name `grad_f`: what is printed of a derivative says which one it is."""

    def named(wrapper: Callable) -> Callable:
        wraps(fun)(wrapper)
        name = name_of(fun)
        wrapper.__name__ = wrapper.__qualname__ = f"{what}_{name}" if name.isidentifier() else what
        return wrapper

    return named


class Selection:
    """The differentiated arguments of `fun`: by position (`argnums`) and by name (`argnames`).

    **Raises:** `ArgumentError` for a position or name the call does not have; at once where the signature tells.
    """

    def __init__(
        self, fun: Callable, argnums: int | Sequence[int] | None, argnames: str | Sequence[str] | None, of: str
    ):
        require_function(fun, of)
        if argnums is None and argnames is None:
            argnums = 0
        self.fun, self.of = fun, of
        self.nums = () if argnums is None else (argnums,) if isinstance(argnums, int | np.integer) else tuple(argnums)
        self.names = () if argnames is None else (argnames,) if isinstance(argnames, str) else tuple(argnames)
        one_num = isinstance(argnums, int | np.integer) and argnames is None
        self.single = one_num or (isinstance(argnames, str) and argnums is None)
        if not all(isinstance(i, int | np.integer) and not isinstance(i, bool) for i in self.nums):
            raise ArgumentError(f"argnums must be an int or a tuple of ints, got {argnums!r}.")
        self.only_first = self.single and self.nums == (0,)

    def positions(self, args: tuple, kwargs: dict) -> list[int | str]:
        """Where the selected arguments are in this call: an index into args or a key of kwargs."""
        found: list[int | str] = []
        for i in self.nums:
            if not -len(args) <= i < len(args):
                raise ArgumentError(
                    f"{self.of} was asked for argument {i} of {name_of(self.fun)}, but the call has {len(args)} "
                    f"positional argument{'s' * (len(args) != 1)}. Pass it by position, or name it with argnames=."
                )
            found.append(int(i) % len(args))
        for name in self.names:
            found.append(name if name in kwargs else self._by_name(name, args))
        if len(set(found)) != len(found):
            raise ArgumentError(f"{self.of} was asked for the same argument twice: {self.nums + self.names}.")
        return found

    def _by_name(self, name: str, args: tuple) -> int:
        known = parameters(self.fun)
        if name in known and known.index(name) < len(args):
            return known.index(name)
        raise ArgumentError(
            f"{self.of} was asked for argument {name!r} of {name_of(self.fun)}, which this call does not pass"
            + (f"; its parameters are {', '.join(known)}." if known else ".")
        )


class Call:
    """One call with its differentiated leaves singled out: `leaves`; called, it is `fun` on others."""

    __slots__ = ("args", "counts", "fun", "kwargs", "leaves", "places", "trees")

    def __init__(self, selection: Selection, args: tuple, kwargs: dict):
        self.fun, self.args, self.kwargs = selection.fun, args, kwargs
        self.places = (0,) if selection.only_first and args else selection.positions(args, kwargs)
        self.leaves: list[Any] = []
        self.trees = []
        for place in self.places:
            leaves, tree = tree_flatten(args[place] if isinstance(place, int) else kwargs[place])
            self.leaves += leaves
            self.trees.append(tree)
        if HELD:
            self.leaves = [leaf.read() if isinstance(leaf, Held) else leaf for leaf in self.leaves]

    def __call__(self, leaves: Sequence[Any]) -> Any:
        """The function's result with other leaves in the place of the differentiated ones."""
        return self._result(leaves, self.args, self.kwargs)

    def lifted(self) -> tuple[list[Any], Callable[[Sequence[Any]], Any]]:
        """The tracers among all arguments; the result of other leaves in the place of the differentiated, and those."""
        n = len(self.leaves)
        every, tree = tree_flatten((self.args, self.kwargs))
        tracers, replaced = with_tracers(every)
        return tracers, lambda new: self._result(new[:n], *tree_unflatten(tree, replaced(new[n:])))

    def _result(self, leaves: Sequence[Any], args: Sequence[Any], kwargs: dict) -> Any:
        args = list(args)
        for place, value in zip(self.places, self.trees_of(leaves), strict=True):
            if isinstance(place, int):
                args[place] = value
            else:
                kwargs = {**kwargs, place: value}
        return self.fun(*args, **kwargs)

    def trees_of(self, leaves: Sequence[Any]) -> list[Any]:
        """One pytree per differentiated argument, from its leaves."""
        values, start = [], 0
        for tree in self.trees:
            values.append(tree_unflatten(tree, leaves[start : start + tree.num_leaves]))
            start += tree.num_leaves
        return values

    def rows_of(self, values: Sequence[Any], n: int) -> list[list[Any]]:
        """`n` rows of one value per leaf, each row as `trees_of`."""
        width = len(self.leaves)
        return [self.trees_of(values[k * width : (k + 1) * width]) for k in range(n)]

    def leaf_name(self, k: int) -> str:
        """How the user would write leaf k: `params['w']`."""
        for place, tree in zip(self.places, self.trees, strict=True):
            if k < tree.num_leaves:
                return parameter_name(self.fun, place) + leaf_paths(tree)[k]
            k -= tree.num_leaves
        return "?"

    def input_names(self) -> list[str]:
        """Names for the graph's inputs: the parameter's, with the path inside it."""
        return [identifier(self.leaf_name(k)) for k in range(len(self.leaves))]


class OnLeaves:
    """`fun` of the chosen leaves of its arguments, the others as they are; `tree` is that of `(args, kwargs)`."""

    __slots__ = ("chosen", "fun", "leaves", "tree")

    def __init__(self, fun: Callable, leaves: Sequence[Any], tree: Any, chosen: Sequence[int]):
        self.fun, self.leaves, self.tree, self.chosen = fun, leaves, tree, chosen

    def __call__(self, values: Sequence[Any]) -> Any:
        return self._result(values, self.leaves)

    def lifted(self) -> tuple[list[Any], Callable[[Sequence[Any]], Any]]:
        """As `Call.lifted`."""
        n = len(self.chosen)
        tracers, replaced = with_tracers(self.leaves)
        return tracers, lambda new: self._result(new[:n], replaced(new[n:]))

    def _result(self, values: Sequence[Any], leaves: Sequence[Any]) -> Any:
        new = list(leaves)
        for k, value in zip(self.chosen, values, strict=True):
            new[k] = value
        args, kwargs = tree_unflatten(self.tree, new)
        return self.fun(*args, **kwargs)


def with_tracers(leaves: Sequence[Any]) -> tuple[list[Any], Callable[[Sequence[Any]], list[Any]]]:
    """The tracers among leaves, and a function that puts other values in their place."""
    places = [k for k, leaf in enumerate(leaves) if type(leaf) is Tracer]

    def replaced(values: Sequence[Any]) -> list[Any]:
        new = list(leaves)
        for k, value in zip(places, values, strict=True):
            new[k] = value
        return new

    return [leaves[k] for k in places], replaced


def leaf_paths(tree: Any) -> list[str]:
    """How each leaf of a structure is reached: `['w'][0]`."""
    if jax.tree_util.treedef_is_leaf(tree) and tree.num_leaves:
        return [""]
    numbered = tree_unflatten(tree, range(tree.num_leaves))
    return [path_text(numbered, path) for path, _ in jax.tree_util.tree_flatten_with_path(numbered)[0]]


def path_text(held: Any, path: Sequence[Any]) -> str:
    """How what lies at the end of a path in `held` is reached: by attributes where a class was registered without."""
    text = ""
    for key in path:
        children = jax.tree_util.default_registry.flatten_one_level(held)
        if not children or not children[0] or not isinstance(key, jax.tree_util.FlattenedIndexKey):
            text += jax.tree_util.keystr((key,))
            held = _below(held, key)
            continue
        child = list(children[0])[key.key]
        attributes = vars(held).items() if hasattr(held, "__dict__") else ()
        text += next((f".{name}" for name, value in attributes if value is child), f"[{key.key}]")
        held = child
    return text


def _below(held: Any, key: Any) -> Any:
    """What a key of a path leads to."""
    if isinstance(key, jax.tree_util.GetAttrKey):
        # A property runs code of its class, which may warn: too much for a name.
        runs = isinstance(getattr(type(held), key.name, None), property)
        return None if runs else getattr(held, key.name, None)
    if isinstance(key, jax.tree_util.DictKey):
        return held[key.key]
    return held[key.idx] if isinstance(key, jax.tree_util.SequenceKey) else None


def parameter_name(fun: Callable, place: int | str) -> str:
    """The name of the parameter of `fun` an argument goes to."""
    if isinstance(place, str):
        return place
    names = parameters(fun)
    return names[place] if place < len(names) else f"argument {place}"


def parameters(fun: Callable) -> tuple[str, ...]:
    """The names of the parameters of `fun`; none where it has no signature to read."""
    if isinstance(fun, FunctionType) and not hasattr(fun, "__wrapped__"):
        return fun.__code__.co_varnames[: fun.__code__.co_argcount]
    try:
        return tuple(inspect.signature(fun).parameters)
    except (TypeError, ValueError):
        return ()


def identifier(text: str) -> str:
    """`params['w'][0]` as `params_w_0`."""
    return "_".join("".join(c if c.isalnum() else " " for c in text).split())


def call_names(fun: Callable, args: tuple, kwargs: dict) -> list[str]:
    """Identifiers for the leaves of a call's arguments, in the order of `tree_flatten((args, kwargs))`."""
    names = []
    for place, value in (*enumerate(args), *sorted(kwargs.items())):
        head = parameter_name(fun, place)
        names += [identifier(head + path) for path in leaf_paths(tree_structure(value))]
    return names


def avals_to_differentiate(call: Call, of: str, holomorphic: bool = False, allow_int: bool = False) -> list[Aval]:
    """The avals of the differentiated leaves.

    **Raises:** `DTypeError` for one that has no derivative; `StructureError` for a leaf that is no array.
    """
    avals = []
    for k, leaf in enumerate(call.leaves):
        try:
            aval = aval_of(leaf)
        except StructureError:
            raise StructureError(
                f"{of} differentiates numbers and arrays, but {call.leaf_name(k)} is {leaf!r} of type "
                f"{type(leaf).__name__}. Register its class as a pytree, or leave it out of argnums."
            ) from None
        except DTypeError as error:
            raise DTypeError(f"{of} cannot differentiate {call.leaf_name(k)}: {error.message}") from None
        avals.append(aval)
        if holomorphic:
            if aval.dtype.kind != "c":
                raise DTypeError(
                    f"{of} with holomorphic=True needs complex arguments, but {call.leaf_name(k)} is {aval}. "
                    "Convert it with .astype(complex), or drop holomorphic=True."
                )
        elif not is_inexact(aval.dtype) and not allow_int:
            instead = "Leave it" if is_key(aval.dtype) else f"Write {_as_float(leaf)}, leave it"
            raise DTypeError(
                f"{of} needs real or complex arguments, but {call.leaf_name(k)} is {short_dtype(aval.dtype)} ({aval}). "
                f"{instead} out of argnums, or pass allow_int=True where that is offered."
            )
    return avals


def _as_float(leaf: Any) -> str:
    return f"{leaf}.0" if type(leaf) is int else "x.astype(float)"
