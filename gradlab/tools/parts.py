"""A program in parts that a person can take in: equations of one run of one of his lines, each part of one role.

The roles: what computes the value (primal), what only the derivative needs of it (residual), tangents and cotangents.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from ..ir.graph import Atom, Eqn, Graph, Var
from ..ir.where import Where
from ..lower.titles import parted


class Role(Enum):
    """What the values of a part are in the derivative."""

    INPUT = "argument"
    PRIMAL = "primal"
    RESIDUAL = "residual"
    TANGENT = "tangent"
    COTANGENT = "cotangent"


@dataclass(eq=False)
class Part:
    """Equations that belong together; none for an argument, whose variable stands in `results`.

    **Attributes:** `reads`: variables made elsewhere; `results`: those that others read, or the program returns.
    """

    role: Role
    where: Where | None
    eqns: list[Eqn] = field(default_factory=list)
    reads: list[Var] = field(default_factory=list)
    results: list[Var] = field(default_factory=list)


def parts_of(graph: Graph, together: bool, titles: Mapping[Var, str]) -> list[Part]:
    """The program's arguments and equations as parts, in an order in which they could run.

    **Arguments:** `together`: whether equations of one line may share a part, or each has one. `titles`: what values
    are called, by which it is known that they are tangents or cotangents.
    """
    roles = roles_of(graph, titles)
    found: list[Part] = [Part(Role.INPUT, None, results=[v]) for v in graph.inputs]
    home: dict[Var, int] = {v: k for k, v in enumerate(graph.inputs)}
    before: list[int] = [0] * len(found)  # of each part, those it depends on, as bits
    for eqn in graph.eqns:
        operands = {home[a] for a in eqn.inputs if type(a) is Var}
        behind = 0
        for k in operands:
            behind |= before[k] | 1 << k
        joined = None
        if together and not eqn.graphs:
            for k in sorted(operands, reverse=True):
                # Joining a part on which another operand depends would make a circle.
                if _same_line(found[k], eqn, roles) and not any(before[j] >> k & 1 for j in operands):
                    joined = k
                    break
        if joined is None:
            joined = len(found)
            found.append(Part(roles[eqn.outputs[0]] if eqn.outputs else Role.PRIMAL, eqn.where))
            before.append(behind)
        else:
            before[joined] |= behind & ~(1 << joined)
            _spread(before, joined)
        found[joined].eqns.append(eqn)
        home.update(dict.fromkeys(eqn.outputs, joined))
    _connect(found, home, graph.outputs)
    return _in_order(found, home)


def _same_line(part: Part, eqn: Eqn, roles: dict[Var, Role]) -> bool:
    if not part.eqns or part.eqns[-1].graphs or eqn.where is None or part.where is None or not eqn.outputs:
        return False
    same = part.where.code is eqn.where.code and part.where.lineno == eqn.where.lineno
    if not same or part.role is not roles[eqn.outputs[0]]:
        return False
    # Where an instruction runs again, or one before those that have run, it is the next turn of a Python loop. (What is
    # derived of the instructions need not come in their order.)
    ran = [e.where.lasti for e in part.eqns if e.where is not None]
    goes_on = eqn.where.lasti > max(ran) if part.role is Role.PRIMAL else eqn.where.lasti not in ran
    return goes_on or ran[-1] == eqn.where.lasti


def _spread(before: list[int], changed: int) -> None:
    """What depends on a part depends on all that the part depends on."""
    bit = 1 << changed
    for k, bits in enumerate(before):
        if bits & bit:
            before[k] = bits | before[changed]


def _connect(found: list[Part], home: dict[Var, int], outputs: tuple[Atom, ...]) -> None:
    read: dict[Var, None] = dict.fromkeys(a for a in outputs if type(a) is Var)
    for k, part in enumerate(found):
        own = [a for eqn in part.eqns for a in eqn.inputs if type(a) is Var and home[a] != k]
        part.reads = list(dict.fromkeys(own))
        read.update(dict.fromkeys(part.reads))
    for part in found:
        if part.eqns:
            part.results = [v for eqn in part.eqns for v in eqn.outputs if v in read]


def _in_order(found: list[Part], home: dict[Var, int]) -> list[Part]:
    done: set[int] = set()
    order: list[Part] = []

    def visit(start: int) -> None:
        stack = [start]
        while stack:
            k = stack[-1]
            waiting = [home[v] for v in found[k].reads if home[v] not in done]
            if waiting:
                stack.append(waiting[0])
            else:
                stack.pop()
                if k not in done:
                    done.add(k)
                    order.append(found[k])

    for k in range(len(found)):
        visit(k)
    return order


def roles_of(graph: Graph, titles: Mapping[Var, str]) -> dict[Var, Role]:
    """The role of each value: by its name in the derivative, or by what it is made of."""
    roles: dict[Var, Role] = dict.fromkeys(graph.inputs, Role.INPUT)
    for eqn in graph.eqns:
        role = _role(eqn, roles, titles)
        roles.update(dict.fromkeys(eqn.outputs, role))
    return roles


def _role(eqn: Eqn, roles: dict[Var, Role], titles: Mapping[Var, str]) -> Role:
    suffix = eqn.where.suffix if eqn.where is not None else ""
    called = "".join(parted(titles.get(v, ""))[1] for v in eqn.outputs) or suffix or ""
    if any(role is Role.COTANGENT for _, inner in eqn.graphs for role in roles_of(inner, titles).values()):
        return Role.COTANGENT
    of = {roles[a] for a in eqn.inputs if type(a) is Var}
    if "_bar" in called or Role.COTANGENT in of:
        return Role.COTANGENT
    if "_dot" in called or Role.TANGENT in of:
        return Role.TANGENT
    return Role.RESIDUAL if suffix is None else Role.PRIMAL
