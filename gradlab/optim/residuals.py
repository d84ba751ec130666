"""A vector of residuals read once into the IR: its values, its Jacobian, and products with it, as JAX functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp

from ..api.arguments import name_of, tree_flatten
from ..api.programs import Program, linearize_program, vjp_program
from ..api.results import described, filled
from ..ir.errors import DTypeError, StructureError
from ..ir.graph import Graph, is_inexact
from ..trace.avals import aval_of
from .flat import Flat, flat_of
from .objective import Read


def read_residuals(fun: Callable, x: Any, args: tuple, of: str) -> tuple[Any, list[Any]]:
    """(`Residuals` of `fun(x, *args)`, a pytree of real or complex arrays; the inputs of their graph).

    **Raises:** `DTypeError`, `StructureError` for an x or a result that is no such tree.
    """
    read = Read(fun, x, args, of)
    leaves, _ = tree_flatten(read.result)
    name = name_of(fun)
    for leaf in leaves:
        if getattr(leaf, "dtype", None) is None and not isinstance(leaf, float | complex):
            raise StructureError(f"{of} needs {name} to return arrays, got {described(read.result)}.")
        if not is_inexact(aval_of(leaf).dtype):
            raise DTypeError(
                f"{of} needs {name} to return floating numbers, got {aval_of(leaf)}, whose derivative is zero "
                "everywhere. Compute them in floating point."
            )
    if not any(aval_of(leaf).size for leaf in leaves):
        raise StructureError(f"{of} needs {name} to return at least one residual, got {described(read.result)}.")
    out, _ = flat_of(read.result, of, "the result")
    for leaf in leaves:
        read.reading.take(leaf)
    flat = read.flat

    def made(graph: Graph) -> Any:
        return Residuals(graph, flat, out)

    return read.reading.program((of, flat, out), made)


class Residuals:
    """A graph (x*, rest*) -> (r*), and what solvers want of it, made when first asked for.

    **Attributes:** `flat`, `out`: how x* and r* lie in a vector; `eps`: the coarsest rounding error involved;
    `solvers`: those made for it so far.
    """

    def __init__(self, graph: Graph, flat: Flat, out: Flat):
        self.graph, self.flat, self.out = graph, flat, out
        self.solvers: dict = {}
        self.moving = (True,) * len(flat.avals)
        self.every = (True,) * len(out.avals)
        self.eps = max(float(jnp.finfo(aval.dtype).eps) for aval in (*flat.avals, *out.avals))

    @cached_property
    def values(self) -> Program:
        """(x*, rest*) -> (r*)."""
        return Program(self.graph)

    @cached_property
    def forward(self) -> Program:
        """(x*, rest*) -> (r*, kept*); its part: (kept*, dx*) -> (dr*)."""
        return linearize_program(self.graph, self.moving, self.every)

    @cached_property
    def backward(self) -> Program:
        """(x*, rest*) -> (r*, kept*); its part: (kept*, ct_r*) -> (ct_x*)."""
        return vjp_program(self.graph, self.moving, self.every)

    def at(self, rest: Sequence[Any], lower: Any = None, upper: Any = None) -> BoundResiduals:
        """The problem with its other inputs filled in."""
        return BoundResiduals(self, tuple(rest), lower, upper)


class BoundResiduals:
    """Residuals with everything but x given. Vectors are real; a complex residual counts as its two parts.

    **Attributes:** `n`, `m`: how many numbers x and the residuals have; `dtype`; `lower`, `upper`: (n,), or None.
    """

    def __init__(self, residuals: Residuals, rest: tuple, lower: Any, upper: Any):
        self.all, self.rest = residuals, rest
        self.n, self.m = residuals.flat.size, residuals.out.size
        self.dtype, self.eps = jnp.promote_types(residuals.flat.dtype, residuals.out.dtype), residuals.eps
        self.lower, self.upper = lower, upper

    def residuals(self, x: jax.Array) -> jax.Array:
        """r (m,) at x (n,)."""
        outs = self.all.values.composable.traced([*self.all.flat.leaves(x), *self.rest])
        return self._vector(outs)

    def pushing(self, x: jax.Array) -> tuple[jax.Array, Callable[[jax.Array], jax.Array]]:
        """r at x, and v (n,) ↦ J v (m,)."""
        flat, out, program = self.all.flat, self.all.out, self.all.forward
        outs = program.composable.traced([*flat.leaves(x), *self.rest])
        (linear,) = program.parts
        kept = outs[len(out.avals) :]

        def push(v: jax.Array) -> jax.Array:
            found = linear.composable.traced([*kept, *flat.leaves(v)])
            return self._vector(filled(found, linear.alive[: len(out.avals)], out.avals))

        return self._vector(outs), push

    def pulling(self, x: jax.Array) -> tuple[jax.Array, Callable[[jax.Array], jax.Array]]:
        """r at x, and u (m,) ↦ Jᵀ u (n,)."""
        flat, out, program = self.all.flat, self.all.out, self.all.backward
        outs = program.composable.traced([*flat.leaves(x), *self.rest])
        (back,) = program.parts
        kept = outs[len(out.avals) :]

        def pull(u: jax.Array) -> jax.Array:
            cts = [ct for ct, on in zip(out.leaves(u, conjugate=True), program.alive, strict=False) if on]
            found = back.composable.traced([*kept, *cts])
            return flat.gradient(filled(found, back.alive, flat.avals)).astype(self.dtype)

        return self._vector(outs), pull

    def jacobian(self, x: jax.Array) -> jax.Array:
        """J (m, n) at x: by columns, or by rows where there are fewer."""
        if self.n <= self.m:
            _, push = self.pushing(x)
            return jax.vmap(push, out_axes=1)(jnp.eye(self.n, dtype=self.all.flat.dtype))
        _, pull = self.pulling(x)
        return jax.vmap(pull)(jnp.eye(self.m, dtype=self.all.out.dtype))

    def _vector(self, leaves: Sequence[Any]) -> jax.Array:
        return self.all.out.vector(leaves[: len(self.all.out.avals)]).astype(self.dtype)
