"""A trace that notes which values Python asks of it: each answer is a guard of the program that is read on it.

What an inner trace (a derivative's, say) is asked is asked of the outermost one, whose inputs it depends on. A guard
is known by its bytes: a truth is one byte, a number is itself, and all that are no number are one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..ir.graph import Aval, Graph, Lit, is_inexact
from ..ir.where import here
from .builder import INPUT, LITERAL, Builder, innermost
from .tracer import Tracer, escaped, no_value

TRUTH, WHOLE, EXACT = "bool()", "int()", "exact"


class Asked(NamedTuple):
    """A value that Python was given: of which tracer, how it was asked for and where, and the bytes of the answer."""

    tracer: Tracer
    kind: str
    where: Any
    answer: bytes

    def __str__(self) -> str:
        value = from_bytes(self.answer, self.kind, self.tracer.aval)
        shown = f"{value.size} numbers" if value.size > 4 else value.item() if value.size == 1 else value.tolist()
        asked = "the value" if self.kind == EXACT else self.kind
        return f"{asked} of {self.tracer.aval} was {shown}" + (f"\n      at {self.where}" if self.where else "")


class Asking(Builder):
    """A builder whose tracers have values, and which notes those that are asked for.

    **Attributes:** `asked`: the guards, in order, of the outermost trace; `answers`: what to say to the first of them,
    in place of what the inputs give.
    """

    __slots__ = ("_depends", "_known", "_outer", "answers", "asked")

    def __init__(self, evaluate: Callable[[Graph, list], Sequence] | None = None, answers: Sequence[bytes] = ()):
        super().__init__(evaluate)
        self.asked: list[Asked] = []
        self.answers = answers
        self._depends: list[bool] = []  # for each row, whether it depends on an input
        self._known: dict[tuple[int, str], Any] = {}
        self._outer: dict[int, Any] = {}  # the number of a value here -> what it is outside

    def value_of(self, tracer: Tracer, wanted_by: str) -> Any:
        if self.closed:
            raise escaped(tracer)
        outside = self._outside(tracer.id, wanted_by) if self.level else tracer
        if type(outside) is Tracer and outside.builder is not self:
            return outside.builder.value_of(outside, wanted_by)
        if not self._moves(tracer.id):
            return super().value_of(tracer, wanted_by)
        whole = wanted_by == WHOLE and is_inexact(tracer.dtype)
        kind = TRUTH if wanted_by == TRUTH else WHOLE if whole else EXACT
        key = (tracer.id, kind)
        if key not in self._known:
            number = len(self.asked)
            if number < len(self.answers):
                answer = self.answers[number]
                value = from_bytes(answer, kind, tracer.aval)
            else:
                value = super().value_of(tracer, wanted_by)
                answer = as_bytes(np.asarray(value), kind)
            self.asked.append(Asked(tracer.fresh(), kind, here(), answer))
            self._known[key] = value
        return self._known[key]

    def _moves(self, id: int) -> bool:
        rows, depends, origin = self.rows, self._depends, self.origin
        for row in rows[len(depends) :]:
            depends.append(row[0] is INPUT if len(row) == 2 else any(depends[origin[i]] for i in row[1]))
        return depends[origin[id]]

    def _outside(self, id: int, wanted_by: str) -> Any:
        """The value of that number as one of the traces around this one, or a constant's tracer here."""
        outer, rows, origin = self._outer, self.rows, self.origin
        sources, scalars = dict((*self.given, *self.captured)), dict(self.scalars)
        needed: set[int] = set()
        read, wanted = [], [id]
        while wanted:
            i = wanted.pop()
            row = rows[origin[i]]
            if i in outer:
                read.append(outer[i])
            elif len(row) == 3:
                if origin[i] not in needed:
                    needed.add(origin[i])
                    wanted.extend(row[1])
            elif row[0] is LITERAL:
                outer[i] = Lit(scalars[i], row[1])
            elif i in sources:
                outer[i] = sources[i]
                read.append(sources[i])
            else:
                raise no_value(self.aval(id), wanted_by)
        builder = innermost(read)
        if builder is None:
            return Tracer(self.aval(id), self, id)
        for number in sorted(needed):
            row = rows[number]
            first = self.memo[row][0]
            outs = builder.record(row[0], tuple([outer[i] for i in row[1]]), self.params[number])
            outer.update(enumerate(outs, first))
        return outer[id]


# -- guards as bytes


def as_bytes(value: np.ndarray, kind: str) -> bytes:
    """What an answer is known by."""
    if kind == TRUTH:
        return (value != 0).astype(np.uint8).tobytes()
    if kind == WHOLE:
        value = np.trunc(value) + np.zeros_like(value)  # -0.0 becomes 0.0
    if is_inexact(value.dtype):
        value = np.where(value != value, np.full_like(value, np.nan), value)
    return value.tobytes()


def from_bytes(data: bytes, kind: str, aval: Aval) -> np.ndarray:
    """The answer, an array of the tracer's shape."""
    found = np.frombuffer(data, np.uint8 if kind == TRUTH else aval.dtype).reshape(aval.shape)
    return found.astype(bool) if kind == TRUTH else found


def in_bytes(values: Sequence[Any], kinds: Sequence[str]) -> Any:
    """The bytes of many guards, one after the other, as one array on the device: `as_bytes` in jax.numpy."""
    if all(kind == TRUTH for kind in kinds):
        return jnp.stack([value.reshape(()) != 0 for value in values])
    return jnp.concatenate([_bytes(value, kind) for value, kind in zip(values, kinds, strict=True)])


def _bytes(x: Any, kind: str) -> Any:
    if kind == TRUTH:
        x = x != 0
    if kind == WHOLE:
        x = jnp.trunc(x)
        x = jnp.where(x == 0, jnp.zeros_like(x), x)
    if is_inexact(x.dtype):
        x = jnp.where(x != x, jnp.full_like(x, jnp.nan), x)
    if x.dtype.kind == "c":
        x = jnp.stack([x.real, x.imag], axis=-1)
    if x.dtype.kind == "b":
        x = x.astype(jnp.uint8)
    return jax.lax.bitcast_convert_type(x, jnp.uint8).ravel()
