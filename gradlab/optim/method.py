"""A method is a state machine over one vector: it names the next point, is told f and its gradient there, and goes on.

Line search and outer iteration are states of one machine, so a solve is one loop with one place where f is evaluated
(`solve`, in iterate.py): each trip evaluates f at `state.trial` and hands the values to `tell`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Protocol

import jax
import jax.numpy as jnp
from jax import lax

from .options import Number, require
from .result import Status

RUNNING = int(Status.RUNNING)


class Problem(Protocol):
    """What a method may ask of the function it minimises. Vectors are real, shape (n,), of dtype `dtype`.

    **Attributes:** `n`, `dtype`; `lower`, `upper`: (n,) or None, both None or both given (±inf where unbounded);
    `lanes`: None; for one of many problems solved in one loop, a true scalar that is the same for all (see `once`).
    There masks cost less than places that differ; `each`: (f, arrays) -> f of each of their rows, stacked.
    """

    n: int
    dtype: Any
    lower: Any
    upper: Any
    lanes: Any
    each: Callable[[Callable, Any], Any]

    def value_and_grad(self, x: jax.Array) -> tuple[jax.Array, jax.Array]: ...

    def hvp(self, x: jax.Array, v: jax.Array) -> jax.Array: ...

    def hessian(self, x: jax.Array) -> jax.Array: ...

    def optimality(self, x: jax.Array, g: jax.Array) -> jax.Array: ...


class State(Protocol):
    """What the loop reads of a method's state (a NamedTuple with these fields, and whatever else it needs).

    **Attributes:** `trial`: (n,), where f is evaluated next; `x`, `f`, `g`: the current iterate, where f is finite and
    lowest so far; `gnorm`: `problem.optimality(x, g)`; `step`: the length of the last step along its direction;
    `n_iters`: int32, grows by one exactly when a new iterate is accepted; `status`: int32, RUNNING or why the method
    gives up (the loop itself finds out about convergence, limits, and a start that is not finite or stationary).
    """

    trial: Any
    x: Any
    f: Any
    g: Any
    gnorm: Any
    step: Any
    n_iters: Any
    status: Any

    def _replace(self, **changes: Any) -> Any: ...


@dataclass(frozen=True)
class Method:
    """A minimiser. Its fields are its options: hashable, and fixed when the program is compiled.

    **Attributes:** `bounded`: whether it takes bounds; `derivative`: 2 if it asks for hvp or hessian;
    `alone`: whether it is arithmetic only, in loops and branches: no library is called, nothing is scattered; `needs`:
    what options must be, checked when the method is made.
    """

    bounded: ClassVar[bool] = False
    derivative: ClassVar[int] = 1
    alone: ClassVar[bool] = False
    needs: ClassVar[Mapping[str, Number]] = {}

    def __post_init__(self) -> None:
        usual = {field.name: field.default for field in fields(self)}
        require(type(self).__name__, self.needs, {name: getattr(self, name) for name in usual}, usual)

    def init(self, problem: Problem, x0: jax.Array) -> Any:
        """The state before anything is evaluated: `trial` is x0, `x` too, f = inf, g = 0, gnorm = inf, n_iters = 0."""
        raise NotImplementedError

    def tell(self, problem: Problem, state: Any, f: jax.Array, g: jax.Array) -> Any:
        """The next state, from the values at `state.trial`. The first call is the one for x0 (`state.f` is inf then).

        f and g may be nan or inf: such a trial is refused, and the next one is nearer to `state.x`.
        """
        raise NotImplementedError

    def still(self, on: Any, new: Any, old: Any) -> Any:
        """One of many solves in one loop: `new` where it is `on`; where it has ended, what answers as `old`.

        A large field that a trip changes in place, and only where it does not count, may be `new` in both.
        """
        return jax.tree_util.tree_map(lambda a, b: jnp.where(on, a, b), new, old)

    def finish(self, problem: Problem, state: Any) -> Any:
        """The state to answer with once it has stopped: here a method may put the best point met into x, f, g."""
        return state

    def extra(self, state: Any) -> Any:
        """What `Result.extra` holds of the last state: nothing, or counts of what else was computed."""
        return None


def once(lanes: Any, compute: Callable[[], Any]) -> Any:
    """compute(); with many lanes, in kernels of its own, where XLA would do it again in each kernel that reads it.

    A branch ends a kernel, and one on a scalar that all lanes share is a branch under `jax.vmap`, too.
    """
    if lanes is None:
        return compute()
    shapes = jax.eval_shape(compute)
    return lax.cond(
        lanes, compute, lambda: jax.tree_util.tree_map(lambda aval: jnp.zeros(aval.shape, aval.dtype), shapes)
    )


def at_once(f: Callable, arrays: Any) -> Any:
    """f of each row of the arrays, stacked."""
    return jax.vmap(f)(arrays)


def blank(problem: Problem, x0: jax.Array) -> dict[str, Any]:
    """The fields of `State` before the first evaluation."""
    inf = jnp.asarray(jnp.inf, problem.dtype)
    zero = jnp.zeros((), jnp.int32)
    return {
        "trial": x0, "x": x0, "f": inf, "g": jnp.zeros_like(x0), "gnorm": inf,
        "step": jnp.zeros((), problem.dtype), "n_iters": zero, "status": zero,
    }  # fmt: skip
