"""Where does a NaN or an infinity come from? Back along the values that have one, to an equation whose operands do not.

Inside a loop the search goes on in the first turn that makes one, inside a branch in the branch that was taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..control.cond import cond_p
from ..control.scan import scan_p
from ..control.while_loop import while_p
from ..ir.graph import Eqn, Graph, Lit, Var, is_inexact
from ..ir.where import Where
from ..lower.compile import Executable
from ..ops.compare import select_p
from .finding import Finding, at_line, name_of_value, number, place, share
from .observe import Producers, Seen, observed, values_of

MOST_TURNS = 100_000  # of a loop that is gone through one by one


class Origin(NamedTuple):
    """The equation that made the first bad numbers (None: an argument has them), and how to say so."""

    eqn: Eqn | None
    where: Where | None
    message: str


def origin(graph: Graph, inputs: Sequence[Any], output: Any, seen: dict[Var, Seen] | None = None) -> Origin | None:
    """Where the NaN (or the infinities, if there is none) in a value of the program come from; None if it has none."""
    if type(output) is Lit:
        return None if np.isfinite(output.value) else Origin(None, None, f"the constant {output.value} is the result")
    seen = observed(graph, inputs) if seen is None else seen
    if output not in seen or not seen[output].bad:
        return None
    made, v = Producers(graph), output
    while v in made:
        eqn = made[v]
        operands = [a for a in eqn.inputs if type(a) is Var and a in seen and is_inexact(a.dtype)]
        of_same = [a for a in operands if (seen[a].nan if seen[v].nan else seen[a].inf)]
        if not of_same:
            return _made_here(graph, inputs, eqn, v, made, seen)
        v = of_same[0]
    what = "NaN" if seen[v].nan else "infinities"
    return Origin(None, None, f"the argument {v.name or '?'} comes with {what} ({share(seen[v].bad, seen[v].size)})")


def _made_here(graph: Graph, inputs: Sequence[Any], eqn: Eqn, v: Var, made: Producers, seen: dict[Var, Seen]) -> Origin:
    if eqn.graphs:
        inner = _inside(eqn, values_of(graph, inputs, eqn.inputs), eqn.outputs.index(v))
        if inner is not None:
            return inner
    value, *operands = values_of(graph, inputs, [v, *eqn.inputs])
    bad = np.isnan(value) if seen[v].nan else np.isinf(value)
    index = np.argwhere(bad)[0]
    derived = eqn.where is not None and eqn.where.suffix != ""
    told = []
    for a, x in zip(eqn.inputs, operands, strict=True):
        name = name_of_value(a, made)
        if x.shape == value.shape:
            entry = number(x[tuple(index)])
            told.append(entry if name == entry else f"{name}{place(index)} = {entry}")
        elif x.size and x.dtype.kind in "fiu":
            told.append(f"{name} with values from {number(np.nanmin(x))} to {number(np.nanmax(x))}")
    first = number(value[tuple(index)])
    message = (
        f"{'in the derivative of ' if derived else ''}{at_line(eqn.where)}: `{eqn.prim.name}` made the first "
        f"{'NaN' if seen[v].nan else 'infinity'}, {first} {f'at {place(index)} ' if value.ndim else ''}"
        f"({share(int(bad.sum()), value.size)}){', of ' if told else ''}{' and '.join(told)}"
    )
    for a, x in zip(eqn.inputs, operands, strict=True):
        if type(a) is Var and seen[v].nan and a in seen and seen[a].inf and x.shape == value.shape:
            source = origin(graph, inputs, a, seen)
            if source is not None:
                message += f". The infinity comes from there: {source.message}"
                # One that the user wrote himself is no fault: what he did with it is.
                meant = source.eqn is not None and any(
                    type(b) is Lit and not np.isfinite(b.value) for b in source.eqn.inputs
                )
                return (
                    Origin(eqn, eqn.where, message) if meant else Origin(source.eqn, source.where or eqn.where, message)
                )
    earlier = _upstream(graph, inputs, eqn, made, seen)
    if earlier is not None:
        message += f". Before that, {earlier.message}"
        return Origin(earlier.eqn, earlier.where, message)
    return Origin(eqn, eqn.where, message)


def _upstream(graph: Graph, inputs: Sequence[Any], eqn: Eqn, made: Producers, seen: dict[Var, Seen]) -> Origin | None:
    """The origin of infinities among the values an equation was computed from, though its operands are finite."""
    behind = {a for a in eqn.inputs if type(a) is Var}
    for one in reversed(graph.eqns):
        if not behind.isdisjoint(one.outputs):
            behind.update(a for a in one.inputs if type(a) is Var)
    for one in graph.eqns:
        bad = [v for v in one.outputs if v in behind and v in seen and seen[v].bad]
        if bad and one is not eqn and all(_is_finite(a, seen) for a in one.inputs):
            return origin(graph, inputs, bad[0], seen)
    return None


def _inside(eqn: Eqn, values: Sequence[Any], number_of_output: int) -> Origin | None:
    """The same question for the program that an equation carries, on the values it really met."""
    if eqn.prim is scan_p:
        return _in_scan(eqn, values)
    if eqn.prim is while_p:
        return _in_while(eqn, values)
    if eqn.prim is cond_p:
        branches = eqn.params["branches"]
        which = int(values[0])
        # A boolean chooses the second of two.
        graph = branches[min(max(which, 0), len(branches) - 1)]
        return origin(graph, values[1:], graph.outputs[number_of_output])
    for _, graph in eqn.graphs:
        if len(graph.inputs) == len(values) and len(graph.outputs) == len(eqn.outputs):
            return origin(graph, values, graph.outputs[number_of_output])
    return None


def _in_scan(eqn: Eqn, values: Sequence[Any]) -> Origin | None:
    body, loop = eqn.params["body"], eqn.params["loop"]
    step = Executable(body).jitted
    consts, carry, rows = loop.parts(list(values))
    turns = range(min(loop.length, MOST_TURNS))
    for turn in turns:
        k = loop.length - 1 - turn if loop.reverse else turn
        given = [*consts, *carry, *(x[k] for x in rows)]
        outs = [np.asarray(x) for x in step(*given)]
        found = _first_bad(body, given, outs, f"turn {turn} of {loop.length} of the loop at {at_line(eqn.where)}")
        if found is not None:
            return found
        carry = outs[: loop.n_carry]
    return None


def _in_while(eqn: Eqn, values: Sequence[Any]) -> Origin | None:
    cond, body, how = eqn.params["cond"], eqn.params["body"], eqn.params["how"]
    test, step = Executable(cond).jitted, Executable(body).jitted
    on_cond, on_body, carry = how.parts(list(values))
    for turn in range(MOST_TURNS):
        if not bool(test(*on_cond, *carry)[0]):
            return None
        given = [*on_body, *carry]
        carry = [np.asarray(x) for x in step(*given)]
        found = _first_bad(body, given, carry, f"turn {turn} of the loop at {at_line(eqn.where)}")
        if found is not None:
            return found
    return None


def _first_bad(body: Graph, given: Sequence[Any], outs: Sequence[np.ndarray], where: str) -> Origin | None:
    for a, x in zip(body.outputs, outs, strict=True):
        if x.dtype.kind in "fc" and not np.isfinite(x).all():
            found = origin(body, given, a)
            return None if found is None else found._replace(message=f"in {where}: {found.message}")
    return None


def of_value(graph: Graph, inputs: Sequence[Any], names: Sequence[str], seen: dict[Var, Seen]) -> list[Finding]:
    """Findings about the results of a program that are not finite."""
    found: list[Finding] = []
    for name, out in zip(names, graph.outputs, strict=True):
        source = origin(graph, inputs, out, seen)
        if source is not None:
            one = Finding("non-finite", f"{name} is not finite: {source.message}.", source.where, name)
            if not any(f.where == one.where and one.where is not None for f in found):
                found.append(one)
    return found


def hidden(graph: Graph, inputs: Sequence[Any], seen: dict[Var, Seen]) -> list[Finding]:
    """Findings about NaN and infinities that a program makes but keeps out of its finite results."""
    found = []
    for eqn in graph.eqns:
        for v in eqn.outputs:
            if v not in seen or not seen[v].bad or eqn.prim is select_p:
                continue
            if any(not _is_finite(a, seen) for a in eqn.inputs):
                continue
            source = origin(graph, inputs, v, seen)
            if source is not None:
                message = f"{source.message}. It is kept out of the result and of its derivative"
                found.append(Finding("hidden", f"{message}, by a `where` or the like.", source.where))
    return found


def _is_finite(a: Any, seen: dict[Var, Seen]) -> bool:
    return bool(np.isfinite(a.value)) if type(a) is Lit else a not in seen or not seen[a].bad
