"""`fixed_point`: x with x = f(x), differentiated as the solution of that equation, not through the steps towards it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax

from .. import numpy as np
from ..api import custom_root, while_loop
from ..ir.errors import ArgumentError, DTypeError
from ..ir.graph import is_inexact
from ..trace.avals import aval_of
from .krylov import gmres

tree_leaves, tree_map = jax.tree_util.tree_leaves, jax.tree_util.tree_map


def fixed_point(
    f: Callable,
    x0: Any,
    args: Sequence[Any] = (),
    *,
    tol: float | None = None,
    max_iters: int = 1000,
    solve: Callable | None = None,
) -> Any:
    """x with x = f(x, *args), and its derivative, to any order, in `args` and in whatever traced f closes over.

    Memory and time of the derivative do not depend on how many iterations there were: with J = ∂f/∂x, it solves
    (I - J) dx = ∂f/∂args dargs, or the transposed system, by GMRES, which converges also where the iteration does not.
    **Arguments:** `f`: from the structure of `x0` to the same. `x0`: where the iteration starts, a pytree of real or
    complex arrays; it has no derivative. `tol`: the iteration x ← f(x) ends when, in each array, |f(x) - x| ≤ tol times
    the largest magnitude that has been there; the tangent system is solved to the same relative accuracy; ε^(3/4) of
    the dtype unless given. `max_iters`: of the iteration, and of GMRES. `solve(f, x0)`: another way to find x, given f
    as a function of x alone (Anderson, Newton); the accuracy is then its own affair.
    **Returns:** x; NaN everywhere if `max_iters` iterations were not enough. Where GMRES does not get there, the
    derivative is NaN.
    **Raises:** `StructureError`, `ShapeError`, `DTypeError` where f returns what is not like x0.
    """
    if max_iters < 1:
        raise ArgumentError(f"fixed_point needs at least one iteration, got max_iters={max_iters}.")
    for leaf in tree_leaves(x0):
        if not is_inexact(aval_of(leaf).dtype):
            raise DTypeError(
                f"fixed_point goes through real or complex arrays, but x0 holds {aval_of(leaf)}. Start from floats."
            )
    args = tuple(args)
    find = partial(iterate, tol=tol, max_iters=max_iters) if solve is None else solve

    def on_x(x: Any) -> Any:
        return f(x, *args)

    def difference(x: Any) -> Any:
        return tree_map(lambda new, old: new - old, on_x(x), x)

    return custom_root(
        difference,
        x0,
        lambda _, x: find(on_x, x),
        partial(gmres, tol=tol, max_steps=max_iters),
    )


def iterate(f: Callable, x0: Any, tol: float | None = None, max_iters: int = 1000) -> Any:
    """f(f(... f(x0))) when it no longer changes; `tol`, `max_iters` and NaN as `fixed_point`. Has no derivative."""

    def changes(old: Any, new: Any, size: Any) -> Any:
        eps = np.finfo(old.dtype).eps ** 0.75 if tol is None else tol
        return ~(np.isfinite(size) & np.all(np.abs(new - old) <= eps * size))

    def state_of(old: Any, new: Any, sizes: Sequence[Any], n: Any) -> tuple:
        sizes = [np.maximum(s, np.max(np.abs(y), initial=0)) for s, y in zip(sizes, tree_leaves(new), strict=True)]
        triples = zip(tree_leaves(old), tree_leaves(new), sizes, strict=True)
        return new, sizes, n, np.any(np.stack([changes(*triple) for triple in triples]))

    def step(state: tuple) -> tuple:
        x, sizes, n, _ = state
        return state_of(x, f(x), sizes, n + 1)

    sizes = [np.max(np.abs(x), initial=0) for x in tree_leaves(x0)]
    start = state_of(x0, f(x0), sizes, 1)
    x, _, _, changing = while_loop(lambda s: s[3] & (s[2] < max_iters), step, start)
    return tree_map(lambda leaf: np.where(changing, np.nan, leaf), x)
