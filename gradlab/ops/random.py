"""Random numbers: keys that are made, split and folded, and what is drawn with them: JAX's own samples, bit for bit.

A key is an array element of JAX's key dtype. Each primitive works on one key, or on an array of them: then its other
operands and its result have the keys' axes in front. No derivative goes through a key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import jax
import numpy as np

from ..ir.errors import DTypeError, ShapeError
from ..ir.graph import Aval, is_key
from ..ir.primitive import Primitive, Refused
from ..trace.builder import bind, bind1
from .arith import div, exp, mul
from .compare import eq, select
from .costs import MOVES
from .families import batch_size, no_derivative, with_axis
from .operands import dtype_text, fill, require_kind, zeros_like
from .special import random_gamma_grad

Ints = tuple[int, ...]
UINT32 = np.dtype("uint32")


# -- what JAX knows of keys


@lru_cache
def key_dtype(impl: str) -> Any:
    """The dtype of the keys of the generator called `impl`."""
    return jax.eval_shape(lambda: jax.random.key(0, impl=impl)).dtype


@lru_cache
def impl_of(dtype: Any) -> str:
    """The name of the generator whose keys have this dtype."""
    found: list[Any] = []
    jax.eval_shape(lambda k: found.append(jax.random.key_impl(k)) or k, jax.ShapeDtypeStruct((), dtype))
    return found[0]


@lru_cache
def bits_shape(dtype: Any) -> Ints:
    """The shape of the bits of one key of this dtype."""
    return jax.eval_shape(jax.random.key_data, jax.ShapeDtypeStruct((), dtype)).shape


def _require_keys(name: str, keys: Aval) -> None:
    if not is_key(keys.dtype):
        raise DTypeError(f"{name} needs random keys, got {keys}. Make one with gradlab.random.key(seed).")


def _require_integers(name: str, x: Aval) -> None:
    if x.dtype.kind not in "iu":
        raise DTypeError(f"{name} needs an integer, got {x}. Convert it with .astype(int).")


def _mapped(texts: Sequence[Any], body: Callable[..., str]) -> str:
    """`body` of the operands, under one jax.vmap for each axis of the first."""
    depth = len(texts[0].aval.shape)
    if not depth:
        return body(*texts)
    names = [chr(ord("a") + i) for i in range(len(texts))]
    mapped = f"lambda {', '.join(names)}: {body(*names)}"
    for _ in range(depth):
        mapped = f"jax.vmap({mapped})"
    return f"{mapped}({', '.join(texts)})"


def _batch(prim: Callable[[], Primitive]):
    """The batch axis stands first in every operand, one more axis of keys."""

    def batch(xs, dims, **params):
        size = batch_size(xs, dims)
        outs = bind(prim(), *(with_axis(x, d, 0, size) for x, d in zip(xs, dims, strict=True)), **params)
        return outs, (0,)

    return batch


# -- keys


def seed(x: Any, *, impl: str) -> Any:
    """A key for each integer in `x`, for the generator `impl`."""
    return bind1(random_seed_p, x, impl=impl)


def wrap(bits: Any, *, impl: str) -> Any:
    """The keys of the generator `impl` that have these bits (uint32, a key's in the last axes)."""
    return bind1(random_wrap_p, bits, impl=impl)


def unwrap(keys: Any) -> Any:
    """The bits of keys, a key's in the last axes."""
    return bind1(random_unwrap_p, keys)


def split(keys: Any, *, shape: Sequence[int]) -> Any:
    """New keys, an array of this shape for each key."""
    return bind1(random_split_p, keys, shape=tuple(shape))


def fold_in(keys: Any, data: Any) -> Any:
    """For each key a new one that also depends on its integer in `data`."""
    return bind1(random_fold_in_p, keys, data)


def _seed_infer(x: Aval, *, impl: str) -> tuple[Aval]:
    _require_integers("a seed", x)
    return (Aval(x.shape, key_dtype(impl)),)


def _wrap_infer(bits: Aval, *, impl: str) -> tuple[Aval]:
    dtype = key_dtype(impl)
    tail = bits_shape(dtype)
    if bits.dtype != UINT32 or bits.shape[len(bits.shape) - len(tail) :] != tail:
        raise ShapeError(
            f"the bits of {impl} keys are uint32 and have shape (..., {', '.join(map(str, tail))}), got {bits}. "
            "Make a key with gradlab.random.key(seed)."
        )
    return (Aval(bits.shape[: len(bits.shape) - len(tail)], dtype),)


def _unwrap_infer(keys: Aval) -> tuple[Aval]:
    _require_keys("key_data", keys)
    return (Aval((*keys.shape, *bits_shape(keys.dtype)), UINT32),)


def _split_infer(keys: Aval, *, shape: Ints) -> tuple[Aval]:
    _require_keys("split", keys)
    return (keys.reshaped((*keys.shape, *shape)),)


def _fold_in_infer(keys: Aval, data: Aval) -> tuple[Aval]:
    _require_keys("fold_in", keys)
    _require_integers("fold_in", data)
    if data.shape != keys.shape:
        raise ShapeError(f"fold_in needs one integer for each key, got {data} for {keys}.")
    return (keys,)


_UNKNOWN = Refused(
    "how many operations random bits take depends on the generator, and on chance where samples are rejected"
)

random_seed_p = no_derivative(
    "random_seed",
    infer=_seed_infer,
    emit=lambda x, *, impl: _mapped((x,), lambda s: f"jax.random.key({s}, impl={impl!r})"),
    scalars=False,
    cost=MOVES,
)
random_wrap_p = no_derivative(
    "random_wrap",
    infer=_wrap_infer,
    emit=lambda bits, *, impl: f"jax.random.wrap_key_data({bits}, impl={impl!r})",
    batch=_batch(lambda: random_wrap_p),
    cost=MOVES,
    scalars=False,
)
random_unwrap_p = no_derivative(
    "random_unwrap",
    infer=_unwrap_infer,
    emit="jax.random.key_data({})",
    batch=_batch(lambda: random_unwrap_p),
    cost=MOVES,
    scalars=False,
)
random_split_p = no_derivative(
    "random_split",
    infer=_split_infer,
    emit=lambda keys, *, shape: _mapped((keys,), lambda k: f"jax.random.split({k}, {shape})"),
    batch=_batch(lambda: random_split_p),
    cost=_UNKNOWN,
    scalars=False,
)
random_fold_in_p = no_derivative(
    "random_fold_in",
    infer=_fold_in_infer,
    emit=lambda keys, data: _mapped((keys, data), lambda k, d: f"jax.random.fold_in({k}, {d})"),
    batch=_batch(lambda: random_fold_in_p),
    cost=_UNKNOWN,
    scalars=False,
)


# -- samples without a derivative


def draw(law: str, key: Any, parameters: dict[str, Any], **options: Any) -> Any:
    """`jax.random.<law>(key, **parameters, **options)`, constant under differentiation.

    **Arguments:** `parameters`: arrays by keyword. `options`: static keywords: shapes, dtypes, strings, Python numbers;
    None leaves one out.
    """
    chosen = tuple((name, value) for name, value in options.items() if value is not None)
    return bind1(random_draw_p, key, *parameters.values(), law=law, names=tuple(parameters), options=chosen)


def _draw_infer(keys: Aval, *parameters: Aval, law: str, names: tuple[str, ...], options: tuple) -> tuple[Aval]:
    """JAX is asked: shape and dtype follow rules of each law's own."""
    _require_keys(law, keys)
    n = keys.ndim
    for p in parameters:
        if p.shape[:n] != keys.shape:
            raise ShapeError(f"{law} with keys {keys} needs parameters with these axes in front, got {p}.")
    structs = [jax.ShapeDtypeStruct(p.shape[n:], p.dtype, weak_type=p.weak) for p in parameters]

    def one(key, *xs):
        return getattr(jax.random, law)(key, **dict(zip(names, xs, strict=True)), **dict(options))

    out = jax.eval_shape(one, jax.ShapeDtypeStruct((), keys.dtype), *structs)
    return (Aval((*keys.shape, *out.shape), out.dtype),)


def _draw_emit(keys, *parameters, law, names, options):
    static = [f"{name}={dtype_text(v) if isinstance(v, np.dtype) else repr(v)}" for name, v in options]

    def one(key, *xs):
        given = [f"{name}={x}" for name, x in zip(names, xs, strict=True)]
        return f"jax.random.{law}({', '.join([key, *given, *static])})"

    return _mapped((keys, *parameters), one)


random_draw_p = no_derivative(
    "random_draw",
    infer=_draw_infer,
    emit=_draw_emit,
    batch=_batch(lambda: random_draw_p),
    cost=_UNKNOWN,
    scalars=False,
)


# -- the gamma distribution, whose samples move with their parameter


def gamma(key: Any, a: Any, *, log_space: bool) -> Any:
    """A sample of Gamma(a) for each element of `a`, or the logarithm of one."""
    return bind1(random_gamma_p, key, a, log_space=log_space)


def _gamma_infer(keys: Aval, a: Aval, *, log_space: bool) -> tuple[Aval]:
    _require_keys("gamma", keys)
    require_kind("gamma", a, "f")
    if a.shape[: keys.ndim] != keys.shape:
        raise ShapeError(f"gamma with keys {keys} needs a parameter with these axes in front, got {a}.")
    return (Aval(a.shape, a.dtype),)


def _gamma_jvp(xs, ts, *, log_space):
    """At fixed probability: dx = -(∂P/∂a)/(∂P/∂x) da, and d(log x) = dx/x, for an x that can be told from 0."""
    _, a = xs
    out = bind1(random_gamma_p, *xs, log_space=log_space)
    if not log_space:
        return (out,), (mul(random_gamma_grad(a, out), ts[1]),)
    x = exp(out)
    least = fill(float(jax.numpy.finfo(x.dtype).tiny), x.aval)
    x = select(eq(x, zeros_like(x)), least, x)
    return (out,), (mul(div(random_gamma_grad(a, x), x), ts[1]),)


def _gamma_emit(keys, a, *, log_space):
    law = "loggamma" if log_space else "gamma"
    return _mapped((keys, a), lambda k, x: f"jax.random.{law}({k}, {x}, dtype={dtype_text(a.aval.dtype)})")


random_gamma_p = Primitive(
    name="random_gamma",
    infer=_gamma_infer,
    emit=_gamma_emit,
    jvp=_gamma_jvp,
    transpose=Refused("random_gamma is not linear; only linear equations are transposed"),
    batch=_batch(lambda: random_gamma_p),
    cost=_UNKNOWN,
)
