"""The program: `Aval`, `Var`, `Lit`, `Eqn`, `Graph` (A-normal form)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, final

import numpy as np

if TYPE_CHECKING:
    from .primitive import Primitive
    from .where import Where

_SHORT = {
    "bool": "bool", "bfloat16": "bf16", "float": "f", "int": "i", "uint": "u", "complex": "c",
}  # fmt: skip


def short_dtype(dtype: np.dtype) -> str:
    """`f64`, `i32`, `bf16`, `c128`, `bool`: how a dtype is printed."""
    name = dtype.name
    stem = name.rstrip("0123456789")
    return _SHORT.get(name) or (_SHORT[stem] + name[len(stem) :] if stem in _SHORT else name)


class Aval(NamedTuple):
    """What is known of an array before it runs: shape, dtype, and whether the dtype is weak (from a Python scalar).

    An array of random keys has JAX's own dtype for them, which NumPy does not know: ask `is_key` before `dtype.kind`.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    weak: bool = False

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def reshaped(self, shape: Iterable[int]) -> Aval:
        """The same dtype and weakness in another shape."""
        return Aval(tuple(shape), self.dtype, self.weak)

    def retyped(self, dtype: Any, weak: bool = False) -> Aval:
        """The same shape in another dtype, not weak unless said."""
        return Aval(self.shape, np.dtype(dtype), weak)

    def __str__(self) -> str:
        return f"{short_dtype(self.dtype)}[{','.join(map(str, self.shape))}]{'~' if self.weak else ''}"


def is_key(dtype: Any) -> bool:
    """Whether arrays of this dtype hold random keys: they are moved about, and no number is made of them."""
    return not isinstance(dtype, np.dtype)


def is_inexact(dtype: np.dtype) -> bool:
    """Whether a dtype has derivatives: floating (bfloat16 and float8 included) or complex."""
    known = _INEXACT.get(dtype)
    if known is None:
        known = not is_key(dtype) and (dtype.kind in "fc" or (dtype.kind == "V" and "float" in dtype.name))
        _INEXACT[dtype] = known
    return known


_INEXACT: dict[Any, bool] = {}  # of the few dtypes there are: asked of every operand


class Typed:
    """What stands for an array: its `aval`, and what that says of it."""

    __slots__ = ("aval",)
    aval: Aval

    @property
    def shape(self) -> tuple[int, ...]:
        return self.aval.shape

    @property
    def dtype(self) -> np.dtype:
        return self.aval.dtype

    @property
    def ndim(self) -> int:
        return len(self.aval.shape)


@final
class Var(Typed):
    """A name for one value of a graph; compared by identity. `name` is a hint for printing."""

    __slots__ = ("name",)

    def __init__(self, aval: Aval, name: str | None = None):
        self.aval = aval
        self.name = name

    def __repr__(self) -> str:
        return f"Var({self.name or '_'}: {self.aval})"


@final
class Lit(Typed):
    """A scalar constant, standing for an array of that one number: its `aval` may have any shape."""

    __slots__ = ("value",)

    def __init__(self, value: bool | int | float | complex, aval: Aval):
        self.value = value
        self.aval = aval

    def __repr__(self) -> str:
        return f"Lit({self.value}: {self.aval})"


def scalar_key(value: Any) -> Any:
    """A hashable that tells scalars apart as IEEE does: -0.0 is not 0.0, and a NaN is itself."""
    if value != value or (not value and isinstance(value, float | complex)):
        return repr(value)
    return value


Atom = Var | Lit


class Eqn(NamedTuple):
    """`outputs = prim(*inputs, **params)`, and where the user wrote it."""

    prim: Primitive
    inputs: tuple[Atom, ...]
    outputs: tuple[Var, ...]
    params: dict[str, Any]
    where: Where | None = None

    @property
    def assigned(self) -> Sequence[str | None]:
        """For each result the variable that the user's code stores it in, where it does so at once."""
        n = len(self.outputs)
        if self.where is None:
            return (None,) * n
        return (self.where.assigned,) if n == 1 else self.where.unpacked(n)

    @property
    def graphs(self) -> list[tuple[str, Graph]]:
        """The programs the equation carries, each with the name of its parameter."""
        found = []
        for name in self.prim.graphs:
            value = self.params[name]
            found += [(name, g) for g in (value if isinstance(value, tuple) else (value,)) if isinstance(g, Graph)]
        return found


class Graph:
    """(inputs) -> (outputs): equations in order, each variable defined once and before its use.

    Equality and hash are structural (`key`): two graphs are equal when they are the same program up to names and lines.
    """

    __slots__ = ("_hash", "_key", "eqns", "inputs", "outputs")

    def __init__(self, inputs: Iterable[Var], eqns: Iterable[Eqn], outputs: Iterable[Atom]):
        self.inputs = tuple(inputs)
        self.eqns = tuple(eqns)
        self.outputs = tuple(outputs)
        self._key: tuple | None = None
        self._hash = 0

    @property
    def in_avals(self) -> tuple[Aval, ...]:
        return tuple(v.aval for v in self.inputs)

    @property
    def out_avals(self) -> tuple[Aval, ...]:
        return tuple(a.aval for a in self.outputs)

    @property
    def key(self) -> tuple:
        """The program without names and lines: inputs' types, equations by number, outputs. Made once."""
        if self._key is None:
            number: dict[Var, int] = {}
            for v in self.inputs:
                number[v] = len(number)

            def code(atom: Atom) -> Any:
                if isinstance(atom, Var):
                    return number[atom]
                return (scalar_key(atom.value), atom.aval)

            rows = []
            for eqn in self.eqns:
                rows.append((eqn.prim, tuple(map(code, eqn.inputs)), tuple(eqn.params.values())))
                for v in eqn.outputs:
                    number[v] = len(number)
            self._key = (self.in_avals, tuple(rows), tuple(map(code, self.outputs)))
            self._hash = hash(self._key)
        return self._key

    def __hash__(self) -> int:
        if self._key is None:
            _ = self.key
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Graph) and hash(self) == hash(other) and self.key == other.key)


def chained(first: Graph, second: Graph, feed: Sequence[Atom]) -> tuple[list[Eqn], list[Atom]]:
    """The equations of `first`, then those of `second` with its inputs replaced by the atoms `feed`; and its outputs.

    The variables of the two must be distinct.
    """
    instead: dict[Var, Atom] = dict(zip(second.inputs, feed, strict=True))
    eqns = list(first.eqns)
    for eqn in second.eqns:
        inputs = tuple([instead.get(a, a) if type(a) is Var else a for a in eqn.inputs])
        eqns.append(Eqn(eqn.prim, inputs, eqn.outputs, eqn.params, eqn.where))
    return eqns, [instead.get(a, a) if type(a) is Var else a for a in second.outputs]
