"""Loops and branches carry no more than they must: what stays the same leaves the loop, what comes twice comes once.

A carry that each turn hands on as it came is a constant, and the loop gives it back as it was; a stacked result that
is the same in every turn is repeated outside; a slice that is handed on is the operand it was cut from. So nothing is
copied, and no derivative walks through it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..ir.graph import Atom, Aval, Eqn, Graph, Lit, Var, scalar_key
from ..ops.families import broadcast_p, reshape_p
from ..ops.shape import slice_p
from ..passes.pipeline import tidy
from ..passes.rewrite import Instead
from ..passes.simplify import Made, made_by, rule, with_inputs
from ..transforms.split import stretches
from .cond import cond_p
from .scan import scan_p
from .while_loop import while_p


def key(a: Atom) -> Any:
    """What is equal for atoms that are the same: a variable itself, a literal's number and type."""
    return a if type(a) is Var else (scalar_key(a.value), a.aval)


class Operands:
    """Operands of an equation that its body reads, each once. `instead`: body inputs and the atoms they gave way to."""

    def __init__(self, instead: dict[Var, Atom]):
        self.instead = instead
        self.inputs: list[Var] = []
        self.atoms: list[Atom] = []
        self.seen: dict[Any, Var] = {}

    def add(self, v: Var, a: Atom) -> None:
        """The body's `v` is the operand `a`."""
        first = self.seen.setdefault((key(a), v.aval), v)
        if first is v:
            self.inputs.append(v)
            self.atoms.append(a)
        else:
            self.instead[v] = first

    def add_constant(self, v: Var, a: Atom) -> None:
        """The same of an operand that is no slice: a literal is written where it is read."""
        if type(a) is Lit:
            self.instead[v] = Lit(a.value, v.aval)
        else:
            self.add(v, a)


def now(instead: dict[Var, Any], atoms: Iterable[Atom]) -> list[Any]:
    """The atoms, or what stands in their place."""
    found = []
    for a in atoms:
        while type(a) is Var and a in instead:
            a = instead[a]
        found.append(a)
    return found


def substituted(graph: Graph, instead: dict[Var, Atom]) -> list[Eqn]:
    """The equations of the graph on what stands in their operands' place."""
    return [Eqn(e.prim, tuple(now(instead, e.inputs)), e.outputs, e.params, e.where) for e in graph.eqns]


def stays(v: Var, start: Atom, end: Atom, constants: dict[Var, Atom]) -> bool:
    """Whether a carry that starts as `start` and ends each turn as the body's `end` is always what it was."""
    if end is v:
        return True
    end = constants.get(end, end) if type(end) is Var else end
    return key(end) == key(start) and start.aval == v.aval


def alike(body: Graph, carry: Sequence[tuple[Var, Atom, Aval | None]], ends: Sequence[Atom]) -> dict[Var, Var]:
    """Which carries are always what an earlier one is: they start alike, and step alike as long as they are alike.

    **Arguments:** `carry`: the body's input, the start and the type of the result of each. **Source:** partition
    refinement (Alpern, Wegman & Zadeck, *Detecting equality of variables in programs*, POPL 1988).
    """
    classes = _numbered([(key(start), v.aval, aval) for v, start, aval in carry])
    while len(set(classes)) < len(classes):
        step = _steps(body, {v: ("carry", c) for (v, *_), c in zip(carry, classes, strict=True)}, ends)
        finer = _numbered(list(zip(classes, step, strict=True)))
        if finer == classes:
            break
        classes = finer
    first: dict[int, Var] = {}
    return {v: first[c] for (v, *_), c in zip(carry, classes, strict=True) if first.setdefault(c, v) is not v}


def _numbered(keys: Sequence[Any]) -> list[int]:
    number: dict[Any, int] = {}
    return [number.setdefault(k, len(number)) for k in keys]


def _steps(body: Graph, code: dict[Var, Any], ends: Sequence[Atom]) -> list[int]:
    """Numbers that are equal for ends that are equal, if those inputs are equal which have equal codes."""
    number: dict[Any, int] = {}

    def of(a: Atom) -> int:
        known = code.get(a, a) if type(a) is Var else key(a)
        return number.setdefault(known, len(number))

    for e in body.eqns:
        operands = tuple(sorted(map(of, e.inputs)) if e.prim.commutes else map(of, e.inputs))
        same = number.setdefault((e.prim, operands, tuple(e.params.values())), len(number))
        code.update((v, (same, k)) for k, v in enumerate(e.outputs))
    return [of(a) for a in ends]


@rule(scan_p)
def _scan(eqn: Eqn, made: Made):
    outside: list[Eqn] = []
    instead: dict[Var, Any] = {}
    lean: Eqn | None = eqn
    changed = False
    while lean is not None and (found := _lean_scan(lean, made)) is not None:
        changed = True
        more, lean, got = found
        outside += more
        instead |= got
    if not changed:
        return None
    return Instead([*outside, *([lean] if lean else [])], tuple(now(instead, eqn.outputs)))


def _lean_scan(eqn: Eqn, made: Made) -> tuple[list[Eqn], Eqn | None, dict[Var, Atom]] | None:
    """Equations before it, the loop without what it need not carry, and what stands for its lost results."""
    body, loop = eqn.params["body"], eqn.params["loop"]
    consts, carry, rows = loop.parts(list(zip(body.inputs, eqn.inputs, strict=True)))
    ends, ys = loop.ends(list(zip(body.outputs, eqn.outputs, strict=True)))
    instead: dict[Var, Atom] = {}
    results: dict[Var, Atom] = {}
    before: list[Eqn] = []
    inside: list[Eqn] = []

    fixed, sliced = Operands(instead), Operands(instead)
    for v, a in consts:
        fixed.add_constant(v, a)
    constants = dict(consts)
    kept: list[tuple[Var, Atom, Atom, Var]] = []
    result: dict[Var, Var] = {}  # of the carries that are kept
    twins = alike(body, [(v, start, out.aval) for (v, start), (_, out) in zip(carry, ends, strict=True)],
                  [end for end, _ in ends])  # fmt: skip
    for (v, start), (end, out) in zip(carry, ends, strict=True):
        twin = twins.get(v, v)
        if stays(v, start, end, constants) and start.aval == out.aval:
            fixed.add_constant(v, start)
            constants[v] = start
            results[out] = start
        elif twin in result:
            instead[v], results[out] = twin, result[twin]
        else:
            kept.append((v, start, end, out))
            result[v] = out
    for v, a in rows:
        spread = made_by(a, broadcast_p, made)
        if type(a) is Lit:
            instead[v] = Lit(a.value, v.aval)
        elif spread is not None and 0 not in spread.params["axes"]:
            (row,) = spread.inputs
            once = Var(row.aval)
            fixed.add_constant(once, row)
            constants[once] = row
            axes = tuple([axis - 1 for axis in spread.params["axes"]])
            inside.append(Eqn(broadcast_p, (once,), (v,), {"shape": v.shape, "axes": axes}, spread.where))
        else:
            sliced.add(v, a)

    # What is the same in every turn is computed before, unless that only makes it larger.
    known: dict[Var, Atom] = {**{v: a for v, a in constants.items() if v.aval == a.aval}}
    eqns = []
    for e in [*inside, *body.eqns]:
        inputs = now(instead, e.inputs)
        if stretches(e) or any(type(a) is Var and a not in known for a in inputs):
            eqns.append(e)
            continue
        outs = [Var(v.aval, v.name) for v in e.outputs]
        given = tuple([known[a] if type(a) is Var else a for a in inputs])
        before.append(Eqn(e.prim, given, tuple(outs), e.params, e.where))
        for v, out in zip(e.outputs, outs, strict=True):
            known[v] = out
            fixed.add(v, out)
    cut = {v: a for v, a in rows if v not in instead}
    stacked: list[tuple[Atom, Var]] = []
    first: dict[Any, Var] = {}
    for end, out in ys:
        (value,) = now(instead, [end])
        if type(value) is Lit:
            results[out] = Lit(value.value, out.aval)
        elif value in known:
            axes = tuple(range(1, out.ndim))
            again = Var(broadcast_p.infer(known[value].aval, shape=out.shape, axes=axes)[0])
            if again.aval != out.aval:
                stacked.append((value, out))
                continue
            before.append(Eqn(broadcast_p, (known[value],), (again,), {"shape": out.shape, "axes": axes}, eqn.where))
            results[out] = again
        elif value in cut and cut[value].aval == out.aval:
            results[out] = cut[value]
        elif first.setdefault(key(value), out) is not out:
            results[out] = first[key(value)]
        else:
            stacked.append((value, out))
    if not results and not before and not instead and not inside:
        return None
    outs = now(instead, [*(end for _, _, end, _ in kept), *(value for value, _ in stacked)])
    inputs = [*fixed.inputs, *(v for v, *_ in kept), *sliced.inputs]
    graph = tidy(Graph(inputs, substituted(Graph(inputs, eqns, outs), instead), outs))
    outputs = (*(out for *_, out in kept), *(out for _, out in stacked))
    operands = (*fixed.atoms, *(start for _, start, *_ in kept), *sliced.atoms)
    params = {"body": graph, "loop": loop.with_counts(len(fixed.inputs), len(kept))}
    lean = Eqn(eqn.prim, operands, outputs, params, eqn.where) if outputs else None
    return before, lean and _pruned(lean), results


def _pruned(eqn: Eqn) -> Eqn:
    """Without the operands that the body no longer reads."""
    assert eqn.prim.prune is not None
    return eqn.prim.prune(eqn, [True] * len(eqn.outputs))


@rule(while_p)
def _while(eqn: Eqn, made: Made):
    cond, body, how = eqn.params["cond"], eqn.params["body"], eqn.params["how"]
    on_cond, on_body, carry = how.parts(eqn.inputs)
    of_cond, of_body = cond.inputs[how.n_cond :], body.inputs[how.n_body :]
    in_cond: dict[Var, Atom] = {}
    in_body: dict[Var, Atom] = {}
    tested, fixed = Operands(in_cond), Operands(in_body)
    for v, a in zip(cond.inputs, on_cond, strict=False):
        tested.add_constant(v, a) if how.counter < 0 else tested.add(v, a)
    inside: list[Eqn] = []
    for v, a in zip(body.inputs, on_body, strict=False):
        spread = made_by(a, broadcast_p, made)
        if spread is not None and spread.inputs[0].aval.size == 1 < v.aval.size:
            # A number is repeated inside, so that its derivative is that of one number.
            number = Var(spread.inputs[0].aval)
            fixed.add_constant(number, spread.inputs[0])
            inside.append(Eqn(broadcast_p, (number,), (v,), spread.params, spread.where))
        else:
            fixed.add_constant(v, a)
    constants = dict(zip(body.inputs, on_body, strict=False))
    results: dict[Var, Atom] = {}
    kept = []
    place: dict[Var, int] = {}  # of the carries that are kept
    avals = [None if k == how.counter else out.aval for k, out in enumerate(eqn.outputs)]
    twins = alike(body, list(zip(of_body, carry, avals, strict=True)), body.outputs)
    for k, (v, start, end, out) in enumerate(zip(of_body, carry, body.outputs, eqn.outputs, strict=True)):
        if k != how.counter and stays(v, start, end, constants) and start.aval == out.aval:
            fixed.add_constant(v, start)
            if how.counter < 0:  # otherwise the condition reads the counter alone
                tested.add_constant(of_cond[k], start)
            constants[v] = start
            results[out] = start
        elif v in twins and twins[v] in place:
            in_body[v] = twins[v]
            in_cond[of_cond[k]] = of_cond[place[twins[v]]]
            results[out] = eqn.outputs[place[twins[v]]]
        else:
            kept.append(k)
            place[v] = k
    if not results and not in_cond and not in_body and not inside:
        return None
    test = Graph([*tested.inputs, *(of_cond[k] for k in kept)], substituted(cond, in_cond), now(in_cond, cond.outputs))
    ends = now(in_body, [body.outputs[k] for k in kept])
    graph = tidy(
        Graph(
            [*fixed.inputs, *(of_body[k] for k in kept)],
            substituted(Graph((), (*inside, *body.eqns), ()), in_body),
            ends,
        )
    )
    counter = kept.index(how.counter) if how.counter >= 0 else -1
    params = {
        "cond": tidy(test) if how.counter < 0 else test,
        "body": graph,
        "how": how._replace(n_cond=len(tested.inputs), n_body=len(fixed.inputs), counter=counter),
    }
    operands = (*tested.atoms, *fixed.atoms, *(carry[k] for k in kept))
    lean = Eqn(eqn.prim, operands, tuple([eqn.outputs[k] for k in kept]), params, eqn.where)
    return Instead([_pruned(lean)], tuple(now(results, eqn.outputs)))


@rule(cond_p)
def _cond(eqn: Eqn, made: Made):
    which, *xs = eqn.inputs
    branches = eqn.params["branches"]
    if type(which) is Lit:
        assert not isinstance(which.value, complex)
        return _chosen(eqn, branches[max(0, min(int(which.value), len(branches) - 1))], xs)
    insteads: list[dict[Var, Atom]] = []
    operands: Sequence[Atom] = ()
    inputs: list[list[Var]] = []
    for graph in branches:
        instead: dict[Var, Atom] = {}
        given = Operands(instead)
        # The branches share their operands: what is merged in one is merged in all, so types must agree in all.
        for k, (v, a) in enumerate(zip(graph.inputs, xs, strict=True)):
            if all(g.inputs[k].aval == a.aval for g in branches):
                given.add_constant(v, a)
            else:
                given.inputs.append(v)
                given.atoms.append(a)
        insteads.append(instead)
        inputs.append(given.inputs)
        operands = given.atoms
    results: dict[Var, Atom] = {}
    kept: list[int] = []
    seen: dict[tuple, Var] = {}
    for k, out in enumerate(eqn.outputs):
        ends = [now(i, [g.outputs[k]])[0] for g, i in zip(branches, insteads, strict=True)]
        outer = [_outside(end, vs, operands) for end, vs in zip(ends, inputs, strict=True)]
        first = seen.setdefault(tuple(map(key, ends)), out)
        if outer[0] is not None and outer[0].aval == out.aval and all(o and key(o) == key(outer[0]) for o in outer):
            results[out] = outer[0]
        elif first is not out and first.aval == out.aval:
            results[out] = first
        else:
            kept.append(k)
    if not results and not any(insteads):
        return None
    graphs = []
    for graph, vs, instead in zip(branches, inputs, insteads, strict=True):
        outs = now(instead, [graph.outputs[k] for k in kept])
        graphs.append(tidy(Graph(vs, substituted(graph, instead), outs)))
    outputs = tuple([eqn.outputs[k] for k in kept])
    lean = Eqn(eqn.prim, (which, *operands), outputs, {"branches": tuple(graphs)}, eqn.where)
    return Instead([_pruned(lean)] if outputs else [], tuple(now(results, eqn.outputs)))


def _outside(end: Atom, inputs: Sequence[Var], operands: Sequence[Atom]) -> Atom | None:
    """The operand that a branch hands on."""
    if type(end) is Lit:
        return end
    return next((a for v, a in zip(inputs, operands, strict=True) if v is end), None)


def _chosen(eqn: Eqn, branch: Graph, xs: Sequence[Atom]):
    """The branch in place of the choice, where that is known."""
    instead: dict[Var, Atom] = dict(zip(branch.inputs, xs, strict=True))
    eqns = []
    for e in branch.eqns:
        outs = tuple([Var(v.aval, v.name) for v in e.outputs])
        eqns.append(Eqn(e.prim, tuple(now(instead, e.inputs)), outs, e.params, e.where))
        instead.update(zip(e.outputs, outs, strict=True))
    found = tuple(now(instead, branch.outputs))
    same = all(a.aval == v.aval for a, v in zip(found, eqn.outputs, strict=True))
    typed = all(a.aval == v.aval for a, v in zip(xs, branch.inputs, strict=True))
    return Instead(eqns, found) if same and typed else None


@rule(slice_p)
def _last(eqn: Eqn, made: Made):
    """The last of the stacked values of a carry is the carry that comes out: nothing is stacked for it."""
    (x,) = eqn.inputs
    loop_eqn = made_by(x, scan_p, made)
    if loop_eqn is None:
        return None
    body, loop = loop_eqn.params["body"], loop_eqn.params["loop"]
    at = 0 if loop.reverse else loop.length - 1
    start, limit = eqn.params["start"], eqn.params["limit"]
    whole = tuple(start[1:]) == (0,) * (x.ndim - 1) and tuple(limit[1:]) == x.shape[1:]
    if (start[0], limit[0]) != (at, at + 1) or not whole or set(eqn.params["strides"]) != {1}:
        return None
    number = next((k for k, v in enumerate(loop_eqn.outputs) if v is x), 0)
    ends = body.outputs[: loop.n_carry]
    carry = next((k for k, a in enumerate(ends) if a is body.outputs[number]), None)
    if number < loop.n_carry or carry is None:
        return None
    return with_inputs(eqn, reshape_p, loop_eqn.outputs[carry], shape=eqn.outputs[0].shape)
