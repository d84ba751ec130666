"""`linear_solve`: x with A x = b, as one equation whose derivative is that of the problem, however it is solved.

A is a program, linear in x, and so is nobody's matrix. What the solver does is never differentiated: A dx = db − dA x
is solved by it again, and Aᵀ is the transposed program.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import jax

from ..ir.errors import MissingRuleError, ShapeError
from ..ir.graph import Aval, Graph
from ..ir.primitive import Primitive, Refused
from ..lower.compile import Executable
from ..ops.families import MINUS_ONE, ONE, batch_size, mul_sum, with_axis
from ..ops.operands import or_zeros, zeros_like
from ..passes.pipeline import tidy
from ..trace.builder import bind
from ..trace.stage import current, inline
from ..transforms.batch import batch_graph
from ..transforms.jvp import jvp_graph
from ..transforms.split import live_eqns
from ..transforms.transpose import transpose_graph
from .bodies import differs, present, spread


def linear_solve_call(
    matvec: Graph, solve: Graph, back: Graph | None, symmetric: bool, b: Sequence[Any], captured: Sequence[Any]
) -> tuple:
    """(x*, aux*) with A x = b, as one equation.

    **Arguments:** `matvec`: (x*, captured*) -> (b*), linear in x*. `solve`: (b*, captured*) -> (x*, aux*). `back`: the
    same for Aᵀ; None if the equations of `solve` are to be transposed. `symmetric`: whether Aᵀ is A.
    """
    return bind(linear_solve_p, *b, *captured, matvec=matvec, solve=solve, back=back, symmetric=symmetric)


def transposed_matvec(matvec: Graph, n: int) -> Graph:
    """(x*, captured*) -> (b*), linear in its first n inputs, becomes (b*, captured*) -> (x*)."""
    graph, alive = transpose_graph(matvec, [k < n for k in range(len(matvec.inputs))])
    n_captured = len(matvec.inputs) - n
    cts = spread(graph.outputs, alive)
    outs = or_zeros(cts, matvec.inputs[:n])
    return tidy(Graph((*graph.inputs[n_captured:], *graph.inputs[:n_captured]), graph.eqns, outs))


def _infer(*xs: Aval, matvec: Graph, solve: Graph, back: Graph | None, symmetric: bool) -> tuple[Aval, ...]:
    for graph in (matvec, solve, back):
        if graph is None:
            continue
        for aval, x in zip(graph.in_avals, xs, strict=True):
            if differs(aval, x):
                raise ShapeError(
                    f"custom_linear_solve needs operands of its programs' types: {aval} was needed, got {x}."
                )
        for aval, x in zip(graph.out_avals, xs[: len(matvec.outputs)], strict=False):
            if differs(aval, x):
                raise ShapeError(f"custom_linear_solve needs x and b of the same types, got {aval} and {x}.")
    return solve.out_avals


def _jvp(xs, tangents, *, matvec, solve, back, symmetric):
    params = {"matvec": matvec, "solve": solve, "back": back, "symmetric": symmetric}
    n = len(matvec.outputs)
    outs = bind(linear_solve_p, *xs, **params)
    dbs, moving = tangents[:n], tangents[n:]
    both, alive = jvp_graph(matvec, [*[False] * n, *(t is not None for t in moving)])
    found = inline(both, current(xs), [*outs[:n], *xs[n:], *present(moving)])
    pulled = spread(found[n:], alive)
    rhs = [mul_sum(((ONE, db), (MINUS_ONE, t))) for db, t in zip(dbs, pulled, strict=True)]
    if all(r is None for r in rhs):
        return outs, (None,) * len(outs)
    found = bind(linear_solve_p, *or_zeros(rhs, xs[:n]), *xs[n:], **params)
    return outs, (*found[:n], *[None] * (len(outs) - n))


def _transpose(cts, active, *xs, matvec, solve, back, symmetric):
    n = len(matvec.outputs)
    if any(active[n:]):
        raise MissingRuleError(
            "custom_linear_solve is linear in b, but what its matvec or its solver closes over depends on the argument "
            "too. Transpose its derivative (linearize, vjp)."
        )
    captured = xs[n:]
    seeds = or_zeros(cts[:n], matvec.inputs[:n])
    if symmetric:
        found = linear_solve_call(matvec, solve, back, True, seeds, captured)
    else:
        if back is None:
            back = _transposed_solver(solve, n)
        found = linear_solve_call(transposed_matvec(matvec, n), back, solve, False, seeds, captured)
    return (*(ct if on else None for ct, on in zip(found, active[:n], strict=False)), *[None] * len(captured))


def _transposed_solver(solve: Graph, n: int) -> Graph:
    """The solver's own equations transposed; zeros stand for its auxiliary results."""
    outs = solve.outputs[:n]
    try:
        graph = transposed_matvec(Graph(solve.inputs, live_eqns(solve.eqns, outs), outs), n)
        return Graph(graph.inputs, graph.eqns, [*graph.outputs, *map(zeros_like, solve.outputs[n:])])
    except MissingRuleError as error:
        raise MissingRuleError(
            "the reverse mode of custom_linear_solve solves with the transposed matrix, and what `solve` does is no "
            "sequence of linear equations that could be transposed. Give it transpose_solve, or symmetric=True. "
            f"({error.message})"
        ).at(error.line) from None


def _batch(xs, dims, *, matvec, solve, back, symmetric):
    size, n = batch_size(xs, dims), len(matvec.outputs)
    xs = [with_axis(x, d, 0, size) if k < n else x for k, (x, d) in enumerate(zip(xs, dims, strict=True))]
    dims = [*[0] * n, *dims[n:]]

    def batched(graph: Graph) -> Graph:
        return tidy(batch_graph(graph, dims, size, [0] * len(graph.outputs))[0])

    outs = linear_solve_call(batched(matvec), batched(solve), back and batched(back), symmetric, xs[:n], xs[n:])
    return outs, (0,) * len(outs)


def _expand(xs, *, matvec, solve, back, symmetric):
    return tuple(inline(solve, current(xs), xs))


def _native(*, matvec, solve, back, symmetric) -> Callable[..., tuple]:
    """The same by jax.lax.custom_linear_solve."""
    n, n_aux = len(matvec.outputs), len(solve.outputs) - len(matvec.outputs)

    @cache
    def run(graph: Graph) -> Callable[..., tuple]:
        return Executable(graph, keep_rules=True).fn

    @cache
    def reverse() -> Graph | None:
        try:
            return _transposed_solver(solve, n) if back is None else back
        except MissingRuleError:  # JAX raises an error of its own, if it comes to that
            return None

    def native(*xs):
        captured = xs[n:]

        def solver(graph: Graph) -> Callable:
            def solved(_, b):
                outs = run(graph)(*b, *captured)
                return (tuple(outs[:n]), tuple(outs[n:])) if n_aux else tuple(outs)

            return solved

        backward = None if symmetric else reverse()
        found = jax.lax.custom_linear_solve(
            lambda x: tuple(run(matvec)(*x, *captured)),
            tuple(xs[:n]),
            solver(solve),
            solver(backward) if backward is not None else None,
            symmetric=symmetric,
            has_aux=bool(n_aux),
        )
        return (*found[0], *found[1]) if n_aux else tuple(found)

    return native


linear_solve_p = Primitive(
    name="custom_linear_solve",
    infer=_infer,
    emit=Refused("custom_linear_solve is expanded before a program is written"),
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    cost=Refused("custom_linear_solve is expanded before a program is costed"),
    graphs=("matvec", "solve", "back"),
    expand=_expand,
    native=_native,
)
