"""Samples that move with their parameters: each is a differentiable function of them, made from draws that are not.

The arithmetic is JAX's own, step by step, so that the samples are the same bits.
"""

from __future__ import annotations

import inspect
import math
from typing import Any

import jax
import numpy as np

from ..ir.errors import ArgumentError, ShapeError
from ..numpy import elementwise, formulas, reductions
from ..numpy.choose import clip, where
from ..numpy.einsum import einsum
from ..numpy.promote import aval, broadcast_shapes, lift, result_dtype, stretch
from ..numpy.special import softmax
from ..ops import arith, special
from ..ops import random as ops
from ..ops.convert import stop_gradient
from ..ops.guarded import root
from ..ops.linalg.cholesky import cholesky
from ..ops.linalg.eig import eigh
from ..ops.linalg.matrix import hermitian_part
from ..ops.linalg.svd import svd
from .arguments import broadcast_shape, halves, one_key, parameter, public, real, sample_shape
from .draws import exponential as exponential_
from .draws import maxwell as maxwell_
from .draws import normal as normal_
from .draws import rademacher as rademacher_


def _uniform(key: Any, shape: tuple[int, ...], dtype: np.dtype) -> Any:
    return ops.draw("uniform", key, {}, shape=shape, dtype=dtype)


# -- bounded


@public
def uniform(key: Any, shape: Any = (), dtype: Any = None, minval: Any = 0.0, maxval: Any = 1.0) -> Any:
    """`jax.random.uniform`, on tracers too; differentiable in `minval` and `maxval`."""
    key, dtype = one_key("uniform", key), real("uniform", dtype)
    shape = sample_shape("uniform", shape)
    u = _uniform(key, shape, dtype)
    if type(minval) in (int, float) and type(maxval) in (int, float) and (minval, maxval) == (0, 1):
        return u
    low, high = parameter(minval, dtype), parameter(maxval, dtype)
    broadcast_shape("uniform", shape, low.shape, high.shape)
    return elementwise.maximum(low, u * (high - low) + low)


@public
def truncated_normal(key: Any, lower: Any, upper: Any, shape: Any = None, dtype: Any = None) -> Any:
    """`jax.random.truncated_normal`, on tracers too; differentiable in `lower` and `upper`."""
    key, dtype = one_key("truncated_normal", key), real("truncated_normal", dtype)
    low, high = parameter(lower, dtype), parameter(upper, dtype)
    shape = broadcast_shape("truncated_normal", shape, low.shape, high.shape)
    sqrt2 = dtype.type(np.sqrt(2)).item()
    a, b = special.erf(low / sqrt2), special.erf(high / sqrt2)
    x = sqrt2 * special.erf_inv(uniform(key, shape, dtype, a, b))
    # Rounding must not put the sample on a bound or beyond it.
    inner = elementwise.nextafter(stop_gradient(low), math.inf), elementwise.nextafter(stop_gradient(high), -math.inf)
    return clip(x, *inner)


@public
def triangular(key: Any, left: Any, mode: Any, right: Any, shape: Any = None, dtype: Any = None) -> Any:
    """`jax.random.triangular`, on tracers too; differentiable in `left`, `mode` and `right`."""
    key, dtype = one_key("triangular", key), real("triangular", dtype)
    given = [parameter(x, dtype) for x in (left, mode, right)]
    shape = broadcast_shape("triangular", shape, *(x.shape for x in given))
    low, top, high = (stretch(x, shape) for x in given)
    u = _uniform(key, shape, dtype)
    # Where the mode is a bound, the root of the branch that is not taken is 0: its derivative must not be infinite.
    rising = low + root(u * (high - low) * (top - low))
    falling = high - root((1 - u) * (high - low) * (high - top))
    return where(u < (top - low) / (high - low), rising, falling)


# -- the gamma family


def _gamma(of: str, key: Any, a: Any, shape: Any, dtype: Any, log_space: bool) -> Any:
    key, dtype = one_key(of, key), real(of, dtype)
    a = parameter(a, dtype)
    return ops.gamma(key, stretch(a, broadcast_shape(of, shape, a.shape)), log_space=log_space)


@public
def gamma(key: Any, a: Any, shape: Any = None, dtype: Any = None) -> Any:
    """`jax.random.gamma`, on tracers too; once differentiable in `a` (the derivative in `a` has none in `a`)."""
    return _gamma("gamma", key, a, shape, dtype, log_space=False)


@public
def loggamma(key: Any, a: Any, shape: Any = None, dtype: Any = None) -> Any:
    """`jax.random.loggamma`, on tracers too; once differentiable in `a`, as `gamma`."""
    return _gamma("loggamma", key, a, shape, dtype, log_space=True)


@public
def beta(key: Any, a: Any, b: Any, shape: Any = None, dtype: Any = None) -> Any:
    """`jax.random.beta`, on tracers too; once differentiable in `a` and `b`, as `gamma`."""
    key, dtype = one_key("beta", key), real("beta", dtype)
    a, b = parameter(a, dtype), parameter(b, dtype)
    shape = broadcast_shape("beta", shape, a.shape, b.shape)
    logs = [loggamma(k, x, shape, dtype) for k, x in zip(halves(key), (a, b), strict=True)]
    most = stop_gradient(elementwise.maximum(*logs))  # the quotient does not depend on it
    x, y = (elementwise.exp(log - most) for log in logs)
    return x / (x + y)


@public
def dirichlet(key: Any, alpha: Any, shape: Any = None, dtype: Any = None) -> Any:
    """`jax.random.dirichlet`, on tracers too; once differentiable in `alpha`, as `gamma`."""
    key, dtype = one_key("dirichlet", key), real("dirichlet", dtype)
    alpha = parameter(alpha, dtype)
    if not alpha.ndim:
        raise ShapeError(f"dirichlet needs an array of concentrations, got {alpha.aval}. Give one for each outcome.")
    shape = broadcast_shape("dirichlet", shape, alpha.shape[:-1])
    return softmax(loggamma(key, alpha, (*shape, alpha.shape[-1]), dtype), axis=-1)


@public
def chisquare(key: Any, df: Any, shape: Any = None, dtype: Any = None) -> Any:
    """`jax.random.chisquare`, on tracers too; once differentiable in `df`, as `gamma`."""
    key, dtype = one_key("chisquare", key), real("chisquare", dtype)
    return elementwise.exp(loggamma(key, parameter(df, dtype) / 2, shape, dtype)) * 2


@public
def f(key: Any, dfnum: Any, dfden: Any, shape: Any = None, dtype: Any = None) -> Any:
    """`jax.random.f`, on tracers too; once differentiable in `dfnum` and `dfden`, as `gamma`."""
    key, dtype = one_key("f", key), real("f", dtype)
    dfnum, dfden = parameter(dfnum, dtype), parameter(dfden, dtype)
    shape = broadcast_shape("f", shape, dfnum.shape, dfden.shape)
    below, above = halves(key)
    return (chisquare(above, dfnum, shape, dtype) / dfnum) / (chisquare(below, dfden, shape, dtype) / dfden)


_T_SHAPE = inspect.signature(jax.random.t).parameters["shape"].default  # () in older JAX, None in newer


@public
def t(key: Any, df: Any, shape: Any = _T_SHAPE, dtype: Any = None) -> Any:
    """`jax.random.t`, on tracers too; once differentiable in `df`, as `gamma`."""
    key, dtype = one_key("t", key), real("t", dtype)
    df = parameter(df, dtype)
    shape = broadcast_shape("t", shape, df.shape)
    for_normal, for_gamma = halves(key)
    half = df / 2
    return normal_(for_normal, shape, dtype) * arith.sqrt(half / gamma(for_gamma, half, shape, dtype))


@public
def generalized_normal(key: Any, p: Any, shape: Any = (), dtype: Any = None) -> Any:
    """`jax.random.generalized_normal`, on tracers too; once differentiable in `p`, as `gamma`."""
    key, dtype = one_key("generalized_normal", key), real("generalized_normal", dtype)
    shape = sample_shape("generalized_normal", shape)
    inverse = 1 / lift(p)
    for_size, for_sign = halves(key)
    size = gamma(for_size, inverse, shape, dtype)
    return rademacher_(for_sign, shape, dtype) * formulas.power(size, inverse)


@public
def ball(key: Any, d: int, p: Any = 2, shape: Any = (), dtype: Any = None) -> Any:
    """`jax.random.ball`, on tracers too; once differentiable in `p`, as `gamma`."""
    key, dtype = one_key("ball", key), real("ball", dtype)
    shape = sample_shape("ball", shape)
    p = lift(p)
    for_place, for_size = halves(key)
    x = generalized_normal(for_place, p, (*shape, d), dtype)
    e = exponential_(for_size, shape, dtype)
    size = formulas.power(reductions.sum(formulas.power(elementwise.abs(x), p), -1) + e, 1 / p)
    return x / size[..., None]


# -- transformed uniform and normal numbers


@public
def pareto(key: Any, b: Any, shape: Any = None, dtype: Any = None) -> Any:
    """`jax.random.pareto`, on tracers too; differentiable in `b`."""
    key, dtype = one_key("pareto", key), real("pareto", dtype)
    b = parameter(b, dtype)
    return elementwise.exp(exponential_(key, broadcast_shape("pareto", shape, b.shape), dtype) / b)


@public
def weibull_min(key: Any, scale: Any, concentration: Any, shape: Any = (), dtype: Any = None) -> Any:
    """`jax.random.weibull_min`, on tracers too; differentiable in `scale` and `concentration`."""
    key, dtype = one_key("weibull_min", key), real("weibull_min", dtype)
    u = _uniform(key, sample_shape("weibull_min", shape), dtype)
    return formulas.power(-arith.log1p(-u), 1.0 / lift(concentration)) * scale


@public
def rayleigh(key: Any, scale: Any, shape: Any = None, dtype: Any = None) -> Any:
    """`jax.random.rayleigh`, on tracers too; differentiable in `scale`."""
    key, dtype = one_key("rayleigh", key), real("rayleigh", dtype)
    scale = parameter(scale, dtype)
    shape = broadcast_shape("rayleigh", shape, scale.shape)
    return stretch(scale, shape) * arith.sqrt(arith.log(_uniform(key, shape, dtype)) * -2)


@public
def lognormal(key: Any, sigma: Any = 1, shape: Any = None, dtype: Any = None) -> Any:
    """`jax.random.lognormal`, on tracers too; differentiable in `sigma`."""
    key, dtype = one_key("lognormal", key), real("lognormal", dtype, also_complex=True)
    sigma = parameter(sigma, dtype)
    return elementwise.exp(normal_(key, broadcast_shape("lognormal", shape, sigma.shape), dtype) * sigma)


@public
def wald(key: Any, mean: Any, shape: Any = None, dtype: Any = None) -> Any:
    """`jax.random.wald`, on tracers too; differentiable in `mean`."""
    key, dtype = one_key("wald", key), real("wald", dtype)
    mean = parameter(mean, dtype)
    shape = broadcast_shape("wald", shape, mean.shape)
    mean = stretch(mean, shape)
    for_normal, for_branch = halves(key)
    v, z = normal_(for_normal, shape, dtype), _uniform(for_branch, shape, dtype)
    y, square = v * v, mean * mean
    x = mean + square * y / 2 - mean / 2 * arith.sqrt(4 * mean * y + square * (y * y))
    return where(z <= mean / (mean + x), x, square / x)


@public
def double_sided_maxwell(key: Any, loc: Any, scale: Any, shape: Any = (), dtype: Any = None) -> Any:
    """`jax.random.double_sided_maxwell`, on tracers too; differentiable in `loc` and `scale`."""
    key, dtype = one_key("double_sided_maxwell", key), real("double_sided_maxwell", dtype)
    loc, scale = lift(loc), lift(scale)
    common = broadcast_shapes([loc.shape, scale.shape])
    shape = (*(sample_shape("double_sided_maxwell", shape) or common), *common)
    for_size, for_sign = halves(key)
    return rademacher_(for_sign, shape, dtype) * maxwell_(for_size, shape, dtype) * scale + loc


@public
def multivariate_normal(
    key: Any, mean: Any, cov: Any, shape: Any = None, dtype: Any = None, method: str = "cholesky"
) -> Any:
    """`jax.random.multivariate_normal`, on tracers too; differentiable in `mean` and `cov`."""
    key = one_key("multivariate_normal", key)
    common, _ = result_dtype([aval(mean), aval(cov)], inexact=True)
    mean, cov = parameter(mean, common), parameter(cov, common)
    dtype = real("multivariate_normal", mean.dtype if dtype is None else dtype)
    if method not in ("cholesky", "eigh", "svd"):
        raise ArgumentError(f"multivariate_normal knows the methods 'cholesky', 'eigh' and 'svd', got {method!r}.")
    n = mean.shape[-1] if mean.ndim else 0
    if not mean.ndim or cov.shape[-2:] != (n, n):
        raise ShapeError(
            "multivariate_normal needs a mean of shape (..., n) and a covariance of shape (..., n, n), "
            f"got {mean.aval} and {cov.aval}."
        )
    shape = broadcast_shape("multivariate_normal", shape, mean.shape[:-1], cov.shape[:-2])
    z = normal_(key, (*shape, n), dtype)
    return mean + einsum("...ij,...j->...i", _factor(cov, method), z)


def _factor(cov: Any, method: str) -> Any:
    """F with F Fᵀ = cov."""
    if method == "svd":
        u, s, _ = svd(cov)
        return u * root(s)[..., None, :]
    cov = hermitian_part(cov)
    if method == "cholesky":
        return cholesky(cov)
    w, v = eigh(cov)
    return v * arith.sqrt(w)[..., None, :]
