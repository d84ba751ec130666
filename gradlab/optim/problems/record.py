"""`Problem`: a function to be minimised, with its start, its box, and the minima its source gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

MGH = "Moré, Garbow & Hillstrom, ACM TOMS 7 (1981) 17-41"


@dataclass(frozen=True)
class SumOfSquares:
    """x ↦ Σ residuals(x)², without the factor ½."""

    residuals: Callable[[Any], Any]

    def __call__(self, x: Any) -> Any:
        r = self.residuals(x)
        return (r * r).sum()


@dataclass(frozen=True, eq=False)
class Problem:
    """A function to be minimised, and what is known about it.

    **Attributes:** `name`; `fun(x)`: the objective; `x0`: the source's start, a float64 array or a pytree of them;
    `f_min`: the least value, None where nobody knows it; `residuals(x)`: (m,), with fun = Σ residuals², or None;
    `minima`: values of other local minima, and of valleys that fall towards infinity; `bounds`: (lower, upper), each
    of the shape of x0 with ±inf where free, or None; `source`.
    """

    name: str
    fun: Callable[[Any], Any]
    x0: Any
    f_min: float | None
    residuals: Callable[[Any], Any] | None = None
    minima: tuple[float, ...] = ()
    bounds: tuple[Any, Any] | None = None
    source: str = MGH

    @property
    def n(self) -> int:
        """How many numbers x has."""
        return sum(np.size(leaf) for leaf in jax.tree_util.tree_leaves(self.x0))

    def solved(self, f: float, tol: float = 1e-6, local: bool = True) -> bool:
        """Whether f − f* ≤ tol·max(1, |f*|), f* the least value or (with `local`) any minimum the source documents.

        A value below the least one known counts too: valleys fall below what is printed with six digits.
        """
        if self.f_min is None or not np.isfinite(f):
            return False
        if f - self.f_min <= tol * max(1.0, abs(self.f_min)):
            return True
        return local and any(abs(f - known) <= tol * max(1.0, abs(known)) for known in self.minima)

    def scaled(self, factor: float) -> Problem:
        """The same problem from `factor` times its start."""
        x0 = jax.tree_util.tree_map(lambda leaf: factor * leaf, self.x0)
        return Problem(
            f"{self.name} from {factor:g}·x0", self.fun, x0, self.f_min, self.residuals, self.minima, self.bounds,
            self.source,
        )  # fmt: skip


def least_squares(
    name: str, residuals: Callable[[Any], Any], x0: Any, f_min: float, minima: tuple[float, ...] = (), **known: Any
) -> Problem:
    """The problem of minimising Σ residuals²."""
    start = np.asarray(x0, np.float64)
    return Problem(name, SumOfSquares(residuals), start, f_min, residuals, minima, **known)
