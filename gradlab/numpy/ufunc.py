"""Makers of elementwise functions: straight to the primitive for operands that agree, by promotion for others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from ..ir.primitive import Primitive
from ..ops.operands import kind
from ..trace.tracer import Tracer
from .aliasing import sharing
from .dispatch import is_operand, read_held, recording
from .promote import alike, lift, promote

Rule = Callable[..., Any]


def named(fn: Rule, name: str) -> Rule:
    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = f"`jax.numpy.{name}`, on tracers too."
    return fn


def unary(name: str, prim: Primitive, direct: str = "fc", inexact: bool = True, rule: Rule | None = None) -> Rule:
    """f(x) = prim(x).

    **Arguments:** `direct`: kinds of dtype handed to the primitive at once. `inexact`: integers become floating first.
    `rule`: what to record for a tracer of another kind, where it is not that.
    """
    native = getattr(jnp, name)
    known = sharing(name)

    def call(x, /):
        if type(x) is Tracer:
            if x.aval.dtype.kind in direct:
                return x.builder.unary(prim, x)
        elif not recording((x,), {}):
            return native(read_held(x))
        (x,) = alike(x, inexact=inexact)
        if rule is not None and kind(x.aval.dtype) not in direct:
            return known(rule(x), (x,), {})
        return x.builder.unary(prim, x)

    return named(call, name)


class Binary:
    """One binary function in its three uses: `function(x, y)`, the operator `x ⊕ y`, and the reflected one."""

    def __init__(
        self, name: str, prim: Primitive, inexact: bool = False, rule: Rule | None = None, kinds: str = "iufc"
    ):
        """`kinds`: those for which agreeing operands go straight to the primitive; `rule(x, y)` is asked for others."""
        native = getattr(jnp, name)

        def record(x, y):
            x, y = promote(x, y, inexact=inexact)
            if rule is not None and kind(x.aval.dtype) not in kinds:
                return rule(x, y)
            if type(x) is Tracer and type(y) is Tracer and x.builder is y.builder:
                return x.builder.binary(prim, x, y)
            return x.builder.record(prim, (x, y), {})[0] if type(x) is Tracer else _record(prim, x, y)

        def general(x, y):
            return record(x, y) if recording((x, y), {}) else native(read_held(x), read_held(y))

        def guarded(x, y):
            return record(x, y) if is_operand(y) else NotImplemented

        def guarded_swapped(y, x):
            return record(x, y) if is_operand(x) else NotImplemented

        self.record = record
        self.function = named(straight(prim, kinds, general), name)
        self.operator = straight(prim, kinds, guarded)
        self.reflected = straight_swapped(prim, kinds, guarded_swapped)


def _record(prim: Primitive, x: Any, y: Any) -> Tracer:
    builder = (y if type(y) is Tracer else lift(y)).builder
    return builder.record(prim, (x, y), {})[0]


# A weak dtype narrower than JAX's default widens when it meets its like (x64 on); 8-byte ones are the default.


def straight(prim: Primitive, kinds: str, slow: Rule) -> Rule:
    """(x, y) -> prim(x, y), at once where x and y agree or y is a number beside a floating x; else `slow(x, y)`."""

    def call(x, y, /):
        if type(x) is Tracer:
            aval = x.aval
            letter = aval.dtype.kind
            if letter in kinds and (not aval.weak or (aval.dtype.itemsize == 8 and letter != "c")):
                builder = x.builder
                if type(y) is Tracer:
                    if (aval is y.aval or aval == y.aval) and builder is y.builder:
                        return builder.binary(prim, x, y)
                elif letter == "f" and (type(y) is float or type(y) is int):
                    return builder.binary(prim, x, builder.literal(float(y), aval))
        return slow(x, y)

    return call


def straight_swapped(prim: Primitive, kinds: str, slow: Rule) -> Rule:
    """(y, x) -> prim(x, y), at once where x is a number beside a floating y; else `slow(y, x)`."""

    def call(y, x, /):
        aval = y.aval
        number = type(x) is float or type(x) is int
        if number and aval.dtype.kind == "f" and (not aval.weak or aval.dtype.itemsize == 8) and "f" in kinds:
            builder = y.builder
            return builder.binary(prim, builder.literal(float(x), aval), y)
        return slow(y, x)

    return call
