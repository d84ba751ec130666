"""The methods `minimize` knows by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from typing import Any

from ..ir.errors import ArgumentError
from .bfgs import BFGS, GradientDescent
from .by_optax import ByOptax, is_transformation
from .lbfgs import LBFGS
from .lbfgsb import LBFGSB
from .method import Method
from .newton_cg import NewtonCG
from .trust_region import TrustRegion

METHODS: dict[str, Callable[..., Method]] = {
    "lbfgs": LBFGS,
    "lbfgsb": LBFGSB,
    "bfgs": BFGS,
    "gradient-descent": GradientDescent,
    "newton-cg": NewtonCG,
    "trust-region": TrustRegion,
}


def method_named(method: Any, options: Mapping[str, Any] | None, bounded: bool) -> Method:
    """The method with its options.

    **Raises:** `ArgumentError` for a name or an option nobody knows, or bounds that it does not take.
    """
    if isinstance(method, str):
        if bounded and method == "lbfgs":
            method = "lbfgsb"
        made = METHODS.get(method)
        if made is None:
            known = ", ".join(sorted(METHODS))
            raise ArgumentError(f"method must be one of {known}, or an Optax transformation, got {method!r}.")
        try:
            found = made(**options) if options else _usual(made)
        except TypeError as error:
            known = ", ".join(f.name for f in fields(made)) if isinstance(made, type) else ""  # type: ignore[arg-type]
            raise ArgumentError(f"method {method!r} has the options {known or '(none)'}; it said: {error}") from None
    else:
        found = ByOptax(method) if is_transformation(method) else method
        if not isinstance(found, Method):
            raise ArgumentError(f"method must be a name, a Method or an Optax transformation, got {method!r}.")
    if bounded and not found.bounded:
        raise ArgumentError(
            f'{type(found).__name__} takes no bounds. Use method="lbfgsb", or substitute x = lower + softplus(z).'
        )
    return found


@cache
def _usual(made: Callable[..., Method]) -> Method:
    """A method whose options are all left out."""
    return made()
