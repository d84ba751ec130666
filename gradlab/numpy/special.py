"""`gradlab.numpy.special`: the special functions of statistics and machine learning, as in jax.scipy.special."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import jax.scipy.special as jsp
import numpy as np

from ..ir.errors import DTypeError
from ..ops import arith, compare, convert, guarded, reduce
from ..ops import special as ops
from ..ops.operands import fill, zeros_like
from . import axes as ax
from . import reductions as red
from .choose import where as choose
from .dispatch import public
from .formulas import isnan
from .manipulation import expand_dims, squeeze
from .promote import alike
from .special_more import bernoulli as bernoulli
from .special_more import bessel_jn as bessel_jn
from .special_more import direct, reals, single_or_double
from .special_more import exp1 as exp1
from .special_more import expi as expi
from .special_more import expn as expn
from .special_more import factorial as factorial
from .special_more import fresnel as fresnel
from .special_more import hyp1f1 as hyp1f1
from .special_more import hyp2f1 as hyp2f1
from .special_more import loggamma as loggamma
from .special_more import ndtri as ndtri
from .special_more import poch as poch
from .special_more import sici as sici
from .special_more import spence as spence
from .special_more import sph_harm_y as sph_harm_y

# Newer versions of JAX have more.
if hasattr(jsp, "dawsn"):
    from .special_more import boxcox as boxcox
    from .special_more import boxcox1p as boxcox1p
    from .special_more import comb as comb
    from .special_more import dawsn as dawsn
    from .special_more import erfcx as erfcx
    from .special_more import owens_t as owens_t
    from .special_more import wofz as wofz
if hasattr(jsp, "erfcinv"):
    from .special_more import erfcinv as erfcinv

# -- one primitive each


erf = direct("erf", ops.erf_p, "x")
erfc = direct("erfc", ops.erfc_p, "x")
erfinv = direct("erfinv", ops.erf_inv_p, "x")
gammaln = direct("gammaln", ops.lgamma_p, "x")
digamma = direct("digamma", ops.digamma_p, "x")
psi = digamma  # SciPy's name for it
zeta = direct("zeta", ops.zeta_p, "x", "q")
gammainc = direct("gammainc", ops.igamma_p, "a", "x")
gammaincc = direct("gammaincc", ops.igammac_p, "a", "x")
betainc = direct("betainc", ops.regularized_incomplete_beta_p, "a", "b", "x")
betaln = direct("betaln", ops.betaln_p, "a", "b")
i0e = direct("i0e", ops.bessel_i0e_p, "x")
i1e = direct("i1e", ops.bessel_i1e_p, "x")
expit = direct("expit", arith.logistic_p, "x")
xlogy = direct("xlogy", guarded.xlogy_p, "x", "y")
xlog1py = direct("xlog1py", guarded.xlog1py_p, "x", "y")


@public(jsp.polygamma)
def polygamma(n: Any, x: Any) -> Any:
    """`jax.scipy.special.polygamma`, on tracers too: the n-th derivative of digamma, n an integer."""
    (order,) = alike(n)
    if order.dtype.kind not in "iu":
        raise DTypeError(f"polygamma needs an integer order n, got {order.aval}. Convert it with .astype(int).")
    return ops.polygamma(*alike(n, x, inexact=True))


# -- gamma and beta


@public(jsp.gammasgn)
def gammasgn(x: Any) -> Any:
    """`jax.scipy.special.gammasgn`, on tracers too: the sign of Γ(x), NaN at its negative poles."""
    (x,) = reals("gammasgn", x)
    floor = arith.floor(x)
    below = x < 0
    # Not floor % 2: where 1/x is -inf, x is -0, at which Γ is -inf.
    odd = compare.ne(floor, arith.mul(2.0, arith.floor(arith.mul(0.5, floor))))
    flips = (below & odd) | compare.eq(arith.reciprocal(x), -math.inf)
    sign = compare.select(flips, fill(-1.0, x.aval), fill(1.0, x.aval))
    return compare.select((below & (x == floor)) | isnan(x), fill(math.nan, x.aval), sign)


@public(jsp.gamma)
def gamma(x: Any) -> Any:
    """`jax.scipy.special.gamma` of a real x, on tracers too."""
    (x,) = reals("gamma", x)
    return gammasgn(x) * arith.exp(ops.lgamma(x))


@public(jsp.beta)
def beta(a: Any, b: Any) -> Any:
    """`jax.scipy.special.beta`, on tracers too."""
    a, b = reals("beta", a, b)
    return gammasgn(a) * gammasgn(b) * gammasgn(a + b) * arith.exp(ops.betaln(a, b))


@public(jsp.multigammaln)
def multigammaln(a: Any, d: int) -> Any:
    """`jax.scipy.special.multigammaln`, on tracers too; the dimension d is a Python integer."""
    (a,) = reals("multigammaln", a)
    halves = np.arange(d, dtype=a.dtype) / a.dtype.type(2)
    total = red.sum(ops.lgamma(a[..., None] - halves), -1)
    return total + 0.25 * d * (d - 1) * math.log(math.pi)


# -- Bessel


@public(jsp.i0)
def i0(x: Any) -> Any:
    """`jax.scipy.special.i0`, on tracers too."""
    (x,) = reals("i0", x)
    return ops.bessel_i0(x)


@public(jsp.i1)
def i1(x: Any) -> Any:
    """`jax.scipy.special.i1`, on tracers too."""
    (x,) = reals("i1", x)
    return ops.bessel_i1(x)


# -- probability


@public(jsp.logit)
def logit(x: Any) -> Any:
    """`jax.scipy.special.logit`, on tracers too; its derivative at 0 and 1 is +inf."""
    (x,) = reals("logit", x)
    return arith.log(x) - arith.log1p(-x)


@public(jsp.ndtr)
def ndtr(x: Any) -> Any:
    """`jax.scipy.special.ndtr`, on tracers too: the normal distribution's cumulative probability."""
    (x,) = reals("ndtr", x)
    return 0.5 * ops.erfc(x * -math.sqrt(0.5))


@public(jsp.log_ndtr)
def log_ndtr(x: Any) -> Any:
    """`jax.scipy.special.log_ndtr`, on tracers too: the logarithm of `ndtr`, with its digits in the far tail."""
    return ops.log_ndtr(single_or_double("log_ndtr", x))


@public(jsp.entr)
def entr(x: Any) -> Any:
    """`jax.scipy.special.entr`, on tracers too: -x log x, 0 at 0 and -inf below."""
    (x,) = reals("entr", x)
    below = x < 0
    safe = compare.select(below, fill(1.0, x.aval), x)
    return compare.select(below, fill(-math.inf, x.aval), -guarded.xlogy(safe, safe))


@public(jsp.rel_entr)
def rel_entr(p: Any, q: Any) -> Any:
    """`jax.scipy.special.rel_entr`, on tracers too: p log(p/q), 0 where p is 0 (and its derivative too)."""
    p, q = reals("rel_entr", p, q)
    both = (p > 0) & (q > 0)
    one = fill(1.0, p.aval)
    p1, q1 = compare.select(both, p, one), compare.select(both, q, one)
    value = p1 * (arith.log(p1) - arith.log(q1))
    edge = compare.select((p == 0) & (q >= 0), zeros_like(p), fill(math.inf, p.aval))
    return compare.select(both, value, edge)


@public(jsp.kl_div)
def kl_div(p: Any, q: Any) -> Any:
    """`jax.scipy.special.kl_div`, on tracers too: p log(p/q) - p + q."""
    p, q = reals("kl_div", p, q)
    return rel_entr(p, q) - p + q


# -- sums of exponentials


@public(jsp.logsumexp)
def logsumexp(
    a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False, where: Any = None
) -> Any:
    """`jax.scipy.special.logsumexp` of real a, on tracers too: log Σ b exp(a), without overflow.

    The derivative in b is right where b is 0; that in a of an a that is +inf is 1 (shared) without b, NaN with it.
    """
    if b is None:
        (a,) = reals("logsumexp", a)
        a = a if where is None else choose(where, a, -math.inf)
        axes = ax.several(axis, a.ndim)
        out = _kept(reduce.logsumexp(a, axes=axes), axes, keepdims)
        if not return_sign:
            return out
        nothing = compare.eq(out, -math.inf)
        sign = compare.select(nothing, zeros_like(out), fill(1.0, out.aval))
        return out, compare.select(isnan(out), out, sign)
    a, b = reals("logsumexp", a, b)
    b = b if where is None else choose(where, b, 0.0)
    axes = ax.several(axis, a.ndim)
    if 0 in a.shape:
        out = _kept(reduce.logsumexp(a, axes=axes), axes, keepdims)
        return (out, zeros_like(out)) if return_sign else out
    unused = compare.eq(b, 0.0)
    top = convert.stop_gradient(red.max(choose(unused, -math.inf, a), axes, keepdims=True))
    top = compare.select(arith.is_finite(top), top, zeros_like(top))
    shift = a - top
    # An element with weight 0 may be far above the rest: kept finite, it adds 0 and still has a derivative in b.
    most = fill(math.log(float(jnp.finfo(a.dtype).max)), a.aval)
    shift = compare.select(unused & ~(shift < most) & ~isnan(shift), most, shift)
    total = red.sum(b * arith.exp(shift), axes, keepdims=True)
    out = arith.log(arith.abs(total)) + top
    sign = arith.sign(total)
    if not return_sign:
        out = compare.select(compare.lt(sign, 0.0), fill(math.nan, out.aval), out)
    if not keepdims:
        out, sign = squeeze(out, axes), squeeze(sign, axes)
    return (out, sign) if return_sign else out


def _kept(out: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    return expand_dims(out, axes) if keepdims and axes else out


def _shifted(x: Any, axis: Any) -> tuple[Any, tuple[int, ...]]:
    """x less its maximum, which has no derivative here: it cancels in what is made of the difference."""
    (x,) = reals("softmax", x)
    axes = ax.several(axis, x.ndim)
    if 0 in x.shape or not axes:
        return x, axes
    return x - convert.stop_gradient(red.max(x, axes, keepdims=True)), axes


@public(jsp.softmax)
def softmax(x: Any, /, *, axis: Any = None) -> Any:
    """`jax.scipy.special.softmax`, on tracers too; where x is -inf, value and derivative are 0."""
    shifted, axes = _shifted(x, axis)
    terms = arith.exp(shifted)
    return terms * arith.reciprocal(red.sum(terms, axes, keepdims=True))


@public(jsp.log_softmax)
def log_softmax(x: Any, /, *, axis: Any = None) -> Any:
    """`jax.scipy.special.log_softmax`, on tracers too."""
    shifted, axes = _shifted(x, axis)
    return shifted - arith.log(red.sum(arith.exp(shifted), axes, keepdims=True))
