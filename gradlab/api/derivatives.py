"""`grad`, `value_and_grad`, `jvp`, `vjp`, `linearize`, `linear_transpose`: first derivatives of Python functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..ir.errors import ArgumentError, DTypeError, NonScalarError, ShapeError, StructureError
from ..ir.graph import Aval, is_inexact
from ..trace.avals import aval_of
from .arguments import Call, Selection, avals_to_differentiate, name_of, tree_flatten, tree_unflatten
from .calling import Reading, run
from .programs import (
    jvp_program,
    linearize_program,
    transpose_program,
    value_and_grad_program,
    vjp_program,
)

Argnums = int | Sequence[int] | None
Argnames = str | Sequence[str] | None


def grad(
    fun: Callable,
    argnums: Argnums = None,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    *,
    argnames: Argnames = None,
    unconnected: str = "zeros",
) -> Callable:
    """A function that returns the gradient of `fun`, by reverse mode.

    **Arguments:** `fun`: returns one real number, shape () (with `has_aux`, a pair of it and anything). `argnums`,
    `argnames`: the arguments to differentiate, by position (default 0) or name; each a pytree of real or complex
    arrays. `holomorphic`: arguments and result are complex and `fun` is holomorphic. `allow_int`: integer leaves are
    let through, their gradient has dtype float0. `unconnected`: the gradient of a leaf the result does not depend on is
    zeros ("zeros") or None ("none").
    **Returns:** a function of the same arguments; its result has the structure and shapes of the differentiated
    argument (a tuple of them if `argnums` or `argnames` is a tuple), paired with the auxiliary value if `has_aux`. For
    complex arguments the gradient is JAX's: that of |z|² at 1+2j is 2−4j.
    **Raises:** `NonScalarError`, `DTypeError`, `ArgumentError`, `StructureError`.
    """
    gradient = _gradient(fun, "grad", argnums, argnames, has_aux, holomorphic, allow_int, unconnected, want_value=False)

    @wraps(fun)
    def grad_of(*args, **kwargs):
        _, aux, grads = gradient(args, kwargs)
        return (grads, aux) if has_aux else grads

    return grad_of


def value_and_grad(
    fun: Callable,
    argnums: Argnums = None,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    *,
    argnames: Argnames = None,
    unconnected: str = "zeros",
) -> Callable:
    """A function that returns `(fun(...), gradient)`; with `has_aux`, `((value, aux), gradient)`.

    **Arguments, Raises:** as `grad`.
    """
    gradient = _gradient(
        fun, "value_and_grad", argnums, argnames, has_aux, holomorphic, allow_int, unconnected, want_value=True
    )

    @wraps(fun)
    def value_and_grad_of(*args, **kwargs):
        value, aux, grads = gradient(args, kwargs)
        return ((value, aux), grads) if has_aux else (value, grads)

    return value_and_grad_of


def _gradient(fun, of, argnums, argnames, has_aux, holomorphic, allow_int, unconnected, want_value):
    selection = Selection(fun, argnums, argnames, of)
    if unconnected not in ("zeros", "none"):
        raise ArgumentError(f'unconnected must be "zeros" or "none", got {unconnected!r}.')
    zeros = unconnected == "zeros"

    def gradient(args, kwargs):
        call = Call(selection, args, kwargs)
        avals = avals_to_differentiate(call, of, holomorphic, allow_int)
        reading = Reading(call.with_leaves, call.leaves, avals, names=call.input_names)
        value, aux = split_aux(reading.result, has_aux, fun, of)
        reading.take(_scalar(value, fun, of, holomorphic))
        if has_aux:
            aux_leaves, aux_tree = tree_flatten(aux)
            reading.take_aux(aux_leaves)
        active = tuple([is_inexact(aval.dtype) for aval in avals])
        program, inputs = reading.program(
            ("grad", active, want_value, zeros),
            lambda graph: value_and_grad_program(graph, active, want_value, zeros),
        )
        outs = run(program, inputs)
        start = 1 if want_value else 0
        stop = len(outs) - sum(program.alive)
        if has_aux:
            aux = tree_unflatten(aux_tree, reading.put_aux(outs[start:stop]))
        leaves = outs[stop:] if program.full else _with_gaps(outs[stop:], program.alive, active, avals)
        grads = call.trees_of(leaves)
        return outs[0] if want_value else None, aux, grads[0] if selection.single else tuple(grads)

    return gradient


def _with_gaps(
    values: Sequence[Any], alive: Sequence[bool], active: Sequence[bool], avals: Sequence[Aval]
) -> list[Any]:
    """One gradient a leaf: float0 for integer leaves, None for those the result does not depend on."""
    got, on = iter(values), iter(alive)
    leaves: list[Any] = []
    for differentiable, aval in zip(active, avals, strict=True):
        if not differentiable:
            leaves.append(float0(aval))
        else:
            leaves.append(next(got) if next(on) else None)
    return leaves


def float0(aval: Aval) -> np.ndarray:
    """JAX's tangent of an integer: an array of its shape that holds nothing."""
    return np.zeros(aval.shape, jax.dtypes.float0)


def split_aux(result: Any, has_aux: bool, fun: Callable, of: str) -> tuple[Any, Any]:
    """`(value, aux)` as `has_aux` promises.

    **Raises:** `StructureError` if the result is no pair.
    """
    if not has_aux:
        return result, None
    if not isinstance(result, tuple) or len(result) != 2:
        raise StructureError(
            f"{of}(..., has_aux=True) needs {name_of(fun)} to return a pair (value, aux), got {_described(result)}."
        )
    return result


def _scalar(value: Any, fun: Callable, of: str, holomorphic: bool) -> Any:
    leaves, _ = tree_flatten(value)
    if len(leaves) != 1 or leaves[0] is not value:
        raise NonScalarError(
            f"{of} needs {name_of(fun)} to return one number, got {_described(value)}. Return the loss alone, "
            "or (loss, aux) with has_aux=True."
        )
    aval = aval_of_result(value, fun)
    if aval.shape:
        raise NonScalarError(
            f"{of} needs {name_of(fun)} to return one number, got an array {aval}. Sum it (.sum(), .mean()), "
            "or use jacobian for its derivative, or vjp with a cotangent."
        )
    if holomorphic:
        if aval.dtype.kind != "c":
            raise DTypeError(f"{of} with holomorphic=True needs a complex result, got {aval}. Drop holomorphic=True.")
    elif not is_inexact(aval.dtype) or aval.dtype.kind == "c":
        raise DTypeError(
            f"{of} needs {name_of(fun)} to return a real number, got {aval}. "
            + (
                "Take .real, or pass holomorphic=True if the function is holomorphic."
                if aval.dtype.kind == "c"
                else "An integer or boolean result has no derivative; compute it in floating point."
            )
        )
    return value


def aval_of_result(leaf: Any, fun: Callable) -> Aval:
    """The aval of one leaf of what `fun` returned.

    **Raises:** `StructureError` if it is no array.
    """
    try:
        return aval_of(leaf)
    except StructureError:
        raise StructureError(
            f"{name_of(fun)} must return numbers or arrays, got {leaf!r} of type {type(leaf).__name__}. "
            "Return it with has_aux=True, or leave it out."
        ) from None


def _described(value: Any) -> str:
    return f"{value!r}" if value is None else f"a {type(value).__name__}: {value!r}"


def take_results(reading: Reading, result: Any, aux: Any, has_aux: bool, fun: Callable) -> tuple[Any, list[Aval], Any]:
    """Record the results (and auxiliary ones) of a reading: their tree, their avals, the auxiliary tree."""
    leaves, tree = tree_flatten(result)
    avals = [aval_of_result(leaf, fun) for leaf in leaves]
    for leaf in leaves:
        reading.take(leaf)
    aux_tree = None
    if has_aux:
        aux_leaves, aux_tree = tree_flatten(aux)
        reading.take_aux(aux_leaves)
    return tree, avals, aux_tree


def jvp(fun: Callable, primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False) -> tuple:
    """The value and the directional derivative of `fun`, by forward mode.

    **Arguments:** `primals`: the arguments, a tuple or list. `tangents`: the direction: same structure, shapes, dtypes.
    **Returns:** `(out, out_tangent)`, the tangent with the structure and shapes of `out`; with `has_aux`,
    `(out, out_tangent, aux)`.
    **Raises:** `StructureError`, `ShapeError`, `DTypeError` where a tangent does not fit its primal.
    """
    for what, given in (("primals", primals), ("tangents", tangents)):
        if not isinstance(given, tuple | list):
            raise StructureError(
                f"jvp needs {what} as a tuple, one entry per argument, got {given!r}. Write ({what},)."
            )
    call = Call(Selection(fun, tuple(range(len(primals))), None, "jvp"), tuple(primals), {})
    avals = avals_to_differentiate(call, "jvp", allow_int=True)
    active = tuple([is_inexact(aval.dtype) for aval in avals])
    directions = _matching(tuple(tangents), tuple(primals), avals, "tangent", "jvp")
    reading = Reading(call.with_leaves, call.leaves, avals, names=call.input_names)
    result, aux = split_aux(reading.result, has_aux, fun, "jvp")
    tree, out_avals, aux_tree = take_results(reading, result, aux, has_aux, fun)
    n = len(out_avals)
    spec = ("jvp", active, n)
    program, inputs = reading.program(spec, lambda graph: jvp_program(graph, active, n))
    outs = run(program, [*inputs, *(t for t, on in zip(directions, active, strict=True) if on)])
    n_aux = len(outs) - n - sum(program.alive)
    tangent_leaves = _filled(outs[n + n_aux :], program.alive, out_avals)
    pair = tree_unflatten(tree, outs[:n]), tree_unflatten(tree, tangent_leaves)
    return (*pair, tree_unflatten(aux_tree, reading.put_aux(outs[n : n + n_aux]))) if has_aux else pair


def _filled(values: Sequence[Any], alive: Sequence[bool], avals: Sequence[Aval]) -> list[Any]:
    """One tangent a leaf: zeros where it is structurally zero, float0 where the leaf is an integer."""
    got = iter(values)
    return [
        next(got) if on else jnp.zeros(aval.shape, aval.dtype) if is_inexact(aval.dtype) else float0(aval)
        for on, aval in zip(alive, avals, strict=True)
    ]


def _matching(given: Any, wanted: Any, avals: Sequence[Aval], what: str, of: str) -> list[Any]:
    """The leaves of `given`, each a tangent or cotangent for the aval beside it.

    **Raises:** `StructureError`, `ShapeError`, `DTypeError`.
    """
    leaves, tree = tree_flatten(given)
    needed = wanted if isinstance(wanted, jax.tree_util.PyTreeDef) else tree_flatten(wanted)[1]
    if tree != needed:
        raise StructureError(f"{of} needs a {what} with the structure {needed}, got {tree}.")
    found = []
    for leaf, aval in zip(leaves, avals, strict=True):
        if not is_inexact(aval.dtype):
            found.append(leaf)
            continue
        if type(leaf) in (bool, int, float, complex) and not aval.shape:
            if type(leaf) is complex and aval.dtype.kind != "c":
                raise DTypeError(f"{of} needs a real {what} for {aval}, got {leaf!r}.")
            found.append(aval.dtype.type(leaf))
            continue
        got = aval_of(leaf)
        if got.shape != aval.shape:
            raise ShapeError(f"{of} needs a {what} of shape {aval.shape} for {aval}, got {got}.")
        if got.dtype != aval.dtype:
            raise DTypeError(
                f"{of} needs a {what} of dtype {aval.dtype} for {aval}, got {got}. Convert it with .astype."
            )
        found.append(leaf)
    return found


class _Stored:
    """A program waiting for its last inputs; compared by identity, so that JAX can carry it as static data."""

    def __init__(self, call: Callable[[Sequence[Any], tuple], Any], doc: str):
        self._call = call
        self.__doc__ = doc

    def __call__(self, residuals: Sequence[Any], *args: Any) -> Any:
        return self._call(residuals, args)


def _one_argument(args: tuple, of: str) -> Any:
    if len(args) != 1:
        raise StructureError(f"{of} takes one argument with the structure of the function's result, got {len(args)}.")
    return args[0]


def vjp(fun: Callable, *primals: Any, has_aux: bool = False) -> tuple:
    """The value of `fun`, and the function that pulls a cotangent of it back to its arguments.

    **Returns:** `(out, vjp_fn)` or, with `has_aux`, `(out, vjp_fn, aux)`. `vjp_fn(ct)`, with ct of the structure,
    shapes and dtypes of `out`, returns a tuple of one cotangent per primal. It is a pytree: it may
    cross a jit boundary.
    **Raises:** `StructureError`, `ShapeError`, `DTypeError` where a cotangent does not fit the result.
    """
    call = Call(Selection(fun, tuple(range(len(primals))), None, "vjp"), primals, {})
    avals = avals_to_differentiate(call, "vjp", allow_int=True)
    active = tuple([is_inexact(aval.dtype) for aval in avals])
    reading = Reading(call.with_leaves, call.leaves, avals, names=call.input_names)
    result, aux = split_aux(reading.result, has_aux, fun, "vjp")
    tree, out_avals, aux_tree = take_results(reading, result, aux, has_aux, fun)
    n, n_aux = len(out_avals), len(reading.outs) - len(out_avals)
    outputs = tuple([is_inexact(a.dtype) for a in out_avals] + [False] * n_aux)
    program, inputs = reading.program(("vjp", active, outputs), lambda graph: vjp_program(graph, active, outputs))
    outs = run(program, inputs)
    (backward,) = program.parts
    wanted = program.alive[:n]
    trees_of = call.trees_of

    def pull_back(residuals, args):
        cts = _matching(_one_argument(args, "vjp_fn"), tree, out_avals, "cotangent", "vjp_fn")
        found = run(backward, [*residuals, *(ct for ct, on in zip(cts, wanted, strict=True) if on)])
        got = iter(_filled(found, backward.alive, [a for a, on in zip(avals, active, strict=True) if on]))
        leaves = [next(got) if on else float0(aval) for aval, on in zip(avals, active, strict=True)]
        return tuple(trees_of(leaves))

    vjp_fn = jax.tree_util.Partial(_Stored(pull_back, f"The vjp of {name_of(fun)}."), list(outs[n + n_aux :]))
    out = tree_unflatten(tree, outs[:n])
    return (out, vjp_fn, tree_unflatten(aux_tree, reading.put_aux(outs[n : n + n_aux]))) if has_aux else (out, vjp_fn)


def linearize(fun: Callable, *primals: Any, has_aux: bool = False) -> tuple:
    """The value of `fun` at a point, and its derivative there as a linear function of tangents, computed once.

    **Returns:** `(out, f_jvp)` or, with `has_aux`, `(out, f_jvp, aux)`. `f_jvp(*tangents)` has the structure of `out`;
    each call costs only the linear program. It is a pytree: it may cross a jit boundary.
    **Raises:** `StructureError`, `ShapeError`, `DTypeError` where a tangent does not fit its primal.
    """
    call = Call(Selection(fun, tuple(range(len(primals))), None, "linearize"), primals, {})
    avals = avals_to_differentiate(call, "linearize", allow_int=True)
    active = tuple([is_inexact(aval.dtype) for aval in avals])
    reading = Reading(call.with_leaves, call.leaves, avals, names=call.input_names)
    result, aux = split_aux(reading.result, has_aux, fun, "linearize")
    tree, out_avals, aux_tree = take_results(reading, result, aux, has_aux, fun)
    n, n_aux = len(out_avals), len(reading.outs) - len(out_avals)
    outputs = tuple([is_inexact(a.dtype) for a in out_avals] + [False] * n_aux)
    spec = ("linearize", active, outputs)
    program, inputs = reading.program(spec, lambda graph: linearize_program(graph, active, outputs))
    outs = run(program, inputs)
    (linear,) = program.parts
    in_tree = tree_flatten(primals)[1]

    def push_forward(residuals, args):
        tangents = _matching(args, in_tree, avals, "tangent", "f_jvp")
        found = run(linear, [*residuals, *(t for t, on in zip(tangents, active, strict=True) if on)])
        return tree_unflatten(tree, _filled(found, linear.alive[:n], out_avals))

    f_jvp = jax.tree_util.Partial(_Stored(push_forward, f"The jvp of {name_of(fun)}."), list(outs[n + n_aux :]))
    out = tree_unflatten(tree, outs[:n])
    return (out, f_jvp, tree_unflatten(aux_tree, reading.put_aux(outs[n : n + n_aux]))) if has_aux else (out, f_jvp)


def linear_transpose(fun: Callable, *primals: Any) -> Callable:
    """The transpose of a linear function: for `fun` = x ↦ A x, the function ct ↦ Aᵀ ct.

    **Arguments:** `primals`: arrays, or anything with `.shape` and `.dtype` (jax.ShapeDtypeStruct); no value is used.
    **Returns:** a function of a cotangent with the structure of the result, returning a tuple of one per primal.
    **Raises:** `MissingRuleError` naming the line where `fun` is not linear; `DTypeError` for integer arguments.
    """
    leaves, in_tree = tree_flatten(primals)
    avals = [_shape_only(leaf) for leaf in leaves]
    for aval in avals:
        if not is_inexact(aval.dtype):
            raise DTypeError(f"linear_transpose needs real or complex arguments, got {aval}.")

    def transposed(ct):
        reading = Reading(lambda new: fun(*tree_unflatten(in_tree, new)), leaves, avals, concrete=False)
        tree, out_avals, _ = take_results(reading, reading.result, None, False, fun)
        cts = _matching(ct, tree, out_avals, "cotangent", "the transpose")
        n = len(leaves)
        program, inputs = reading.program(("transpose", n), lambda graph: transpose_program(graph, n))
        found = run(program, [*inputs[n:], *cts])
        return tree_unflatten(in_tree, _filled(found, program.alive, avals))

    return transposed


def _shape_only(leaf: Any) -> Aval:
    if hasattr(leaf, "shape") and hasattr(leaf, "dtype"):
        return Aval(tuple(leaf.shape), np.dtype(leaf.dtype))
    return aval_of(leaf)
