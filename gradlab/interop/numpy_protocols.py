"""NumPy's functions on tracers: `np.sin(x)`, `ndarray + x`, `np.concatenate([x, y])` mean those of gradlab.numpy.

SciPy's ufuncs come the same way, by name: `scipy.special.erf(x)` means `gradlab.numpy.special.erf`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import numpy as gnp
from ..ir.errors import ConversionError
from ..trace.tracer import Tracer

_NAMESPACES = {"numpy": gnp, "numpy.linalg": gnp.linalg}


def _refusal(name: str, why: str) -> ConversionError:
    return ConversionError(
        f"{name} was handed a tracer, and {why}. Write the computation with functions of gradlab.numpy, "
        "or keep it outside the function that is differentiated."
    )


def _ours(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function of gradlab.numpy that stands for NumPy's."""
    module = getattr(function, "__module__", None) or "numpy"
    found = getattr(_NAMESPACES.get(module), function.__name__, None)
    if not callable(found):
        raise _refusal(f"{module}.{function.__name__}", "gradlab.numpy has no function of that name")
    return found


def _name_of(ufunc: np.ufunc) -> str:
    """The ufunc's name after its module, which it does not know; SciPy is asked only where it is imported already."""
    for module in ("numpy", "scipy.special"):
        if getattr(sys.modules.get(module), ufunc.__name__, None) is ufunc:
            return f"{module}.{ufunc.__name__}"
    return f"the ufunc {ufunc.__name__}"


def _array_ufunc(self: Tracer, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
    if options.get("out") is not None:
        raise _refusal(f"{_name_of(ufunc)}(out=...)", "a traced result cannot be written into a NumPy array")
    if method != "__call__":
        raise _refusal(f"{_name_of(ufunc)}.{method}", "only plain calls of ufuncs are traced")
    found = getattr(gnp, ufunc.__name__, None) or getattr(gnp.special, ufunc.__name__, None)
    if found is None:
        raise _refusal(_name_of(ufunc), "neither gradlab.numpy nor gradlab.numpy.special has a function of that name")
    if options:
        raise _refusal(f"{_name_of(ufunc)} with {', '.join(sorted(options))}", "such options are not traced")
    return found(*inputs)


def _array_function(self: Tracer, function: Callable[..., Any], types: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    if kwargs.get("out") is not None:
        raise _refusal(f"numpy.{function.__name__}(out=...)", "a traced result cannot be written into a NumPy array")
    return _ours(function)(*args, **kwargs)


def install() -> None:
    """Lets `Tracer` answer NumPy's protocols. Called once, when this file is imported."""
    Tracer.__array_ufunc__ = _array_ufunc  # type: ignore[attr-defined]
    Tracer.__array_function__ = _array_function  # type: ignore[attr-defined]


install()
