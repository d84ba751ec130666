"""A program in double precision: the same equations, every float32 a float64, for a second opinion on its numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir.check import check
from ..ir.errors import GradlabError
from ..ir.graph import Atom, Aval, Eqn, Graph, Lit, Var, is_inexact

_PLAIN = (bool, int, str, type(None))


def widened(graph: Graph) -> Graph | None:
    """(x*) -> (y*) of doubles, or None: where nothing is narrow, or an equation means something by its dtype.

    Such are functions of JAX's without equations, tables of numbers, and what looks at the bits of a float.
    """
    try:
        found = _graph(graph)
        return None if found == graph else check(found)
    except (GradlabError, _Fixed):
        return None


def wide_value(x: Any) -> Any:
    """An operand of the program as one of the widened program."""
    return np.asarray(x, wide_dtype(x.dtype)) if isinstance(x.dtype, np.dtype) else x


def wide_dtype(dtype: Any) -> Any:
    """Double precision for what is real or complex, the dtype itself for the rest."""
    if not is_inexact(dtype):
        return dtype
    return np.dtype(np.complex128 if dtype.kind == "c" else np.float64)


class _Fixed(Exception):
    """A parameter that holds to a dtype."""


def _aval(aval: Aval) -> Aval:
    return Aval(aval.shape, wide_dtype(aval.dtype), aval.weak)


def _graph(graph: Graph) -> Graph:
    new: dict[Var, Var] = {v: Var(_aval(v.aval), v.name) for v in graph.inputs}

    def atom(a: Atom) -> Atom:
        return new[a] if type(a) is Var else Lit(a.value, _aval(a.aval))

    eqns = []
    for eqn in graph.eqns:
        outputs = tuple([Var(_aval(v.aval), v.name) for v in eqn.outputs])
        params = {name: _param(value) for name, value in eqn.params.items()}
        eqns.append(Eqn(eqn.prim, tuple(map(atom, eqn.inputs)), outputs, params, eqn.where))
        new.update(zip(eqn.outputs, outputs, strict=True))
    return Graph([new[v] for v in graph.inputs], eqns, [atom(a) for a in graph.outputs])


def _param(value: Any) -> Any:
    if isinstance(value, Graph):
        return _graph(value)
    if isinstance(value, np.dtype):
        return wide_dtype(value)
    if isinstance(value, tuple):
        parts = map(_param, value)
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if isinstance(value, _PLAIN):
        return value
    raise _Fixed
