"""`Variable`: an array that can be assigned to, which tapes watch by themselves."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..api.arguments import tree_flatten, tree_unflatten
from ..ir.errors import DTypeError, ShapeError
from ..trace.avals import aval_of
from ..trace.builder import AMBIENT
from ..trace.tracer import HELD, Held, Tracer
from .recorder import Recorder


class Variable(Held):
    """An array with a place: `v.assign(x)` puts another of the same shape and dtype there.

    In expressions and as an argument of gradlab.numpy it is the array it holds now; inside a `GradientTape` it is also
    what a derivative may be asked for.
    **Arguments:** `value`: a number or array. `dtype`: that of `value` unless given. `name`: for printing. `trainable`:
    whether tapes watch it without being told to.
    """

    __slots__ = ("__weakref__", "array", "name", "trainable", "version")
    __array_priority__ = 2000.0

    def __init__(self, value: Any, dtype: Any = None, name: str | None = None, trainable: bool = True):
        if type(value) is Tracer or isinstance(value, Variable):
            value = value.numpy()
        dtype = aval_of(value).dtype if dtype is None and not isinstance(value, list | tuple) else dtype
        self.array = jnp.array(value, dtype or np.asarray(value).dtype)
        self.aval = aval_of(self.array)
        self.name, self.trainable = name, trainable
        self.version = 0
        if Variable not in HELD:
            HELD.append(Variable)

    def read(self) -> Any:
        """The value as the innermost open tape sees it; the array where there is none."""
        for builder in reversed(AMBIENT.stack):
            if isinstance(builder, Recorder):
                return builder.read(self)
        return self.array

    def value(self) -> Any:
        """As `read`: what TensorFlow calls it."""
        return self.read()

    def numpy(self) -> np.ndarray:
        """The value as a NumPy array, with no derivative."""
        return np.asarray(self.array)

    def assign(self, value: Any) -> Variable:
        """The variable, holding `value` from now on.

        **Raises:** `ShapeError`, `DTypeError` where it does not fit.
        """
        if type(value) is Tracer or isinstance(value, Variable):
            value = value.numpy()
        got = aval_of(value) if not isinstance(value, list | tuple) else aval_of(jnp.asarray(value))
        if got.shape != self.aval.shape:
            raise ShapeError(f"{self._called()} has shape {self.aval.shape} and was assigned {got}. Reshape it.")
        if not got.weak and got.dtype != self.aval.dtype:
            raise DTypeError(
                f"{self._called()} has dtype {self.aval.dtype} and was assigned {got}. Write .astype(...)."
            )
        self.array = jnp.array(value, self.aval.dtype)
        self.version += 1
        return self

    def assign_add(self, delta: Any) -> Variable:
        """The variable, larger by `delta`."""
        return self.assign(self.array + _plain(delta))

    def assign_sub(self, delta: Any) -> Variable:
        """The variable, smaller by `delta`."""
        return self.assign(self.array - _plain(delta))

    def _called(self) -> str:
        return f"Variable {self.name!r}" if self.name else "the Variable"

    def __repr__(self) -> str:
        name = f"{self.name!r}, " if self.name else ""
        text = np.array2string(np.asarray(self.array), separator=", ")
        return f"Variable({name}{text}, shape={self.aval.shape}, dtype={self.aval.dtype})"

    @property
    def size(self) -> int:
        return self.aval.size

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # protocols are asked for by name; a variable has those it defines
            raise AttributeError(name)
        return getattr(self.read(), name)

    def __getitem__(self, index: Any) -> Any:
        return self.read()[index]

    def __len__(self) -> int:
        return len(self.array)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.read())

    def __bool__(self) -> bool:
        return bool(self.array)

    def __float__(self) -> float:
        return float(self.array)

    def __int__(self) -> int:
        return int(self.array)

    def __index__(self) -> int:
        return self.array.__index__()

    def __complex__(self) -> complex:
        return complex(self.array)

    def __format__(self, spec: str) -> str:
        return format(self.array, spec) if spec else repr(self)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.array, dtype)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return getattr(ufunc, method)(*_all_read(inputs), **kwargs)

    def __array_function__(self, func: Callable, types: Any, args: Any, kwargs: Any) -> Any:
        args, kwargs = _all_read((args, kwargs))
        return func(*args, **kwargs)

    __hash__ = object.__hash__  # a place is itself, whatever it holds

    def __eq__(self, other: Any) -> Any:  # type: ignore[override]
        return self.read() == _plain_or_read(other)

    def __ne__(self, other: Any) -> Any:  # type: ignore[override]
        return self.read() != _plain_or_read(other)


def _plain(x: Any) -> Any:
    return x.numpy() if type(x) is Tracer or isinstance(x, Variable) else x


def _plain_or_read(x: Any) -> Any:
    return x.read() if isinstance(x, Variable) else x


def _all_read(tree: Any) -> Any:
    leaves, structure = tree_flatten(tree)
    return tree_unflatten(structure, [_plain_or_read(leaf) for leaf in leaves])


def _unary(fn: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda self: fn(self.read())


def _binary(fn: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    return lambda self, other: fn(self.read(), _plain_or_read(other))


def _reflected(fn: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    return lambda self, other: fn(_plain_or_read(other), self.read())


_ARITHMETIC = ("add", "sub", "mul", "truediv", "floordiv", "mod", "matmul", "pow", "and_", "or_", "xor")
for _name in _ARITHMETIC:
    setattr(Variable, f"__{_name.rstrip('_')}__", _binary(getattr(operator, _name)))
    setattr(Variable, f"__r{_name.rstrip('_')}__", _reflected(getattr(operator, _name)))
for _name in ("lt", "le", "gt", "ge"):
    setattr(Variable, f"__{_name}__", _binary(getattr(operator, _name)))
for _name in ("neg", "pos", "abs", "invert"):
    setattr(Variable, f"__{_name}__", _unary(getattr(operator, _name)))
