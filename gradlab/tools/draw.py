"""What does the program look like? A drawing: its parts by line and role, loops as boxes, residuals as dashed edges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from ..api import stage
from ..api.arguments import name_of, require_function
from ..api.naming import named
from ..ir.errors import ArgumentError
from ..ir.graph import Atom, Aval, Eqn, Graph, Var, is_key
from ..lower.emit import function_name
from ..lower.finish import finish
from ..lower.titles import titles_of
from ..passes.pipeline import tidy
from .finding import name_of_value
from .layers import laid_out
from .observe import Producers
from .parts import Part, Role, parts_of

CHARACTER, LINE, PAD = 6.7, 15.0, 8.0  # of the 11 px monospace the text is set in
WIDEST = 46  # characters in a row of a box
ROWS = 4  # in which a box names its results
LABEL = 52.0  # room for the size of a residual
MOST = 400  # boxes of a drawing a person can still read
COLOURS = {  # fill, edge
    Role.INPUT: ("#f5f5f4", "#78716c"),
    Role.PRIMAL: ("#dbeafe", "#2563eb"),
    Role.RESIDUAL: ("#e0e7ff", "#7c3aed"),
    Role.TANGENT: ("#dcfce7", "#16a34a"),
    Role.COTANGENT: ("#ffedd5", "#ea580c"),
}
_FORWARD = (Role.INPUT, Role.PRIMAL, Role.RESIDUAL)
_STYLE = (
    "text{font:11px ui-monospace,Menlo,Consolas,monospace;fill:#1c1917}"
    "text.quiet{fill:#57534e;font-size:10px}text.bytes{fill:#b91c1c;font-size:10px;"
    "paint-order:stroke;stroke:white;stroke-width:3px}"
    "path.edge{fill:none;stroke:#a8a29e;stroke-width:1.2}"
    "path.residual{stroke:#dc2626;stroke-dasharray:5 3}"
    "g.part:hover>rect{stroke-width:2.5}"
)


@dataclass(frozen=True)
class Drawing:
    """A drawing as SVG text; notebooks show it. `save(path)` writes `.svg` or `.html`."""

    svg: str
    name: str

    @property
    def legend(self) -> str:
        """What the colours mean, as HTML."""
        words = "".join(
            f'<span style="background:{fill};border:1px solid {line};padding:1px 8px">{role.value}</span> '
            for role, (fill, line) in COLOURS.items()
        )
        dashed = '<span style="color:#b91c1c">- - - residual, kept from the forward for the backward pass</span>'
        return f"<p>{words}{dashed}</p>"

    @property
    def html(self) -> str:
        """A page with the drawing and its legend, complete in itself."""
        return (
            f"<!doctype html><html><head><meta charset='utf-8'><title>{escape(self.name)}</title></head>"
            f"<body style='font:13px sans-serif;margin:16px'>{self.legend}{self.svg}</body></html>"
        )

    def save(self, path: str | Path) -> None:
        """Write the drawing to a file whose name ends in .svg or .html.

        **Raises:** `ArgumentError` for another ending.
        """
        path = Path(path)
        if path.suffix not in (".svg", ".html"):
            raise ArgumentError(f"a drawing is saved as .svg or .html, got {path.name!r}.")
        path.write_text(self.svg if path.suffix == ".svg" else self.html, encoding="utf-8")

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_html_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return f"Drawing of {self.name}: save('{function_name(self.name)}.svg'), or look at it in a notebook"


def draw(fun: Callable, *, together: bool | None = None) -> Callable[..., Drawing]:
    """A function of the same arguments that returns a drawing of the program `fun` is compiled as.

    Values run downwards. Blue computes the value, orange the cotangents, green tangents, violet what only the
    derivative needs; dashed red edges are residuals with their size. A loop or a branch is a box with its body inside.
    The pointer over a box shows its equations with shapes, dtypes, bytes and the user's line.

    **Arguments:** `together`: whether the equations of one of the user's lines share a box; if not given, they do from
    25 equations on.
    **Raises:** `ArgumentError` for a program of more than 400 boxes; as `stage`.
    """
    staged = stage(require_function(fun, "draw"))

    @wraps(fun)
    def drawn(*args: Any, **kwargs: Any) -> Drawing:
        with named() as notes:
            graph = finish(tidy(staged(*args, **kwargs)))
        joined = len(graph.eqns) >= 25 if together is None else together
        picture = _picture(graph, joined, name_of(fun), titles_of(graph, notes.loops, notes.caller), is_body=False)
        width, height = picture.width + 2 * PAD, picture.height + 2 * PAD
        svg = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
            f'viewBox="{-PAD:.0f} {-PAD:.0f} {width:.0f} {height:.0f}"><style>{_STYLE}</style>'
            f'<rect x="{-PAD:.0f}" y="{-PAD:.0f}" width="{width:.0f}" height="{height:.0f}" fill="white"/>'
            f"{picture.body}</svg>"
        )
        return Drawing(svg, name_of(fun))

    return drawn


class _Picture(NamedTuple):
    body: str
    width: float
    height: float


def _picture(graph: Graph, together: bool, name: str, titles: dict[Var, str], is_body: bool) -> _Picture:
    """The drawing of one program; `titles`: what its values, and those of the programs it carries, are called."""
    parts = parts_of(graph, together, titles)
    if len(parts) > MOST:
        raise ArgumentError(
            f"a drawing has at most {MOST} boxes, {name} would have {len(parts)}. Draw a part of it, smaller arguments "
            "to a Python loop, or write the loop as gl.scan."
        )
    made = Producers(graph)
    made.names = titles
    inner = [_inner(part, together, name, titles) for part in parts]
    labels = [_label(part, made) for part in parts]
    home = {v: k for k, part in enumerate(parts) for eqn in part.eqns for v in eqn.outputs}
    home |= {v: k for k, part in enumerate(parts) if part.role is Role.INPUT for v in part.results}
    between: dict[tuple[int, int], list[Var]] = {}
    for k, part in enumerate(parts):
        for v in part.reads:
            between.setdefault((home[v], k), []).append(v)
    kept = [not is_body and parts[b].role is Role.COTANGENT and parts[a].role in _FORWARD for a, b in between]
    entering = [[on for (_, b), on in zip(between, kept, strict=True) if b == k] for k in range(len(parts))]
    room = [LABEL * (len(ends) + 1) if any(ends) else 0.0 for ends in entering]
    sizes = [_size(rows, picture, width) for rows, picture, width in zip(labels, inner, room, strict=True)]
    layout = laid_out(sizes, list(between))
    drawn = []
    for values, path, on in zip(between.values(), layout.paths, kept, strict=True):
        drawn.append(_edge(path, values, on, made))
    for part, rows, picture, size, centre in zip(parts, labels, inner, sizes, layout.centres, strict=True):
        drawn.append(_box(part, rows, picture, size, centre, made))
    return _Picture("".join(drawn), layout.width, layout.height)


def _inner(part: Part, together: bool, name: str, titles: dict[Var, str]) -> _Picture | None:
    """The drawings of the programs that a part carries, side by side."""
    carried = [graph for eqn in part.eqns for _, graph in eqn.graphs]
    pictures = [_picture(graph, together, name, titles, is_body=True) for graph in carried]
    if not pictures:
        return None
    bodies, x = [], 0.0
    for one in pictures:
        bodies.append(f'<g transform="translate({x:.1f},0)">{one.body}</g>')
        x += one.width + 2 * PAD
    return _Picture("".join(bodies), x - 2 * PAD, max(one.height for one in pictures))


def _label(part: Part, made: Producers) -> list[str]:
    """The rows of a box: what it makes, then the operations, which the last row always is."""
    named = part.results or part.eqns[-1].outputs
    rows: list[str] = []
    for text in [f"{_short_name(v, made)}: {v.aval}" for v in named]:
        if rows and len(rows[-1]) + len(text) + 2 <= WIDEST:
            rows[-1] += f", {text}"
        else:
            rows.append(text)
    if part.role is Role.INPUT:
        return rows
    rows = rows if len(rows) <= ROWS else [*rows[: ROWS - 1], f"and {len(rows) - ROWS + 1} rows more"]
    work = ", ".join(dict.fromkeys(_work(eqn) for eqn in part.eqns))
    return [*map(_cut, rows), _cut(work)]


def _short_name(v: Atom, made: Producers) -> str:
    name = name_of_value(v, made)
    return "·" if name.startswith(("the result", "an operand")) else name


def _work(eqn: Eqn) -> str:
    loop = eqn.params.get("loop")
    turns = getattr(loop, "length", None)
    return f"{eqn.prim.name} × {turns}" if turns is not None else eqn.prim.name


def _cut(text: str) -> str:
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"


def _size(rows: Sequence[str], inner: _Picture | None, least: float) -> tuple[float, float]:
    width = max(least, max(len(row) for row in rows) * CHARACTER + 2 * PAD)
    height = len(rows) * LINE + PAD
    if inner is not None:
        return max(width, inner.width + 2 * PAD), height + inner.height + 1.5 * PAD
    return width, height


def _box(
    part: Part,
    rows: Sequence[str],
    inner: _Picture | None,
    size: tuple[float, float],
    centre: tuple[float, float],
    made: Producers,
) -> str:
    fill, line = COLOURS[part.role]
    if inner is not None:
        fill = "#fafaf9"
    (width, height), (x, y) = size, (centre[0] - size[0] / 2, centre[1])
    quiet = ["", ' class="quiet"']
    last = len(rows) - 1 if part.eqns else len(rows)
    texts = "".join(
        f'<text x="{x + PAD:.1f}" y="{y + 13 + k * LINE:.1f}"{quiet[k == last]}>{escape(row)}</text>'
        for k, row in enumerate(rows)
    )
    body = ""
    if inner is not None:
        at = f"translate({x + PAD:.1f},{y + len(rows) * LINE + PAD:.1f})"
        body = f'<g transform="{at}">{inner.body}</g>'
    return (
        f'<g class="part"><title>{escape(_told(part, made))}</title>'
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="5" fill="{fill}" '
        f'stroke="{line}"/>{texts}{body}</g>'
    )


def _told(part: Part, made: Producers) -> str:
    """What the pointer shows: the user's line, and the equations with their types and sizes."""
    if part.role is Role.INPUT:
        v = part.results[0]
        return f"argument {v.name or '(closed over)'}: {v.aval}, {_bytes(v.aval)}"
    lines = [f"{part.role.value}: {part.where}"] if part.where is not None else [part.role.value]
    for eqn in part.eqns[:20]:
        operands = ", ".join(name_of_value(a, made) for a in eqn.inputs)
        outs = ", ".join(f"{_short_name(v, made)}: {v.aval} ({_bytes(v.aval)})" for v in eqn.outputs)
        lines.append(f"{outs} = {eqn.prim.name}({operands})")
    if len(part.eqns) > 20:
        lines.append(f"and {len(part.eqns) - 20} more")
    return "\n".join(lines)


def _bytes(aval: Aval) -> str:
    if is_key(aval.dtype):
        return f"{aval.size} keys"
    return _in_bytes(aval.size * aval.dtype.itemsize)


def _in_bytes(size: float) -> str:
    unit = "B"
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.3g} {unit}"


def _edge(path: Sequence[tuple[float, float]], values: Sequence[Var], kept: bool, made: Producers) -> str:
    (x, y), *rest = path
    curve = [f"M{x:.1f} {y:.1f}"]
    for nx, ny in rest:
        middle = (y + ny) / 2
        curve.append(f"C{x:.1f} {middle:.1f} {nx:.1f} {middle:.1f} {nx:.1f} {ny:.1f}")
        x, y = nx, ny
    told = ", ".join(f"{name_of_value(v, made)}: {v.aval} ({_bytes(v.aval)})" for v in values)
    size = ""
    if kept:
        text = _in_bytes(sum(v.aval.size * v.dtype.itemsize for v in values))
        ex, ey = path[-1]
        size = f'<text class="bytes" x="{ex + 3:.1f}" y="{ey - 3:.1f}">{text}</text>'
    how = "edge residual" if kept else "edge"
    return f'<g><title>{escape(told)}</title><path class="{how}" d="{" ".join(curve)}"/>{size}</g>'
