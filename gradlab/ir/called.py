"""What a line of the user's was calling at the moment: read from the names that its instruction had loaded."""

from __future__ import annotations

import dis
import gc
from opcode import opname
from types import BuiltinFunctionType, CodeType, FrameType, ModuleType
from typing import Any

import numpy as np

_NAMES = frozenset(("LOAD_NAME", "LOAD_GLOBAL", "LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FAST", "LOAD_FAST_CHECK",
                    "LOAD_FAST_BORROW"))  # fmt: skip
_ATTRIBUTES = frozenset(("LOAD_ATTR", "LOAD_METHOD"))
_TRANSPARENT = (ModuleType, type, np.ndarray, np.random.Generator, np.random.RandomState)
_APPLIED = ("CALL", "PRECALL", "BINARY_SUBSCR", "BINARY_SLICE")
RESULT = "()"  # stands in the names for a call: np.vectorize(f)(x) is of ("np", "vectorize", "()")
_SILENT = frozenset(("PUSH_NULL", "PRECALL", "KW_NAMES", "CACHE", "EXTENDED_ARG", "NOP", "COPY", "SWAP"))

_COMPREHENSIONS = ("<listcomp>", "<setcomp>", "<dictcomp>")
_CONVERSIONS = frozenset(("float", "int", "complex"))

_chains: dict[tuple[int, int], tuple[CodeType, tuple[str, ...]]] = {}


def called(frame: FrameType) -> tuple[tuple[str, ...], Any]:
    """The names of what `frame` is calling or indexing, as in ("math", "sin"), and the thing itself.

    Names are () where that is not a plain dotted name; the thing is None where the name leads through anything but
    modules, classes and NumPy's arrays, whose attributes may be read without running the user's code.
    """
    key = (id(frame.f_code), frame.f_lasti)
    known = _chains.get(key)
    if known is None or known[0] is not frame.f_code:
        if len(_chains) > 1000:
            _chains.clear()
        known = _chains[key] = (frame.f_code, _chain(frame.f_code, frame.f_lasti))
    names = known[1]
    return names, _found(names, frame)


def _chain(code: CodeType, lasti: int) -> tuple[str, ...]:
    """The dotted name that the expression at `lasti` begins with: its instructions start where that does."""
    starts = [(line, column) for line, _, column, _ in code.co_positions()]
    start = starts[lasti // 2]
    before = [i for i in dis.get_instructions(code) if i.offset <= lasti]
    if None in start or not before[-1].opname.startswith(_APPLIED):
        return ()
    names: list[str] = []
    for instruction in reversed(before[:-1]):
        if starts[instruction.offset // 2] != start or instruction.opname in _SILENT:
            continue
        if instruction.opname in _ATTRIBUTES:
            names.append(str(instruction.argval))
        elif instruction.opname in _NAMES:
            return (str(instruction.argval), *reversed(names))
        elif instruction.opname.startswith(_APPLIED):
            names.append(RESULT)
        else:
            return ()
    return ()


def mapped(frame: FrameType) -> Any:
    """The function that `map` applies in the expression `frame` is at, as in list(map(math.sin, xs)) or in list(m).

    None where there is no `map` there or more than one, or where a conversion stands beside it, which may be what runs.
    """
    own = _applied([frame.f_locals[".0"]]) if ".0" in frame.f_locals else None  # what a generator expression runs over
    if own is not None:
        return own
    code, at = frame.f_code, frame.f_lasti // 2
    if code.co_name in _COMPREHENSIONS and frame.f_back is not None:  # its iterable is of the function around it
        frame, code, at = frame.f_back, frame.f_back.f_code, frame.f_back.f_lasti // 2
    waiting = any(map(_is_iterator, _variables(frame)))
    if "map" not in code.co_names and not waiting:
        return None
    places = list(code.co_positions())
    line, end_line, column, end_column = places[at]
    if line is None or end_line is None or column is None or end_column is None:
        return None
    # Unpacking stands where its targets do.
    whole_line = opname[code.co_code[frame.f_lasti]].startswith("UNPACK")
    start, end = ((line, -1), (end_line + 1, -1)) if whole_line else ((line, column), (end_line, end_column))
    inside = [
        i
        for i in dis.get_instructions(code)
        if (p := places[i.offset // 2])[0] is not None and start <= (p[0], p[2]) and (p[1], p[3]) <= end
    ]
    names = [name for i in inside for name in _loaded(i)]
    if waiting and "map" not in names:
        return _applied([x for x in (_found((name,), frame) for name in names) if _is_iterator(x)])
    if names.count("map") != 1 or not _CONVERSIONS.isdisjoint(names) or _found(("map",), frame) is not map:
        return None
    k = next(k for k, i in enumerate(inside) if i.opname in _NAMES and i.argval == "map")
    rest = [i for i in inside[k + 1 :] if i.opname not in _SILENT]
    if not rest or rest[0].opname not in _NAMES:
        return None
    chain = [str(rest[0].argval)]
    for i in rest[1:]:
        if i.opname not in _ATTRIBUTES:
            break
        chain.append(str(i.argval))
    return _found(tuple(chain), frame)


def _loaded(instruction: dis.Instruction) -> tuple[str, ...]:
    """The variables that an instruction loads; newer interpreters load two at once."""
    if instruction.opname not in _NAMES and not instruction.opname.startswith("LOAD_FAST"):
        return ()
    found = instruction.argval
    return found if isinstance(found, tuple) else (str(found),)


def _variables(frame: FrameType) -> list[Any]:
    return [*frame.f_locals.values(), *(frame.f_globals[n] for n in frame.f_code.co_names if n in frame.f_globals)]


def _is_iterator(x: Any) -> bool:
    return type(x) in (map, zip, enumerate, filter) or type(x).__module__ == "itertools"


def _applied(iterators: list[Any]) -> Any:
    """The one function that such iterators, and those that they run over, apply; None where one of them converts."""
    functions, pending = [], list(iterators)
    while pending:
        x = pending.pop()
        if isinstance(x, BuiltinFunctionType) or any(x is kind for kind in (float, int, complex)):
            functions.append(x)
        elif type(x) is tuple or _is_iterator(x):
            pending += gc.get_referents(x)
    return functions[0] if len(functions) == 1 and not isinstance(functions[0], type) else None


def _found(names: tuple[str, ...], frame: FrameType) -> Any:
    if not names or RESULT in names:
        return None
    for scope in (frame.f_locals, frame.f_globals, frame.f_builtins):
        if names[0] in scope:
            found = scope[names[0]]
            break
    else:
        return None
    for name in names[1:]:
        if not isinstance(found, _TRANSPARENT):
            return None
        found = getattr(found, name, None)
    return found
