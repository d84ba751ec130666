"""A graph as text: one equation a line, each with its shape and dtype, and the user's line where asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .graph import Atom, Graph, Lit, Var, short_dtype


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


def pretty(graph: Graph, lines: bool = False) -> str:
    """The graph as text.

    **Arguments:** `lines`: whether to print the user's source line after each equation.
    **Returns:** `{ inputs -> outputs` with one equation a line between.
    """
    return "\n".join(_block(graph, lines))


def _block(graph: Graph, lines: bool) -> list[str]:
    fresh = _names()
    name: dict[Var, str] = {}

    def define(v: Var) -> str:
        name[v] = next(fresh)
        return f"{name[v]}:{v.aval}"

    def use(a: Atom) -> str:
        if isinstance(a, Lit):
            return f"{a.value}:{a.aval}" if a.shape else f"{a.value}"
        return name[a]

    rows: list[tuple[str, str]] = []
    head = "{ " + " ".join(define(v) for v in graph.inputs) + " ->"
    nested: dict[int, list[str]] = {}
    for eqn in graph.eqns:
        operands = " ".join(use(a) for a in eqn.inputs)
        plain = {k: v for k, v in eqn.params.items() if k not in eqn.prim.graphs}
        params = f"[{' '.join(f'{k}={_param(v)}' for k, v in plain.items())}]" if plain else ""
        outs = " ".join(define(v) for v in eqn.outputs)
        for key, inner in eqn.graphs:
            first, *rest = _block(inner, lines)
            nested.setdefault(len(rows), []).extend([f"      {key} = {first}", *(f"      {row}" for row in rest)])
        rows.append((f"  {outs} = {eqn.prim.name}{params} {operands}".rstrip(), str(eqn.where or "") if lines else ""))
    width = max((len(text) for text, where in rows if where), default=0)
    out = [head]
    for i, (text, where) in enumerate(rows):
        out.append(f"{text:<{width}}  # {where}" if where else text)
        out += nested.get(i, [])
    out.append(f"  return {' '.join(use(a) for a in graph.outputs)} }}")
    return out


def _param(value: Any) -> str:
    if isinstance(value, np.dtype):
        return short_dtype(value)
    if isinstance(value, tuple):
        return "(" + ",".join(map(_param, value)) + ")"
    return str(value)


Graph.__repr__ = lambda self: pretty(self)  # what `print(gl.stage(f)(x))` shows
