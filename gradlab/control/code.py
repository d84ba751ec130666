"""A program as numbers, for `repeats` to look for what comes again: what each equation does, and to which values.

The numbers of a trace are taken from its columns, millions at a time, and an equation is written only once somebody
looks at it: of a long loop, those of a turn or two.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from ..ir.graph import Aval, Eqn, Graph, Lit, Var, is_key, scalar_key
from ..ir.primitive import Primitive
from ..ops.contract import dot_general_p
from ..ops.convert import convert_p
from ..ops.families import broadcast_p, permute_p, reshape_p
from ..ops.shape import concatenate_p, slice_p
from ..trace.builder import Builder, Kind

LEAST_JOINED = 8  # operands of a concatenation that are worth looking at
_OWN_CODE = 6  # a matrix product that XLA writes code for compiles as long as so many equations
_MOVES_DATA = frozenset((slice_p, reshape_p, broadcast_p, permute_p, convert_p))


class Code(NamedTuple):
    """A program as numbers.

    **Attributes:** `inputs`, `eqns`, `values`: the program's, `values` first the inputs and then the results of the
    equations, in order; `outputs`: numbers of values. `kind`: what each equation does; `weight`: how much there is to
    compile in it; `first`: the number of its first result (one entry more at the end); `start`: where its operands
    begin in `operands` (likewise); `operands`: the numbers of values, those of `literals` negative (literal k is −1−k);
    `origin`: the equation that makes each value, −1 for inputs; `size`: its bytes; `joins`: whether there is a long
    concatenation.
    """

    inputs: Sequence[Var]
    eqns: Sequence[Eqn]
    values: Sequence[Var]
    outputs: list[int]
    literals: list[Lit]
    kind: np.ndarray
    weight: np.ndarray
    first: np.ndarray
    start: np.ndarray
    operands: np.ndarray
    origin: np.ndarray
    size: np.ndarray
    joins: bool


def weight_of(prim: Primitive, avals: Sequence[Aval], params: dict[str, Any]) -> int:
    """How much there is to compile, in elementwise equations: nothing where data only moves, a loop's body once."""
    if prim in _MOVES_DATA:
        return 0
    if prim is dot_general_p:
        return _OWN_CODE if _is_small(avals, params) else 1
    found = [params[name] for name in prim.graphs]
    graphs = [g for value in found for g in (value if isinstance(value, tuple) else (value,)) if isinstance(g, Graph)]
    return 1 + sum(weight_of(e.prim, [a.aval for a in e.inputs], e.params) for g in graphs for e in g.eqns)


def _is_small(avals: Sequence[Aval], params: dict[str, Any]) -> bool:
    """Whether XLA writes code of its own for a matrix product: with a vector, or of very small matrices."""
    x, y = avals
    terms = math.prod(x.shape[a] for a in params["contract"][0])
    batch = math.prod(x.shape[a] for a in params["batch"][0])
    rows, columns = (a.size // max(terms * batch, 1) for a in (x, y))
    return min(rows, columns) <= 1 or rows * columns * terms <= 4096


class _Kinds:
    """Numbers for what equations do, and what follows from it."""

    def __init__(self) -> None:
        self.number: dict[tuple, int] = {}
        self.weight: list[int] = []
        self.size: list[list[int]] = []  # bytes of the results
        self.joins = False

    def of(self, kind: Kind, params: dict[str, Any]) -> int:
        """The number of equations that do this, wherever a slice begins: that may advance."""
        prim, avals, values, outs = kind
        key = (prim, avals, outs[0].shape, params["strides"]) if prim is slice_p else (prim, avals, values)
        found = self.number.get(key)
        if found is None:
            found = self.number[key] = len(self.number)
            self.weight.append(weight_of(prim, avals, params))
            self.size.append([aval.size * (16 if is_key(aval.dtype) else aval.dtype.itemsize) for aval in outs])
            self.joins = self.joins or (prim is concatenate_p and len(avals) >= LEAST_JOINED)
        return found

    def table(self, kind: np.ndarray, counts: np.ndarray, n_inputs: int) -> dict[str, np.ndarray]:
        """The columns that follow from what each equation does; `counts`: how many operands it has."""
        n_outs = np.array([len(sizes) for sizes in self.size] or [0], np.int64)
        sizes = np.array(list(chain.from_iterable(self.size)) or [0], np.int64)
        at = np.concatenate(([0], np.cumsum(n_outs)))[:-1]
        made = n_outs[kind]
        first = np.concatenate(([0], np.cumsum(made)))
        within = np.arange(first[-1]) - np.repeat(first[:-1], made)
        return {
            "kind": kind,
            "weight": np.array(self.weight or [0], np.int64)[kind],
            "first": first + n_inputs,
            "start": np.concatenate(([0], np.cumsum(counts))),
            "origin": np.concatenate((np.full(n_inputs, -1), np.repeat(np.arange(len(kind)), made))),
            "size": np.concatenate((np.zeros(n_inputs, np.int64), sizes[np.repeat(at[kind], made) + within])),
        }


def code_of(graph: Graph) -> Code:
    """A graph as numbers."""
    number: dict[Var, int] = {}
    values: list[Var] = []
    kinds = _Kinds()
    literal_of: dict[Any, int] = {}
    literals: list[Lit] = []
    kind: list[int] = []
    counts: list[int] = []
    operands: list[int] = []

    def code(a: Var | Lit) -> int:
        if type(a) is Var:
            return number[a]
        key = (scalar_key(a.value), a.aval)
        n = literal_of.get(key)
        if n is None:
            n = literal_of[key] = -1 - len(literals)
            literals.append(a)
        return n

    def define(vs: Sequence[Var]) -> None:
        for v in vs:
            number[v] = len(values)
            values.append(v)

    define(graph.inputs)
    for eqn in graph.eqns:
        operands += map(code, eqn.inputs)
        counts.append(len(eqn.inputs))
        kind.append(kinds.of(_kind_of(eqn), eqn.params))
        define(eqn.outputs)
    table = kinds.table(np.array(kind, np.int64), np.array(counts, np.int64), len(graph.inputs))
    return Code(
        graph.inputs,
        graph.eqns,
        values,
        [code(a) for a in graph.outputs],
        literals,
        operands=np.array(operands, np.int64),
        joins=kinds.joins,
        **table,
    )


def _kind_of(eqn: Eqn) -> Kind:
    avals = tuple([a.aval for a in eqn.inputs])
    return Kind(eqn.prim, avals, tuple(eqn.params.values()), tuple([v.aval for v in eqn.outputs]))


# -- traces


def code_read(
    builder: Builder, outputs: Sequence[Any], varying: frozenset[int] = frozenset(), names: Sequence[str] = ()
) -> Code:
    """A trace as numbers, without what nobody reads: that of `builder.graph(outputs, varying, names)`."""
    inputs, head, var = builder.head(varying, names)
    numbers = [n for n, kind in enumerate(builder.kinds) if kind is not None]
    results = [a.id for a in outputs if type(a) is not Lit]
    ids = _operands(builder, numbers)
    origin = np.array(builder.origin, np.int64)
    live = _live(numbers, ids, origin, results)
    if live is not None:
        numbers = live
        ids = _operands(builder, numbers)

    # How values are numbered: inputs, what the head makes, then what the rows make, in order.
    place: dict[Var, int] = {}
    for v in chain(inputs, *(eqn.outputs for eqn in head)):
        place[v] = len(place)
    code = np.zeros(len(origin), np.int64)
    literals: list[Lit] = []
    for id, a in var.items():
        if type(a) is Lit:
            literals.append(a)
        code[id] = -len(literals) if type(a) is Lit else place[a]
    is_row = np.zeros(len(builder.rows), bool)
    is_row[numbers] = True
    made = np.flatnonzero(is_row[origin])
    code[made] = len(place) + np.arange(len(made))

    kinds = _Kinds()
    of_head = [kinds.of(_kind_of(eqn), eqn.params) for eqn in head]
    every = [kind for kind in map(builder.kinds.__getitem__, numbers) if kind is not None]
    _, some, which = np.unique(np.fromiter(map(id_of, every), np.int64, len(every)), True, True)
    of_kind = [kinds.of(every[k], builder.params[numbers[k]]) for k in some.tolist()]
    kind = np.concatenate((np.array(of_head, np.int64), np.array(of_kind, np.int64)[which.reshape(-1)]))
    counts = np.fromiter(chain((len(eqn.inputs) for eqn in head), map(len, ids)), np.int64, len(kind))
    of_head = [place[a] for eqn in head for a in eqn.inputs if type(a) is Var]
    flat = np.fromiter(chain.from_iterable(ids), np.int64, int(counts[len(head) :].sum()))
    table = kinds.table(kind, counts, len(inputs))
    outs = []
    for a in outputs:
        if type(a) is Lit:
            literals.append(Lit(a.value, a.aval))
        outs.append(-len(literals) if type(a) is Lit else int(code[a.id]))
    operands = np.concatenate((np.array(of_head, np.int64), code[flat]))
    eqns = _Rows(builder, head, numbers, list(place), literals, operands, table)
    return Code(inputs, eqns, eqns.values, outs, literals, operands=operands, joins=kinds.joins, **table)


id_of = id  # under a name that no number takes


def _operands(builder: Builder, numbers: Sequence[int]) -> list[tuple[int, ...]]:
    rows = builder.rows
    return [rows[n][1] for n in numbers]


def _live(
    numbers: Sequence[int], ids: Sequence[tuple[int, ...]], origin: np.ndarray, results: Sequence[int]
) -> list[int] | None:
    """The rows on which the results depend; None if it is all of them."""
    read = np.zeros(len(origin), bool)
    read[np.fromiter(chain.from_iterable(ids), np.int64)] = True
    read[results] = True
    reached = np.zeros(int(origin.max(initial=-1)) + 1, bool)
    reached[origin[read]] = True
    if reached[numbers].all():  # an unread row would be the last of what depends on it
        return None
    of = origin.tolist()
    alive = bytearray(len(reached))
    for id in results:
        alive[of[id]] = 1
    kept = []
    for n, operands in zip(reversed(numbers), reversed(ids), strict=True):
        if alive[n]:
            kept.append(n)
            for id in operands:
                alive[of[id]] = 1
    return kept[::-1]


class _Values(Sequence[Var]):
    """The variables of a trace, each made when somebody asks for it."""

    def __init__(self, rows: _Rows, known: Sequence[Var]):
        self.rows = rows
        self.known = dict(enumerate(known))

    def __len__(self) -> int:
        return len(self.rows.origin)

    def __getitem__(self, n: Any) -> Any:
        found = self.known.get(n)
        if found is None:
            k = int(self.rows.origin[n])
            found = self.known[n] = Var(self.rows.kind(k).outs[n - int(self.rows.first[k])])
        return found


class _Rows(Sequence[Eqn]):
    """The equations of a trace, each written when somebody asks for it."""

    def __init__(
        self,
        builder: Builder,
        head: Sequence[Eqn],
        numbers: Sequence[int],
        known: Sequence[Var],
        literals: Sequence[Lit],
        operands: np.ndarray,
        table: dict[str, np.ndarray],
    ):
        self.builder, self.head, self.numbers, self.literals = builder, head, numbers, literals
        self.operands, self.start, self.first, self.origin = operands, table["start"], table["first"], table["origin"]
        self.values = _Values(self, known)

    def __len__(self) -> int:
        return len(self.head) + len(self.numbers)

    def kind(self, k: int) -> Kind:
        kind = self.builder.kinds[self.numbers[k - len(self.head)]]
        assert kind is not None
        return kind

    def __getitem__(self, k: Any) -> Any:
        if isinstance(k, slice):
            return [self[n] for n in range(*k.indices(len(self)))]
        if k < len(self.head):
            return self.head[k]
        number = self.numbers[k - len(self.head)]
        row, values, literals = self.builder.rows[number], self.values, self.literals
        operands = self.operands[self.start[k] : self.start[k + 1]].tolist()
        inputs = tuple([values[n] if n >= 0 else literals[-1 - n] for n in operands])
        outputs = tuple([values[n] for n in range(self.first[k], self.first[k + 1])])
        return Eqn(row[0], inputs, outputs, self.builder.params[number], self.builder.where_of(number))

    def __iter__(self) -> Iterator[Eqn]:
        return (self[k] for k in range(len(self)))
