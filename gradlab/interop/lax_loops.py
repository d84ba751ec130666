"""JAX's loops and branches as those of the IR."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..control.cond import cond_call
from ..control.scan import Loop, scan_call
from ..control.while_loop import While, while_call
from ..ir.graph import Graph
from .jaxpr import CALLS, aval_from, graph_of, opened, reads


@reads("scan", into=CALLS)
def _scan(eqn: Any, xs: tuple) -> Any:
    p = eqn.params
    n_consts, n_carry = _counts(p)
    end = n_consts + n_carry
    loop = Loop(n_consts, n_carry, p["length"], bool(p["reverse"]), int(p["unroll"]))
    return scan_call(_graph(p["jaxpr"]), loop, xs[:n_consts], xs[n_consts:end], xs[end:])


def _counts(params: Mapping[str, Any]) -> tuple[int, int]:
    """How many operands of a scan are consts and carries; JAX 0.12 says it by the structure of its operands."""
    if "num_carry" in params:
        return params["num_consts"], params["num_carry"]
    consts, carry, _ = params["ft_in"].unpack()
    return len(consts), len(carry)


@reads("while", into=CALLS)
def _while(eqn: Any, xs: tuple) -> Any:
    p = eqn.params
    n = p["cond_nconsts"]
    end = n + p["body_nconsts"]
    return while_call(_graph(p["cond_jaxpr"]), _graph(p["body_jaxpr"]), While(0, 0), xs[:n], xs[n:end], xs[end:])


@reads("cond", into=CALLS)
def _cond(eqn: Any, xs: tuple) -> Any:
    return cond_call(xs[0], [_graph(branch) for branch in eqn.params["branches"]], xs[1:])


def _graph(program: Any) -> Graph:
    """The program an equation carries, of operands of the types it was read for."""
    return graph_of(program, [aval_from(v.aval) for v in opened(program)[0].invars])
