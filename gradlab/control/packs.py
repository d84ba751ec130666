"""Sums over a loop's turns, the small ones of one type together: one carry for several, and one write for several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..ir.graph import Atom, Aval, Eqn, Var
from ..ops.families import add_p, reshape_p
from ..ops.shape import concatenate_p, reshape, slice_in_dim

Pack = tuple[Aval, list[int]]  # the type of some sums together, and which they are

FEWEST, MOST = 3, 8  # XLA finds the place of an element among all of a pack: the work of many grows with their square
TINY = 1 << 11  # bytes of one


def packed_sums(avals: Sequence[Aval]) -> list[Pack]:
    """How sums of these types go round the loop."""
    alike: dict[Aval, list[int]] = {}
    for k, aval in enumerate(avals):
        alike.setdefault(aval, []).append(k)
    packs: list[Pack] = []
    for aval, members in alike.items():
        small = aval.size * aval.dtype.itemsize <= TINY
        for at in range(0, len(members), MOST):
            some = members[at : at + MOST]
            if small and len(some) >= FEWEST:
                packs.append((aval.reshaped((len(some), *aval.shape)), some))
            else:
                packs += [(aval, [k]) for k in some]
    return packs


def added(sums: Sequence[Var], packs: Sequence[Pack], values: Sequence[Atom]) -> tuple[list[Eqn], list[Var]]:
    """The equations that add a turn's values to the sums, and the new sums."""
    eqns, totals = [], []
    for so_far, (aval, members) in zip(sums, packs, strict=True):
        value = values[members[0]]
        if len(members) > 1:
            rows = [Var(values[k].aval.reshaped((1, *values[k].shape))) for k in members]
            for k, row in zip(members, rows, strict=True):
                eqns.append(Eqn(reshape_p, (values[k],), (row,), {"shape": row.shape}))
            value = Var(aval)
            eqns.append(Eqn(concatenate_p, tuple(rows), (value,), {"axis": 0}))
        total = Var(add_p.infer(so_far.aval, value.aval)[0])
        eqns.append(Eqn(add_p, (so_far, value), (total,), {}))
        totals.append(total)
    return eqns, totals


def unpacked(outs: Sequence[Any], packs: Sequence[Pack]) -> list[Any]:
    """The sums one by one, in their order."""
    found: dict[int, Any] = {}
    for out, (_, members) in zip(outs, packs, strict=True):
        for at, k in enumerate(members):
            found[k] = out
            if len(members) > 1:
                found[k] = reshape(slice_in_dim(out, at, at + 1, axis=0), out.shape[1:])
    return [found[k] for k in sorted(found)]
