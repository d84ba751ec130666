"""Why is a gradient zero, NaN, tiny or wrong in its digits? `diagnose` runs a function and its derivative, and says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from numbers import Number
from typing import Any

import jax
import numpy as np

from ..api.arguments import Call, Selection, avals_to_differentiate, name_of, require_function, tree_flatten
from ..api.calling import FRESH, Reading
from ..api.programs import value_and_grad_program
from ..api.results import Results
from ..ir.errors import StructureError
from ..ir.graph import Graph, is_inexact
from ..trace.avals import aval_of, is_key_dtype
from .finding import Finding, number
from .nonfinite import hidden, of_value
from .observe import cotangents, observed, scalar_of, values_of
from .rounding import cancellation
from .scales import out_of_scale, saturated
from .silence import silenced, unmoved


@dataclass(frozen=True)
class Diagnosis:
    """What was found; printed, sentences.

    **Attributes:** `findings`: the gravest first; `summary`: value and gradient in a few numbers.
    """

    name: str
    findings: tuple[Finding, ...]
    summary: tuple[str, ...]

    def __bool__(self) -> bool:
        """Whether anything was found."""
        return bool(self.findings)

    def __str__(self) -> str:
        head = f"diagnosis of {self.name}"
        found = [f"* {one.kind}: {one.message}" for one in self.findings] or ["nothing conspicuous was found"]
        return "\n".join([head, *(f"  {line}" for line in self.summary), *found])

    __repr__ = __str__


def diagnose(fun: Callable) -> Callable[..., Diagnosis]:
    """A function of the same arguments that explains what is conspicuous about `fun` and its gradient there.

    It says which equation, on which of the user's lines, made the first NaN or infinity, forwards or backwards, in
    which turn of a loop, and of which operands; what makes a gradient zero (`stop_gradient`, integers, a comparison,
    rounding, a `where` or a maximum that took the other side, a factor of zero, an argument never used); which units
    are saturated; where cotangents vanish or explode; and which results in float32 a run in float64 contradicts.

    **Arguments:** `fun`: numbers and arrays to a number; of a function with several results, their sum is looked at.
    **Returns:** the function; it compiles several programs, each returning a few numbers per value.
    **Raises:** `StructureError` if no argument is real or complex.
    """
    require_function(fun, "diagnose")

    @wraps(fun)
    def diagnosed(*args: Any, **kwargs: Any) -> Diagnosis:
        numeric = [k for k, arg in enumerate(args) if _is_numeric(arg)]
        call = Call(Selection(fun, tuple(numeric), None, "diagnose"), args, kwargs)
        avals = avals_to_differentiate(call, "diagnose", allow_int=True)
        graph, inputs = _read(fun, call, call.leaves, avals)
        active = [is_inexact(aval.dtype) for aval in avals] + [False] * (len(inputs) - len(avals))
        if not any(active):
            raise StructureError(f"diagnose found no real or complex number among the arguments of {name_of(fun)}.")
        names = [call.leaf_name(k) for k in range(len(avals)) if active[k]]

        def again(wide: list[Any]) -> Graph:
            leaves = wide[: len(avals)]
            return scalar_of(_read(fun, call, leaves, [aval_of(x) for x in leaves])[0])

        return _diagnosis(name_of(fun), graph, inputs, active, names, again)

    return diagnosed


def _is_numeric(arg: Any) -> bool:
    leaves = tree_flatten(arg)[0]
    return bool(leaves) and all(isinstance(x, Number | np.ndarray | np.generic | jax.Array) for x in leaves)


def _read(fun: Callable, call: Call, leaves: list[Any], avals: list[Any]) -> tuple[Graph, list[Any]]:
    kept, FRESH.on = FRESH.on, True
    try:
        reading = Reading(call, leaves, avals, names=call.input_names, fun=fun)
        Results(reading, fun)
        graph, inputs = reading.end()
    finally:
        FRESH.on = kept
    inputs = [
        x if is_key_dtype(getattr(x, "dtype", None)) else np.asarray(x, v.dtype)
        for x, v in zip(inputs, graph.inputs, strict=True)
    ]
    return graph, inputs


def _diagnosis(
    name: str, graph: Graph, inputs: list[Any], active: list[bool], names: list[str], again: Callable[[list], Graph]
) -> Diagnosis:
    graph = scalar_of(graph)
    leaves = [v for v, on in zip(graph.inputs, active, strict=True) if on]
    # The moving arguments first, as what is differentiated.
    order = sorted(range(len(inputs)), key=lambda k: not active[k])
    moving_first = Graph([graph.inputs[k] for k in order], graph.eqns, graph.outputs)
    gradient = value_and_grad_program(moving_first, [True] * len(leaves), want_value=True, zeros=True).graph
    given = [inputs[k] for k in order]
    value, *slopes = values_of(gradient, given, gradient.outputs)

    labels = [f"the gradient of {leaf}" for leaf in names]
    summary = [f"value {number(value[()])}", *map(_size_of, labels, slopes)]
    found = of_value(graph, inputs, ["the result"])
    if not found:
        found = of_value(Graph(gradient.inputs, gradient.eqns, gradient.outputs[1:]), given, labels)
    if not found:
        seen, cts = observed(graph, inputs), cotangents(graph, inputs)
        quiet = [(v, leaf) for v, leaf, slope in zip(leaves, names, slopes, strict=True) if not slope.any()]
        for v, leaf in quiet:
            one = unmoved(graph, v, leaf) or silenced(graph, inputs, cts, v, leaf)
            found += [one] if one is not None else []
        found += saturated(graph, inputs, leaves)
        found += out_of_scale(graph, seen, cts, leaves, names, float(value))
        found += cancellation(graph, inputs, again, active, names)
    found += hidden(graph, inputs) if not any(one.kind == "non-finite" for one in found) else []
    return Diagnosis(name, tuple(found), tuple(summary))


def _size_of(label: str, slope: np.ndarray) -> str:
    if not slope.size:
        return f"{label}: empty"
    bad = int((~np.isfinite(slope)).sum())
    said = f", {bad} not finite" if bad else ""
    return f"{label}: {number(float(np.linalg.norm(np.where(np.isfinite(slope), slope, 0.0).ravel())))} in norm{said}"
