"""Einstein sums: a path of pairwise products, each a `dot_general` or, where nothing is summed, a product."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import jax.numpy as jnp
import opt_einsum
from opt_einsum.parser import parse_einsum_input

from ..ir.errors import ShapeError
from ..ops import reduce, shape
from ..ops.contract import dot_general
from ..trace.avals import canonical_dtype
from .dispatch import no_sharding, public
from .indexing import gathered
from .manipulation import permuted
from .matmul import operands
from .promote import aval as aval_of
from .promote import stretch


@public("einsum")
def einsum(subscripts: Any, /, *arrays: Any, out: None = None, optimize: Any = "auto", precision: Any = None,
           preferred_element_type: Any = None, out_sharding: Any = None) -> Any:  # fmt: skip
    """`jax.numpy.einsum`, on tracers too, with subscripts as text or as interleaved lists."""
    no_sharding("einsum", out_sharding)
    text, arrays = _text(subscripts, arrays)
    if not arrays:
        raise ShapeError("einsum needs at least one array.")
    if isinstance(optimize, bool):
        optimize = "optimal" if optimize else _left_to_right(len(arrays))
    shapes = [aval_of(a).shape for a in arrays]
    try:
        inputs, target, _ = parse_einsum_input((text, *shapes), shapes=True)
        terms = inputs.split(",")
        _check(terms, shapes)
        path, _ = opt_einsum.contract_path(f"{inputs}->{target}", *shapes, shapes=True, optimize=optimize)
    except ValueError as error:
        got = ", ".join(str(aval_of(a)) for a in arrays)
        raise ShapeError(f"einsum({text!r}) does not fit its arrays {got}: {error}") from None
    sizes: dict[str, int] = {}
    for term, dims in zip(terms, shapes, strict=True):
        for name, n in zip(term, dims, strict=True):
            sizes[name] = max(sizes.get(name, 1), n) if n else 0
    held = [_single(x, term, sizes) for x, term in zip(operands(*arrays), terms, strict=True)]
    for step in path:
        picked = [held.pop(i) for i in sorted(step, reverse=True)][::-1]
        while len(picked) > 1:
            wanted = set(target).union(*(names for _, names in held), *(names for _, names in picked[2:]))
            picked[:2] = [_pair(*picked[0], *picked[1], wanted, precision, preferred_element_type)]
        held.append(picked[0])
    ((x, names),) = held
    x, names = _summed(x, names, set(target))
    missing = [n for n in target if n not in names]  # a name whose every axis has length 1
    x = permuted(x, [names.index(n) for n in target if n in names])
    for n in missing:
        at = target.index(n)
        x = shape.reshape(x, (*x.shape[:at], 1, *x.shape[at:]))
    return stretch(x, tuple(sizes[n] for n in target))


def _left_to_right(n: int) -> list[tuple[int, ...]]:
    """The first two arrays, then what came of them (kept last) with the next."""
    return [(0, 1), *((0, n - k - 1) for k in range(1, n - 1))] if n > 1 else [(0,)]


def _text(subscripts: Any, arrays: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """The subscripts as text: a list of axis numbers after each array becomes letters."""
    if isinstance(subscripts, str):
        return subscripts, arrays
    given = (subscripts, *arrays)
    pairs = len(given) // 2
    letter = {}

    def letters(axes: Any) -> str:
        return "".join(
            "..." if a is Ellipsis else letter.setdefault(a, opt_einsum.get_symbol(len(letter))) for a in axes
        )

    lists = [given[2 * i + 1] for i in range(pairs)]
    known = sorted({a for axes in lists for a in axes if a is not Ellipsis})
    for a in known:
        letters([a])
    text = ",".join(map(letters, lists))
    if len(given) % 2:
        text += "->" + letters(given[-1])
    return text, tuple(given[2 * i] for i in range(pairs))


def _check(terms: list[str], shapes: list[tuple[int, ...]]) -> None:
    sizes: dict[str, int] = {}
    for term, dims in zip(terms, shapes, strict=True):
        if len(term) != len(dims):
            raise ValueError(f"the term {term!r} names {len(term)} axes of an array of shape {dims}.")
        for name, n in zip(term, dims, strict=True):
            if 1 not in (n, sizes.get(name, n)) and sizes.get(name, n) != n:
                raise ValueError(f"axis {name!r} has size {sizes[name]} here and {n} there.")
            sizes[name] = n if name not in sizes or sizes[name] == 1 else sizes[name]


def _single(x: Any, term: str, sizes: dict[str, int]) -> tuple[Any, str]:
    """Each name once, only where its axis has its size: a diagonal is taken, an axis that would stretch is dropped."""
    kept = [i for i, n in enumerate(term) if x.shape[i] == sizes[n]]
    if len(kept) < len(term):
        x = shape.reshape(x, tuple(x.shape[i] for i in kept))
        term = "".join(term[i] for i in kept)
    for name, times in Counter(term).items():
        if times > 1:
            at = [i for i, n in enumerate(term) if n == name]
            rest = [i for i in range(x.ndim) if i not in at]
            x = permuted(x, [*at, *rest])
            along = shape.iota("int32", (sizes[name],), 0)
            x = gathered(x, [along] * times, list(range(times)), "promise_in_bounds")
            term = name + "".join(term[i] for i in rest)
    return x, term


def _summed(x: Any, names: str, wanted: set[str]) -> tuple[Any, str]:
    gone = tuple(i for i, n in enumerate(names) if n not in wanted)
    return reduce.reduce_sum(x, axes=gone), "".join(n for n in names if n in wanted)


def _pair(x: Any, of_x: str, y: Any, of_y: str, wanted: set[str], precision: Any, preferred: Any) -> tuple[Any, str]:
    x, of_x = _summed(x, of_x, wanted | set(of_y))
    y, of_y = _summed(y, of_y, wanted | set(of_x))
    both = [n for n in of_x if n in of_y]
    batch = [n for n in both if n in wanted]
    summed = [n for n in both if n not in wanted]
    out_dtype = None if preferred is None or canonical_dtype(preferred) == x.dtype else canonical_dtype(preferred)
    if summed or (out_dtype is not None):
        out = dot_general(
            x,
            y,
            contract=(tuple(map(of_x.index, summed)), tuple(map(of_y.index, summed))),
            batch=(tuple(map(of_x.index, batch)), tuple(map(of_y.index, batch))),
            precision=precision,
            out_dtype=out_dtype,
        )
        rest = [n for n in itertools.chain(of_x, of_y) if n not in both]
        return out, "".join([*batch, *rest])
    names = of_x + "".join(n for n in of_y if n not in of_x)
    return _spread(x, of_x, names) * _spread(y, of_y, names), names


def _spread(x: Any, of_x: str, names: str) -> Any:
    """x with an axis for each of `names`, of length 1 where it has none."""
    x = permuted(x, [of_x.index(n) for n in names if n in of_x])
    sizes = iter(x.shape)
    new = tuple(next(sizes) if n in of_x else 1 for n in names)
    return x if new == x.shape else shape.reshape(x, new)


einsum_path = jnp.einsum_path
