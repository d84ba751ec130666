"""What makes a `Tracer` an array: Python's operators on it, an array's attributes and methods."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ..ir.errors import ShapeError
from ..trace.tracer import Tracer
from . import (
    choose,
    dtypes,
    elementwise,
    formulas,
    indexing,
    manipulation,
    matmul,
    places,
    reductions,
    searching,
    selection,
    sorting,
)
from .aliasing import is_basic, own, share
from .assignment import assign, in_place, speaks_numpy
from .dispatch import is_operand
from .updates import At


def _method(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function of gradlab.numpy without its question whether to record: self is a tracer."""
    return getattr(fn, "recorded", fn)


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
    for name in (*_BINARY, "floordiv", "mod", "matmul", "pow"):
        found[f"__i{name}__"] = in_place(found[f"__{name}__"])
    found["__neg__"] = elementwise.negative
    found["__pos__"] = formulas.positive
    found["__abs__"] = elementwise.abs
    found["__invert__"] = elementwise.invert
    return found


# -- indexing and iteration


def _getitem(self: Tracer, index: Any) -> Tracer:
    out = indexing.getitem(self, index)
    if not out.aval.shape:
        return out.fresh() if out is self else out  # NumPy's scalars share memory with nobody
    if is_basic(index):
        return share(out, self, index)
    return share(out, self) if type(index) is Tracer and not index.aval.shape else own(out, (self,))


def _iter(self: Tracer) -> Iterator[Tracer]:
    if not self.aval.shape:
        raise TypeError(f"iteration over a 0-d array {self.aval}")
    return _items(self)


def _items(self: Tracer) -> Iterator[Tracer]:
    """The items, each as it is when its turn comes."""
    items: Any = ()
    read = None
    for i in range(self.aval.shape[0]):
        if self.id != read:
            items, read = manipulation.unstack.__wrapped__(self), self.id
        item = items[i].fresh()
        yield share(item, self, i) if item.aval.shape else item


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
        raise ShapeError(f"x.mT needs a matrix, got {self.aval}.")
    return manipulation.swapaxes(self, -1, -2)


def _conj(self: Tracer) -> Tracer:
    """The complex conjugates; real numbers are their own, and NumPy hands back the array itself."""
    return elementwise.conj(self) if self.aval.dtype.kind == "c" else self


def _flatten(self: Tracer, order: str = "C") -> Tracer:
    """The elements in one row, as a copy."""
    return own(manipulation.ravel(self, order), (self,))


def _fill(self: Tracer, value: Any) -> None:
    """Every element set to `value`, in place."""
    assign(self, ..., value)


def _sort(self: Tracer, axis: int | None = -1, **how: Any) -> Tracer | None:
    """The elements sorted along an axis: in place in plain NumPy code, as a result elsewhere."""
    out = sorting.sort(self, axis, **how)
    if not speaks_numpy():
        return out
    assign(self, ..., out)
    return None


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
    "flatten": _flatten,
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
    "conj": _conj,
    "conjugate": _conj,
    "dot": matmul.dot,
    "take": selection.take,
    "diagonal": selection.diagonal,
    "trace": selection.trace,
    "sort": _sort,
    "fill": _fill,
    "argsort": sorting.argsort,
    "argpartition": sorting.argpartition,
    "compress": selection.compress,
    "nonzero": places.nonzero,
    "searchsorted": searching.searchsorted,
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
    Tracer.__setitem__ = assign  # type: ignore[attr-defined]
    Tracer.__iter__ = _iter  # type: ignore[attr-defined]


install()
