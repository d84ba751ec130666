"""Weakness: numbers in a dtype that yields to its neighbours', as that of a Python number does."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir.graph import Aval, is_inexact
from ..ir.primitive import Primitive
from ..trace.avals import canonical_dtype
from ..trace.builder import bind, bind1
from .convert import convert
from .costs import MOVES
from .operands import dtype_text, kind

_ONE = {"i": (int, "1"), "f": (float, "1.0")}
_ORDER = "biufc"


def weaken(x: Any, *, dtype: Any) -> Any:
    """`x` as a weakly typed array of `dtype`."""
    dtype = np.dtype(dtype)
    return x if x.aval.weak and x.dtype == dtype else bind1(weaken_p, x, dtype=dtype)


def _emit(x, *, dtype):
    python, one = _ONE.get(kind(dtype), (None, ""))
    # JAX has no public word for it, but the product with a Python number of a higher kind is weak.
    higher = _ORDER.index(kind(x.aval.dtype)) < _ORDER.index(kind(dtype))
    if python is not None and canonical_dtype(python) == dtype and (higher or x.aval.weak):
        return f"{x} * {one}"
    return f"{x}.astype({dtype_text(dtype)})"


def _jvp(xs, tangents, *, dtype):
    moves = is_inexact(xs[0].dtype) and is_inexact(dtype)
    return bind(weaken_p, *xs, dtype=dtype), (weaken(tangents[0], dtype=dtype) if moves else None,)


weaken_p = Primitive(
    name="weaken",
    infer=lambda x, *, dtype: (Aval(x.shape, dtype, kind(dtype) in "ifc"),),
    emit=_emit,
    jvp=_jvp,
    transpose=lambda cts, active, x, *, dtype: (convert(cts[0], dtype=x.dtype),),
    batch=lambda xs, dims, *, dtype: (bind(weaken_p, *xs, dtype=dtype), dims),
    cost=MOVES,
    scalars=True,
)
