"""Samples without a derivative: laws without parameters, and those whose samples are integers or choices."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ..ir.errors import ArgumentError, DTypeError, ShapeError
from ..numpy import axes as ax
from ..numpy.promote import lift, number
from ..numpy.selection import take, take_along_axis
from ..ops.operands import kind
from ..ops.random import draw
from ..ops.shape import iota
from ..trace.avals import canonical_dtype
from ..trace.tracer import Tracer
from .arguments import one_key, public, real, sample_shape, whole

# -- laws without parameters


@public
def bits(key: Any, shape: Any = (), dtype: Any = None) -> Any:
    """`jax.random.bits`, on tracers too."""
    found = canonical_dtype(np.uint64 if dtype is None else dtype)
    if kind(found) != "u":
        raise DTypeError(f"bits come as unsigned integers, got dtype={found}. Write dtype=jnp.uint32.")
    return draw("bits", one_key("bits", key), {}, shape=sample_shape("bits", shape), dtype=found)


@public
def normal(key: Any, shape: Any = (), dtype: Any = None) -> Any:
    """`jax.random.normal`, on tracers too. Reparameterise by arithmetic: `mean + scale * normal(key)`."""
    found = real("normal", dtype, also_complex=True)
    return draw("normal", one_key("normal", key), {}, shape=sample_shape("normal", shape), dtype=found)


def _plain(law: str, key: Any, shape: Any, dtype: Any, **options: Any) -> Any:
    return draw(law, one_key(law, key), {}, shape=sample_shape(law, shape), dtype=real(law, dtype), **options)


@public
def cauchy(key: Any, shape: Any = (), dtype: Any = None) -> Any:
    """`jax.random.cauchy`, on tracers too."""
    return _plain("cauchy", key, shape, dtype)


@public
def exponential(key: Any, shape: Any = (), dtype: Any = None) -> Any:
    """`jax.random.exponential`, on tracers too."""
    return _plain("exponential", key, shape, dtype)


@public
def gumbel(key: Any, shape: Any = (), dtype: Any = None, mode: str | None = None) -> Any:
    """`jax.random.gumbel`, on tracers too."""
    return _plain("gumbel", key, shape, dtype, mode=mode)


@public
def laplace(key: Any, shape: Any = (), dtype: Any = None) -> Any:
    """`jax.random.laplace`, on tracers too."""
    return _plain("laplace", key, shape, dtype)


@public
def logistic(key: Any, shape: Any = (), dtype: Any = None) -> Any:
    """`jax.random.logistic`, on tracers too."""
    return _plain("logistic", key, shape, dtype)


@public
def maxwell(key: Any, shape: Any = (), dtype: Any = None) -> Any:
    """`jax.random.maxwell`, on tracers too."""
    return _plain("maxwell", key, shape, dtype)


@public
def orthogonal(key: Any, n: int, shape: Any = (), dtype: Any = None, m: int | None = None) -> Any:
    """`jax.random.orthogonal`, on tracers too."""
    found = real("orthogonal", dtype, also_complex=True)
    sizes = {"n": operator.index(n), "m": None if m is None else operator.index(m)}
    return draw(
        "orthogonal", one_key("orthogonal", key), {}, **sizes, shape=sample_shape("orthogonal", shape), dtype=found
    )


@public
def rademacher(key: Any, shape: Any = (), dtype: Any = None) -> Any:
    """`jax.random.rademacher`, on tracers too."""
    found = canonical_dtype(int if dtype is None else dtype)
    return draw("rademacher", one_key("rademacher", key), {}, shape=sample_shape("rademacher", shape), dtype=found)


# -- laws with parameters, in which their samples are constant almost everywhere


def _shape_or_none(law: str, shape: Any) -> tuple[int, ...] | None:
    return None if shape is None else sample_shape(law, shape)


def _real_parameter(law: str, x: Any) -> Any:
    x = lift(x)
    if kind(x.aval.dtype) not in "biuf":
        raise DTypeError(f"{law} needs real parameters, got {x.aval}. Take .real, or convert it with .astype.")
    return x


@public
def bernoulli(key: Any, p: Any = 0.5, shape: Any = None, mode: str = "low") -> Any:
    """`jax.random.bernoulli`, on tracers too."""
    if mode not in ("high", "low"):
        raise ArgumentError(f"bernoulli knows the modes 'high' and 'low', got {mode!r}.")
    p = lift(p)
    if kind(p.aval.dtype) != "f":
        raise DTypeError(f"bernoulli needs a floating probability p, got {p.aval}. Convert it with .astype(float).")
    found = _shape_or_none("bernoulli", shape)
    return draw("bernoulli", one_key("bernoulli", key), {"p": p}, shape=found, mode=mode)


@public
def binomial(key: Any, n: Any, p: Any, shape: Any = None, dtype: Any = None) -> Any:
    """`jax.random.binomial`, on tracers too."""
    given = {"n": _real_parameter("binomial", n), "p": _real_parameter("binomial", p)}
    found = _shape_or_none("binomial", shape)
    return draw("binomial", one_key("binomial", key), given, shape=found, dtype=real("binomial", dtype))


@public
def multinomial(key: Any, n: Any, p: Any, *, shape: Any = None, dtype: Any = None, unroll: int | bool = 1) -> Any:
    """`jax.random.multinomial`, on tracers too."""
    given = {"n": _real_parameter("multinomial", n), "p": _real_parameter("multinomial", p)}
    options = {"shape": _shape_or_none("multinomial", shape), "dtype": real("multinomial", dtype)}
    return draw("multinomial", one_key("multinomial", key), given, **options, unroll=int(unroll) or None)


@public
def categorical(
    key: Any, logits: Any, axis: int = -1, shape: Any = None, replace: bool = True, mode: str | None = None
) -> Any:
    """`jax.random.categorical`, on tracers too."""
    logits = _real_parameter("categorical", logits)
    options = {"axis": ax.one(axis, logits.ndim), "shape": _shape_or_none("categorical", shape)}
    given = {"logits": logits}
    return draw("categorical", one_key("categorical", key), given, **options, replace=bool(replace), mode=mode)


@public
def geometric(key: Any, p: Any, shape: Any = None, dtype: Any = None) -> Any:
    """`jax.random.geometric`, on tracers too."""
    options = {"shape": _shape_or_none("geometric", shape), "dtype": whole("geometric", dtype)}
    return draw("geometric", one_key("geometric", key), {"p": _real_parameter("geometric", p)}, **options)


@public
def poisson(key: Any, lam: Any, shape: Any = None, dtype: Any = None) -> Any:
    """`jax.random.poisson`, on tracers too."""
    options = {"shape": _shape_or_none("poisson", shape), "dtype": whole("poisson", dtype)}
    return draw("poisson", one_key("poisson", key), {"lam": _real_parameter("poisson", lam)}, **options)


@public
def randint(key: Any, shape: Any, minval: Any, maxval: Any, dtype: Any = None) -> Any:
    """`jax.random.randint`, on tracers too."""
    found = whole("randint", dtype)
    given = {"minval": _real_parameter("randint", minval), "maxval": _real_parameter("randint", maxval)}
    return draw("randint", one_key("randint", key), given, shape=sample_shape("randint", shape), dtype=found)


# -- choices: the places are drawn, and what stands there is read, which is linear


@public
def permutation(key: Any, x: Any, axis: int = 0, independent: bool = False) -> Any:
    """`jax.random.permutation`, on tracers too; differentiable in `x`."""
    key = one_key("permutation", key)
    n = _count("permutation", x)
    if n is not None:
        return draw("permutation", key, {}, x=n)
    x = lift(x)
    axis = ax.one(axis, x.ndim)
    if not independent or x.ndim == 1:
        return take(x, draw("permutation", key, {}, x=x.shape[axis]), axis, mode="clip")
    places = iota(canonical_dtype(int), x.shape, axis)
    return take_along_axis(x, draw("permutation", key, {"x": places}, axis=axis, independent=True), axis, mode="clip")


@public
def choice(
    key: Any, a: Any, shape: Any = (), replace: bool = True, p: Any = None, axis: int = 0, mode: str | None = None
) -> Any:
    """`jax.random.choice`, on tracers too; differentiable in `a`."""
    key = one_key("choice", key)
    shape = sample_shape("choice", shape)
    n = _count("choice", a)
    given = {} if p is None else {"p": _real_parameter("choice", p)}
    options = {"shape": shape, "replace": bool(replace), "mode": mode}
    if n is not None:
        return draw("choice", key, given, a=n, **options)
    a = lift(a)
    axis = ax.one(axis, a.ndim)
    return take(a, draw("choice", key, given, a=a.shape[axis], **options), axis, mode="clip")


def _count(of: str, x: Any) -> int | None:
    """`x` as a static number of things, or None if it is an array of them."""
    if isinstance(x, Tracer) and x.ndim == 0:
        raise ShapeError(
            f"{of} of a range needs its length as a Python int, for it decides a shape; got the tracer {x.aval}. "
            "Mark the argument it comes from with static_argnums, or pass an array."
        )
    return None if np.ndim(x) else operator.index(number(x, canonical_dtype(int)) if isinstance(x, bool) else x)
