"""What is there to know about a function? One page: diagnosis, source beside source, drawing, costs, slopes, IR."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from html import escape
from pathlib import Path
from textwrap import dedent
from typing import Any

from .. import numpy
from ..api import grad
from ..api.arguments import name_of, require_function, tree_flatten
from ..ir.errors import ArgumentError
from ..ir.extras import Later
from ..ir.graph import is_inexact
from ..lower.emit import function_name
from ..passes.pipeline import tidy
from .cost import cost
from .diagnose import Diagnosis, diagnose
from .draw import draw
from .observe import scalar_of
from .reading import opened, read
from .source import listed, source

slopes = Later("gradlab.tools.slopes")

_STYLE = """
body { font: 14px system-ui, sans-serif; margin: 2em auto; max-width: 1200px; padding: 0 1em; color: #1c1917 }
pre { background: #fafaf9; border: 1px solid #e7e5e4; padding: 10px; overflow-x: auto; font-size: 12px; margin: 0 }
pre.words { white-space: pre-wrap }
.side { display: grid; grid-template-columns: minmax(0, 2fr) minmax(0, 3fr); gap: 12px; align-items: start }
@media (max-width: 1000px) { .side { grid-template-columns: minmax(0, 1fr) } }
.scroll { overflow-x: auto }
.fit svg { max-width: 100%; height: auto }
h2 { border-bottom: 1px solid #e7e5e4; padding-bottom: 4px; margin-top: 1.6em }
"""


@dataclass(frozen=True)
class Report:
    """A page in HTML, complete in itself; notebooks show it. `save(path)` writes it."""

    html: str
    name: str
    diagnosis: Diagnosis

    def save(self, path: str | Path) -> None:
        """Write the page to a file whose name ends in .html.

        **Raises:** `ArgumentError` for another ending.
        """
        path = Path(path)
        if path.suffix != ".html":
            raise ArgumentError(f"a report is saved as .html, got {path.name!r}.")
        path.write_text(self.html, encoding="utf-8")

    def _repr_html_(self) -> str:
        return f'<iframe srcdoc="{escape(self.html)}" width="100%" height="800" style="border:0"></iframe>'

    def __repr__(self) -> str:
        return f"Report on {self.name}: save('{function_name(self.name)}.html'), or look at it in a notebook"


def report(fun: Callable) -> Callable[..., Report]:
    """A function of the same arguments that returns a page about `fun` there, and about its gradient.

    What `diagnose` says; the user's source beside that of the gradient; the function along random directions with its
    tangent and differences; the drawing of the gradient; what both cost; the IR. Needs Matplotlib (`gradlab[plot]`).

    **Arguments:** `fun`: numbers and arrays to a number; of a function with several results, their sum is looked at.
    **Raises:** as `diagnose`, `cost`; `MissingExtraError` without Matplotlib.
    """
    require_function(fun, "report")
    name = name_of(fun)

    @wraps(fun)
    def reported(*args: Any, **kwargs: Any) -> Report:
        return _report(name, fun, *opened(fun, args, kwargs))

    return reported


def _report(name: str, own: Callable, fun: Callable, args: tuple, kwargs: dict) -> Report:
    """The page about a function; `own`: as the user wrote it."""
    program = read(fun, args, kwargs, "report")
    graph = scalar_of(program.graph)
    is_number = graph is program.graph
    fun = fun if is_number else _summed(fun)
    places = tuple(k for k in program.places if isinstance(k, int))
    slope = grad(fun, argnums=places, argnames=tuple(k for k in program.places if isinstance(k, str)))
    diagnosis = diagnose(fun)(*args, **kwargs)
    curves = slopes.picture(slopes.curves(graph, program.inputs, program.active))
    sections = {
        "What is conspicuous": f'<pre class="words">{escape(str(diagnosis))}</pre>',
        "The function, and its gradient as it runs": _side_by_side(own, source(slope)(*args, **kwargs)),
        "Does the tangent touch the curve?": f'<div class="fit">{curves}</div>',
        "The gradient as a drawing": _drawing(slope, args, kwargs),
        "What it costs": f"<pre>{escape(str(cost(fun)(*args, **kwargs)))}</pre>",
        "As gradlab holds it": f"<pre>{escape(listed(tidy(program.graph), program.notes))}</pre>",
    }
    body = "".join(f"<h2>{escape(title)}</h2>{content}" for title, content in sections.items())
    moving = [v for v, on in zip(program.graph.inputs, program.active, strict=True) if on]
    takes = ", ".join(f"{leaf}: {v.aval}" for leaf, v in zip(program.names, moving, strict=True))
    said = "" if is_number else " (the sum of what it returns)"
    html = (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{escape(name)}</title>"
        f"<style>{_STYLE}</style></head><body><h1>{escape(name)}</h1><p>at {escape(takes)}{said}</p>{body}"
        "</body></html>"
    )
    return Report(html, name, diagnosis)


def _summed(fun: Callable) -> Callable:
    """The sum of all that a function returns, real and imaginary parts."""

    @wraps(fun)
    def total(*args: Any, **kwargs: Any) -> Any:
        found = [y for y in map(numpy.asarray, tree_flatten(fun(*args, **kwargs))[0]) if is_inexact(y.dtype)]
        return sum(numpy.sum(numpy.real(y)) + (numpy.sum(numpy.imag(y)) if y.dtype.kind == "c" else 0.0) for y in found)

    return total


def _side_by_side(fun: Callable, text: str) -> str:
    try:
        own = inspect.getsource(_written(fun))
    except (OSError, TypeError):
        own = "(the source of this function is not in a file)"
    return f'<div class="side"><pre>{escape(dedent(own).strip())}</pre><pre>{escape(text)}</pre></div>'


def _written(fun: Callable) -> Any:
    """What has source: of a model that is called, its class."""
    fun = inspect.unwrap(fun)
    return fun if inspect.isroutine(fun) or inspect.isclass(fun) else type(fun)


def _drawing(slope: Callable, args: tuple, kwargs: dict) -> str:
    try:
        drawing = draw(slope)(*args, **kwargs)
        return f'{drawing.legend}<div class="scroll">{drawing.svg}</div>'
    except ArgumentError as error:
        return f"<p>{escape(error.message)}</p>"
