"""Operands of different types made alike: promotion as JAX's, broadcasting as NumPy's, decided once per combination."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from ..ir.errors import DTypeError, ShapeError
from ..ir.graph import Aval, Lit, is_inexact, is_key
from ..ops.convert import convert
from ..ops.shape import broadcast
from ..ops.weaken import weaken
from ..trace.avals import NO_KEYS, aval_of, x64
from ..trace.builder import AMBIENT, Builder, innermost
from ..trace.tracer import Tracer

SCALARS = frozenset((bool, int, float, complex))


class Plan(NamedTuple):
    """What to do to operands of certain types: the type they get in common, and which of them need it."""

    aval: Aval
    convert: tuple[bool, ...]
    stretch: tuple[bool, ...]


_PLANS: dict[tuple, Plan] = {}  # (avals, inexact, x64) -> plan, which depends on nothing else
_DTYPES: dict[tuple, tuple[np.dtype, bool]] = {}


def aval(x: Any) -> Aval:
    """The type of an operand: a tracer, a literal, a Python number or an array."""
    return x.aval if type(x) is Tracer or type(x) is Lit else aval_of(x)


def home(*xs: Any) -> Builder:
    """The trace in which an operation on `xs` is recorded."""
    return innermost(xs) or AMBIENT.stack[-1]


def lift(x: Any) -> Tracer:
    """`x` as a tracer: itself, or captured by the open trace."""
    return x if type(x) is Tracer else AMBIENT.stack[-1].operand(x, None)


def result_dtype(avals: Sequence[Aval], inexact: bool = False) -> tuple[np.dtype, bool]:
    """The dtype, and whether it is weak, that jax.numpy computes with on operands of these types.

    **Raises:** `DTypeError` where random keys meet anything but keys of their own kind.
    """
    key = (tuple([(a.dtype, a.weak) for a in avals]), inexact, x64())
    found = _DTYPES.get(key)
    if found is None:
        found = _DTYPES[key] = _ask_jax(avals, inexact)
    return found


def _ask_jax(avals: Sequence[Aval], inexact: bool) -> tuple[np.dtype, bool]:
    """The lattice is JAX's own; it is asked on abstract values, which know of weakness."""
    if any(is_key(a.dtype) for a in avals):
        if any(a.dtype != avals[0].dtype for a in avals):
            raise DTypeError(f"random keys and numbers do not mix, got {' and '.join(map(str, avals))}. {NO_KEYS}")
        return avals[0].dtype, False
    answer: list[tuple[np.dtype, bool]] = []

    def ask(*xs):
        dtype, weak = jax.dtypes.result_type(*xs, return_weak_type_flag=True)
        answer.append((np.dtype(dtype), bool(weak)))
        return ()

    jax.eval_shape(ask, *(jax.ShapeDtypeStruct((), a.dtype, weak_type=a.weak) for a in avals))
    dtype, weak = answer[0]
    return (dtype if is_inexact(dtype) or not inexact else inexact_dtype(dtype), weak)


def inexact_dtype(dtype: np.dtype) -> np.dtype:
    """The floating dtype in which jax.numpy computes functions such as sin of integers."""
    return np.dtype(jax.eval_shape(jax.numpy.sin, jax.ShapeDtypeStruct((), dtype)).dtype)


def broadcast_shapes(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """NumPy's rule: shapes are aligned at the right, and axes of length 1 stretch.

    **Raises:** `ShapeError` naming the shapes.
    """
    ndim = max(map(len, shapes))
    padded = [(1,) * (ndim - len(s)) + s for s in shapes]
    out = []
    for sizes in zip(*padded, strict=True):
        wide = {n for n in sizes if n != 1}
        if len(wide) > 1:
            got = " and ".join(map(str, shapes))
            raise ShapeError(
                f"operands must broadcast together, got shapes {got}: sizes {' and '.join(map(str, sorted(wide)))} "
                "meet on one axis. Axes are aligned at the right; insert one with x[:, None], or transpose an operand."
            )
        out.append(wide.pop() if wide else 1)
    return tuple(out)


def _plan(avals: tuple[Aval, ...], inexact: bool) -> Plan:
    dtype, weak = result_dtype(avals, inexact)
    shape = broadcast_shapes([a.shape for a in avals])
    # An operand of the right dtype needs no conversion to shed its weakness: a result is weak only if all operands are.
    return Plan(
        Aval(shape, dtype, weak),
        tuple(a.dtype != dtype or (weak and not a.weak) for a in avals),
        tuple(a.shape != shape for a in avals),
    )


def promote(*xs: Any, inexact: bool = False) -> list[Tracer | Lit]:
    """The operands with one shape and dtype, each a tracer or a literal; `inexact` makes integers floating."""
    avals = tuple([x.aval if type(x) is Tracer else aval(x) for x in xs])
    key = (avals, inexact, x64())
    plan = _PLANS.get(key)
    if plan is None:
        if len(_PLANS) > 100_000:
            _PLANS.clear()
        plan = _PLANS[key] = _plan(avals, inexact)
    out: list[Any] = []
    for x, needs_convert, needs_stretch in zip(xs, plan.convert, plan.stretch, strict=True):
        if type(x) in SCALARS:
            x = Lit(number(x, plan.aval.dtype), plan.aval)
        else:
            if type(x) is not Tracer and type(x) is not Lit:
                x = home(*xs).operand(x, None)
            if needs_convert:
                x = retype(x, plan.aval.dtype, plan.aval.weak)
            if needs_stretch:
                x = stretch(x, plan.aval.shape)
        out.append(x)
    return out


def alike(*xs: Any, inexact: bool = False) -> list[Tracer]:
    """`promote`, with literals made tracers too: all have operators."""
    out = promote(*xs, inexact=inexact)
    if any(type(x) is Lit for x in out):
        at = home(*out)
        out = [at.operand(x, None) for x in out]
    return out  # type: ignore[return-value]


def number(value: Any, dtype: np.dtype) -> bool | int | float | complex:
    """A Python number as the dtype holds it; integers wrap, as in jax.numpy."""
    kind = dtype.kind
    if kind == "f":
        return float(value)
    if kind == "c":
        return complex(value)
    if kind in "iu":
        bits = 8 * dtype.itemsize
        value = int(value) & ((1 << bits) - 1)
        return value - (1 << bits) if kind == "i" and value >> (bits - 1) else value
    return bool(value) if kind == "b" else float(value)


def retype(x: Any, dtype: Any, weak: bool = False) -> Any:
    """`x` in another dtype; itself where that changes nothing."""
    if type(x) is Lit:
        return Lit(number(x.value, dtype), Aval(x.aval.shape, np.dtype(dtype), weak))
    if x.aval.dtype == dtype and x.aval.weak == weak:
        return x
    if weak:
        return weaken(x.real if x.aval.dtype.kind == "c" and np.dtype(dtype).kind != "c" else x, dtype=dtype)
    return convert(x, dtype=dtype)


def stretch(x: Any, shape: tuple[int, ...]) -> Any:
    """`x` broadcast to `shape` by NumPy's rule."""
    if x.aval.shape == shape:
        return x
    if type(x) is Lit:
        return Lit(x.value, x.aval.reshaped(shape))
    ndim = len(shape)
    if len(x.aval.shape) > ndim or any(m not in (1, n) for m, n in zip(x.aval.shape[::-1], shape[::-1], strict=False)):
        raise ShapeError(f"{x.aval} does not broadcast to shape {shape}: each axis from the right must match or be 1.")
    return broadcast(x, shape=shape, axes=tuple(range(ndim - len(x.aval.shape), ndim)))
