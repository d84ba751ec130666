"""`root`: x with f(x) = 0, as one equation whose derivative is that of the problem, however it is solved.

What f's program captures moves the root: (∂f/∂x) dx = −(∂f/∂captured) dcaptured, and a `linear_solve` is what says how
that is solved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from ..ir.errors import ShapeError
from ..ir.graph import Aval, Eqn, Graph, Var, is_inexact
from ..ir.primitive import Primitive, Refused
from ..lower.compile import Executable
from ..ops.arith import neg
from ..ops.families import batch_size, with_axis
from ..ops.operands import or_zeros
from ..passes.pipeline import tidy
from ..trace.builder import bind
from ..trace.stage import current, inline
from ..transforms.batch import batch_graph
from ..transforms.jvp import jvp_graph
from .bodies import differs, present, selected, spread


def root_call(f: Graph, solve: Graph, tangent: Graph, guess: Sequence[Any], captured: Sequence[Any]) -> tuple:
    """(x*, aux*) with f(x*) = 0, as one equation.

    **Arguments:** `f`: (x*, captured*) -> (r*). `solve`: (guess*, captured*) -> (x*, aux*). `tangent`:
    (x*, r*, captured*) -> (dx*) with (∂f/∂x) dx = r, linear in r*.
    """
    return bind(root_p, *guess, *captured, f=f, solve=solve, tangent=tangent)


def _infer(*xs: Aval, f: Graph, solve: Graph, tangent: Graph) -> tuple[Aval, ...]:
    n = len(f.outputs)
    for graph, given in ((f, (*solve.out_avals[:n], *xs[n:])), (solve, xs)):
        for aval, x in zip(graph.in_avals, given, strict=True):
            if differs(aval, x):
                raise ShapeError(f"custom_root needs operands of its programs' types: {aval} was needed, got {x}.")
    return solve.out_avals


def _jvp(xs, tangents, *, f, solve, tangent):
    n = len(f.outputs)
    outs = root_call(f, solve, tangent, xs[:n], xs[n:])
    captured, moving = xs[n:], tangents[n:]
    if all(t is None for t in moving):
        return outs, (None,) * len(outs)
    both, alive = jvp_graph(f, [*[False] * n, *(t is not None for t in moving)])
    builder = current([*outs, *captured, *present(moving)])
    found = inline(both, builder, [*outs[:n], *captured, *present(moving)])
    pushed = spread(found[n:], alive)
    if all(t is None for t in pushed):
        return outs, (None,) * len(outs)
    rhs = or_zeros([None if t is None else neg(t) for t in pushed], f.outputs)
    dxs = inline(tangent, builder, [*outs[:n], *rhs, *captured])
    return outs, (*dxs, *[None] * (len(outs) - n))


def _batch(xs, dims, *, f, solve, tangent):
    size, n = batch_size(xs, dims), len(f.outputs)
    xs = [with_axis(x, d, 0, size) if k < n else x for k, (x, d) in enumerate(zip(xs, dims, strict=True))]

    def batched(graph: Graph) -> Graph:
        own = [0] * (len(graph.inputs) - len(dims) + n)
        return tidy(batch_graph(graph, [*own, *dims[n:]], size, [0] * len(graph.outputs))[0])

    outs = root_call(batched(f), batched(solve), batched(tangent), xs[:n], xs[n:])
    return outs, (0,) * len(outs)


def _expand(xs, *, f, solve, tangent):
    return tuple(inline(solve, current(xs), xs))


def _native(*, f, solve, tangent) -> Callable[..., tuple]:
    """The same for JAX: its derivative is the program of ours."""
    inputs, outputs = [Var(aval) for aval in solve.in_avals], [Var(aval) for aval in solve.out_avals]
    params = {"f": f, "solve": solve, "tangent": tangent}
    alone = Graph(inputs, [Eqn(root_p, tuple(inputs), tuple(outputs), params)], outputs)
    active = [is_inexact(v.dtype) for v in inputs]
    native = jax.custom_jvp(Executable(solve, keep_rules=True).fn)

    @native.defjvp
    def _(primals, tangents):
        both, alive = jvp_graph(alone, active)
        found = Executable(tidy(both), keep_rules=True).fn(*primals, *selected(tangents, active))
        ys = found[: len(outputs)]
        dys = spread(found[len(outputs) :], alive)
        return ys, tuple([_no_tangent(y) if dy is None else dy for y, dy in zip(ys, dys, strict=True)])

    return native


def _no_tangent(y: Any) -> Any:
    return jax.numpy.zeros_like(y) if is_inexact(y.dtype) else np.zeros(y.shape, jax.dtypes.float0)


root_p = Primitive(
    name="custom_root",
    infer=_infer,
    emit=Refused("custom_root is expanded before a program is written"),
    jvp=_jvp,
    transpose=Refused(
        "the root of a function is not linear in what the function closes over. Transpose its derivative "
        "(linearize, vjp)."
    ),
    batch=_batch,
    cost=Refused("custom_root is expanded before a program is costed"),
    graphs=("f", "solve", "tangent"),
    expand=_expand,
    native=_native,
)
