"""Why a gradient of gradlab's costs more or less than JAX's: found by comparing the programs (`gradlab.source`)."""

from __future__ import annotations

_PAIRS = "right where elements are 0, by one scan over pairs; JAX differentiates the scan of products step by step"
_NO_CASES = "a derivative in closed form; JAX differentiates all branches of the function's own approximation"
_WINNER = "the derivative is a gather of one element per result; JAX carries it through the sort or the selection"
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
    "nan_to_num": _MASKS,
    "arctan": "times 1 / (1 + x²) where JAX divides by 1 + x²: a multiplication more",
    "special.entr": "derivative chosen at 0 and below",
    "special.kl_div": "derivatives chosen at 0",
    "special.rel_entr": "derivatives chosen at 0",
    # faster
    "unwrap": "the jumps taken out are constant, so the derivative is the identity; JAX differentiates mod and cumsum",
    "extract": "positions are found without a derivative; JAX sorts and scatters",
    "scipy.linalg.toeplitz": "a gather, whose transpose is sums along diagonals; JAX's is a convolution of patches",
    "scipy.linalg.hankel": "a gather, whose transpose is sums along diagonals; JAX's is a convolution of patches",
    "special.exp1": _NO_CASES,
    "special.expn": _NO_CASES,
    "special.spence": _NO_CASES,
    "special.fresnel": _NO_CASES,
    "special.zeta": "the sum at one exponent more; JAX differentiates the Euler-Maclaurin sum",
    "special.sici": _NO_CASES,
    "special.wofz": _NO_CASES,
    "diagflat": "the diagonal is gathered; JAX sums a masked matrix",
    "logaddexp": "one exponential serves value and derivative; JAX's rule computes two logistic functions",
    "logaddexp2": "one exponential serves value and derivative; JAX's rule computes two logistic functions",
    "geomspace": "one exponential and one logarithm; JAX goes by powers of 10",
    "hypot": "x / hypot and y / hypot; JAX differentiates the scaling against overflow",
    "piecewise": "functions are selected from where they apply; JAX keeps a switch per element",
    "frexp": "mantissa / x is the power of two; JAX computes exp2",
    "partition": _WINNER,
    "vecmat": "no conjugate, and a product of a row with a matrix",
    "place": "positions are counted once",
}
