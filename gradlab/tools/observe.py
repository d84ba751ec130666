"""Every value of a program, and its cotangent, looked at where it runs: how large, how many zeros, NaN or infinite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..api.programs import value_and_grad_program
from ..ir.graph import Eqn, Graph, Lit, Var, is_inexact, is_key
from ..lower.compile import Executable
from ..ops.families import add_p, reduce_sum_p
from ..trace.builder import bind1
from ..trace.stage import inline, input_names, trace_graph


class Seen(NamedTuple):
    """An array in a few numbers: entries, NaN among them, infinite ones, zeros; of the finite, largest and RMS size."""

    size: int
    nan: int
    inf: int
    zeros: int
    largest: float
    rms: float

    @property
    def bad(self) -> int:
        return self.nan + self.inf


def _look(x: Any) -> Any:
    wide = jnp.abs(x).astype(jnp.promote_types(jnp.float32, jnp.abs(x).dtype))
    finite = jnp.isfinite(wide)
    kept = jnp.where(finite, wide, 0.0)
    largest = jnp.max(kept, initial=0.0)
    # Scaled, so that no square overflows.
    scale = jnp.where(largest > 0, largest, 1.0)
    rms = scale * jnp.sqrt(jnp.sum((kept / scale) ** 2) / max(x.size, 1))
    return jnp.stack([jnp.sum(jnp.isnan(wide)), jnp.sum(jnp.isinf(wide)), jnp.sum(wide == 0), largest, rms])


def observed(graph: Graph, inputs: Sequence[Any], watched: Sequence[Var] | None = None) -> dict[Var, Seen]:
    """What each number of the program is like, arguments included, in one run; only `watched` ones if given."""
    every = (*graph.inputs, *(v for eqn in graph.eqns for v in eqn.outputs)) if watched is None else watched
    watched = [v for v in every if not is_key(v.dtype)]
    fn = Executable(Graph(graph.inputs, graph.eqns, watched)).fn
    rows = np.asarray(jax.jit(lambda *xs: [_look(x) for x in fn(*xs)])(*inputs)).reshape(-1, 5)
    return {
        v: Seen(v.aval.size, int(nan), int(inf), int(zeros), float(largest), float(rms))
        for v, (nan, inf, zeros, largest, rms) in zip(watched, rows, strict=True)
    }


def values_of(graph: Graph, inputs: Sequence[Any], wanted: Sequence[Any]) -> list[np.ndarray]:
    """The values of some variables of the program; of a literal, what it says."""
    variables = [a for a in wanted if type(a) is Var]
    got = iter(Executable(Graph(graph.inputs, graph.eqns, variables)).jitted(*inputs) if variables else ())
    return [np.full(a.shape, a.value) if type(a) is Lit else np.asarray(next(got)) for a in wanted]


def scalar_of(graph: Graph) -> Graph:
    """(x*) -> (y*) becomes (x*) -> (s): the sum of all real and imaginary parts, or y itself if that is one number."""
    first, *others = graph.outputs
    if not others and not first.shape and first.dtype.kind == "f":
        return graph

    def run(builder, *xs):
        total = None
        for y in inline(graph, builder, xs):
            if not is_inexact(y.dtype):
                continue
            for part in (y.real, y.imag) if y.dtype.kind == "c" else (y,):
                one = bind1(reduce_sum_p, builder.operand(part, None), axes=tuple(range(part.ndim)))
                total = one if total is None else total + one
        return [total]

    return trace_graph(run, graph.in_avals, input_names(graph))


def cotangents(graph: Graph, inputs: Sequence[Any]) -> dict[Var, Seen]:
    """What the cotangents of all real and complex values of a scalar program are like, those of its arguments too.

    Each value gets an addend that is zero, by which the program is differentiated.
    """
    moving = [v for v in (*graph.inputs, *(v for e in graph.eqns for v in e.outputs)) if is_inexact(v.dtype)]
    n = len(graph.inputs)

    def run(builder, *args):
        addend = dict(zip(moving, args[n:], strict=True))
        value: dict[Var, Any] = {}

        def put(v: Var, x: Any) -> None:
            value[v] = builder.record(add_p, (x, addend[v]), {})[0] if v in addend else x

        for v, x in zip(graph.inputs, args, strict=False):
            put(v, x)
        for eqn in graph.eqns:
            builder.where = eqn.where
            outs = builder.record(eqn.prim, tuple([value[a] if type(a) is Var else a for a in eqn.inputs]), eqn.params)
            for v, out in zip(eqn.outputs, outs, strict=True):
                put(v, out)
        return [value[a] if type(a) is Var else a for a in graph.outputs]

    shifted = trace_graph(run, [*graph.in_avals, *(v.aval.retyped(v.dtype) for v in moving)])
    # The addends first, as what is differentiated.
    swapped = Graph((*shifted.inputs[n:], *shifted.inputs[:n]), shifted.eqns, shifted.outputs)
    program = value_and_grad_program(swapped, [True] * len(moving), want_value=False, zeros=True).graph
    rows = observed(program, [*(np.zeros(v.shape, v.dtype) for v in moving), *inputs], _distinct(program.outputs))
    return {v: rows[a] if type(a) is Var else _seen_literal(a) for v, a in zip(moving, program.outputs, strict=True)}


def _distinct(atoms: Sequence[Any]) -> list[Var]:
    return list(dict.fromkeys(a for a in atoms if type(a) is Var))


def _seen_literal(a: Lit) -> Seen:
    size, value = a.aval.size, abs(a.value)
    return Seen(size, size * (value != value), size * (value == np.inf), size * (not value), float(value), float(value))


def producer_of(graph: Graph) -> dict[Var, Eqn]:
    """Which equation makes a variable."""
    return {v: eqn for eqn in graph.eqns for v in eqn.outputs}
