"""Any Optax transformation as a method: each evaluation is an iterate, and the lowest one is the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from .method import RUNNING, Method, blank
from .result import Status


class State(NamedTuple):
    """`method.State`; `inner`: the transformation's own state; it stands at `trial`, x is the lowest point met."""

    trial: Any
    x: Any
    f: Any
    g: Any
    gnorm: Any
    step: Any
    n_iters: Any
    status: Any
    inner: Any


@dataclass(frozen=True)
class ByOptax(Method):
    """**Attributes:** `transformation`: an `optax.GradientTransformation`; for complex leaves it is given f_x + i f_y,
    along which f rises. One that calls `value_fn` makes evaluations which are not counted.
    """

    transformation: Any

    def init(self, problem: Any, x0: jax.Array) -> State:
        return State(**blank(problem, x0), inner=self.transformation.init(problem.flat.unflatten(x0)))

    def tell(self, problem: Any, state: State, f: jax.Array, g: jax.Array) -> State:
        flat = problem.flat
        first = jnp.isinf(state.f)
        at = state.trial
        update = optax.with_extra_args_support(self.transformation).update

        def value_fn(x: Any) -> jax.Array:
            return problem.value_and_grad(flat.vector(jax.tree_util.tree_leaves(x)))[0]

        grads = flat.unflatten(g)
        updates, inner = update(grads, state.inner, flat.unflatten(at), value=f, grad=grads, value_fn=value_fn)
        moved = flat.vector(jax.tree_util.tree_leaves(updates))
        gnorm = problem.optimality(at, g)
        fine = jnp.isfinite(f) & jnp.isfinite(gnorm)
        lower = fine & (f <= state.f)
        x, f, g, gnorm = jax.tree_util.tree_map(
            lambda a, b: jnp.where(lower, a, b), (at, f, g, gnorm), (state.x, state.f, state.g, state.gnorm)
        )
        lost = jnp.where(f == -jnp.inf, Status.UNBOUNDED, Status.NONFINITE)
        return State(
            trial=at + moved, x=x, f=f, g=g, gnorm=gnorm, step=jnp.linalg.norm(moved).astype(problem.dtype),
            n_iters=state.n_iters + ~first, status=jnp.where(fine, RUNNING, lost), inner=inner,
        )  # fmt: skip


def is_transformation(x: Any) -> bool:
    """Whether x is an Optax transformation."""
    return isinstance(x, optax.GradientTransformation)
