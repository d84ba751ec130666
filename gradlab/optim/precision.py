"""Mixed precision: the loss in half precision, the parameters whole, small gradients kept from vanishing."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..ir.errors import ArgumentError

GROW_AFTER = 2000  # finite steps in a row before the scale is doubled: as in the paper's reference implementation
_NAMES = ("float16", "bfloat16", "float32")


class Precision(NamedTuple):
    """What the loss is computed in.

    **Attributes:** `dtype`: of parameters and batches inside the loss, None to leave them; `dynamic`: whether the loss
    scale adapts; `scale`: the loss scale at the start.
    """

    dtype: Any
    dynamic: bool
    scale: float


class LossScale(NamedTuple):
    """The loss is multiplied by `scale` before it is differentiated; `good`: finite steps since it last changed."""

    scale: Any
    good: Any


def precision_of(precision: Any, loss_scale: Any) -> Precision:
    """The settings behind train's arguments.

    **Arguments:** `precision`: None, "float16", "bfloat16" or "float32" (or the dtype); `loss_scale`: None (dynamic for
    float16, else 1), "dynamic", or a positive number.
    **Raises:** `ArgumentError`.
    """
    dtype = None
    if precision is not None:
        try:
            name = precision if isinstance(precision, str) else jnp.dtype(precision).name
        except TypeError:
            name = None
        if name not in _NAMES:
            raise ArgumentError(f"precision must be None or one of {', '.join(_NAMES)}, got {precision!r}.")
        dtype = jnp.dtype(name)
    if loss_scale is None:
        loss_scale = "dynamic" if dtype == jnp.float16 else 1.0
    if loss_scale == "dynamic":
        return Precision(dtype, True, 2.0**15)
    if isinstance(loss_scale, int | float) and not isinstance(loss_scale, bool) and 0 < loss_scale < float("inf"):
        return Precision(dtype, False, float(loss_scale))
    raise ArgumentError(f'loss_scale must be None, "dynamic" or a positive number, got {loss_scale!r}.')


def cast(tree: Any, dtype: Any) -> Any:
    """The tree with its real floating leaves in `dtype`; everything else, and all of it for None, as it is."""
    if dtype is None:
        return tree

    def one(leaf: Any) -> Any:
        return leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, np.floating) else leaf

    return jax.tree.map(one, tree)


def adapted(state: LossScale, finite: Any) -> LossScale:
    """The scale after a step: halved (down to 1) if it overflowed, doubled after `GROW_AFTER` finite ones.

    **Source:** Micikevicius et al., *Mixed Precision Training* (2018), section 3.2. Powers of two, so scaling is exact.
    """
    good = jnp.where(finite, state.good + 1, 0)
    grown = good >= GROW_AFTER
    scale = jnp.where(finite, jnp.where(grown, state.scale * 2, state.scale), jnp.maximum(state.scale / 2, 1))
    return LossScale(jnp.minimum(scale, 2.0**24), jnp.where(grown, 0, good))
