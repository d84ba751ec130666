"""A graph written out as Python: one readable jax.numpy statement an equation.

Everything that reaches the text is a name made here out of validated identifiers, a number's `repr`, or what a
primitive's `emit` says of them; nothing of the user's is ever pasted.
"""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Iterable

import numpy as np

from ..ir.graph import Atom, Eqn, Graph, Lit, Var, is_inexact
from ..ir.primitive import Text
from ..ops.families import broadcast_p

MODULES = ("jax", "jnp", "lax", "np")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,40}\Z")


class Names:
    """Hands out distinct valid identifiers, the wished one where it can be had."""

    def __init__(self, taken: Iterable[str] = ()):
        self._next: dict[str, int] = {}
        self._taken = {*taken, *MODULES}

    def take(self, wish: str | None) -> str:
        if not wish or not is_identifier(wish):
            wish = "t"
            name = "t0"
        else:
            name = wish
        k = self._next.get(wish, 0)
        while name in self._taken or hasattr(_BUILTINS, name):
            k += 1
            name = f"{wish.rstrip('_')}_{k}" if wish != "t" else f"t{k}"
        self._next[wish] = k
        self._taken.add(name)
        return name


_BUILTINS = __builtins__ if not isinstance(__builtins__, dict) else type("B", (), __builtins__)


def emit(graph: Graph, name: str = "f") -> str:
    """The graph as the source of a Python function `name(*inputs) -> tuple of outputs`."""
    names = Names()
    fname = names.take(function_name(name))
    local: dict[Var, str] = {}
    for v in graph.inputs:
        local[v] = names.take(v.name)
    lines = [f"def {fname}({', '.join(local[v] for v in graph.inputs)}):"]
    implicit = _implicit_broadcasts(graph)
    for eqn in graph.eqns:
        if eqn.outputs[0] in implicit:
            continue
        expression = _expression(eqn, local, implicit)
        for v in eqn.outputs:
            local[v] = names.take(v.name or (eqn.where.assigned if eqn.where and len(eqn.outputs) == 1 else None))
        targets = ", ".join(local[v] for v in eqn.outputs)
        lines.append(f"    {targets} = {expression}")
    outs = [full_text(a) if type(a) is Lit else Text(local[a], a.aval) for a in graph.outputs]  # type: ignore[index]
    lines.append(f"    return ({', '.join(outs)}{',' if len(outs) == 1 else ''})")
    return "\n".join(lines) + "\n"


def function_name(name: str) -> str:
    """`name` if it can name a function, else `f`."""
    return name if is_identifier(name) and name not in MODULES else "f"


def is_identifier(name: str) -> bool:
    return bool(_IDENTIFIER.match(name)) and not keyword.iskeyword(name) and not keyword.issoftkeyword(name)


def module_text(graph: Graph, name: str = "f") -> str:
    """The graph as a module of its own: imports, the function, and the shapes it was read for."""
    text = emit(graph, name)
    head, body = text.split("\n", 1)
    used = [
        line
        for line, word in (("import jax", "jax."), ("import jax.numpy as jnp", "jnp."), ("from jax import lax", "lax."))
        if re.search(rf"(?<![A-Za-z0-9_.]){re.escape(word)}", body)
    ]
    takes = ", ".join(str(a) for a in graph.in_avals)
    gives = ", ".join(str(a) for a in graph.out_avals)
    gap = "\n".join(used) + "\n\n\n" if used else ""
    return f"{gap}{head}\n    # {takes} -> {gives}\n{body}"


def _expression(eqn: Eqn, local: dict[Var, str], implicit: dict[Var, Atom]) -> str:
    """The right-hand side of one equation."""
    texts = []
    scalars = eqn.prim.scalars
    for a in eqn.inputs:
        if type(a) is Var:
            shown = implicit.get(a, a) if scalars else a
            if type(shown) is Var:
                texts.append(Text(local[shown], a.aval))
                continue
            a = shown
        if not scalars:
            texts.append(full_text(a))  # type: ignore[arg-type]
        elif _has_partner(a, eqn.inputs, implicit):
            texts.append(Text(number_text(a), a.aval))  # type: ignore[arg-type]
        else:
            texts.append(Text(typed_text(a), a.aval))  # type: ignore[arg-type]
    if scalars and texts and not any(type(a) is Var and a not in implicit for a in eqn.inputs):
        first = eqn.inputs[0]
        lit = implicit.get(first, first) if type(first) is Var else first
        if type(lit) is Lit:
            texts[0] = full_text(lit)
        else:
            texts[0] = Text(f"jnp.broadcast_to({local[lit]}, {first.shape})", first.aval)  # type: ignore[index]
    return eqn.prim.emit(*texts, **eqn.params)


def _has_partner(a: Atom, inputs: tuple[Atom, ...], implicit: dict[Var, Atom]) -> bool:
    """Whether a non-literal operand of the same dtype decides the dtype of the bare number `a`."""
    return any(
        type(b) is Var and type(implicit.get(b, b)) is Var and b.dtype == a.dtype and not b.aval.weak for b in inputs
    ) or (a.aval.weak and all(b.aval.weak for b in inputs if b.dtype == a.dtype))


def _implicit_broadcasts(graph: Graph) -> dict[Var, Atom]:
    """Broadcasts that need not be written, since each reader is an elementwise operation beside a full operand."""
    from_: dict[Var, Atom] = {}
    for eqn in graph.eqns:
        if eqn.prim is broadcast_p:
            shape, axes = eqn.params["shape"], eqn.params["axes"]
            if axes == tuple(range(len(shape) - len(axes), len(shape))):
                from_[eqn.outputs[0]] = eqn.inputs[0]
    if not from_:
        return {}
    for a in graph.outputs:
        from_.pop(a, None)  # type: ignore[arg-type]
    for eqn in graph.eqns:
        stretched = [a for a in eqn.inputs if type(a) is Var and a in from_]
        if not stretched:
            continue
        full = any(type(a) is Var and a not in from_ for a in eqn.inputs)
        if not eqn.prim.scalars or not full:
            for a in stretched:
                from_.pop(a, None)
    return from_


def number_text(a: Lit) -> str:
    """The literal as a plain Python number, safe inside any expression."""
    value = a.value
    if isinstance(value, bool):
        return repr(value)
    if isinstance(value, complex):
        return f"complex({_real(value.real)}, {_real(value.imag)})"
    if isinstance(value, int) and is_inexact(a.dtype):
        value = float(value)
    text = _real(value)
    if isinstance(value, int) and not -(2**31) <= value < 2**31:
        return f"jnp.{a.dtype.name}({text})"
    return f"({text})" if text.startswith("-") else text


def _real(value: float | int) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "jnp.nan" if value != value else ("jnp.inf" if value > 0 else "-jnp.inf")
    return repr(value)


def dtype_text(dtype: np.dtype) -> str:
    """A dtype as an expression: `jnp.float32`."""
    return "jnp.bool_" if dtype.kind == "b" else f"jnp.{dtype.name}"


def typed_text(a: Lit) -> str:
    """The literal as a 0-d array of its own dtype."""
    return f"{dtype_text(a.dtype)}({number_text(a)})"


def full_text(a: Lit) -> Text:
    """The literal as an array of its own shape and dtype."""
    if not a.shape:
        return Text(typed_text(a), a.aval)
    maker = {0: "zeros", 1: "ones"}.get(a.value) if str(a.value) != "-0.0" else None  # type: ignore[arg-type]
    if maker:
        return Text(f"jnp.{maker}({a.shape}, {dtype_text(a.dtype)})", a.aval)
    return Text(f"jnp.full({a.shape}, {number_text(a)}, {dtype_text(a.dtype)})", a.aval)
