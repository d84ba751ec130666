"""A call of every differentiable function that gradlab and JAX both have, at sizes of some hundred microseconds.

`CASES[name]` is how to call `name` of a namespace; `UNTIMED[name]` is why a function has no row. Names are those of
gradlab.numpy, or begin with "linalg.", "fft.", "special." or "scipy.linalg.".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

_RNG = np.random.default_rng(0)


def _normal(*shape: int) -> np.ndarray:
    return _RNG.normal(size=shape)


def _between(low: float, high: float, *shape: int) -> np.ndarray:
    return _RNG.uniform(low, high, size=shape)


def _definite(n: int, *batch: int) -> np.ndarray:
    a = _normal(*batch, n, n)
    return a @ np.swapaxes(a, -1, -2) / n + 2 * np.eye(n)


N = 400  # a matrix of N×N, elementwise, takes some hundred microseconds
X, Y = _normal(N, N), _normal(N, N)
POSITIVE, OTHER = _between(0.2, 4.0, N, N), _between(0.2, 4.0, N, N)
UNIT = _between(-0.9, 0.9, N, N)
ABOVE = _between(1.1, 4.0, N, N)
Z, W = X + 1j * Y, Y - 2j * X
NANS = np.where(UNIT > 0.8, np.nan, X)
V, V2 = _normal(N * N), _normal(N * N)
SHORT, SHORT2 = _normal(400), _normal(400)
SORTED = np.sort(_normal(20000))
MASK = X > 0
PICKS = _RNG.integers(0, N, size=(N, N))
SMALL = _between(0.2, 2.0, 40, 40)
SMALL2 = _between(0.2, 2.0, 40, 40)
BELOW_ONE = _between(0.05, 0.95, 40, 40)
A, B = _normal(128, 128), _normal(128, 128)
SPD, GENERAL = _definite(64), _normal(64, 64) + 6 * np.eye(64)
TALL, WIDE_RHS = _normal(96, 48), _normal(64, 16)
HERMITIAN_TRIANGLE = np.tril(GENERAL)
SIGNAL, IMAGE, VOLUME = _normal(200, 256), _normal(256, 256), _normal(32, 48, 48)
CUBE = _normal(40, 60, 80)


class Case(NamedTuple):
    """`fn(space, *args)` calls the function of the namespace; its gradient is in all floating `args`."""

    fn: Callable[..., Any]
    args: tuple[np.ndarray, ...]


CASES: dict[str, Case] = {}


def _row(names: str, *args: Any, **kwargs: Any) -> None:
    """The functions named, called on `args`, of which the arrays are traced."""
    moving = [i for i, a in enumerate(args) if isinstance(a, np.ndarray)]
    for name in names.split():

        def fn(space: Any, *xs: Any, word: str = name.rpartition(".")[2]) -> Any:
            given = list(args)
            for i, x in zip(moving, xs, strict=True):
                given[i] = x
            return getattr(space, word)(*given, **kwargs)

        CASES[name] = Case(fn, tuple(args[i] for i in moving))


def _call(name: str, fn: Callable[..., Any], *args: np.ndarray) -> None:
    CASES[name] = Case(fn, args)


# -- elementwise

_row("abs arctan arcsinh cbrt cos cosh deg2rad rad2deg exp exp2 expm1 negative positive reciprocal sin sinc sinh", X)
_row("square tan tanh nan_to_num copy i0 frexp modf", X)
_row("log log1p log2 log10 sqrt", POSITIVE)
_row("arccos arcsin arctanh", UNIT)
_row("arccosh", ABOVE)
_row("angle conj real imag", Z)
_row("add subtract multiply divide hypot arctan2 logaddexp logaddexp2 maximum minimum fmax fmin copysign", X, Y)
_row("power float_power mod fmod divmod", POSITIVE, OTHER)
_row("ldexp", X, PICKS % 7)
_row("where", MASK, X, Y)
_row("clip", X, -0.5, 0.5)
_call("select", lambda m, x, y: m.select([x > 0.5, y > 0], [x * y, y], 0.0), X, Y)
_call("choose", lambda m, i, x, y: m.choose(i, [x, y], mode="clip"), PICKS % 2, X, Y)
_call("piecewise", lambda m, x: m.piecewise(x, [x < 0, x > 1], [lambda t: t * t, m.sin, 1.0]), X)

# -- reductions and what runs along an axis

_row("sum mean prod max min std var median ptp cumsum cumprod cumulative_sum cumulative_prod average diff", X, axis=1)
_row("trapezoid sort gradient", X, axis=1)
_row("nansum nanmean nanprod nanmax nanmin nanstd nanvar nanmedian nancumsum nancumprod", NANS, axis=1)
_row("quantile nanquantile", X, 0.3, axis=1)
_row("percentile nanpercentile", X, 30.0, axis=1)
_row("partition", X, 20, axis=1)
_row("sort_complex", Z[:60].ravel())
_row("cov corrcoef", X[:80])
_row("unwrap", 3 * X, axis=1)
_row("ediff1d", V)
_call("apply_along_axis", lambda m, x: m.apply_along_axis(lambda row: m.sum(row * row), 1, x), X)
_call("apply_over_axes", lambda m, x: m.apply_over_axes(m.sum, x, (0, 2)), CUBE)
_call("interp", lambda m, x, xp, fp: m.interp(x, xp, fp), V[:20000], SORTED[::100], SHORT[:200])
_call("vectorize", lambda m, x, y: m.vectorize(lambda a, b: m.sin(a) * b)(x, y), X, Y)
_call("histogram", lambda m, x, w: m.histogram(x, 10, range=(-3, 3), weights=w)[0], SHORT, SHORT2)
_call("histogram2d", lambda m, x, w: m.histogram2d(x, x, 5, range=((-3, 3), (-3, 3)), weights=w)[0], SHORT, SHORT2)
_call("histogramdd", lambda m, x, w: m.histogramdd(x, 5, range=((-3, 3),) * 2, weights=w)[0], X[:, :2], SHORT2)
_call("bincount", lambda m, i, w: m.bincount(i, w, length=N), PICKS[0].repeat(20), V[: 20 * N])

# -- manipulation

_row("atleast_1d atleast_2d atleast_3d ravel flip fliplr flipud rot90 transpose matrix_transpose diagonal", X)
_row("tril triu trace squeeze diag", X)
_row("diagflat", SHORT)
_row("reshape", X, (200, 800))
_row("resize", X, (300, 700))
_row("expand_dims", X, 1)
_row("broadcast_to", X, (3, N, N))
_row("tile", X, (2, 2))
_row("repeat", X, 3, axis=1)
_row("roll", X, 7, axis=1)
_row("moveaxis swapaxes", CUBE, 0, 2)
_row("rollaxis", CUBE, 2)
_row("permute_dims", CUBE, (2, 0, 1))
_row("array_split split hsplit vsplit", X, 4)
_row("dsplit", CUBE, 4)
_row("unstack", X[:20])
_row("append", X, Y, axis=0)
_row("delete", X, 3, axis=0)
_row("pad", X, ((3, 4), (5, 6)))
_row("take_along_axis", X, PICKS, axis=1)
_row("take", X, PICKS[0], axis=0)
_row("vander", SHORT, 40)
_row("astype", X, np.float32)
_row("array asarray", X)
_row("insert", X, 3, 1.5, axis=0)
_row("compress", MASK[0], X, axis=1, size=200)
_row("extract", MASK, X, size=60000)
_row("ix_", SHORT)
for _name in ("concatenate", "concat", "stack", "hstack", "vstack", "dstack", "column_stack", "block"):
    _call(_name, lambda m, x, y, name=_name: getattr(m, name)([x, y]), X, Y)
_call("broadcast_arrays", lambda m, x, y: m.broadcast_arrays(x, y), X, X[:1])
_call("meshgrid", lambda m, x, y: m.meshgrid(x, y), SHORT, SHORT2)
_call("put", lambda m, x, i, v: m.put(x, i, v, inplace=False), X, PICKS[0], SHORT)
_call("put_along_axis", lambda m, x, i, v: m.put_along_axis(x, i, v, 1, inplace=False), X, PICKS[:, :1], X[:, :1])
_call("place", lambda m, x, mask, v: m.place(x, mask, v, inplace=False), X, MASK, SHORT)
_call("fill_diagonal", lambda m, x, v: m.fill_diagonal(x, v, inplace=False), X, SHORT)
_call("linspace", lambda m, x, y: m.linspace(x, y, 200), SHORT, SHORT2)
_call("logspace", lambda m, x, y: m.logspace(x, y, 200), SHORT, SHORT2)
_call("geomspace", lambda m, x, y: m.geomspace(x, y, 200), POSITIVE[0], ABOVE[0])
_call("full", lambda m, x: m.full((N, N), x), SHORT)
_call("full_like", lambda m, x: m.full_like(Y, x), SHORT)
_call("fromfunction", lambda m, x: m.fromfunction(lambda i: m.sin(i * x), (N,)), np.ones(()))

# -- products

_row("matmul dot inner tensordot", A, B)
_row("kron", A[:20, :20], B[:20, :20])
_row("cross", X[:, :3].repeat(40, 0), Y[:, :3].repeat(40, 0))
_row("outer", SHORT, SHORT2)
_row("vdot vecdot", X, Y)
_row("matvec", X, SHORT)
_row("vecmat", SHORT, X)
_row("einsum", "ij,jk,ik->i", A, B, A)
_row("convolve correlate", SHORT, SHORT2)

# -- polynomials

_row("polyadd polysub", V, V2)
_row("polymul", SHORT, SHORT2)
_row("polydiv", SHORT[:60], SHORT2[:20])
_row("polyval", SHORT[:12], V[:20000])
_row("polyder polyint", V)
_row("polyfit", SORTED[::50], SHORT, 5)
_row("poly", SHORT[:24])
_row("roots", SHORT[:24], strip_zeros=False)

# -- linalg

_row("linalg.cholesky", SPD)
_row("linalg.det linalg.inv linalg.slogdet linalg.cond linalg.eigvals linalg.svdvals", GENERAL)
_row("linalg.tensorinv", GENERAL.reshape(8, 8, 8, 8))
_row("linalg.eigh linalg.eigvalsh", SPD)
_row("linalg.svd", TALL, full_matrices=False)
_row("linalg.qr linalg.pinv", TALL)
_call("linalg.lstsq", lambda m, a, b: m.lstsq(a, b)[0], TALL, _normal(96))
_row("linalg.solve", GENERAL, WIDE_RHS)
_row("linalg.tensorsolve", GENERAL, SHORT[:64])
_row("linalg.matrix_power", GENERAL / 8, 5)
_row("linalg.matrix_norm linalg.vector_norm linalg.norm", X)
_call("linalg.multi_dot", lambda m, a, b, c: m.multi_dot([a, b, c]), A, B, TALL[:128].repeat(2, 0)[:128])
_row("scipy.linalg.cholesky", SPD, lower=True)
_call("scipy.linalg.cho_factor", lambda m, a: m.cho_factor(a, lower=True)[0], SPD)
_row("scipy.linalg.det scipy.linalg.inv scipy.linalg.lu scipy.linalg.lu_factor", GENERAL)
_row("scipy.linalg.expm", GENERAL / 10)
_row("scipy.linalg.eigh", SPD)
_row("scipy.linalg.svd", TALL, full_matrices=False)
_row("scipy.linalg.qr", TALL, mode="economic")
_row("scipy.linalg.solve", GENERAL, WIDE_RHS)
_row("scipy.linalg.solve_triangular", HERMITIAN_TRIANGLE, WIDE_RHS, lower=True)
_row("scipy.linalg.toeplitz scipy.linalg.hankel", SHORT, SHORT2)
_row("scipy.linalg.block_diag", A, B)
_row("scipy.linalg.expm_frechet", GENERAL / 10, GENERAL / 20, compute_expm=False)
_call("scipy.linalg.cho_solve", lambda m, c, b: m.cho_solve((c, True), b), np.linalg.cholesky(SPD), WIDE_RHS)
_PIVOTS = np.arange(64, dtype=np.int32)
_call("scipy.linalg.lu_solve", lambda m, c, p, b: m.lu_solve((c, p), b), GENERAL, _PIVOTS, WIDE_RHS)

# -- fft

_row("fft.fft fft.ifft fft.rfft fft.fftshift fft.ifftshift fft.ihfft", SIGNAL)
_row("fft.irfft fft.hfft", SIGNAL[:, :129] + 1j * SIGNAL[:, 127:])
_row("fft.fft2 fft.ifft2 fft.rfft2", IMAGE)
_row("fft.irfft2", IMAGE[:, :129] + 1j * IMAGE[:, 127:])
_row("fft.fftn fft.ifftn fft.rfftn", VOLUME)
_row("fft.irfftn", VOLUME[..., :25] + 1j * VOLUME[..., 23:])

# -- special

_row("special.dawsn special.digamma special.erf special.erfc special.erfcx special.expi special.fresnel", SMALL)
_row("special.gamma special.gammaln special.loggamma special.i0 special.i0e special.i1 special.i1e special.ndtr", SMALL)
_row("special.log_ndtr special.entr special.expit", POSITIVE)
_row("special.sici special.spence special.exp1 special.factorial", SMALL)
_row("special.erfinv special.logit special.ndtri", BELOW_ONE)
_row("special.beta special.betaln special.poch special.comb special.owens_t", SMALL, SMALL2)
_row("special.gammainc special.gammaincc", SMALL, SMALL2)
_row("special.boxcox special.boxcox1p special.kl_div special.rel_entr special.xlog1py special.xlogy", POSITIVE, OTHER)
_call("special.betainc", lambda m, x: m.betainc(SMALL, SMALL2, x), BELOW_ONE)  # JAX has no other derivative of it
_call("special.zeta", lambda m, q: m.zeta(SMALL + 1.5, q), SMALL2)
_row("special.multigammaln", SMALL + 3, 4)
_row("special.logsumexp special.softmax special.log_softmax", X, axis=1)
_row("special.expn", np.full((40, 40), 2), SMALL)
_row("special.polygamma", 1, SMALL)
_row("special.wofz", SMALL + 1j * SMALL2)
_row("special.hyp1f1", SMALL, SMALL2, BELOW_ONE)
_row("special.hyp2f1", SMALL, SMALL2, SMALL + 2, BELOW_ONE / 2)

# -- without a row

UNTIMED: dict[str, str] = {}


def _because(reason: str, names: str) -> None:
    UNTIMED.update(dict.fromkeys(names.split(), reason))


_because(
    "piecewise constant: its derivative is zero",
    "around ceil floor floor_divide heaviside rint round sign spacing trunc nextafter special.gammasgn "
    "histogram_bin_edges",
)
_because(
    "makes numbers, of numbers that are no arrays",
    "arange bartlett blackman empty empty_like eye hamming hanning identity kaiser ones ones_like tri zeros zeros_like "
    "fft.fftfreq fft.rfftfreq scipy.linalg.hilbert scipy.linalg.pascal special.bernoulli",
)
_because(
    "of integers and booleans, or gives them",
    "all allclose any argmax argmin argpartition argsort argwhere array_equal array_equiv bitwise_and bitwise_count "
    "bitwise_invert bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor count_nonzero "
    "diag_indices diag_indices_from digitize equal flatnonzero gcd greater greater_equal indices invert isclose "
    "iscomplex isfinite isin isinf isnan isneginf isposinf isreal lcm left_shift less less_equal lexsort logical_and "
    "logical_not logical_or logical_xor mask_indices nanargmax nanargmin nonzero not_equal packbits ravel_multi_index "
    "right_shift searchsorted signbit tril_indices tril_indices_from triu_indices triu_indices_from unpackbits "
    "unravel_index linalg.matrix_rank",
)
_because(
    "about types and shapes, or prints",
    "array_repr array_str iscomplexobj isrealobj isscalar ndim result_type save savez shape size",
)
_because(
    "its shape depends on values",
    "intersect1d setdiff1d setxor1d union1d unique unique_all unique_counts unique_inverse unique_values trim_zeros",
)
_because("of Python functions; see vectorize", "frompyfunc")
_because("JAX has no derivative of it", "linalg.eig special.bessel_jn scipy.linalg.sqrtm scipy.linalg.solve_sylvester")
_because("a table of polynomials: JAX's takes seconds to compile", "special.sph_harm_y")

ALIASES = {
    "absolute": "abs", "fabs": "abs", "acos": "arccos", "acosh": "arccosh", "amax": "max", "amin": "min",
    "asin": "arcsin", "asinh": "arcsinh", "atan": "arctan", "atan2": "arctan2", "atanh": "arctanh",
    "conjugate": "conj", "degrees": "rad2deg", "radians": "deg2rad", "pow": "power", "remainder": "mod",
    "true_divide": "divide",
    **{f"linalg.{name}": name for name in (
        "cross", "diagonal", "matmul", "matrix_transpose", "outer", "tensordot", "trace", "vecdot")},
}  # fmt: skip
TOLERANCES: dict[str, float] = {}  # beyond 1e-8, relative to the largest entry
