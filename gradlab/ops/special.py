"""Special functions: the error function, the gamma and beta families, Bessel functions; those XLA computes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..ir.primitive import Refused
from ..trace.builder import bind1
from .arith import abs, add, div, exp, log, log1p, maximum, mul, neg, reciprocal, sign, sqrt, square, sub
from .compare import eq, gt, lt, select
from .convert import stop_gradient
from .families import elementwise, reduce_sum_p, with_axis
from .guarded import xlog1py, xlogy
from .operands import fill, zeros_like
from .shape import iota


def no_partial(name: str, operand: str) -> Refused:
    """Stands for a partial derivative that nobody has a formula for."""
    return Refused(
        f"{name} has no derivative in its {operand}: there is no closed form. Hold it constant with stop_gradient."
    )


# -- the error function


def erf(x: Any) -> Any:
    return bind1(erf_p, x)


def erfc(x: Any) -> Any:
    return bind1(erfc_p, x)


def erf_inv(x: Any) -> Any:
    return bind1(erf_inv_p, x)


def log_ndtr(x: Any) -> Any:
    """log of the normal distribution's cumulative probability, of float32 or float64."""
    return bind1(log_ndtr_p, x)


def _gaussian(x, scale):
    return mul(scale, exp(neg(square(x))))


_ERF = 2 / math.sqrt(math.pi)
erf_p = elementwise("erf", emit="lax.erf({})", partials=(lambda out, x: _gaussian(x, _ERF),), kinds="f")
erfc_p = elementwise("erfc", emit="lax.erfc({})", partials=(lambda out, x: _gaussian(x, -_ERF),), kinds="f")
erf_inv_p = elementwise(
    "erf_inv", emit="lax.erf_inv({})", partials=(lambda out, x: mul(1 / _ERF, exp(square(out))),), kinds="f"
)
log_ndtr_p = elementwise(
    "log_ndtr",
    emit="jax.scipy.special.log_ndtr({})",
    # The density over the probability: the difference of their logarithms stays finite in the far tail.
    partials=(lambda out, x: exp(sub(neg(add(mul(0.5, square(x)), 0.5 * math.log(2 * math.pi))), out)),),
    kinds="f",
    scalars=False,
)


# -- gamma


def lgamma(x: Any) -> Any:
    """log |Γ(x)|."""
    return bind1(lgamma_p, x)


def digamma(x: Any) -> Any:
    """Γ'(x) / Γ(x)."""
    return bind1(digamma_p, x)


def polygamma(order: Any, x: Any) -> Any:
    """The derivative of digamma of that order (a floating array like x)."""
    return bind1(polygamma_p, order, x)


def zeta(x: Any, q: Any) -> Any:
    """Hurwitz's Σ 1/(k + q)^x, k from 0."""
    return bind1(zeta_p, x, q)


def igamma(a: Any, x: Any) -> Any:
    """The lower incomplete gamma function over Γ(a): the gamma distribution's P(a, x)."""
    return bind1(igamma_p, a, x)


def igammac(a: Any, x: Any) -> Any:
    """1 - igamma(a, x)."""
    return bind1(igammac_p, a, x)


def igamma_grad_a(a: Any, x: Any) -> Any:
    """The derivative of igamma in a."""
    return bind1(igamma_grad_a_p, a, x)


def random_gamma_grad(a: Any, x: Any) -> Any:
    """How a gamma sample x moves with its parameter a at fixed probability: -(∂P/∂a) / (∂P/∂x)."""
    return bind1(random_gamma_grad_p, a, x)


def _gamma_density(a, x):
    return exp(sub(sub(xlogy(sub(a, 1.0), x), x), lgamma(a)))


lgamma_p = elementwise("lgamma", emit="lax.lgamma({})", partials=(lambda out, x: digamma(x),), kinds="f")
digamma_p = elementwise(
    "digamma", emit="lax.digamma({})", partials=(lambda out, x: polygamma(fill(1.0, x.aval), x),), kinds="f"
)
polygamma_p = elementwise(
    "polygamma",
    emit="lax.polygamma({}, {})",
    partials=(no_partial("polygamma", "order"), lambda out, m, x: polygamma(add(m, 1.0), x)),
    kinds="f",
    scalars=False,
)
zeta_p = elementwise(
    "zeta",
    emit="lax.zeta({}, {})",
    partials=(no_partial("zeta", "exponent"), lambda out, x, q: mul(neg(x), zeta(add(x, 1.0), q))),
    kinds="f",
    scalars=False,
)
igamma_p = elementwise(
    "igamma",
    emit="lax.igamma({}, {})",
    partials=(lambda out, a, x: igamma_grad_a(a, x), lambda out, a, x: _gamma_density(a, x)),
    kinds="f",
    scalars=False,
)
igammac_p = elementwise(
    "igammac",
    emit="lax.igammac({}, {})",
    partials=(lambda out, a, x: neg(igamma_grad_a(a, x)), lambda out, a, x: neg(_gamma_density(a, x))),
    kinds="f",
    scalars=False,
)
igamma_grad_a_p = elementwise(
    "igamma_grad_a",
    emit="lax.igamma_grad_a({}, {})",
    partials=(
        no_partial("igamma_grad_a", "parameter a"),
        lambda out, a, x: mul(_gamma_density(a, x), sub(log(x), digamma(a))),
    ),
    kinds="f",
    scalars=False,
)
random_gamma_grad_p = elementwise(
    "random_gamma_grad",
    emit="lax.random_gamma_grad({}, {})",
    # With the density p: d/dx of -(∂P/∂a)/p is -(∂p/∂a)/p - out·(∂p/∂x)/p.
    partials=(
        no_partial("random_gamma_grad", "parameter a"),
        lambda out, a, x: sub(sub(digamma(a), log(x)), mul(out, sub(div(sub(a, 1.0), x), 1.0))),
    ),
    kinds="f",
    scalars=False,
)


# -- beta


def regularized_incomplete_beta(a: Any, b: Any, x: Any) -> Any:
    """The beta distribution's P(a, b, x)."""
    return bind1(regularized_incomplete_beta_p, a, b, x)


def betaln(a: Any, b: Any) -> Any:
    """log |Γ(a) Γ(b) / Γ(a + b)|."""
    return bind1(betaln_p, a, b)


def _log_beta(a, b):
    # JAX's betaln may have seven digits only where a and b are near 10.
    return sub(add(lgamma(a), lgamma(b)), lgamma(add(a, b)))


def _beta_density(out, a, b, x):
    return exp(sub(add(xlogy(sub(a, 1.0), x), xlog1py(sub(b, 1.0), neg(x))), _log_beta(a, b)))


betaln_p = elementwise(
    "betaln",
    emit="jax.scipy.special.betaln({}, {})",
    partials=(
        lambda out, a, b: sub(digamma(a), digamma(add(a, b))),
        lambda out, a, b: sub(digamma(b), digamma(add(a, b))),
    ),
    kinds="f",
    commutes=True,
    scalars=False,
)


_NODES = 64


def _parameter_slopes(a, b, x):
    """∂P/∂a and ∂P/∂b: the integral from 0 to x of the density times the slopes of its logarithm.

    With t = x e⁻ˢ it is one over s > 0, on which the double exponential rule is exact to rounding with 64 nodes, for
    parameters from 1e-3 to 1e5. Above the mean it is that of the mirror image, which has no cancellation there.
    **Source:** Takahasi & Mori, *Double exponential formulas for numerical integration* (1974).
    """
    below = lt(mul(x, add(a, b)), a)
    p, q = select(below, a, b), select(below, b, a)
    y = select(below, x, sub(1.0, x))
    at_end = eq(y, 0.0)
    y = select(at_end, fill(0.5, y.aval), y)
    # 1/scale is how fast the integrand falls at s = 0, or how wide it is there; its tail, e⁻ᵖˢ, may be far longer.
    width = div(sqrt(mul(q, y)), sub(1.0, y))
    scale = reciprocal(add(maximum(sub(p, div(mul(sub(q, 1.0), y), sub(1.0, y))), 0.0), width))
    first, last = -3.7, maximum(log(div(40.0, mul(p, scale))), 4.3)
    step = mul(sub(last, first), 1 / (_NODES - 1))

    def lines(z):
        return with_axis(z, None, z.ndim, _NODES)

    shape = (*x.shape, _NODES)
    v = add(mul(lines(step), iota(x.dtype, shape, x.ndim)), first)
    s = stop_gradient(mul(lines(scale), exp(sub(v, exp(neg(v))))))
    weight = stop_gradient(mul(mul(lines(step), s), add(exp(neg(v)), 1.0)))
    log_t = sub(lines(log(y)), s)
    log_rest = log1p(neg(exp(log_t)))
    exponent = add(mul(lines(p), log_t), mul(lines(sub(q, 1.0)), log_rest))
    mass = mul(weight, exp(sub(exponent, lines(_log_beta(p, q)))))
    both = digamma(add(p, q))
    slopes = [
        bind1(reduce_sum_p, mul(mass, add(part, lines(sub(both, digamma(z))))), axes=(x.ndim,))
        for part, z in ((log_t, p), (log_rest, q))
    ]
    slopes = [select(at_end, zeros_like(x), slope) for slope in slopes]
    return tuple(select(below, mine, neg(other)) for mine, other in (slopes, slopes[::-1]))


regularized_incomplete_beta_p = elementwise(
    "regularized_incomplete_beta",
    emit="lax.betainc({}, {}, {})",
    partials=(
        lambda out, a, b, x: _parameter_slopes(a, b, x)[0],
        lambda out, a, b, x: _parameter_slopes(a, b, x)[1],
        _beta_density,
    ),
    kinds="f",
    scalars=False,
)


# -- Bessel


def bessel_i0e(x: Any) -> Any:
    """exp(-|x|) I₀(x)."""
    return bind1(bessel_i0e_p, x)


def bessel_i1e(x: Any) -> Any:
    """exp(-|x|) I₁(x)."""
    return bind1(bessel_i1e_p, x)


def bessel_i0(x: Any) -> Any:
    """I₀(x), the modified Bessel function of the first kind."""
    return bind1(bessel_i0_p, x)


def bessel_i1(x: Any) -> Any:
    """I₁(x), its derivative."""
    return bind1(bessel_i1_p, x)


def _bessel_i1_partial(out, x):
    """I₀ - I₁/x; 1/2 at 0."""
    away, safe = _away_from_zero(x)
    return select(away, sub(bessel_i0(x), div(out, safe)), fill(0.5, x.aval))


def _away_from_zero(x):
    """Where I₁(x)/x has digits, and x there."""
    eps = float(np.finfo(x.dtype).eps) if x.dtype.kind == "f" else 2.0**-7
    away = gt(abs(x), eps)
    return away, select(away, x, fill(eps, x.aval))


def _bessel_i1e_partial(out, x):
    """I₀ - I₁/x, scaled, less sign(x) times the value; 1/2 at 0, where I₁/x has no digits."""
    away, safe = _away_from_zero(x)
    slope = sub(bessel_i0e(safe), mul(out, add(sign(safe), reciprocal(safe))))
    return select(away, slope, fill(0.5, x.aval))


bessel_i0e_p = elementwise(
    "bessel_i0e",
    emit="lax.bessel_i0e({})",
    partials=(lambda out, x: sub(bessel_i1e(x), mul(sign(x), out)),),
    kinds="f",
)
bessel_i0_p = elementwise("bessel_i0", emit="jnp.i0({})", partials=(lambda out, x: bessel_i1(x),), kinds="f")
bessel_i1_p = elementwise(
    "bessel_i1", emit="jax.scipy.special.i1({})", partials=(_bessel_i1_partial,), kinds="f", scalars=False
)
bessel_i1e_p = elementwise("bessel_i1e", emit="lax.bessel_i1e({})", partials=(_bessel_i1e_partial,), kinds="f")
