"""The text of a program laid out to be read: long statements folded, blank lines around inner functions.

The layout is the one that code formatters agree on, so that the text can be pasted into a project that has one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

WIDTH = 88
_INDENT = "    "
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_SIMPLE = r"[A-Za-z_][\w.]*|\d+(?:\.\d*)?(?:e[+-]?\d+)?"
_QUOTED = re.compile(r"'([^'\"\\]*)'")
_POWER = re.compile(rf"(?<![\w)\].])({_SIMPLE}) \*\* (-?(?:{_SIMPLE}))(?![\w(\[.])")


def laid_out(text: str) -> str:
    """The same program, its statements one to a line of at most `WIDTH` characters where they can be folded."""
    lines: list[str] = []
    inside: list[int] = []  # indents of the inner functions that are open
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        ended = False
        while line and inside and indent <= inside[-1]:
            inside.pop()
            ended = True
        is_inner = indent > 0 and line.lstrip().startswith("def ")
        if (ended or (is_inner and _goes_on(lines))) and lines[-1]:
            _before_comments(lines)
        if is_inner:
            inside.append(indent)
        if not line.lstrip().startswith("#"):
            line = _QUOTED.sub(r'"\1"', _POWER.sub(r"\1**\2", line))
        lines += _folded(line)
    return "\n".join(lines) + "\n"


def _goes_on(lines: list[str]) -> bool:
    """Whether something other than comments stands between here and the start of the block."""
    last = next((line for line in reversed(lines) if not line.lstrip().startswith("#")), "")
    return not last.endswith(":")


def _before_comments(lines: list[str]) -> None:
    """A blank line, above the comments that belong to what comes next."""
    at = len(lines)
    while at and lines[at - 1].lstrip().startswith("#"):
        at -= 1
    if lines[at - 1] and not lines[at - 1].endswith(":"):
        lines.insert(at, "")


def _folded(line: str) -> Iterator[str]:
    """The line, or its pieces: the contents of its last brackets on lines of their own."""
    indent = line[: len(line) - len(line.lstrip())]
    if len(line) <= WIDTH or line.lstrip().startswith("#"):
        yield line
        return
    target, equals, chain = line.partition(" = ")
    if equals and len(list(_parts(target.strip()))) > 1 and len(f"{target} = {_head(chain)}") > WIDTH:
        # The names are what is long.
        yield f"{indent}("
        for name in _parts(target.strip()):
            yield from _folded(f"{indent}{_INDENT}{name},")
        yield from _folded(f"{indent}) = {chain}")
        return
    if equals and len(list(_parts(chain))) > 1:
        yield f"{target} = ("
        for part in _parts(chain):
            yield from _folded(f"{indent}{_INDENT}{part},")
        yield f"{indent})"
        return
    links = list(_links(chain)) if equals else []
    if sum(link.endswith(")") for link in links) > 1:
        yield f"{target} = ("
        for link in links:
            yield from _folded(f"{indent}{_INDENT}{link}")
        yield f"{indent})"
        return
    opening, closing = _last_brackets(line)
    contents = line[opening + 1 : closing]
    if opening < 0 or not contents.strip():
        yield line
        return
    yield line[: opening + 1]
    inner = f"{indent}{_INDENT}"
    parts = list(_parts(contents))
    many = line[opening] != "[" or len(parts) > 1
    one_line = f"{inner}{contents.rstrip(',')}"
    # A tuple is taken apart entirely, the arguments of a call are where they do not fit on one line.
    is_tuple = not opening or line[opening - 1] in " (["
    fits = len(one_line) <= WIDTH and not (is_tuple and many and len(parts) > 1)
    if fits and not line.lstrip().startswith("def ") or len(parts) == 1 and "," not in contents[-1:]:
        yield from _folded(one_line)
    else:
        for part in parts:
            yield from _folded(f"{inner}{part}{',' if many else ''}")
    yield from _folded(f"{indent}{line[closing:]}")


def _head(chain: str) -> str:
    """What stands on the first line of an expression, however it is folded: all up to its first bracket."""
    found = re.search(r"[(\[{]", chain)
    return chain[: found.end()] if found else chain


def _links(chain: str) -> Iterator[str]:
    """`f(x)`, `.at[i]`, `.add(y)` of `f(x).at[i].add(y)`."""
    start = 0
    for k, c in enumerate(chain):
        if c == "." and k and chain[k - 1] in ")]" and not _depth(chain[:k]):
            yield chain[start:k]
            start = k
    yield chain[start:]


def _depth(text: str) -> int:
    return sum(c in "([{" for c in text) - sum(c in ")]}" for c in text)


def _last_brackets(line: str) -> tuple[int, int]:
    """Where the last outermost brackets that leave a short head open and close; (-1, -1) if there are none."""
    stack: list[int] = []
    found = (-1, -1)
    quote = ""
    for k, c in enumerate(line):
        if quote:
            quote = "" if c == quote else quote
        elif c in "\"'":
            quote = c
        elif c in _CLOSING:
            stack.append(k)
        elif c in ")]}" and stack:
            start = stack.pop()
            if not stack and (found[0] < 0 or start < WIDTH):
                found = (start, k)
    return found


def _parts(contents: str) -> Iterator[str]:
    """What stands between the outermost commas."""
    depth, start, quote = 0, 0, ""
    for k, c in enumerate(contents):
        if quote:
            quote = "" if c == quote else quote
        elif c in "\"'":
            quote = c
        elif c in _CLOSING:
            depth += 1
        elif c in ")]}":
            depth -= 1
        elif c == "," and not depth:
            yield contents[start:k].strip()
            start = k + 1
    if contents[start:].strip():
        yield contents[start:].strip()
