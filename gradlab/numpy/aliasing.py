"""Who shares memory with whom, had NumPy run the program: kept so that item assignment is never silently different.

A tracer's `shared` is None while nobody else would see it change; a word (`input`, `capture`, `literal`) where the
array is not the function's own; otherwise its `Memory`, and the part of it that the tracer looks at. Whoever looks at a
part that is assigned to under another name is outdated: NumPy would have changed it, so using it again is an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import ref

import numpy as np

from ..ir.errors import ItemAssignmentError
from ..ir.graph import Aval
from ..ir.where import Where, here
from ..trace.builder import AMBIENT
from ..trace.tracer import Tracer

SOMEWHERE = object()  # the last step of a path: a part nobody knows more of than that it lies inside
Path = tuple[Any, ...]  # basic indices, applied one after the other

# Functions whose result NumPy makes a view of the first argument, where it can.
VIEWS = frozenset((
    "array_split", "broadcast_to", "diagonal", "dsplit", "expand_dims", "flip", "fliplr", "flipud",
    "hsplit", "matrix_transpose", "moveaxis", "permute_dims", "ravel", "real", "reshape", "rollaxis", "rot90", "split",
    "squeeze", "swapaxes", "transpose", "trim_zeros", "unstack", "vsplit",
))  # fmt: skip
VIEWS_SOMETIMES = {
    "diag": lambda x, *_: np.ndim(x) == 2,
    "imag": lambda x, *_: x.dtype.kind == "c",
}
ITSELF = frozenset(("asarray", "diff", "matrix_power"))  # these may hand back what they were given
VIEWS_OF_EACH = frozenset(("atleast_1d", "atleast_2d", "atleast_3d", "broadcast_arrays"))


class Memory:
    """One array's memory: its shape, and who looks at which part of it."""

    __slots__ = ("shape", "viewers")

    def __init__(self, owner: Tracer):
        self.shape = owner.aval.shape
        self.viewers: list[tuple[ref[Tracer], Path]] = [(ref(owner), ())]

    def written(self, by: Tracer, index: Any) -> None:
        """`by[index]` gets other values: who else looks at that part is outdated from now on."""
        alive = [(viewer, path) for seen, path in self.viewers if (viewer := seen()) is not None]
        self.viewers = [(ref(viewer), path) for viewer, path in alive]
        if len(alive) == 1:
            return
        memory = np.empty(self.shape, np.bool_)  # never read or written: only its addresses are compared
        path = by.shared[1]
        part = _part(memory, path)
        if path[-1:] != (SOMEWHERE,) and is_basic(index):
            part = _view_of(part, index)
        for viewer, other in alive:
            if viewer is not by and _overlap(part, _part(memory, other)):
                viewer.builder = Outdated(viewer.aval, by.aval, len(path) > len(other), here())  # type: ignore[assignment]


class Outdated:
    """In the place of a tracer's trace, once its memory was written to under another name: any use is an error."""

    __slots__ = ("aval", "is_base", "line", "writer")

    def __init__(self, aval: Aval, writer: Aval, is_base: bool, line: Where | None):
        self.aval = aval
        self.writer = writer
        self.is_base = is_base
        self.line = line

    def __getattr__(self, name: str) -> Any:
        written, used = ("a view of it", "an array") if self.is_base else ("the array it looks at", "a view")
        raise ItemAssignmentError(
            f"{used} ({self.aval}) is used after {written} ({self.writer}) was assigned to, at {self.line}. They share "
            "memory in NumPy, which would have changed both. "
            + (
                "Assign to the base itself (y[0, i] = v, not row = y[0]; row[i] = v), or make the view a copy"
                if self.is_base
                else "Make it a copy, or take it again after the assignment"
            )
            + " (row = y[0].copy())."
        )


def _part(memory: np.ndarray, path: Path) -> np.ndarray:
    for index in path:
        if index is SOMEWHERE:
            break
        memory = _view_of(memory, index)
    return memory


def _view_of(memory: np.ndarray, index: Any) -> np.ndarray:
    """`memory[index]`, an array even where that is one element."""
    index = index if type(index) is tuple else (index,)
    return memory[index if any(item is Ellipsis for item in index) else (*index, ...)]


def _overlap(a: np.ndarray, b: np.ndarray) -> bool:
    try:
        return np.shares_memory(a, b, max_work=10_000)  # type: ignore[arg-type]  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


def is_basic(index: Any) -> bool:
    """Whether `x[index]` is a view in NumPy: integers, slices, None and ... only."""
    for item in index if type(index) is tuple else (index,):
        kind = type(item)
        known = kind is int or kind is slice or item is None or item is Ellipsis or isinstance(item, np.integer)
        if not known:
            return False
    return True


def share(out: Any, base: Any, index: Any = SOMEWHERE) -> Any:
    """`out`, known from now on as a view of `base`: of `base[index]`."""
    if out is base or type(out) is not Tracer:
        return out
    if type(base) is not Tracer:
        out.shared = "capture"
        return out
    known = base.shared
    if known is None:
        known = base.shared = (Memory(base), ())
    elif type(known) is str:
        out.shared = known
        return out
    memory, path = known
    if path[-1:] != (SOMEWHERE,):
        path = (*path, index)
    out.shared = (memory, path)
    memory.viewers.append((ref(out), path))
    return out


def own(out: Any, args: Any = (), kwargs: Any = None) -> Any:
    """`out` as an object that nobody else has, `args` included: what a function returns that copies in NumPy."""
    kind = type(out)
    if kind is Tracer:
        if out.shared is not None:
            return fresh(out)
        if _among(out, args) or (kwargs and _among(out, kwargs.values())):
            return fresh(out)
    elif kind is list or kind is tuple:
        return kind([own(x, args) for x in out])
    return out


def _among(out: Tracer, args: Any) -> bool:
    for x in args:
        if x is out:
            return True
        if (type(x) is list or type(x) is tuple) and _among(out, x):
            return True
    return False


def fresh(x: Tracer) -> Tracer:
    """A copy of `x` in the innermost trace."""
    if AMBIENT.stack and x.builder.level < AMBIENT.stack[-1].level:
        x = AMBIENT.stack[-1].operand(x, None)
    return x.fresh()


def sharing(name: str) -> Callable[[Any, tuple, dict[str, Any]], Any]:
    """(result, args, kwargs) -> the result of the function of that name, known as what it is in NumPy: view or copy."""
    if name in VIEWS:
        return _view
    if name in VIEWS_SOMETIMES:
        is_view = VIEWS_SOMETIMES[name]
        return lambda out, args, kwargs: (_view if is_view(*args, *kwargs.values()) else own)(out, args, kwargs)
    if name == "einsum":
        return _einsum
    if name in ITSELF:
        return lambda out, args, kwargs: out
    return _views_of_each if name in VIEWS_OF_EACH else own


def _einsum(out: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    spec = args[0] if args else None
    if len(args) == 2 and isinstance(spec, str) and "->" in spec:
        read, kept = spec.replace(" ", "").split("->")
        if set(read) == set(kept):  # nothing is summed: a transpose or a diagonal
            return share(out, args[1])
    return own(out, args)


def _view(out: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    base = args[0] if args else next(iter(kwargs.values()))
    if type(out) is Tracer:
        return share(out, base)
    return type(out)([share(x, base) for x in out]) if type(out) is list or type(out) is tuple else out


def _views_of_each(out: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    if type(out) is Tracer:
        return share(out, args[0])
    return type(out)([share(x, base) for x, base in zip(out, args, strict=True)])
