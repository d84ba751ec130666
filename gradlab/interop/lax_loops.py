"""JAX's loops and branches as those of the IR."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import jaxpr_as_fun

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
    cond, body = p["cond_jaxpr"], p["body_jaxpr"]
    if cond.out_avals[0].shape:
        cond, body = _of_a_batch(cond, body, n)
        return while_call(_graph(cond), _graph(body), While(0, 0), xs[:n], xs[:end], xs[end:])
    return while_call(_graph(cond), _graph(body), While(0, 0), xs[:n], xs[n:end], xs[end:])


def _of_a_batch(cond: Any, body: Any, n: int) -> tuple[Any, Any]:
    """Condition and body of a loop that JAX batched, with one condition for each lane: a finished lane stays as it is.

    **Arguments:** `n`: constants of the condition, which the new body takes before its own.
    """
    test, step = jaxpr_as_fun(cond), jaxpr_as_fun(body)
    n_own = len(body.in_avals) - len(cond.in_avals) + n

    def body_of_lanes(*xs: Any) -> list[Any]:
        carry = xs[n + n_own :]
        (going,) = test(*xs[:n], *carry)
        new = step(*xs[n:])
        return [
            jnp.where(going.reshape(going.shape + (1,) * (x.ndim - going.ndim)), x, old)
            for x, old in zip(new, carry, strict=True)
        ]

    whole = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in (*cond.in_avals[:n], *body.in_avals)]
    return (
        jax.make_jaxpr(lambda *xs: jnp.any(test(*xs)[0]))(
            *[jax.ShapeDtypeStruct(a.shape, a.dtype) for a in cond.in_avals]
        ),
        jax.make_jaxpr(body_of_lanes)(*whole),
    )


@reads("cond", into=CALLS)
def _cond(eqn: Any, xs: tuple) -> Any:
    return cond_call(xs[0], [_graph(branch) for branch in eqn.params["branches"]], xs[1:])


def _graph(program: Any) -> Graph:
    """The program an equation carries, of operands of the types it was read for."""
    return graph_of(program, [aval_from(v.aval) for v in opened(program)[0].invars])
