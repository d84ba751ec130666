"""`stage` and `source`: a function as the program it is read into, and as the jax.numpy text it is written out as."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import jax
import numpy as np

from ..ir.graph import Graph
from ..lower.emit import module_text
from ..lower.finish import finish
from ..passes.pipeline import tidy
from ..trace.tracer import Tracer
from .arguments import name_of, require_function
from .calling import FRESH
from .jitting import read_arrays

_INPUTS = (int, float, complex, np.ndarray, np.generic, jax.Array, Tracer)


def stage(fun: Callable) -> Callable[..., Graph]:
    """A function of the same arguments that returns the program `fun` is read into, a `Graph`: print it to look at it.

    Numbers and arrays become inputs, arrays closed over become further inputs; anything else is static. Concrete
    arguments give values to Python's `if` and `float()`, as in an eager call.
    **Raises:** `StructureError` if `fun` returns something that is no array.
    """

    require_function(fun, "stage")

    @wraps(fun)
    def staged(*args: Any, **kwargs: Any) -> Graph:
        kept, FRESH.on = FRESH.on, True
        try:
            reading, _ = read_arrays(fun, args, kwargs, _is_input, concrete=True)
            return reading.end()[0]
        finally:
            FRESH.on = kept

    return staged


def source(fun: Callable) -> Callable[..., str]:
    """A function of the same arguments that returns the jax.numpy source of `fun`: the very text that is compiled.

    The text is a module that needs only jax and numpy (and, where a comment says so, functions of JAX's that have no
    text: see `from_jax`); its function takes the arrays among the arguments, flattened in
    order (then the arrays `fun` closes over), and returns a tuple of the arrays of the result. A function with a custom
    derivative appears as what it computes; under `jit`, or inside a trace of JAX's own, where JAX may go on to
    differentiate the program, a call of it as `jax.custom_jvp` or `jax.custom_vjp` stands in the text instead.
    **Raises:** as `stage`.
    """
    staged = stage(fun)

    @wraps(fun)
    def written(*args: Any, **kwargs: Any) -> str:
        return module_text(finish(tidy(staged(*args, **kwargs))), name_of(fun))

    return written


def _is_input(leaf: Any) -> bool:
    return isinstance(leaf, _INPUTS) and not isinstance(leaf, bool)
