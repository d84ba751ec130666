"""The derivative programs: graphs composed from the graph transforms, with the passes between them.

Each function takes a graph whose first inputs are the differentiated ones and returns a `Program`: the new graph, and
what its caller must know to put the results back into the user's structures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from ..ir.graph import Aval, Graph, chained
from ..lower.compile import Executable
from ..lower.finish import has_rules
from ..ops.contract import eye
from ..ops.families import reshape_p
from ..ops.operands import fill, zeros_like
from ..passes.pipeline import BETWEEN, tidy
from ..trace.builder import bind1
from ..trace.stage import inline, input_names, trace_graph
from ..transforms.batch import batch_graph
from ..transforms.jvp import jvp_graph
from ..transforms.linearize import Linearized, linearize_graph
from ..transforms.split import live_eqns
from ..transforms.transpose import transpose_graph


@dataclass(eq=False)
class Program:
    """A graph ready to run.

    **Attributes:** `alive`: which of the possible derivatives it really returns (the others are structural zeros);
    `full`: every one of them; `parts`: programs that take its residuals.
    """

    graph: Graph
    alive: tuple[bool, ...] = ()
    full: bool = False
    parts: tuple[Program, ...] = field(default=())

    @cached_property
    def executable(self) -> Executable:
        """The graph compiled, on first use."""
        return Executable(self.graph)

    @cached_property
    def composable(self) -> Executable:
        """The same for a call inside a trace of JAX's own, which may go on to differentiate it."""
        return Executable(self.graph, keep_rules=True) if has_rules(self.graph) else self.executable


def _padded(active: Sequence[bool], graph: Graph) -> list[bool]:
    return [*active, *[False] * (len(graph.inputs) - len(active))]


def _restricted(graph: Graph, keep: Sequence[bool]) -> Graph:
    outs = [a for a, k in zip(graph.outputs, keep, strict=True) if k]
    return Graph(graph.inputs, live_eqns(graph.eqns, outs), outs)


def _linearized(graph: Graph, active: Sequence[bool], outputs: Sequence[bool]) -> Linearized:
    """Linearisation in which only the chosen outputs have tangents. Inputs beyond `active` have none."""
    lin = linearize_graph(tidy(graph), _padded(active, graph), partial(tidy, passes=BETWEEN))
    on = [o for o, a in zip(outputs, lin.out_active, strict=True) if a]
    out_active = tuple(a and o for a, o in zip(lin.out_active, outputs, strict=True))
    return Linearized(lin.primal, _restricted(lin.linear, on), out_active, lin.n_residuals)


def value_and_grad_program(graph: Graph, active: Sequence[bool], want_value: bool, zeros: bool) -> Program:
    """(x*) -> (value, aux*) becomes (x*) -> ([value], aux*, gradients*), one gradient per active input.

    **Arguments:** `zeros`: whether a gradient that is structurally zero is returned as zeros, or left out.
    """
    n_out = len(graph.outputs)
    lin = _linearized(graph, active, [True] + [False] * (n_out - 1))
    moving = [v for v, a in zip(graph.inputs, active, strict=False) if a]
    backward, alive = _transposed(lin) if lin.out_active[0] else (None, (False,) * len(moving))

    ys, residuals = lin.primal.outputs[:n_out], lin.primal.outputs[n_out:]
    eqns, cts = list(lin.primal.eqns), []
    if backward is not None:
        eqns, cts = chained(lin.primal, backward, [*residuals, fill(1.0, ys[0].aval)])
    got = iter(cts)
    found = [next(got) if on else zeros_like(v) for v, on in zip(moving, alive, strict=True) if on or zeros]
    result = tidy(Graph(lin.primal.inputs, eqns, [*ys[0 if want_value else 1 :], *found]))
    alive = (True,) * len(moving) if zeros else alive
    return Program(result, alive, full=all(alive) and len(moving) == len(active))


def _transposed(lin: Linearized) -> tuple[Graph, tuple[bool, ...]]:
    moving = len(lin.linear.inputs) - lin.n_residuals
    return transpose_graph(lin.linear, [False] * lin.n_residuals + [True] * moving)


def jvp_program(graph: Graph, active: Sequence[bool], n_values: int) -> Program:
    """(x*) -> (y*, aux*) becomes (x*, dx*) -> (y*, aux*, dy*)."""
    both, alive = jvp_graph(tidy(graph), _padded(active, graph))
    n, n_alive = len(graph.outputs), sum(alive[:n_values])
    return Program(tidy(Graph(both.inputs, both.eqns, both.outputs[: n + n_alive])), alive[:n_values])


def linearize_program(graph: Graph, active: Sequence[bool], outputs: Sequence[bool]) -> Program:
    """(x*) -> (y*, residuals*), with the linear program (residuals*, dx*) -> (dy*) as its part."""
    lin = _linearized(graph, active, outputs)
    return Program(tidy(lin.primal), lin.out_active, parts=(Program(tidy(lin.linear), lin.out_active),))


def vjp_program(graph: Graph, active: Sequence[bool], outputs: Sequence[bool]) -> Program:
    """(x*) -> (y*, residuals*), with the program (residuals*, ct_y*) -> (ct_x*) as its part."""
    lin = _linearized(graph, active, outputs)
    backward, alive = _transposed(lin)
    return Program(tidy(lin.primal), lin.out_active, parts=(Program(tidy(backward), alive),))


def transpose_program(graph: Graph, n_linear: int) -> Program:
    """(x*, residuals*) -> (y*), linear in its first inputs, becomes (residuals*, ct_y*) -> (ct_x*)."""
    transposed, alive = transpose_graph(tidy(graph), [k < n_linear for k in range(len(graph.inputs))])
    return Program(tidy(transposed), alive)


def batch_program(graph: Graph, dims: Sequence[int | None], size: int, out_dims: Sequence[int | None]) -> Program:
    """One more axis of length `size` on every input with a dim, and on every output; what is captured has none."""
    captured = [None] * (len(graph.inputs) - len(dims))
    batched, ends = batch_graph(tidy(graph), [*dims, *captured], size, out_dims)
    return Program(tidy(batched), tuple(d is not None for d in ends))


def _one_tangent(linear: Graph, n_residuals: int, k: int) -> tuple[Graph, tuple[bool, ...]]:
    """(residuals*, dx*) -> (dy*) becomes (residuals*, dx_k) -> (dy*), the other tangents structurally zero."""
    n = len(linear.inputs)
    both, alive = jvp_graph(linear, [i == n_residuals + k for i in range(n)])
    outs = both.outputs[len(linear.outputs) :]
    keep = [*both.inputs[:n_residuals], both.inputs[n]]
    # The derivative of a linear program does not depend on where it is taken, but an equation that carries a program
    # (checkpoint) may still name the point: zero will do.
    point = [zeros_like(v) for v in both.inputs[n_residuals:n]]
    used = Graph(both.inputs, live_eqns(both.eqns, outs), outs)
    eqns, outs = chained(Graph(keep, (), ()), used, [*keep[:-1], *point, keep[-1]])
    return Graph(keep, eqns, outs), alive


def basis(aval: Aval) -> Any:
    """The identity as `size` tangents: shape (size, *shape)."""
    return reshaped(eye(aval.size, aval.dtype), (aval.size, *aval.shape))


def reshaped(x: Any, shape: tuple[int, ...]) -> Any:
    return x if x.shape == shape else bind1(reshape_p, x, shape=shape)


def jacobian_program(graph: Graph, active: Sequence[bool], n_values: int, mode: str, want_value: bool) -> Program:
    """(x*) -> (y*, aux*) becomes (x*) -> ([y*], aux*, ∂y_i/∂x_j for each i, j).

    A Jacobian has shape (*y_i.shape, *x_j.shape). Forward mode runs the linear program once over a basis of each x_j,
    reverse mode its transpose over a basis of each y_i, both on one linearisation.
    """
    n_out = len(graph.outputs)
    lin = _linearized(graph, active, [i < n_values for i in range(n_out)])
    moving = [v for v, a in zip(graph.inputs, active, strict=False) if a]
    dependent = [i for i, a in enumerate(lin.out_active) if a]
    alive: list[bool] = []

    def run(builder, *xs):
        outs = inline(lin.primal, builder, xs)
        blocks = (_columns if mode == "fwd" else _rows)(lin, builder, outs[n_out:], dependent)
        found = []
        for i in range(n_values):
            for j, v in enumerate(moving):
                y = graph.outputs[i].aval
                shape = (*y.shape, *v.shape)
                block = blocks.get((i, j))
                alive.append(block is not None)
                found.append(fill(0.0, Aval(shape, y.dtype)) if block is None else reshaped(block, shape))
        return [*outs[0 if want_value else n_values : n_out], *found]

    return Program(tidy(trace_graph(run, graph.in_avals, input_names(graph))), tuple(alive))


def _over_basis(linear: Graph, builder, residuals: Sequence[Any], aval: Aval, axes: Sequence[int]) -> list[Any]:
    """A linear program of one tangent on each basis vector of `aval`, stacked along `axes` of its outputs."""
    if aval.size == 1:
        return inline(linear, builder, [*residuals, fill(1.0, aval)])
    batched, _ = batch_graph(linear, [None] * len(residuals) + [0], aval.size, axes)
    return inline(batched, builder, [*residuals, basis(aval)])


Blocks = dict[tuple[int, int], Any]  # (i, j) -> ∂y_i/∂x_j, where it is not zero everywhere


def _columns(lin: Linearized, builder, residuals: Sequence[Any], dependent: Sequence[int]) -> Blocks:
    """Blocks by forward mode: the linear program on a basis of each input, the batch axis last."""
    found = {}
    for j, v in enumerate(lin.linear.inputs[lin.n_residuals :]):
        one, alive = _one_tangent(lin.linear, lin.n_residuals, j)
        got = iter(_over_basis(one, builder, residuals, v.aval, [y.ndim for y in one.outputs]))
        for i, on in zip(dependent, alive, strict=True):
            if on:
                found[i, j] = next(got)
    return found


def _rows(lin: Linearized, builder, residuals: Sequence[Any], dependent: Sequence[int]) -> Blocks:
    """Blocks by reverse mode: the transposed program on a basis of each output, the batch axis first."""
    found = {}
    linear = [k >= lin.n_residuals for k in range(len(lin.linear.inputs))]
    for position, i in enumerate(dependent):
        one, alive = transpose_graph(lin.linear, linear, [p == position for p in range(len(dependent))])
        y = lin.primal.outputs[i].aval
        got = iter(_over_basis(one, builder, residuals, y, [0] * len(one.outputs)))
        for j, on in enumerate(alive):
            if on:
                found[i, j] = next(got)
    return found


def hessian_program(graph: Graph, active: Sequence[bool], n_values: int, inner: str, outer: str) -> Program:
    """(x*) -> (y*, aux*) becomes (x*) -> (aux*, ∂²y/∂x_i∂x_j for each y, i, j): the Jacobian of the Jacobian."""
    n_aux = len(graph.outputs) - n_values
    first = jacobian_program(graph, active, n_values, inner, want_value=False).graph
    # The Jacobians come first, as what is differentiated again; the auxiliary values follow.
    first = Graph(first.inputs, first.eqns, [*first.outputs[n_aux:], *first.outputs[:n_aux]])
    return jacobian_program(first, active, len(first.outputs) - n_aux, outer, want_value=False)
