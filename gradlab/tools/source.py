"""What does it compute? A function, derivatives included, as the jax.numpy text that runs, or as gradlab holds it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from ..api import stage
from ..api.arguments import name_of, require_function
from ..ir.graph import Eqn
from ..ir.pretty import pretty
from ..lower.emit import Remark, module_text
from ..lower.finish import finish
from ..lower.layout import WIDTH
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
        graph = finish(tidy(staged(*args, **kwargs)))
        return module_text(graph, name_of(fun), _users_lines() if lines else None)

    return written


def _users_lines() -> Remark:
    """Comments that name the user's line, wherever it is another one than that of the equation before."""
    last = None

    def remark(eqn: Eqn) -> str | None:
        nonlocal last
        where = eqn.where
        if where is None or not where.text:
            return None
        now = (where.code, where.lineno, where.suffix == "")
        if now == last:
            return None
        last = now
        what = "" if where.suffix == "" else "derivative of "
        text = f"{what}{where.code.co_name}, line {where.lineno}: {where.text}"
        return text if len(text) <= WIDTH - 10 else f"{text[: WIDTH - 13]}..."

    return remark


def show(fun: Callable, *, lines: bool = True) -> Callable[..., None]:
    """A function of the same arguments that prints `fun` as gradlab holds it, one equation a line.

    **Arguments:** `lines`: whether the user's line stands behind each equation.
    **Raises:** as `stage`.
    """
    staged = stage(require_function(fun, "show"))

    @wraps(fun)
    def shown(*args: Any, **kwargs: Any) -> None:
        print(pretty(tidy(staged(*args, **kwargs)), lines))

    return shown
