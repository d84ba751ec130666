"""`jacobian` and its two modes, `hessian`, `hvp`: derivatives of many numbers at once, on one linearisation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from ..ir.errors import ArgumentError, DTypeError
from ..ir.graph import Aval, is_inexact
from .arguments import Call, Selection, avals_to_differentiate, name_of, tree_unflatten
from .calling import Reading, run
from .derivatives import Argnames, Argnums, grad, jvp, split_aux, take_results
from .programs import hessian_program, jacobian_program

MODES = ("auto", "fwd", "rev")


def jacobian(
    fun: Callable,
    argnums: Argnums = None,
    has_aux: bool = False,
    holomorphic: bool = False,
    *,
    argnames: Argnames = None,
    mode: str = "auto",
) -> Callable:
    """A function that returns the Jacobian of `fun`.

    **Arguments:** `fun`: arrays to a pytree of arrays. `argnums`, `argnames`, `has_aux`, `holomorphic`: as in `grad`.
    `mode`: "fwd" runs one linear program per input number, "rev" one per output number; "auto" takes the fewer.
    **Returns:** a function of the same arguments; its result has the structure of the result of `fun`, each leaf y
    replaced by the structure of the argument, each leaf x of that by ∂y/∂x of shape (*y.shape, *x.shape).
    **Raises:** `DTypeError` for integer or (without `holomorphic`) complex arguments; `ArgumentError`.
    """
    return _jacobian(fun, "jacobian", argnums, argnames, has_aux, holomorphic, mode, want_value=False)


def jacfwd(
    fun: Callable, argnums: Argnums = None, has_aux: bool = False, holomorphic: bool = False, **options
) -> Callable:
    """`jacobian` by forward mode: the cheaper one for few inputs. Arguments and result as there."""
    return _jacobian(fun, "jacfwd", argnums, options.pop("argnames", None), has_aux, holomorphic, "fwd", False, options)


def jacrev(
    fun: Callable, argnums: Argnums = None, has_aux: bool = False, holomorphic: bool = False, **options
) -> Callable:
    """`jacobian` by reverse mode: the cheaper one for few outputs. Arguments and result as there."""
    return _jacobian(fun, "jacrev", argnums, options.pop("argnames", None), has_aux, holomorphic, "rev", False, options)


def value_and_jacobian(
    fun: Callable,
    argnums: Argnums = None,
    has_aux: bool = False,
    holomorphic: bool = False,
    *,
    argnames: Argnames = None,
    mode: str = "auto",
) -> Callable:
    """A function that returns `(fun(...), jacobian)`; with `has_aux`, `((value, aux), jacobian)`.

    **Arguments, Raises:** as `jacobian`.
    """
    return _jacobian(fun, "value_and_jacobian", argnums, argnames, has_aux, holomorphic, mode, want_value=True)


def _jacobian(fun, of, argnums, argnames, has_aux, holomorphic, mode, want_value, unknown=()):
    if unknown:
        raise ArgumentError(f"{of} has no option {', '.join(unknown)}.")
    selection = Selection(fun, argnums, argnames, of)
    if mode not in MODES:
        raise ArgumentError(f'mode must be "auto", "fwd" or "rev", got {mode!r}.')

    @wraps(fun)
    def jacobian_of(*args, **kwargs):
        call = Call(selection, args, kwargs)
        avals = avals_to_differentiate(call, of, holomorphic)
        reading = Reading(call.with_leaves, call.leaves, avals, names=call.input_names)
        result, aux = split_aux(reading.result, has_aux, fun, of)
        tree, out_avals, aux_tree = take_results(reading, result, aux, has_aux, fun)
        _require_real_or_holomorphic(avals, out_avals, call, of, holomorphic)
        chosen = mode
        if mode == "auto":
            chosen = "fwd" if sum(a.size for a in avals) <= sum(a.size for a in out_avals) else "rev"
        active, n = (True,) * len(avals), len(out_avals)
        spec = ("jacobian", active, n, chosen, want_value)
        program, inputs = reading.program(spec, lambda graph: jacobian_program(graph, active, n, chosen, want_value))
        outs = run(program, inputs)
        rows = call.rows_of(outs[len(outs) - n * len(avals) :], n)
        rows = [row[0] if selection.single else tuple(row) for row in rows]
        matrix = tree_unflatten(tree, rows)
        start = n if want_value else 0
        if has_aux:
            aux = tree_unflatten(aux_tree, reading.put_aux(outs[start : len(outs) - n * len(avals)]))
        if not want_value:
            return (matrix, aux) if has_aux else matrix
        value = tree_unflatten(tree, outs[:n])
        return ((value, aux), matrix) if has_aux else (value, matrix)

    return jacobian_of


def _require_real_or_holomorphic(avals: Sequence[Aval], outs: Sequence[Aval], call: Call, of: str, holomorphic: bool):
    for k, aval in enumerate(avals):
        if aval.dtype.kind == "c" and not holomorphic:
            raise DTypeError(
                f"{of} of a function of complex numbers needs holomorphic=True, but {call.leaf_name(k)} is {aval}. "
                "For a function that is not holomorphic, differentiate with respect to real and imaginary part."
            )
    for aval in outs:
        if not is_inexact(aval.dtype) or (aval.dtype.kind == "c") != holomorphic:
            wanted = "complex" if holomorphic else "real"
            raise DTypeError(f"{of} needs {name_of(call.fun)} to return {wanted} numbers, got {aval}.")


def hessian(
    fun: Callable,
    argnums: Argnums = None,
    has_aux: bool = False,
    holomorphic: bool = False,
    *,
    argnames: Argnames = None,
    mode: str = "auto",
) -> Callable:
    """A function that returns the Hessian of `fun`: n linear programs on one linearisation of the gradient.

    **Arguments:** as `jacobian`. `mode`: "fwd-over-rev" (what "auto" takes for a scalar result), "rev-over-rev",
    "fwd-over-fwd" (what "auto" takes when `fun` returns at least as many numbers as it reads).
    **Returns:** a function of the same arguments. For a leaf y of the result and leaves x_i, x_j of the argument, the
    block ∂²y/∂x_i∂x_j of shape (*y.shape, *x_i.shape, *x_j.shape), nested in that order.
    **Raises:** as `jacobian`.
    """
    modes = ("auto", "fwd-over-rev", "rev-over-rev", "fwd-over-fwd", "rev-over-fwd")
    if mode not in modes:
        raise ArgumentError(f"mode must be one of {', '.join(modes)}, got {mode!r}.")
    selection = Selection(fun, argnums, argnames, "hessian")

    @wraps(fun)
    def hessian_of(*args, **kwargs):
        call = Call(selection, args, kwargs)
        avals = avals_to_differentiate(call, "hessian", holomorphic)
        reading = Reading(call.with_leaves, call.leaves, avals, names=call.input_names)
        result, aux = split_aux(reading.result, has_aux, fun, "hessian")
        tree, out_avals, aux_tree = take_results(reading, result, aux, has_aux, fun)
        _require_real_or_holomorphic(avals, out_avals, call, "hessian", holomorphic)
        if mode == "auto":
            few_outputs = sum(a.size for a in out_avals) < sum(a.size for a in avals) or not avals
            outer, inner = "fwd", "rev" if few_outputs or sum(a.size for a in out_avals) == 1 else "fwd"
        else:
            outer, inner = mode.split("-over-")
        active, n, n_x = (True,) * len(avals), len(out_avals), len(avals)
        spec = ("hessian", active, n, inner, outer)
        program, inputs = reading.program(spec, lambda graph: hessian_program(graph, active, n, inner, outer))
        outs = run(program, inputs)
        blocks = outs[len(outs) - n * n_x * n_x :]
        inner_rows = call.rows_of(blocks, n * n_x)  # one per (y, x_i): trees over x_j
        leaves = [row[0] if selection.single else tuple(row) for row in inner_rows]
        per_y = []
        for k in range(n):
            trees = call.trees_of(leaves[k * n_x : (k + 1) * n_x])
            per_y.append(trees[0] if selection.single else tuple(trees))
        matrix = tree_unflatten(tree, per_y)
        if not has_aux:
            return matrix
        return matrix, tree_unflatten(aux_tree, reading.put_aux(outs[: len(outs) - n * n_x * n_x]))

    return hessian_of


def hvp(fun: Callable, primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    """The Hessian of a scalar function times a direction, at about the cost of two gradients, forward over reverse.

    **Arguments:** `primals`, `tangents`: tuples of the arguments and of the direction, same structures and shapes.
    **Returns:** ∂²f·v with the structure of the first argument (of the tuple of all, if there are several).
    **Raises:** as `grad` and `jvp`.
    """
    argnums = 0 if len(primals) == 1 else tuple(range(len(primals)))
    return jvp(grad(fun, argnums), primals, tangents)[1]
