"""Item assignment: `y[i] = v` makes the tracer `y` stand for the new array, where nobody else would have seen it.

NumPy writes into memory, which its views share. A tracer stands for a value, and assignment gives it a new one. That is
the same program, unless something that looks at the same memory is used afterwards: then it is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from sys import getrefcount
from types import CodeType
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..ir.errors import DTypeError, ItemAssignmentError
from ..ir.where import user_frame
from ..trace.builder import AMBIENT
from ..trace.tracer import Tracer
from .choose import where as choose
from .creation import array
from .dispatch import is_operand
from .indexing import getitem
from .manipulation import reshape
from .promote import aval as aval_of
from .updates import Place

_NOT_OURS = {
    "input": "an argument of the function being read, whose array in the caller NumPy would change too",
    "capture": "a view of an array from outside the function being read, which NumPy would change too",
    "literal": "a constant that others may hold too",
}


def assign(y: Tracer, index: Any, value: Any) -> None:
    """`y[index] = value`, as NumPy means it.

    What else looks at the memory written is outdated after this: using it is an `ItemAssignmentError`.

    **Raises:** `ItemAssignmentError` where NumPy would change an array of the caller, or of a function around this one.
    """
    require_own(y)
    if type(value) is list or type(value) is tuple:
        value = array(value)
    elif not is_operand(value):
        raise ItemAssignmentError(f"y[i] = v needs a number or an array as v, got {value!r} of {type(value).__name__}.")
    _require_dtype(y, value)
    become(y, index, _written(y, index, value))


def become(y: Tracer, index: Any, new: Tracer) -> None:
    """Makes the object `y` stand for the value of `new`, which is another one at `index`."""
    y.aval, y.id = new.aval, new.id
    if y.shared is not None:
        y.shared[0].written(y, index)


def require_own(y: Tracer) -> None:
    """That `y` is an array which the running function made."""
    shared = y.shared
    if type(shared) is str:
        raise ItemAssignmentError(
            f"x[i] = v needs an array of the function's own, got {y.aval}: {_NOT_OURS[shared]}. "
            "Copy it first (x = x.copy()), or write x = x.at[i].set(v); for x[i] += v, x = x.at[i].add(v)."
        )
    if AMBIENT.stack and y.builder is not AMBIENT.stack[-1] and not y.builder.closed:
        raise ItemAssignmentError(
            f"x[i] = v needs an array of the function that runs, got {y.aval} of the function around it. "
            "Copy it first (x = x.copy()), or write x = x.at[i].set(v), and return it as a result."
        )


def _require_dtype(y: Tracer, value: Any) -> None:
    if y.aval.dtype.kind != "c" and aval_of(value).dtype.kind == "c":
        raise DTypeError(
            f"x[i] = v with complex v would lose its imaginary part, for x is {y.aval}. "
            "Make x complex (x = x.astype(complex)), or assign v.real."
        )


def _written(y: Tracer, index: Any, value: Any) -> Tracer:
    mask = _mask(index)
    if mask is not None and np.ndim(mask) <= y.ndim and not aval_of(value).shape:
        wide = reshape(mask, (*mask.shape, *[1] * (y.ndim - mask.ndim)))
        if mask.shape == y.shape[: mask.ndim]:
            return choose(wide, value, y).astype(y.dtype)
    return Place(y, index).set(_fitting(y, index, value))


def _mask(index: Any) -> Any:
    """The one boolean array that is the index, or None."""
    if type(index) is tuple and len(index) == 1:
        (index,) = index
    return index if getattr(index, "dtype", None) == np.bool_ and getattr(index, "shape", ()) else None


def _fitting(y: Tracer, index: Any, value: Any) -> Any:
    """`value` without axes of length 1 in front, which NumPy drops where there are too many."""
    shape = aval_of(value).shape
    if len(shape) > 1 and shape[0] == 1:
        ndim = getitem(y, index).ndim
        while len(shape) > ndim and shape[0] == 1:
            shape = shape[1:]
        value = reshape(value, shape)
    return value


# -- x += v


class _Probe:
    """Counts what refers to the array in `y[i] += v`, where nobody but the interpreter does."""

    count = 0

    def __getitem__(self, index: Any) -> Any:
        return _Probe()

    def __setitem__(self, index: Any, value: Any) -> None:
        pass

    def __iadd__(self, value: Any) -> Any:
        _Probe.count = getrefcount(self)
        return self


_probe = _Probe()
_probe[0] += 1
_TEMPORARY = _Probe.count


def in_place(operator: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """`x ⊕= v`: in plain NumPy code it changes the array, whatever its names; elsewhere it makes another, as in JAX."""

    def call(x: Tracer, value: Any) -> Any:
        new = operator(x, value)
        # In y[i] += v, x is a temporary view, and y.__setitem__ comes next.
        if not x.aval.shape or new is NotImplemented or getrefcount(x) <= _TEMPORARY or not speaks_numpy():
            return new
        require_own(x)
        if not np.can_cast(new.dtype, x.dtype, "same_kind"):
            raise DTypeError(f"x ⊕= v of {x.aval} would lose what {new.aval} holds. Write x = x ⊕ v.")
        become(x, ..., Place(x, ...).set(new))
        return x

    return call


_SPEAKS: dict[int, tuple[CodeType, bool]] = {}  # id of a code object -> itself, and whether its module speaks NumPy


def speaks_numpy() -> bool:
    """Whether the user's line stands in a module that imports NumPy, and neither gradlab.numpy nor jax.numpy."""
    frame = user_frame(2)
    if frame is None:
        return False
    code = frame.f_code
    known = _SPEAKS.get(id(code))
    if known is None or known[0] is not code:
        if len(_SPEAKS) > 10_000:
            _SPEAKS.clear()
        held = [value for value in frame.f_globals.values() if type(value) is type(np)]
        known = _SPEAKS[id(code)] = (code, np in held and jnp not in held and not any(map(_is_ours, held)))
    return known[1]


def _is_ours(module: Any) -> bool:
    return module.__name__ == __package__
