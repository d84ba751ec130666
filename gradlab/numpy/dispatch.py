"""The one rule of gradlab.numpy: record on tracers and inside a trace, and be jax.numpy everywhere else."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from ..ir.errors import ArgumentError
from ..ir.graph import Lit
from ..trace.avals import is_jax_tracer
from ..trace.builder import AMBIENT
from ..trace.tracer import HELD, Held, Tracer
from .aliasing import sharing

F = TypeVar("F", bound=Callable[..., Any])


def has_tracer(xs: Any) -> bool:
    """Whether a gradlab tracer is among `xs`, or in a list or tuple there."""
    for x in xs:
        kind = type(x)
        if kind is Tracer or ((kind is list or kind is tuple) and has_tracer(x)):
            return True
    return False


def has_jax_tracer(xs: Any) -> bool:
    return any(has_jax_tracer(x) if type(x) is list or type(x) is tuple else is_jax_tracer(x) for x in xs)


def read_held(x: Any) -> Any:
    """`x`, or in a list or tuple its items, with variables replaced by the arrays they hold."""
    if isinstance(x, Held):
        return x.read()
    return type(x)([read_held(y) for y in x]) if type(x) is tuple or type(x) is list else x


OPERANDS = (Tracer, Lit, bool, int, float, complex, np.ndarray, np.generic, jax.Array)


def is_operand(x: Any) -> bool:
    """Whether `x` is a number or an array, so that an operator may take it."""
    return type(x) is Tracer or isinstance(x, OPERANDS)  # (asking a tracer for its class costs a microsecond)


def recording(args: Any, kwargs: dict[str, Any]) -> bool:
    """Whether a call with these arguments is recorded: a tracer among them, or a trace open and no JAX tracer."""
    if has_tracer(args) or (kwargs and has_tracer(kwargs.values())):
        return True
    return bool(AMBIENT.stack) and not has_jax_tracer(args) and not has_jax_tracer(kwargs.values())


def no_sharding(name: str, out_sharding: Any) -> None:
    """**Raises:** `ArgumentError` if a sharding is asked for inside a program that is recorded."""
    if out_sharding is not None:
        raise ArgumentError(
            f"{name} was given out_sharding={out_sharding!r} inside a traced function, where arrays have no place yet. "
            "Leave it away; place the arguments (jax.device_put), or the result (gradlab.jit's out_shardings)."
        )


def _no_out(ours: Callable[..., Any], kwargs: dict[str, Any]) -> None:
    if kwargs and kwargs.get("out") is not None:
        raise ArgumentError(
            f"{ours.__name__} writes into no array: leave out= away and take the result. "
            "(Functions of plain NumPy write into y made with numpy.zeros(shape, like=x).)"
        )


def sized_by_values(native: str) -> Callable[[F], F]:
    """`public` for a function whose result has a shape that values decide: of known arrays it is computed at once."""
    ours = getattr(jnp, native)
    known = sharing(native)

    def decorate(fn: F) -> F:
        @wraps(fn)
        def call(*args: Any, **kwargs: Any) -> Any:
            if has_tracer(args) or (kwargs and has_tracer(kwargs.values())):
                return known(fn(*args, **kwargs), args, kwargs)
            if not AMBIENT.stack or has_jax_tracer(args) or has_jax_tracer(kwargs.values()):
                return ours(*args, **kwargs)
            with jax.ensure_compile_time_eval():  # a jax.jit around the trace would hide the values
                return ours(*args, **kwargs)

        return call  # type: ignore[return-value]

    return decorate


def _spelled_out(fn: Callable[..., Any], ours: Callable[..., Any]) -> inspect.Signature:
    """The signature of `fn`, where keywords it takes as they come (JAX's devices) have the names this version has."""
    signature = inspect.signature(fn)
    own = {p.name: p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD}
    if len(own) == len(signature.parameters):
        return signature
    theirs = inspect.signature(ours).parameters.values()
    more = [
        p.replace(annotation=Any) for p in theirs if p.kind in (p.KEYWORD_ONLY, p.VAR_KEYWORD) and p.name not in own
    ]
    return signature.replace(parameters=[*own.values(), *more])


def public(native: Callable[..., Any] | str) -> Callable[[F], F]:
    """Makes a function that records primitives into one that is `native` (of jax.numpy) on JAX's own arrays."""
    ours: Callable[..., Any] = getattr(jnp, native) if isinstance(native, str) else native
    known = sharing(ours.__name__)

    def decorate(fn: F) -> F:
        fn.__qualname__ = ours.__name__  # Python names it in complaints about arguments

        @wraps(fn)
        def call(*args: Any, **kwargs: Any) -> Any:
            if (args and type(args[0]) is Tracer) or recording(args, kwargs):
                _no_out(ours, kwargs)
                return known(fn(*args, **kwargs), args, kwargs)
            if HELD:
                args, kwargs = read_held(args), {name: read_held(x) for name, x in kwargs.items()}
            return ours(*args, **kwargs)

        def recorded(*args: Any, **kwargs: Any) -> Any:
            _no_out(ours, kwargs)
            return known(fn(*args, **kwargs), args, kwargs)

        call.recorded = recorded  # type: ignore[attr-defined]  # without the question, for methods of a tracer
        call.__signature__ = _spelled_out(fn, ours)  # type: ignore[attr-defined]
        return call  # type: ignore[return-value]

    return decorate
