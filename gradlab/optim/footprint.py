"""Whether a function can be known to be what it was: all that it can reach, if none of that can have changed.

Reading a function costs more than running a small solver. A function that reaches only code, numbers, strings, arrays
and the modules of known libraries is read once; one that reaches a list, a dict or an object is read at every call.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable
from dataclasses import fields, is_dataclass
from functools import lru_cache, partial
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..trace.tracer import Tracer

_ATOMS = frozenset({int, float, complex, bool, str, bytes, type(None), type(Ellipsis)})
_LIBRARIES = frozenset(sys.stdlib_module_names) | {"gradlab", "jax", "jaxlib", "numpy", "scipy", "optax", "equinox"}
_JITTED = type(jax.jit(abs))
_MOST = 200  # objects looked at before giving up
_ABSENT = object()


@lru_cache(1)
def array_type() -> type:
    """The class of JAX's arrays. Made when first asked for: importing gradlab must not start JAX's devices."""
    with jax.ensure_compile_time_eval():
        return type(jnp.zeros(()))


class Footprint:
    """What a function reaches.

    **Attributes:** `key`: equal exactly if it reaches the same things, while those in `held` are alive; None if
    something may change unseen; `arrays`: NumPy arrays among them, whose entries may change; `found`: [(a function,
    its code, its defaults)], [(a dict, [(name, what it held)])], [(a cell, what it held)]; None if there is more to
    look at than that.
    """

    __slots__ = ("arrays", "found", "held", "key")

    def __init__(self, fun: Callable):
        self.held: list[Any] = []
        self.arrays: list[np.ndarray] = []
        self.found: tuple[list, list, list] | None = ([], [], [])
        names: list[Hashable] = []
        known = self._walk(fun, names, set())
        self.key: tuple | None = tuple(names) if known else None

    def unchanged(self) -> bool:
        """Whether the same function reaches what it reached; no where only another walk can tell."""
        if self.found is None:
            return False
        functions, spaces, cells = self.found
        for f, code, defaults in functions:
            if f.__code__ is not code or f.__defaults__ is not defaults or f.__kwdefaults__ is not None:
                return False
        for space, names in spaces:
            for name, value in names:
                if space.get(name, _ABSENT) is not value:
                    return False
        try:
            return all(cell.cell_contents is value for cell, value in cells)
        except ValueError:  # emptied
            return False

    def _walk(self, x: Any, found: list[Hashable], seen: set[int]) -> bool:
        kind = type(x)
        if kind in _ATOMS:
            found.append((kind, x))
            return True
        name = id(x)
        found.append(name)
        if name in seen:
            return True
        if len(seen) > _MOST:
            return False
        seen.add(name)
        self.held.append(x)
        if kind is FunctionType:
            return _of_library(x.__module__) or self._walk_function(x, found, seen)
        if kind is ModuleType:
            return _of_library(x.__name__)
        if kind is np.ndarray:
            if x.flags.writeable:
                self.arrays.append(x)
            return x.dtype != object
        if (
            kind is array_type()
            or kind is BuiltinFunctionType
            or kind is np.ufunc
            or isinstance(x, np.generic | np.dtype)
        ):
            return True
        if kind is tuple or kind is frozenset:
            return all(self._walk(part, found, seen) for part in x)
        if kind is MethodType:
            return self._walk(x.__func__, found, seen) and self._walk(x.__self__, found, seen)
        if kind is _JITTED:
            return self._walk(getattr(x, "__wrapped__", None), found, seen)
        if isinstance(x, type):
            return _of_library(x.__module__)
        if kind is partial:
            self.found = None
            return all(self._walk(part, found, seen) for part in (x.func, x.args, tuple(x.keywords.items())))
        if is_dataclass(x) and x.__dataclass_params__.frozen:  # type: ignore[attr-defined]
            of_kind = vars(kind)
            methods = [m for m in of_kind.values() if type(m) is FunctionType and not m.__name__.startswith("__")]
            methods += [of_kind["__call__"]] if "__call__" in of_kind else []
            values = [(f.name, getattr(x, f.name, None)) for f in fields(x)]
            if self.found is not None and hasattr(x, "__dict__"):
                self.found[1].append((of_kind, [(m.__name__, m) for m in methods]))
                self.found[1].append((vars(x), values))
            else:
                self.found = None
            parts = [*methods, *(value for _, value in values)]
            return kind.__bases__ == (object,) and all(self._walk(part, found, seen) for part in parts)
        return _of_library(kind.__module__) and callable(x) and not isinstance(x, jax.Array | Tracer)

    def _walk_function(self, f: FunctionType, found: list[Hashable], seen: set[int]) -> bool:
        space = f.__globals__
        names = [(name, space.get(name, _ABSENT)) for name in _global_names(f.__code__)]
        try:
            cells = [(cell, cell.cell_contents) for cell in f.__closure__ or ()]
        except ValueError:  # a cell not filled yet
            return False
        if self.found is not None:
            functions, spaces, every = self.found
            functions.append((f, f.__code__, f.__defaults__))
            spaces.append((space, names))
            every.extend(cells)
        parts: list[Any] = [value for _, value in (*names, *cells) if value is not _ABSENT]
        parts += f.__defaults__ or ()
        parts += (f.__kwdefaults__ or {}).values()
        found.append(id(f.__code__))
        return all(self._walk(part, found, seen) for part in parts)


def _of_library(module: Any) -> bool:
    return isinstance(module, str) and module.partition(".")[0] in _LIBRARIES


@lru_cache(4096)
def _global_names(code: CodeType) -> tuple[str, ...]:
    """Names the code may look up among the globals, the functions written inside it included."""
    names = set(code.co_names)
    for const in code.co_consts:
        if isinstance(const, CodeType):
            names.update(_global_names(const))
    return tuple(sorted(names))
