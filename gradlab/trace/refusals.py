"""What NumPy and `math` cannot do to a tracer without losing its derivative, and what to write instead."""

from __future__ import annotations

from opcode import opname
from sys import _getframe
from types import FrameType
from typing import Any

import numpy as np

from ..ir.called import RESULT, called, mapped
from ..ir.errors import ConversionError, GradlabError, ItemAssignmentError
from ..ir.graph import Aval
from ..ir.where import user_frame

# Functions of `math` whose result has no derivative to lose.
_HARMLESS = frozenset(("floor", "ceil", "trunc", "isnan", "isinf", "isfinite", "isclose", "gcd", "lcm", "isqrt"))
_OF_MATH = {
    "fsum": "np.sum(np.stack([...]))",
    "dist": "np.linalg.norm(p - q)",
    "gamma": "np.exp(scipy.special.gammaln(x))",
    "lgamma": "scipy.special.gammaln(x)",
    "erf": "scipy.special.erf(x)",
    "erfc": "scipy.special.erfc(x)",
    "modf": "np.modf(x)",
    "pow": "x ** y",
    "phase": "np.angle(z)",
}

_ASSIGN = "Make y with y = np.zeros(shape, like=x), or y = np.array(y, like=x), and assignment to it is traced"
_LIST = "Join them first: np.stack([...]), or np.array([...], like=x)"
_DRAW = "Draw first and scale after: x + scale * rng.normal(size=n), or use gradlab.random"
_EACH = "Write the function for whole arrays, or apply it to each element with gradlab.vmap"
_JOIN = "Write np.concatenate or np.stack"
_REMEDIES = {
    "array": "Write np.array(x, like=x) or x.copy(); for a list of tracers np.stack([...]) or np.array([...], like=x)",
    "asarray": "Leave it out; for a list of tracers write np.stack([...]) or np.asarray([...], like=x)",
    "asanyarray": "Leave it out; for a list of tracers write np.stack([...])",
    "ascontiguousarray": "Leave it out",
    "fromiter": "Write np.stack(list(values))",
    "vectorize": _EACH,
    "nditer": "Loop over the array: for row in x",
    "ndenumerate": "Write enumerate(x), and enumerate(row) for each row",
    "r_": _JOIN,
    "c_": "Write np.stack([...], axis=1)",
    "mgrid": "The bounds decide a shape: pass Python numbers",
    "ogrid": "The bounds decide a shape: pass Python numbers",
    "arange": "The bounds decide a shape: pass Python numbers, and scale after",
    "zeros": "A shape needs Python ints",
    "matrix": "Use arrays and the operator @",
    "random": _DRAW,
    "default_rng": _DRAW,
    "ma": "Mark what is missing with where(mask, x, 0), or with NaN and np.nansum and its kin",
    "dot": "Write np.dot(a, x) or a @ x",
    "fill": "Write np.full(shape, value, like=value)",
    "put": _ASSIGN,
    "itemset": _ASSIGN,
    "__setitem__": _ASSIGN,
    "Polynomial": "Write np.polyval(coefficients[::-1], x), or Horner's rule",
    "float64": "Write x.astype(float), or float(x) where no derivative is wanted",
    "float32": "Write x.astype(np.float32), or float(x) where no derivative is wanted",
}
_RANDOM = (np.random.Generator, np.random.RandomState)
_BY_ARRAYS = (np.ndarray, *_RANDOM)


# Instructions in whose course C code may ask a tracer for its value: calls, and steps of an iterator such as map's.
_RUNNING = ("CALL", "PRECALL", "FOR_ITER", "UNPACK", "LIST_EXTEND", "SET_UPDATE")
_MATH = ("math", "cmath")


def _numpys(found: Any) -> bool:
    module = getattr(found, "__module__", None) or type(found).__module__
    return isinstance(module, str) and module.split(".")[0] == "numpy"


def _remedy(frame: FrameType | None) -> tuple[str, str]:
    """(what was called, what to write instead), as the user's line tells."""
    if frame is None:
        return "a NumPy function", _otherwise()
    code = opname[frame.f_code.co_code[frame.f_lasti]]
    if code == "STORE_SUBSCR":
        return "y[i] = x, y an array of NumPy's,", _ASSIGN
    if code == "STORE_SLICE":
        return "y[i:j] = x, y an array of NumPy's,", _ASSIGN
    names, found = called(frame)
    name = ".".join(names).replace("." + RESULT, RESULT)
    shown = f"{name}()" if code.startswith(("CALL", "PRECALL")) else f"{name}[...]"
    if not names:
        return "a NumPy function", _otherwise()
    for part in reversed(names):
        if part in _REMEDIES:
            return shown, _REMEDIES[part]
    if isinstance(getattr(found, "__self__", None), _RANDOM):
        return shown, _DRAW
    if type(found) is np.vectorize:
        return shown, _EACH
    if code.startswith("BINARY_"):
        return shown, f"Write gradlab.numpy.asarray({name})[i], or np.array({name}, like=x)[i]"
    if isinstance(getattr(found, "__self__", None), np.ndarray):
        return shown, f"Write the function np.{names[-1]}(...), which is traced, in place of the method"
    if _numpys(found):
        return shown, _LIST
    return shown, _otherwise()


def _otherwise() -> str:
    return "Write it with functions of gradlab.numpy (import gradlab.numpy as np)"


def not_an_array(aval: Aval) -> ConversionError:
    """The error for a tracer that NumPy wants as an array of plain numbers."""
    what, remedy = _remedy(user_frame(2))
    return ConversionError(
        f"{what} would turn a tracer ({aval}) into plain numbers, which would lose the derivative. {remedy}; for a "
        "constant, pass gradlab.stop_gradient(x) through float() or .tolist()."
    )


def loses_derivative(aval: Aval, depth: int = 3) -> GradlabError | None:
    """The error for `__float__` of a tracer, asked by something that computes on; None where the value will do."""
    caller = _getframe(depth)
    code = opname[caller.f_code.co_code[caller.f_lasti]]
    if code == "STORE_SUBSCR" or code == "STORE_SLICE":
        return ItemAssignmentError(
            f"y[i] = x would turn a tracer ({aval}) into a plain number of the NumPy array y and lose its derivative. "
            f"{_ASSIGN}; or write y = y.at[i].set(x) on an array of gradlab.numpy. Where no derivative is wanted, "
            "y[i] = float(x)."
        )
    if aval.dtype.kind not in "fc" or not code.startswith(_RUNNING):
        return None
    found = called(caller)[1] if code.startswith(("CALL", "PRECALL")) else None
    module = getattr(found, "__module__", None)
    if module not in _MATH and found is not float:
        applied = mapped(caller)
        if getattr(applied, "__module__", None) in _MATH:
            found, module = applied, applied.__module__
    if module in _MATH:
        name = getattr(found, "__name__", "")
        if name in _HARMLESS:
            return None
        instead = _OF_MATH.get(name, f"gradlab.numpy.{name}(x), or np.{name}(x) of plain NumPy")
        return ConversionError(
            f"{module}.{name} computes on plain numbers and would lose the derivative of a tracer ({aval}). Write "
            f"{instead}. Where no derivative is wanted, {module}.{name}(float(x))."
        )
    if found is not None and found is not float and (_numpys(found) or _belongs(found)):
        what, remedy = _remedy(caller)
        return ConversionError(
            f"{what} would turn a tracer ({aval}) into a plain number and lose its derivative. {remedy}. Where no "
            "derivative is wanted, pass float(x)."
        )
    return None


def _belongs(found: Any) -> bool:
    return isinstance(getattr(found, "__self__", None), _BY_ARRAYS)
