"""Why a gradient of gradlab's costs more or less than JAX's, as the two programs show (`gradlab.source`, a jaxpr, HLO).

Where XLA makes the same program or the same operations of both, sameness.py finds that, and nothing is to be said here;
where there is no reason here, its counts of operations and bytes stand for one.
"""

from __future__ import annotations

_PRODUCTS = "one tree, by fours, holds the products from the front and the sums from the back; JAX transposes its tree"
_RECIPROCAL = "times 1 / x where JAX divides by x: a multiplication more"
_WRITERS = "who wrote last is looked up in a table of int32 by a second scatter; JAX masks with the first one's table"
_TREE = "halves are multiplied until one is left; JAX multiplies products from the front and from the back"
_POWERS = "the same powers and logarithm; beside them two selections, for x⁰ at x = 0"
_SHARES = "logistic functions of the difference; JAX computes the result and an exponential for each operand"
_ENDS = "a joint of two pieces, a branch for each element; JAX adds them padded, which is vectorized"
_ORDER = "the places of the chosen by a running count; JAX sorts"
_DIAGONALS = "cotangents are added to their diagonal's place; JAX convolves"

REASONS = {
    # slower
    "arctan": "times 1 / (1 + x²) where JAX divides by 1 + x²: a multiplication more",
    "log": _RECIPROCAL,
    "log2": _RECIPROCAL,
    "log10": _RECIPROCAL,
    "log1p": _RECIPROCAL,
    "divide": "as many divisions and passes; x / y is divided once more where JAX divides 1 / y²",
    "power": _POWERS,
    "float_power": _POWERS,
    "angle": "derivative 0 at the origin, by two selections; JAX's is NaN there",
    "nanprod": "masks beside the products: what is left out has derivative 0 whatever the others are",
    "nanvar": "masks beside the sums: what is left out has derivative 0 whatever the others are",
    "nanstd": "masks beside the sums: what is left out has derivative 0 whatever the others are",
    "put": _WRITERS,
    "put_along_axis": _WRITERS,
    "roll": "a copy with its beginning repeated behind it, and a window of that; JAX adds two padded pieces",
    "fft.fftshift": _ENDS,
    "fft.ifftshift": _ENDS,
    "cross": "the components' six products, in another order; half of them negated on the way",
    "copysign": "the sign of a zero y is that of 1 / y, a division; JAX looks at the bit",
    "scipy.linalg.solve_triangular": "as many triangular systems and products; the mask is made anew, of two counts",
    "scipy.linalg.expm_frechet": "JAX's jvp of its algorithm at the transposed matrix, and one more for the direction",
    # faster
    "unwrap": "how many periods a jump takes is constant, so the derivative is 1; JAX differentiates remainder and sum",
    "scipy.linalg.toeplitz": _DIAGONALS,
    "scipy.linalg.hankel": _DIAGONALS,
    "extract": _ORDER,
    "compress": _ORDER,
    "place": "the values' cotangents are added up by a running count; JAX's pass through an array of full size",
    "special.exp1": "-exp(-x) / x; JAX asks its expn, made for every order",
    "special.fresnel": "sine and cosine of πx²/2; JAX splits x² first, for large x",
    "special.spence": "log(x) / (1 - x), and its series near 1; JAX differentiates its polynomials",
    "special.zeta": "the derivative in q is another zeta; JAX differentiates the series",
    "geomspace": "one exponential and one logarithm; JAX goes by powers of 10",
    "logaddexp": _SHARES,
    "logaddexp2": _SHARES,
    "hypot": "x / hypot(x, y), of the result; JAX differentiates the scaling by the larger of both",
    "frexp": "mantissa / x is the power of two; JAX computes exp2",
    "insert": "pieces of the cotangent, joined; JAX's insertion is a scatter, and which write was last is a second one",
    "delete": "pieces of the cotangent, joined; JAX adds them padded",
    "select": "each choice is masked by its conditions; JAX finds the first that holds as an index, by a reduction",
    "trace": "the cotangent is written onto the diagonal; JAX selects from two arrays of places at every element",
    "special.ndtr": "one exponential and its factors; JAX differentiates erf, erfc and the selections between them",
    "linalg.lstsq": "products with the right-hand side; JAX differentiates the singular value decomposition",
    "polyfit": "columns by multiplication, and no derivative of a decomposition; JAX takes powers and its SVD's",
    "diagflat": "the diagonal is gathered; JAX sums a masked matrix",
    "vecmat": "the outer product is a product of matrices, in its own order; JAX's is transposed",
    "prod": _TREE,
    "cumprod": _PRODUCTS,
    "cumulative_prod": _PRODUCTS,
    "nancumprod": _PRODUCTS,
    "special.boxcox": "one exponential, and a series around lambda = 0, where JAX's derivative is NaN",
    "special.boxcox1p": "one exponential, and a series around lambda = 0, where JAX's derivative is NaN",
}
