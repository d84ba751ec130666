"""Functions whose own derivative is finite where that of their formula is 0/0 or inf - inf."""

from __future__ import annotations

import cmath
import math
from typing import Any

import jax.numpy as jnp

from ..ir.graph import Lit
from ..trace.builder import bind1
from .arith import abs, add, div, exp, log, log1p, logistic, mul, sub
from .compare import eq, lt, ne, select
from .elementwise import bitwise_and, cos
from .families import elementwise
from .operands import fill, zeros_like


def hypot(x: Any, y: Any) -> Any:
    """√(x² + y²) without overflow; its derivative at the origin is 0."""
    return bind1(hypot_p, x, y)


def logaddexp(x: Any, y: Any) -> Any:
    """log(eˣ + eʸ)."""
    return bind1(logaddexp_p, x, y)


def root(x: Any) -> Any:
    """√x whose derivative at 0 is 0: the length of a vector is not smooth there, and 0 is between its slopes."""
    return bind1(root_p, x)


def sinc(x: Any) -> Any:
    """sin(πx)/(πx), and 1 at 0."""
    return bind1(sinc_p, x)


def exp_integral(x: Any, rate: Any) -> Any:
    """∫₀ˣ exp(rate·t) dt = expm1(rate·x) / rate, and x where the rate is 0."""
    return bind1(exp_integral_p, x, rate)


def xlogy(x: Any, y: Any) -> Any:
    """x log y, and 0 where x is 0 (unless y is NaN)."""
    return bind1(xlogy_p, x, y)


def xlog1py(x: Any, y: Any) -> Any:
    """x log(1 + y), and 0 where x is 0 (unless y is NaN)."""
    return bind1(xlog1py_p, x, y)


def _quotient(x, y):
    """x / y, and 0 at 0/0: where x is 0, the function is constant in y."""
    if isinstance(x, Lit) and x.value:
        return div(x, y)
    both = eq(select(eq(x, 0.0), y, fill(1.0, y.aval)), 0.0)
    return select(both, zeros_like(x), div(x, select(both, fill(1.0, y.aval), y)))


def _slope(x, out):
    """x / √(x² + y²), and 0 at the origin."""
    at_zero = eq(out, 0.0)
    return select(at_zero, zeros_like(x), div(x, select(at_zero, fill(1.0, out.aval), out)))


def _share(x, y):
    """eˣ / (eˣ + eʸ): the logistic function of x - y, where equal infinities differ by 0."""
    difference = sub(x, y)
    if any(isinstance(z, Lit) and cmath.isfinite(z.value) for z in (x, y)):
        return logistic(difference)
    # Not wherever they are equal: the derivative of this zero is zero.
    infinite = bitwise_and(eq(x, y), ne(difference, difference))
    return logistic(select(infinite, zeros_like(x), difference))


def _sinc_partial(out, x):
    """(cos(πx) - sinc(x)) / x; near 0, where that cancels, its series."""
    # The quotient loses ε/x² of its digits and the series, cut after four terms, x⁸: the edge lies between.
    edge = float(jnp.finfo(x.dtype).eps) ** 0.1
    near = lt(abs(x), edge)
    safe = select(near, fill(1.0, x.aval), x)
    far = div(sub(cos(mul(safe, math.pi)), sinc(safe)), safe)
    square = mul(x, x)
    series = fill(math.pi**8 / 45360, x.aval)
    for coefficient in (-(math.pi**6) / 840, math.pi**4 / 30, -(math.pi**2) / 3):
        series = add(mul(series, square), coefficient)
    return select(near, mul(x, series), far)


def _exponent(x, rate):
    """rate · x, and 0 where the rate is 0, though x be infinite."""
    return select(eq(rate, 0.0), zeros_like(x), mul(rate, x))


def _exp_integral_partial(out, x, rate):
    """∫₀ˣ t·exp(rate·t) dt = ((u - 1)·eᵘ + 1) / rate² with u = rate·x; near u = 0, where that cancels, its series."""
    u = _exponent(x, rate)
    # The quotient loses ε/u² of its digits, its derivative ε/u³; the series is cut after u¹⁰/(10!·12).
    near = lt(abs(u), 0.125)
    series = fill(1 / (math.factorial(10) * 12), x.aval)
    for k in reversed(range(10)):
        series = add(mul(series, u), 1 / (math.factorial(k) * (k + 2)))
    grown = exp(u)
    # Nothing times infinity: where eᵘ is 0, u is -inf or next to it.
    part = select(eq(grown, 0.0), zeros_like(u), mul(sub(u, 1.0), grown))
    safe = select(near, fill(1.0, rate.aval), rate)
    return select(near, mul(mul(x, x), series), div(add(part, 1.0), mul(safe, safe)))


def _root_partial(out):
    at_zero = eq(out, 0.0)
    return select(at_zero, zeros_like(out), div(0.5, select(at_zero, fill(1.0, out.aval), out)))


hypot_p = elementwise(
    "hypot",
    emit="jnp.hypot({}, {})",
    partials=(lambda out, x, y: _slope(x, out), lambda out, x, y: _slope(y, out)),
    kinds="f",
    commutes=True,
)
logaddexp_p = elementwise(
    "logaddexp",
    emit="jnp.logaddexp({}, {})",
    partials=(lambda out, x, y: _share(x, y), lambda out, x, y: _share(y, x)),
    kinds="f",
    commutes=True,
)
xlogy_p = elementwise(
    "xlogy",
    emit="jax.scipy.special.xlogy({}, {})",
    partials=(lambda out, x, y: log(y), lambda out, x, y: _quotient(x, y)),
    kinds="f",
)
xlog1py_p = elementwise(
    "xlog1py",
    emit="jax.scipy.special.xlog1py({}, {})",
    partials=(lambda out, x, y: log1p(y), lambda out, x, y: _quotient(x, add(y, 1.0))),
    kinds="f",
)
exp_integral_p = elementwise(
    "exp_integral",
    emit="jnp.where({1} == 0, {0}, jnp.expm1({1} * {0}) / jnp.where({1} == 0, 1, {1}))",
    partials=(lambda out, x, rate: exp(_exponent(x, rate)), _exp_integral_partial),
    kinds="f",
    scalars=False,
)
sinc_p = elementwise("sinc", emit="jnp.sinc({})", partials=(_sinc_partial,), kinds="f")
root_p = elementwise("root", emit="jnp.sqrt({})", call="sqrt", partials=(lambda out, x: _root_partial(out),), kinds="f")
