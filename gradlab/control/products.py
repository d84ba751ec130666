"""Sums of products over the turns of a loop: the factors are kept, and multiplied all at once after the loop.

The gradient by a matrix that every turn multiplies with is such a sum, Σ xₜ gₜᵀ. Added up turn by turn, the whole
matrix is read and written in each; as one product of all xₜ with all gₜ, it is written once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from ..ir.graph import Atom, Eqn, Graph, Var
from ..ops.contract import dot_general, dot_general_p
from ..ops.families import permute_p
from ..trace.builder import bind1

FEWER = 4  # how many times more bytes the product must have than the factors that have to be kept for it
ROOM = 1 << 22  # bytes that may be kept in any case; beyond them, as much as the loop reads anyway


class Product(NamedTuple):
    """A turn's term of such a sum: a product of two factors, its axes perhaps reordered."""

    eqn: Eqn
    order: tuple[int, ...] | None

    def total(self, stacked: Mapping[Atom, Any]) -> Any:
        """The sum over the turns, of the factors of all turns."""
        x, y = (stacked[a] for a in self.eqn.inputs)
        params = self.eqn.params
        (over_x, over_y), (each_x, each_y) = params["contract"], params["batch"]
        contract = (0, *_later(over_x)), (0, *_later(over_y))
        batch = _later(each_x), _later(each_y)
        precision, dtype = params["precision"], params["out_dtype"]
        out = dot_general(x, y, contract=contract, batch=batch, precision=precision, out_dtype=dtype)
        return out if self.order is None else bind1(permute_p, out, order=self.order)


def _later(axes: tuple[int, ...]) -> tuple[int, ...]:
    """The axes behind that of the turns."""
    return tuple([a + 1 for a in axes])


def later_products(
    back: Graph, sums: Sequence[Atom], fixed: Collection[Var], rows: Collection[Var], length: int
) -> tuple[dict[int, Product], list[Var]]:
    """Which of the sums are better computed after the loop, as what; and the factors to be kept for them.

    **Arguments:** `sums`: what each turn adds. `fixed`: values that are the same in every turn. `rows`: those that are
    there for all turns already.
    """
    made = {v: eqn for eqn in back.eqns for v in eqn.outputs}
    reads: dict[Atom, int] = {}
    for a in (*back.outputs, *(a for eqn in back.eqns for a in eqn.inputs)):
        reads[a] = reads.get(a, 0) + 1
    room = max(ROOM, length * sum(map(_bytes, rows)))
    found: dict[int, Product] = {}
    kept: dict[Var, None] = {}
    for k, term in enumerate(sums):
        product = _product(term, made, reads)
        if product is None or any(type(a) is not Var or a in fixed for a in product.eqn.inputs):
            continue
        more = [a for a in product.eqn.inputs if type(a) is Var and a not in rows and a not in kept]
        size = sum(map(_bytes, more))
        if FEWER * size <= _bytes(term) and length * size <= room:
            found[k] = product
            kept.update(dict.fromkeys(more))
            room -= length * size
    return found, list(kept)


def _product(term: Atom, made: Mapping[Var, Eqn], reads: Mapping[Atom, int]) -> Product | None:
    order = None
    eqn = made.get(term) if type(term) is Var and reads[term] == 1 else None
    if eqn is not None and eqn.prim is permute_p:
        order = eqn.params["order"]
        (term,) = eqn.inputs
        eqn = made.get(term) if type(term) is Var and reads[term] == 1 else None
    return Product(eqn, order) if eqn is not None and eqn.prim is dot_general_p else None


def _bytes(a: Atom) -> int:
    return a.aval.size * a.dtype.itemsize
