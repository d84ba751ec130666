"""`scan`, `map`, `fori_loop`, `while_loop`: loops as one equation, with the names and meanings of jax.lax."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from types import CodeType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..control.scan import Loop, scan_call
from ..control.segments import segment_lengths, segmented_call
from ..control.while_loop import While, while_call
from ..ir.errors import ArgumentError, ShapeError, StructureError
from ..ir.graph import Aval
from ..passes.pipeline import tidy
from ..trace.avals import aval_of
from .arguments import name_of, parameters, require_function, tree_flatten, tree_unflatten
from .staging import ITSELF, Staged, converted, is_traced, names_inside, native, operand_of, reordered, require_same


class _Turn:
    """A function of the user's as a loop of another kind takes it: under its name, with its parameters in that order.

    **Arguments:** `call`: what the loop calls. `order`: of each of its parameters the number in `fun`, and what it is
    called where that has no name.
    """

    def __init__(self, fun: Callable, call: Callable, *order: tuple[int, str]):
        self.__name__, self._fun, self._call, self._order = name_of(fun), fun, call, order

    def __call__(self, *args: Any) -> Any:
        return self._call(*args)

    @property
    def __code__(self) -> CodeType | None:
        return getattr(self._fun, "__code__", None)

    @property
    def __signature__(self) -> inspect.Signature:
        own = parameters(self._fun)
        names = [own[k] if 0 <= k < len(own) else name for k, name in self._order]
        return inspect.Signature([inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY) for name in names])


def scan(
    f: Callable,
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
    *,
    checkpoint: int | str | None = None,
) -> tuple[Any, Any]:
    """The loop `for x in xs: carry, y = f(carry, x)`, as one equation.

    **Arguments:** `init`: the first carry, any pytree. `xs`: a pytree of arrays whose first axis is gone through, or
    None with `length` given. `reverse`: from the last to the first. `unroll`: how many turns XLA sees at once.
    `checkpoint`: in how many segments the loop is gone through. Of n turns in k segments the reverse pass finds k
    carries, and holds the values of n/k turns at a time; for that each turn is computed once more (forwards twice in
    all). "auto" is k = √n, so the memory of both is O(√n).
    **Returns:** the last carry, and the ys of all turns stacked along a first axis.
    **Raises:** `StructureError`, `ShapeError` if f returns no pair, or a carry of another structure or type.
    """
    require_function(f, "scan", ITSELF)
    _require_segments(checkpoint)
    if not is_traced((init, xs)):
        if checkpoint is not None:
            return _native_segments(f, init, xs, length, reverse, unroll, checkpoint)
        return native(
            lambda: jax.lax.scan(f, init, xs, length=length, reverse=reverse, unroll=unroll),
            lambda: scan(f, init, xs, length, reverse, unroll),
        )
    carry, carry_tree = tree_flatten(init)
    rows, rows_tree = tree_flatten(xs)
    length = _length([aval_of(x) for x in rows], length)
    row_avals = [aval_of(x).reshaped(aval_of(x).shape[1:]) for x in rows]
    n = len(carry)

    def call(values: Sequence[Any]) -> Any:
        return f(tree_unflatten(carry_tree, values[:n]), tree_unflatten(rows_tree, values[n:]))

    avals = [aval_of(x) for x in carry]
    for _ in range(3):  # a weakly typed carry takes the type it meets, which may make another one strong
        staged = Staged(f, [*avals, *row_avals], call, (init, xs))
        n_ends = _pair(f, staged)
        met = [_met(a, b) for a, b in zip(avals, staged.avals, strict=False)]
        if len(met) != n or met == avals:
            break
        avals = met
    ends_tree, ys_tree = staged.tree.children()
    require_same(
        f"the carry returned by {name_of(f)}", "the carry", carry_tree, avals, ends_tree, staged.avals[:n_ends]
    )
    loop = Loop(0, 0, length, reverse, int(unroll) if unroll is not True else max(length, 1))
    body = tidy(reordered(staged.graph, n + len(rows)))
    starts = [converted(operand_of(x), aval) for x, aval in zip(carry, avals, strict=True)]
    operands = (staged.captured, starts, [operand_of(x) for x in rows])
    if checkpoint is None:
        outs = scan_call(body, loop, *operands)
    else:
        outs = segmented_call(body, loop, *operands, _segments(length, checkpoint))
    return tree_unflatten(carry_tree, outs[:n]), tree_unflatten(ys_tree, outs[n:])


def _require_segments(checkpoint: Any) -> None:
    if checkpoint is None or checkpoint == "auto":
        return
    if isinstance(checkpoint, bool) or not isinstance(checkpoint, int | np.integer) or checkpoint < 1:
        raise ArgumentError(
            f'scan needs checkpoint="auto" or a number of segments, at least 1, got {checkpoint!r}. '
            "Leave it out to keep what is cheapest of every turn."
        )


def _segments(length: int, checkpoint: int | str) -> int:
    return round(math.sqrt(length)) if isinstance(checkpoint, str) else int(checkpoint)


def _native_segments(
    f: Callable, init: Any, xs: Any, length: int | None, reverse: bool, unroll: int | bool, checkpoint: int | str
) -> tuple[Any, Any]:
    """The same in JAX's own words, for JAX to differentiate."""
    leaves = jax.tree.leaves(xs)
    length = _length([aval_of(x) for x in leaves], length)
    many, turns, left = segment_lengths(length, _segments(length, checkpoint))
    whole = many * turns
    cut = left if reverse else whole

    def segment(carry: Any, rows: Any, turns: int = turns) -> Any:
        return jax.lax.scan(f, carry, rows, length=turns, reverse=reverse, unroll=unroll)

    first = jax.tree.map(lambda x: (x[cut:] if reverse else x[:cut]).reshape(many, turns, *x.shape[1:]), xs)
    inner = jax.checkpoint(segment, prevent_cse=False)
    carry, ys = jax.lax.scan(inner, init, first, length=many, reverse=reverse)
    ys = jax.tree.map(lambda y: y.reshape(whole, *y.shape[2:]), ys)
    if left:
        rest = jax.tree.map(lambda x: x[:cut] if reverse else x[cut:], xs)
        carry, more = jax.checkpoint(lambda c, rows: segment(c, rows, left))(carry, rest)
        ys = jax.tree.map(lambda a, b: jnp.concatenate((b, a) if reverse else (a, b)), ys, more)
    return carry, ys


def _met(carry: Aval, end: Aval) -> Aval:
    """The type of a carry, once it has met what comes of it: a weak one takes the other's dtype."""
    if carry.weak and not end.weak:
        return carry.retyped(np.promote_types(carry.dtype, end.dtype))
    return carry


def _length(avals: Sequence[Aval], length: int | None) -> int:
    for aval in avals:
        if not aval.shape:
            raise ShapeError(f"scan goes through the first axis of each array in xs, but one has none: {aval}.")
    found = {aval.shape[0] for aval in avals}
    if length is not None:
        found.add(int(length))
    if len(found) != 1:
        got = ", ".join(str(aval) for aval in avals) or "no arrays"
        raise ShapeError(
            f"scan needs xs of one length along their first axis, got {got}"
            f"{f' and length={length}' if length is not None else ''}. Give arrays, or length=."
        )
    (n,) = found
    return n


def _pair(f: Callable, staged: Staged) -> int:
    """How many leaves the carry has that `f` returned."""
    children = staged.tree.children()
    if len(children) != 2 or staged.tree.node_data()[0] not in (tuple, list):
        raise StructureError(
            f"scan needs {name_of(f)} to return a pair (carry, y), got the structure {staged.tree}. "
            "Return (carry, None) if there is nothing to stack."
        )
    return children[0].num_leaves


def map(f: Callable, xs: Any) -> Any:
    """`f` of each element of `xs` along its first axis, one after the other, the results stacked."""
    require_function(f, "map", ITSELF)
    return scan(_Turn(f, lambda _, x: ((), f(x)), (-1, "_"), (0, "x")), (), xs)[1]


def while_loop(cond_fun: Callable, body_fun: Callable, init_val: Any, *, checkpoints: int | None = None) -> Any:
    """The loop `while cond_fun(val): val = body_fun(val)`, as one equation; also its reverse mode.

    **Arguments:** `init_val`: any pytree of arrays. `checkpoints`: how many states the reverse pass may keep at once,
    the others being computed again (a megabyte of states by default, 32 at least and 1024 at most). The trip count is
    not bounded and nothing is truncated. Where what is differentiated reaches the loop as at most four numbers, and
    `checkpoints` is not given, the reverse mode of the loop is its forward mode, which keeps nothing at all.
    **Returns:** the last value.
    **Raises:** `StructureError`, `ShapeError` if body_fun changes structure or types, or cond_fun gives no boolean.
    """
    require_function(cond_fun, "while_loop", ITSELF)
    require_function(body_fun, "while_loop", ITSELF)
    if checkpoints is not None and checkpoints < 1:
        raise ArgumentError(f"while_loop needs at least one checkpoint, got checkpoints={checkpoints}.")
    if not is_traced(init_val):
        return native(
            lambda: jax.lax.while_loop(cond_fun, body_fun, init_val),
            lambda: _while(cond_fun, body_fun, init_val, None),
        )
    return _while(cond_fun, body_fun, init_val, checkpoints)


def _while(
    cond_fun: Callable,
    body_fun: Callable,
    init_val: Any,
    checkpoints: int | None,
    names: Callable[[], Sequence[str]] | None = None,
) -> Any:
    """**Arguments:** `names`: of the leaves of the value, if not the parameter of body_fun says."""
    carry, tree = tree_flatten(init_val)
    avals = [aval_of(x) for x in carry]
    for _ in range(3):
        body = Staged(body_fun, avals, lambda values: body_fun(tree_unflatten(tree, values)), (init_val,), names)
        met = [_met(a, b) for a, b in zip(avals, body.avals, strict=False)]
        if len(body.avals) != len(carry) or met == avals:
            break
        avals = met
    require_same(f"what {name_of(body_fun)} returns", "its argument", tree, avals, body.tree, body.avals)
    test = Staged(cond_fun, avals, lambda values: cond_fun(tree_unflatten(tree, values)), (init_val,), names)
    _require_boolean(cond_fun, test)
    n = len(carry)
    starts = [converted(operand_of(x), aval) for x, aval in zip(carry, avals, strict=True)]
    outs = while_call(
        tidy(reordered(test.graph, n)),
        tidy(reordered(body.graph, n)),
        While(0, 0, checkpoints or 0),
        test.captured,
        body.captured,
        starts,
    )
    return tree_unflatten(tree, outs)


def _require_boolean(cond_fun: Callable, test: Staged) -> None:
    if len(test.avals) != 1 or test.avals[0].shape or test.avals[0].dtype != bool:
        got = ", ".join(f"{aval}" for aval in test.avals)
        raise ShapeError(
            f"while_loop needs {name_of(cond_fun)} to return one boolean, got {got or 'nothing'}. "
            "Compare, and reduce an array with .any() or .all()."
        )


def fori_loop(lower: Any, upper: Any, body_fun: Callable, init_val: Any, *, unroll: int | bool | None = None) -> Any:
    """The loop `for i in range(lower, upper): val = body_fun(i, val)`, as one equation.

    **Arguments:** `lower`, `upper`: Python ints make it a `scan`; traced integers a `while_loop`, whose reverse mode
    works too. `init_val`: any pytree. `unroll`: see `scan`; only with Python ints.
    **Returns:** the last value; `init_val` if there is nothing to go through.
    **Raises:** as `scan`, `while_loop`.
    """
    require_function(body_fun, "fori_loop", ITSELF)
    for bound, name in ((lower, "lower"), (upper, "upper")):
        if aval_of(bound).shape or aval_of(bound).dtype.kind not in "iu":
            raise ArgumentError(
                f"fori_loop needs an integer {name}, got {aval_of(bound)}. Convert it with .astype(int)."
            )
    if not is_traced((lower, upper, init_val)):
        return native(
            lambda: jax.lax.fori_loop(lower, upper, body_fun, init_val, unroll=unroll),
            lambda: fori_loop(lower, upper, body_fun, init_val, unroll=unroll),
        )
    if isinstance(lower, int | np.integer) and isinstance(upper, int | np.integer):
        rows = np.arange(int(lower), max(int(upper), int(lower)))
        turn = _Turn(body_fun, lambda val, i: (body_fun(i, val), None), (1, "val"), (0, "i"))
        return scan(turn, init_val, rows, unroll=unroll or 1)[0]
    if unroll is not None:
        raise ArgumentError("fori_loop unrolls only between Python ints; lower or upper is an array here.")

    def step(state: tuple) -> tuple:
        i, end, val = state
        return i + 1, end, body_fun(i, val)

    def names() -> list[str]:
        i, *val = names_inside(body_fun, (0, init_val))
        return [i, f"{i}_end", *val]

    lower, upper = operand_of(lower), operand_of(upper)
    start, end = _one_type(lower, upper)
    turn = _Turn(body_fun, step, (1, "val"))
    return _while(lambda state: state[0] < state[1], turn, (start, end, init_val), None, names)[2]


def _one_type(a: Any, b: Any) -> tuple[Any, Any]:
    """Two bounds in the dtype they promote to."""
    x, y = aval_of(a), aval_of(b)
    dtype = (
        x.dtype if y.weak and not x.weak else y.dtype if x.weak and not y.weak else np.promote_types(x.dtype, y.dtype)
    )
    return converted(a, Aval((), dtype)), converted(b, Aval((), dtype))
