"""`gradlab.numpy.linalg`: what jax.numpy.linalg has, of matrices in the last two axes, on tracers too.

Derivatives where a factorization is singular:

* `eigh`, `svd`: the factor 1/(λi - λj) of equal values is 0, so functions of the values that treat equal ones alike
  have their gradient. Vectors are not unique there and have no derivative; what comes out is finite. Those of complex
  matrices are unique up to a phase, and have the derivative that does not turn it, as in JAX.
* `eig`: JAX refuses the derivative of the vectors unless told otherwise; here they have it, with length 1 and the
  largest element real. At a matrix that has no full set of vectors it is not finite.
* `det`: the cofactor matrix, also of singular matrices; the second derivative too where at most one pivot is 0.
* `slogdet` of a singular matrix is -inf and has no finite gradient. (Its method "qr" is taken, and computed by LU like
  the other, which gives the same to rounding.)
* `pinv`, `lstsq`, also of matrices without full rank: the derivative along matrices of the same rank.
* `svd` with all vectors (`full_matrices`), `qr` of wide matrices and with `mode="complete"`: JAX refuses, here the
  added vectors turn only against the others.
* `cholesky` of a matrix that is not positive definite is NaN, and so is its derivative.
* A norm that is 0 has the gradient 0.
"""

from ..manipulation import matrix_transpose as matrix_transpose
from ..matmul import matmul as matmul
from ..matmul import tensordot as tensordot
from ..matmul import vecdot as vecdot
from .decompositions import cholesky as cholesky
from .decompositions import eig as eig
from .decompositions import eigh as eigh
from .decompositions import eigvals as eigvals
from .decompositions import eigvalsh as eigvalsh
from .decompositions import qr as qr
from .decompositions import svd as svd
from .decompositions import svdvals as svdvals
from .norms import cond as cond
from .norms import matrix_norm as matrix_norm
from .norms import matrix_rank as matrix_rank
from .norms import norm as norm
from .norms import vector_norm as vector_norm
from .products import cross as cross
from .products import diagonal as diagonal
from .products import matrix_power as matrix_power
from .products import multi_dot as multi_dot
from .products import outer as outer
from .products import trace as trace
from .solving import det as det
from .solving import inv as inv
from .solving import lstsq as lstsq
from .solving import pinv as pinv
from .solving import slogdet as slogdet
from .solving import solve as solve
from .solving import tensorinv as tensorinv
from .solving import tensorsolve as tensorsolve
