"""The oracle: a table of calls, each made through gradlab.numpy and through jax.numpy, compared in one compilation.

A call is `Call(name, f, args)` with `f(np, *args)` written for either module, `np` being the module; args are traced.
Every call has its own copy of its arguments, so that one reverse pass gives every call's gradients.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gradlab.numpy as gnp
from gradlab.ir.check import check
from gradlab.ir.graph import Graph, is_inexact
from gradlab.lower.compile import Executable
from gradlab.trace.avals import aval_of
from gradlab.trace.builder import Builder
from tests.support import QUICK, vjp_graph

RTOL = {"float16": 2e-3, "bfloat16": 1e-2, "float32": 2e-5, "complex64": 2e-5}


class Call(NamedTuple):
    """A call to compare: its name, the function of (module, *arrays), its arrays, and whether its gradients agree."""

    name: str
    fn: Callable[..., Any]
    args: tuple[Any, ...]
    grad: bool = True
    weak: bool = True


def named(names: str, *args: Any, grad: bool = True, weak: bool = True, **kwargs: Any) -> list[Call]:
    """Calls of the functions named, of the module: arrays and the first number are traced, the rest is static."""
    moving = [i for i, a in enumerate(args) if isinstance(a, np.ndarray) or (i == 0 and isinstance(a, float | int))]

    def make(name: str) -> Call:
        def fn(module, *xs):
            given = list(args)
            for i, x in zip(moving, xs, strict=True):
                given[i] = x
            return getattr(module, name)(*given, **kwargs)

        shown = ", ".join(str(aval_of(a)) if isinstance(a, np.ndarray) else repr(a) for a in args)
        return Call(f"{name}({shown}{kwargs or ''})", fn, tuple(args[i] for i in moving), grad, weak)

    return [make(name) for name in names.split()]


def stage(calls: Sequence[Call]) -> tuple[Graph, list[Any], list[int]]:
    """One graph of all calls, the arrays it captured, and how many results each call has."""
    builder = Builder()
    outs, counts = [], []
    with builder:
        inputs = [[builder.input(aval_of(a)) for a in call.args] for call in calls]
        for call, xs in zip(calls, inputs, strict=True):
            found = _listed(call.fn(gnp, *xs))
            outs += [builder.operand(y, None) for y in found]
            counts.append(len(found))
    return check(builder.graph(outs)), [value for _, value in builder.captured], counts


def _listed(x: Any) -> list[Any]:
    return list(x) if isinstance(x, tuple | list) else [x]


def quickly(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn` compiled in less time, to run in more."""
    return jax.jit(fn, compiler_options=QUICK)


def compare(calls: Sequence[Call], atol: float = 1e-13) -> None:
    """Values, dtypes, weak types and gradients of every call."""
    graph, captured, counts = stage(calls)
    args = [a for call in calls for a in call.args]
    values = quickly(Executable(graph).fn)(*args, *captured)

    def run(*xs):
        rest, out = list(xs), []
        for call in calls:
            out.append(_listed(call.fn(jnp, *rest[: len(call.args)])))
            del rest[: len(call.args)]
        return out

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = quickly(run)(*args)
        shapes = jax.eval_shape(run, *args)
    k = 0
    for call, want, like, n in zip(calls, expected, shapes, counts, strict=True):
        assert len(want) == n, call.name
        for w, s in zip(want, like, strict=True):
            got, aval = values[k], graph.out_avals[k]
            assert (aval.shape, aval.dtype) == (s.shape, s.dtype), f"{call.name}: {aval} for {s}"
            assert got.dtype == s.dtype, f"{call.name}: emitted {got.dtype} for {s}"
            if call.weak and s.dtype != bool:
                assert aval.weak == s.weak_type, f"{call.name}: {aval}, jax.numpy's is weak: {s.weak_type}"
            _close(got, w, call.name, atol)
            k += 1
    _compare_gradients(calls, graph, captured, expected, run, args, atol)


def _compare_gradients(calls, graph, captured, expected, run, args, atol) -> None:
    owner = [c for c in calls for _ in c.args]
    moves = [c.grad and is_inexact(aval_of(a).dtype) for c, a in zip(owner, args, strict=True)]
    if not any(moves):
        return
    back, has_ct, alive = vjp_graph(graph, [*moves, *[False] * len(captured)])
    flat = [y for ys in expected for y in ys]
    seeds = [
        np.asarray(np.cos(np.arange(y.size)).reshape(y.shape), y.dtype) if is_inexact(y.dtype) else None for y in flat
    ]
    given = [s for s, on in zip(seeds, has_ct, strict=True) if on]
    found = iter(quickly(Executable(back).fn)(*args, *captured, *given))
    got = iter(next(found) if on else None for on in alive)
    index = [i for i, m in enumerate(moves) if m]

    def loss(*xs):
        whole = list(args)
        for i, x in zip(index, xs, strict=True):
            whole[i] = x
        ys = [y for ys in run(*whole) for y in ys]
        return sum(jnp.sum(jnp.real(y * s)) for y, s, on in zip(ys, seeds, has_ct, strict=True) if on)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = quickly(jax.grad(loss, tuple(range(len(index)))))(*(args[i] for i in index))
    for i, w in zip(index, wanted, strict=True):
        g = next(got)
        if owner[i].grad:
            _close(np.zeros_like(w) if g is None else g, w, f"gradient of {owner[i].name}", atol)


def _close(got: Any, want: Any, name: str, atol: float) -> None:
    want = np.asarray(want)
    rtol = RTOL.get(want.dtype.name, 1e-11)
    kind = np.float32 if want.dtype.name == "bfloat16" else want.dtype
    np.testing.assert_allclose(
        np.asarray(got).astype(kind),
        want.astype(kind),
        rtol=rtol,
        atol=max(atol, rtol / 10 if rtol > 1e-9 else 0),
        err_msg=name,
    )
