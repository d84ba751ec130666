"""A strong-Wolfe line search as a state machine of scalars: told φ and φ' at a step, it accepts or names the next."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp


class Wolfe(NamedTuple):
    """What a step must achieve: φ(α) ≤ φ(0) + c1 α φ'(0) and |φ'(α)| ≤ c2 |φ'(0)|.

    Near the limit of precision the first cannot be seen in φ any more; there it is asked of φ' (approximate Wolfe,
    Hager & Zhang 2005): (2 c1 − 1) φ'(0) ≥ φ'(α) where φ(α) ≤ φ(0) + noise.
    """

    c1: float = 1e-4
    c2: float = 0.9


class Search(NamedTuple):
    """Scalars of a search. `lo` is the best step so far that decreases enough; a good one lies between `lo` and `hi`.

    **Attributes:** `alpha`: the step being tried; `lo`, `hi` and φ, φ' there (`hi` inf while none is known; φ there inf
    where it is not finite); `width`: |hi − lo| two trials ago; `trials`: evaluations so far; `finite`: trials among
    them that were finite.
    """

    alpha: Any
    lo: Any
    f_lo: Any
    d_lo: Any
    hi: Any
    f_hi: Any
    d_hi: Any
    width: Any
    trials: Any


def begin(alpha: Any, f: Any, slope: Any) -> Search:
    """A search from φ(0) = f, φ'(0) = slope < 0, that will try `alpha` first."""
    zero, inf = jnp.zeros_like(f), jnp.full_like(f, jnp.inf)
    return Search(alpha, zero, f, slope, inf, inf, zero, inf, jnp.zeros((), jnp.int32))


def advance(s: Search, rule: Wolfe, f0: Any, slope0: Any, noise: Any, f: Any, slope: Any) -> tuple[Search, Any]:
    """(the search with its next trial step, whether the step tried is accepted).

    **Arguments:** `f0`, `slope0`: φ and φ' at 0; `f`, `slope`: at `s.alpha`; `noise`: how much rounding moves φ.
    **Source:** Nocedal & Wright, algorithms 3.5 and 3.6, as one machine; steps as Moré & Thuente (1994) bound them.
    """
    a = s.alpha
    finite = jnp.isfinite(f) & jnp.isfinite(slope)
    enough = finite & (f <= f0 + rule.c1 * a * slope0)
    flat = jnp.abs(slope) <= -rule.c2 * slope0
    rounding = finite & (f <= f0 + noise) & (slope <= (2 * rule.c1 - 1) * slope0) & (slope >= rule.c2 * slope0)
    accept = (enough & flat) | rounding

    far = ~enough | (f >= s.f_lo)  # the minimum is nearer
    turned = ~far & (slope * jnp.where(jnp.isinf(s.hi), 1, s.hi - s.lo) >= 0)  # it lies between lo and here
    f_seen, slope_seen = jnp.where(finite, f, jnp.inf), jnp.where(finite, slope, 0)

    def pick(near: Any, here: Any, before: Any) -> Any:
        return jnp.where(far, here, jnp.where(turned, near, before))

    hi, f_hi, d_hi = pick(s.lo, a, s.hi), pick(s.f_lo, f_seen, s.f_hi), pick(s.d_lo, slope_seen, s.d_hi)
    lo, f_lo, d_lo = jnp.where(far, s.lo, a), jnp.where(far, s.f_lo, f), jnp.where(far, s.d_lo, slope)

    bracketed = jnp.isfinite(hi)
    # Beyond lo without a bracket: the cubic through the last two points, 2 to 10 times as far as the last advance.
    back, f_back, d_back = (
        jnp.where(bracketed, hi, s.lo),
        jnp.where(bracketed, f_hi, s.f_lo),
        jnp.where(bracketed, d_hi, s.d_lo),
    )
    best = cubic_minimum(lo, f_lo, d_lo, back, f_back, d_back)
    gap = back - lo
    share = (best - lo) / gap
    inside = jnp.where(jnp.isfinite(share), jnp.clip(share, 0.1, 0.9), jnp.where(jnp.isfinite(f_hi), 0.5, 0.2))
    slow = jnp.abs(gap) > 0.66 * s.width
    inside = jnp.where(slow & (s.trials % 2 == 1) & jnp.isfinite(f_hi), 0.5, inside)
    outside = -jnp.where(jnp.isfinite(share) & (share < 0), jnp.clip(-share, 1.0, 9.0), 9.0)
    alpha = lo + gap * jnp.where(bracketed, inside, outside)
    width = jnp.where(s.trials % 2 == 1, jnp.abs(gap), s.width)
    return Search(alpha, lo, f_lo, d_lo, hi, f_hi, d_hi, width, s.trials + 1), accept


def cubic_minimum(a: Any, fa: Any, da: Any, b: Any, fb: Any, db: Any) -> Any:
    """The minimiser of the cubic with these values and slopes at a and b; nan where there is none.

    **Source:** Nocedal & Wright, equation 3.59.
    """
    d1 = da + db - 3 * (fa - fb) / (a - b)
    inside = d1 * d1 - da * db
    d2 = jnp.sign(b - a) * jnp.sqrt(inside)
    return b - (b - a) * (db + d2 - d1) / (db - da + 2 * d2)
