"""What every function of gradlab.random asks of its arguments, and when it is jax.random's own."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

import jax
import numpy as np

from ..ir.errors import ArgumentError, DTypeError, ShapeError, StructureError
from ..ir.graph import is_inexact, is_key
from ..numpy import axes as ax
from ..numpy.dispatch import recording
from ..numpy.promote import broadcast_shapes, lift, retype
from ..ops import random as ops
from ..ops.operands import kind
from ..trace.avals import canonical_dtype
from ..trace.tracer import Tracer

_ELSEWHERE = {"out_sharding": None, "method": "exact"}  # arguments of newer JAX, and their only value inside a trace


def public(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a function that records primitives into one that is jax.random's of that name outside a trace.

    Its signature is that of jax.random's, whichever version is installed.
    """
    name = fn.__name__
    native = getattr(jax.random, name)
    own = inspect.signature(fn).parameters

    @wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not recording(args, kwargs):
            return native(*args, **kwargs)
        for extra in kwargs.keys() & _ELSEWHERE.keys() - own.keys():
            if (given := kwargs.pop(extra)) != _ELSEWHERE[extra]:
                raise ArgumentError(
                    f"{name} inside a function that is differentiated or staged takes {extra}={_ELSEWHERE[extra]!r} "
                    f"only, got {given!r}. Draw outside of it and pass the sample in."
                )
        if not args and "key" in own and "key" not in kwargs:
            raise StructureError(f"{name} needs a random key first. Write {name}(gradlab.random.key(seed), ...).")
        return fn(*args, **kwargs)

    call.__signature__ = inspect.signature(native)  # type: ignore[attr-defined]
    return call


# -- keys


def default_impl() -> str:
    """The generator of keys that do not say theirs."""
    return jax.config.jax_default_prng_impl  # type: ignore[attr-defined]


def typed(of: str, keys: Any) -> tuple[Any, bool]:
    """Keys with JAX's key dtype, in any shape, and whether they came as raw bits.

    **Raises:** `DTypeError` for what is no key.
    """
    if not isinstance(keys, Tracer | jax.Array | np.ndarray):
        what = f"{keys!r}" if isinstance(keys, int | float | str | tuple | list) else f"a {type(keys).__name__}"
        remedy = "Write gradlab.random.key(seed), and split it for every use."
        if isinstance(keys, int):
            remedy = f"Write gradlab.random.key({keys!r})."
        elif isinstance(keys, np.random.Generator | np.random.RandomState):
            remedy = f"Its draws would be hidden from the program. {remedy}"
        raise DTypeError(f"{of} needs a random key, got {what}. {remedy}")
    keys = lift(keys)
    if is_key(keys.aval.dtype):
        return keys, False
    if keys.aval.dtype != ops.UINT32:
        raise DTypeError(
            f"{of} needs a random key, got an array {keys.aval}. Write gradlab.random.key(seed) for an integer seed."
        )
    return ops.wrap(keys, impl=default_impl()), True


def one_key(of: str, key: Any) -> Any:
    """The one typed key.

    **Raises:** `ShapeError` for several.
    """
    return single(of, typed(of, key)[0])


def single(of: str, key: Any) -> Any:
    if key.aval.shape:
        raise ShapeError(f"{of} needs one key, got {key.aval}. Take one (keys[0]), or map over them with gradlab.vmap.")
    return key


def halves(key: Any, n: int = 2) -> list[Any]:
    """`n` new keys from one."""
    keys = ops.split(key, shape=(n,))
    return [keys[i] for i in range(n)]


# -- shapes, dtypes, parameters


def sample_shape(of: str, shape: Any) -> tuple[int, ...]:
    """A shape as a tuple.

    **Raises:** `ShapeError` if it is a number or holds a negative one.
    """
    if not isinstance(shape, tuple | list):
        raise ShapeError(f"{of} needs a shape that is a tuple of sizes, got {shape!r}. Write shape=({shape!r},).")
    return ax.shape_of(shape)


def broadcast_shape(of: str, shape: Any, *parameters: tuple[int, ...]) -> tuple[int, ...]:
    """The shape asked for, to which all parameters broadcast; theirs in common for None."""
    if shape is None:
        return broadcast_shapes(parameters)
    shape = sample_shape(of, shape)
    if broadcast_shapes([shape, *parameters]) != shape:
        got = " and ".join(map(str, parameters))
        raise ShapeError(
            f"{of} needs parameters that broadcast to shape={shape}, got shapes {got}. "
            "Leave shape out to draw one sample for each parameter."
        )
    return shape


def real(of: str, dtype: Any, also_complex: bool = False) -> np.dtype:
    """The floating dtype of the samples: the default one for None."""
    found = canonical_dtype(float if dtype is None else dtype)
    if not is_inexact(found) or (kind(found) == "c" and not also_complex):
        allowed = "a floating or complex dtype" if also_complex else "a floating dtype"
        raise DTypeError(f"{of} draws numbers of {allowed}, got dtype={found}. Convert the sample with .astype.")
    return found


def whole(of: str, dtype: Any, kinds: str = "iu") -> np.dtype:
    """The integer dtype of the samples: the default one for None."""
    found = canonical_dtype(int if dtype is None else dtype)
    if kind(found) not in kinds:
        raise DTypeError(f"{of} draws integers, got dtype={found}. Convert the sample with .astype.")
    return found


def parameter(x: Any, dtype: np.dtype) -> Any:
    """A parameter as a tracer of this dtype."""
    return retype(lift(x), dtype)
