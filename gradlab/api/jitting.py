"""`jit`: `jax.jit` over the function read once and written out as jax.numpy."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import jax
import numpy as np

from ..control.call import checkpoint_call
from ..control.reroll import ROLLING, rerolling
from ..ir.errors import ArgumentError
from ..lower.compile import Executable
from ..passes.pipeline import tidy
from ..trace.avals import is_jax_tracer
from ..trace.builder import innermost
from ..trace.stage import inline
from ..trace.tracer import Tracer
from .arguments import OnLeaves, call_names, name_of, require_function, tree_flatten, tree_unflatten
from .calling import FRESH, Reading
from .dialect import DIALECTS
from .results import Results
from .specialize import specialized

_ARRAYS = (jax.Array, np.ndarray, Tracer)  # static arguments are hashable, so a NumPy array is none


class _ClosesOverTracer(Exception):
    """Raised under jax.jit by a function whose closure belongs to a gradlab trace, which jax.jit cannot return to."""


def jit(
    fun: Callable, *, reroll: bool = True, branches: str = "refuse", max_specializations: int = 8, **options: Any
) -> Callable:
    """A compiled `fun`: read once per signature of its arguments, then called at JAX's own speed.

    **Arguments:** `fun`: any function gradlab can trace, derivatives included. `options`: those of `jax.jit`
    (`static_argnums`, `static_argnames`, `donate_argnums`, `donate_argnames`, `device`, `in_shardings`, ...).
    `reroll`: whether long repetitions that Python loops leave become scans (see `rerolling`); if not, they do not in
    a program around this one either. `branches`: what happens
    when Python asks for the value of an argument (`if`, `while`, `int()`, `range(int(n))`): "refuse" raises;
    "specialize" follows the value, and compiles one program for each way through the function, at most
    `max_specializations` for one combination of the arguments' types. Every call then waits for its answers; a wrong
    guess costs one more program run, and a new way a new reading.
    **Returns:** a function of the same arguments, with the `.lower`, `.trace`, `.eval_shape` and `.clear_cache` of
    `jax.jit`. Inside a gradlab trace it is read like any other function, without values.
    **Raises:** `ConcretizationError` where `fun` needs the value of an argument that is not static, or, specialized,
    one more program than allowed; `ArgumentError` for a donation, which a specialized function cannot honour.
    """
    require_function(fun, "jit")
    if branches not in ("refuse", "specialize"):
        raise ArgumentError(f'branches must be "refuse" or "specialize", got {branches!r}.')

    @wraps(fun)
    def read(*args, **kwargs):
        with rerolling(ROLLING.on and reroll):
            return read_now(*args, **kwargs)

    def read_now(*args, **kwargs):
        inside = innermost(tree_flatten((args, kwargs))[0]) is not None
        for dialect in DIALECTS:
            if not inside and dialect.knows(fun):
                return dialect.outside(fun, *args, **kwargs)
        try:
            # Static arguments arrive as they are, everything else as an array or a tracer.
            reading, out_tree = read_arrays(fun, args, kwargs, lambda leaf: isinstance(leaf, _ARRAYS), False, inside)
        except Exception as error:
            for dialect in DIALECTS:
                if not inside and dialect.concerns(error):
                    # JAX is reading already: what calls jax.numpy needs no reading of ours.
                    out = dialect.outside(fun, *args, **kwargs)
                    dialect.remember(fun)
                    return out
            raise
        graph, inputs = reading.end()
        graph = tidy(graph)
        builder = innermost(inputs)
        if builder is not None:
            if any(is_jax_tracer(x) for x in reading.given):
                raise _ClosesOverTracer
            # As one equation, whatever is done to it, it is hidden from the trace around it, whose loops are rolled.
            hidden = None if reroll else checkpoint_call(graph, inputs, None, "everything")
            outs = inline(graph, builder, inputs) if hidden is None else hidden
            return tree_unflatten(out_tree, [builder.operand(out, None) for out in outs])
        return tree_unflatten(out_tree, Executable(graph, name_of(fun), keep_rules=True).traced(inputs))

    compiled = jax.jit(read, **options)

    @wraps(fun)
    def jitted(*args, **kwargs):
        try:
            return compiled(*args, **kwargs)
        except _ClosesOverTracer:
            pass
        except TypeError:
            # jax.jit knows no gradlab tracer; any other TypeError is the caller's.
            if innermost(tree_flatten((args, kwargs))[0]) is None:
                raise
        return read(*args, **kwargs)

    for name in ("lower", "trace", "eval_shape", "clear_cache"):
        setattr(jitted, name, getattr(compiled, name))
    return specialized(fun, jitted, max_specializations, reroll, options) if branches == "specialize" else jitted


def read_arrays(
    fun: Callable,
    args: tuple,
    kwargs: dict,
    is_input: Callable[[Any], bool],
    concrete: bool,
    other_ways: bool = True,
) -> tuple[Reading, Any]:
    """Read `fun` with the chosen leaves of its arguments as inputs: the reading, and the structure of its result.

    **Arguments:** `other_ways`: whether another library may read it.
    """
    leaves, tree = tree_flatten((args, kwargs))
    chosen = [k for k, leaf in enumerate(leaves) if is_input(leaf)]

    def names():
        every = call_names(fun, args, kwargs)
        return [every[k] for k in chosen]

    call = OnLeaves(fun, leaves, tree, chosen)
    given = [leaves[k] for k in chosen]
    reading = Reading(
        call, given, concrete=concrete, names=names if FRESH.on else tuple, fun=fun if other_ways else None
    )
    return reading, Results(reading, fun).tree
