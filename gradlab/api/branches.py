"""`cond` and `switch`: one of several functions, chosen at run time, as one equation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from ..control.cond import cond_call
from ..ir.errors import ArgumentError, ShapeError
from ..ir.graph import Lit
from ..ops.compare import ne
from ..ops.convert import convert
from ..ops.operands import zeros_like
from ..trace.avals import aval_of
from .arguments import name_of, require_function, tree_flatten, tree_unflatten
from .staging import ITSELF, Staged, is_traced, native, operand_of, require_same, sharing


def cond(pred: Any, true_fun: Callable, false_fun: Callable, *operands: Any) -> Any:
    """`true_fun(*operands)` where `pred` is true, else `false_fun(*operands)`; only that one runs.

    **Arguments:** `pred`: one boolean, or a number that is compared with 0. `operands`: any pytrees.
    **Raises:** `StructureError`, `ShapeError` if the functions return different structures or types.
    """
    require_function(true_fun, "cond", ITSELF)
    require_function(false_fun, "cond", ITSELF)
    if not is_traced((pred, operands)):
        return native(
            lambda: jax.lax.cond(pred, true_fun, false_fun, *operands),
            lambda: cond(pred, true_fun, false_fun, *operands),
        )
    which = _scalar(pred, "cond")
    if aval_of(which).dtype != bool:
        which = Lit(bool(which.value), aval_of(True)) if type(which) is Lit else ne(which, zeros_like(which))
    return _branched(which, (false_fun, true_fun), operands)


def switch(index: Any, branches: Sequence[Callable], *operands: Any) -> Any:
    """`branches[index](*operands)`, the index clamped into range; only that one runs.

    **Arguments:** `index`: one integer. `operands`: any pytrees.
    **Raises:** `ArgumentError` without branches; `StructureError`, `ShapeError` if they return different types.
    """
    if not branches:
        raise ArgumentError("switch needs at least one branch.")
    for branch in branches:
        require_function(branch, "switch", ITSELF)
    if not is_traced((index, operands)):
        return native(lambda: jax.lax.switch(index, branches, *operands), lambda: switch(index, branches, *operands))
    which = _scalar(index, "switch")
    if aval_of(which).dtype.kind not in "iu":
        raise ArgumentError(f"switch needs an integer index, got {aval_of(which)}. Convert it with .astype(int).")
    if len(branches) == 1:
        return branches[0](*operands)
    if type(which) is Lit:
        return branches[max(0, min(int(index), len(branches) - 1))](*operands)
    return _branched(convert(which, dtype=np.dtype("int32")), branches, operands)


def _scalar(x: Any, of: str) -> Any:
    aval = aval_of(x)
    if aval.shape:
        raise ShapeError(f"{of} chooses by one scalar, got {aval}. Reduce it, or use vmap or where for an array.")
    return operand_of(x)


def _branched(which: Any, functions: Sequence[Callable], operands: tuple) -> Any:
    leaves, tree = tree_flatten(operands)
    avals = [aval_of(x) for x in leaves]
    staged = [Staged(f, avals, lambda values, f=f: f(*tree_unflatten(tree, values)), operands) for f in functions]
    first, *others = staged
    for f, one in zip(functions[1:], others, strict=True):
        what, of = f"the result of {name_of(f)}", f"the result of {name_of(functions[0])}"
        require_same(what, of, first.tree, first.avals, one.tree, one.avals)
    graphs, captured = sharing(staged)
    outs = cond_call(which, graphs, [*(operand_of(x) for x in leaves), *captured])
    return tree_unflatten(first.tree, outs)
