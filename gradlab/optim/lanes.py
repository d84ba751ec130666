"""Many solves in one loop: what `jax.vmap` of a solve is, so that a lane that has ended copies no history.

JAX's own rule for a loop whose lanes end at different trips selects each lane's whole carry at each trip. Here the loop
runs while any lane does, and f is evaluated for all lanes at once. What follows from its values is told

- one lane after the other, in one kernel, where a lane is little arithmetic: a kernel for each operation costs more
  to start than it computes, and a lane that has ended is passed over;
- otherwise to all lanes at once. One that has ended is told its values again, which a method may answer by leaving
  everything as it is except what does not count (`Method.still`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ..lower import small
from .iterate import Limits, Ran, solve, start, told, trip
from .method import RUNNING, Method

tree_map = jax.tree_util.tree_map
_LANE, _LANES = 1 << 12, 1 << 19  # entries of an array of a lane, and of all that all lanes carry, for one kernel


def looped(
    prepare: Callable[[Any, Any], tuple[Any, Any, Any]], outline: Callable[[], Any], method: Method, rows: int
) -> Callable[..., Ran]:
    """(limits, box, inputs) -> the carry at the end of the solve; under `jax.vmap` of the solves, in one loop.

    **Arguments:** `prepare`: (box, inputs) -> (problem, x0, ...); `outline`: () -> the problem without box and inputs;
    `rows`: of history kept.
    """

    in_one_kernel = one_by_one(outline(), method)

    @jax.custom_batching.custom_vmap
    def run(limits: Limits, box: Any, inputs: Any) -> Ran:
        problem, x0, _ = prepare(box, inputs)
        return solve(problem, method, x0, limits, rows)

    def every(size: int, batched: Any, limits: Limits, box: Any, inputs: Any) -> tuple[Ran, Any]:
        axes = tuple(tree_map(lambda yes: 0 if yes else None, part) for part in batched)
        given = (limits, box, inputs)

        def begin(limits: Any, box: Any, inputs: Any) -> Ran:
            problem, x0, _ = prepare(box, inputs)
            return start(problem, method, x0, rows)

        def values(box: Any, inputs: Any, x: Any) -> tuple[Any, Any]:
            return prepare(box, inputs)[0].value_and_grad(x)

        def step(lanes: Any, limits: Any, box: Any, inputs: Any, ran: Ran) -> Ran:
            problem, _, _ = prepare(box, inputs)
            problem.lanes = lanes
            new = trip(problem, method, limits, ran)
            on = ran.state.status == RUNNING
            state = method.still(on, new.state, ran.state)
            return Ran(state, *tree_map(lambda a, b: jnp.where(on, a, b), tuple(new[1:]), tuple(ran[1:])))

        first = jax.vmap(begin, axes, axis_size=size)(*given)
        if method.alone and method.derivative == 1 and not rows and _few(size, first) and _one_kernel():
            evaluate = jax.vmap(values, (*axes[1:], 0), axis_size=size)
            each = tree_map(lambda yes, a: a if yes else jnp.broadcast_to(a, (size, *a.shape)), batched[0], limits)

            def turn(carry: tuple[Any, Ran]) -> tuple[Any, Ran]:
                return in_one_kernel(each, carry[1], *evaluate(box, inputs, carry[1].state.trial))
        else:
            steps = jax.vmap(step, (None, *axes, 0), axis_size=size)

            def turn(carry: tuple[Any, Ran]) -> tuple[Any, Ran]:
                return _with_any(steps(carry[0], *given, carry[1]))

        _, end = lax.while_loop(lambda carry: carry[0], turn, _with_any(first))
        return end, tree_map(lambda _: True, end)

    run.def_vmap(every)
    return run


def one_by_one(problem: Any, method: Method) -> Callable[..., tuple[Any, Ran]]:
    """(limits, ran, f, g), of all lanes -> (whether one still runs, the next ran), in one kernel."""

    def tell(limits: Any, ran: Ran, f: Any, g: Any) -> tuple[Any, Ran]:
        def lane(k: Any, carry: tuple[Any, Ran]) -> tuple[Any, Ran]:
            some, ran = carry
            of_lane = tree_map(lambda a: lax.dynamic_index_in_dim(a, k, 0, False), (limits, ran, f, g))
            running = of_lane[1].state.status == RUNNING
            new = lax.cond(running, lambda *now: told(problem, method, *now), lambda *now: now[1], *of_lane)
            ran = tree_map(lambda a, b: lax.dynamic_update_index_in_dim(a, b, k, 0), ran, new)
            return some | (new.state.status == RUNNING), ran

        return lax.fori_loop(0, len(f), lane, (jnp.asarray(False), ran))

    kernel = jax.custom_batching.custom_vmap(small.part_in_one_kernel(tell))

    @kernel.def_vmap
    def more(size: int, batched: Any, *args: Any) -> tuple[tuple[Any, Ran], Any]:
        # Lanes of lanes are so many more lanes: places that differ between lanes would be scattered to.
        args = tree_map(lambda yes, a: a if yes else jnp.broadcast_to(a, (size, *a.shape)), tuple(batched), args)
        _, ran = kernel(*tree_map(lambda a: a.reshape(-1, *a.shape[2:]), args))
        ran = tree_map(lambda a: a.reshape(size, -1, *a.shape[1:]), ran)
        found = jax.vmap(_with_any)(ran)
        return found, tree_map(lambda _: True, found)

    return kernel


def _few(size: int, ran: Ran) -> bool:
    """Whether the lanes carry so little that one thread is faster than a kernel for each operation on all of them.

    A product with more of a lane's entries would be given to a library (compact.py).
    """
    leaves = jax.tree_util.tree_leaves(ran)
    wide = all(leaf.dtype.itemsize >= 4 or leaf.dtype == bool for leaf in leaves)
    sizes = [int(np.size(leaf)) for leaf in leaves]
    return wide and min(sizes) > 0 and max(sizes) <= size * _LANE and sum(sizes) <= _LANES


def _one_kernel() -> bool:
    """Whether there are such kernels. An array that lies on many devices cannot be taken apart in one."""
    return jax.device_count() == 1 and small.options() is not None


def _with_any(ran: Ran) -> tuple[Any, Ran]:
    return jnp.any(ran.state.status == RUNNING), ran
