"""Every value of a program, and its cotangent, looked at where it runs: how large, how many zeros, NaN or infinite."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..api.programs import value_and_grad_program
from ..ir.errors import StructureError
from ..ir.graph import Aval, Eqn, Graph, Lit, Var, is_inexact, is_key
from ..lower.compile import Executable
from ..lower.titles import own_names
from ..ops.families import add_p, reduce_sum_p
from ..ops.operands import fill
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


def seen(x: np.ndarray) -> Seen:
    """What an array is like."""
    if x.dtype.kind not in "fcbiu":
        x = x.astype(np.float32)  # bfloat16 and its like
    if not x.size:
        return Seen(0, 0, 0, 0, 0.0, 0.0)
    with np.errstate(all="ignore"):
        size = np.abs(x.astype(np.float64) if x.dtype.kind != "c" else x.astype(np.complex128))
        finite = size[np.isfinite(size)]
        largest = float(finite.max()) if finite.size else 0.0
        # Scaled, so that no square overflows.
        rms = largest * math.sqrt(float(np.sum((finite / largest) ** 2)) / x.size) if largest else 0.0
        nan = int(np.isnan(size).sum())
    return Seen(x.size, nan, x.size - nan - finite.size, int(x.size - np.count_nonzero(x)), largest, rms)


def observed(graph: Graph, inputs: Sequence[Any], watched: Sequence[Var] | None = None) -> dict[Var, Seen]:
    """What each number of the program is like, arguments included, in one run; only `watched` ones if given."""
    every = (*graph.inputs, *(v for eqn in graph.eqns for v in eqn.outputs)) if watched is None else watched
    watched = [v for v in every if not is_key(v.dtype)]
    # Counted here: XLA would take longer to compile the counting than the program.
    values = Executable(Graph(graph.inputs, graph.eqns, watched)).jitted(*inputs) if watched else ()
    return {v: seen(np.asarray(x)) for v, x in zip(watched, values, strict=True)}


def values_of(graph: Graph, inputs: Sequence[Any], wanted: Sequence[Any]) -> list[np.ndarray]:
    """The values of some variables of the program; of a literal, what it says."""
    variables = [a for a in wanted if type(a) is Var]
    got = iter(Executable(Graph(graph.inputs, graph.eqns, variables)).jitted(*inputs) if variables else ())
    return [np.full(a.shape, a.value) if type(a) is Lit else np.asarray(next(got)) for a in wanted]


def scalar_of(graph: Graph) -> Graph:
    """(x*) -> (y*) becomes (x*) -> (s): the sum of all real and imaginary parts, or y itself if that is one number.

    **Raises:** `StructureError` if no result is real or complex.
    """
    if not any(is_inexact(y.dtype) for y in graph.outputs):
        got = ", ".join(str(y.aval) for y in graph.outputs) or "nothing"
        raise StructureError(f"a function with real or complex results was needed, got {got}: they have no derivative.")
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


def cotangents(graph: Graph, inputs: Sequence[Any]) -> dict[Any, Seen]:
    """What the cotangents of all real and complex values of a scalar program are like, those of its arguments too.

    So is that of a constant with which a loop starts: that of operand k of the equation which makes v is at `(v, k)`.
    """
    moving: list[Any] = [v for v in (*graph.inputs, *(v for e in graph.eqns for v in e.outputs)) if is_inexact(v.dtype)]
    starts = {
        (eqn.outputs[0], k): a
        for eqn in graph.eqns
        if eqn.graphs
        for k, a in enumerate(eqn.inputs)
        if type(a) is Lit and is_inexact(a.dtype)
    }
    places = [*moving, *starts]
    program, given = _pulled(graph, inputs, places, [*(v.aval for v in moving), *(a.aval for a in starts.values())])
    rows = observed(program, given, _distinct(program.outputs))
    return {v: rows[a] if type(a) is Var else _seen_literal(a) for v, a in zip(places, program.outputs, strict=True)}


def _pulled(
    graph: Graph, inputs: Sequence[Any], places: Sequence[Any], avals: Sequence[Aval]
) -> tuple[Graph, list[Any]]:
    """The program of the cotangents of the values at `places`, and what it is of.

    Each value gets an addend that is zero, by which the program is differentiated.
    """
    n = len(graph.inputs)

    def run(builder, *args):
        addend = dict(zip(places, args[n:], strict=True))
        value: dict[Var, Any] = {}

        def put(v: Var, x: Any) -> None:
            value[v] = builder.record(add_p, (x, addend[v]), {})[0] if v in addend else x

        for v, x in zip(graph.inputs, args, strict=False):
            put(v, x)
        for eqn in graph.eqns:
            builder.where = eqn.where
            operands = [value[a] if type(a) is Var else a for a in eqn.inputs]
            for k, a in enumerate(operands):
                if eqn.graphs and (eqn.outputs[0], k) in addend:
                    operands[k] = builder.record(add_p, (a, addend[eqn.outputs[0], k]), {})[0]
            outs = builder.record(eqn.prim, tuple(operands), eqn.params)
            for v, out in zip(eqn.outputs, outs, strict=True):
                put(v, out)
        return [value[a] if type(a) is Var else a for a in graph.outputs]

    shifted = trace_graph(run, [*graph.in_avals, *(aval.retyped(aval.dtype) for aval in avals)])
    # The addends first, as what is differentiated.
    swapped = Graph((*shifted.inputs[n:], *shifted.inputs[:n]), shifted.eqns, shifted.outputs)
    program = value_and_grad_program(swapped, [True] * len(places), want_value=False, zeros=True).graph
    return program, [*(np.zeros(a.shape, a.dtype) for a in avals), *inputs]


def local_slopes(graph: Graph, chosen: Sequence[tuple[Eqn, Sequence[bool]]]) -> Graph:
    """(x*) -> (slope*): of chosen equations with one result, how it moves with all those operands that are marked."""

    def run(builder, *xs):
        value = dict(zip(graph.inputs, xs, strict=True))
        for eqn in graph.eqns:
            operands = tuple([value[a] if type(a) is Var else a for a in eqn.inputs])
            value.update(zip(eqn.outputs, builder.record(eqn.prim, operands, eqn.params), strict=True))
        found = []
        for eqn, on in chosen:
            operands = tuple([value[a] if type(a) is Var else a for a in eqn.inputs])
            ones = [fill(1.0, a.aval) if o else None for a, o in zip(eqn.inputs, on, strict=True)]
            slope = eqn.prim.jvp(operands, ones, **eqn.params)[1][0]
            found.append(builder.operand(fill(0.0, eqn.outputs[0].aval) if slope is None else slope, None))
        return found

    return trace_graph(run, graph.in_avals)


def _distinct(atoms: Sequence[Any]) -> list[Var]:
    return list(dict.fromkeys(a for a in atoms if type(a) is Var))


def _seen_literal(a: Lit) -> Seen:
    size, value = a.aval.size, abs(a.value)
    return Seen(size, size * (value != value), size * (value == np.inf), size * (not value), float(value), float(value))


class Producers(dict[Var, Eqn]):
    """Which equation makes a variable. `names`: what the user calls those that he stores in variables of his own."""

    def __init__(self, graph: Graph):
        super().__init__({v: eqn for eqn in graph.eqns for v in eqn.outputs})
        self.names = own_names(graph)
