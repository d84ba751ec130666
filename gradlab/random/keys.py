"""Keys: made, split, folded, taken apart. A typed key gives typed keys, raw bits give raw bits."""

from __future__ import annotations

from typing import Any

from ..ir.errors import ArgumentError, DTypeError, ShapeError
from ..numpy.promote import lift, retype
from ..ops import random as ops
from ..ops.operands import kind
from .arguments import default_impl, public, sample_shape, single, typed


def _named(of: str, impl: Any, dtype: Any = None) -> str:
    """The generator's name, from a name, a key dtype, or None for JAX's default."""
    if impl is not None and dtype is not None:
        raise ArgumentError(f"{of} takes impl or dtype, got both: {impl!r} and {dtype!r}. Leave one out.")
    given = dtype if impl is None else impl
    if given is None:
        return default_impl()
    if not isinstance(given, str):
        given = ops.impl_of(given)
    return given


def _seeded(of: str, seed: Any, impl: str) -> Any:
    if isinstance(seed, int) and not -(2**63) <= seed < 2**63:
        raise ArgumentError(f"{of} needs a seed that fits 64 bits, got {seed}. Write {of}(seed % 2**63).")
    x = lift(int(seed) if isinstance(seed, bool) else seed)
    if kind(x.aval.dtype) not in "iu":
        instead = "It is a key already." if kind(x.aval.dtype) == "k" else f"Write {of}(int(seed)), or .astype(int)."
        raise DTypeError(f"{of} needs an integer seed, got {seed!r} ({x.aval}). {instead}")
    if x.aval.shape:
        raise ShapeError(
            f"{of} needs one seed, got {x.aval}. Map over seeds with gradlab.vmap, or split one key: split(key, n)."
        )
    return ops.seed(x, impl=impl)


@public
def key(seed: Any, *, impl: Any = None, dtype: Any = None) -> Any:
    """`jax.random.key`, recorded inside a trace; the seed may be traced."""
    return _seeded("key", seed, _named("key", impl, dtype))


@public
def PRNGKey(seed: Any, *, impl: Any = None) -> Any:
    """`jax.random.PRNGKey`, recorded inside a trace; the seed may be traced."""
    return ops.unwrap(_seeded("PRNGKey", seed, _named("PRNGKey", impl)))


def _like(keys: Any, raw: bool) -> Any:
    return ops.unwrap(keys) if raw else keys


@public
def split(key: Any, num: Any = 2) -> Any:
    """`jax.random.split`, on tracers too."""
    one, raw = typed("split", key)
    shape = sample_shape("split", num if isinstance(num, tuple | list) else (num,))
    return _like(ops.split(single("split", one), shape=shape), raw)


@public
def fold_in(key: Any, data: Any) -> Any:
    """`jax.random.fold_in`, on tracers too; the data may be traced."""
    one, raw = typed("fold_in", key)
    single("fold_in", one)
    if isinstance(data, int) and not 0 <= data < 2**32:
        raise ArgumentError(f"fold_in needs an integer within 0..2**32 - 1, got {data}. Write data % 2**32.")
    x = lift(data)
    if kind(x.aval.dtype) not in "iu":
        raise DTypeError(f"fold_in needs an integer, got {x.aval}. Write fold_in(key, int(data)), or .astype(int).")
    if x.aval.shape:
        raise ShapeError(f"fold_in needs one integer, got {x.aval}. Map over them with gradlab.vmap.")
    return _like(ops.fold_in(one, retype(x, ops.UINT32)), raw)


@public
def clone(key: Any) -> Any:
    """`jax.random.clone`, on tracers too: the key itself. (No trace counts how often a key is used.)"""
    return lift(key)


@public
def key_data(keys: Any) -> Any:
    """`jax.random.key_data`, on tracers too."""
    found, raw = typed("key_data", keys)
    return lift(keys) if raw else ops.unwrap(found)


@public
def wrap_key_data(key_bits_array: Any, *, impl: Any = None, dtype: Any = None) -> Any:
    """`jax.random.wrap_key_data`, on tracers too."""
    return ops.wrap(lift(key_bits_array), impl=_named("wrap_key_data", impl, dtype))


@public
def key_impl(keys: Any) -> Any:
    """`jax.random.key_impl`, of tracers too."""
    return ops.impl_of(typed("key_impl", keys)[0].aval.dtype)
