"""Pytrees of real and complex arrays as one real vector, and back: solvers know nothing but vectors."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..ir.errors import DTypeError, ShapeError, StructureError
from ..ir.graph import Aval, is_inexact, short_dtype
from ..trace.avals import aval_of

tree_flatten = jax.tree_util.tree_flatten


@dataclass(frozen=True)
class Flat:
    """How the leaves of a pytree lie in one real vector; hashed and compared by value.

    A complex leaf takes two stretches: its real parts, then its imaginary ones. The vector has the widest of the
    leaves' real dtypes, at least float32.
    **Attributes:** `tree`: the structure; `avals`: the leaves' types; `dtype`, `size`: those of the vector.
    """

    tree: Any
    avals: tuple[Aval, ...]
    dtype: np.dtype
    size: int

    def vector(self, leaves: Sequence[Any]) -> jax.Array:
        """The leaves in one vector (n,)."""
        parts = []
        for x, aval in zip(leaves, self.avals, strict=True):
            if aval.size:
                x = jnp.asarray(x).reshape(-1)
                parts += [x.real, x.imag] if aval.dtype.kind == "c" else [x]
        parts = [part.astype(self.dtype) for part in parts]
        if not parts:
            return jnp.zeros((0,), self.dtype)
        return parts[0] if len(parts) == 1 else jnp.concatenate(parts)

    def leaves(self, vector: Any, conjugate: bool = False) -> list[Any]:
        """The leaves again, in their own dtypes.

        **Arguments:** `vector`: (n,) or (..., n), the leading axes then lead in the leaves too. `conjugate`: turn a
        vector of partial derivatives into gradients, as JAX has them: f_x − i f_y for a leaf x + i y.
        """
        lead, start, found = vector.shape[:-1], 0, []
        for aval in self.avals:
            shape = (*lead, *aval.shape)
            parts = []
            for _ in range(1 + (aval.dtype.kind == "c")):
                whole = aval.size == self.size
                part = vector if whole else vector[..., start : start + aval.size]
                parts.append(part.reshape(shape))
                start += aval.size
            if len(parts) == 2:
                real, imag = (part.astype(jnp.finfo(aval.dtype).dtype) for part in parts)
                found.append(jax.lax.complex(real, -imag if conjugate else imag))
            else:
                found.append(parts[0].astype(aval.dtype))
        return found

    def gradient(self, leaves: Sequence[Any]) -> jax.Array:
        """Gradients with respect to the leaves, as JAX has them, as the vector of partial derivatives."""
        return self.vector([jnp.conj(g) if a.dtype.kind == "c" else g for g, a in zip(leaves, self.avals, strict=True)])

    def unflatten(self, vector: Any, conjugate: bool = False) -> Any:
        """The pytree again."""
        return jax.tree_util.tree_unflatten(self.tree, self.leaves(vector, conjugate))

    def spread(self, value: Any, of: str, default: float) -> np.ndarray | jax.Array | None:
        """`value` (a number, an array that broadcasts, None, or a pytree of these, a prefix of x's) as a vector.

        **Returns:** (n,), `default` where `value` is None; None if it is None everywhere.
        **Raises:** `StructureError` if the structure is no prefix of x's; `ShapeError` for an array that does not
        broadcast to its leaf; `DTypeError` for a complex one.
        """
        whole = jax.tree_util.tree_unflatten(self.tree, range(len(self.avals)))
        try:
            owners = jax.tree_util.tree_map(
                lambda v, below: [(k, v) for k in jax.tree_util.tree_leaves(below)],
                value,
                whole,
                is_leaf=lambda v: v is None,
            )
        except ValueError as error:
            raise StructureError(
                f"{of} must be a number, an array, None, or a pytree shaped like x0 (or a prefix of it), got "
                f"{value!r} for an x0 of structure {self.tree}. A list is a tree: write np.array(...); and "
                "bounds are (lower, upper), not a pair for each variable."
            ) from error
        given: dict[int, Any] = dict(jax.tree_util.tree_leaves(owners, is_leaf=lambda v: isinstance(v, tuple)))
        if all(v is None for v in given.values()):
            return None
        parts = []
        for k, aval in enumerate(self.avals):
            v = given.get(k)
            if v is None:
                parts.append(jnp.full((aval.size * (1 + (aval.dtype.kind == "c")),), default, self.dtype))
                continue
            if aval.dtype.kind == "c":
                raise DTypeError(
                    f"{of} was given for a complex leaf ({aval}), and complex numbers have no order. Pass real and "
                    "imaginary parts as two leaves, or None for this one."
                )
            parts.append(jnp.broadcast_to(jnp.asarray(_fitting(v, aval, of), self.dtype), aval.shape).reshape(-1))
        return jnp.concatenate(parts) if len(parts) != 1 else parts[0]


def _fitting(v: Any, aval: Aval, of: str) -> Any:
    shape = np.shape(v)
    try:
        fits = np.broadcast_shapes(shape, aval.shape) == aval.shape
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(
            f"{of} must broadcast to the leaf of x0 it belongs to, got shape {shape} for {aval}. "
            "Give a number, or one entry for each of x0's."
        )
    return v


def flat_of(x: Any, of: str = "minimize", what: str = "x0") -> tuple[Flat, list[Any]]:
    """How `x` lies in a vector, and its leaves.

    **Raises:** `DTypeError` for an integer or boolean leaf; `StructureError` for one that is no array.
    """
    paths, tree = jax.tree_util.tree_flatten_with_path(x)
    leaves = [leaf for _, leaf in paths]
    avals = []
    for path, leaf in paths:
        name = what + jax.tree_util.keystr(path)
        try:
            aval = aval_of(leaf)
        except StructureError:
            raise StructureError(
                f"{of} needs numbers and arrays in {what}, but {name} is {leaf!r} of type {type(leaf).__name__}. "
                "Pass what is not optimised in args=, or close over it."
            ) from None
        if not is_inexact(aval.dtype):
            remedy = f"Write {leaf}.0" if type(leaf) is int else f"Convert it (jnp.asarray({name}, float))"
            raise DTypeError(
                f"{of} moves real and complex numbers, but {name} is {short_dtype(aval.dtype)} ({aval}), which cannot "
                f"move a little. {remedy}, or pass it in args= if it is not to be optimised."
            )
        avals.append(Aval(aval.shape, aval.dtype))
    real = [jnp.finfo(aval.dtype).dtype for aval in avals]
    dtype = functools.reduce(jnp.promote_types, real, np.dtype(np.float32))
    size = sum(aval.size * (1 + (aval.dtype.kind == "c")) for aval in avals)
    return Flat(tree, tuple(avals), dtype, size), leaves
