"""NumPy's functions on tracers: found by name in gradlab.numpy, their arguments handed over by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from .. import numpy as gnp
from ..ir.errors import ConversionError, DTypeError, ShapeError
from ..numpy.assignment import assign, require_own
from ..numpy.dispatch import has_tracer
from ..trace.tracer import Tracer
from .numpy_refusals import why_refused


def refusal(name: str, why: str, instead: str = "") -> ConversionError:
    """The error for what cannot be done to a tracer."""
    instead = instead or (
        "Write the computation with functions of gradlab.numpy, or keep it outside the function that is differentiated"
    )
    return ConversionError(f"{name} was handed a tracer, and {why}. {instead}.")


def retyped(x: Any, dtype: Any, casting: str) -> Any:
    """`x` in the dtype that a call asks for, if NumPy would cast so."""
    have = x.dtype if hasattr(x, "dtype") else np.result_type(x)
    if not np.can_cast(have, dtype, casting):  # type: ignore[arg-type]
        raise DTypeError(f"a cast from {have} to {np.dtype(dtype)} is not {casting!r}. Write x.astype({dtype}).")
    return gnp.asarray(x).astype(dtype)


def written_to(out: Any, result: Any) -> Any:
    """`out=`: the tracer `out` stands for `result` from now on."""
    if type(out) is not Tracer:
        raise refusal(
            "a function with out=a",
            "a traced result cannot be written into a NumPy array",
            "Use what the function returns, or make the array with like=, a = np.zeros(shape, like=x)",
        )
    if not np.can_cast(result.dtype, out.dtype, "same_kind"):
        raise DTypeError(f"out= is {out.aval}, which does not hold a result of {result.dtype}. Give it that dtype.")
    if result.shape != out.shape:
        raise refusal("a function with out=a", f"a has shape {out.shape}, the result {result.shape}", "Drop out=")
    assign(out, ..., result)
    return out


# -- handing arguments over

_NO_MEANING = frozenset(("casting", "device", "kind", "like", "order", "subok"))  # none for values
_ARRAYS = frozenset((
    "A", "a", "append", "ar", "ar1", "ar2", "arr", "array", "ary", "aweights", "B", "b", "bins", "cond", "condition",
    "element", "f", "fp", "fweights", "indices", "left", "M", "m", "p", "prepend", "q", "right", "sample",
    "seq_of_zeros", "sorter", "test_elements", "to_begin", "to_end", "v", "val", "values", "weights", "x", "x1", "x2",
    "xi", "xp", "y", "y1", "y2", "z",
))  # fmt: skip


class _Call(NamedTuple):
    """How a function of NumPy's is called as ours.

    `required`: the arguments NumPy wants by position; `takes`: the names ours takes (None: any).
    """

    ours: Callable[..., Any]
    signature: inspect.Signature | None
    required: int
    takes: frozenset[str] | None
    anything: bool


def _plan(function: Callable[..., Any], ours: Callable[..., Any]) -> _Call:
    try:
        theirs: inspect.Signature | None = inspect.signature(function)
    except (TypeError, ValueError):  # some functions in C do not say
        theirs = None
    try:
        parameters: Iterable[inspect.Parameter] = inspect.signature(ours).parameters.values()
    except (TypeError, ValueError):
        parameters = ()
    names = frozenset(p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))
    anything = any(p.kind is p.VAR_KEYWORD for p in parameters)
    required = 0
    for p in theirs.parameters.values() if theirs else ():
        if p.kind is p.VAR_POSITIONAL:
            required = 1_000_000
            break
        if p.default is not p.empty or p.kind is p.KEYWORD_ONLY:
            break
        required += 1
    return _Call(ours, theirs, required, names or None, anything)


def _hand_over(call: _Call, name: str, args: tuple, kwargs: dict[str, Any]) -> Any:
    if not kwargs and len(args) <= call.required and not any(type(x) is list for x in args):
        return call.ours(*args)
    if call.signature is None:
        out = kwargs.pop("out", None)
        result = call.ours(*args, **{k: v for k, v in kwargs.items() if k not in _NO_MEANING})
        return result if out is None else written_to(out, result)
    bound = call.signature.bind(*args, **kwargs)
    given: list[Any] = []
    named: dict[str, Any] = {}
    out = None
    for key, value in bound.arguments.items():
        parameter = call.signature.parameters[key]
        by_place = parameter.kind is not parameter.KEYWORD_ONLY
        if parameter.kind is parameter.VAR_POSITIONAL:
            given += [as_array(x) if name != "einsum" else x for x in value]
        elif parameter.kind is parameter.VAR_KEYWORD:
            named.update({k: v for k, v in value.items() if k not in _NO_MEANING})
        elif key == "out":
            out = value
        elif parameter.kind is parameter.POSITIONAL_ONLY or (parameter.default is parameter.empty and by_place):
            given.append(as_array(value) if key in _ARRAYS else value)
        elif value is parameter.default or _same_text(value, parameter.default) or _means_nothing(key, call):
            pass
        elif call.takes is None or key in call.takes or call.anything:
            named[key] = as_array(value) if key in _ARRAYS else value
        else:
            raise refusal(f"numpy.{name}({key}={value!r})", "gradlab.numpy's function has no such argument")
    result = call.ours(*given, **named)
    if out is None:
        return result
    return written_to(out[0] if isinstance(out, tuple) else out, result)


def _same_text(value: Any, default: Any) -> bool:
    return type(value) is str and value == default


def _means_nothing(key: str, call: _Call) -> bool:
    """Whether the argument says nothing of values; order="F" of reshape does."""
    return key in _NO_MEANING and (key != "order" or call.takes is None or key not in call.takes)


def as_array(x: Any) -> Any:
    """`x`, an array if it is a list of numbers or arrays."""
    if type(x) is not list and type(x) is not tuple:
        return x
    return gnp.asarray(x) if has_tracer(x) else np.asarray(x)


# -- what NumPy has and gradlab.numpy has not, or has differently


def _through_numpy(function: Callable[..., Any]) -> Callable[..., Any]:
    """`like=` on a function that reads data: NumPy reads, the result is an array here."""
    return lambda *args, **kwargs: gnp.array(function(*args, **kwargs))


def _as_tuple(ours: str) -> Callable[..., Any]:
    def call(*args: Any, subok: bool = False, **kwargs: Any) -> Any:
        out = getattr(gnp, ours)(*map(as_array, args), **kwargs)
        return tuple(out) if type(out) is list else out

    return call


def _can_cast(from_: Any, to: Any, casting: str = "safe") -> bool:
    return np.can_cast(from_.dtype if type(from_) is Tracer else from_, to, casting)  # type: ignore[arg-type]


def _common_type(*arrays: Any) -> Any:
    return np.result_type(*[np.result_type(a.dtype, np.float64 if a.dtype.kind in "iu" else a.dtype) for a in arrays])


def _require(a: Any, dtype: Any = None, requirements: Any = None) -> Any:
    return gnp.asarray(a, dtype)


def _as_it_is(a: Any, dtype: Any = None, order: Any = None) -> Any:
    return gnp.asarray(a, dtype)


def _share(a: Any, b: Any, max_work: Any = None) -> bool:
    """Whether NumPy's arrays could share memory, as far as is known here."""
    if a is b:
        return True
    if type(a) is not Tracer or type(b) is not Tracer or type(a.shared) is not tuple or type(b.shared) is not tuple:
        return False
    return a.shared[0] is b.shared[0]


def _shown(function: Callable[..., Any]) -> Callable[..., str]:
    """The text of the values, where there are any."""
    return lambda a, *args, **kwargs: function(np.asarray(a.value("its text")), *args, **kwargs)


def _real_if_close(a: Any, tol: float = 100) -> Any:
    if gnp.asarray(a).dtype.kind == "c":
        raise refusal("numpy.real_if_close", "whether the result is complex would depend on values", "Write a.real")
    return gnp.asarray(a)


def _fix(x: Any, out: Any = None) -> Any:
    return gnp.trunc(x) if out is None else written_to(out, gnp.trunc(x))


def _einsum(*operands: Any, optimize: Any = True, **how: Any) -> Any:
    if isinstance(optimize, list | tuple) and optimize and optimize[0] == "einsum_path":
        optimize = list(optimize[1:])  # a path as NumPy writes it
    return gnp.einsum(*operands, optimize=optimize, **how)


def _einsum_path(*operands: Any, **how: Any) -> Any:
    """NumPy's own answer, which depends on shapes only."""
    return np.einsum_path(*[np.broadcast_to(0.0, x.shape) if type(x) is Tracer else x for x in operands], **how)


def _sliding_window_view(x: Any, window_shape: Any, axis: Any = None, *, subok: bool = False,
                         writeable: bool = False) -> Any:  # fmt: skip
    sizes = tuple(np.atleast_1d(window_shape).tolist())
    axes = range(x.ndim) if axis is None else np.atleast_1d(axis).tolist()
    if len(sizes) != len(axes):
        raise ShapeError(f"as many axes as window sizes are needed, got window_shape={window_shape}, axis={axis}.")
    for size, along in zip(sizes, axes, strict=True):
        along = along % gnp.ndim(x) if along < 0 else along
        n = x.shape[along] - size + 1
        if n < 1:
            raise ShapeError(f"a window of {size} does not fit an axis of {x.shape[along]}.")
        places = np.arange(n)[:, None] + np.arange(size)
        x = gnp.moveaxis(gnp.take(x, places, axis=along), along + 1, -1)
    return x


def _copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    _require_tracer("numpy.copyto", dst)
    src = retyped(as_array(src), dst.dtype, casting) if type(src) is Tracer else src
    assign(dst, ..., src if where is True else gnp.where(where, src, dst))


def _fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    _require_tracer("numpy.fill_diagonal", a)
    if wrap and a.ndim == 2 and a.shape[0] > a.shape[1]:
        raise refusal("numpy.fill_diagonal(wrap=True)", "a tall matrix would be filled again", "Write a[i, j] = v")
    assign(a, (np.arange(min(a.shape)),) * a.ndim, as_array(val))


def _put(a: Any, ind: Any, v: Any, mode: str = "raise") -> None:
    _require_tracer("numpy.put", a)
    places = np.asarray(ind).ravel()
    values = gnp.ravel(gnp.asarray(v))
    if values.size not in (1, places.size):
        raise refusal("numpy.put", "values would be repeated", "Give one value, or one for each index")
    if mode != "raise":
        places = places % a.size if mode == "wrap" else np.clip(places, 0, a.size - 1)
    at = np.unravel_index(np.where(places < 0, places + a.size, places), a.shape)
    assign(a, at, values if values.size == places.size else values[0])


def _putmask(a: Any, mask: Any, values: Any) -> None:
    _require_tracer("numpy.putmask", a)
    values = gnp.asarray(values)
    if values.size != 1 and values.shape != a.shape:
        raise refusal("numpy.putmask", "values would be repeated", "Write a[mask] = v")
    assign(a, ..., gnp.where(mask, values, a))


def _place(arr: Any, mask: Any, vals: Any) -> None:
    _require_tracer("numpy.place", arr)
    vals = gnp.ravel(gnp.asarray(vals))
    if vals.size != 1:
        raise refusal("numpy.place", "values would be repeated", "Write arr[mask] = v")
    assign(arr, mask, vals[0])


def _put_along_axis(arr: Any, indices: Any, values: Any, axis: int | None = -1) -> None:
    _require_tracer("numpy.put_along_axis", arr)
    if axis is None:
        raise refusal("numpy.put_along_axis(axis=None)", "it writes into a flat view", "Write np.put(arr, i, v)")
    grid = list(np.ogrid[tuple(slice(n) for n in indices.shape)])
    grid[axis] = indices
    assign(arr, tuple(grid), values)


def _require_tracer(name: str, a: Any) -> None:
    if type(a) is not Tracer:
        raise refusal(
            f"{name} of a NumPy array",
            "a traced value cannot be written into one",
            "Make the array with like=, a = np.zeros(shape, like=x), which may be written to",
        )
    require_own(a)


_READ_DATA = ("frombuffer", "fromfile", "fromfunction", "fromiter", "fromstring", "genfromtxt", "loadtxt")
_OWN: dict[str, Callable[..., Any]] = {
    **{f"numpy.{name}": _through_numpy(getattr(np, name)) for name in _READ_DATA},
    **{f"numpy.{name}": _shown(getattr(np, name)) for name in ("array2string", "array_repr", "array_str")},
    "numpy.asanyarray": _as_it_is,
    "numpy.ascontiguousarray": _as_it_is,
    "numpy.asfortranarray": _as_it_is,
    "numpy.atleast_1d": _as_tuple("atleast_1d"),
    "numpy.atleast_2d": _as_tuple("atleast_2d"),
    "numpy.atleast_3d": _as_tuple("atleast_3d"),
    "numpy.broadcast_arrays": _as_tuple("broadcast_arrays"),
    "numpy.can_cast": _can_cast,
    "numpy.common_type": _common_type,
    "numpy.copyto": _copyto,
    "numpy.einsum": _einsum,
    "numpy.einsum_path": _einsum_path,
    "numpy.fill_diagonal": _fill_diagonal,
    "numpy.fix": _fix,
    "numpy.lib.stride_tricks.sliding_window_view": _sliding_window_view,
    "numpy.may_share_memory": _share,
    "numpy.meshgrid": _as_tuple("meshgrid"),
    "numpy.min_scalar_type": lambda a, /: a.dtype,
    "numpy.place": _place,
    "numpy.put": _put,
    "numpy.put_along_axis": _put_along_axis,
    "numpy.putmask": _putmask,
    "numpy.real_if_close": _real_if_close,
    "numpy.require": _require,
    "numpy.shares_memory": _share,
}
_NAMESPACES = {
    "numpy": gnp, "numpy.linalg": gnp.linalg, "numpy.fft": gnp.fft,
}  # fmt: skip
_PLANS: dict[Callable[..., Any], _Call] = {}


def counterpart(function: Callable[..., Any]) -> Callable[..., Any]:
    """Our function for one of NumPy's.

    **Raises:** `ConversionError` where there is none, with the reason.
    """
    module = getattr(function, "__module__", None) or "numpy"
    name = f"{module}.{function.__name__}"
    why = why_refused(name)
    if why is not None:
        raise refusal(name, *why)
    ours = _OWN.get(name) or getattr(_NAMESPACES.get(module), function.__name__, None)
    if not callable(ours):
        raise refusal(name, "gradlab.numpy has no function of that name")
    return ours


def array_function(self: Tracer, function: Callable[..., Any], types: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    """What `__array_function__` answers: our function of that name, on the arguments by name."""
    for kind in types:
        if kind is not Tracer and not issubclass(kind, np.ndarray):
            return NotImplemented
    call = _PLANS.get(function)
    if call is None:
        call = _PLANS[function] = _plan(function, counterpart(function))
    return _hand_over(call, function.__name__, args, kwargs)
