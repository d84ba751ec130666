"""Many small arrays that a function closes over come in as one: the data of a Python loop, read turn by turn.

What NumPy cut out of an array is an array of its own to whoever sees it in a closure, and a program of a thousand
inputs takes long to compile and to call. So arrays of one type are stacked before the call, as they were when they
were read. What was cut out of an array of an enclosing trace is cut out of it here instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from ..ir.graph import Aval, Eqn, Var
from ..ops.families import reshape_p
from ..ops.shape import slice_p
from ..trace.avals import is_jax_tracer
from ..trace.builder import Builder
from ..trace.tracer import Tracer

LEAST = 16  # arrays that are worth it
LARGEST = 1 << 20  # bytes; above it a copy costs more than an input

Cut = tuple[tuple[int, ...], tuple[int, ...]]  # (start, limit)


class Stack(NamedTuple):
    """Captured values, by number, that are cut out of one.

    **Attributes:** `ids` and `shape`: the values'; `cuts`: of each, from where to where; `array`: what they are cut out
    of, `aval` its type.
    """

    ids: tuple[int, ...]
    shape: tuple[int, ...]
    cuts: Sequence[Cut]
    array: Any
    aval: Aval

    def begin(self, var: dict[int, Any]) -> tuple[Var, list[Eqn]]:
        """The array as an input, and the equations that cut the values out of it, which are entered in `var`."""
        whole = Var(self.aval)
        eqns = []
        for id, (start, limit) in zip(self.ids, self.cuts, strict=True):
            part = Var(self.aval.reshaped(b - a for a, b in zip(start, limit, strict=True)))
            params = {"start": start, "limit": limit, "strides": (1,) * len(start)}
            eqns.append(Eqn(slice_p, (whole,), (part,), params))
            if part.shape != self.shape:
                out = Var(self.aval.reshaped(self.shape))
                eqns.append(Eqn(reshape_p, (part,), (out,), {"shape": self.shape}))
                part = out
            var[id] = part
        return whole, eqns


def stacks_of(builder: Builder) -> list[Stack]:
    """The captured values of a trace that come in together."""
    if len(builder.captured) < LEAST:
        return []
    groups: dict[Any, list[tuple[int, Any, Cut]]] = {}
    on_cpu = jax.default_backend() == "cpu" and jax.device_count() == 1
    for id, x in builder.captured:
        found = _cut(x) if type(x) is Tracer else _row(x, builder.aval(id), on_cpu)
        if found is not None:
            of, cut = found
            groups.setdefault((of, x.shape), []).append((id, x, cut))
    stacks = []
    for (_, shape), members in groups.items():
        if len(members) < LEAST:
            continue
        ids = tuple([id for id, _, _ in members])
        one = members[0][1]
        if type(one) is Tracer:
            source = _source(one)
            assert source is not None
            whole, cuts = source[0], [cut for _, _, cut in members]
            stacks.append(Stack(ids, shape, cuts, whole, whole.aval))
        else:
            whole = np.stack([np.asarray(x) for _, x, _ in members])
            zeros = (0,) * len(shape)
            cuts = [((k, *zeros), (k + 1, *shape)) for k in range(len(members))]
            stacks.append(Stack(ids, shape, cuts, whole, builder.aval(ids[0]).reshaped(whole.shape)))
    return stacks


def _row(x: Any, aval: Aval, on_cpu: bool) -> tuple[Any, Cut] | None:
    """By what small arrays are told apart that have no place in a common one yet."""
    plain = isinstance(x, np.ndarray) or (on_cpu and isinstance(x, jax.Array) and not is_jax_tracer(x))
    if not plain or aval.weak or not isinstance(x.dtype, np.dtype) or x.nbytes > LARGEST:
        return None
    return (aval, x.dtype), ((), ())


def _cut(x: Tracer) -> tuple[Any, Cut] | None:
    """The value of an enclosing trace that another one is a piece of, and which."""
    found = _source(x)
    if found is None:
        return None
    source, params = found
    return (id(source.builder), source.id), (params["start"], params["limit"])


def _source(x: Tracer) -> tuple[Tracer, dict[str, Any]] | None:
    builder = x.builder
    number = builder.origin[x.id]
    row = builder.rows[number]
    if row[0] is reshape_p:
        number = builder.origin[row[1][0]]
        row = builder.rows[number]
    params = builder.params[number]
    if row[0] is not slice_p or set(params["strides"]) > {1}:
        return None
    of = row[1][0]
    return Tracer(builder.aval(of), builder, of), params
