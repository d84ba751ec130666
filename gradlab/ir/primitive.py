"""One frozen record per primitive: all that is known about it, every slot filled, and the registry of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import MissingRuleError
from .graph import Aval, Eqn, Graph

if TYPE_CHECKING:
    from .work import Work

REGISTRY: dict[str, Primitive] = {}


@dataclass(frozen=True)
class Refused:
    """Stands in a slot for a rule that does not exist, and says why. Calling it raises the reason."""

    why: str

    def __call__(self, *args: Any, **params: Any) -> Any:
        raise MissingRuleError(self.why)


class Text(str):
    """The text of an operand as it reaches `emit`: an expression, with the `aval` it stands for.

    `is_number` marks a literal written as one number, whatever its aval's shape.
    """

    __slots__ = ("aval", "is_number")
    aval: Aval
    is_number: bool

    def __new__(cls, text: str, aval: Aval, is_number: bool = False) -> Text:
        self = super().__new__(cls, text)
        self.aval = aval
        self.is_number = is_number
        return self


class Body(NamedTuple):
    """A program that an equation carries, and how it is written: as a function `word` beside the equation.

    `operands`: which operands of the equation its first inputs are; the function reads them where it stands. The other
    inputs are its parameters, in groups of these sizes (`takes`, named by `parameters`), and its outputs are returned
    in groups (`gives`). A group of one is the array itself, any other a tuple.
    """

    word: str
    graph: Graph
    operands: tuple[int, ...]
    takes: tuple[int, ...] = ()
    parameters: tuple[str, ...] = ()
    gives: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Primitive:
    """The record. Signatures of the slots, with `xs` the operands (tracers or literals) and `**params` the parameters:

    * `infer(*avals, **params) -> tuple[Aval, ...]`: types of the results; raises ShapeError or DTypeError.
    * `emit(*texts, **params) -> str`: the jax.numpy expression; each text is a `Text` that knows its aval.
    * `jvp(xs, tangents, **params) -> (outs, out_tangents)`: None is a structural zero, in and out.
    * `transpose(cts, active, *xs, **params) -> one cotangent per operand`: for active operands, on which the result
      depends linearly; an active x is only a variable (shape and dtype, no value). None is a structural zero.
    * `batch(xs, dims, **params) -> (outs, out_dims)`: `dims[i]` is the batched axis of `xs[i]` or None.
    * `cost(results, *avals, **params) -> Work`: the operations it takes, from the types of results and operands.

    `scalars` says that the operation is elementwise: `emit` may be handed literals as plain numbers, and operands that
    broadcast. `commutes`: the operands may be swapped. `fold(*numbers, **params)` is the one number that fills the
    result when each operand is filled with one number (NumPy scalars of the right dtype), or None if there is none.
    `call(*texts, **params)` is the same as `emit` in the words of jax.lax, which JAX reads in half the time: how a long
    program is written. Its operands do not broadcast, but a literal may still be one number.
    `helper` is a function of jax.numpy that the text calls by its name: its source stands before the program's.
    A primitive that carries programs names the parameters that hold them in `graphs`, and has one more rule: either
    `expand(xs, **params) -> outs`, its meaning in simpler equations, or `bodies(**params) -> Body, ...`, as which they
    are written; `emit` then gets the function's name in place of the graph, and `targets(names, **params)` writes the
    left side of the statement. It may have `split(eqn, unknown) -> (equations, equations)`: what can be computed before
    the unknown operands are there, and what waits for them; without it all of the equation waits. And
    `prune(eqn, used) -> Eqn`: the equation with only those of its outputs. One whose derivative is not that of its
    meaning also has `native(**params)`: a JAX function (*xs) -> outs with that derivative, for programs that JAX may
    differentiate.
    """

    name: str
    infer: Callable[..., tuple[Aval, ...]]
    emit: Callable[..., str]
    jvp: Callable[..., tuple[tuple, tuple]]
    transpose: Callable[..., tuple]
    batch: Callable[..., tuple[tuple, tuple]]
    cost: Callable[..., Work] = field(kw_only=True)
    scalars: bool = field(default=False, kw_only=True)
    commutes: bool = field(default=False, kw_only=True)
    call: Callable[..., str] | None = field(default=None, kw_only=True)
    fold: Callable[..., Any] | None = field(default=None, kw_only=True)
    helper: Callable[..., Any] | None = field(default=None, kw_only=True)
    graphs: tuple[str, ...] = field(default=(), kw_only=True)
    split: Callable[..., Any] | None = field(default=None, kw_only=True)
    prune: Callable[..., Eqn] | None = field(default=None, kw_only=True)
    expand: Callable[..., tuple] | None = field(default=None, kw_only=True)
    bodies: Callable[..., tuple[Body, ...]] | None = field(default=None, kw_only=True)
    targets: Callable[..., str] | None = field(default=None, kw_only=True)
    native: Callable[..., Callable[..., tuple]] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(f"a primitive's name must be an identifier, got {self.name!r}")
        if self.name in REGISTRY:
            raise ValueError(f"primitive {self.name!r} is defined twice")
        if bool(self.graphs) != (self.expand is not None or self.bodies is not None):
            raise TypeError(
                f"{self.name}: `expand` or `bodies` is for primitives that carry graphs, and those need one"
            )
        REGISTRY[self.name] = self

    def __repr__(self) -> str:
        return self.name
