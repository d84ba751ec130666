"""`stage`: a function as the program it is read into."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import jax
import numpy as np

from ..ir.graph import Graph
from ..trace.tracer import Tracer
from .arguments import require_function
from .jitting import read_arrays
from .naming import named

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
        with named():
            reading, _ = read_arrays(fun, args, kwargs, _is_input, concrete=True)
            return reading.end()[0]

    return staged


def _is_input(leaf: Any) -> bool:
    return isinstance(leaf, _INPUTS) and not isinstance(leaf, bool)
