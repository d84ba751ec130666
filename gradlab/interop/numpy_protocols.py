"""NumPy's protocols on tracers: `np.sin(x)`, `ndarray + x`, `np.concatenate([x, y])` mean those of gradlab.numpy.

Ufuncs are here; functions are in `numpy_functions`. SciPy's ufuncs come the same way, by name: `scipy.special.erf(x)`
means `gradlab.numpy.special.erf`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import numpy as gnp
from ..ir.graph import is_inexact
from ..numpy.assignment import become, require_own
from ..trace.tracer import Tracer
from .numpy_functions import array_function, as_array, refusal, retyped, written_to

_NO_MEANING = ("order", "subok")  # keywords that say how memory is laid out
_PREDICATES_END = "?"

# ufunc -> the functions that are its reduction and its running form, should gradlab.numpy's ufunc have none of its own
_REDUCTIONS = {
    "add": "sum", "multiply": "prod", "maximum": "max", "minimum": "min", "logical_and": "all", "logical_or": "any",
}  # fmt: skip
_RUNNING = {"add": "cumsum", "multiply": "cumprod"}
_AT = {
    "add": "add", "subtract": "subtract", "multiply": "multiply", "divide": "divide", "power": "power",
    "minimum": "min", "maximum": "max",
}  # fmt: skip
# Where a mask leaves an operand out, a number at which the function and its derivative are finite.
_HARMLESS = {"arccosh": 1.5}


def _counterpart(ufunc: np.ufunc) -> Callable[..., Any]:
    """The function of gradlab.numpy that a ufunc of NumPy's or SciPy's stands for."""
    name = ufunc.__name__
    # A ufunc does not know its module; SciPy is asked only where it is imported already.
    for module, ours in (("numpy", gnp), ("scipy.special", gnp.special)):
        if getattr(sys.modules.get(module), name, None) is ufunc:
            found = getattr(ours, name, None) or getattr(gnp, name, None)
            if found is None:
                raise refusal(
                    f"{module}.{name}", f"gradlab.{ours.__name__.split('.', 1)[1]} has no function of that name"
                )
            return found
    raise refusal(f"the ufunc {name}", "it is neither NumPy's nor SciPy's, so that nothing is known of its derivative")


def _array_ufunc(self: Tracer, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
    inputs = tuple([as_array(x) for x in inputs])
    if method == "at":
        return _at(ufunc, *inputs)
    outs = options.pop("out", None)
    for out in outs or ():
        if out is not None and type(out) is not Tracer:
            raise refusal(
                f"numpy.{ufunc.__name__}(..., out=a), or a ⊕= x,",
                "a traced result cannot be written into a NumPy array",
                "Write a = a ⊕ x; or make the array with like=, a = np.zeros(shape, like=x), which may be written to",
            )
    ours = _counterpart(ufunc)
    for name in _NO_MEANING:
        options.pop(name, None)
    if method == "__call__":
        result = _call(ufunc, ours, inputs, options, outs)
    else:
        result = _METHODS[method](ufunc, ours, *inputs, **options)
    if not outs:
        return result
    results = result if isinstance(result, tuple) else (result,)
    written = tuple([x if out is None else written_to(out, x) for out, x in zip(outs, results, strict=True)])
    return written if isinstance(result, tuple) else written[0]


def _call(ufunc: np.ufunc, ours: Callable[..., Any], inputs: Sequence[Any], options: dict[str, Any], outs: Any) -> Any:
    dtype, casting = options.pop("dtype", None), options.pop("casting", "same_kind")
    where = options.pop("where", True)
    if options and not ufunc.signature:
        raise refusal(f"numpy.{ufunc.__name__} with {', '.join(sorted(options))}", "such options are not traced")
    if dtype is not None:
        if all(types.endswith(_PREDICATES_END) for types in ufunc.types):
            raise refusal(f"numpy.{ufunc.__name__}(dtype=...)", "its result is always of booleans", "Drop dtype=")
        inputs = [retyped(x, dtype, casting) for x in inputs]
    if where is True:
        return ours(*inputs, **options)
    if not outs or ufunc.nout > 1:
        raise refusal(
            f"numpy.{ufunc.__name__}(where=...) without out=",
            "NumPy would leave whatever memory held where the mask is false",
            "Add out=np.zeros_like(x), or write np.where(mask, f(x), 0)",
        )
    safe = _HARMLESS.get(ufunc.__name__, 0.5)
    result = ours(*[gnp.where(where, x, safe) if _moves(x) else x for x in inputs], **options)
    return gnp.where(where, result, outs[0])


def _moves(x: Any) -> bool:
    return type(x) is Tracer and is_inexact(x.aval.dtype)


# -- methods


def _of(ufunc: np.ufunc, ours: Callable[..., Any], method: str, table: dict[str, str]) -> Callable[..., Any]:
    """The ufunc's own method, where gradlab.numpy has it, or the function that is the same."""
    found = getattr(ours, method, None)
    if found is None and ufunc.__name__ in table:
        found = getattr(gnp, table[ufunc.__name__])
    if found is None:
        raise refusal(f"numpy.{ufunc.__name__}.{method}", "gradlab.numpy has no function for it")
    return found


def _reduce(ufunc: np.ufunc, ours: Callable[..., Any], a: Any, axis: Any = 0, **options: Any) -> Any:
    if "where" in options and options["where"] is True:
        del options["where"]
    dtype = options.pop("dtype", None)
    reduced = _of(ufunc, ours, "reduce", _REDUCTIONS)
    known = {name: value for name, value in options.items() if value is not None and value is not False}
    return reduced(a if dtype is None else retyped(a, dtype, "unsafe"), axis=axis, **known)


def _accumulate(ufunc: np.ufunc, ours: Callable[..., Any], a: Any, axis: int = 0, dtype: Any = None) -> Any:
    return _of(ufunc, ours, "accumulate", _RUNNING)(a if dtype is None else retyped(a, dtype, "unsafe"), axis=axis)


def _outer(ufunc: np.ufunc, ours: Callable[..., Any], a: Any, b: Any, **options: Any) -> Any:
    a, b = gnp.asarray(a), gnp.asarray(b)
    return _call(ufunc, ours, (gnp.reshape(a, (*a.shape, *[1] * b.ndim)), b), options, None)


def _reduceat(ufunc: np.ufunc, ours: Callable[..., Any], a: Any, indices: Any, axis: int = 0, dtype: Any = None) -> Any:
    a = gnp.moveaxis(a if dtype is None else retyped(a, dtype, "unsafe"), axis, 0)
    starts = np.asarray(indices).tolist()
    stops = [*starts[1:], a.shape[0]]
    parts = [
        _reduce(ufunc, ours, a[i:j]) if i < j else a[i] for i, j in zip(starts, stops, strict=True)
    ]  # NumPy's rule: a start that is not before the next one stands for its element alone
    return gnp.moveaxis(gnp.stack(parts), 0, axis)


def _at(ufunc: np.ufunc, a: Any, indices: Any, *values: Any) -> None:
    method = _AT.get(ufunc.__name__)
    if type(a) is not Tracer or method is None or not values:
        raise refusal(
            f"numpy.{ufunc.__name__}.at",
            "a traced value cannot be written into a NumPy array" if method else "gradlab.numpy has no such update",
            f"Write x = x.at[i].{method or 'set'}(v) on a gradlab.numpy array, or make it with np.zeros(n, like=v)",
        )
    require_own(a)
    become(a, indices, getattr(a.at[indices], method)(*values))  # type: ignore[attr-defined]


_METHODS = {"reduce": _reduce, "accumulate": _accumulate, "outer": _outer, "reduceat": _reduceat}


def install() -> None:
    """Lets `Tracer` answer NumPy's protocols. Called once, when this file is imported."""
    Tracer.__array_ufunc__ = _array_ufunc  # type: ignore[attr-defined]
    Tracer.__array_function__ = array_function  # type: ignore[attr-defined]


install()
