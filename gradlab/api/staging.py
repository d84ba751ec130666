"""Functions that a loop or a branch carries, read as programs: what they capture becomes operands of the equation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ..ir.errors import GradlabError, ShapeError, StructureError
from ..ir.graph import Aval, Graph, Lit, Var
from ..ir.where import unpacked_into
from ..ops.convert import convert
from ..passes.pipeline import tidy
from ..trace.avals import aval_of
from ..trace.builder import AMBIENT, innermost
from ..trace.tracer import Tracer
from .arguments import identifier, leaf_paths, parameter_name, tree_flatten, tree_unflatten
from .calling import FRESH, Reading
from .results import aval_of_result

ITSELF = "Pass the function itself, not what it returns."


class Staged:
    """A function read once on values of these types.

    **Arguments:** `operands`: the arguments, or others of the same structures, that `fun` takes there: they give its
    inputs the names of its parameters. `names()`: other names for them.
    **Attributes:** `graph`: (x*, captured*) -> (y*); `captured`: the operands to pass for those; `tree`, `avals`:
    structure and types of what it returned.
    """

    def __init__(
        self,
        fun: Callable,
        avals: Sequence[Aval],
        call: Callable[[Sequence[Any]], Any],
        operands: tuple = (),
        names: Callable[[], Sequence[str]] | None = None,
    ):
        # Only a program that is shown needs names.
        names = (names or partial(names_inside, fun, operands)) if FRESH.on else tuple
        reading = Reading(call, [None] * len(avals), avals, concrete=False, names=names)
        leaves, self.tree = tree_flatten(reading.result)
        self.avals = [aval_of_result(leaf, fun) for leaf in leaves]
        for leaf in leaves:
            reading.take(leaf)
        self.graph, inputs = reading.end_as_body()
        self.captured = inputs[len(avals) :]


def native(run: Callable[[], Any], again: Callable[[], Any]) -> Any:
    """`run()`, which asks JAX; a complaint of JAX's in the words of gradlab, if it has one of its own.

    **Arguments:** `again`: the same call, of gradlab; inside a trace it checks what it is given.
    """
    try:
        return run()
    except GradlabError:
        raise
    except (TypeError, ValueError) as complaint:
        found = _complaint(again)
        if found is None:
            raise
        raise found from complaint


def _complaint(call: Callable[[], Any]) -> GradlabError | None:
    try:
        Staged(call, [], lambda _: call())
    except GradlabError as error:
        return error
    except Exception:
        return None  # what JAX says stands
    return None


def names_inside(fun: Callable, operands: tuple) -> list[str]:
    """Names for the leaves of what a function is given: of its parameters, or the variables these are unpacked into."""
    names = []
    for k, operand in enumerate(operands):
        parameter = parameter_name(fun, k)
        parts = unpacked_into(code, parameter) if (code := getattr(fun, "__code__", None)) is not None else ()
        if isinstance(operand, tuple | list) and len(parts) == len(operand):
            heads = [part if part != "_" else f"{parameter}_{i}" for i, part in enumerate(parts)]
            named = list(zip(heads, operand, strict=True))
        else:
            named = [(parameter, operand)]
        names += [identifier(head + path) for head, x in named for path in leaf_paths(tree_flatten(x)[1])]
    return names


def is_traced(args: Any) -> bool:
    """Whether a call belongs to a gradlab trace: there is a tracer in its arguments, or a trace it may close over."""
    return bool(AMBIENT.stack) or innermost(tree_flatten(args)[0]) is not None


def operand_of(x: Any) -> Any:
    """A leaf as an operand: a Python number is a literal of its own type, an array is captured by the open trace."""
    if isinstance(x, bool | int | float | complex):
        return Lit(x, aval_of(x))
    return x if type(x) is Tracer or not AMBIENT.stack else AMBIENT.stack[-1].operand(x, None)


def converted(x: Any, aval: Aval) -> Any:
    """An operand in the dtype (and weakness) of `aval`, which has its shape."""
    if x.aval == aval:
        return x
    return Lit(aval.dtype.type(x.value).item(), aval) if type(x) is Lit else convert(x, dtype=aval.dtype)


def reordered(graph: Graph, n: int) -> Graph:
    """The program with its inputs after the first `n`, the captured ones, put in front of those."""
    return Graph((*graph.inputs[n:], *graph.inputs[:n]), graph.eqns, graph.outputs)


def sharing(staged: Sequence[Staged]) -> tuple[list[Graph], list[Any]]:
    """The programs (x*, captured*) -> (y*) of functions that share one list of captured operands, and that list."""
    captured = {_identity(x): x for one in staged for x in one.captured}
    graphs = []
    for one in staged:
        n = len(one.graph.inputs) - len(one.captured)
        own = dict(zip(map(_identity, one.captured), one.graph.inputs[n:], strict=True))
        rest = [own[key] if key in own else Var(aval_of(x)) for key, x in captured.items()]
        graphs.append(tidy(Graph((*one.graph.inputs[:n], *rest), one.graph.eqns, one.graph.outputs)))
    return graphs, list(captured.values())


def _identity(x: Any) -> Any:
    """By what a captured value is known: a tracer by its number, for each trace captures an object of its own."""
    return (id(x.builder), x.id) if type(x) is Tracer else id(x)


def require_same(
    what: str, of: str, wanted: Any, wanted_avals: Sequence[Aval], got: Any, got_avals: Sequence[Aval]
) -> None:
    """**Raises:** `StructureError` or `ShapeError`, both sides shown, unless the structures and types are the same."""
    if wanted != got:
        raise StructureError(
            f"{what} must keep the structure of {of}.\n"
            f"  {of}: {_shown(wanted, wanted_avals)}\n"
            f"  {what}: {_shown(got, got_avals)}\n"
            "Return the same nesting of tuples, lists and dicts, with the same keys."
        )
    paths = leaf_paths(wanted)
    wrong = [
        f"  {path or 'it'}: {a} in {of}, {b} in {what}"
        for path, a, b in zip(paths, wanted_avals, got_avals, strict=True)
        if a.shape != b.shape or a.dtype != b.dtype
    ]
    if wrong:
        raise ShapeError(
            f"{what} must have the shapes and dtypes of {of}, but these differ:\n" + "\n".join(wrong) + "\n"
            f"Convert with .astype(...) or start from an array of the final type.\n"
            f"  {of}: {_shown(wanted, wanted_avals)}\n"
            f"  {what}: {_shown(got, got_avals)}"
        )


def _shown(tree: Any, avals: Sequence[Aval]) -> str:
    """A structure with the types of its leaves in place."""
    return repr(tree_unflatten(tree, [_Shown(aval) for aval in avals]))


class _Shown(str):
    """A word that stands in a printed structure without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)
