"""`custom_linear_solve` and `custom_root`: what a solver finds is differentiated as the answer to its problem."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

from ..control.linear_solve import linear_solve_call, transposed_matvec
from ..control.root import root_call
from ..ir.errors import DTypeError, StructureError
from ..ir.graph import Aval, is_inexact
from ..trace.avals import aval_of
from ..trace.stage import current, inline
from .arguments import name_of, require_function, tree_flatten, tree_unflatten
from .derivatives import linear_transpose, linearize
from .results import described
from .staging import Staged, converted, is_traced, operand_of, require_same, sharing


def custom_linear_solve(
    matvec: Callable,
    b: Any,
    solve: Callable,
    transpose_solve: Callable | None = None,
    symmetric: bool = False,
    has_aux: bool = False,
) -> Any:
    """x with `matvec(x)` = b, found by `solve(matvec, b)`, which is not differentiated: the problem is.

    **Arguments:** `matvec`: linear, from the structure of `b` to the same; it may close over what is differentiated.
    `b`: a pytree of real or complex arrays. `transpose_solve(vecmat, b)`: solves with the transpose of matvec, for
    reverse mode; without it the operations of `solve` are transposed, which must then be linear in b (a triangular
    solve is, an iteration that ends when it is accurate enough is not). `symmetric`: matvec is its own transpose, and
    `solve` does for both. `has_aux`: the solvers return pairs (x, aux), the aux with a derivative of zero.
    **Returns:** x, or (x, aux), whatever accuracy `solve` left it with.
    **Raises:** `StructureError`, `ShapeError`, `DTypeError` where a function returns what is not like b;
    `MissingRuleError` in reverse mode without a way to solve the transposed system.
    """
    for function in (matvec, solve) if transpose_solve is None else (matvec, solve, transpose_solve):
        require_function(function, "custom_linear_solve")
    if not is_traced((b,)):
        return jax.lax.custom_linear_solve(matvec, b, solve, transpose_solve, symmetric, has_aux)
    leaves, tree = tree_flatten(b)
    avals = [_solved_for(x, "custom_linear_solve", "b") for x in leaves]
    n = len(leaves)

    def system(values: Sequence[Any]) -> Any:
        return matvec(tree_unflatten(tree, values))

    def solver(values: Sequence[Any]) -> Any:
        return _with_aux(solve(matvec, tree_unflatten(tree, values)), has_aux, solve)

    forward = Staged(matvec, avals, system)
    require_same(f"what {name_of(matvec)} returns", "b", tree, avals, forward.tree, forward.avals)
    solved = Staged(solve, avals, solver)
    _require_solution(solved, solve, tree, avals)
    staged = [forward, solved]
    if transpose_solve is not None and not symmetric:
        across = transposed_matvec(forward.graph, n)

        def vecmat(x: Any) -> Any:
            operands = [*tree_flatten(x)[0], *forward.captured]
            return tree_unflatten(tree, inline(across, current(operands), operands))

        def back(values: Sequence[Any]) -> Any:
            return _with_aux(transpose_solve(vecmat, tree_unflatten(tree, values)), has_aux, transpose_solve)

        staged.append(Staged(transpose_solve, avals, back))
        _require_solution(staged[-1], transpose_solve, tree, avals)
    (matrix, solution, *transposed), captured = sharing(staged)
    given = [converted(operand_of(x), aval) for x, aval in zip(leaves, avals, strict=True)]
    outs = linear_solve_call(matrix, solution, transposed[0] if transposed else None, symmetric, given, captured)
    return tree_unflatten(solved.tree, outs) if has_aux else tree_unflatten(tree, outs)


def custom_root(
    f: Callable, initial_guess: Any, solve: Callable, tangent_solve: Callable, has_aux: bool = False
) -> Any:
    """x with `f(x)` = 0, found by `solve(f, initial_guess)`, which is not differentiated: the equation is.

    The derivative, to any order, is that of the root with respect to what f closes over, by the implicit function
    theorem; the guess has none.
    **Arguments:** `f`: from the structure of the guess to the same. `tangent_solve(g, b)`: the x with `g(x)` = b for a
    linear g, which is f linearised at its root or, in reverse mode, the transpose of that: it solves whichever g it is
    given. (One that never calls g, because it knows the matrix, has its own operations transposed.) `has_aux`: `solve`
    returns a pair (x, aux), the aux with a derivative of zero.
    **Returns:** x, or (x, aux), whatever accuracy `solve` left it with.
    **Raises:** `StructureError`, `ShapeError`, `DTypeError` where a function returns what is not like the guess.
    """
    for function in (f, solve, tangent_solve):
        require_function(function, "custom_root")
    if not is_traced((initial_guess,)):
        steps = (jax.lax.custom_linear_solve, jax.linear_transpose)
        return jax.lax.custom_root(f, initial_guess, solve, lambda g, r: _tangent(g, r, tangent_solve, *steps), has_aux)
    leaves, tree = tree_flatten(initial_guess)
    avals = [_solved_for(x, "custom_root", "initial_guess") for x in leaves]
    n = len(leaves)

    def found(values: Sequence[Any]) -> Any:
        return _with_aux(solve(f, tree_unflatten(tree, values)), has_aux, solve)

    def residual(values: Sequence[Any]) -> Any:
        return f(tree_unflatten(tree, values))

    def tangent(values: Sequence[Any]) -> Any:
        x, r = tree_unflatten(tree, values[:n]), tree_unflatten(tree, values[n:])
        return _tangent(linearize(f, x)[1], r, tangent_solve, custom_linear_solve, linear_transpose)

    solved = Staged(solve, avals, found)
    _require_solution(solved, solve, tree, avals)
    staged = Staged(f, avals, residual)
    require_same(f"what {name_of(f)} returns", "initial_guess", tree, avals, staged.tree, staged.avals)
    graphs, captured = sharing([staged, solved, Staged(tangent_solve, [*avals, *avals], tangent)])
    given = [converted(operand_of(x), aval) for x, aval in zip(leaves, avals, strict=True)]
    outs = root_call(graphs[0], graphs[1], graphs[2], given, captured)
    return tree_unflatten(solved.tree, outs) if has_aux else tree_unflatten(tree, outs)


def _tangent(g: Callable, r: Any, tangent_solve: Callable, linear_solve: Callable, transpose: Callable) -> Any:
    """x with g(x) = r, whose transpose is solved by tangent_solve too, unless that pays no attention to g.

    **Arguments:** `linear_solve`, `transpose`: `custom_linear_solve` and `linear_transpose`, of gradlab or of JAX.
    """
    calls = []

    def attentive(x: Any) -> Any:
        calls.append(x)
        return g(x)

    def back(vecmat: Callable, ct: Any) -> Any:
        if calls:
            return tangent_solve(vecmat, ct)
        return transpose(lambda r: tangent_solve(g, r), ct)(ct)[0]

    def solve(_: Callable, r: Any) -> Any:
        calls.clear()
        return tangent_solve(attentive, r)

    return linear_solve(g, r, solve, back)


def _solved_for(x: Any, of: str, what: str) -> Aval:
    aval = aval_of(x)
    if not is_inexact(aval.dtype):
        raise DTypeError(f"{of} solves for real or complex arrays, but {what} holds {aval}. Write .astype(float).")
    return aval.retyped(aval.dtype)


def _with_aux(result: Any, has_aux: bool, solve: Callable) -> Any:
    if has_aux and (not isinstance(result, tuple) or len(result) != 2):
        raise StructureError(f"has_aux=True needs {name_of(solve)} to return a pair (x, aux), got {described(result)}.")
    return result if has_aux else (result, ())


def _require_solution(staged: Staged, solve: Callable, tree: Any, avals: Sequence[Aval]) -> None:
    """**Raises:** `StructureError` or `ShapeError` unless `solve`, which returned (x, aux), gave such an x."""
    got = staged.tree.children()[0]
    require_same(
        f"the solution returned by {name_of(solve)}", "the unknown", tree, avals, got, staged.avals[: got.num_leaves]
    )
