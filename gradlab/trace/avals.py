"""What a concrete value looks like to the tracer: its `Aval`, with JAX's dtype rules (the x64 flag obeyed)."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from ..ir.errors import DTypeError, StructureError
from ..ir.graph import Aval, Lit, is_key
from .tracer import Held, Tracer

_PYTHON = {bool: "bool", int: "int", float: "float", complex: "complex"}


def is_jax_tracer(x: Any) -> bool:
    return isinstance(x, jax.core.Tracer)  # type: ignore[attr-defined]


def x64() -> bool:
    return jax.config.jax_enable_x64  # type: ignore[attr-defined]


_SCALARS = {
    (flag, kind): Aval((), np.dtype(name), kind is not bool)
    for flag in (False, True)
    for kind, name in (
        (bool, "bool"), (int, "int64" if flag else "int32"),
        (float, "float64" if flag else "float32"), (complex, "complex128" if flag else "complex64"),
    )
}  # fmt: skip
_NARROWED = {"float64": "float32", "int64": "int32", "uint64": "uint32", "complex128": "complex64"}


def is_key_dtype(x: Any) -> bool:
    """Whether `x`, any object, is JAX's dtype of random keys."""
    return getattr(x, "type", None) is jax.dtypes.prng_key


NO_KEYS = "Draw numbers from a key with gradlab.random, or take its bits with gradlab.random.key_data(key)."


def canonical_dtype(dtype: Any) -> np.dtype:
    """`dtype` as JAX would hold it: 64-bit types become 32-bit ones unless x64 is on.

    **Raises:** `DTypeError` for strings, objects, dates and other dtypes no accelerator has.
    """
    if isinstance(dtype, type) and dtype in _PYTHON:
        return _SCALARS[x64(), dtype].dtype
    if not isinstance(dtype, np.dtype):
        if is_key_dtype(dtype):
            raise DTypeError(f"a dtype of numbers was needed, got {dtype}, that of random keys. {NO_KEYS}")
        try:
            dtype = np.dtype(dtype)
        except TypeError:
            raise DTypeError(f'a dtype was needed, as float or "float32", got {dtype!r}.') from None
    if dtype.kind not in "biufc" and not (
        dtype.kind == "V" and dtype.names is None and dtype.name != f"void{8 * dtype.itemsize}"
    ):
        raise DTypeError(
            f"arrays hold booleans and numbers, got dtype {dtype}. Convert it, or keep it outside the function."
        )
    return dtype if x64() else np.dtype(_NARROWED.get(dtype.name, dtype))


def aval_of(x: Any) -> Aval:
    """The aval of a Python scalar, a NumPy or JAX array, or a tracer (ours or JAX's).

    **Raises:** `StructureError` if it is none of these; `DTypeError` for a dtype no accelerator has.
    """
    kind = type(x)
    if kind is Tracer or kind is Lit:
        return x.aval
    if kind in _PYTHON:
        return _SCALARS[x64(), kind]
    if isinstance(x, jax.Array):
        dtype = x.dtype
        if is_key(dtype) and not is_key_dtype(dtype):
            raise DTypeError(f"arrays hold booleans, numbers or random keys, got {dtype}. Convert it first.")
        return Aval(x.shape, dtype, bool(getattr(x, "weak_type", False)))
    if isinstance(x, np.ndarray | np.generic):
        return Aval(x.shape, canonical_dtype(x.dtype))
    for base in _PYTHON:
        if isinstance(x, base):
            return _SCALARS[x64(), base]
    if isinstance(x, Held):
        return x.aval
    if isinstance(x, list | tuple):
        raise StructureError(
            f"a number or an array was needed, got {x!r} of type {kind.__name__}. Make an array of it: "
            "gradlab.numpy.array(x), or gradlab.numpy.stack(x) of arrays."
        )
    raise StructureError(
        f"a number or an array was needed, got {x!r} of type {kind.__name__}. "
        "Register its class as a pytree (jax.tree_util.register_dataclass), or pass it as a static argument."
    )
