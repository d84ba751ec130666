"""Polynomials as arrays of coefficients, the highest power first."""

from __future__ import annotations

import math
import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..ir.errors import ArgumentError, ConcretizationError, ShapeError
from ..ir.graph import Aval
from ..ops import reduce as reduce_ops
from ..ops import shape as shape_ops
from ..ops.convert import stop_gradient
from ..ops.index import gather
from ..ops.linalg.eig import eigvals
from ..ops.linalg.inverse import inv, pinv
from ..ops.linalg.lstsq import lstsq
from ..ops.linalg.svd import svdvals
from ..ops.operands import fill
from ..ops.sort import sort
from .choose import where
from .convolution import convolve
from .creation import arange, eye
from .dispatch import public
from .elementwise import sqrt
from .formulas import power
from .manipulation import atleast_1d, concatenate, stack
from .promote import aval as aval_of
from .promote import broadcast_shapes, home, lift, result_dtype, retype, stretch
from .reductions import sum


def _coefficients(*ps: Any, inexact: bool = False) -> list[Any]:
    """The polynomials as arrays of one dtype and one axis."""
    at = home(*ps)
    dtype, weak = result_dtype([aval_of(p) for p in ps], inexact=inexact)
    out = [retype(at.operand(p, None), dtype, weak) for p in ps]
    if any(p.ndim != 1 for p in out):
        raise ShapeError(f"a polynomial is an array of one axis, got {', '.join(str(p.aval) for p in out)}.")
    return out


def _order(name: str, m: Any) -> int:
    m = operator.index(m)
    if m < 0:
        raise ArgumentError(f"{name} needs an order that is not negative, got {m}. Take polyint for polyder, or back.")
    return m


def _leading(name: str, p: Any, tolerance: float, instead: str) -> int:
    """How many of the first coefficients are 0 (or within the tolerance of it): something only their values tell."""
    try:
        p = np.asarray(p.value(name))
    except ConcretizationError:
        raise ConcretizationError(
            f"{name} drops leading zeros, of which values decide how many; under jit and vmap a function is read "
            f"before there are numbers. Give {instead}."
        ) from None
    return int(np.argmax([*(np.abs(p) > tolerance), True]))


# -- arithmetic


@public("polyadd")
def polyadd(a1: Any, a2: Any) -> Any:
    """`jax.numpy.polyadd`, on tracers too."""
    a1, a2 = _coefficients(a1, a2)
    n = max(len(a1), len(a2))
    return _lengthened(a1, n) + _lengthened(a2, n)


@public("polysub")
def polysub(a1: Any, a2: Any) -> Any:
    """`jax.numpy.polysub`, on tracers too."""
    a1, a2 = _coefficients(a1, a2)
    n = max(len(a1), len(a2))
    return _lengthened(a1, n) - _lengthened(a2, n)


def _lengthened(p: Any, n: int) -> Any:
    return shape_ops.pad(p, 0, (n - len(p),), (0,))


@public("polymul")
def polymul(a1: Any, a2: Any, *, trim_leading_zeros: bool = False) -> Any:
    """`jax.numpy.polymul`, on tracers too."""
    ps = _coefficients(a1, a2, inexact=True)
    if trim_leading_zeros and max(map(len, ps)) > 1:
        ps = [p[_leading("polymul", p, 0.0, "trim_leading_zeros=False") :] for p in ps]
    return convolve(*(p if len(p) else _lengthened(p, 1) for p in ps))


@public("polydiv")
def polydiv(u: Any, v: Any, *, trim_leading_zeros: bool = False) -> tuple[Any, Any]:
    """`jax.numpy.polydiv`, on tracers too: quotient and remainder."""
    u, v = _coefficients(u, v, inexact=True)
    steps = len(u) - len(v) + 1
    scale = 1.0 / v[0]
    quotient = []
    for k in range(steps):
        d = scale * u[k]
        quotient.append(d)
        u = u - shape_ops.pad(d * v, 0, (k,), (steps - 1 - k,))
    if trim_leading_zeros:
        u = u[_leading("polydiv", u, float(np.sqrt(jnp.finfo(u.dtype).eps)), "trim_leading_zeros=False") :]
    return stack(quotient) if quotient else u.builder.literal(0.0, u.aval.reshaped((1,))), u


# -- calculus


def _falling(p: Any, n: int, m: int) -> Any:
    """k (k - 1) ... (k - m + 1) for the powers k = n-1, ..., m of p: what m derivatives put before them."""
    powers = shape_ops.rev(shape_ops.iota(p.dtype, (max(n - m, 0),)), (0,))
    return math.prod((powers + (m - i) for i in range(1, m)), start=powers + m)


@public("polyder")
def polyder(p: Any, m: int = 1) -> Any:
    """`jax.numpy.polyder`, on tracers too."""
    (p,) = _coefficients(p, inexact=True)
    m = _order("polyder", m)
    return p[:-m] * _falling(p, len(p), m) if m else p


@public("polyint")
def polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    """`jax.numpy.polyint`, on tracers too; k are the constants of integration, the first one integrated most often."""
    m = _order("polyint", m)
    p, k = _coefficients(p, atleast_1d(home(p, k).operand(0 if k is None else k, None)), inexact=True)
    if not m:
        return p
    if len(k) == 1:
        k = stretch(k, (m,))
    if k.shape != (m,):
        raise ShapeError(f"polyint needs one constant of integration, or as many as orders ({m}); got {k.aval}.")
    factorials = np.asarray([math.factorial(i) for i in reversed(range(m))], p.dtype)
    return concatenate([p / _falling(p, len(p) + m, m), k / factorials])


# -- values and roots


@public("polyval")
def polyval(p: Any, x: Any, *, unroll: int | None = 16) -> Any:
    """`jax.numpy.polyval`, on tracers too, by Horner's rule."""
    at = home(p, x)
    dtype, weak = result_dtype([aval_of(p), aval_of(x)])
    if dtype.kind in "biu":
        # What becomes of integers is not the same in every version of JAX.
        dtype = np.dtype(jax.eval_shape(jnp.polyval, *(jax.ShapeDtypeStruct((1,), dtype) for _ in range(2))).dtype)
    p, x = (retype(at.operand(a, None), dtype, weak) for a in (p, x))
    shape = broadcast_shapes([p.shape[1:], x.shape])
    x = stretch(x, shape)
    if not p.shape[0]:
        return x.builder.literal(dtype.type(0).item(), x.aval)
    out = stretch(p[0], shape)
    for i in range(1, p.shape[0]):
        out = out * x + p[i]
    return out


@public("vander")
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """`jax.numpy.vander`, on tracers too."""
    x = lift(x)
    if x.ndim != 1:
        raise ShapeError(f"vander needs a vector, got {x.aval}.")
    n = x.shape[0] if N is None else _order("vander", N)
    powers = arange(n, dtype=x.dtype)
    return power(shape_ops.reshape(x, (x.shape[0], 1)), powers if increasing else (n - 1) - powers)


@public("poly")
def poly(seq_of_zeros: Any) -> Any:
    """`jax.numpy.poly` of roots, or of a matrix whose eigenvalues they are, on tracers too."""
    x = lift(seq_of_zeros)
    x = atleast_1d(retype(x, result_dtype([x.aval], inexact=True)[0]))
    if x.ndim == 2 and x.shape[0] == x.shape[1] != 0:
        x = eigvals(x)
    if x.ndim != 1:
        raise ShapeError(f"poly needs roots along one axis or a square matrix, got {x.aval}.")
    n = x.shape[0]
    one = x.builder.literal(1.0, x.aval.reshaped(()))
    if not n:
        return one
    factors = concatenate([stretch(one, (n, 1)), shape_ops.reshape(-x, (n, 1))], 1)
    out = factors[0]
    for k in range(1, n):
        out = convolve(out, factors[k])
    return out


@public("roots")
def roots(p: Any, *, strip_zeros: bool = True) -> Any:
    """`jax.numpy.roots`, on tracers too: the eigenvalues of the companion matrix."""
    p = lift(p)
    p = atleast_1d(retype(p, result_dtype([p.aval], inexact=True)[0]))
    if p.ndim != 1:
        raise ShapeError(f"a polynomial is an array of one axis, got {p.aval}.")
    if strip_zeros:
        return _roots(p[_leading("roots", p, 0.0, "strip_zeros=False, which makes the roots that are missing NaN") :])
    n = p.shape[0]
    if n < 2:
        return _roots(p)
    # Leading zeros are rolled to the end, where they become roots at 0: as many as there are too many.
    index = arange(n, dtype="int32")
    zeros = reduce_ops.reduce_min(where(p == 0, n, index), axes=(0,))
    p = where(zeros == n, 1.0, p)
    found = _roots(gather(p, (index + zeros) % n, axes=(0,), mode="promise_in_bounds"))
    found = sort(found == 0, found, axis=0)[1]
    return where(arange(n - 1, dtype="int32") < n - 1 - zeros, found, complex(math.nan, math.nan))


def _roots(p: Any) -> Any:
    n = p.shape[0] - 1
    if n < 1:
        whole = jnp.promote_types(p.dtype, "complex64")
        return p.builder.literal(0j, Aval((0,), np.dtype(whole)))
    first = shape_ops.reshape(-p[1:] / p[0], (1, n))
    return eigvals(concatenate([first, eye(n - 1, n, dtype=p.dtype)]))


def _powers(x: Any, n: int) -> Any:
    """`vander(x, n)` by one product for each column: a power costs as much as many of them."""
    columns = [fill(1.0, x.aval), x][:n]
    while len(columns) < n:
        columns.append(columns[-1] * x)
    return stack(columns[::-1], axis=1)


@public("polyfit")
def polyfit(
    x: Any, y: Any, deg: int, rcond: float | None = None, full: bool = False, w: Any = None, cov: Any = False
) -> Any:
    """`jax.numpy.polyfit`, on tracers too.

    The coefficients are pseudo-inverse times y, so their derivative has no difference of singular values to divide by.
    """
    order = _order("polyfit", deg) + 1
    at = home(x, y, w)
    dtype = result_dtype([aval_of(a) for a in (x, y, *([] if w is None else [w]))], inexact=True)[0]
    x, y = (retype(at.operand(a, None), dtype) for a in (x, y))
    if x.ndim != 1 or not x.size or y.ndim not in (1, 2) or y.shape[0] != x.shape[0]:
        raise ShapeError(f"polyfit needs a vector x, not empty, and as many rows in y, got {x.aval} and {y.aval}.")
    cutoff = x.shape[0] * float(jnp.finfo(dtype).eps) if rcond is None else float(rcond)
    lhs, rhs = _powers(x, order), y if y.ndim == 2 else y[:, None]
    if w is not None:
        w = retype(at.operand(w, None), dtype)
        if w.shape != x.shape:
            raise ShapeError(f"polyfit needs a weight for each point, got {w.aval} for {x.aval}.")
        lhs, rhs = lhs * w[:, None], rhs * w[:, None]
    scale = sqrt(sum(lhs * lhs, 0))
    lhs = lhs / scale
    found = lstsq(lhs, pinv(stop_gradient(lhs), fill(cutoff, lhs.aval.reshaped(()))), rhs)
    coefficients = shape_ops.reshape(found / scale[:, None], (order, *y.shape[1:]))
    if not full and not cov:
        return coefficients
    rest = rhs - lhs @ found
    residuals = sum(rest * rest, 0)
    if full:
        s = svdvals(lhs)
        return coefficients, residuals, sum(s >= cutoff * s[0]), s, at.operand(cutoff, Aval((), dtype))
    base = inv(lhs.T @ lhs) / (scale[:, None] * scale)
    if cov == "unscaled":
        factor = 1.0
    elif x.shape[0] <= order:
        got = x.shape[0]
        raise ArgumentError(
            f'polyfit scales the covariance by more than {order} points, got {got}. Give cov="unscaled".'
        )
    else:
        factor = residuals / (x.shape[0] - order)
    return coefficients, base * factor if y.ndim == 1 else base[:, :, None] * factor
