"""A loop run backwards in bounded memory: states are kept in a fixed number of slots and computed again from them.

The schedule is the binomial one: with c states kept and t sweeps over the rest, β(c, t) = (c + t)! / (c! t!) trips can
be reversed, so the recomputation grows only with the logarithm of the trip count. It is found at run time: the trip
count need not be known before, and nothing is truncated.

**Source:** Griewank & Walther, *Algorithm 799: revolve* (2000).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ir.graph import Aval, Graph, Lit
from ..ir.where import cotangent_name
from ..ops.arith import add, clamp, div, minimum, mul, round, sub
from ..ops.compare import ge, gt, lt
from ..ops.convert import convert
from ..ops.dynamic import dynamic_slice, dynamic_update_slice
from ..ops.operands import BOOL, fill, zeros_like
from ..ops.shape import reshape
from ..passes.pipeline import tidy
from ..trace.stage import inline, input_names, trace_graph
from ..transforms.split import split_graph
from ..transforms.transpose import transpose_graph
from .bodies import filled, fixpoint, once, selected, spread

INT = Aval((), np.dtype("int32"))
FLOAT = Aval((), np.dtype("float32"))
BUDGET = 1 << 20  # bytes that the kept states may take where the user says nothing
FEWEST, MOST = 32, 1024  # slots


def default_slots(carry: Sequence[Aval]) -> int:
    """As many states as fit into a megabyte, but 32 at least and 1024 at most."""
    state = sum(a.size * a.dtype.itemsize for a in carry)
    return max(FEWEST, min(MOST, BUDGET // max(state, 1)))


def repeat_backwards(
    body: Graph,
    n_consts: int,
    linear: Sequence[bool],
    trips: Any,
    xs: Sequence[Any],
    cts: Sequence[Any],
    slots: int,
    loop: Callable[..., tuple],
) -> list[Any]:
    """The cotangents of `xs` for `body`, (consts*, carry*) -> (carry*), applied `trips` times.

    **Arguments:** `linear`: in which of consts and carries the loop is linear; the other carries are its states, which
    are kept or computed again. `cts`: of the last carries, None for a zero. `slots`: how many states may be kept, 0 for
    `default_slots`. `loop(cond, body, cond's consts, body's consts, carry)`: `while_loop`'s equation.
    **Returns:** one for each of `xs`, None where the loop is not linear in it or does not depend on it.
    """
    on_consts, on_carry = list(linear[:n_consts]), list(linear[n_consts:])
    is_state = [not on for on in on_carry]

    # A loop inside the body may do both at once, states and what is linear: it is split too.
    parts = split_graph(body, linear)
    moves = [k >= parts.n_residuals for k in range(len(parts.unknown.inputs))]

    @once
    def transposed(on: list[bool]) -> tuple[Graph, tuple[bool, ...]]:
        return transpose_graph(parts.unknown, moves, selected(on, parts.out_unknown))

    def grow(on: list[bool]) -> list[bool]:
        return spread(transposed(on)[1], linear)[n_consts:]

    on = fixpoint([ct is not None and a for ct, a in zip(cts, on_carry, strict=True)], grow)
    backward, alive = transposed(on)

    def pulled(builder: Any, known: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
        """One cotangent for each input of the body, at these consts and states."""
        residuals = inline(parts.known, builder, known)[len(parts.known.outputs) - parts.n_residuals :]
        # A linear carry that the body replaces by a constant hands no cotangent on.
        seen = [u for o, u in zip(on, parts.out_unknown, strict=True) if o]
        return spread(spread(inline(backward, builder, [*residuals, *selected(cts, seen)]), alive), linear)

    consts = selected(xs[:n_consts], [not a for a in on_consts])
    states = selected(xs[n_consts:], is_state)
    forward = _states_only(body, n_consts, linear)
    first = [zeros_like(v) for v in selected(body.inputs[:n_consts], on_consts)]
    seeds = filled(cts, body.inputs[n_consts:], on)
    sums = spread(alive, linear)[:n_consts]
    kept = [x for x, a in zip(first, selected(sums, on_consts), strict=True) if a]
    moving = [cotangent_name(v.name) for v in selected(body.inputs[n_consts:], on)]
    outs = _reverse(forward, pulled, n_consts, on, trips, consts, states, kept, seeds, slots, loop, moving)
    found = spread(outs[: len(kept)], [bool(a) for a in sums])
    return [*found, *spread(outs[len(kept) :], on)]


def _states_only(body: Graph, n_consts: int, linear: Sequence[bool]) -> Graph:
    """(consts*, state*) -> (state*): the loop without its linear part."""
    inputs = [v for v, a in zip(body.inputs, linear, strict=True) if not a]
    outs = [a for a, on in zip(body.outputs, linear[n_consts:], strict=True) if not on]
    return tidy(Graph(inputs, body.eqns, outs))


def _reverse(forward, pulled, n_consts, on, trips, consts, states, sums, seeds, slots, loop, moving_names):
    avals = [x.aval for x in states]
    fixed = [v.aval for v in forward.inputs[: len(consts)]]
    n_slots = slots or default_slots(avals)
    # One slot more than are kept: where a state goes that there is no room for.
    kept = [_zeros(Aval((n_slots + 1, *a.shape), a.dtype)) for a in avals]
    steps = _zeros(Aval((n_slots + 1,), INT.dtype))
    n, m = len(consts), len(states)

    def advanced(builder, end, consts, state, position, kept, steps, depth):
        """The state of the last trip before `end`, from an earlier one, leaving states in free slots on the way."""

        def going(builder, end, position, *_):
            return [lt(position, sub(end, _int(1)))]

        def turn(builder, end, *args):
            consts, position, depth, steps = args[:n], args[n], args[n + 1], args[n + 2]
            state, kept = args[n + 3 : n + 3 + m], args[n + 3 + m :]
            free = sub(_int(n_slots), depth)
            stride = _stride(builder, sub(end, position), add(free, _int(1)), loop)
            state = _applied(forward, consts, state, stride, loop)
            position = add(position, stride)
            kept, steps = _stored(kept, steps, depth, state, position)
            depth = add(depth, convert(gt(free, _int(0)), dtype=INT.dtype))
            return [position, depth, steps, *state, *kept]

        shapes = [INT, INT, steps.aval, *avals, *(k.aval for k in kept)]
        test = trace_graph(going, [INT, *shapes])
        step = tidy(trace_graph(turn, [INT, *fixed, *shapes]))
        outs = loop(test, step, [end], [end, *consts], [position, depth, steps, *state, *kept])
        return outs[3 : 3 + m], outs[3 + m :], outs[2], outs[1]

    def turn(builder, *args):
        consts, end, depth, steps = args[:n], args[n], args[n + 1], args[n + 2]
        kept, cts = list(args[n + 3 : n + 3 + m]), args[n + 3 + m :]
        top = sub(depth, _int(1))
        state = [_read(k, top) for k in kept]
        position = _read(steps, top)
        state, kept, steps, depth = advanced(builder, end, consts, state, position, kept, steps, depth)
        totals, moving = cts[: len(sums)], cts[len(sums) :]
        found = pulled(builder, [*consts, *state], moving)
        more = [ct for ct in found[:n_consts] if ct is not None]
        ends = filled(found[n_consts:], spread(seeds, on), on)
        end = sub(end, _int(1))
        done = ge(_read(steps, sub(depth, _int(1))), end)
        depth = sub(depth, convert(done, dtype=INT.dtype))
        return [end, depth, steps, *kept, *map(add, totals, more), *ends]

    def going(builder, end, *_):
        return [gt(end, _int(0))]

    kept, steps = _stored(kept, steps, _int(0), states, _int(0))
    shapes = [INT, INT, steps.aval, *(k.aval for k in kept), *(x.aval for x in (*sums, *seeds))]
    test = trace_graph(going, shapes)
    slots_of = [f"{name}_slots" if name else "" for name in input_names(forward)[n:]]
    names = [*[""] * n, "trip", "depth", "trip_slots", *slots_of, *[""] * len(sums), *moving_names]
    step = tidy(trace_graph(turn, [*fixed, *shapes], names))
    outs = loop(test, step, [], consts, [trips, _int(1), steps, *kept, *sums, *seeds])
    return outs[3 + m :]


def _applied(forward: Graph, consts: Sequence[Any], state: Sequence[Any], times: Any, loop) -> tuple:
    """The states after `times` more trips."""
    n = len(consts)

    def going(builder, times, i, *_):
        return [lt(i, times)]

    def turn(builder, *args):
        return [add(args[n], _int(1)), *inline(forward, builder, [*args[:n], *args[n + 1 :]])]

    avals = [v.aval for v in forward.inputs]
    test = trace_graph(going, [INT, INT, *avals[n:]])
    step = tidy(trace_graph(turn, [*avals[:n], INT, *avals[n:]]))
    return loop(test, step, [times], consts, [_int(0), *state])[1:]


def _stride(builder, left: Any, c: Any, loop) -> Any:
    """How far to go before the next state is kept: `left` trips are to be reversed, with c states, one of them here."""
    left, c = convert(left, dtype=FLOAT.dtype), convert(c, dtype=FLOAT.dtype)

    def going(builder, left, t, reach):
        return [lt(reach, left)]

    def turn(builder, c, t, reach):  # β(c, t) = β(c, t − 1) · (c + t) / t
        t = add(t, _float(1))
        return [t, div(mul(reach, add(c, t)), t)]

    test = trace_graph(going, [FLOAT, FLOAT, FLOAT])
    step = trace_graph(turn, [FLOAT, FLOAT, FLOAT])
    t, reach = loop(test, step, [left], [c], [_float(0), _float(1)])
    beyond = div(mul(reach, c), add(c, t))  # β(c − 1, t): what can be reversed from the next state on
    most = sub(left, _float(1))
    return convert(clamp(_float(1), round(sub(left, beyond)), most), dtype=INT.dtype)


def _stored(kept: Sequence[Any], steps: Any, at: Any, state: Sequence[Any], position: Any) -> tuple[list[Any], Any]:
    """The slots with one more state; the last slot takes what there is no room for."""
    at = minimum(at, fill(steps.shape[0] - 1, INT)) if not isinstance(at, Lit) else at
    kept = [_written(k, x, at) for k, x in zip(kept, state, strict=True)]
    return kept, _written(steps, position, at)


def _written(row: Any, x: Any, at: Any) -> Any:
    block = reshape(x, (1, *x.shape))
    return dynamic_update_slice(row, block, at, *[_int(0)] * x.ndim)


def _read(row: Any, at: Any) -> Any:
    shape = row.shape[1:]
    return reshape(dynamic_slice(row, at, *[_int(0)] * len(shape), sizes=(1, *shape)), shape)


def _zeros(aval: Aval) -> Any:
    return fill(False if aval.dtype == BOOL else 0, aval)


def _int(value: int) -> Lit:
    return Lit(value, INT)


def _float(value: float) -> Lit:
    return Lit(float(value), FLOAT)
