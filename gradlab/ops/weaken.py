"""Weakness: the same numbers, of a dtype that yields to its neighbours' as a Python number's does."""

from __future__ import annotations

from typing import Any

from ..ir.graph import Aval
from ..trace.avals import canonical_dtype
from ..trace.builder import bind1
from .families import kind, unary_linear

_PYTHON = {"i": int, "f": float, "c": complex}


def weaken(x: Any) -> Any:
    """`x` as a weakly typed array."""
    return x if x.aval.weak else bind1(weaken_p, x)


def _emit(x):
    python = _PYTHON.get(kind(x.aval.dtype))
    # Only JAX's default dtype of a kind can be asked for by the name of a Python type.
    weak = python is not None and canonical_dtype(python) == x.aval.dtype
    return f"lax.convert_element_type({x}, {python.__name__})" if weak else f"jnp.asarray({x})"


weaken_p = unary_linear(
    "weaken",
    emit=_emit,
    infer=lambda x: (Aval(x.shape, x.dtype, kind(x.dtype) in "ifc"),),
    transpose=lambda cts, active, x: cts,
    fold=lambda x: x,
)
