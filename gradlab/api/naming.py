"""What the user calls the arrays that a function closes over, looked up while it is read to be shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType, ModuleType
from typing import Any

import jax

from ..ir.graph import Graph, Lit
from ..ir.where import INTERNAL, user_frame
from ..trace.builder import Builder
from ..trace.tracer import Tracer
from .arguments import identifier
from .calling import BUILDERS, FRESH

_FRAMES = 12  # how far up the names of a captured array are looked for


class NamingBuilder(Builder):
    """A trace that knows what its captured arrays are called.

    **Attributes:** `called`: the names, by the number of the captured value; `known`: those found so far, by the
    array's id, shared by all traces of one reading, for an inner trace hands its arrays to the one around it.
    """

    __slots__ = ("called", "known")

    def __init__(self, known: dict[int, tuple[Any, str]], evaluate: Any = None):
        super().__init__(evaluate)
        self.called: dict[int, str] = {}
        self.known = known

    def capture(self, x: Any) -> Tracer:
        tracer = super().capture(x)
        if type(x) is not Tracer and self.captured[-1][0] == tracer.id and tracer.id not in self.called:
            name = self.known[id(x)][1] if id(x) in self.known else _name_of(x)
            if name:
                kept = self.captured[-1][1]
                self.called[tracer.id] = name
                self.known[id(kept)] = (kept, name)
        return tracer

    def graph(
        self, outputs: Sequence[Tracer | Lit], varying: frozenset[int] = frozenset(), names: Sequence[str] = ()
    ) -> Graph:
        graph = super().graph(outputs, varying, names)
        for v, (id, _) in zip(graph.inputs[self.n_inputs :], self.captured, strict=False):
            v.name = self.called.get(id)
        return graph


@contextmanager
def named() -> Iterator[None]:
    """While it is open, programs are read afresh, with the user's names."""
    kept = FRESH.on, BUILDERS.make
    known: dict[int, tuple[Any, str]] = {}
    FRESH.on = True
    if BUILDERS.make is Builder:
        BUILDERS.make = lambda evaluate: NamingBuilder(known, evaluate)
    try:
        yield
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
    """`['w']` for a dict, list or tuple with `x` inside, `.w` for an object with that attribute."""
    if isinstance(value, dict | list | tuple):
        for path, leaf in jax.tree_util.tree_flatten_with_path(value)[0]:
            if leaf is x:
                return jax.tree_util.keystr(path)
    elif hasattr(value, "__dict__") and not isinstance(value, type | ModuleType):
        return next((f".{name}" for name, held in vars(value).items() if held is x), None)
    return None
