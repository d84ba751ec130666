"""The derivative of a minimum: that of the solution of gradient = 0, whatever steps led to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .flat import tree_flatten

_DENSE = 512  # unknowns up to which the Hessian is formed


def implicit(solver: Any) -> Callable:
    """`solver.whole` with the derivative of the minimum by the implicit function theorem, in both modes.

    The unknowns within their bounds follow H dx = −∂²f/∂x∂θ dθ, those at a bound follow the bound. x, f, grad and aux
    have derivatives; counts, gnorm and history have none. Where H is singular, dx is the least one.
    """

    @jax.custom_jvp
    def solve(limits: Any, box: Any, inputs: Any) -> Any:
        return solver.whole(limits, box, inputs)

    @solve.defjvp
    def rule(primals, tangents):
        limits, box, inputs = primals
        _, d_box, d_inputs = tangents
        n_x, flat, objective = solver.n_x, solver.flat, solver.objective
        result = solve(limits, box, inputs)
        x, rest = flat.vector(tree_flatten(result.x)[0]), list(inputs[n_x:])
        d_rest = list(d_inputs[n_x:])
        (f, g), (f_rest, g_rest) = jax.jvp(lambda *rest: objective.at(rest, *box).value_and_grad(x), rest, d_rest)

        def hvp(v: Any) -> Any:
            return jax.jvp(lambda x: objective.at(rest, *box).value_and_grad(x)[1], (x,), (v,))[1]

        free, held = jnp.ones(x.shape, bool), jnp.zeros_like(x)
        if box[0] is not None:
            low, high = x <= box[0], x >= box[1]
            free = ~(low | high)
            held = jnp.where(low, d_box[0], jnp.where(high, d_box[1], 0))
        dx = held + symmetric_solve(hvp, jnp.where(free, -g_rest - hvp(held), 0), free)
        d_aux = (
            jax.jvp(lambda x, *rest: tuple(objective.at(rest, *box).aux(x)), (x, *rest), (dx, *d_rest))[1]
            if result.aux
            else result.aux
        )
        zeros = jax.tree_util.tree_map(_no_tangent, result)
        gradient = flat.unflatten(g_rest + hvp(dx), conjugate=True)
        return result, _replaced(zeros, x=flat.unflatten(dx), f=f_rest + jnp.vdot(g, dx), grad=gradient, aux=d_aux)

    return solve


def symmetric_solve(matvec: Callable, b: Any, free: Any) -> Any:
    """v with (A v)_free = b and v zero elsewhere; the shortest one where A is singular."""

    def restricted(v: Any) -> Any:
        return jnp.where(free, matvec(jnp.where(free, v, 0)), v)

    def solve(matvec: Callable, b: Any) -> Any:
        n = b.shape[0]
        if n > _DENSE:
            return jax.scipy.sparse.linalg.cg(matvec, b, tol=float(jnp.finfo(b.dtype).eps) * 10, maxiter=10 * n)[0]
        values, vectors = jnp.linalg.eigh(jax.vmap(matvec)(jnp.eye(n, dtype=b.dtype)))
        least = jnp.finfo(b.dtype).eps * n * jnp.max(jnp.abs(values), initial=0)
        inverse = jnp.where(jnp.abs(values) > least, 1 / jnp.where(values == 0, 1, values), 0)
        return vectors @ (inverse * (vectors.T @ b))

    return lax.custom_linear_solve(restricted, b, solve, symmetric=True)


def _no_tangent(x: Any) -> Any:
    if jnp.issubdtype(jnp.result_type(x), jnp.inexact):
        return jnp.zeros_like(x)
    return np.zeros(np.shape(x), jax.dtypes.float0)


def _replaced(result: Any, **changes: Any) -> Any:
    leaves: dict[str, Sequence[Any]] = {name: getattr(result, name) for name in result.__dataclass_fields__}
    return type(result)(**{**leaves, **changes})
