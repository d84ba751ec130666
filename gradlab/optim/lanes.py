"""Many solves in one loop: what `jax.vmap` of a solve is, so that a lane that has ended copies no history.

JAX's own rule for a loop whose lanes end at different trips selects each lane's whole carry at each trip. Here the loop
runs while any lane does, and a lane that has ended is told its values again, which a method may answer by leaving
everything as it is except what does not count (`Method.still`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from .iterate import Limits, Ran, solve, start, trip
from .method import RUNNING, Method

tree_map = jax.tree_util.tree_map


def looped(prepare: Callable[[Any, Any], tuple[Any, Any, Any]], method: Method, rows: int) -> Callable[..., Ran]:
    """(limits, box, inputs) -> the carry at the end of the solve; under `jax.vmap` of the solves, in one loop.

    **Arguments:** `prepare`: (box, inputs) -> (problem, x0, ...); `rows`: of history kept.
    """

    @jax.custom_batching.custom_vmap
    def run(limits: Limits, box: Any, inputs: Any) -> Ran:
        problem, x0, _ = prepare(box, inputs)
        return solve(problem, method, x0, limits, rows)

    def every(size: int, batched: Any, limits: Limits, box: Any, inputs: Any) -> tuple[Ran, Any]:
        axes = tuple(tree_map(lambda yes: 0 if yes else None, part) for part in batched)

        def begin(limits: Any, box: Any, inputs: Any) -> Ran:
            problem, x0, _ = prepare(box, inputs)
            return start(problem, method, x0, rows)

        def step(lanes: Any, limits: Any, box: Any, inputs: Any, ran: Ran) -> Ran:
            problem, _, _ = prepare(box, inputs)
            problem.lanes = lanes
            new = trip(problem, method, limits, ran)
            on = ran.state.status == RUNNING
            state = method.still(on, new.state, ran.state)
            return Ran(state, *tree_map(lambda a, b: jnp.where(on, a, b), tuple(new[1:]), tuple(ran[1:])))

        given = (limits, box, inputs)
        first = jax.vmap(begin, axes, axis_size=size)(*given)
        steps = jax.vmap(step, (None, *axes, 0), axis_size=size)

        def with_any(ran: Ran) -> tuple[Any, Ran]:
            return jnp.any(ran.state.status == RUNNING), ran

        _, end = lax.while_loop(
            lambda carry: carry[0], lambda carry: with_any(steps(carry[0], *given, carry[1])), with_any(first)
        )
        return end, tree_map(lambda _: True, end)

    run.def_vmap(every)
    return run
