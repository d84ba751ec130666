"""`gmres`: x with A x = b for a matrix known only by what it does: the residual made small in ever more directions.

Nothing is differentiated here; `gl.custom_linear_solve(matvec, b, gmres, gmres)` has the derivatives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from .. import numpy as np
from ..api import while_loop

KEPT = 32  # directions kept before it starts again from what it has
_STALLED = 0.9  # a residual that shrinks by less than this in a step is no new direction


def gmres(matvec: Callable, b: Any, tol: float | None = None, max_steps: int = 1000) -> Any:
    """x with `matvec(x)` = b, by the generalised minimal residual method, restarted every 32 products.

    **Arguments:** `matvec`: linear, from the structure of `b` to the same. `b`: a pytree of real or complex arrays.
    `tol`: it ends when |b - A x| ≤ tol (|b| + |A| |x|), the norms Euclidean and |A| estimated from below; ε^(3/4) of
    the dtype unless given. `max_steps`: the products with A it may take (each restart takes one more).
    **Returns:** x; NaN everywhere if it was not accurate enough after `max_steps`.
    **Source:** P. Jiránek and M. Rozložník, Adaptive version of Simpler GMRES, Numer. Algorithms 53 (2010): the next
    direction is the residual while that shrinks and the last image of A where it stalls, so no least-squares problem
    is solved, and the residual is at hand in each step. For at most 32 unknowns it is a direct method.
    """
    leaves, tree = jax.tree_util.tree_flatten(b)
    flat = [np.asarray(leaf).ravel() for leaf in leaves]
    rhs = np.concatenate(flat) if len(flat) > 1 else flat[0]
    kept = max(1, min(KEPT, rhs.size))
    accuracy = float(np.finfo(rhs.dtype).eps) ** 0.75 if tol is None else tol

    def product(x: Any) -> Any:
        parts, start = [], 0
        for leaf in leaves:
            stop = start + leaf.size
            parts.append(x[start:stop].reshape(leaf.shape).astype(leaf.dtype))
            start = stop
        found = [np.asarray(y).ravel() for y in jax.tree_util.tree_leaves(matvec(tree.unflatten(parts)))]
        return (np.concatenate(found) if len(found) > 1 else found[0]).astype(rhs.dtype)

    size = np.linalg.norm(rhs)

    def enough(state: dict) -> Any:
        return accuracy * (size + state["A"] * np.linalg.norm(state["x"]))

    def going(state: dict) -> Any:
        return (np.linalg.norm(state["r"]) > enough(state)) & (state["steps"] < max_steps)

    def step(state: dict) -> dict:
        """One more direction d, its image A d made orthonormal to the images of those before it."""
        d, r = state["d"], state["r"]
        d = d / _or_one(np.linalg.norm(d))
        q = product(d)
        grown = np.maximum(state["A"], np.linalg.norm(q))
        for _ in range(2):  # once more: what rounding left of the projection
            h = state["Q"].conj() @ q
            q, d = q - h @ state["Q"], d - h @ state["P"]
        length = np.linalg.norm(q)
        # Nothing new: the directions span all that A reaches from here, or rounding is all that is left.
        scale = np.where(length > 10 * np.finfo(rhs.dtype).eps * grown, 1 / _or_one(length), 0)
        q, d = q * scale, d * scale
        along = np.vdot(q, r)
        now = r - along * q
        shrinks = np.linalg.norm(now) < _STALLED * np.linalg.norm(r)
        k = state["k"]
        return {
            "x": state["x"] + along * d,
            "r": now,
            "d": np.where(shrinks, now, q),
            "P": state["P"].at[k].set(d),
            "Q": state["Q"].at[k].set(q),
            "k": np.where(scale == 0, kept, k + 1),
            "A": grown,
            "steps": state["steps"] + 1,
        }

    def cycle(state: dict) -> dict:
        """From the true residual until all directions are there; their images may have drifted by rounding."""
        empty = np.zeros((kept, rhs.size), rhs.dtype)
        state = {**state, "d": state["r"], "P": empty, "Q": empty, "k": 0}
        end = while_loop(lambda s: going(s) & (s["k"] < kept), step, state)
        return {**{name: end[name] for name in ("x", "A", "steps")}, "r": rhs - product(end["x"])}

    start = {"x": np.zeros_like(rhs), "r": rhs, "A": np.zeros_like(size), "steps": 0}
    end = while_loop(going, cycle, start)
    x = np.where(np.linalg.norm(end["r"]) <= enough(end), end["x"], np.nan)
    parts, start = [], 0
    for leaf in leaves:
        parts.append(x[start : start + leaf.size].reshape(leaf.shape).astype(leaf.dtype))
        start += leaf.size
    return tree.unflatten(parts)


def _or_one(length: Any) -> Any:
    return np.where(length > 0, length, 1)
