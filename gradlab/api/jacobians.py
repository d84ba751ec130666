"""`jacobian` and its two modes, `hessian`, `hvp`: derivatives of many numbers at once, on one linearisation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..ir.errors import ArgumentError, DTypeError
from ..ir.graph import Aval, is_inexact
from .arguments import Call, Selection, avals_to_differentiate, derived_from, name_of
from .calling import FRESH, Reading, run
from .derivatives import Argnames, Argnums, grad, jvp
from .programs import hessian_program, jacobian_program
from .results import Results

MODES = ("auto", "fwd", "rev")
HESSIAN_MODES = ("auto", "fwd-over-rev", "rev-over-rev", "fwd-over-fwd", "rev-over-fwd")


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
    fun: Callable,
    argnums: Argnums = None,
    has_aux: bool = False,
    holomorphic: bool = False,
    *,
    argnames: Argnames = None,
) -> Callable:
    """`jacobian` by forward mode: the cheaper one for few inputs.

    **Arguments, Returns, Raises:** as there, but for `mode`.
    """
    return _jacobian(fun, "jacfwd", argnums, argnames, has_aux, holomorphic, "fwd", want_value=False)


def jacrev(
    fun: Callable,
    argnums: Argnums = None,
    has_aux: bool = False,
    holomorphic: bool = False,
    *,
    argnames: Argnames = None,
) -> Callable:
    """`jacobian` by reverse mode: the cheaper one for few outputs.

    **Arguments, Returns, Raises:** as there, but for `mode`.
    """
    return _jacobian(fun, "jacrev", argnums, argnames, has_aux, holomorphic, "rev", want_value=False)


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


def _jacobian(fun, of, argnums, argnames, has_aux, holomorphic, mode, want_value):
    selection = Selection(fun, argnums, argnames, of)
    if mode not in MODES:
        raise ArgumentError(f'mode must be "auto", "fwd" or "rev", got {mode!r}.')

    @derived_from(fun, of)
    def jacobian_of(*args, **kwargs):
        call = Call(selection, args, kwargs)
        avals = avals_to_differentiate(call, of, holomorphic)
        reading = Reading(call, call.leaves, avals, names=call.input_names if FRESH.on else tuple, fun=fun)
        results = Results(reading, fun, has_aux, of)
        _require_real_or_holomorphic(avals, results.avals, call, of, holomorphic)
        chosen = mode
        if mode == "auto":
            chosen = "fwd" if sum(a.size for a in avals) <= sum(a.size for a in results.avals) else "rev"
        active, n = (True,) * len(avals), results.n
        spec = ("jacobian", active, n, chosen, want_value)
        program, inputs = reading.program(spec, lambda graph: jacobian_program(graph, active, n, chosen, want_value))
        outs = run(program, inputs)
        rows = call.rows_of(outs[len(outs) - n * len(avals) :], n)
        matrix = results.value([row[0] if selection.single else tuple(row) for row in rows])
        start = n if want_value else 0
        aux = results.aux(outs[start : start + results.n_aux]) if has_aux else None
        if not want_value:
            return (matrix, aux) if has_aux else matrix
        value = results.value(outs[:n])
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
    "rev-over-fwd", "fwd-over-fwd" (what "auto" takes when `fun` returns at least as many numbers as it reads).
    **Returns:** a function of the same arguments. For a leaf y of the result and leaves x_i, x_j of the argument, the
    block ∂²y/∂x_i∂x_j of shape (*y.shape, *x_i.shape, *x_j.shape), nested in that order.
    **Raises:** as `jacobian`.
    """
    if mode not in HESSIAN_MODES:
        raise ArgumentError(f"mode must be one of {', '.join(HESSIAN_MODES)}, got {mode!r}.")
    selection = Selection(fun, argnums, argnames, "hessian")

    @derived_from(fun, "hessian")
    def hessian_of(*args, **kwargs):
        call = Call(selection, args, kwargs)
        avals = avals_to_differentiate(call, "hessian", holomorphic)
        reading = Reading(call, call.leaves, avals, names=call.input_names if FRESH.on else tuple, fun=fun)
        results = Results(reading, fun, has_aux, "hessian")
        _require_real_or_holomorphic(avals, results.avals, call, "hessian", holomorphic)
        if mode == "auto":
            n_in, n_out = sum(a.size for a in avals), sum(a.size for a in results.avals)
            outer, inner = "fwd", "rev" if n_out < n_in or n_out == 1 or not avals else "fwd"
        else:
            outer, inner = mode.split("-over-")
        active, n, n_x = (True,) * len(avals), results.n, len(avals)
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
        matrix = results.value(per_y)
        return (matrix, results.aux(outs[: results.n_aux])) if has_aux else matrix

    return hessian_of


def hvp(fun: Callable, primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    """The Hessian of a scalar function times a direction, at about the cost of two gradients, forward over reverse.

    **Arguments:** `primals`, `tangents`: tuples of the arguments and of the direction, same structures and shapes.
    **Returns:** ∂²f·v with the structure of the first argument (of the tuple of all, if there are several).
    **Raises:** as `grad` and `jvp`.
    """
    argnums = 0 if len(primals) == 1 else tuple(range(len(primals)))
    return jvp(grad(fun, argnums), primals, tangents)[1]
