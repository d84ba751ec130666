"""What NumPy's ufuncs have besides a call: `add.reduce`, `accumulate`, `reduceat`, `outer`, `at`; and `frompyfunc`.

The functions stay plain functions, as quick to call as ever: the methods are attributes of theirs. An associative one
is reduced by a sum, product, maximum, ... or a tree of logarithmic depth; any other one element after the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..api.associative import associative_scan
from ..api.loops import scan
from ..ir.errors import ArgumentError, ConcretizationError, IndexingError, ShapeError
from ..ir.graph import is_inexact
from ..ops import cumulative, reduce
from ..ops import shape as ops
from ..trace.avals import canonical_dtype
from ..trace.tracer import Tracer
from . import axes as ax
from . import bits, elementwise, formulas
from . import reductions as red
from .aliasing import own
from .choose import where as choose
from .creation import array, full
from .dispatch import recording
from .indexing import getitem, read
from .manipulation import concatenate, cut, expand_dims, moveaxis, stack
from .mapping import vectorize
from .promote import home, inexact_dtype, retype, stretch
from .updates import distinct

Rule = Callable[..., Any]


class Shortcut(NamedTuple):
    """What a function's methods are in other words, where there are any."""

    reduce: Rule | None = None  # (x, axes, keepdims)
    accumulate: Rule | None = None  # (x, axis), of x's dtype
    at: str | None = None  # a method of x.at[i]
    kinds: str = "iufc"


def _kept(out: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    return expand_dims(out, axes) if keepdims and axes else out


def _logsumexp(x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
    return _kept(reduce.logsumexp(x, axes=axis), axis, keepdims)


_SHORTCUTS = {
    "add": Shortcut(red.sum, cumulative.cumsum, "add"),
    "subtract": Shortcut(at="subtract"),
    "multiply": Shortcut(red.prod, cumulative.cumprod, "multiply"),
    "maximum": Shortcut(red.max, cumulative.cummax, "max", "iuf"),
    "minimum": Shortcut(red.min, cumulative.cummin, "min", "iuf"),
    "logical_and": Shortcut(red.all, kinds="biufc"),
    "logical_or": Shortcut(red.any, kinds="biufc"),
    "logaddexp": Shortcut(
        lambda x, axis, keepdims: _kept(reduce.logsumexp(x, axes=axis), axis, keepdims),
        cumulative.cumlogsumexp,
        kinds="f",
    ),
}
_ASSOCIATIVE = frozenset((
    *_SHORTCUTS, "logical_xor", "bitwise_and", "bitwise_or", "bitwise_xor", "logaddexp2", "fmax", "fmin", "hypot",
    "gcd", "lcm",
)) - {"subtract"}  # fmt: skip


class ufunc:
    """A function of one or two numbers, called elementwise, with the methods of NumPy's ufuncs.

    **Attributes:** `nin`, `nout`, `nargs`: how many operands, results, and both. `identity`: the number that changes
    nothing, None if there is none.
    """

    def __init__(self, call: Rule, native: Any, name: str, short: Shortcut, associative: bool):
        self.nin, self.nout, self.identity = native.nin, native.nout, native.identity
        self.nargs = self.nin + self.nout
        self.__name__ = self.__qualname__ = name
        self._call, self._native = call, native
        self._short, self._associative = short, associative

    def __repr__(self) -> str:
        return f"<gradlab.numpy.ufunc '{self.__name__}'>"

    def __call__(self, *args: Any) -> Any:
        return self._call(*args)

    def _pair(self, method: str, out: Any = None) -> Rule:
        if self.nin != 2 or self.nout != 1:
            raise ArgumentError(f"{self.__name__}.{method} needs a function of two operands and one result.")
        if out is not None:
            raise ArgumentError(f"{self.__name__}.{method} writes no out=: arrays do not change. Use its result.")
        return self._call

    def _typed(self, x: Any, dtype: Any) -> Any:
        """x in the dtype to compute in: the function's own for such numbers."""
        x = x if dtype is None else retype(x, canonical_dtype(dtype))
        like = jax.ShapeDtypeStruct((), x.dtype)
        if self.__name__.startswith("logical"):
            return formulas.truth(x)
        found = jax.eval_shape(self._native, like, like).dtype
        return x if is_inexact(x.dtype) or not is_inexact(found) else retype(x, inexact_dtype(x.dtype))

    # -- methods

    def reduce(self, a: Any, axis: Any = 0, dtype: Any = None, out: None = None, keepdims: bool = False,
               initial: Any = None, where: Any = None) -> Any:  # fmt: skip
        """The elements along `axis` (one, several or None: all) combined to one."""
        pair = self._pair("reduce", out)
        if not recording((a, initial, where), {}):
            return self._native.reduce(a, axis, dtype, None, keepdims, initial, where)
        x = home(a, initial, where).operand(array(a) if isinstance(a, list | tuple) else a, None)
        axes = ax.several(axis, x.ndim)
        short = self._short.reduce
        if short is None or self.__name__ == "logaddexp":
            x = self._typed(x, dtype)
        elif dtype is not None:
            x = retype(x, canonical_dtype(dtype))
        if where is not None:
            neutral = self.identity if initial is None else initial
            if neutral is None:
                raise ArgumentError(f"{self.__name__}.reduce with where= needs initial=: the function has no identity.")
            x = choose(where, x, retype(home(x).operand(neutral, x.aval.reshaped(())), x.dtype))
        empty = any(x.shape[i] == 0 for i in axes)
        if empty and self.identity is None and initial is None:
            raise ShapeError(f"{self.__name__}.reduce of no elements does not exist: {x.aval}. Give initial=.")
        kept = tuple(1 if i in axes else n for i, n in enumerate(x.shape) if keepdims or i not in axes)
        if empty and self.identity is None:
            return full(kept, initial, x.dtype)
        if short is not None:
            total = short(x, axis=axes, keepdims=keepdims)
        elif empty:
            total = full(kept, self.identity, x.dtype)
        else:
            # Without the law of association the initial value comes in first.
            begun = initial if not self._associative else None
            total = _kept(self._along_one(x, axes, begun), axes, keepdims)
            initial = initial if self._associative else None
        return own(total if initial is None else pair(initial, total), (a,))

    def _along_one(self, x: Any, axes: tuple[int, ...], initial: Any = None) -> Any:
        """The axes laid out as one, and combined, after `initial` if given."""
        if not axes:
            return x if initial is None else self._call(initial, x)
        rest = [n for i, n in enumerate(x.shape) if i not in axes]
        x = moveaxis(x, axes, tuple(range(len(axes))))
        x = ops.reshape(x, (math.prod(x.shape[: len(axes)]), *rest))
        pair = self._call
        if not self._associative:
            return self._fold(x, initial)
        while (n := x.shape[0]) > 1:
            halves = pair(cut(x, 0, 0, n - 1, 2), cut(x, 0, 1, n, 2))
            x = concatenate([halves, cut(x, 0, n - 1, n)]) if n % 2 else halves
        return ops.reshape(x, x.shape[1:])

    def _fold(self, x: Any, initial: Any = None, steps: bool = False) -> Any:
        """One element after the other along the first axis: what comes of all of them, or of each start of them."""
        pair, rest = self._call, x.shape[1:]
        if initial is not None:
            first = stretch(retype(home(x, initial).operand(initial, x.aval.reshaped(())), x.dtype), rest)
        else:
            first, x = retype(ops.reshape(cut(x, 0, 0, 1), rest), x.dtype), cut(x, 0, 1, x.shape[0])

        def step(total: Any, item: Any) -> Any:
            total = retype(pair(total, item), x.dtype)
            return total, (total if steps else None)

        last, starts = scan(step, first, x)
        return concatenate([expand_dims(first, 0), starts]) if steps else last

    def accumulate(self, a: Any, axis: int = 0, dtype: Any = None, out: None = None) -> Any:
        """What comes of the elements along `axis` up to each of them."""
        pair = self._pair("accumulate", out)
        if not recording((a,), {}):
            return self._native.accumulate(a, axis, dtype)
        x = home(a).operand(array(a) if isinstance(a, list | tuple) else a, None)
        if not x.ndim:
            raise ShapeError(f"{self.__name__}.accumulate needs an axis to run along, got a scalar.")
        x, axis = self._typed(x, dtype), ax.one(axis, x.ndim)
        short = self._short.accumulate
        if x.dtype.kind in self._short.kinds and short is not None:
            return own(short(x, axis=axis), (a,))
        if self._associative or x.shape[axis] < 2:
            found = associative_scan(pair, x, axis=axis) if x.shape[axis] > 1 else x
            return own(retype(found, x.dtype), (a,))
        return own(moveaxis(self._fold(moveaxis(x, axis, 0), steps=True), 0, axis), (a,))

    def reduceat(self, a: Any, indices: Any, axis: int = 0, dtype: Any = None, out: None = None) -> Any:
        """The elements from each index up to the next one combined; an index not before the next is its element."""
        self._pair("reduceat", out)
        if not recording((a, indices), {}):
            return self._native.reduceat(a, indices, axis, dtype)
        x = home(a, indices).operand(array(a) if isinstance(a, list | tuple) else a, None)
        x = moveaxis(self._typed(x, dtype), ax.one(axis, x.ndim), 0)
        try:
            starts = np.asarray(indices.value("reduceat") if type(indices) is Tracer else indices).tolist()
        except ConcretizationError:
            raise ConcretizationError(
                f"{self.__name__}.reduceat needs indices with values, which say how much is combined; there are none "
                "under jit and vmap. With segment numbers per element, x.at[segment].add(v) and its kin need none."
            ) from None
        n = x.shape[0]
        if any(not 0 <= i < n for i in starts):
            raise IndexingError(f"{self.__name__}.reduceat has indices {starts} that are not within 0..{n - 1}.")
        parts = [
            self._along_one(cut(x, 0, i, j), (0,)) if i < j else x[i]
            for i, j in zip(starts, [*starts[1:], n], strict=True)
        ]
        return moveaxis(stack(parts), 0, axis)

    def outer(self, A: Any, B: Any, /) -> Any:
        """The function of every element of A with every one of B: the axes of A, then those of B."""
        pair = self._pair("outer")
        if not recording((A, B), {}):
            return self._native.outer(A, B)
        at = home(A, B)
        x, y = (at.operand(array(z) if isinstance(z, list | tuple) else z, None) for z in (A, B))
        return pair(ops.reshape(x, (*x.shape, *(1,) * y.ndim)) if x.ndim and y.ndim else x, y)

    def at(self, a: Any, indices: Any, b: Any = None, /, *, inplace: bool = True) -> Any:
        """With inplace=False: `a` with the function applied at the indices, as often as one is named."""
        if inplace:
            raise NotImplementedError(
                f"{self.__name__}.at cannot change an array in place. Write a = {self.__name__}.at(a, i, ..., "
                "inplace=False)."
            )
        if not recording((a, b, *(indices if isinstance(indices, tuple) else (indices,))), {}):
            given = (a, indices) if b is None else (a, indices, b)
            return self._native.at(*given, inplace=False)
        if (self.nin == 2) != (b is not None):
            raise ArgumentError(f"{self.__name__}.at needs {self.nin - 1} operands beside the array and the indices.")
        x = home(a, b, indices).operand(a, None)
        how = self._short.at if x.dtype.kind in self._short.kinds else None
        # Of a product with several factors at one place only the loop below has a derivative.
        if how == "multiply" and is_inexact(x.dtype) and not distinct(read(indices, x.aval)):
            how = None
        if how is not None:
            return getattr(x.at[indices], how)(b)
        # One after the other, for a place may be named twice.
        flat = ops.reshape(x, (x.size,))
        numbers = ops.reshape(ops.iota(canonical_dtype(int), (x.size,), 0), x.shape)
        places = getitem(home(x).operand(numbers, None), indices)
        rows = [ops.reshape(places, (places.size,))]
        if b is not None:
            values = stretch(home(x, b).operand(b, x.aval.reshaped(())), places.shape)
            rows.append(ops.reshape(values, (places.size,)))

        def step(x: Any, row: Any) -> Any:
            place, *value = row
            return x.at[place].set(retype(self._call(x[place], *value), x.dtype)), None

        return ops.reshape(scan(step, flat, tuple(rows))[0], x.shape)


_METHODS = ("reduce", "accumulate", "reduceat", "outer", "at")


def frompyfunc(func: Rule, /, nin: int, nout: int, *, identity: Any = None) -> ufunc:
    """`jax.numpy.frompyfunc`, on tracers too: a ufunc of a function of `nin` numbers, taken as not associative."""
    native = jnp.frompyfunc(func, nin, nout, identity=identity)
    name = getattr(func, "__name__", "function")
    return ufunc(vectorize(func), native, name, Shortcut(), False)


def _install() -> None:
    """Gives the functions that are ufuncs in NumPy the attributes and methods of ufuncs."""
    for module in (elementwise, formulas, bits):
        for name, function in vars(module).items():
            model = getattr(np, name, None)
            if not isinstance(model, np.ufunc) or model.signature is not None or model.__name__ == "divmod":
                continue
            native = getattr(jnp, name)
            if not isinstance(native, jnp.ufunc):
                native = jnp.frompyfunc(native, model.nin, model.nout, identity=model.identity)
            short = _SHORTCUTS.get(model.__name__, Shortcut())
            known = ufunc(function, native, name, short, model.__name__ in _ASSOCIATIVE)
            for attribute in ("nin", "nout", "nargs", "identity", *_METHODS):
                setattr(function, attribute, getattr(known, attribute))


_install()
