"""The array API as gradlab's tracers have it: each call is recorded, checked, tidied, written out and run on arrays.

The conformance suite works on arrays. Outside a trace gradlab.numpy is jax.numpy, so the suite would test that. Here an
`Array` holds JAX's, and whatever is asked of it, a function, an operator, an attribute, is asked of a tracer instead.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradlab.api.calling import Reading
from gradlab.interop import array_api
from gradlab.ir.check import check
from gradlab.lower.compile import Executable
from gradlab.passes.pipeline import tidy
from gradlab.trace.tracer import Tracer


class Array:
    """A JAX array whose operations go through a trace."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: Any):
        self.value = value

    dtype = property(lambda self: self.value.dtype)
    shape = property(lambda self: self.value.shape)
    ndim = property(lambda self: self.value.ndim)
    size = property(lambda self: self.value.size)

    def __array_namespace__(self, *, api_version: str | None = None) -> ModuleType:
        recorded(lambda x: x.__array_namespace__(api_version=api_version) and None)(self)
        return sys.modules[__name__]

    def __setitem__(self, key: Any, value: Any) -> None:
        def assign(x: Any, key: Any, value: Any) -> Any:
            x = x.copy()
            x[key] = value
            return x

        self.value = recorded(assign)(self, key, value).value

    def __dlpack__(
        self, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: Any = None
    ) -> Any:
        return self.value.__dlpack__(stream=stream, max_version=max_version, dl_device=dl_device, copy=copy)

    def __dlpack_device__(self) -> Any:
        return self.value.__dlpack_device__()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.value, dtype)

    def __repr__(self) -> str:
        return f"Array({self.value!r})"


def _is_array(x: Any) -> bool:
    return isinstance(x, Array)


def recorded(fun: Callable[..., Any]) -> Callable[..., Any]:
    """`fun` of `Array`s: read on tracers, which have values; what it returns of tracers is computed by gradlab."""

    @wraps(fun)
    def call(*args: Any, **kwargs: Any) -> Any:
        leaves, tree = jax.tree.flatten((args, kwargs), is_leaf=lambda x: x is None or _is_array(x))
        where = [i for i, leaf in enumerate(leaves) if _is_array(leaf)]

        def read(tracers: Any) -> Any:
            given = list(leaves)
            for i, tracer in zip(where, tracers, strict=True):
                given[i] = tracer
            args, kwargs = jax.tree.unflatten(tree, given)
            return fun(*args, **kwargs)

        reading = Reading(read, [leaves[i].value for i in where])
        results, out_tree = jax.tree.flatten(reading.result, is_leaf=lambda x: x is None)
        reading.take_aux(results)
        graph, inputs = reading.end()
        values = Executable(tidy(check(graph))).traced(inputs) if reading.outs else ()
        for aval, value in zip([out.aval for out in reading.outs], values, strict=True):
            assert (aval.shape, aval.dtype) == (value.shape, value.dtype), f"{aval} was promised, {value.aval} came"
        made = [Array(value) for value in values]
        found = [Array(x) if isinstance(x, jax.Array) else x for x in reading.put_aux(made)]
        return jax.tree.unflatten(out_tree, found)

    return call


# -- an array's own functions


def _asks(name: str) -> Callable[..., Any]:
    fun = recorded(lambda x, *args, **kwargs: getattr(x, name)(*args, **kwargs))
    fun.__signature__ = inspect.signature(getattr(Tracer, name))  # type: ignore[attr-defined]
    fun.__name__ = name
    return fun


_OPERATORS = (
    "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift radd rsub rmul rtruediv rfloordiv rmod rpow "
    "rmatmul rand ror rxor rlshift rrshift eq ne lt le gt ge neg pos abs invert getitem bool int float complex index "
    "iadd isub imul itruediv ifloordiv imod ipow imatmul iand ior ixor ilshift irshift"
)
for _name in _OPERATORS.split():
    setattr(Array, f"__{_name}__", _asks(f"__{_name}__"))
Array.to_device = _asks("to_device")  # type: ignore[attr-defined]
for _name in ("T", "mT", "device"):
    setattr(Array, _name, property(recorded(lambda x, name=_name: getattr(x, name))))


# -- the namespace


def _has_no_arrays(value: Any) -> bool:
    return isinstance(value, type | ModuleType) or not callable(value)


_UNRECORDED = ("__array_namespace_info__", "finfo", "iinfo", "isdtype")


def _mirror(theirs: ModuleType, into: dict[str, Any]) -> None:
    for name, value in vars(theirs).items():
        if name.startswith("_") and name not in ("__array_api_version__", "__array_namespace_info__"):
            continue
        into[name] = value if _has_no_arrays(value) or name in _UNRECORDED else recorded(value)


_mirror(array_api, globals())
for _name in ("linalg", "fft", "special"):
    _module = ModuleType(f"{__name__}.{_name}")
    _mirror(getattr(array_api, _name), vars(_module))
    globals()[_name] = _module


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Array:
    return Array(jnp.from_dlpack(x.value if _is_array(x) else x, device=device, copy=copy))
