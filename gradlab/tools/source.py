"""What does it compute? A function, derivatives included, as the jax.numpy text that runs, or as gradlab holds it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from ..api import stage
from ..api.arguments import name_of, require_function
from ..api.naming import Notes, named
from ..ir.graph import Eqn, Graph
from ..ir.pretty import pretty
from ..ir.where import Where
from ..lower.emit import Remark, module_text
from ..lower.finish import finish
from ..lower.layout import WIDTH
from ..lower.titles import Place, place_of, titles_of
from ..passes.pipeline import tidy


def source(fun: Callable, *, lines: bool = True) -> Callable[..., str]:
    """A function of the same arguments that returns the jax.numpy source of `fun`: the very program that is compiled.

    The text is a module that needs only jax and numpy (and, where a comment says so, functions of JAX's that have no
    text: see `from_jax`); its function takes the arrays among the arguments, flattened in order (then the arrays `fun`
    closes over), and returns a tuple of the arrays of the result. Values are named by the user's variables; `h_dot` is
    the tangent of `h`, `h_bar` its cotangent. The text is laid out as `ruff format` does. A function with a custom
    derivative appears as what it computes; under `jit`, or inside a trace of JAX's own, where JAX may go on to
    differentiate the program, a call of it as `jax.custom_jvp` or `jax.custom_vjp` stands in the text instead.

    **Arguments:** `lines`: whether comments say from which of the user's lines the statements below them come.
    **Raises:** as `stage`.
    """
    staged = stage(require_function(fun, "source"))

    @wraps(fun)
    def written(*args: Any, **kwargs: Any) -> str:
        with named() as notes:
            graph = finish(tidy(staged(*args, **kwargs)))
        titles = titles_of(graph, notes.loops, notes.caller)
        return module_text(graph, name_of(fun), _users_lines(notes.caller) if lines else None, titles)

    return written


def _users_lines(caller: Place | None) -> Remark:
    """Comments that name the user's line, wherever it is another one than that of the equation before.

    **Arguments:** `caller`: where the text is asked for, which is no line of the function's.
    """
    last = None

    def remark(eqn: Eqn) -> str | None:
        nonlocal last
        where = eqn.where
        if where is None or not where.text or place_of(where) == caller:
            return None
        now = (where.code, where.lineno, where.suffix == "")
        if now == last:
            return None
        last = now
        text = _place(where)
        return text if len(text) <= WIDTH - 10 else f"{text[: WIDTH - 13]}..."

    return remark


def show(fun: Callable, *, lines: bool = True) -> Callable[..., None]:
    """A function of the same arguments that prints `fun` as gradlab holds it, one equation a line.

    Each value stands there with its dtype and shape, under the name that `source` gives it, or a letter.

    **Arguments:** `lines`: whether the user's line stands behind each equation.
    **Raises:** as `stage`.
    """
    staged = stage(require_function(fun, "show"))

    @wraps(fun)
    def shown(*args: Any, **kwargs: Any) -> None:
        with named() as notes:
            graph = tidy(staged(*args, **kwargs))
        print(listed(graph, notes, lines))

    return shown


def listed(graph: Graph, notes: Notes, lines: bool = True) -> str:
    """The program as text, under the names that it has in `source`."""

    def line_of(eqn: Eqn) -> str:
        return "" if eqn.where is None or place_of(eqn.where) == notes.caller else _place(eqn.where)

    return pretty(graph, lines, titles_of(graph, notes.loops, notes.caller), line_of)


def _place(where: Where) -> str:
    what = "" if where.suffix == "" else "derivative of "
    return f"{what}{where.code.co_name}, line {where.lineno}{f': {where.text}' if where.text else ''}"
