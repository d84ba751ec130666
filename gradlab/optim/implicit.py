"""The derivative of a solution: of the equation it solves, by the implicit function theorem, not of the iterations.

What is differentiated is what the function closes over and its `args`; the start has no influence and no derivative.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..ir.errors import HandedTracerError
from ..trace.avals import is_jax_tracer
from ..trace.tracer import Tracer
from .flat import Flat
from .result import Result

_DENSE_UP_TO = 1000  # unknowns for which the tangents' matrix is formed


def traced_by_jax(values: Any, of: str) -> bool:
    """Whether a tracer of JAX's is among the leaves.

    **Raises:** `HandedTracerError` for a tracer of gradlab's: what called the solver is then read by JAX as a whole.
    """
    leaves = jax.tree_util.tree_leaves(values)
    if any(type(leaf) is Tracer for leaf in leaves):
        raise HandedTracerError(
            f"{of} runs compiled loops of JAX's and was handed a gradlab tracer. Call it in a function that JAX can "
            "read (gradlab.numpy and jax.numpy are the same there)."
        )
    return any(is_jax_tracer(leaf) for leaf in leaves)


def implicitly(
    run: Callable[[Sequence[Any]], Result],
    flat: Flat,
    equation: Callable[[jax.Array, Sequence[Any]], jax.Array],
    value: Callable[[jax.Array, Sequence[Any]], jax.Array],
    inputs: Sequence[Any],
) -> Result:
    """`run(inputs)`, in which x and f have derivatives (to any order, both modes) in the inputs after those of x0.

    **Arguments:** `equation(x, rest)`: (n,), zero at the solution; its rows at entries held by an active bound are not
    used, those of x have no derivative. `value(x, rest)`: f.
    """
    n_x = len(flat.avals)

    @jax.custom_jvp
    def solved(inputs: list) -> Result:
        return run(inputs)

    def rule(primals: Any, tangents: Any) -> tuple[Result, Result]:
        (inputs,), (moving,) = primals, tangents
        result = solved(inputs)
        x = flat.vector(jax.tree_util.tree_leaves(result.x))
        rest, d_rest = inputs[n_x:], moving[n_x:]
        held = jnp.zeros(x.shape, bool)
        if result.active is not None:
            held = flat.vector(jax.tree_util.tree_leaves(result.active)) != 0
        right = -jax.jvp(lambda rest: equation(x, rest), (rest,), (d_rest,))[1]
        dx = _solved(lambda x: equation(x, rest), x, held, right).astype(x.dtype)
        df = jax.jvp(value, (x, rest), (dx, d_rest))[1]
        still = jax.tree_util.tree_map(_no_tangent, result)
        return result, replace(still, x=flat.unflatten(dx), f=df.astype(result.f.dtype))

    solved.defjvp(rule)
    return solved(list(inputs))


def _solved(equation: Callable, x: jax.Array, held: jax.Array, right: jax.Array) -> jax.Array:
    """dx with J dx = right for the free entries, 0 for those held."""
    right = jnp.where(held, 0, right)

    def product(v: jax.Array) -> jax.Array:
        return jnp.where(held, v, jax.jvp(equation, (x,), (jnp.where(held, 0, v),))[1])

    if x.size <= _DENSE_UP_TO:
        return jnp.linalg.solve(jax.vmap(product, out_axes=1)(jnp.eye(x.size, dtype=x.dtype)), right)
    found, _ = jax.scipy.sparse.linalg.gmres(product, right, tol=float(jnp.finfo(x.dtype).eps) ** 0.75)
    return found


def _no_tangent(leaf: Any) -> Any:
    leaf = jnp.asarray(leaf)
    if jnp.issubdtype(leaf.dtype, jnp.inexact):
        return jnp.zeros_like(leaf)
    return np.zeros(leaf.shape, jax.dtypes.float0)
