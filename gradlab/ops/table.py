"""`table`: a few numbers known when the program is read, as a vector. What a loop's differing constants become.

The numbers stand in the program's text, so they are meant to be few; an array of data is an input instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ir.graph import Aval
from ..ir.primitive import Primitive, Refused
from ..trace.builder import bind1
from .costs import MOVES
from .operands import dtype_text

_SHOWN = 6


class Packed(bytes):
    """The bytes of a vector of numbers: hashable, and equal only where the numbers are the same to the last bit."""

    __slots__ = ()

    def __str__(self) -> str:
        return f"<{len(self)} bytes>"


def table(numbers: Sequence[bool | int | float | complex], dtype: Any) -> Any:
    """The vector of these numbers in this dtype."""
    dtype = np.dtype(dtype)
    return bind1(table_p, data=packed(numbers, dtype), dtype=dtype)


def packed(numbers: Sequence[bool | int | float | complex], dtype: np.dtype) -> Packed:
    """The numbers as the parameter `data` of a table."""
    with np.errstate(over="ignore"):  # 1e300 is inf in float32, as it is for JAX
        return Packed(np.array(numbers, dtype).tobytes())


def _infer(*, data: bytes, dtype: np.dtype) -> tuple[Aval]:
    return (Aval((len(data) // dtype.itemsize,), dtype),)


def _emit(*, data: bytes, dtype: np.dtype) -> str:
    texts = [_number(value) for value in np.frombuffer(data, dtype).tolist()]
    return f"jnp.asarray(np.array([{', '.join(texts)}], {dtype_text(dtype)}))"


def _number(value: bool | int | float | complex) -> str:
    if isinstance(value, complex):
        return f"complex({_number(value.real)}, {_number(value.imag)})"
    if isinstance(value, float) and not np.isfinite(value):
        return "jnp.nan" if value != value else "jnp.inf" if value > 0 else "-jnp.inf"
    return repr(value)


_NO_OPERAND = Refused("table has no operand, so there is nothing to differentiate or batch it by")

table_p = Primitive(
    name="table",
    infer=_infer,
    emit=_emit,
    jvp=_NO_OPERAND,
    transpose=_NO_OPERAND,
    batch=_NO_OPERAND,
    cost=MOVES,
)
