"""The one rule of gradlab.numpy: record on tracers and inside a trace, and be jax.numpy everywhere else."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from ..ir.graph import Lit
from ..trace.avals import is_jax_tracer
from ..trace.builder import AMBIENT
from ..trace.tracer import Tracer

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


OPERANDS = (Tracer, Lit, bool, int, float, complex, np.ndarray, np.generic, jax.Array)


def is_operand(x: Any) -> bool:
    """Whether `x` is a number or an array, so that an operator may take it."""
    return isinstance(x, OPERANDS)


def recording(args: Any, kwargs: dict[str, Any]) -> bool:
    """Whether a call with these arguments is recorded: a tracer among them, or a trace open and no JAX tracer."""
    if has_tracer(args) or (kwargs and has_tracer(kwargs.values())):
        return True
    return bool(AMBIENT.stack) and not has_jax_tracer(args) and not has_jax_tracer(kwargs.values())


def public(native: Callable[..., Any] | str) -> Callable[[F], F]:
    """Makes a function that records primitives into one that is `native` (of jax.numpy) on JAX's own arrays."""
    ours: Callable[..., Any] = getattr(jnp, native) if isinstance(native, str) else native

    def decorate(fn: F) -> F:
        @wraps(fn)
        def call(*args: Any, **kwargs: Any) -> Any:
            if args and type(args[0]) is Tracer:
                return fn(*args, **kwargs)
            return fn(*args, **kwargs) if recording(args, kwargs) else ours(*args, **kwargs)

        return call  # type: ignore[return-value]

    return decorate
