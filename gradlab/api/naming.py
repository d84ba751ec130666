"""What the user calls the arrays that a function closes over, and what its loops give, found while it is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType, ModuleType
from typing import Any

import jax
import numpy as np

from ..ir.primitive import Primitive
from ..ir.where import INTERNAL, Where, here, user_frame
from ..lower.titles import Handed, Place, handed, turn_of
from ..trace.builder import Builder
from ..trace.tracer import Tracer
from .arguments import identifier, path_text
from .calling import BUILDERS, FRESH

_NUMBERS = ("float()", "complex()", ".item()", ".tolist()", ".numpy()")
_FRAMES = 12  # how far up the names of a captured array are looked for


class Notes:
    """What is noted while programs are read.

    **Attributes:** `names`: of captured arrays by id, each with the array, shared by all traces of one reading, for an
    inner trace hands its arrays to the one around it; `asked`: what took a value out as a plain number, and where;
    `loops`: what the results of loops are called, by where these were called; `caller`: where the reading was asked
    for, which is no line of the function's.
    """

    def __init__(self, caller: FrameType | None):
        self.caller: Place | None = None if caller is None else (caller.f_code, caller.f_lasti)
        self.loops: dict[Place, Handed] = {}
        self.names: dict[int, tuple[Any, str]] = {}
        self.asked: list[tuple[str, Where | None]] = []


class NamingBuilder(Builder):
    """A trace that knows what its captured arrays are called.

    **Attributes:** `called`: the names, by the number of the captured value.
    """

    __slots__ = ("called", "notes")

    def __init__(self, notes: Notes, evaluate: Any = None):
        super().__init__(evaluate)
        self.called: dict[int, str] = {}
        self.notes = notes

    def value_of(self, tracer: Tracer, wanted_by: str) -> Any:
        if wanted_by in _NUMBERS:
            self.notes.asked.append((wanted_by, here()))
        return super().value_of(tracer, wanted_by)

    def record(self, prim: Primitive, xs: tuple, params: dict[str, Any]) -> tuple[Tracer, ...]:
        if prim.bodies is not None and self.where is None:
            where = here()
            body = turn_of(prim.bodies(**params))
            names = handed(body, where.targets) if where is not None and body is not None else None
            if where is not None and names is not None and where[:2] != self.notes.caller:
                self.notes.loops[where.code, where.lasti] = names
        return super().record(prim, xs, params)

    def capture(self, x: Any) -> Tracer:
        tracer = super().capture(x)
        if self.captured[-1][0] == tracer.id and tracer.id not in self.called:
            known = self.notes.names
            name = known[id(x)][1] if id(x) in known else _name_of(x)
            if name:
                kept = self.captured[-1][1]
                self.called[tracer.id] = name
                known[id(kept)] = (kept, name)
        return tracer

    def head(self, varying: frozenset[int] = frozenset(), names: Sequence[str] = ()) -> tuple[list, list, dict]:
        inputs, eqns, var = super().head(varying, names)
        for id, _ in self.captured:
            var[id].name = self.called.get(id)
        return inputs, eqns, var


@contextmanager
def named() -> Iterator[Notes]:
    """While it is open, programs are read afresh, with the user's names."""
    kept = FRESH.on, BUILDERS.make
    notes = Notes(user_frame(3))  # behind this and its context manager
    FRESH.on = True
    if BUILDERS.make is Builder:
        BUILDERS.make = lambda evaluate: NamingBuilder(notes, evaluate)
    try:
        yield notes
    finally:
        FRESH.on, BUILDERS.make = kept


def _name_of(x: Any) -> str | None:
    """The variable, or the entry or attribute of a variable, that holds this very array in a frame of the user's."""
    frame: FrameType | None = user_frame()
    for _ in range(_FRAMES):
        if frame is None:
            return None
        if not INTERNAL[frame.f_code.co_filename]:
            used = {name: frame.f_globals[name] for name in frame.f_code.co_names if name in frame.f_globals}
            for held in (frame.f_locals, used):
                for name, value in held.items():
                    if value is x:
                        return name
            for name, value in {**used, **frame.f_locals}.items():
                path = _path_to(x, value)
                if path:
                    return identifier(name + path)
        frame = frame.f_back
    return None


def _path_to(x: Any, value: Any) -> str | None:
    """`['w']` for a dict, list or tuple with `x` inside, `.w` for an object or a model with such an attribute."""
    if isinstance(value, type | ModuleType | np.ndarray | jax.Array | Tracer):
        return None
    for path, leaf in jax.tree_util.tree_flatten_with_path(value, lambda held: isinstance(held, Iterator))[0]:
        if leaf is x and path:
            return path_text(value, path)
    if hasattr(value, "__dict__"):
        return next((f".{name}" for name, held in vars(value).items() if held is x), None)
    return None
