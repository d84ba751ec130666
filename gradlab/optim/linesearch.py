"""A strong-Wolfe line search as a state machine of scalars: told φ and φ' at a step, it accepts or names the next."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp


class Wolfe(NamedTuple):
    """What a step must achieve: φ(α) ≤ φ(0) + c1 α φ'(0) and |φ'(α)| ≤ c2 |φ'(0)|.

    Near the limit of precision the first cannot be seen in φ any more; there it is asked of φ' (approximate Wolfe,
    Hager & Zhang 2005): (2 c1 − 1) φ'(0) ≥ φ'(α) where |φ(α) − φ(0)| ≤ noise.
    """

    c1: float = 1e-4
    c2: float = 0.9


class Search(NamedTuple):
    """A search along a direction. The minimum lies between `lo` and `hi`, each (α, φ, φ').

    **Attributes:** `alpha`: the step being tried; `lo` (3,): the best step so far that decreases enough; `hi` (3,):
    α is inf while nothing is known to be too far, φ is inf where it was not finite; `width`: |hi − lo| two trials ago;
    `trials`: evaluations so far; `cap`: the longest step allowed, which is accepted if f decreases enough; or None.
    """

    alpha: Any
    lo: Any
    hi: Any
    width: Any
    trials: Any
    cap: Any = None


def begin(alpha: Any, f: Any, slope: Any, cap: Any = None) -> Search:
    """A search from φ(0) = f, φ'(0) = slope < 0, that will try `alpha` first, and nothing beyond `cap`."""
    inf = jnp.full_like(f, jnp.inf)
    lo = jnp.stack([jnp.zeros_like(f), f, slope])
    return Search(alpha, lo, jnp.stack([inf, inf, jnp.zeros_like(f)]), inf, jnp.zeros((), jnp.int32), cap)


def advance(s: Search, rule: Wolfe, f0: Any, slope0: Any, noise: Any, f: Any, slope: Any) -> tuple[Search, Any]:
    """(the search with its next trial step, whether the step tried is accepted).

    **Arguments:** `f0`, `slope0`: φ and φ' at 0; `f`, `slope`: at `s.alpha`; `noise`: how much rounding moves φ.
    **Source:** Nocedal & Wright, algorithms 3.5 and 3.6, as one machine; steps as Moré & Thuente (1994) bound them.
    """
    a = s.alpha
    finite = jnp.isfinite(f) & jnp.isfinite(slope)
    enough = finite & (f <= f0 + rule.c1 * a * slope0)
    flat = jnp.abs(slope) <= -rule.c2 * slope0
    rounding = finite & (jnp.abs(f - f0) <= noise) & (slope <= (2 * rule.c1 - 1) * slope0) & (slope >= rule.c2 * slope0)
    accept = (enough & flat) | rounding

    if s.cap is not None:
        accept = accept | (enough & (a >= s.cap))
    far = ~enough | (f >= s.lo[1])  # the minimum is nearer
    ahead = jnp.where(jnp.isinf(s.hi[0]), 1, s.hi[0] - s.lo[0])
    turned = ~far & (slope * ahead >= 0)  # it lies between lo and here
    here = jnp.stack([a, jnp.where(finite, f, jnp.inf), jnp.where(finite, slope, 0)])
    hi = jnp.where(far, here, jnp.where(turned, s.lo, s.hi))
    lo = jnp.where(far, s.lo, here)

    bracketed = jnp.isfinite(hi[0])
    # Beyond lo without a bracket: by the cubic through the last two points, 1 to 9 times their distance.
    back = jnp.where(bracketed, hi, s.lo)
    gap = back[0] - lo[0]
    share = cubic_minimum(gap, lo, back)
    known, measured = jnp.isfinite(share), jnp.isfinite(hi[1])
    inside = jnp.where(known, jnp.clip(share, 0.1, 0.9), jnp.where(measured, 0.5, 0.2))
    odd = (s.trials & 1) == 1
    inside = jnp.where((jnp.abs(gap) > 0.66 * s.width) & odd & measured, 0.5, inside)
    outside = jnp.where(known & (share < 0), jnp.clip(share, -9.0, -1.0), -9.0)
    alpha = lo[0] + gap * jnp.where(bracketed, inside, outside)
    alpha = alpha if s.cap is None else jnp.minimum(alpha, s.cap)
    return Search(alpha, lo, hi, jnp.where(odd, jnp.abs(gap), s.width), s.trials + 1, s.cap), accept


def cubic_minimum(gap: Any, lo: Any, back: Any) -> Any:
    """Where the cubic with these values and slopes at lo and back = lo + gap has its minimum, in gaps from lo, or nan.

    **Source:** Nocedal & Wright, equation 3.59.
    """
    _, f_lo, d_lo = lo
    _, f_back, d_back = back
    d1 = d_lo + d_back - 3 * (f_back - f_lo) / gap
    d2 = jnp.sign(gap) * jnp.sqrt(d1 * d1 - d_lo * d_back)
    return 1 - (d_back + d2 - d1) / (d_back - d_lo + 2 * d2)
