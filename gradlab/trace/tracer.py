"""`Tracer`: the array a function sees while it is read. Its operators are installed from above (gradlab.numpy)."""

from __future__ import annotations

from sys import _getframe
from typing import TYPE_CHECKING, Any, final

import jax
import numpy as np

from ..ir.errors import ConcretizationError, ConversionError, EscapedTracerError, ShapeError
from ..ir.graph import Aval, Typed
from .refusals import loses_derivative, not_an_array

if TYPE_CHECKING:
    from .builder import Builder

    _Array = Any  # its operators and methods come from gradlab.numpy, where a type checker does not see them arrive
else:
    _Array = object

_SEE_TRACERS = frozenset(("gradlab", "jax", "jaxlib"))


@final
class Tracer(Typed, _Array):
    """One value of a program being recorded: it knows its shape and dtype; its value, only if the inputs are concrete.

    Each result of an operation is an object of its own, even where two have one number: item assignment gives the
    object another number, and no other object changes with it.

    **Attributes:** `aval`: shape, dtype and weakness; `builder`: the trace it belongs to; `id`: its number there;
    `shared`: who else would see it change, where NumPy's arrays would share memory (`gradlab.numpy.aliasing`).
    """

    __slots__ = ("__weakref__", "builder", "id", "shared")
    __array_priority__ = 1000.0
    __hash__ = None  # type: ignore[assignment]  # == is elementwise, as for any array

    @property
    def __class__(self) -> type:  # type: ignore[override]
        """What isinstance() is told: `jax.Array`, which the value behind a tracer is, save in gradlab and in JAX.

        Code that asks whether it was given an array would silently take its other branch. (JAX has to see through this:
        it would reach for an array's memory.)
        """
        asks = _getframe(1).f_globals.get("__name__") or ""
        return Tracer if asks.partition(".")[0] in _SEE_TRACERS else jax.Array

    def __init__(self, aval: Aval, builder: Builder, id: int, shared: Any = None):
        self.aval = aval
        self.builder = builder
        self.id = id
        self.shared = shared

    @property
    def size(self) -> int:
        return self.aval.size

    @property
    def weak_type(self) -> bool:
        return self.aval.weak

    def __repr__(self) -> str:
        return self.builder.shown(self)

    def __len__(self) -> int:
        if not self.aval.shape:
            raise TypeError(f"len() of a 0-d array {self.aval}")
        return self.aval.shape[0]

    def value(self, wanted_by: str) -> Any:
        """The number behind the tracer, computed from the concrete inputs.

        **Raises:** `ConcretizationError` when an input it depends on has no value (under jit or vmap).
        """
        return self.builder.value_of(self, wanted_by)

    def _scalar(self, wanted_by: str) -> Any:
        if self.aval.shape and self.aval.size != 1:
            if wanted_by == "bool()":
                raise ShapeError(
                    f"the truth of an array with more than one element is ambiguous, got {self.aval}. "
                    "Reduce it with .any() or .all(), or select elementwise with gradlab.numpy.where."
                )
            raise TypeError(f"{wanted_by} needs an array of one element, got {self.aval}. Index it or reduce it first.")
        return np.asarray(self.value(wanted_by)).reshape(())[()]

    def _number(self, wanted_by: str) -> Any:
        """`_scalar`, unless `math` or a NumPy array asks, which would lose the derivative without a word."""
        error = loses_derivative(self.aval)
        if error is not None:
            raise error
        return self._scalar(wanted_by)

    def __bool__(self) -> bool:
        return bool(self._scalar("bool()"))

    def __float__(self) -> float:
        return float(self._number("float()"))

    def __int__(self) -> int:
        return int(self._number("int()"))

    def __complex__(self) -> complex:
        return complex(self._number("complex()"))

    def __index__(self) -> int:
        if self.aval.dtype.kind not in "iu" or self.aval.shape:
            raise TypeError(f"only integer scalars can be used as an index or a size, got {self.aval}")
        return int(self._scalar("an index or a size"))

    def fresh(self) -> Tracer:
        """Another object of the same value, which shares memory with nobody."""
        return Tracer(self.aval, self.builder, self.id)

    def __copy__(self) -> Tracer:
        return self.fresh()

    def __deepcopy__(self, memo: Any) -> Tracer:
        return self.fresh()

    def __round__(self, ndigits: int | None = None) -> Any:
        value = float(self)
        return round(value) if ndigits is None else round(value, ndigits)

    def item(self) -> bool | int | float | complex:
        """The array's one element as a Python scalar."""
        return self._scalar(".item()").item()

    def tolist(self) -> Any:
        """The array as nested Python lists."""
        return np.asarray(self.value(".tolist()")).tolist()

    def numpy(self) -> np.ndarray:
        """The array's value as NumPy's, with no derivative."""
        return np.asarray(self.value(".numpy()"))

    def __format__(self, spec: str) -> str:
        if spec and not self.aval.shape:
            return format(self._scalar("a format specification").item(), spec)
        return format(repr(self), spec)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if self.builder.recording:
            raise not_an_array(self.aval)
        return np.asarray(self.value("NumPy"), dtype)

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise ConversionError(
            f"a tracer ({self.aval}) is a value of the function being read and cannot be pickled. Return it as a "
            "result, and pickle that."
        )

    def __contains__(self, item: Any) -> bool:
        raise ConversionError(
            "`in` would compare values while the program is only being recorded. "
            "Write (x == item).any(), which is traced like any other operation."
        )


class Held(Typed):
    """An object that holds an array and may come to hold another: as an operand it is the array it holds now."""

    __slots__ = ()

    def read(self) -> Any:
        """A tracer of the trace that watches it, or the array."""
        raise NotImplementedError


HELD: list[type] = []  # the classes of such objects, from the first that is made


def no_value(aval: Aval, wanted_by: str) -> ConcretizationError:
    """The error for a value that does not exist yet, with what to write instead."""
    instead = {
        "bool()": "select with gradlab.numpy.where(condition, a, b) or gradlab.cond, mark the argument it depends on "
        'with static_argnums, or have gradlab.jit(f, branches="specialize") follow its values',
        "an index or a size": "sizes and loop bounds must be static: pass the number as a Python int "
        "(static_argnums under jit), or index with x[i] on the array",
    }.get(wanted_by, "keep the value as an array, or compute it outside the transformed function")
    return ConcretizationError(
        f"{wanted_by} asked for the value of a tracer {aval}, which has none: under jit and vmap a function is read "
        f"before there are numbers. Instead, {instead}. Eager gradlab.grad/jvp/hessian do give values."
    )


def escaped(x: Tracer) -> EscapedTracerError:
    """The error for a tracer whose trace has ended."""
    return EscapedTracerError(
        f"a tracer {x.aval} was used outside the function call that made it. It was stored somewhere (a global, an "
        "attribute, a list) while the function was being read; return it as a result instead."
    )
