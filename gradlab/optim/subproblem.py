"""The least value of a quadratic model within a ball: nearly exact by eigenvalues, or along conjugate directions.

The model is m(p) = g·p + ½ p·Hp; what is found is p with ‖p‖ ≤ radius, and how far m falls, always as a sum of
positive terms, so that it stays right where it is tiny.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

_CLOSE = 1e-8  # relative, of a step's length to the radius
_SECULAR_STEPS = 40


class Spectrum(NamedTuple):
    """A symmetric H = Q diag(eigenvalues) Qᵀ, ascending, and the gradient in that basis, Qᵀg."""

    eigenvalues: Any
    basis: Any
    gradient: Any


class Step(NamedTuple):
    """A step p (n,), its length, how far the model falls (> 0), and how many products with H it took."""

    p: Any
    length: Any
    decrease: Any
    products: Any


class Products(NamedTuple):
    """What Newton's methods add to a result: `n_products`, of the Hessian with a vector (0 where it was formed)."""

    n_products: Any


def spectrum(hessian: jax.Array, g: jax.Array) -> Spectrum:
    """The spectrum of `hessian` (n, n); where that is not finite, of the identity."""
    finite = jnp.all(jnp.isfinite(hessian))
    hessian = jnp.where(finite, hessian, jnp.eye(g.size, dtype=g.dtype))
    eigenvalues, basis = jnp.linalg.eigh(hessian)
    return Spectrum(eigenvalues, basis, g @ basis)


def newton_length(s: Spectrum) -> jax.Array:
    """The Newton step's length with the eigenvalues' magnitudes in their place, the smallest cut off; 1 for H = 0."""
    size = jnp.abs(s.eigenvalues)
    largest = jnp.max(size)
    length = jnp.linalg.norm(s.gradient / jnp.where(largest > 0, jnp.maximum(size, 1e-10 * largest), 1))
    return jnp.where(largest > 0, length, 1)


def exact_step(s: Spectrum, radius: jax.Array, floor: float | None = None) -> Step:
    """The global minimum of the model in the ball, to eight digits of its length.

    **Arguments:** `floor`: eigenvalues up to this, relative to the largest, are rounding and count as zero; half a unit
    in the last place unless given.
    **Source:** Moré & Sorensen (1983); Conn, Gould & Toint, *Trust-Region Methods* (2000), section 7.3. p(μ) =
    −(H + μ)⁻¹ g is longer than each of its components, so Newton's method on 1/‖p(μ)‖ = 1/radius, which is concave,
    starts left of the root at max(|Qᵀg|/radius − λ) and climbs to it without a safeguard.
    """
    lam, g = s.eigenvalues, s.gradient
    tiny = (jnp.finfo(lam.dtype).eps / 2 if floor is None else floor) * jnp.max(jnp.abs(lam))
    low = jnp.maximum(0, -lam[0])
    # A tiny eigenvalue may be all rounding; that is of no harm unless the gradient along it is rounding too.
    heard = jnp.abs(g) > 8 * jnp.finfo(lam.dtype).eps * jnp.linalg.norm(g)

    def at(mu: Any) -> tuple[Any, Any, Any]:
        shifted = lam + mu
        real = (shifted > tiny) | (heard & (shifted > 0))
        shifted = jnp.where(real, shifted, 1)
        p = jnp.where(real, -g / shifted, 0)
        return p, jnp.linalg.norm(p), jnp.sum(p * p / shifted)

    convex = jnp.all(jnp.where(heard, lam > 0, lam >= -tiny))
    inside = convex & (at(jnp.zeros_like(radius))[1] <= radius * (1 + _CLOSE))
    first = jnp.where(inside, 0, jnp.maximum(jnp.max(jnp.abs(g) / radius - lam), low))
    p, length, slope = at(first)
    # The gradient has no part along the lowest eigenvectors, or too little for the radius: fill up with the lowest if
    # the model falls that way.
    hard = ~inside & (length < radius * (1 - _CLOSE))

    def goes_on(carry: Any) -> Any:
        k, _, _, length, _ = carry
        return ~(inside | hard) & (length > radius * (1 + _CLOSE)) & (k < _SECULAR_STEPS)

    def climb(carry: Any) -> Any:
        k, mu, _, length, slope = carry
        mu = mu + length * length / slope * (length - radius) / radius
        return k + 1, mu, *at(mu)

    _, mu, p, length, _ = lax.while_loop(goes_on, climb, (0, first, p, length, slope))
    fill = jnp.sqrt(jnp.maximum(radius * radius - length * length, 0)) * jnp.where(g[0] >= 0, -1, 1)
    filled = hard & (lam[0] < -tiny)
    p = p.at[0].add(jnp.where(filled, fill, 0))
    length = jnp.where(filled, radius, length)
    decrease = jnp.sum((lam + 2 * mu) * p * p) / 2
    return Step(s.basis @ p, length, decrease, jnp.zeros((), jnp.int32))


def dogleg_step(s: Spectrum, radius: jax.Array, floor: float) -> Step:
    """The lowest point within the ball on the path from the steepest descent's minimum to Newton's; H is positive.

    **Arguments:** `floor`: as in `exact_step`; directions of such eigenvalues are left alone.
    **Source:** Powell (1970); Nocedal & Wright, equation 4.16.
    """
    lam, g = s.eigenvalues, s.gradient
    real = lam > floor * jnp.max(jnp.abs(lam))
    g = jnp.where(real, g, 0)
    newton = -g / jnp.where(real, lam, 1)
    gg, ghg = jnp.vdot(g, g), jnp.vdot(g, lam * g)
    cauchy = -g * gg / jnp.where(ghg > 0, ghg, 1)
    short = jnp.sqrt(jnp.vdot(cauchy, cauchy))
    leg = newton - cauchy
    a, b, c = jnp.vdot(leg, leg), jnp.vdot(cauchy, leg), radius * radius - short * short
    tau = c / jnp.where(a > 0, b + jnp.sqrt(jnp.maximum(b * b + a * c, 0)), 1)
    bent = cauchy + jnp.clip(tau, 0, 1) * leg
    p = jnp.where(short >= radius, cauchy * (radius / jnp.where(short > 0, short, 1)), bent)
    p = jnp.where(jnp.linalg.norm(newton) <= radius, newton, p)
    decrease = -jnp.vdot(g, p) - jnp.vdot(p, lam * p) / 2
    return Step(s.basis @ p, jnp.linalg.norm(p), decrease, jnp.zeros((), jnp.int32))


def conjugate_step(
    product: Callable[[jax.Array], jax.Array], g: jax.Array, radius: Any, tolerance: Any, max_products: int
) -> Step:
    """The model's minimum along conjugate directions, until ‖∇m‖ ≤ tolerance·‖g‖ or the way leaves the ball.

    On a direction of negative curvature it goes to the boundary or, with an infinite radius, as far as it would go if
    the curvature were positive.
    **Source:** Steihaug (1983); Nocedal & Wright, algorithms 7.1 and 7.2.
    """
    zero = jnp.zeros((), g.dtype)

    class Way(NamedTuple):
        p: Any
        r: Any
        d: Any
        rr: Any
        pp: Any
        pd: Any
        dd: Any
        decrease: Any
        k: Any
        on: Any

    gg = jnp.vdot(g, g)
    goal = (tolerance * tolerance) * gg

    def forward(w: Any) -> Any:
        hd = product(w.d)
        curvature = jnp.vdot(w.d, hd)
        bent = curvature <= 0
        # jnp.where on the divisor: no 0/0 for a direction without curvature
        full = w.rr / jnp.where(curvature == 0, 1, jnp.abs(curvature))
        # ‖p + τ d‖ = radius
        room = radius * radius - w.pp
        to_edge = room / (w.pd + jnp.sqrt(jnp.maximum(w.pd * w.pd + w.dd * room, 0)))
        free = jnp.isinf(radius)
        leaves = ~free & (bent | (w.pp + full * (2 * w.pd + full * w.dd) >= radius * radius))
        tau = jnp.where(leaves, to_edge, full)
        p = w.p + tau * w.d
        r = w.r + tau * hd
        rr = jnp.vdot(r, r)
        beta = rr / w.rr
        d = beta * w.d - r
        pp = w.pp + tau * (2 * w.pd + tau * w.dd)
        pd = beta * (w.pd + tau * w.dd)  # p·r = 0 for the new residual
        dd = rr + beta * beta * w.dd
        decrease = w.decrease + tau * (w.rr - tau * curvature / 2)
        finite = jnp.isfinite(curvature) & jnp.isfinite(rr)
        on = finite & ~leaves & ~bent & (rr > goal) & (w.k + 1 < max_products)
        new = Way(p, r, d, rr, pp, pd, dd, decrease, w.k + 1, on)
        kept = w._replace(k=w.k + 1, on=on)
        return jax.tree_util.tree_map(lambda a, b: jnp.where(finite, a, b), new, kept)

    start = Way(jnp.zeros_like(g), g, -g, gg, zero, zero, gg, zero, jnp.zeros((), jnp.int32), gg > 0)
    end = lax.while_loop(lambda w: w.on, forward, start)
    return Step(end.p, jnp.sqrt(end.pp), end.decrease, end.k)
