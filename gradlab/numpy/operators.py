"""What makes a `Tracer` an array: Python's operators on it, an array's attributes and methods."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ..ir.errors import ItemAssignmentError
from ..trace.tracer import Tracer
from . import choose, dtypes, elementwise, formulas, indexing, manipulation, matmul, reductions, selection, sorting
from .dispatch import is_operand
from .updates import At


def _method(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function of gradlab.numpy without its question whether to record: self is a tracer."""
    return getattr(fn, "__wrapped__", fn)


def _guarded(fn: Callable[..., Any], swap: bool = False) -> Callable[..., Any]:
    """An operator, which leaves operands it does not know to their own classes."""

    def operator(x: Any, y: Any) -> Any:
        if not is_operand(y):
            return NotImplemented
        return fn(y, x) if swap else fn(x, y)

    return operator


# -- operators

_BINARY = {
    "add": elementwise.ADD,
    "sub": elementwise.SUBTRACT,
    "mul": elementwise.MULTIPLY,
    "truediv": elementwise.DIVIDE,
    "and": elementwise.BITWISE_AND,
    "or": elementwise.BITWISE_OR,
    "xor": elementwise.BITWISE_XOR,
    "lshift": elementwise.LEFT_SHIFT,
    "rshift": elementwise.RIGHT_SHIFT,
}
_FORMULAS = {
    "floordiv": formulas.floor_divide,
    "mod": formulas.remainder,
    "divmod": formulas.divmod,
    "matmul": matmul.matmul,
}
_COMPARISONS = {
    "lt": elementwise.LESS,
    "le": elementwise.LESS_EQUAL,
    "gt": elementwise.GREATER,
    "ge": elementwise.GREATER_EQUAL,
    "eq": elementwise.EQUAL,
    "ne": elementwise.NOT_EQUAL,
}


def _operators() -> dict[str, Callable[..., Any]]:
    found: dict[str, Callable[..., Any]] = {}
    for name, pair in _BINARY.items():
        found[f"__{name}__"], found[f"__r{name}__"] = pair.operator, pair.reflected
    for name, fn in _FORMULAS.items():
        found[f"__{name}__"], found[f"__r{name}__"] = _guarded(fn), _guarded(fn, swap=True)
    for name, pair in _COMPARISONS.items():
        found[f"__{name}__"] = pair.operator
    found["__pow__"], found["__rpow__"] = formulas.POWER, formulas.power_swapped
    found["__neg__"] = elementwise.negative
    found["__pos__"] = formulas.positive
    found["__abs__"] = elementwise.abs
    found["__invert__"] = elementwise.invert
    return found


# -- indexing and iteration


def _getitem(self: Tracer, index: Any) -> Tracer:
    return indexing.getitem(self, index)


def _setitem(self: Tracer, index: Any, value: Any) -> None:
    raise ItemAssignmentError(
        f"x[i] = v would change a traced array ({self.aval}) in place, and arrays here do not change. "
        "Write x = x.at[i].set(v); for x[i] += v, x = x.at[i].add(v)."
    )


def _iter(self: Tracer) -> Iterator[Tracer]:
    if not self.aval.shape:
        raise TypeError(f"iteration over a 0-d array {self.aval}")
    return iter(manipulation.unstack(self))


# -- attributes and methods


def _reshape(self: Tracer, *shape: Any, order: str = "C") -> Tracer:
    """The same elements in another shape, given as one tuple or as several ints; one may be -1."""
    new = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
    return manipulation.reshape(self, tuple(new), order)


def _transpose(self: Tracer, *axes: Any) -> Tracer:
    """The axes reversed, or in the order given."""
    if not axes or axes == (None,):
        return manipulation.transpose(self)
    return manipulation.transpose(self, axes[0] if isinstance(axes[0], tuple | list) else axes)


def _matrix_transpose(self: Tracer) -> Tracer:
    if self.ndim < 2:
        raise ValueError(f"x.mT needs a matrix, got {self.aval}.")
    return manipulation.swapaxes(self, -1, -2)


def _view_real(self: Tracer) -> Tracer:
    return elementwise.real(self)


_ATTRIBUTES = {
    "T": manipulation.transpose,
    "mT": _matrix_transpose,
    "real": _view_real,
    "imag": formulas.imag,
    "at": At,
    "nbytes": lambda self: self.size * self.dtype.itemsize,
    "itemsize": lambda self: self.dtype.itemsize,
}
_METHODS = {
    "reshape": _reshape,
    "transpose": _transpose,
    "flatten": manipulation.ravel,
    "ravel": manipulation.ravel,
    "swapaxes": manipulation.swapaxes,
    "squeeze": manipulation.squeeze,
    "repeat": manipulation.repeat,
    "copy": manipulation.copy,
    "astype": dtypes.astype,
    "sum": reductions.sum,
    "prod": reductions.prod,
    "mean": reductions.mean,
    "var": reductions.var,
    "std": reductions.std,
    "max": reductions.max,
    "min": reductions.min,
    "ptp": reductions.ptp,
    "argmax": reductions.argmax,
    "argmin": reductions.argmin,
    "any": reductions.any,
    "all": reductions.all,
    "cumsum": reductions.cumsum,
    "cumprod": reductions.cumprod,
    "clip": choose.clip,
    "round": formulas.round,
    "conj": elementwise.conj,
    "conjugate": elementwise.conjugate,
    "dot": matmul.dot,
    "take": selection.take,
    "diagonal": selection.diagonal,
    "trace": selection.trace,
    "sort": sorting.sort,
    "argsort": sorting.argsort,
    "searchsorted": sorting.searchsorted,
}


def install() -> None:
    """Gives `Tracer` its operators, attributes and methods. Called once, when gradlab.numpy is imported."""
    for name, fn in _operators().items():
        setattr(Tracer, name, fn)
    for name, fn in _METHODS.items():
        setattr(Tracer, name, _method(fn))
    for name, get in _ATTRIBUTES.items():
        setattr(Tracer, name, property(get))
    Tracer.__getitem__ = _getitem  # type: ignore[attr-defined]
    Tracer.__setitem__ = _setitem  # type: ignore[attr-defined]
    Tracer.__iter__ = _iter  # type: ignore[attr-defined]


install()
