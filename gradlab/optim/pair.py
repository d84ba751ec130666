"""A step and the change of the gradient along it: what every quasi-Newton matrix is told."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp


class Pair(NamedTuple):
    """**Attributes:** `s`, `y` (n,): the step [x] and the gradient's change [f/x]; `sy`, `yy`: s·y and y·y; `good`:
    whether a matrix is to be told of it; `bends` (2,): the least s·y/s·s [f/x²] and s·y/y·y [x²/f] of all good pairs
    up to this one: on a quadratic, one over their product is at most the Hessian's condition.
    """

    s: Any
    y: Any
    sy: Any
    yy: Any
    good: Any
    bends: Any


def measured(s: Any, y: Any, wanted: Any, bends: Any, eps: float) -> Pair:
    """The pair, good if it is `wanted` and its curvature is positive: s·y > ε‖s‖‖y‖, a test without a scale.

    **Arguments:** `bends`: of the pairs before it.
    """
    sy, ss, yy = jnp.vdot(s, y), jnp.vdot(s, s), jnp.vdot(y, y)
    good = wanted & (sy > eps * jnp.sqrt(ss * yy))
    return Pair(s, y, sy, yy, good, jnp.where(good, jnp.minimum(bends, sy / jnp.stack([ss, yy])), bends))
