"""What an experiment showed: who solved what at which cost, as a table, as pictures, and as one page of HTML."""

from __future__ import annotations

import base64
import html
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.errors import ArgumentError
from ..ir.extras import Later
from .runs import OneRun, RunStore

if TYPE_CHECKING:
    from . import plot
else:
    plot = Later("gradlab.optim.plot")

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2rem auto; padding: 0 1rem; color: #111827; }}
table {{ border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #e5e7eb; }}
th:first-child, td:first-child, th.text, td.text {{ text-align: left; }} td {{ white-space: nowrap; }}
th {{ border-bottom: 2px solid #9ca3af; }} td.best {{ font-weight: 600; }} td.not {{ color: #b91c1c; }}
img {{ max-width: 100%; }} figcaption {{ color: #4b5563; }} figure {{ margin: 1rem 0 2rem; }}
</style></head><body><h1>{title}</h1>
{body}
</body></html>
"""


class Report:
    """The runs of an experiment. Print it for the summary, `.table()` for all rows, `.report(directory)` for pictures.

    **Attributes:** `runs`: list of `OneRun`; `methods`, `problems`: their names in order.
    **Arguments:** `functions`: problem → its function, where contours are to be drawn; `tol`: a run solves its problem
    where f − f* ≤ tol·max(1, |f*|), f* the least value known, that of a documented other minimum, or, where none is
    known, the lowest that any run found.
    """

    def __init__(
        self,
        runs: Sequence[OneRun],
        methods: Sequence[str],
        problems: Sequence[str],
        functions: Mapping[str, Callable] | None = None,
        tol: float = 1e-6,
    ):
        if not runs:
            raise ArgumentError("there are no runs to report.")
        self.runs, self.methods, self.problems = list(runs), list(methods), list(problems)
        self.tol = tol
        self._functions = dict(functions or {})
        self._lowest: dict[str, float] = {}
        for run in runs:
            self._lowest[run.problem] = min(self._lowest.get(run.problem, np.inf), _or_inf(run.f))

    @staticmethod
    def load(path: str | os.PathLike, functions: Mapping[str, Callable] | None = None, tol: float = 1e-6) -> Report:
        """The report of all runs in a file that `experiment` wrote."""
        if not Path(path).exists():
            raise ArgumentError(f"there is no file {path}: name one that experiment wrote.")
        runs = RunStore(path).runs()
        methods, problems = (
            [*dict.fromkeys(names)] for names in zip(*((r.method, r.problem) for r in runs), strict=True)
        )
        return Report(runs, methods, problems, functions, tol)

    # -- numbers

    def target(self, run: OneRun) -> float | None:
        """The value at which the run counts as solved, or None if it never came there."""
        known = [run.f_min, *run.minima] if run.f_min is not None else [self._lowest[run.problem]]
        reached = _or_inf(min([run.f, *run.fs]) if len(run.fs) else run.f)
        for k, value in enumerate(known):
            room = self.tol * max(1.0, abs(value))
            if (reached <= value + room) if k == 0 else (abs(reached - value) <= room):
                return value + room
        return None

    def cost(self, run: OneRun, of: str = "evaluations") -> float:
        """Evaluations, or seconds, until the run had solved its problem; inf if it did not."""
        target = self.target(run)
        if target is None:
            return float("inf")
        there = np.flatnonzero(run.fs <= target)
        evals = float(run.evals[there[0]]) if len(there) else float(run.n_evals)
        return max(evals, 1.0) if of == "evaluations" else max(run.seconds * evals / max(run.n_evals, 1), 1e-9)

    def costs(self, of: str = "evaluations") -> dict[str, np.ndarray]:
        """Method → the cost of each problem and seed, in one order: what `plot.profile` takes."""
        if of not in ("evaluations", "seconds"):
            raise ArgumentError(f'of must be "evaluations" or "seconds", got {of!r}.')
        found = {(run.problem, run.seed, run.method): self.cost(run, of) for run in self.runs}
        instances = list(dict.fromkeys((run.problem, run.seed) for run in self.runs))
        return {m: np.array([found.get((*one, m), np.inf) for one in instances]) for m in self.methods}

    def table(self) -> list[dict[str, Any]]:
        """One row a problem and method: how many starts it solved, medians over its starts, how they ended."""
        rows = []
        for problem in self.problems:
            for method in self.methods:
                runs = [run for run in self.runs if run.problem == problem and run.method == method]
                if not runs:
                    continue
                ended = sorted({run.status for run in runs})
                rows.append({
                    "problem": problem,
                    "n": runs[0].n,
                    "method": method,
                    "solved": sum(self.target(run) is not None for run in runs),
                    "of": len(runs),
                    "f": float(np.median([run.f for run in runs])),
                    "gnorm": float(np.median([run.gnorm for run in runs])),
                    "evaluations": float(np.median([run.n_evals for run in runs])),
                    "seconds": float(np.median([run.seconds for run in runs])),
                    "first_seconds": max(run.first_seconds for run in runs),
                    "status": ", ".join(ended),
                })  # fmt: skip
        return rows

    def summary(self) -> list[dict[str, Any]]:
        """One row a method: the share solved, and the totals on what all methods solved."""
        costs = self.costs()
        common = np.all([np.isfinite(row) for row in costs.values()], axis=0)
        seconds = self.costs("seconds")
        rows = []
        for method in self.methods:
            mine = costs[method]
            rows.append({
                "method": method,
                "solved": int(np.isfinite(mine).sum()),
                "of": len(mine),
                "evaluations": float(mine[common].sum()),
                "milliseconds": float(1e3 * seconds[method][common].sum()),
                "on": int(common.sum()),
            })  # fmt: skip
        return rows

    def __str__(self) -> str:
        lines = [("method", "solved", "evaluations*", "ms*")]
        summary = self.summary()
        for row in summary:
            solved = f"{row['solved']}/{row['of']}"
            lines.append((row["method"], solved, f"{row['evaluations']:.0f}", f"{row['milliseconds']:.3g}"))
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = [
            "  ".join(
                [line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))]
            )
            for line in lines
        ]
        failed = [run for run in self.runs if run.status == "ERROR"]
        if failed:
            one = failed[0]
            text.append(f"{len(failed)} runs raised; the first, {one.method} on {one.problem}: {one.message}")
        return "\n".join([*text, f"* until solved, over the {summary[0]['on']} runs that every method solves"])

    # -- pictures

    def report(self, directory: str | os.PathLike = "report", title: str = "Optimizer experiment") -> Path:
        """Write `index.html`, which holds everything, and each picture as a PNG beside it; the path of the page."""
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        figures = {
            "performance": (
                plot.profile(self.costs(), kind="performance", title="Performance profile, evaluations"),
                "Share of problems solved within a factor of the best method's evaluations.",
            ),
            "data": (
                plot.profile(self.costs(), kind="data", title="Data profile"),
                "Share of problems solved within a number of evaluations.",
            ),
            "time": (
                plot.profile(self.costs("seconds"), kind="performance", cost="time", title="Performance profile, time"),
                "The same for the run time of the compiled solver; a batch's time is shared by its runs.",
            ),
        }
        for problem in self.problems:
            figures[f"convergence-{_slug(problem)}"] = (
                self.convergence(problem),
                "Median over the starts of the lowest value so far; half of the runs lie in the shaded band. "
                "At the dotted line the problem counts as solved; what is below the last tick is drawn there.",
            )
        for problem in self.problems:
            figure = self.trajectories(problem)
            if figure is not None:
                figures[f"trajectory-{_slug(problem)}"] = (
                    figure,
                    "From the first start (the square) to the end (the dot), over contours of log(f − lowest f); of "
                    "methods that are plain functions, the points better than all before. The star: where f is least.",
                )
        summary = self.summary()
        starred = [
            {"method": r["method"], "solved": r["solved"], "of": r["of"], "evaluations*": r["evaluations"],
             "milliseconds*": r["milliseconds"]} for r in summary
        ]  # fmt: skip
        parts = [_html_table(starred, "method"), f"<p>{html.escape(str(self).splitlines()[-1])}</p>"]
        for name, (figure, caption) in figures.items():
            path = folder / f"{name}.png"
            figure.savefig(path, dpi=150)
            data = base64.b64encode(path.read_bytes()).decode()
            alt, caption = html.escape(name), html.escape(caption)
            picture = f'<img alt="{alt}" src="data:image/png;base64,{data}">'
            parts.append(f"<figure>{picture}<figcaption>{caption}</figcaption></figure>")
        parts += ["<h2>All results</h2>", _html_table(self.table(), "problem")]
        page = folder / "index.html"
        page.write_text(_PAGE.format(title=html.escape(title), body="\n".join(parts)), encoding="utf-8")
        return page

    def convergence(self, problem: str) -> Any:
        """The figure of how each method comes down on a problem, against evaluations and against time."""
        runs = [run for run in self.runs if run.problem == problem and len(run.fs)]
        least = min([self._lowest[problem], *(run.f_min for run in runs if run.f_min is not None)])
        scale = max(1.0, abs(least))
        floor = 1e-16 * scale
        with plot.styled():
            figure = plot.Figure(figsize=(9.6, 3.5), layout="constrained")
            panels = figure.subplots(1, 2, sharey=True)
            for i, method in enumerate(self.methods):
                mine = [run for run in runs if run.method == method]
                if not mine:
                    continue
                rows = max(len(run.fs) for run in mine)
                falling = [np.minimum.accumulate(np.where(np.isnan(run.fs), np.inf, run.fs)) for run in mine]
                gaps = _padded([np.maximum(f - least, floor) for f in falling], rows)
                evals = _padded([run.evals.astype(float) for run in mine], rows)
                rate = np.array([[1e3 * run.seconds / max(run.n_evals, 1)] for run in mine])
                for axes, x in zip(panels, (evals, evals * rate), strict=True):
                    plot.draw_band(axes, plot.band(x, np.where(np.isinf(gaps), np.nan, gaps)), method, i)
            for axes, label in zip(panels, ("evaluations of f and ∇f", "time [ms]"), strict=True):
                axes.axhline(max(self.tol * scale, floor), color="#6b7280", lw=1, ls=":", zorder=0, label="solved")
                axes.set(yscale="log", xscale="log", xlabel=label)
            panels[0].set_ylabel("f − f*")
            panels[1].legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0)
            figure.suptitle(f"{problem}  (n = {runs[0].n})" if runs else problem)
        return figure

    def trajectories(self, problem: str) -> Any:
        """The figure of the ways over the contours, where they were kept; else None."""
        fun = self._functions.get(problem)
        paths = {run.method: run.path for run in self.runs if run.problem == problem and run.path is not None}
        if fun is None or not paths:
            return None
        ordered = {method: paths[method] for method in self.methods if method in paths}
        solved = [run.x for run in self.runs if run.problem == problem and self.target(run) is not None]
        return plot.trajectory(fun, ordered, minima=solved[:1] or None, title=problem)


def _or_inf(value: float) -> float:
    return float(value) if np.isfinite(value) else np.inf


def _padded(rows: list[np.ndarray], length: int) -> np.ndarray:
    return np.array([np.pad(row, (0, length - len(row)), constant_values=np.nan) for row in rows])


def _number(value: float) -> str:
    return f"{value:.0f}" if value == round(value) and abs(value) < 1e6 else f"{value:.4g}"


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


_HEADINGS = {"f": "f, median", "gnorm": "‖∇f‖∞", "seconds": "time [s]", "first_seconds": "first call [s]"}


def _html_table(rows: list[dict[str, Any]], group: str) -> str:
    names = list(rows[0])
    head = "".join(
        f'<th class="{"text" if isinstance(rows[0][name], str) else ""}">{html.escape(_HEADINGS.get(name, name))}</th>'
        for name in names
    )
    best = {
        key: min((r["evaluations"] for r in rows if r[group] == key and r["solved"] == r["of"]), default=None)
        for key in ({r[group] for r in rows} if group == "problem" else ())
    }
    lines = []
    for row in rows:
        cells = []
        for name in names:
            value = row[name]
            text = value if isinstance(value, str) else _number(value)
            kind = "text" if isinstance(value, str) else ""
            if (
                name == "evaluations"
                and group == "problem"
                and value == best[row[group]]
                and row["solved"] == row["of"]
            ):
                kind = "best"
            if name == "solved" and row["solved"] < row["of"]:
                kind = "not"
            cells.append(f'<td class="{kind}">{html.escape(text)}</td>')
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table><tr>{head}</tr>\n" + "\n".join(lines) + "</table>"
