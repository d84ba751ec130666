"""The derivative of what solves equations, by the implicit function theorem: whatever iterations led there.

What is differentiated is what the function closes over, its `args`, and the bounds that hold; the start has no
influence and no derivative.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .flat import Flat
from .result import Result

_DENSE_UP_TO = 1000  # unknowns for which the tangents' matrix is formed


def implicitly(
    run: Callable[[Any, Any, Sequence[Any]], Result],
    flat: Flat,
    equation: Callable[[jax.Array, Sequence[Any]], jax.Array],
    value: Callable[[jax.Array, Sequence[Any]], jax.Array],
) -> Callable[[Any, Any, Sequence[Any]], Result]:
    """`run(limits, box, inputs)`, whose x and f have derivatives (to any order, both modes) in box and the inputs
    beyond x0.

    **Arguments:** `equation(x, rest)`: (n,), zero at the solution in the entries no active bound holds. `value(x,
    rest)`: f.
    """
    n_x = len(flat.avals)
    solved = jax.custom_jvp(run)

    def rule(primals: Any, tangents: Any) -> tuple[Result, Result]:
        (limits, box, inputs), (_, d_box, d_inputs) = primals, tangents
        result = solved(limits, box, inputs)
        x = flat.vector(jax.tree_util.tree_leaves(result.x))
        rest, d_rest = inputs[n_x:], d_inputs[n_x:]
        free, held = jnp.ones(x.shape, bool), jnp.zeros_like(x)
        if box[0] is not None:
            low, high = x <= box[0], x >= box[1]
            free = ~(low | high)
            held = jnp.where(low, d_box[0], jnp.where(high, d_box[1], 0)).astype(x.dtype)

        def product(v: jax.Array) -> jax.Array:
            return jax.jvp(lambda x: equation(x, rest), (x,), (v,))[1]

        right = -jax.jvp(lambda rest: equation(x, rest), (rest,), (d_rest,))[1] - product(held)
        dx = held + _solved(product, jnp.where(free, right, 0), free).astype(x.dtype)
        df = jax.jvp(value, (x, rest), (dx, d_rest))[1]
        still = jax.tree_util.tree_map(_no_tangent, result)
        return result, replace(still, x=flat.unflatten(dx), f=df.astype(result.f.dtype))

    solved.defjvp(rule)
    return solved


def _solved(product: Callable, right: jax.Array, free: jax.Array) -> jax.Array:
    """v with (J v) = right in the free entries and 0 in the others."""

    def restricted(v: jax.Array) -> jax.Array:
        return jnp.where(free, product(jnp.where(free, v, 0)), v)

    n = right.size
    if n <= _DENSE_UP_TO:
        return jnp.linalg.solve(jax.vmap(restricted, out_axes=1)(jnp.eye(n, dtype=right.dtype)), right)
    found, _ = jax.scipy.sparse.linalg.gmres(restricted, right, tol=float(jnp.finfo(right.dtype).eps) ** 0.75)
    return found


def _no_tangent(leaf: Any) -> Any:
    leaf = jnp.asarray(leaf)
    if jnp.issubdtype(leaf.dtype, jnp.inexact):
        return jnp.zeros_like(leaf)
    return np.zeros(leaf.shape, jax.dtypes.float0)
