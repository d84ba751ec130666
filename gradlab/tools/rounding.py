"""Are the digits right? The function and its gradient in float32 beside the same in float64, value by value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from ..api.programs import value_and_grad_program
from ..ir.graph import Eqn, Graph, Var, is_key
from ..lower.compile import Executable
from .finding import Finding, at_line, name_of_value
from .observe import Producers

LOST = 1e-3  # digits are missing where a result is off by more than this part of itself
MOST_BYTES = 2**28  # values held at once


def cancellation(
    graph: Graph,
    inputs: Sequence[Any],
    again: Callable[[list[Any]], Graph],
    active: Sequence[bool],
    names: Sequence[str],
) -> list[Finding]:
    """Findings about results in float32 that a run in float64 contradicts, and where the digits are lost.

    **Arguments:** `again(inputs)`: the program read once more, of those inputs.
    """
    if not any(v.dtype == np.float32 for v in graph.inputs) or _bytes(graph) > MOST_BYTES:
        return []
    with jax.enable_x64(True):
        wide = [
            x if is_key(v.dtype) else np.asarray(x, _wider(v.dtype)) for x, v in zip(inputs, graph.inputs, strict=True)
        ]
        graph64 = again(wide)
        if [e.prim for e in graph64.eqns] != [e.prim for e in graph.eqns]:
            return []  # the function itself asks for the dtype
        exact = _run(graph64, wide)
        slopes64 = _slopes(graph64, wide, active)
    plain = _run(graph, inputs)
    slopes = _slopes(graph, inputs, active)
    errors = {v: _error(x, y) for v, x, y in zip(_values(graph), plain, exact, strict=True)}
    off = [(_error(x, y), name) for x, y, name in zip(slopes, slopes64, names, strict=True)]
    out = graph.outputs[0]
    result = errors.get(out, 0.0) if type(out) is Var else 0.0
    if result <= LOST and all(error <= LOST for error, _ in off):
        return []
    said = [f"the result is off by {result:.1g} of itself"] if result > LOST else []
    said += [f"the gradient of {name} by {error:.1g} of itself" for error, name in off if error > LOST]
    worst = _first_loss(graph, errors)
    where = worst.where if worst else None
    message = f"in float32 {', '.join(said)}, a run in float64 says"
    if worst is not None:
        made = Producers(graph)
        operands = " and ".join(name_of_value(a, made) for a in worst.inputs)
        message += f"; digits are lost at {at_line(where)}: `{worst.prim.name}` of {operands}, which nearly cancel"
    return [Finding("rounding", f"{message}.", where)]


def _wider(dtype: Any) -> Any:
    return {"float32": np.float64, "complex64": np.complex128}.get(dtype.name, dtype)


def _bytes(graph: Graph) -> int:
    return sum(v.aval.size * 8 for v in _values(graph))


def _values(graph: Graph) -> list[Var]:
    return [v for eqn in graph.eqns for v in eqn.outputs if isinstance(v.dtype, np.dtype) and v.dtype.kind in "fc"]


def _run(graph: Graph, inputs: Sequence[Any]) -> list[np.ndarray]:
    return [np.asarray(x) for x in Executable(Graph(graph.inputs, graph.eqns, _values(graph))).jitted(*inputs)]


def _slopes(graph: Graph, inputs: Sequence[Any], active: Sequence[bool]) -> list[np.ndarray]:
    """The gradient by each active argument."""
    order = sorted(range(len(graph.inputs)), key=lambda k: not active[k])
    first = Graph([graph.inputs[k] for k in order], graph.eqns, graph.outputs)
    program = value_and_grad_program(first, [True] * sum(active), want_value=False, zeros=True)
    return [np.asarray(x) for x in program.executable.jitted(*(inputs[k] for k in order))]


def _error(x: np.ndarray, y: np.ndarray) -> float:
    """The largest difference as a part of the largest number."""
    finite = np.isfinite(x) & np.isfinite(y)
    if not finite.any():
        return 0.0
    scale = np.max(np.abs(y[finite]))
    return float(np.max(np.abs(x[finite] - y[finite])) / scale) if scale > 0 else float(np.max(np.abs(x[finite])) > 0)


def _first_loss(graph: Graph, errors: dict[Var, float]) -> Eqn | None:
    """The equation that multiplies the relative error most."""
    worst, most = None, 100.0
    for eqn in graph.eqns:
        after = max((errors.get(v, 0.0) for v in eqn.outputs), default=0.0)
        before = max((errors.get(a, 0.0) for a in eqn.inputs if type(a) is Var), default=0.0)
        growth = after / max(before, 2.0**-24)
        if growth > most:
            worst, most = eqn, growth
    return worst
