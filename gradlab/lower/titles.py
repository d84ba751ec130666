"""Names for the values of a program that is shown: the user's own, and from those what goes round a loop and comes out.

Inside the body of a loop his variables have names, and their derivatives with them: `h`, `h_dot`, `h_bar`. What a
derived loop carries, goes through and hands out has none, for no statement of his made it. But each is known by what it
is in the body, and what the user calls the results of his own loop says what to call those of the derived one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from ..ir.graph import Atom, Eqn, Graph, Lit, Var
from ..ir.primitive import Body
from ..ir.where import Where
from ..ops.families import add_p

Place = tuple  # an instruction of the user's: (code, offset); or ("input", name) for what a body is given
_SUFFIX = re.compile(r"((?:_dot|_bar)*)\Z")


class Handed(NamedTuple):
    """What the user calls the results of a loop of his.

    **Attributes:** `ends`: of each carry, by its name in the body, its last value; `stacks`: of what is stacked, by
    where it is made.
    """

    ends: dict[str, str]
    stacks: dict[Place, str]


def handed(body: Body, targets: Sequence[str]) -> Handed | None:
    """The names of a loop's results, of the variables that it is unpacked into; None where they cannot be told."""
    if not targets:
        return None
    sizes = body.gives
    groups = [size for size in sizes if size]
    if len(targets) == sum(sizes):
        names = list(targets)
    elif len(targets) == len(sizes) or len(groups) == len(targets) == 1:
        named = zip(sizes, targets, strict=True) if len(targets) == len(sizes) else zip(groups, targets, strict=True)
        names = [name if size == 1 else f"{name}_{k}" for size, name in named for k in range(size)]
    elif len(sizes) == 2 and not sizes[1] and len(targets) == sizes[0] + 1:
        names = list(targets[:-1])
    else:
        return None
    places = places_of(body.graph)
    carries = body.graph.inputs[len(body.operands) :][: sizes[0]]
    ends = {v.name: name for v, name in zip(carries, names, strict=False) if v.name and not name.startswith("_")}
    stacks = {
        places[a]: name
        for a, name in zip(body.graph.outputs[sizes[0] :], names[sizes[0] :], strict=True)
        if type(a) is Var and a in places and not name.startswith("_")
    }
    return Handed(ends, stacks)


def turn_of(bodies: Sequence[Body]) -> Body | None:
    """Of the programs that an equation carries, the last if it hands on what it is given: a loop's, after its test."""
    if not bodies or not bodies[-1].takes or bodies[-1].takes[0] != bodies[-1].gives[0]:
        return None
    return bodies[-1]


def places_of(graph: Graph) -> dict[Var, Place]:
    """Where the values of a program are made, by the user's instruction."""
    places: dict[Var, Place] = {v: ("input", v.name) for v in graph.inputs if v.name}
    for eqn in graph.eqns:
        if eqn.where is not None and len(eqn.outputs) == 1:
            places[eqn.outputs[0]] = (eqn.where.code, eqn.where.lasti)
    return places


def own_names(graph: Graph, caller: Place | None = None) -> dict[Var, str]:
    """What the user calls those values that he stores in variables of his own, arguments included.

    **Arguments:** `caller`: where the program is looked at: the variable there holds what is said of it.
    """
    names = {v: v.name for v in graph.inputs if v.name}
    for eqn, after in zip(graph.eqns, (*graph.eqns[1:], None), strict=False):
        # Of several equations that one expression became, the last is what the variable holds.
        is_last = eqn.where is not None and (after is None or after.where != eqn.where)
        # A derived loop may have as many results as the user's has names, and still others.
        if eqn.prim.bodies is not None and turn_of(eqn.prim.bodies(**eqn.params)) is not None:
            is_last = False
        if place_of(eqn.where) == caller:
            is_last = False
        for v, assigned in zip(eqn.outputs, eqn.assigned if is_last else [None] * len(eqn.outputs), strict=True):
            name = v.name or assigned
            if name:
                names[v] = name
    return names


def titles_of(graph: Graph, loops: Mapping[Place, Handed], caller: Place | None) -> dict[Var, str]:
    """A name for each value of a program, and of those it carries, that has one; two may have the same.

    **Arguments:** `loops`: what the user calls the results of his loops, by where he called them. `caller`: see
    `own_names`.
    """
    namer = _Namer(loops, caller)
    namer.names.update(own_names(graph, caller))
    namer.gradients(graph)
    namer.visit(graph)
    known = set(namer.names.values())
    return {v: _shortest(name, known) for v, name in namer.names.items()}


def _shortest(name: str, known: Collection[str]) -> str:
    """`h_dot` for `h_dot_dot` if nothing is `h_dot`: so it is called that a linear program is given for its tangent."""
    while (shorter := name.replace("_dot_dot", "_dot", 1)) != name and shorter not in known:
        name = shorter
    return name


class _Namer:
    """**Attributes:** `elements`: of a stack, the name of what is stacked; `starts`, `rows`: of each of the user's
    loops, what he calls the first value of a carry, and what is gone through, by their names in the body."""

    def __init__(self, loops: Mapping[Place, Handed], caller: Place | None):
        self.loops, self.caller = loops, caller
        self.names: dict[Var, str] = {}
        self.elements: dict[Var, str] = {}
        self.starts: dict[Place | None, dict[str, str]] = {}
        self.rows: dict[Place | None, dict[str, str]] = {}

    def of(self, a: Atom) -> str | None:
        return self.names.get(a) if type(a) is Var else None

    def give(self, a: Atom, name: str | None) -> None:
        """The name, where there is none yet."""
        if name and type(a) is Var:
            self.names.setdefault(a, name)

    def gradients(self, graph: Graph) -> None:
        """Where some results are cotangents of the arguments, in their order, so are those between them."""
        number = {v.name: k for k, v in enumerate(graph.inputs) if v.name}
        known = {k: number.get((self.of(a) or "").removesuffix("_bar")) for k, a in enumerate(graph.outputs)}
        if not any((self.of(a) or "").endswith("_bar") for a in graph.outputs):
            return
        for k, a in enumerate(graph.outputs):
            if type(a) is not Var or self.of(a):
                continue
            first = max([i for j, i in known.items() if j < k and i is not None], default=-1)
            last = min([i for j, i in known.items() if j > k and i is not None], default=len(graph.inputs))
            fitting = [v for v in graph.inputs[first + 1 : last] if v.name and v.aval == a.aval]
            if len(fitting) == 1:
                self.give(a, f"{fitting[0].name}_bar")

    def visit(self, graph: Graph) -> None:
        for v, name in own_names(graph, self.caller).items():
            self.give(v, name)
        for eqn in graph.eqns:
            bodies = eqn.prim.bodies(**eqn.params) if eqn.prim.bodies else ()
            for body in bodies:
                for v, k in zip(body.graph.inputs, body.operands, strict=False):
                    self.give(v, self.of(eqn.inputs[k]))
            for body in bodies:
                self.visit(body.graph)
            turn = turn_of(bodies)
            if turn is not None:
                _Turns(self, eqn, turn).name()
                carries = turn.graph.inputs[len(turn.operands) :]
                for test in bodies[:-1]:
                    for v, w in zip(test.graph.inputs[len(test.operands) :], carries, strict=False):
                        self.give(v, self.of(w))
            elif bodies:
                self.agree(eqn, bodies)

    def agree(self, eqn: Eqn, branches: Sequence[Body]) -> None:
        """Where all branches call a result the same, it is called so."""
        for k, v in enumerate(eqn.outputs):
            found = {self.of(body.graph.outputs[k]) for body in branches}
            if len(found) == 1:
                self.give(v, found.pop())


class _Turns:
    """One loop: its carries, its rows, what it stacks."""

    def __init__(self, namer: _Namer, eqn: Eqn, body: Body):
        self.namer, self.eqn, self.body = namer, eqn, body
        self.place = place_of(eqn.where)
        self.handed = namer.loops.get(self.place or (), Handed({}, {}))
        self.starts = namer.starts.setdefault(self.place, {})
        self.rows = namer.rows.setdefault(self.place, {})

    def name(self) -> None:
        n = self.body.takes[0]
        given = self.body.graph.inputs[len(self.body.operands) :]
        operands = self.eqn.inputs[len(self.eqn.inputs) - len(given) :]
        outs, results = self.body.graph.outputs, self.eqn.outputs
        for carry in zip(given[:n], outs[:n], operands[:n], results[:n], strict=True):
            self.carry(*carry)
        for row, operand in zip(given[n:], operands[n:], strict=True):
            self.row(row, operand)
        places = places_of(self.body.graph)
        for out, result in zip(outs[n:], results[n:], strict=True):
            self.stack(out, result, places)

    def carry(self, inside: Var, out: Atom, start: Atom, end: Var) -> None:
        namer = self.namer
        summed = namer.of(end) if type(start) is Lit and self.added(inside, out) else None
        name = namer.of(inside) or summed or self.made(inside, out) or namer.of(end) or namer.of(start)
        if not name:
            return
        namer.give(inside, name)
        namer.give(out, name)
        stem, suffix = parted(name)
        ends = self.handed.ends.get(stem, f"{stem}_end")
        if _backwards(suffix):
            if stem not in self.starts:  # no carry of the user's: the sum of what all turns say
                namer.give(end, name)
                return
            namer.give(start, f"{ends}{suffix}")
            namer.give(end, f"{self.starts[stem]}{suffix}")
        else:
            first = f"{stem}_start{suffix}"
            namer.give(start, first)
            self.starts.setdefault(stem, parted(namer.of(start) or first)[0])
            namer.give(end, f"{ends}{suffix}")

    def made(self, inside: Var, out: Atom) -> str | None:
        """The name of what a carry becomes, or of what is added to it."""
        if out in self.body.graph.inputs:
            return None
        return self.namer.of(out) or next(filter(None, map(self.namer.of, self.added(inside, out))), None)

    def added(self, inside: Var, out: Atom) -> list[Atom]:
        """What is added to a carry, if that is all that happens to it."""
        last = next((eqn for eqn in self.body.graph.eqns if out in eqn.outputs), None)
        if last is None or last.prim is not add_p or inside not in last.inputs:
            return []
        return [a for a in last.inputs if a is not inside]

    def row(self, inside: Var, operand: Atom) -> None:
        namer = self.namer
        stacked = None
        if not namer.of(inside) and type(operand) is Var:
            stacked = self.meets(inside)
            whole = namer.of(operand) or stacked
            namer.give(inside, namer.elements.get(operand) or (whole and f"{whole}_row"))
        name = namer.of(inside)
        if not name:
            return
        stem, suffix = parted(name)
        if namer.of(operand) and not suffix:
            self.rows.setdefault(stem, namer.of(operand) or "")
        namer.give(operand, stacked or (f"{self.rows[stem]}{suffix}" if stem in self.rows else f"{name}_stack"))

    def meets(self, inside: Var) -> str | None:
        """What a row is the cotangent of, if it is added to that of a value which the user's loop stacks."""
        for eqn in self.body.graph.eqns:
            if eqn.prim is add_p and inside in eqn.inputs and eqn.where is not None:
                stack = self.handed.stacks.get(place_of(eqn.where) or ())
                suffix = parted(self.namer.of(eqn.outputs[0]) or "")[1]
                if stack and _backwards(suffix):
                    return f"{stack}{suffix}"
        return None

    def stack(self, out: Atom, result: Var, places: Mapping[Var, Place]) -> None:
        namer = self.namer
        name = namer.of(out)
        called = self.handed.stacks.get(places.get(out, ())) if type(out) is Var else None
        if not name:
            made = next((eqn for eqn in self.body.graph.eqns if out in eqn.outputs), None)
            suffix = made.where.suffix if made is not None and made.where is not None else None
            if called and suffix is not None and not _backwards(suffix):
                namer.give(result, f"{called}{suffix}")
            return
        namer.elements[result] = name
        stem, suffix = parted(name)
        if _backwards(suffix):
            called = self.rows.get(stem) if stem not in self.starts else None
        namer.give(result, f"{called}{suffix}" if called else f"{name}_stack")


def place_of(where: Where | None) -> Place | None:
    """The user's instruction."""
    return None if where is None else (where.code, where.lasti)


def parted(name: str) -> tuple[str, str]:
    """`h`, `_bar_dot` of `h_bar_dot`."""
    suffix = _SUFFIX.search(name)
    assert suffix is not None
    return name[: suffix.start()], suffix[1]


def _backwards(suffix: str) -> bool:
    """Whether a derivative of that name goes against the direction of the program."""
    return suffix.count("_bar") % 2 == 1
