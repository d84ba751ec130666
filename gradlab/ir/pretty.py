"""A graph as text: one equation a line, each with its shape and dtype, and the user's line where asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from .graph import Atom, Eqn, Graph, Lit, Var, short_dtype

_FAR = 90  # characters before the user's line
_UNNAMED: Mapping[Var, str] = {}


def _names() -> Iterator[str]:
    """a, b, ..., z, aa, ab, ..."""
    n = 0
    while True:
        name, k = "", n
        while True:
            name = chr(ord("a") + k % 26) + name
            k = k // 26 - 1
            if k < 0:
                break
        yield name
        n += 1


def user_line(eqn: Eqn) -> str:
    """The user's source line of an equation."""
    return str(eqn.where or "")


def pretty(
    graph: Graph,
    lines: bool = False,
    names: Mapping[Var, str] = _UNNAMED,
    line_of: Callable[[Eqn], str] = user_line,
) -> str:
    """The graph as text.

    **Arguments:** `lines`: whether to print the user's source line, `line_of(eqn)`, after each equation. `names`: what
    values are called; one that has no name there is a letter, one whose name is taken gets a number.
    **Returns:** `{ inputs -> outputs` with one equation a line between.
    """
    return "\n".join(_block(graph, line_of if lines else None, names))


def _block(graph: Graph, line_of: Callable[[Eqn], str] | None, names: Mapping[Var, str]) -> list[str]:
    fresh = _names()
    name: dict[Var, str] = {}
    every = (*graph.inputs, *(v for eqn in graph.eqns for v in eqn.outputs))
    taken = {names[v]: 0 for v in every if v in names}  # how often a name was given so far
    used: set[str] = set()

    def define(v: Var) -> str:
        wish = names.get(v)
        if wish is None:
            found = next(letter for letter in fresh if letter not in taken)
        else:
            found = wish
            while found in used:
                taken[wish] += 1
                found = f"{wish}_{taken[wish]}"
        used.add(found)
        name[v] = found
        return f"{found}:{v.aval}"

    def use(a: Atom) -> str:
        if isinstance(a, Lit):
            return f"{a.value}:{a.aval}" if a.shape else f"{a.value}"
        return name[a]

    rows: list[tuple[str, str]] = []
    head = "{ " + " ".join(define(v) for v in graph.inputs) + " ->"
    nested: dict[int, list[str]] = {}
    for eqn in graph.eqns:
        operands = " ".join(use(a) for a in eqn.inputs)
        plain = {k: v for k, v in eqn.params.items() if k not in eqn.prim.graphs and v is not None}
        params = f"[{' '.join(f'{k}={_param(v)}' for k, v in plain.items())}]" if plain else ""
        outs = " ".join(define(v) for v in eqn.outputs)
        for key, inner in eqn.graphs:
            first, *rest = _block(inner, line_of, names)
            nested.setdefault(len(rows), []).extend([f"      {key} = {first}", *(f"      {row}" for row in rest)])
        rows.append((f"  {outs} = {eqn.prim.name}{params} {operands}".rstrip(), line_of(eqn) if line_of else ""))
    # One long equation does not push the lines of all others away.
    width = max((len(text) for text, where in rows if where and len(text) <= _FAR), default=0)
    out = [head]
    for i, (text, where) in enumerate(rows):
        out.append(f"{text:<{width}}  # {where}" if where else text)
        out += nested.get(i, [])
    out.append(f"  return {' '.join(use(a) for a in graph.outputs)} }}")
    return out


def _param(value: Any) -> str:
    if isinstance(value, np.dtype):
        return short_dtype(value)
    fields = getattr(value, "_fields", None)
    if fields:
        return f"({' '.join(f'{name}={_param(v)}' for name, v in zip(fields, value, strict=True))})"
    if isinstance(value, tuple):
        return "(" + ",".join(map(_param, value)) + ")"
    return str(value)


Graph.__repr__ = lambda self: pretty(self)  # what `print(gl.stage(f)(x))` shows
