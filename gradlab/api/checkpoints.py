"""`checkpoint` and `checkpoint_name`: what the user says about what the reverse pass keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import update_wrapper, wraps
from typing import Any

import jax
from jax.ad_checkpoint import checkpoint_name as native_name

from ..control.call import Policy, checkpoint_call
from ..control.call import checkpoint_name as name_op
from ..ir.errors import ArgumentError
from ..ir.graph import Lit
from ..trace.builder import AMBIENT, innermost
from ..trace.tracer import Tracer
from .arguments import require_function, tree_flatten, tree_unflatten
from .jitting import read_arrays

_POLICIES: dict[str, Callable] = {
    "nothing": jax.checkpoint_policies.nothing_saveable,
    "everything": jax.checkpoint_policies.everything_saveable,
    "auto": jax.checkpoint_policies.dots_saveable,
}


def checkpoint(
    fun: Callable,
    *,
    policy: str | Iterable[str] = "nothing",
    prevent_cse: bool = True,
    static_argnums: int | Sequence[int] = (),
) -> Callable:
    """`fun`, of whose intermediate values the reverse pass finds only some kept, and computes the others again.

    **Arguments:** `policy`: what is kept beside the arguments. "nothing"; "everything"; "auto": what is cheaper to keep
    than to compute again, a minimum cut of the function's graph by bytes moved and work (where JAX differentiates:
    the matrix products); or names given with `checkpoint_name`, and only those. `prevent_cse`: keep XLA from undoing it
    where JAX differentiates it; in gradlab's own derivatives XLA is always kept from it, except for "everything", where
    there is nothing to undo. `static_argnums`: arguments passed on as they are.
    **Returns:** a function of the same arguments, equal to `fun`.
    **Raises:** `ArgumentError` for an unknown policy; `StructureError` if `fun` returns something that is no array.
    """
    require_function(fun, "checkpoint")
    static = (static_argnums,) if isinstance(static_argnums, int) else tuple(static_argnums)
    kept = policy_of(policy)
    names = jax.checkpoint_policies.save_only_these_names
    rule = _POLICIES[kept] if isinstance(kept, str) else names(*kept)
    native = jax.checkpoint(fun, prevent_cse=prevent_cse, static_argnums=static, policy=rule)

    @wraps(fun)
    def checkpointed(*args, **kwargs):
        if innermost(tree_flatten((args, kwargs))[0]) is None:
            try:
                return native(*args, **kwargs)
            except TypeError:
                # JAX cannot return what `fun` made of an open trace's values; any other TypeError comes again below.
                if not AMBIENT.stack:
                    raise
        held = {i % len(args): args[i] for i in static}
        shown = tuple(None if i in held else a for i, a in enumerate(args))

        def call(*args, **kwargs):
            return fun(*(held.get(i, a) for i, a in enumerate(args)), **kwargs)

        # Python scalars, strings and static arguments stay what they are; arrays and tracers become operands.
        reading, tree = read_arrays(
            update_wrapper(call, fun), shown, kwargs, lambda leaf: isinstance(leaf, jax.Array | Tracer), True
        )
        graph, inputs = reading.end_as_body()
        return tree_unflatten(tree, checkpoint_call(graph, inputs, False if prevent_cse else None, kept))

    return checkpointed


def policy_of(policy: Any) -> Policy:
    """A policy as an equation holds it: one of the words, or a tuple of names.

    **Raises:** `ArgumentError` for anything else.
    """
    if isinstance(policy, str):
        if policy in _POLICIES:
            return policy
        words = ", ".join(f'"{word}"' for word in _POLICIES)
        raise ArgumentError(
            f"checkpoint needs a policy of {words}, or names, got {policy!r}. Give a name as one of several: "
            f"policy=({policy!r},)."
        )
    if isinstance(policy, Iterable):
        names = tuple(sorted(set(policy)))
        if all(isinstance(name, str) for name in names):
            return names
    raise ArgumentError(
        f'checkpoint needs a policy of "nothing", "everything", "auto" or names, got {policy!r}. Instead of a function '
        "of JAX's, mark values with checkpoint_name(x, name) and give their names."
    )


def checkpoint_name(x: Any, name: str) -> Any:
    """`x` (any pytree), known to `checkpoint(policy=(name, ...))` by that name.

    **Raises:** `ArgumentError` if `name` is no string.
    """
    if not isinstance(name, str):
        raise ArgumentError(f"checkpoint_name needs a string as its name, got {name!r}.")
    leaves, tree = tree_flatten(x)
    if innermost(leaves) is None:
        return native_name(x, name)
    return tree_unflatten(tree, [name_op(leaf, name) if type(leaf) in (Tracer, Lit) else leaf for leaf in leaves])
