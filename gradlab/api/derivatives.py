"""`grad`, `value_and_grad`, `jvp`, `vjp`, `linearize`, `linear_transpose`: first derivatives of Python functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from ..ir.errors import ArgumentError, DTypeError, NonScalarError, ShapeError, StructureError
from ..ir.graph import Aval, is_inexact
from ..trace.avals import aval_of
from .arguments import Call, Selection, avals_to_differentiate, derived_from, name_of, tree_flatten, tree_unflatten
from .calling import FRESH, Reading, run
from .programs import jvp_program, linearize_program, transpose_program, value_and_grad_program, vjp_program
from .results import Results, aval_of_result, described, filled, float0, split_aux

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

    @derived_from(fun, "grad")
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

    @derived_from(fun, "value_and_grad")
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
        reading = Reading(call, call.leaves, avals, names=call.input_names if FRESH.on else tuple, fun=fun)
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


def _scalar(value: Any, fun: Callable, of: str, holomorphic: bool) -> Any:
    leaves, _ = tree_flatten(value)
    if len(leaves) != 1 or leaves[0] is not value:
        raise NonScalarError(
            f"{of} needs {name_of(fun)} to return one number, got {described(value)}. Return the loss alone, "
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
    at = _Point(fun, tuple(primals), "jvp")
    directions = _matching(tuple(tangents), tuple(primals), at.avals, "tangent", "jvp")
    reading, results = at.read(has_aux)
    active, n, n_aux = at.active, results.n, results.n_aux
    program, inputs = reading.program(("jvp", active, n), lambda graph: jvp_program(graph, active, n))
    outs = run(program, [*inputs, *at.moving(directions)])
    tangent = results.value(filled(outs[n + n_aux :], program.alive, results.avals))
    pair = results.value(outs[:n]), tangent
    return (*pair, results.aux(outs[n : n + n_aux])) if has_aux else pair


class _Point:
    """A function at its primals, about to be differentiated in all of their leaves that have a derivative.

    **Attributes:** `avals`: types of the leaves; `active`: which of them are real or complex.
    """

    def __init__(self, fun: Callable, primals: tuple, of: str):
        self.call = Call(Selection(fun, tuple(range(len(primals))), None, of), primals, {})
        self.of = of
        self.avals = avals_to_differentiate(self.call, of, allow_int=True)
        self.active = tuple([is_inexact(aval.dtype) for aval in self.avals])

    def read(self, has_aux: bool) -> tuple[Reading, Results]:
        """The function read, and its results recorded."""
        call = self.call
        reading = Reading(call, call.leaves, self.avals, names=call.input_names if FRESH.on else tuple, fun=call.fun)
        return reading, Results(reading, call.fun, has_aux, self.of)

    def moving(self, values: Sequence[Any]) -> list[Any]:
        """Of one value a leaf, those of the leaves that have a derivative."""
        return [value for value, on in zip(values, self.active, strict=True) if on]


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

    **Arguments:** `primals`: the arguments of `fun`, pytrees of arrays. `has_aux`: as in `grad`.
    **Returns:** `(out, vjp_fn)` or, with `has_aux`, `(out, vjp_fn, aux)`. `vjp_fn(ct)`, with ct of the structure,
    shapes and dtypes of `out`, returns a tuple of one cotangent per primal, of its structure and shapes. It is a
    pytree: it may cross a jit boundary.
    **Raises:** `StructureError`, `ShapeError`, `DTypeError` where a cotangent does not fit the result.
    """
    at = _Point(fun, primals, "vjp")
    reading, results = at.read(has_aux)
    active, outputs = at.active, _with_derivative(results)
    program, inputs = reading.program(("vjp", active, outputs), lambda graph: vjp_program(graph, active, outputs))
    (backward,) = program.parts
    out_tree, out_avals, wanted = results.tree, results.avals, program.alive[: results.n]

    def pull_back(residuals, args):
        cts = _matching(_one_argument(args, "vjp_fn"), out_tree, out_avals, "cotangent", "vjp_fn")
        found = run(backward, [*residuals, *(ct for ct, on in zip(cts, wanted, strict=True) if on)])
        got = iter(filled(found, backward.alive, at.moving(at.avals)))
        leaves = [next(got) if on else float0(aval) for aval, on in zip(at.avals, active, strict=True)]
        return tuple(at.call.trees_of(leaves))

    return _with_rest(run(program, inputs), results, has_aux, _Stored(pull_back, f"The vjp of {name_of(fun)}."))


def _with_derivative(results: Results) -> tuple[bool, ...]:
    """Which outputs of a reading have one; the auxiliary ones do not."""
    return tuple([is_inexact(a.dtype) for a in results.avals] + [False] * results.n_aux)


def _with_rest(outs: Sequence[Any], results: Results, has_aux: bool, rest: _Stored) -> tuple:
    """`(out, rest)` or `(out, rest, aux)`, from a program's outputs: results, auxiliary ones, residuals for `rest`."""
    n, n_aux = results.n, results.n_aux
    out, later = results.value(outs[:n]), jax.tree_util.Partial(rest, list(outs[n + n_aux :]))
    return (out, later, results.aux(outs[n : n + n_aux])) if has_aux else (out, later)


def linearize(fun: Callable, *primals: Any, has_aux: bool = False) -> tuple:
    """The value of `fun` at a point, and its derivative there as a linear function of tangents, computed once.

    **Arguments:** `primals`: the arguments of `fun`, pytrees of arrays. `has_aux`: as in `grad`.
    **Returns:** `(out, f_jvp)` or, with `has_aux`, `(out, f_jvp, aux)`. `f_jvp(*tangents)` has the structure of `out`;
    each call costs only the linear program. It is a pytree: it may cross a jit boundary.
    **Raises:** `StructureError`, `ShapeError`, `DTypeError` where a tangent does not fit its primal.
    """
    at = _Point(fun, primals, "linearize")
    reading, results = at.read(has_aux)
    active, outputs = at.active, _with_derivative(results)
    spec = ("linearize", active, outputs)
    program, inputs = reading.program(spec, lambda graph: linearize_program(graph, active, outputs))
    (linear,) = program.parts
    in_tree, out_tree, out_avals = tree_flatten(primals)[1], results.tree, results.avals

    def push_forward(residuals, args):
        tangents = _matching(args, in_tree, at.avals, "tangent", "f_jvp")
        found = run(linear, [*residuals, *at.moving(tangents)])
        return tree_unflatten(out_tree, filled(found, linear.alive[: len(out_avals)], out_avals))

    return _with_rest(run(program, inputs), results, has_aux, _Stored(push_forward, f"The jvp of {name_of(fun)}."))


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
        reading = Reading(lambda new: fun(*tree_unflatten(in_tree, new)), leaves, avals, concrete=False, fun=fun)
        results = Results(reading, fun)
        cts = _matching(ct, results.tree, results.avals, "cotangent", "the transpose")
        n = len(leaves)
        program, inputs = reading.program(("transpose", n), lambda graph: transpose_program(graph, n))
        found = run(program, [*inputs[n:], *cts])
        return tree_unflatten(in_tree, filled(found, program.alive, avals))

    return transposed


def _shape_only(leaf: Any) -> Aval:
    if hasattr(leaf, "shape") and hasattr(leaf, "dtype"):
        return Aval(tuple(leaf.shape), np.dtype(leaf.dtype))
    return aval_of(leaf)
