"""Why is a gradient zero, NaN, tiny or wrong in its digits? `diagnose` runs a function and its derivative, and says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import numpy as np

from ..api.arguments import name_of, require_function
from ..api.programs import value_and_grad_program
from ..ir.graph import Graph, Var
from .finding import Finding, number
from .nonfinite import hidden, of_value
from .observe import Seen, cotangents, observed, scalar_of, values_of
from .reading import ReadProgram, read
from .rounding import cancellation
from .scales import out_of_scale, saturated
from .silence import handed_over, silenced, together, unmoved
from .thinned import thinned
from .unrolled import unrolled


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
    rounding, a `where` or a maximum that took the other side, a factor of zero, an argument never used), or a part of
    its numbers; which units are saturated; where cotangents vanish or explode; and which results in float32 a run in
    float64 contradicts.

    **Arguments:** `fun`: numbers and arrays to a number; of a function with several results, their sum is looked at.
    **Returns:** the function; it compiles several programs, each returning a few numbers per value.
    **Raises:** `StructureError` if no argument is real or complex.
    """
    require_function(fun, "diagnose")

    @wraps(fun)
    def diagnosed(*args: Any, **kwargs: Any) -> Diagnosis:
        return _diagnosis(name_of(fun), read(fun, args, kwargs, "diagnose"))

    return diagnosed


def _diagnosis(name: str, program: ReadProgram) -> Diagnosis:
    graph, inputs, active, names = scalar_of(program.graph), program.inputs, program.active, program.names
    leaves = [v for v, on in zip(graph.inputs, active, strict=True) if on]
    # The moving arguments first, as what is differentiated.
    order = sorted(range(len(inputs)), key=lambda k: not active[k])
    moving_first = Graph([graph.inputs[k] for k in order], graph.eqns, graph.outputs)
    gradient = value_and_grad_program(moving_first, [True] * len(leaves), want_value=True, zeros=True).graph
    given = [inputs[k] for k in order]
    value, *slopes = values_of(gradient, given, gradient.outputs)

    labels = [f"the gradient of {leaf}" for leaf in names]
    summary = [f"value {number(value[()])}", *map(_size_of, labels, slopes)]
    seen = observed(graph, inputs)
    found = of_value(graph, inputs, ["the result"], seen)
    if not found and not all(np.isfinite(slope).all() for slope in slopes):
        backward = Graph(gradient.inputs, gradient.eqns, gradient.outputs[1:])
        found = of_value(backward, given, labels, observed(backward, given))
    if not found:
        cts = cotangents(graph, inputs)
        quiet = [
            (v, leaf) for v, leaf, slope in zip(leaves, names, slopes, strict=True) if slope.size and not slope.any()
        ]
        if quiet:
            found += _zeros(graph, inputs, quiet, seen, cts)
            found += handed_over(program.notes.asked)
        found += saturated(graph, inputs, leaves)
        found += out_of_scale(graph, seen, cts, leaves, names, slopes, float(value))
        found += thinned(graph, inputs, list(zip(leaves, names, strict=True)), slopes)
        found += cancellation(graph, inputs, lambda wide: scalar_of(program.again(wide)), active, names)
    found += hidden(graph, inputs, seen) if not any(one.kind == "non-finite" for one in found) else []
    return Diagnosis(name, tuple(found), tuple(summary))


def _zeros(
    graph: Graph, inputs: Sequence[Any], quiet: Sequence[tuple[Var, str]], seen: dict[Var, Seen], cts: dict[Any, Seen]
) -> list[Finding]:
    """Why those arguments have a gradient of zeros, whatever the numbers are, or else at these."""
    constant = [(v, leaf, unmoved(graph, v, leaf)) for v, leaf in quiet]
    turns = unrolled(graph, inputs) if any(one is None for _, _, one in constant) else graph
    if turns is not graph:
        seen, cts = observed(turns, inputs), cotangents(turns, inputs)
    now = dict(zip(graph.inputs, turns.inputs, strict=True))
    zeros = [one or silenced(turns, inputs, seen, cts, now[v], leaf) for v, leaf, one in constant]
    return together([one for one in zeros if one is not None])


def _size_of(label: str, slope: np.ndarray) -> str:
    if not slope.size:
        return f"{label}: empty"
    bad = int((~np.isfinite(slope)).sum())
    still = slope.size - int(np.count_nonzero(slope))
    said = f", {bad} not finite" if bad else ""
    said += f", zero in {still} of {slope.size} numbers" if 0 < still < slope.size else ""
    return f"{label}: {number(float(np.linalg.norm(np.where(np.isfinite(slope), slope, 0.0).ravel())))} in norm{said}"
