"""A graph written out as Python: one readable jax.numpy statement an equation.

Everything that reaches the text is a name made here out of validated identifiers, a number's `repr`, or what a
primitive's `emit` says of them; nothing of the user's is ever pasted.
"""

from __future__ import annotations

import builtins
import inspect
import keyword
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import repeat
from textwrap import wrap
from typing import Any

from ..ir.graph import Atom, Eqn, Graph, Lit, Var, chained, is_inexact
from ..ir.primitive import REGISTRY, Body, Text
from ..ops.families import broadcast_p
from ..ops.operands import dtype_text
from ..trace.avals import canonical_dtype
from .layout import WIDTH, laid_out

MODULES = {
    "jax": "import jax",
    "jnp": "import jax.numpy as jnp",
    "np": "import numpy as np",
    "lax": "from jax import lax",
}
LONG = 40  # equations beyond which a program is written in parts, in the words of jax.lax
PART = 40  # equations a part
_EMPTY = Graph((), (), ())
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,40}\Z")


Remark = Callable[[Eqn], str | None]
Titles = Mapping[Var, str]
_UNTITLED: Titles = {}


def is_identifier(name: str) -> bool:
    return bool(_IDENTIFIER.match(name)) and not keyword.iskeyword(name) and not keyword.issoftkeyword(name)


def function_name(name: str) -> str:
    """`name` if it can name a function, else `f`."""
    return name if is_identifier(name) and name not in MODULES and not hasattr(builtins, name) else "f"


class Names:
    """Hands out distinct valid identifiers, the wished one where it can be had."""

    def __init__(self, taken: Iterable[str] = ()):
        self._next: dict[str, int] = {}
        self._taken = {*taken, *MODULES}

    def take(self, wish: str | None) -> str:
        if wish and is_identifier(wish):
            name = wish
        else:
            wish, name = "t", "t0"
        k = self._next.get(wish, 0)
        while name in self._taken or hasattr(builtins, name):
            k += 1
            name = f"t{k}" if wish == "t" else f"{wish.rstrip('_')}_{k}"
        self._next[wish] = k
        self._taken.add(name)
        return name


def emit(graph: Graph, name: str = "f") -> str:
    """The graph as the source of a Python function `name(*inputs) -> tuple of outputs`.

    A long program comes in parts, functions of their own that stand before it: JAX reads a hundred short functions in
    half the time of one long one.
    """
    return emit_with_natives(graph, name)[0]


def emit_with_natives(
    graph: Graph, name: str = "f", remark: Remark | None = None, titles: Titles = _UNTITLED
) -> tuple[str, dict[str, Eqn]]:
    """`emit`, and the names in the text that stand for equations with a derivative of their own.

    **Arguments:** `remark(eqn)`: a comment to stand before the equation, or None. `titles`: names for values, which
    go before those of their own.
    """
    if len(graph.eqns) <= LONG:
        writer = _Writer(name, _implicit_broadcasts(graph), remark=remark, titles=titles)
        text = writer.function(graph)
    else:
        writer = _Writer(name, {}, calls=True, remark=remark, titles=titles)
        text = writer.parts(graph)
    return "\n\n".join([*map(inspect.getsource, writer.helpers), text]), writer.natives


class _Writer:
    """Writes functions that share one set of names.

    **Attributes:** `local`: the name of each variable; `implicit`: broadcasts that are not written, with their operand;
    `calls`: whether primitives are written in their `call` form; `natives`, `remark(eqn)`, `titles`: see
    `emit_with_natives`; `helpers`: the functions that are called.
    """

    def __init__(
        self,
        name: str,
        implicit: dict[Var, Atom],
        calls: bool = False,
        remark: Remark | None = None,
        titles: Titles = _UNTITLED,
    ):
        self.remark = remark
        self.titles = titles
        self.name = function_name(name)
        self.names = Names([self.name, *(prim.helper.__name__ for prim in REGISTRY.values() if prim.helper)])
        self.local: dict[Var, str] = {}
        self.implicit = implicit
        self.calls = calls
        self.natives: dict[str, Eqn] = {}
        self.helpers: dict[Callable, None] = {}

    def function(self, graph: Graph) -> str:
        head = self._head(self.name, graph.inputs)
        return "\n".join([head, *self._statements(graph.eqns), self._return(graph.outputs)]) + "\n"

    def parts(self, graph: Graph) -> str:
        """One function per stretch of equations, and the function that calls them in turn."""
        head = self._head(self.name, graph.inputs)
        stretches = [graph.eqns[i : i + PART] for i in range(0, len(graph.eqns), PART)]
        last_read: dict[Var, int] = {a: len(stretches) for a in graph.outputs if type(a) is Var}
        for k in reversed(range(len(stretches))):
            for eqn in stretches[k]:
                for a in eqn.inputs:
                    if type(a) is Var:
                        last_read.setdefault(a, k)
        functions, calls = [], []
        for k, stretch in enumerate(stretches):
            made = {v for eqn in stretch for v in eqn.outputs}
            reads = dict.fromkeys(a for eqn in stretch for a in eqn.inputs if type(a) is Var and a not in made)
            gives = [v for eqn in stretch for v in eqn.outputs if last_read.get(v, -1) > k]
            if not gives:
                continue
            part = self.names.take(f"{self.name}_part{k + 1}")
            takes = ", ".join(self.local[v] for v in reads)
            body = [f"def {part}({takes}):", *self._statements(stretch), self._return(gives)]
            functions.append("\n".join(body))
            targets = ", ".join(self.local[v] for v in gives)
            calls.append(f"    {targets if len(gives) > 1 else f'({targets},)'} = {part}({takes})")
        main = "\n".join([head, *calls, self._return(graph.outputs)])
        return "\n\n\n".join([*functions, main]) + "\n"

    def _head(self, name: str, inputs: tuple[Var, ...]) -> str:
        for v in inputs:
            self.local[v] = self.names.take(v.name)
        return f"def {name}({', '.join(self.local[v] for v in inputs)}):"

    def _statements(self, eqns: Sequence[Eqn]) -> list[str]:
        lines = []
        for eqn, after in zip(eqns, (*eqns[1:], None), strict=False):
            if eqn.outputs and eqn.outputs[0] in self.implicit:
                continue
            remark = self.remark(eqn) if self.remark else None
            if remark:
                lines.append(f"    # {remark}")
            words = {}
            for body in eqn.prim.bodies(**eqn.params) if eqn.prim.bodies else ():
                word = words.setdefault(body.graph, self.names.take(body.word))
                lines += [f"    {line}" for line in self._body(body, word, eqn)]
            expression = self._expression(eqn, words)
            # Of several equations that one expression of the user's became, the last is what the variable holds.
            is_last = eqn.where is not None and (after is None or after.where != eqn.where)
            assigned = eqn.assigned if is_last and not self.titles else repeat(None)
            for v, name in zip(eqn.outputs, assigned, strict=False):
                self.local[v] = self.names.take(self.titles.get(v) or v.name or name)
            names = [self.local[v] for v in eqn.outputs]
            targets = eqn.prim.targets(names, **eqn.params) if eqn.prim.targets else ", ".join(names)
            lines.append(f"    {targets} = {expression}")
        return lines

    def _body(self, body: Body, word: str, eqn: Eqn) -> list[str]:
        """The lines of the function `word` that stands for a program the equation carries."""
        given = body.graph.inputs[len(body.operands) :]
        own = [Var(v.aval, self.titles.get(v) or v.name) for v in given]
        eqns, outputs = chained(_EMPTY, body.graph, [*(eqn.inputs[k] for k in body.operands), *own])
        for e in eqns:
            for v in e.outputs:
                self.implicit.pop(v, None)  # the same program may be written twice, of other operands
        if not self.calls:
            self.implicit.update(_implicit_broadcasts(Graph(own, eqns, outputs)))
        parameters, opened, start = [], [], 0
        for size, name in zip(body.takes, body.parameters, strict=True):
            group = own[start : start + size]
            start += size
            for v in group:
                self.local[v] = self.names.take(v.name)
            if size == 1:
                parameters.append(self.local[group[0]])
            else:
                parameters.append(self.names.take(name if size else "_"))
                if group:
                    opened.append(f"    {', '.join(self.local[v] for v in group)} = {parameters[-1]}")
        statements = self._statements(eqns)
        texts = [full_text(a) if type(a) is Lit else self.local[a] for a in outputs]
        groups, start = [], 0
        for size in body.gives:
            groups.append(packed(texts[start : start + size]))
            start += size
        return [f"def {word}({', '.join(parameters)}):", *opened, *statements, f"    return {', '.join(groups)}"]

    def _return(self, outputs: Sequence[Atom]) -> str:
        outs = [full_text(a) if type(a) is Lit else self.local[a] for a in outputs]
        return f"    return ({', '.join(outs)}{',' if len(outs) == 1 else ''})"

    def _expression(self, eqn: Eqn, words: Mapping[Graph, str]) -> str:
        """The right-hand side of one equation; `words` names the functions that stand for the programs it carries."""
        prim, implicit = eqn.prim, self.implicit
        if prim.helper:
            self.helpers[prim.helper] = None
        calls = prim.call if self.calls else None
        if calls and not implicit and not words:
            return calls(*self._operands(eqn), **eqn.params)
        shown = [implicit.get(a, a) if prim.scalars and type(a) is Var else a for a in eqn.inputs]
        has_array = any(type(a) is Var and a not in implicit for a in eqn.inputs)
        texts = []
        for k, (a, b) in enumerate(zip(eqn.inputs, shown, strict=True)):
            if type(b) is Var:
                stretch = not has_array and k == 0 and b is not a
                text = f"jnp.broadcast_to({self.local[b]}, {a.shape})" if stretch else self.local[b]
                texts.append(Text(text, a.aval))
            elif not prim.scalars or (k == 0 and not has_array):
                texts.append(full_text(b))
            elif calls:
                texts.append(Text(strict_text(b), a.aval, is_number=True))
            elif _has_partner(b, eqn.inputs, implicit):
                texts.append(Text(number_text(b), a.aval, is_number=True))
            else:
                texts.append(Text(typed_text(b), a.aval, is_number=True))
        if prim.native is not None:
            name = self.names.take(getattr(eqn.params.get("fun"), "word", prim.name))
            self.natives[name] = eqn
            return f"{name}({', '.join(texts)}){'[0]' if len(eqn.outputs) == 1 else ''}"
        params = eqn.params
        if words:
            params = {key: _worded(value, words) for key, value in params.items()}
        return (calls or prim.emit)(*texts, **params)

    def _operands(self, eqn: Eqn) -> list[Text]:
        """The operands as the `call` form takes them."""
        local, texts = self.local, []
        has_array = not eqn.prim.scalars
        for a in eqn.inputs:
            has_array = has_array or type(a) is Var
        for k, a in enumerate(eqn.inputs):
            if type(a) is Var:
                texts.append(Text(local[a], a.aval))
            elif not eqn.prim.scalars or (k == 0 and not has_array):
                texts.append(full_text(a))
            else:
                texts.append(Text(strict_text(a), a.aval, is_number=True))
        return texts


def packed(texts: Sequence[str]) -> str:
    """Expressions as one: itself, a tuple, or None for none."""
    return texts[0] if len(texts) == 1 else f"({', '.join(texts)})" if texts else "None"


def _worded(value: Any, words: Mapping[Graph, str]) -> Any:
    """A parameter with the names of functions in the place of programs."""
    if type(value) is tuple:
        return tuple([_worded(v, words) for v in value])
    return words[value] if type(value) is Graph else value


def module_text(graph: Graph, name: str = "f", remark: Remark | None = None, titles: Titles = _UNTITLED) -> str:
    """The graph as a module of its own: imports, the function, and the shapes it was read for.

    Functions of another library that the program calls (`opaque`) have no text; a comment names them, for whoever runs
    the text to supply.
    """
    text, natives = emit_with_natives(graph, name, remark, titles)
    used = [line for word, line in MODULES.items() if re.search(rf"(?<![A-Za-z0-9_.]){word}\.", text)]
    takes = ", ".join(str(a) for a in graph.in_avals)
    gives = ", ".join(str(a) for a in graph.out_avals)
    (start,) = re.finditer(rf"^def {function_name(name)}\(", text, re.MULTILINE)  # not one in a user's line
    end = text.index("\n", start.start())
    gap = "\n".join(used) + "\n\n\n" if used else ""
    types = wrap(f"{takes} -> {gives}".strip(), WIDTH - len("    # "), break_long_words=False)
    lines = [*(f"    # {line}" for line in types), *(f"    # {_missing(word, eqn)}" for word, eqn in natives.items())]
    return laid_out("\n".join([f"{gap}{text[:end]}", *lines]) + text[end:])


def _missing(word: str, eqn: Eqn) -> str:
    takes, gives = (", ".join(str(a.aval) for a in atoms) for atoms in (eqn.inputs, eqn.outputs))
    return f"{word}: {takes} -> ({gives}) is {eqn.params['fun']!r}, which has no text: define it before this runs"


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
        if type(a) is Var:
            from_.pop(a, None)
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
    return repr(value).replace("e+", "e")


_DEFAULTS = ("float64", "int64", "complex128", "bool")  # what a Python number is to jax.lax when x64 is on


def strict_text(a: Lit) -> str:
    """The literal as one number that jax.lax takes for its very dtype, whether or not x64 is on."""
    name = a.dtype.name
    if a.aval.weak or name in _DEFAULTS:
        return _python_text(a)
    if a.dtype.kind in "iu":
        return f"np.{name}({a.value!r})"
    return f"{'np' if a.dtype.kind in 'fc' else 'jnp'}.{name}({_python_text(a)})"


def _python_text(a: Lit) -> str:
    """The literal as a number of the Python type that its dtype is the array of."""
    return number_text(Lit(complex(a.value), a.aval) if a.dtype.kind == "c" else a)


def _is_python(a: Lit) -> bool:
    """Whether JAX gives the bare number just this dtype, weakly."""
    python = {"i": int, "f": float, "c": complex}.get(a.dtype.kind)
    return a.aval.weak and python is not None and canonical_dtype(python) == a.dtype


def typed_text(a: Lit) -> str:
    """The literal as a 0-d array of its own dtype, and weakness."""
    return f"jnp.asarray({_python_text(a)})" if _is_python(a) else f"{dtype_text(a.dtype)}({number_text(a)})"


_MAKERS = {"0": "zeros", "0.0": "zeros", "0j": "zeros", "False": "zeros", "1": "ones", "1.0": "ones", "True": "ones"}


def full_text(a: Lit) -> Text:
    """The literal as an array of its own shape and dtype, and weakness."""
    if not a.shape:
        return Text(typed_text(a), a.aval)
    if _is_python(a):
        return Text(f"jnp.full({a.shape}, {_python_text(a)})", a.aval)
    maker = _MAKERS.get(repr(a.value))  # by its text: -0.0 is no zero
    if maker:
        return Text(f"jnp.{maker}({a.shape}, {dtype_text(a.dtype)})", a.aval)
    return Text(f"jnp.full({a.shape}, {number_text(a)}, {dtype_text(a.dtype)})", a.aval)
