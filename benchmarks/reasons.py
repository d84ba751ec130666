"""Why a gradient of gradlab's may cost more or less than JAX's, as far as its program (`gradlab.source`) shows."""

from __future__ import annotations

_PAIRS = "right where elements are 0, by one scan over pairs; JAX differentiates the scan of products step by step"
_MASKS = "elements left out keep derivative 0 whatever is computed of them, by masks on the way back"

REASONS = {
    # slower
    "cumprod": _PAIRS,
    "cumulative_prod": _PAIRS,
    "nancumprod": _PAIRS,
    "scipy.linalg.expm_frechet": "the exponential of a matrix of twice the size, and of that one for the derivative",
    "special.boxcox": "a series around lambda = 0, where JAX's derivative is NaN",
    "special.boxcox1p": "a series around lambda = 0, where JAX's derivative is NaN",
    "angle": "derivative 0 at the origin, by two selections; JAX's is NaN there",
    "nanvar": _MASKS,
    "nanstd": _MASKS,
    "gradient": "the same six blocks, added up in another order",
    "arctan": "times 1 / (1 + x²) where JAX divides by 1 + x²: a multiplication more",
    # faster
    "diagflat": "the diagonal is gathered; JAX sums a masked matrix",
    "geomspace": "one exponential and one logarithm; JAX goes by powers of 10",
    "frexp": "mantissa / x is the power of two; JAX computes exp2",
}
