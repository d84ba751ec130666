"""The user's source line of an equation, kept as (code object, instruction) and read only when somebody looks."""

from __future__ import annotations

import dis
import linecache
import os
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from types import CodeType, FrameType
from typing import NamedTuple

import numpy as np

PACKAGE = str(Path(__file__).resolve().parent.parent)
_MODULES = f"{Path(PACKAGE).name}."
_INSTALLED = Path(np.__file__).resolve().parent.parent
_LIBRARIES = tuple(f"{_INSTALLED / name}{os.sep}" for name in ("numpy", "jax", "jaxlib"))
_NOT_USERS = (PACKAGE + os.sep, "<gradlab", "<frozen ", *_LIBRARIES)


class _Internal(dict):
    """filename -> is it gradlab's own, or NumPy's or JAX's? Filled as files are met."""

    def __missing__(self, filename: str) -> bool:
        inside = filename.startswith(_NOT_USERS)
        self[filename] = inside
        return inside


INTERNAL = _Internal()


class Where(NamedTuple):
    """A place in the user's code: `line` is the text, `str()` is `file:line: text`.

    **Attributes:** `suffix`: what follows the name of the user's variable for the value made here: nothing for the
    variable itself, `_dot` for its tangent, `_bar` for its cotangent; None for a value that has no such name. `stem`:
    the name itself, for a value that the code there assigns to no variable.
    """

    code: CodeType
    lasti: int
    suffix: str | None = ""
    stem: str | None = None

    @property
    def derived(self) -> Where:
        """The same place, for an equation of a derivative: it has the user's line, but not the user's variable."""
        return self if self.suffix is None else Where(self.code, self.lasti, None)

    def cotangent_of(self, tangent: str) -> Where:
        """The same place, for the cotangent that belongs to the tangent of that name."""
        return Where(self.code, self.lasti, "_bar", tangent.removesuffix("_dot"))

    @property
    def tangent(self) -> Where:
        """The same place, for the tangent of what is made there."""
        return self if self.suffix is None else Where(self.code, self.lasti, tangent_name(self.suffix), self.stem)

    @property
    def cotangent(self) -> Where:
        """The same place, for the cotangent of what is made there, of which the tangent is known."""
        if self.suffix is None:
            return self
        return Where(self.code, self.lasti, f"{self.suffix.removesuffix('_dot')}_bar", self.stem)

    @property
    def lineno(self) -> int:
        line = self.code.co_firstlineno
        for start, end, number in self.code.co_lines():
            if start <= self.lasti < end and number is not None:
                return number
        return line

    @property
    def text(self) -> str:
        return linecache.getline(self.code.co_filename, self.lineno).strip()

    @property
    def assigned(self) -> str | None:
        """The local variable this instruction's result is stored in, where that is the next thing the code does."""
        if self.suffix is None:
            return None
        stems = (self.stem,) if self.stem else _assigned_names(self.code).get(self.lasti, ())
        return f"{stems[0]}{self.suffix}" if len(stems) == 1 else None

    @property
    def targets(self) -> Sequence[str]:
        """All local variables this instruction's result is stored in next, unpacked or not, in order."""
        return () if self.suffix is None or self.stem else _assigned_names(self.code).get(self.lasti, ())

    def unpacked(self, n: int) -> Sequence[str | None]:
        """The `n` local variables this instruction's result is unpacked into next; None for each where it is not."""
        names = self.targets
        if n < 2 or len(names) != n:
            return (None,) * n
        return [None if name == "_" else f"{name}{self.suffix}" for name in names]

    def __str__(self) -> str:
        text = self.text
        place = f"{self.code.co_filename}:{self.lineno} in {self.code.co_name}"
        return f"{place}: {text}" if text else place


def tangent_name(name: str) -> str:
    """`x_dot`, the tangent of `x`."""
    return f"{name}_dot"


def cotangent_name(tangent: str | None) -> str:
    """`x_bar`, what belongs to `x_dot`; nothing where that has no name."""
    return f"{tangent.removesuffix('_dot')}_bar" if tangent else ""


_assigned: dict[int, tuple[CodeType, dict[int, tuple[str, ...]]]] = {}


def _assigned_names(code: CodeType) -> dict[int, tuple[str, ...]]:
    """instruction -> the variables its result is stored in: one, or those it is unpacked into, in order."""
    known = _assigned.get(id(code))
    if known is not None and known[0] is code:
        return known[1]
    names: dict[int, tuple[str, ...]] = {}
    instructions = list(dis.get_instructions(code))
    for k, (previous, instruction) in enumerate(pairwise(instructions), 1):
        stored = _stored(instructions, k)
        if stored:
            # A frame that waits for a call may point at any of the instruction's inline cache entries.
            names.update(dict.fromkeys(range(previous.offset, instruction.offset, 2), stored))
    if len(_assigned) > 1000:
        _assigned.clear()
    _assigned[id(code)] = (code, names)
    return names


def _stored(instructions: Sequence[dis.Instruction], k: int) -> tuple[str, ...]:
    """The variables that the instructions from number k on store what they are given in; none if it goes elsewhere."""
    stored: list[str] = []
    wanted = 1
    while len(stored) < wanted and k < len(instructions):
        one = instructions[k]
        if one.opname == "UNPACK_SEQUENCE":
            wanted += int(one.argval) - 1
        elif one.opname == "STORE_FAST_STORE_FAST":
            stored += one.argval
        elif one.opname in ("STORE_FAST", "STORE_NAME", "STORE_DEREF"):
            stored.append(str(one.argval))
        else:
            return ()
        k += 1
    return tuple(stored)


def unpacked_into(code: CodeType, parameter: str) -> tuple[str, ...]:
    """The variables that a parameter is unpacked into, in order, where a function does so first of all with it."""
    instructions = list(dis.get_instructions(code))
    first = (k for k, one in enumerate(instructions) if one.opname.startswith("LOAD_FAST") and one.argval == parameter)
    stored = _stored(instructions, next(first, len(instructions)) + 1)
    return stored if len(stored) > 1 else ()


def user_frame(depth: int = 1) -> FrameType | None:
    """The innermost frame that is the user's: not gradlab's, NumPy's or JAX's."""
    frame: FrameType | None = sys._getframe(depth)
    while frame is not None and _is_internal(frame):
        frame = frame.f_back
    return frame


def _is_internal(frame: FrameType) -> bool:
    """Whether the frame runs code of gradlab, NumPy or JAX, or what `dataclass` wrote for a class of gradlab."""
    filename = frame.f_code.co_filename
    return INTERNAL[filename] or (filename == "<string>" and frame.f_globals.get("__name__", "").startswith(_MODULES))


def here() -> Where | None:
    """The user's line that is running now."""
    frame = user_frame(2)
    return None if frame is None else Where(frame.f_code, frame.f_lasti)
