"""Functions to be recognised when they come again, though many are made anew for every call.

`lambda p: loss(p, batch)` is another function in every step of a training loop, and the same one to whoever reads it:
its code is the same, and so are the functions it was made with. Numbers and arrays it was made with do not count.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import jax

from ..ir.where import PACKAGE

LIBRARIES = str(Path(jax.__file__).resolve().parent.parent)
DEEPEST = 3  # functions within functions that are told apart
MOST = 64  # functions of one code


class Remembered:
    """A set of functions, each for as long as it (or, made anew, its code) lives."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[weakref.ref, set[Any] | None]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, fun: Callable) -> bool:
        if not self._known:
            return False
        found = self._known.get(id(_anchor(fun)))
        return found is not None and (found[1] is None or _made_of(fun, DEEPEST) in found[1])

    def add(self, fun: Callable) -> None:
        anchor = _anchor(fun)
        name = id(anchor)
        found = self._known.get(name)
        if found is None:
            try:
                ref = weakref.ref(anchor, lambda _: self._known.pop(name, None))
            except TypeError:  # it cannot be referred to weakly: it is found out again each time
                return
            found = self._known[name] = (ref, set() if isinstance(anchor, CodeType) else None)
        if found[1] is not None:
            if len(found[1]) >= MOST:
                found[1].clear()
            found[1].add(_made_of(fun, DEEPEST))


def _anchor(fun: Any) -> Any:
    """What lives as long as the function is to be remembered."""
    while type(fun) is partial:
        fun = fun.func
    code = getattr(fun, "__code__", None)
    # The code of another library's wrapper is everybody's.
    return fun if code is None or code.co_filename.startswith((LIBRARIES, PACKAGE)) else code


def _made_of(value: Any, depth: int) -> Any:
    """Equal and hashable for functions of one code made with the same functions; of other things, the type."""
    if isinstance(value, partial):
        given = (*value.args, *value.keywords.values())
        return (_made_of(value.func, depth), *[_made_of(v, depth - 1) for v in given]) if depth else partial
    if isinstance(value, MethodType):
        return (_made_of(value.__func__, depth), type(value.__self__))
    if isinstance(value, FunctionType):
        # By its number: a code object in here would keep itself alive, and is slow to hash.
        if not depth:
            return id(value.__code__)
        inside = [_contents(cell) for cell in value.__closure__ or ()]
        inside += value.__defaults__ or ()
        inside += (value.__kwdefaults__ or {}).values()
        return (id(value.__code__), *[_made_of(v, depth - 1) for v in inside])
    if isinstance(value, ModuleType | type) or (callable(value) and type(value).__hash__ is object.__hash__):
        try:
            return weakref.ref(value)
        except TypeError:
            pass
    return type(value)


def _contents(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return None
