"""How far two of XLA's programs are the same: word for word, in their operations, or in what XLA counts of them.

A ratio of two times says nothing where the two programs are one; here a machine tells that, and no person.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

MOVES_NOTHING = ("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "fusion", "call")
SAME_PROGRAM = "the same program: XLA made one text of both"
SAME_OPERATIONS = "the same operations, of the same types, in both programs"


def normalised(text: str) -> str:
    """The computations of an optimised program, with names by order of appearance and without their origins."""
    lines = re.sub(r", metadata=\{[^}]*\}", "", text).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(("%", "ENTRY")))
    names: dict[str, str] = {}
    body = re.sub(r"%[\w.-]+", lambda found: names.setdefault(found[0], f"%{len(names)}"), "\n".join(lines[start:]))
    # A computation's heading repeats its parameters' names; their types are in the lines below it.
    return re.sub(r"\b[\w.]+: (?=\w+\[)", "", body)


def operations(text: str) -> Counter[tuple[str, str]]:
    """How often each operation stands in a program, by type; what moves nothing is left out."""
    found = re.findall(r"= (\S+) ([a-z][\w-]*)\(", text)
    return Counter((kind, re.sub(r"\{[^}]*\}", "", shape)) for shape, kind in found if kind not in MOVES_NOTHING)


def library_calls(text: str) -> Counter[str]:
    """The calls that leave XLA's own code, such as LAPACK's, of which XLA counts nothing."""
    return Counter(re.findall(r'custom_call_target="([^"]+)"', text))


def _share(own: float, theirs: float) -> str:
    return "equal" if own == theirs else "more" if not theirs else f"{own / theirs:.2f} of JAX's"


def _counted(ours: Any, theirs: Any) -> str:
    costs = [program.cost_analysis() or {} for program in (ours, theirs)]
    pairs = {name: [cost.get(key, 0.0) for cost in costs] for name, key in KEYS.items()}
    said = [f"{name} {_share(*pair)}" for name, pair in pairs.items() if any(pair)]
    calls = [library_calls(program.as_text()) for program in (ours, theirs)]
    if any(calls):
        said.append("the same library calls" if calls[0] == calls[1] else "other library calls")
    return "by XLA's count: " + ", ".join(said)


KEYS = {"operations": "flops", "functions": "transcendentals", "bytes": "bytes accessed"}


def compared(ours: Any, theirs: Any) -> str:
    """What a machine can say of two compiled programs."""
    texts = [program.as_text() for program in (ours, theirs)]
    if normalised(texts[0]) == normalised(texts[1]):
        return SAME_PROGRAM
    if operations(texts[0]) == operations(texts[1]):
        return SAME_OPERATIONS
    return _counted(ours, theirs)
