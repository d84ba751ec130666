"""Performance and data profiles: the distribution of what problems cost a method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ..ir.errors import ArgumentError


class Profile(NamedTuple):
    """A step function: the share of problems with a cost (or ratio) of at most `x` (k,), ascending."""

    x: np.ndarray
    share: np.ndarray


def performance_profile(costs: Mapping[str, Sequence[float] | np.ndarray]) -> dict[str, Profile]:
    """ρ_s(τ), the share of problems that method s solves within τ times the cost of the best method, from τ = 1 on.

    **Arguments:** `costs`: method → cost of each problem (p,), inf where it was not solved.
    **Raises:** `ArgumentError` where methods have unlike numbers of problems, or a cost is not positive.
    **Source:** Dolan & Moré, *Mathematical Programming* 91 (2002) 201–213, equation 2.1.
    """
    table = _table(costs)
    best = table.min(axis=0)
    with np.errstate(invalid="ignore"):
        ratios = np.where(np.isfinite(table), table / best, np.inf)
    return {name: _distribution(row, 1.0) for name, row in zip(costs, ratios, strict=True)}


def data_profile(costs: Mapping[str, Sequence[float] | np.ndarray]) -> dict[str, Profile]:
    """d_s(α), the share of problems that method s solves at a cost of at most α.

    **Arguments, Raises:** as `performance_profile`.
    **Source:** Moré & Wild, *SIAM J. Optim.* 20 (2009) 172–191, equation 2.9; their unit is n + 1 evaluations of f,
    which is what one evaluation of f with its gradient tells.
    """
    table = _table(costs)
    finite = table[np.isfinite(table)]
    return {
        name: _distribution(row, float(finite.min()) if finite.size else 1.0)
        for name, row in zip(costs, table, strict=True)
    }


def _table(costs: Mapping[str, Sequence[float] | np.ndarray]) -> np.ndarray:
    rows = [np.asarray(row, float) for row in costs.values()]
    if not rows or {row.shape for row in rows} != {(len(rows[0]),)} or not len(rows[0]):
        raise ArgumentError(
            f"a profile needs for each method the costs of the same problems, got {[row.shape for row in rows]}."
        )
    table = np.stack(rows)
    if np.any(np.isnan(table)) or np.any(table <= 0):
        raise ArgumentError("a cost must be positive, and inf where a problem was not solved.")
    return table


def _distribution(row: np.ndarray, start: float) -> Profile:
    solved = np.sort(row[np.isfinite(row)])
    x, last = np.unique(solved, return_index=False), np.searchsorted(solved, np.unique(solved), side="right")
    share = last / len(row)
    if not len(x) or x[0] > start:
        x, share = np.append(start, x), np.append(0.0, share)
    return Profile(x, share)
