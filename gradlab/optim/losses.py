"""Robust losses: ρ(z) of a squared residual z, ρ(0) = 0, ρ'(0) = 1, and what they make of a Gauss–Newton model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from .. import api
from ..ir.errors import ArgumentError


def linear(z: Any) -> tuple[Any, Any, Any]:
    """ρ = z: plain least squares."""
    return z, jnp.ones_like(z), jnp.zeros_like(z)


def soft_l1(z: Any) -> tuple[Any, Any, Any]:
    """ρ = 2(√(1 + z) − 1): a smooth absolute value."""
    t = 1 + z
    return 2 * (jnp.sqrt(t) - 1), t**-0.5, -0.5 * t**-1.5


def huber(z: Any) -> tuple[Any, Any, Any]:
    """ρ = z up to 1, beyond it 2√z − 1."""
    near = z <= 1
    t = jnp.where(near, 1, z)
    return jnp.where(near, z, 2 * jnp.sqrt(t) - 1), t**-0.5, jnp.where(near, 0, -0.5 * t**-1.5)


def cauchy(z: Any) -> tuple[Any, Any, Any]:
    """ρ = log(1 + z): outliers hardly count."""
    t = 1 + z
    return jnp.log1p(z), 1 / t, -1 / (t * t)


def arctan(z: Any) -> tuple[Any, Any, Any]:
    """ρ = arctan z: an outlier's loss is bounded."""
    t = 1 + z * z
    return jnp.arctan(z), 1 / t, -2 * z / (t * t)


LOSSES: dict[str, Callable[[Any], tuple[Any, Any, Any]]] = {
    "linear": linear,
    "soft_l1": soft_l1,
    "huber": huber,
    "cauchy": cauchy,
    "arctan": arctan,
}


def require_loss(loss: Any) -> None:
    """**Raises:** `ArgumentError` unless `loss` is a known name or a function."""
    if not callable(loss) and not (isinstance(loss, str) and loss in LOSSES):
        raise ArgumentError(f"loss must be one of {', '.join(LOSSES)}, or a function ρ(z), got {loss!r}.")


def rho(loss: str | Callable[[Any], Any], z: Any) -> tuple[Any, Any, Any]:
    """ρ, ρ' and ρ'' at z (m,); a function of the user's is differentiated, one number at a time."""
    if not callable(loss):
        return LOSSES[loss](z)
    ones = jnp.ones_like(z)

    def slope(z: Any) -> Any:
        return api.jvp(loss, (z,), (ones,))[1]

    return loss(z), *api.jvp(slope, (z,), (ones,))


def cost(loss: str | Callable[[Any], Any], scale: float, r: Any) -> Any:
    """½ Σ scale² ρ((r/scale)²)."""
    if loss == "linear":
        return jnp.vdot(r, r) / 2
    return scale * scale / 2 * jnp.sum(rho(loss, (r / scale) ** 2)[0])


def reweighted(loss: str | Callable[[Any], Any], scale: float, r: Any) -> tuple[Any, Any]:
    """(residuals, weights of the Jacobian's rows) whose Gauss–Newton model is that of the robust cost.

    **Source:** Triggs et al., *Bundle Adjustment* (2000), section 4.3, as in SciPy: √(ρ' + 2 z ρ'') where that is
    positive, else nearly nothing.
    """
    if loss == "linear":
        return r, jnp.ones_like(r)
    z = (r / scale) ** 2
    _, first, second = rho(loss, z)
    weights = jnp.sqrt(jnp.maximum(first + 2 * z * second, jnp.finfo(r.dtype).eps))
    return r * first / weights, weights
