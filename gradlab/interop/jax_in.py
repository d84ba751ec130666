"""Functions written in jax.numpy: `from_jax` reads one into the IR, and every transformation does so by itself.

A tracer of gradlab's is no array to jax.numpy. A function that hands it one fails; it is then run again, on tracers of
JAX's own, and what JAX recorded is read. So its side effects happen twice on the first call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from ..api.arguments import Call, OnLeaves, require_function, tree_flatten, tree_unflatten
from ..api.dialect import DIALECTS
from ..control.subprogram import call as call_program
from ..ir.errors import ConversionError, EscapedTracerError, GradlabError, HandedTracerError
from ..ir.graph import Aval, Graph, Lit
from ..ir.where import INTERNAL, PACKAGE
from ..lower.compile import LRU
from ..passes.pipeline import tidy
from ..trace.avals import aval_of, is_jax_tracer, x64
from ..trace.builder import AMBIENT, Builder, innermost
from ..trace.tracer import Tracer
from . import lax_calls, lax_index, lax_loops, lax_numeric, lax_table  # noqa: F401  (they fill the table of rules)
from .jaxpr import aval_from, program, read, with_type
from .remembered import LIBRARIES, Remembered

_NUMPYS = tuple(str(Path(LIBRARIES) / name) for name in ("numpy", "scipy")) + (PACKAGE,)
_WANTS_VALUES = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.NonConcreteBooleanIndexError,
)


# -- from_jax


class _Reading(NamedTuple):
    """A function read once: its program, what that captured, and how to make the result of its outputs."""

    graph: Graph
    captured: list[Any]
    result: Callable[[Sequence[Any]], Any]


def from_jax(fun: Callable) -> Callable:
    """`fun`, a function written in jax.numpy (or with libraries on top of it), for use in functions gradlab transforms.

    On gradlab's tracers, it is read through JAX: each equation of its jaxpr becomes an equation of the program, nested
    jit is inlined, custom rules are kept, and what the IR has no word for is one opaque equation that asks JAX for its
    derivative (`gradlab.source` shows it as a call of a function of JAX's that its reader has to supply). As under
    jax.jit, its Python runs once for each combination of the arguments' types (and of the values of arguments that are
    no floating numbers or arrays), its control flow may not depend on values of arrays, and calls without a result
    (jax.debug.print) are left out. On anything else, the result is that of `fun`.

    `gradlab.grad` and the other transformations do all this by themselves for a function that turns out to call
    jax.numpy on its tracers (Python then runs every time, and twice the first time); what `from_jax` saves is reading
    it again for every eager call.
    **Arguments:** `fun`: of pytrees of arrays, and of static values.
    **Raises:** when it is called: `ConversionError` where `fun` asks for the value of an array.
    """
    require_function(fun, "from_jax")
    known = LRU(128)

    @wraps(fun)
    def read_through_jax(*args: Any, **kwargs: Any) -> Any:
        leaves, tree = tree_flatten((args, kwargs))
        builder = innermost(leaves)
        if builder is None:
            return _outside(fun, *args, **kwargs)
        moving = [k for k, leaf in enumerate(leaves) if isinstance(leaf, _MOVING)]
        xs = [_operand(leaves[k]) for k in moving]
        avals = tuple([aval_of(x) for x in xs])
        key = (tree, avals, tuple([_static(leaf) for leaf in leaves if not isinstance(leaf, _MOVING)]), *_settings())
        found = known.get(key)
        if found is None:

            def call(new: Sequence[Any]) -> Any:
                every = list(leaves)
                for k, x in zip(moving, new, strict=True):
                    every[k] = x
                args, kwargs = tree_unflatten(tree, every)
                return fun(*args, **kwargs)

            found = _read_once(call, avals)
            if not any(map(is_jax_tracer, found.captured)):
                known.put(key, found)
        if not found.graph.inputs:
            return found.result(found.graph.outputs)
        return found.result(call_program(found.graph, [*xs, *found.captured]))

    return read_through_jax


_MOVING = (Tracer, jax.Array, np.ndarray, np.generic, float, complex)


def _operand(leaf: Any) -> Any:
    """A Python number as an operand of its own type."""
    return Lit(leaf, aval_of(leaf)) if isinstance(leaf, float | complex) else leaf


def _static(leaf: Any) -> Any:
    try:
        hash(leaf)
    except TypeError:
        raise ConversionError(
            f"a function read with from_jax was given {leaf!r} of type {type(leaf).__name__}, which is no array and "
            "cannot be hashed. Register its class as a pytree, or close over it."
        ) from None
    return (type(leaf), leaf)


def _settings() -> tuple:
    """What of JAX's configuration decides what a function is read as."""
    return x64(), jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]


def _read_once(call: Callable[[Sequence[Any]], Any], avals: Sequence[Aval]) -> _Reading:
    builder = Builder()
    with builder:
        outs, result = _recorded(call, [builder.input(aval) for aval in avals])
        outs = [builder.operand(out, None) for out in outs]
    graph, captured = tidy(builder.graph(outs)), [x for _, x in builder.captured]
    builder.close()
    return _Reading(graph, captured, result)


def _recorded(call: Callable[[Sequence[Any]], Any], xs: Sequence[Any]) -> tuple[list[Any], Callable]:
    """The arrays `call(xs)` returns, read through JAX and recorded in the trace at hand; and how to put them back."""
    back: list[Any] = []

    def flat(*leaves: Any) -> list[Any]:
        found, tree = tree_flatten(call(list(leaves)))
        if any(type(leaf) is Tracer for leaf in found):
            raise HandedTracerError("a function read through JAX returned a tracer of an enclosing gradlab trace")
        places = [k for k, leaf in enumerate(found) if is_jax_tracer(leaf)]
        back[:] = [tree, places, [None if is_jax_tracer(leaf) else leaf for leaf in found]]
        return [found[k] for k in places]

    with _explained():
        closed = program(flat, [x.aval for x in xs])
    outs = read(closed.jaxpr, closed.consts, xs)
    outs = [with_type(out, aval_from(v.aval)) for out, v in zip(outs, closed.jaxpr.outvars, strict=True)]
    tree, places, rest = back

    def result(values: Sequence[Any]) -> Any:
        leaves = list(rest)
        for k, value in zip(places, values, strict=True):
            leaves[k] = value
        return tree_unflatten(tree, leaves)

    return outs, result


@contextmanager
def _explained():
    """What JAX's tracers complain about, in words that name the remedies."""
    try:
        yield
    except _WANTS_VALUES as error:
        raise ConversionError(
            "a function that calls jax.numpy on its arguments is read as a whole through JAX, where arrays have no "
            "values yet; but it asks for one (if, while, float(), a NumPy function). Either import gradlab.numpy "
            "in place of jax.numpy, whose eager derivatives have values for Python's control flow; or keep jax.numpy "
            "and write the choice with jax.lax.cond or jax.numpy.where (gradlab.from_jax marks a part that is written "
            f"so). It said: {str(error).splitlines()[0]}"
        ).at(_line(error)) from error
    except Exception as error:
        # In a trace within another one; a tracer of that other one looks escaped, for JAX hides its trace.
        met = isinstance(error, EscapedTracerError) or _names_tracer(error) or _asked_for_numbers(error)
        if len(AMBIENT.stack) > 1 and met and not isinstance(error, HandedTracerError):
            raise HandedTracerError(
                "a function read through JAX closes over a tracer of an enclosing gradlab trace. "
                f"Pass it as an argument. It said: {error}"
            ).at(_line(error)) from error
        raise


def _line(error: BaseException) -> str | None:
    """The user's innermost line on the way to an error."""
    line, step = None, error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        if not INTERNAL[code.co_filename]:
            line = f"{code.co_filename}:{step.tb_lineno} in {code.co_name}"
        step = step.tb_next
    return line


# -- by itself


def _outside(fun: Callable, *args: Any, **kwargs: Any) -> Any:
    kept, AMBIENT.stack = AMBIENT.stack, ()
    try:
        return fun(*args, **kwargs)
    finally:
        AMBIENT.stack = kept


class _Jax:
    """How gradlab notices that a function calls jax.numpy on its tracers, and reads it then."""

    def __init__(self) -> None:
        self._known = Remembered()

    def knows(self, fun: Callable) -> bool:
        return fun in self._known

    def remember(self, fun: Callable) -> None:
        self._known.add(fun)

    def concerns(self, error: Exception) -> bool:
        if isinstance(error, HandedTracerError):
            return True
        if isinstance(error, GradlabError) and type(error) is not ConversionError:
            return False
        return _names_tracer(error) or _raised_by_library(error)

    def read(self, call: Callable[[Sequence[Any]], Any], xs: Sequence[Any]) -> Any:
        # Tracers of enclosing traces among the arguments become arguments of what JAX reads.
        others, whole = call.lifted() if isinstance(call, Call | OnLeaves) else ([], call)
        here = AMBIENT.stack[-1]
        outs, result = _recorded(whole, [*xs, *(here.operand(x, None) for x in others)])
        return result(outs)

    def outside(self, fun: Callable, *args: Any, **kwargs: Any) -> Any:
        with _explained():
            return _outside(fun, *args, **kwargs)


def _names_tracer(error: BaseException) -> bool:
    """Whether another library complains of a tracer of ours."""
    text = str(error) + repr(error.args)
    return not isinstance(error, GradlabError) and ("gradlab.trace.tracer.Tracer" in text or "Tracer<" in text)


def _asked_for_numbers(error: BaseException) -> bool:
    """Whether a library that stands on JAX wanted a tracer of ours as a NumPy array."""
    return type(error) is ConversionError and _raised_by_library(error)


def _raised_by_library(error: BaseException) -> bool:
    """Whether the innermost frame that is not gradlab's belongs to an installed library other than NumPy and SciPy."""
    inner, step = "", error.__traceback__
    while step is not None:
        filename = step.tb_frame.f_code.co_filename
        if not filename.startswith((PACKAGE, "<")):
            inner = filename
        step = step.tb_next
    return inner.startswith(LIBRARIES) and not inner.startswith(_NUMPYS)


DIALECTS.append(_Jax())
