"""A small program as one kernel, on a CPU.

XLA runs a program there operation by operation: it starts each one apart, and hands the work of a loop around between
threads as soon as an array has more than 512 bytes. Where a turn of a loop handles few numbers, that costs ten to a
hundred times what the arithmetic does. A call that is marked as small XLA compiles into one function of machine code,
loops, branches and all.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental.xla_metadata import set_xla_metadata

from ..ir.graph import Eqn, Graph
from ..ir.work import work

# What cannot stand in such a function: calls into libraries (factorisations, sorting, Fourier transforms) and scatters.
# What is named here is compiled into one in tests/lower/test_small.py; special functions are too long to gain by it.
ARITHMETIC = frozenset((
    "abs", "acos", "acosh", "add", "argmax", "argmin", "asin", "asinh", "atan", "atan2", "atanh", "bitwise_and",
    "bitwise_not", "bitwise_or", "bitwise_xor", "broadcast", "cbrt", "ceil", "checkpoint_name", "complex",
    "concatenate", "conj", "conv", "convert", "cos", "cosh", "cumlogsumexp", "cummax", "cummin", "cumprod", "cumsum",
    "digamma", "div", "dot_general", "dynamic_slice", "dynamic_update_slice", "eq", "erf", "erf_inv", "erfc", "exp",
    "exp2", "expm1", "eye", "floor", "gather", "ge", "gt", "hypot", "imag", "index_of", "integer_pow", "iota",
    "is_finite", "le", "lgamma", "log", "log1p", "log_ndtr", "logaddexp", "logistic", "logsumexp", "lt", "maximum",
    "minimum", "mul", "ne", "neg", "pad", "permute", "pick", "place", "pow", "product_slopes", "quotient", "real",
    "recur", "reduce_and", "reduce_max", "reduce_min", "reduce_or", "reduce_prod", "reduce_sum", "reduce_xor", "rem",
    "reshape", "rev", "roll", "root", "round", "rsqrt", "select", "shift_left", "shift_right_arithmetic",
    "shift_right_logical", "sign", "sin", "sinc", "sinh", "slice", "sqrt", "stop_gradient", "sub", "tan", "tanh",
    "weaken", "window_max", "window_min", "window_place", "window_sum", "xlog1py", "xlogy",
))  # fmt: skip
_CARRIERS = frozenset(("scan", "while_loop", "cond", "call", "checkpoint", "ruled"))
FEW = 1000  # unknowns of a solve
_LARGEST = 1 << 14  # elements of an array; beyond it the threads of a kernel are worth more than its start
_PRODUCT = 1 << 17  # FLOPs of a matrix product; beyond it a library is faster

_UNTRIED = (0, 13)  # JAX; what XLA cannot compile so may end the process
_MARK = {"xla_cpu_small_call": "true", "inlineable": "false"}
_NO_MARK = dict.fromkeys(_MARK)


def fits(graph: Graph) -> bool:
    """Whether a program is arithmetic on few numbers, in and out of its loops. (Of an empty array nothing is read.)"""
    return all(v.aval.size > 0 for v in graph.inputs) and all(map(_fits, graph.eqns))


def _fits(eqn: Eqn) -> bool:
    if any(v.aval.size > _LARGEST for v in eqn.outputs):
        return False
    if eqn.prim.graphs:
        inside = [graph for name in eqn.prim.graphs for graph in _graphs(eqn.params[name])]
        return eqn.prim.name in _CARRIERS and all(map(fits, inside))
    if eqn.prim.name == "dot_general" and work(eqn).flops > _PRODUCT:
        return False
    return eqn.prim.name in ARITHMETIC


def flops(graph: Graph) -> int:
    """FLOPs of a program, a turn of each of its loops counted once."""
    return sum(
        sum(flops(inner) for name in eqn.prim.graphs for inner in _graphs(eqn.params[name]))
        if eqn.prim.graphs
        else work(eqn).flops
        for eqn in graph.eqns
    )


def _graphs(param: Any) -> tuple[Graph, ...]:
    return (param,) if isinstance(param, Graph) else tuple(param)


def in_one_kernel(f: Callable) -> Callable:
    """(*args) -> (f(*args), a number to be thrown away), to be jitted with `options()`: for programs that fit.

    XLA does not stand an argument of the call that nothing reads, so something reads an entry of each.
    """

    def reading(*args: Any) -> Any:
        firsts = [jnp.ravel(leaf)[0] for leaf in jax.tree_util.tree_leaves(args)]
        return f(*args), sum(first.real.astype(jnp.float32) for first in firsts)

    return part_in_one_kernel(reading)


def part_in_one_kernel(f: Callable) -> Callable:
    """f, for a part of a program of somebody else's, where `options()` are not to be had.

    So it must be known to hold no product of matrices, and no scatter even when batched: XLA may end the process.
    """

    def unmarked(*args: Any) -> Any:
        with set_xla_metadata(**_NO_MARK):
            return f(*args)

    inner = jax.jit(unmarked)

    def marked(*args: Any) -> Any:
        with set_xla_metadata(**_MARK):
            return inner(*args)

    return marked


@lru_cache(1)
def options() -> dict[str, Any] | None:
    """Options for XLA with which such a call compiles; None where there are none: on a GPU, in a version of XLA
    that the tests have not tried, or if this one has no such calls.
    """
    if jax.default_backend() != "cpu" or jax.__version_info__ >= _UNTRIED:
        return None
    # Products by a library cannot stand in the call. One function is compiled by one thread: what takes half the time
    # at this level runs as fast, and looking six times for loops to be simplified finds nothing.
    chosen: dict[str, Any] = {
        "xla_cpu_experimental_ynn_fusion_type": "",
        "xla_backend_optimization_level": 1,
        "xla_disable_hlo_passes": "simplify-while-loops",
    }

    def trial(x: jax.Array) -> jax.Array:
        def turn(carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            k, x = carry
            step = lax.cond(jnp.sum(x) > 0, lambda: jnp.sin(x @ x), lambda: x)
            return k + 1, lax.dynamic_update_index_in_dim(step, step[k], 0, 0)

        return lax.while_loop(lambda carry: carry[0] < 2, turn, (jnp.asarray(0), x))[1]

    x = np.linspace(0.1, 0.9, 9).reshape(3, 3)
    try:
        compiled = jax.jit(in_one_kernel(trial), compiler_options=chosen).lower(x).compile()
    except jax.errors.JaxRuntimeError:
        return None
    return chosen if "xla_cpu_small_call" in str(compiled.as_text()) else None
