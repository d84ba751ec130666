"""What needs arrays with values: files and text. A tracer has a text, and is refused by files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from ..ir.errors import ConversionError
from ..trace.tracer import Tracer


def array_repr(arr: Any, *args: Any, **kwargs: Any) -> str:
    """`jax.numpy.array_repr`, of tracers too: their type."""
    return repr(arr) if type(arr) is Tracer else jnp.array_repr(arr, *args, **kwargs)


def array_str(a: Any, *args: Any, **kwargs: Any) -> str:
    """`jax.numpy.array_str`, of tracers too: their type."""
    return str(a) if type(a) is Tracer else jnp.array_str(a, *args, **kwargs)


def _to_file(name: str) -> Callable[..., Any]:
    native = getattr(jnp, name)

    def call(file: Any, *args: Any, **kwargs: Any) -> None:
        if any(type(x) is Tracer for x in (*args, *kwargs.values())):
            raise ConversionError(
                f"{name} was handed a tracer, which has no numbers yet. Return the array from the function that is "
                "being read, and write the result to the file."
            )
        native(file, *args, **kwargs)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"`jax.numpy.{name}`; a tracer is refused."
    return call


save = _to_file("save")
savez = _to_file("savez")
