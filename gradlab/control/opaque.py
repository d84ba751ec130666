"""Functions of another library as equations: the program names them, runs them, and asks them for their derivatives.

`opaque` is a function the IR has no equations for; the text that is compiled calls it by name. `ruled` is one whose
meaning is known as a graph, but which has a derivative of its own. Both hold a `Foreign` function, which answers every
transformation with a graph; what that graph is made of (equations, or opaque ones again) is the library's concern.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ..ir.graph import Aval, Graph
from ..ir.primitive import Primitive, Refused
from ..ir.work import Work
from ..ops.families import batch_size
from ..trace.builder import bind
from ..trace.stage import current, inline
from ..transforms.transpose import transpose_graph


class Foreign(Protocol):
    """A pure function (x*) -> (y*) of another library, for operands of fixed types; hashed and compared by meaning.

    **Attributes:** `word`: an identifier, for the text; `out_avals`: the types of y*; `run`: the function, of arrays
    and of JAX's tracers, returning a sequence.
    """

    word: str
    out_avals: tuple[Aval, ...]
    run: Callable[..., Sequence[Any]]

    def linearized(self, active: tuple[bool, ...]) -> tuple[Graph, Graph, tuple[bool, ...]]:
        """Of the operands that are active: (x*) -> (y*, residuals*); (residuals*, dx*) -> (dy*); which y have a dy."""
        ...

    def transposed(self, active: tuple[bool, ...], seeded: tuple[bool, ...]) -> Graph:
        """(inactive x*, ct_y*) -> (ct_x*), linear in the active operands; `seeded`: which results have a cotangent."""
        ...

    def batched(self, dims: tuple[int | None, ...], size: int) -> Graph:
        """The same function with one more axis in its operands, at `dims`, and at 0 in all its results."""
        ...


def opaque(fun: Foreign, xs: Sequence[Any]) -> tuple[Any, ...]:
    """The results of a foreign function that has no equations."""
    return bind(opaque_p, *xs, fun=fun)


def ruled(graph: Graph, fun: Foreign, xs: Sequence[Any]) -> tuple[Any, ...]:
    """The results of `graph`, whose derivative is that of `fun`."""
    return bind(ruled_p, *xs, graph=graph, fun=fun)


def _jvp(prim: Callable[[], Primitive]):
    def jvp(xs, tangents, *, fun, **params):
        active = tuple([t is not None for t in tangents])
        first, linear, alive = fun.linearized(active)
        if not any(alive):
            return bind(prim(), *xs, **params, fun=fun), (None,) * len(alive)
        builder, n = current(xs), len(fun.out_avals)
        outs = inline(first, builder, xs)
        found = iter(inline(linear, builder, [*outs[n:], *(t for t in tangents if t is not None)]))
        return tuple(outs[:n]), tuple([next(found) if on else None for on in alive])

    return jvp


def _transpose(cts, active, *xs, fun):
    given = [x for x, on in zip(xs, active, strict=True) if not on] + [ct for ct in cts if ct is not None]
    graph = fun.transposed(tuple(active), tuple([ct is not None for ct in cts]))
    got = iter(inline(graph, current(given), given))
    return tuple([next(got) if on else None for on in active])


def _batch(xs, dims, *, fun, **params):
    graph = fun.batched(tuple(dims), batch_size(xs, dims))
    return tuple(inline(graph, current(xs), xs)), (0,) * len(graph.outputs)


opaque_p = Primitive(
    name="opaque",
    infer=lambda *xs, fun: fun.out_avals,
    emit=Refused("an opaque function has no text; a program calls it by name"),
    jvp=_jvp(lambda: opaque_p),
    transpose=_transpose,
    batch=_batch,
    cost=Refused("a function of JAX's without equations has no known cost; see xla in gradlab.cost"),
    native=lambda *, fun: fun.run,
)


def _ruled_transpose(cts, active, *xs, graph, fun):
    backward, alive = transpose_graph(graph, active, [ct is not None for ct in cts])
    given = [x for x, on in zip(xs, active, strict=True) if not on] + [ct for ct in cts if ct is not None]
    got = iter(inline(backward, current(given), given))
    on = iter(alive)
    return tuple([next(got) if a and next(on) else None for a in active])


def _ruled_expand(xs, *, graph, fun):
    return tuple(inline(graph, current(xs), xs))


ruled_p = Primitive(
    name="ruled",
    infer=lambda *xs, graph, fun: graph.out_avals,
    emit=Refused("a function with a rule of its own is expanded before a program is written"),
    jvp=_jvp(lambda: ruled_p),
    transpose=_ruled_transpose,
    batch=_batch,
    cost=lambda outs, *xs, graph, fun: Work(inside=((graph, 1),)),
    graphs=("graph",),
    expand=_ruled_expand,
    native=lambda *, graph, fun: fun.run,
)
