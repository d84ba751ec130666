"""Our methods as Optax transformations: `lbfgs()`, `bfgs()`, `gradient_descent()`; one evaluation an update.

The line search is part of the state: an update moves the parameters to the point to be evaluated next, which may be a
shorter step from the last iterate. So nothing is evaluated inside `update`, and `value_fn` is not needed.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ..ir.errors import ArgumentError
from .bfgs import BFGS, GradientDescent
from .flat import Flat, flat_of
from .lbfgs import LBFGS
from .method import RUNNING, Method
from .objective import at_once


class _Vector:
    """What a method asks of a problem when all it gets are values: the size and dtype of x."""

    lower = upper = lanes = None
    each = staticmethod(at_once)

    def __init__(self, flat: Flat):
        self.flat, self.n, self.dtype = flat, flat.size, flat.dtype
        self.eps = max(
            [float(jnp.finfo(aval.dtype).eps) for aval in flat.avals], default=float(jnp.finfo(flat.dtype).eps)
        )

    def optimality(self, x: jax.Array, g: jax.Array) -> jax.Array:
        return jnp.max(jnp.abs(g), initial=0)


def as_transformation(method: Method) -> optax.GradientTransformationExtraArgs:
    """The method as an Optax transformation. Its `update(grads, state, params, value=f)` needs params and the value.

    As Optax's own, it takes gradients along which the loss rises: for complex params the conjugate of what `jax.grad`
    and `gradlab.grad` return. In a chain, what stands before it must leave the gradient that of the value: a clipped
    one tells the line search of a slope that is not there. The state is a pytree, to be saved and resumed to the same
    bits. When the method gives up (`state.status` says why), the last update leads to the best point met, and later
    ones are zero.
    **Raises:** `ArgumentError` for a method that takes bounds or asks for second derivatives.
    """
    if not isinstance(method, Method) or method.bounded or method.derivative > 1:
        raise ArgumentError(
            f"as_transformation needs a method that asks for values and gradients only, got {method!r}. "
            "Write optim.lbfgs(), optim.bfgs() or optim.gradient_descent(), or call optim.minimize."
        )

    def init(params: Any) -> Any:
        flat, leaves = flat_of(params, type(method).__name__, "params")
        return method.init(_Vector(flat), flat.vector(leaves))  # type: ignore[arg-type]

    def update(updates: Any, state: Any, params: Any = None, *, value: Any = None, **extra: Any) -> tuple[Any, Any]:
        if params is None or value is None:
            raise ArgumentError(
                f"{type(method).__name__}'s update needs params and the value of the loss: write "
                "optimizer.update(grads, state, params, value=loss)."
            )
        flat, leaves = flat_of(params, type(method).__name__, "params")
        moves, state = step(method, flat, jax.tree_util.tree_leaves(updates), state, leaves, value)
        return jax.tree_util.tree_unflatten(flat.tree, moves), state

    return optax.GradientTransformationExtraArgs(init, update)  # type: ignore[arg-type]


@partial(jax.jit, static_argnums=(0, 1))
def step(method: Method, flat: Flat, grads: Any, state: Any, params: Any, value: Any) -> tuple[Any, Any]:
    """(the updates of the leaves, the next state)."""
    problem: Any = _Vector(flat)
    x, g = flat.vector(params), flat.vector(grads)
    f = jnp.asarray(value).astype(flat.dtype)
    old = state._replace(trial=x)
    new = method.tell(problem, old, f, g)
    ended = new.status != RUNNING
    new = new._replace(trial=jnp.where(ended, method.finish(problem, new).x, new.trial))
    # Finished, or not begun because f is not finite at the start: nothing changes.
    still = (old.status != RUNNING) | (jnp.isinf(old.f) & ~(jnp.isfinite(f) & jnp.all(jnp.isfinite(g))))
    new = jax.tree_util.tree_map(lambda a, b: jnp.where(still, a, b), old, new)
    return flat.leaves(new.trial - x), new


def lbfgs(
    memory: int | None = None, c1: float = 1e-4, c2: float = 0.9, max_trials: int = 30, patience: int = 12
) -> optax.GradientTransformationExtraArgs:
    """L-BFGS as an Optax transformation; the arguments are those of `LBFGS`."""
    return as_transformation(LBFGS(memory, c1, c2, max_trials, patience))


def bfgs(
    c1: float = 1e-4, c2: float = 0.9, max_trials: int = 30, patience: int = 12
) -> optax.GradientTransformationExtraArgs:
    """BFGS with a dense matrix as an Optax transformation."""
    return as_transformation(BFGS(None, c1, c2, max_trials, patience))


def gradient_descent(
    c1: float = 1e-4, c2: float = 0.9, max_trials: int = 30, patience: int = 12
) -> optax.GradientTransformationExtraArgs:
    """Steepest descent with a line search as an Optax transformation."""
    return as_transformation(GradientDescent(None, c1, c2, max_trials, patience))
