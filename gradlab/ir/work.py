"""What an equation costs to run: `Work`, and its sum over a program. An unknown cost is an error, never a zero."""

from __future__ import annotations

from typing import NamedTuple

from .errors import MissingRuleError
from .graph import Eqn, Graph


class Work(NamedTuple):
    """Operations by the usual convention: one FLOP for each addition, multiplication, division, comparison or choice of
    two real numbers, two for a multiply-add; exponentials, roots and the like apart. `inside`: programs that are run as
    part of it, and how often each.
    """

    flops: int = 0
    transcendentals: int = 0
    inside: tuple[tuple[Graph, int], ...] = ()


def work(eqn: Eqn) -> Work:
    """The work of one equation.

    **Raises:** `MissingRuleError` with the user's line where it is not known before the program runs.
    """
    outs = tuple([v.aval for v in eqn.outputs])
    try:
        return eqn.prim.cost(outs, *[a.aval for a in eqn.inputs], **eqn.params)
    except MissingRuleError as error:
        raise error.at(eqn.where) from None


def total_work(graph: Graph) -> tuple[int, int]:
    """FLOPs and transcendentals of a program, those inside its equations included.

    **Raises:** as `work`.
    """
    flops = transcendentals = 0
    for eqn in graph.eqns:
        one = work(eqn)
        flops += one.flops
        transcendentals += one.transcendentals
        for inner, times in one.inside:
            more = total_work(inner)
            flops += times * more[0]
            transcendentals += times * more[1]
    return flops, transcendentals
