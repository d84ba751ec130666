"""What a piece of JAX code means, as a hashable key: two readings of one function are to be recognised as the same.

JAX makes its programs anew each time it traces, with new objects in them. Programs are compared equation by equation;
functions (derivative rules) by their code and what they close over; what cannot be looked into, by identity, which at
worst compiles once more.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from types import FunctionType, MethodType
from typing import Any

import jax
import numpy as np
from jax.extend.core import Literal

_PLAIN = (str, bytes, int, bool, complex, type(None), type(Ellipsis), type, np.dtype)
# What JAX's rules close over that says nothing of them: where they were traced, and where a structure is noted. Should
# another version call these otherwise, a rule is told apart by identity.
_SCRATCH = ("DynamicJaxprTrace", "Store", "EqualStore")
_DEEP = 40  # so far is looked into nested objects


def program_key(jaxpr: Any, kept: list[Any]) -> tuple:
    """A program (a Jaxpr, or a ClosedJaxpr with its constants) without the names of its variables."""
    return _program(getattr(jaxpr, "jaxpr", jaxpr), getattr(jaxpr, "consts", ()), kept, {}, 0)


def params_key(params: dict[str, Any], kept: list[Any]) -> tuple:
    """The parameters of an equation. `kept` collects the objects told apart by identity, which must stay alive."""
    return _mapping(params, kept, {}, 0)


def _mapping(items: dict, kept: list[Any], met: dict[int, int], depth: int) -> tuple:
    return tuple([(str(name), _key(items[name], kept, met, depth)) for name in sorted(items, key=str)])


def _program(jaxpr: Any, consts: Any, kept: list[Any], met: dict[int, int], depth: int) -> tuple:
    takes = (*jaxpr.constvars, *jaxpr.invars)
    number = {v: i for i, v in enumerate(takes)}

    def code(atom: Any) -> Any:
        if isinstance(atom, Literal):
            return (str(atom.aval), np.asarray(atom.val).tobytes())
        return number.setdefault(atom, len(number))

    rows = []
    for eqn in jaxpr.eqns:
        reads = tuple(map(code, eqn.invars))
        writes = tuple([(code(v), str(v.aval)) for v in eqn.outvars])
        rows.append((eqn.primitive, reads, writes, _mapping(eqn.params, kept, met, depth)))
    return (
        tuple([(str(v.aval), getattr(v.aval, "weak_type", None)) for v in takes]),
        tuple(rows),
        tuple(map(code, jaxpr.outvars)),
        tuple([_key(c, kept, met, depth) for c in consts]),
    )


def _key(x: Any, kept: list[Any], met: dict[int, int], depth: int) -> Any:
    if isinstance(x, _PLAIN):
        return (type(x), x)
    if isinstance(x, float):
        return ("float", repr(x))
    if type(x) is object:
        return ("object",)
    if type(x).__name__ in _SCRATCH and type(x).__module__.startswith("jax."):
        return ("scratch",)
    if id(x) in met:
        return ("again", met[id(x)])
    if depth > _DEEP or isinstance(x, jax.Array | np.ndarray):
        return _itself(x, kept)
    if isinstance(x, tuple | list):
        return (type(x), tuple([_key(y, kept, met, depth + 1) for y in x]))
    met = {**met, id(x): len(met)}
    if isinstance(x, dict):
        return ("dict", _mapping(x, kept, met, depth + 1))
    if hasattr(x, "eqns") and hasattr(x, "outvars"):
        inner = x.jaxpr if hasattr(x, "jaxpr") else x
        return ("program", _program(inner, getattr(x, "consts", ()), kept, met, depth + 1))
    parts = _parts(x)
    if parts is not None:
        return (type(x).__name__, tuple([_key(y, kept, met, depth + 1) for y in parts]))
    try:
        hash(x)
    except TypeError:
        return _itself(x, kept)
    return (type(x), x)


def _itself(x: Any, kept: list[Any]) -> tuple:
    kept.append(x)
    return ("id", id(x))


def _parts(x: Any) -> Iterator[Any] | tuple | None:
    """What a function is made of; None for anything else."""
    if isinstance(x, FunctionType):
        cells = []
        for cell in x.__closure__ or ():
            try:
                cells.append(cell.cell_contents)
            except ValueError:  # a cell not yet filled
                cells.append(None)
        return (x.__code__, x.__defaults__, x.__kwdefaults__, *cells)
    if isinstance(x, MethodType):
        return (x.__func__, x.__self__)
    if isinstance(x, partial):
        return (x.func, x.args, x.keywords)
    if type(x).__name__ == "ClosedRule" and type(x).__module__.startswith("jax."):  # JAX's wrapper of a batching rule
        return (x.__wrapped__,)
    if callable(getattr(x, "call_wrapped", None)):  # JAX's own wrapper of a function and what is done to it
        return (x.f, x.transforms, x.params, x.in_type)
    return None
