"""A function read once into the IR, and its derivatives as JAX functions of one flat vector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..api.arguments import OnLeaves, call_names, name_of, tree_flatten, tree_unflatten
from ..api.calling import Reading
from ..api.programs import Program, jvp_program, value_and_grad_program
from ..api.results import described, filled, split_aux
from ..ir.errors import DTypeError, NonScalarError, StructureError
from ..ir.graph import Graph
from ..trace.avals import aval_of
from ..trace.tracer import Tracer
from .flat import Flat, flat_of
from .method import at_once

_MOVING = (jax.Array, np.ndarray, np.generic, Tracer, float, complex)  # other arguments are read as what they are


class Read:
    """`fun(x, *args)` read: an open trace with the leaves of x, then the array leaves of args, as inputs.

    **Attributes:** `flat`: how x lies in a vector; `chosen`: which leaves of (x, *args) are inputs; `reading`: the
    trace; `result`: what `fun` returned, on tracers.
    **Raises:** `DTypeError`, `StructureError` for an x that cannot move.
    """

    def __init__(self, fun: Callable, x: Any, args: tuple, of: str):
        if not callable(fun):
            raise StructureError(f"{of} needs a function, got {fun!r}. Write {of}(f, x0), not {of}(f(x0), x0).")
        self.fun, self.of = fun, of
        self.flat, x_leaves = flat_of(x, of)
        leaves, tree = tree_flatten(((x, *args), {}))
        n = len(x_leaves)
        chosen = [k for k, leaf in enumerate(leaves) if k < n or isinstance(leaf, _MOVING)]
        self.chosen = chosen
        call = OnLeaves(fun, leaves, tree, chosen)
        given = [leaves[k] for k in chosen]
        avals = [*self.flat.avals, *(aval_of(leaf) for leaf in given[n:])]

        def names() -> list[str]:
            every = call_names(fun, (x, *args), {})
            return [every[k] for k in chosen]

        self.reading = Reading(call, given, avals, concrete=False, names=names, fun=fun)
        self.result = self.reading.result

    def scalar(self, has_aux: bool) -> tuple[Any, Callable[[Sequence[Any]], Any]]:
        """Record one real number as the result: its aval, and how to put the auxiliary value back from its outputs.

        **Raises:** `NonScalarError`, `DTypeError`, `StructureError`.
        """
        value, aux = split_aux(self.result, has_aux, self.fun, self.of)
        name = name_of(self.fun)
        leaves, _ = tree_flatten(value)
        if len(leaves) != 1 or leaves[0] is not value or np.shape(value) != ():
            raise NonScalarError(
                f"{self.of} needs {name} to return one number, got {described(value)}. Sum it; for a vector of "
                "residuals there are gradlab.optim.least_squares and gradlab.optim.root; other values go into aux, "
                "with has_aux=True."
            )
        aval = aval_of(value)
        if aval.dtype.kind == "c":
            raise DTypeError(f"{self.of} needs {name} to return a real number, got {aval}. Take .real, or abs(...)**2.")
        if aval.dtype.kind in "biu":
            raise DTypeError(
                f"{self.of} needs {name} to return a floating number, got {aval}, whose gradient is zero everywhere. "
                "Compute it in floating point."
            )
        self.reading.take(value)
        if not has_aux:
            return aval, lambda outs: None
        aux_leaves, aux_tree = tree_flatten(aux)
        self.reading.take_aux(aux_leaves)
        put = self.reading.put_aux
        return aval, lambda outs: tree_unflatten(aux_tree, put(outs))


class Objective:
    """A graph (x*, rest*) -> (value, aux*) and what solvers want of it, made when first asked for.

    **Attributes:** `flat`: how x* lie in a vector; `eps`: the relative rounding error of the coarsest dtype involved.
    """

    def __init__(self, graph: Graph, flat: Flat):
        self.graph, self.flat = graph, flat
        self.solvers: dict = {}
        self.moving = (True,) * len(flat.avals)
        dtypes = [*(aval.dtype for aval in flat.avals), graph.outputs[0].aval.dtype]
        self.eps = max(float(jnp.finfo(dtype).eps) for dtype in dtypes)

    @cached_property
    def value_and_grad(self) -> Program:
        """(x*, rest*) -> (value, aux*, gradients*)."""
        return value_and_grad_program(self.graph, self.moving, True, True)

    @cached_property
    def hvp(self) -> Program:
        """(x*, rest*, dx*) -> (gradients*, their tangents*)."""
        gradient = value_and_grad_program(self._value, self.moving, False, True)
        return jvp_program(gradient.graph, self.moving, len(self.moving))

    @cached_property
    def values(self) -> Program:
        """(x*, rest*) -> (value, aux*)."""
        return Program(self.graph)

    @property
    def _value(self) -> Graph:
        return Graph(self.graph.inputs, self.graph.eqns, self.graph.outputs[:1])

    def at(self, rest: Sequence[Any], lower: Any = None, upper: Any = None) -> Bound:
        """The problem with its other inputs filled in."""
        return Bound(self, tuple(rest), lower, upper)


class Bound:
    """An objective with everything but x given: the `Problem` of a method."""

    def __init__(self, objective: Objective, rest: tuple, lower: Any, upper: Any):
        self.objective, self.rest, self.flat = objective, rest, objective.flat
        self.n, self.dtype, self.eps = objective.flat.size, objective.flat.dtype, objective.eps
        self.lower, self.upper, self.lanes = lower, upper, None
        self.each: Callable[[Callable, Any], Any] = at_once

    def value_and_grad(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """f [] and its partial derivatives (n,) at x (n,)."""
        flat = self.objective.flat
        outs = self.objective.value_and_grad.composable.traced([*flat.leaves(x), *self.rest])
        grads = outs[len(outs) - len(flat.avals) :]
        return jnp.asarray(outs[0]).astype(self.dtype), flat.gradient(grads)

    def hvp(self, x: jax.Array, v: jax.Array) -> jax.Array:
        """The Hessian at x times v (n,)."""
        flat, program = self.objective.flat, self.objective.hvp
        outs = program.composable.traced([*flat.leaves(x), *self.rest, *flat.leaves(v)])
        return flat.gradient(filled(outs[len(flat.avals) :], program.alive, flat.avals))

    def hessian(self, x: jax.Array) -> jax.Array:
        """The Hessian at x (n, n)."""
        return jax.vmap(lambda v: self.hvp(x, v))(jnp.eye(self.n, dtype=self.dtype))

    def optimality(self, x: jax.Array, g: jax.Array) -> jax.Array:
        """‖g‖∞; with bounds ‖clip(x − g) − x‖∞, the gradient's part that points into the box."""
        if not self.n:
            return jnp.zeros((), self.dtype)
        if self.lower is not None:
            g = jnp.clip(x - g, self.lower, self.upper) - x
        return jnp.max(jnp.abs(g))

    def aux(self, x: jax.Array) -> tuple:
        """The auxiliary outputs at x."""
        return self.objective.values.composable.traced([*self.objective.flat.leaves(x), *self.rest])[1:]
