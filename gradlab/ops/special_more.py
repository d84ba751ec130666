"""More special functions: the integrals, hypergeometric and factorial families, Bessel J, harmonics; JAX sums them.

Each has a primitive because its derivative is a closed form that its series is not. What JAX alone can differentiate,
hypergeometric functions in their parameters, asks JAX for that in the text that runs.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..ir.errors import ArgumentError
from ..ir.graph import Aval
from ..ir.primitive import Primitive, Refused
from ..trace.builder import bind, bind1
from .arith import abs, add, div, exp, log, maximum, minimum, mul, neg, reciprocal, sqrt, square, sub
from .compare import eq, lt, select
from .convert import complex, convert
from .costs import TRANSCENDENTAL
from .elementwise import cos, sin
from .families import Rule, elementwise
from .guarded import sinc
from .operands import dtype_text, fill, kind, require_kind, same_type, zeros_like
from .shape import broadcast, concatenate, slice_
from .special import digamma, erf, no_partial


def _series(name: str, partials: Any, n: int = 1, kinds: str = "f", call: str = "", part: str = "") -> Primitive:
    """A primitive that is `jax.scipy.special`'s function of `n` operands, or one `part` of its result."""
    text = f"jax.scipy.special.{call or name}({', '.join(['{}'] * n)}){part}"
    return elementwise(name, emit=text, partials=partials, kinds=kinds, scalars=False)


def _function(prim: Primitive, doc: str) -> Rule:
    def call(*xs: Any) -> Any:
        return bind1(prim, *xs)

    call.__name__ = call.__qualname__ = prim.name
    call.__doc__ = doc
    return call


# -- exponential and trigonometric integrals

expi_p = _series("expi", (lambda out, x: div(exp(x), x),))
exp1_p = _series("exp1", (lambda out, x: neg(div(exp(neg(x)), x)),))
si_p = _series("si", (lambda out, x: sinc(mul(x, 1 / math.pi)),), call="sici", part="[0]")
ci_p = _series("ci", (lambda out, x: div(cos(x), x),), call="sici", part="[1]")
fresnel_s_p = _series("fresnel_s", (lambda out, x: sin(_quarter_turns(x)),), call="fresnel", part="[0]")
fresnel_c_p = _series("fresnel_c", (lambda out, x: cos(_quarter_turns(x)),), call="fresnel", part="[1]")

expi = _function(expi_p, "Ei(x) = ∫ eᵗ/t dt up to x.")
exp1 = _function(exp1_p, "E₁(x) = ∫ e⁻ᵗ/t dt from x.")
si = _function(si_p, "∫ sin(t)/t dt from 0 to x.")
ci = _function(ci_p, "γ + log x + ∫ (cos(t) - 1)/t dt from 0 to x.")
fresnel_s = _function(fresnel_s_p, "∫ sin(πt²/2) dt from 0 to x.")
fresnel_c = _function(fresnel_c_p, "∫ cos(πt²/2) dt from 0 to x.")


def _quarter_turns(x):
    return mul(math.pi / 2, square(x))


def _expn_partial(out, n, x):
    """-E of the order below; that below order 0 is written out."""
    lowest = eq(n, 0.0)
    below = expn(sub(select(lowest, fill(1.0, n.aval), n), 1.0), x)
    inverse = reciprocal(x)
    return neg(select(lowest, mul(mul(exp(neg(x)), inverse), add(inverse, 1.0)), below))


def _spence_partial(out, x):
    """log(x) / (1 - x); near 1, where that is 0/0, its series."""
    # The quotient loses ε/u of its digits, its derivative ε/u², and the series, cut after ten terms, u¹⁰.
    edge = 0.03 if x.dtype == np.float64 else 0.15
    u = sub(1.0, x)
    near = lt(abs(u), edge)
    safe = select(near, fill(2.0, x.aval), x)
    series = fill(1 / 11, x.aval)
    for k in range(10, 0, -1):
        series = add(mul(series, u), 1 / k)
    return select(near, neg(series), div(log(safe), sub(1.0, safe)))


expn_p = _series("expn", (no_partial("expn", "order n"), _expn_partial), 2)
spence_p = _series("spence", (_spence_partial,))

expn = _function(expn_p, "Eₙ(x) = ∫ e⁻ˣᵗ/tⁿ dt from 1.")
spence = _function(spence_p, "∫ log(t)/(1 - t) dt from 1 to x, of float32 or float64.")


# -- the error function's family

_ROOT_PI = math.sqrt(math.pi)
dawsn_p = _series("dawsn", (lambda out, x: sub(1.0, mul(2.0, mul(x, out))),))
erfcx_p = _series("erfcx", (lambda out, x: sub(mul(2.0, mul(x, out)), 2 / _ROOT_PI),), kinds="fc")
wofz_p = _series("wofz", (lambda out, z: sub(2j / _ROOT_PI, mul(2.0, mul(z, out))),), kinds="c")
ndtri_p = _series("ndtri", (lambda out, p: mul(math.sqrt(2 * math.pi), exp(mul(0.5, square(out)))),))
erfcinv_p = _series("erfcinv", (lambda out, y: mul(-_ROOT_PI / 2, exp(square(out))),))
owens_t_p = elementwise(
    "owens_t",
    # JAX may answer in double precision.
    emit=lambda h, a: f"lax.convert_element_type(jax.scipy.special.owens_t({h}, {a}), {dtype_text(h.aval.dtype)})",
    partials=(
        lambda out, h, a: mul(-0.5 / math.sqrt(2 * math.pi), mul(_bell(h), erf(mul(math.sqrt(0.5), mul(a, h))))),
        lambda out, h, a: div(
            mul(0.5 / math.pi, exp(mul(-0.5, mul(square(h), add(square(a), 1.0))))), add(square(a), 1.0)
        ),
    ),
    kinds="f",
    scalars=False,
)

dawsn = _function(dawsn_p, "exp(-x²) ∫ exp(t²) dt from 0 to x.")
erfcx = _function(erfcx_p, "exp(x²) erfc(x).")
wofz = _function(wofz_p, "exp(-z²) erfc(-iz), of complex z.")
ndtri = _function(ndtri_p, "The normal distribution's quantile, of float32 or float64.")
erfcinv = _function(erfcinv_p, "The inverse of erfc.")
owens_t = _function(owens_t_p, "∫ exp(-h²(1 + t²)/2)/(1 + t²) dt from 0 to a, over 2π.")


def _bell(h):
    return exp(mul(-0.5, square(h)))


# -- factorials


def _loggamma_partial(out, x):
    if kind(x.dtype) == "c":
        return Refused(
            "loggamma has no derivative at complex points: there is no complex digamma. Use gammaln of a real x."
        )()
    return digamma(x)


def _factorial_partial(out, n):
    # What is not selected has the poles of digamma; the sum inside is the one that the factorial itself computes.
    return select(lt(n, 0.0), zeros_like(n), mul(out, digamma(add(n, 1.0))))


def _comb_partial(by_n: bool):
    def partial(out, n, k):
        # Where the number is 0 the arguments are outside the triangle, at poles of digamma.
        outside = eq(out, 0.0)
        n, k = (select(outside, fill(1.0, n.aval), z) for z in (n, k))
        lower = digamma(add(sub(n, k), 1.0))
        if by_n:
            return mul(out, sub(digamma(add(n, 1.0)), lower))
        return mul(out, sub(lower, digamma(add(k, 1.0))))

    return partial


loggamma_p = _series("loggamma", (_loggamma_partial,), kinds="fc")
factorial_p = _series("factorial", (_factorial_partial,))
comb_p = _series("comb", (_comb_partial(True), _comb_partial(False)), 2)
poch_p = _series(
    "poch",
    (
        lambda out, z, m: mul(out, sub(digamma(add(z, m)), digamma(z))),
        lambda out, z, m: mul(out, digamma(add(z, m))),
    ),
    2,
)

loggamma = _function(loggamma_p, "log Γ(x) on its principal branch; NaN for real x < 0.")
factorial = _function(factorial_p, "Γ(n + 1), and 0 for n < 0.")
comb = _function(comb_p, "n! / (k! (n - k)!), and 0 outside 0 ≤ k ≤ n.")
poch = _function(poch_p, "Γ(z + m) / Γ(z).")


# -- hypergeometric


def _in_parameters(name: str, n: int) -> tuple[Rule, ...]:
    """The partials of JAX's function `name` of `n` operands in all but the last, as JAX has them."""
    second = Refused(
        f"{name} has no second derivative that involves its parameters: there is no closed form. "
        "Hold them constant with stop_gradient."
    )

    def emit(*xs, operand):
        moved = ", ".join("p" if i == operand else x for i, x in enumerate(xs))
        at = xs[operand]
        return f"jax.jvp(lambda p: jax.scipy.special.{name}({moved}), ({at},), (jnp.ones_like({at}),))[1]"

    prim = elementwise(f"{name}_by", emit=emit, partials=(second,) * n, kinds="f", scalars=False)
    return tuple(lambda out, *xs, k=k: bind1(prim, *xs, operand=k) for k in range(n - 1))


def _hyp1f1_partial(out, a, b, x):
    return mul(div(a, b), hyp1f1(add(a, 1.0), add(b, 1.0), x))


def _hyp2f1_partial(out, a, b, c, x):
    return mul(div(mul(a, b), c), hyp2f1(add(a, 1.0), add(b, 1.0), add(c, 1.0), x))


hyp1f1_p = _series(
    "hyp1f1",
    (*_in_parameters("hyp1f1", 3), _hyp1f1_partial),
    3,
)
hyp2f1_p = _series(
    "hyp2f1",
    (*_in_parameters("hyp2f1", 4), _hyp2f1_partial),
    4,
)

hyp1f1 = _function(hyp1f1_p, "Kummer's Σ (a)ₖ/(b)ₖ xᵏ/k!.")
hyp2f1 = _function(hyp2f1_p, "Gauss's Σ (a)ₖ(b)ₖ/(c)ₖ xᵏ/k!.")


# -- Bessel functions of the first kind


def bessel_jn(z: Any, *, v: int, n_iter: int = 50) -> Any:
    """J₀(z) .. J_v(z), stacked on a new first axis; `n_iter` steps of the recurrence, more than v."""
    return bind1(bessel_jn_p, z, v=v, n_iter=n_iter)


def _bessel_jn_infer(z: Aval, *, v: int, n_iter: int) -> tuple[Aval]:
    require_kind("bessel_jn", z, "f")
    if not 0 <= v < n_iter:
        raise ArgumentError(f"bessel_jn needs 0 <= v < n_iter, got v={v}, n_iter={n_iter}. Give a larger n_iter.")
    return (Aval((v + 1, *z.shape), z.dtype, z.weak),)


def _bessel_jn_jvp(xs, ts, *, v, n_iter):
    (z,), (t,) = xs, ts
    orders = bessel_jn(z, v=v + 1, n_iter=max(n_iter, v + 2))

    def rows(first, last):
        return slice_(orders, (first, *[0] * z.ndim), (last, *z.shape), (1,) * orders.ndim)

    # 2J'ₖ = Jₖ₋₁ - Jₖ₊₁, where J₋₁ = -J₁.
    lower = neg(rows(1, 2))
    lower = concatenate([lower, rows(0, v)], 0) if v else lower
    slope = mul(0.5, sub(lower, rows(1, v + 2)))
    t = broadcast(t, slope.shape, range(1, slope.ndim))
    return bind(bessel_jn_p, z, v=v, n_iter=n_iter), (mul(slope, t),)


bessel_jn_p = Primitive(
    name="bessel_jn",
    infer=_bessel_jn_infer,
    emit=lambda z, *, v, n_iter: f"jax.scipy.special.bessel_jn({z}, v={v}, n_iter={n_iter})",
    jvp=_bessel_jn_jvp,
    transpose=Refused("bessel_jn is not linear; only linear equations are transposed"),
    batch=lambda xs, dims, **params: (bind(bessel_jn_p, *xs, **params), (dims[0] + 1,)),
    cost=TRANSCENDENTAL,
)


# -- spherical harmonics


def sph_harm_y(n: Any, m: Any, theta: Any, phi: Any, *, n_max: int) -> Any:
    """Yₙᵐ at polar angle `theta` and azimuth `phi`, of integers |m| <= n <= n_max; complex."""
    return bind1(sph_harm_y_p, n, m, theta, phi, n_max=n_max)


def _sph_harm_infer(n: Aval, m: Aval, theta: Aval, phi: Aval, *, n_max: int) -> tuple[Aval]:
    require_kind("sph_harm_y", n, "iu")
    require_kind("sph_harm_y", theta, "f")
    same_type("sph_harm_y", n, m)
    out = same_type("sph_harm_y", theta, phi)
    same_type("sph_harm_y", Aval(n.shape, out.dtype), out)
    return (Aval(out.shape, np.result_type(out.dtype, np.complex64)),)


def _sph_harm_emit(n, m, theta, phi, *, n_max):
    shape = theta.aval.shape
    xs = (n, m, theta, phi) if len(shape) == 1 else [f"jnp.ravel({x})" for x in (n, m, theta, phi)]
    text = f"jax.scipy.special.sph_harm_y({', '.join(xs)}, n_max={n_max})"
    if theta.aval.dtype.itemsize < 8:
        text = f"lax.convert_element_type({text}, jnp.complex64)"  # JAX answers in double precision
    return text if len(shape) == 1 else f"jnp.reshape({text}, {shape})"


def _sph_harm_slope(n, m, theta, phi, n_max):
    """∂Y/∂θ by the ladder operators: no cotangent, so the poles are points like all others."""

    def step(to, sign):
        below = mul(sub(n, m) if sign > 0 else add(n, m), add(add(n, m) if sign > 0 else sub(n, m), 1))
        length = sqrt(convert(below, dtype=theta.dtype))
        turn = complex(mul(cos(phi), length), mul(sin(phi), mul(length, -1.0 * sign)))
        return mul(turn, sph_harm_y(n, to, theta, phi, n_max=n_max))

    up, down = step(minimum(add(m, 1), n), 1), step(maximum(sub(m, 1), neg(n)), -1)
    return mul(0.5, sub(up, down))


def _sph_harm_jvp(xs, ts, *, n_max):
    n, m, theta, phi = xs
    out = bind1(sph_harm_y_p, *xs, n_max=n_max)
    moved = []
    if ts[2] is not None:
        moved.append(mul(_sph_harm_slope(n, m, theta, phi, n_max), complex(ts[2], zeros_like(theta))))
    if ts[3] is not None:
        turn = complex(zeros_like(phi), mul(convert(m, dtype=phi.dtype), ts[3]))
        moved.append(mul(out, turn))
    return (out,), ((add(*moved) if len(moved) == 2 else moved[0]),)


sph_harm_y_p = elementwise(
    "sph_harm_y",
    infer=_sph_harm_infer,
    emit=_sph_harm_emit,
    jvp=_sph_harm_jvp,
    scalars=False,
)
