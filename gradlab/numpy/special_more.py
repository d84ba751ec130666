"""The larger half of `gradlab.numpy.special`: integrals, factorials, hypergeometric functions, as in jax.scipy.special.

A function that the installed JAX does not have is not defined here either.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.scipy.special as jsp
import numpy as np

from ..ir.errors import ArgumentError, DTypeError
from ..ir.primitive import Primitive
from ..ops import arith, guarded
from ..ops import special_more as ops
from ..ops.operands import require_kind
from ..trace.builder import bind1
from .choose import stretched
from .dispatch import public
from .promote import alike, lift, retype


def direct(name: str, prim: Primitive, *operands: str) -> Callable[..., Any]:
    """f(*operands) = prim(*operands): integers become floating, shapes broadcast; operands may be named."""

    def call(*args: Any, **kwargs: Any) -> Any:
        given = dict(zip(operands, args, strict=False)) | kwargs
        if len(args) + len(kwargs) != len(operands) or set(given) != set(operands):
            raise TypeError(f"{name} takes {', '.join(operands)}; got {len(args)} operands and {sorted(kwargs)}.")
        return bind1(prim, *alike(*[given[operand] for operand in operands], inexact=True))

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"`jax.scipy.special.{name}`, on tracers too."
    return public(getattr(jsp, name))(call)


def reals(name: str, *xs: Any) -> list[Any]:
    """The operands made alike, of a real floating dtype."""
    out = alike(*xs, inexact=True)
    require_kind(name, out[0].aval, "f")
    return out


def single_or_double(name: str, x: Any) -> Any:
    """The operand, of a dtype for which JAX has this function."""
    (x,) = reals(name, x)
    if x.dtype not in (np.float32, np.float64):
        raise DTypeError(f"{name} needs float32 or float64, got {x.aval}. Convert it with .astype(...).")
    return x


# -- integrals

expi = direct("expi", ops.expi_p, "x")
exp1 = direct("exp1", ops.exp1_p, "x")
expn = direct("expn", ops.expn_p, "n", "x")


@public(jsp.sici)
def sici(x: Any) -> tuple[Any, Any]:
    """`jax.scipy.special.sici`, on tracers too: the sine and the cosine integral."""
    (x,) = reals("sici", x)
    return ops.si(x), ops.ci(x)


@public(jsp.fresnel)
def fresnel(x: Any) -> tuple[Any, Any]:
    """`jax.scipy.special.fresnel`, on tracers too: the integrals of sin(πt²/2) and of cos(πt²/2)."""
    (x,) = reals("fresnel", x)
    return ops.fresnel_s(x), ops.fresnel_c(x)


@public(jsp.spence)
def spence(x: Any) -> Any:
    """`jax.scipy.special.spence`, on tracers too."""
    return ops.spence(single_or_double("spence", x))


@public(jsp.ndtri)
def ndtri(p: Any) -> Any:
    """`jax.scipy.special.ndtri`, on tracers too: the normal distribution's quantile."""
    return ops.ndtri(single_or_double("ndtri", p))


# -- factorials

loggamma = direct("loggamma", ops.loggamma_p, "x")
poch = direct("poch", ops.poch_p, "z", "m")


@public(jsp.factorial)
def factorial(n: Any, exact: bool = False) -> Any:
    """`jax.scipy.special.factorial`, on tracers too: Γ(n + 1), and 0 for n < 0."""
    if exact:
        raise ArgumentError("factorial is computed in floating point, as in JAX. Use math.factorial where exact=True.")
    return ops.factorial(*reals("factorial", n))


@public(jsp.bernoulli)
def bernoulli(n: int) -> Any:
    """`jax.scipy.special.bernoulli`, recorded inside a trace: the first n + 1 Bernoulli numbers."""
    return lift(jsp.bernoulli(n))


# -- hypergeometric, Bessel, harmonics

hyp1f1 = direct("hyp1f1", ops.hyp1f1_p, "a", "b", "x")
hyp2f1 = direct("hyp2f1", ops.hyp2f1_p, "a", "b", "c", "x")


@public(jsp.bessel_jn)
def bessel_jn(z: Any, *, v: int, n_iter: int = 50) -> Any:
    """`jax.scipy.special.bessel_jn`, on tracers too: J₀(z) .. J_v(z) on a new first axis."""
    return ops.bessel_jn(*reals("bessel_jn", z), v=int(v), n_iter=int(n_iter))


@public(jsp.sph_harm_y)
def sph_harm_y(n: Any, m: Any, theta: Any, phi: Any, diff_n: int | None = None, n_max: int | None = None) -> Any:
    """`jax.scipy.special.sph_harm_y`, on tracers too, of any shapes that broadcast; it has a slope at the poles too.

    **Arguments:** `n_max`: the largest degree, needed where `n` has no value yet.
    """
    if diff_n is not None:
        raise ArgumentError("sph_harm_y has no diff_n, as in JAX. Differentiate it with gradlab.jacfwd.")
    n, m = alike(n, m)
    if n.dtype.kind not in "iu":
        raise DTypeError(f"sph_harm_y needs integers n and m, got {n.aval}. Convert them with .astype(int).")
    highest = int(np.max(np.asarray(n.tolist()), initial=0)) if n_max is None else int(n_max)
    integers = n.dtype if n.dtype.kind == "i" else np.dtype("int32")
    theta, phi = reals("sph_harm_y", theta, phi)
    n, m, theta, phi = stretched(*(retype(x, integers) for x in (n, m)), theta, phi)
    return ops.sph_harm_y(n, m, theta, phi, n_max=highest)


# -- what newer versions of JAX have

if hasattr(jsp, "erfcinv"):
    erfcinv = direct("erfcinv", ops.erfcinv_p, "y")

if hasattr(jsp, "dawsn"):
    dawsn = direct("dawsn", ops.dawsn_p, "x")
    erfcx = direct("erfcx", ops.erfcx_p, "x")
    owens_t = direct("owens_t", ops.owens_t_p, "h", "a")

    @public(jsp.wofz)
    def wofz(z: Any) -> Any:
        """`jax.scipy.special.wofz`, on tracers too; complex of real numbers too."""
        (z,) = alike(z, inexact=True)
        return ops.wofz(retype(z, np.result_type(z.dtype, np.complex64)))

    @public(jsp.comb)
    def comb(N: Any, k: Any, *, repetition: bool = False) -> Any:
        """`jax.scipy.special.comb`, on tracers too."""
        N, k = reals("comb", N, k)
        return ops.comb(N + k - 1 if repetition else N, k)

    @public(jsp.boxcox)
    def boxcox(x: Any, lmbda: Any) -> Any:
        """`jax.scipy.special.boxcox`, on tracers too; its derivative in lmbda at 0 is log(x)²/2."""
        x, lmbda = reals("boxcox", x, lmbda)
        return guarded.exp_integral(arith.log(x), lmbda)

    @public(jsp.boxcox1p)
    def boxcox1p(x: Any, lmbda: Any) -> Any:
        """`jax.scipy.special.boxcox1p`, on tracers too: boxcox of 1 + x."""
        x, lmbda = reals("boxcox1p", x, lmbda)
        return guarded.exp_integral(arith.log1p(x), lmbda)
