"""Pictures of optimisation: how f fell, the path it took, and which method solves how much at what cost.

Each function returns a Matplotlib figure, `.savefig(path)` writes it; or draws into the `axes` it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import numpy as np

from ..ir.errors import ArgumentError
from ..ir.extras import Missing
from .profiles import data_profile, performance_profile
from .result import Result
from .trained import Trained

try:
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, NullLocator, PercentFormatter
except ImportError:
    matplotlib: Any = Missing("matplotlib", "plot", "drawing")
    Figure: Any = matplotlib
    FuncFormatter: Any = matplotlib
    NullLocator: Any = matplotlib
    PercentFormatter: Any = matplotlib

# Okabe & Ito's colours, which the colour-blind can tell apart; dashes carry the rest when printed in grey.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8B5A2B", "#7F7F7F")
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)), (0, (3, 1, 1, 1, 1, 1)))
STYLE = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e5e7eb",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "savefig.dpi": 160,
    "figure.dpi": 110,
}


class Band(NamedTuple):
    """A line and what half of the runs lie between: x (k,), and y at the median and the quartiles."""

    x: np.ndarray
    median: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


@contextmanager
def styled() -> Iterator[None]:
    """Within it, Matplotlib draws as the pictures here do."""
    with matplotlib.rc_context(STYLE):
        yield


def look(i: int) -> dict[str, Any]:
    """The colour and dashes of the i-th line."""
    return {"color": COLORS[i % len(COLORS)], "linestyle": DASHES[i // len(COLORS) % len(DASHES)]}


def legend_beside(axes: Any, entries: int) -> None:
    """A legend within the axes if it is short, right of them if it would cover lines."""
    if entries > 5:
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0)
    elif entries > 1:
        axes.legend(loc="best")


# -- history


def history(results: Any, *, against: str = "evaluations", f_min: float | None = None, title: str | None = None) -> Any:
    """How f and its gradient fell, one line a run.

    **Arguments:** `results`: a `Result` made with `history=True`, a `Trained`, or a dict label → one of them (all of
    one kind); a batched `Result` is drawn as median and quartiles of its runs. `against`: "evaluations" or "iterations"
    (a training run: its steps). `f_min`: subtracted from f; without it the lowest value of all runs is, unless f keeps
    falling below 0 or the runs are training runs. `title`: above the picture.
    **Raises:** `ArgumentError` where a result carries no history.
    """
    if against not in ("evaluations", "iterations"):
        raise ArgumentError(f'against must be "evaluations" or "iterations", got {against!r}.')
    runs = dict(results) if isinstance(results, Mapping) else {"": results}
    if not runs:
        raise ArgumentError("there is no result to draw.")
    if all(isinstance(run, Trained) for run in runs.values()):
        return _training(runs, title)
    lines = {label: _columns(run, against) for label, run in runs.items()}
    if f_min is None:
        f_min = min(float(np.nanmin(f)) for _, f, _ in lines.values())
        least_known = False
    else:
        least_known = True
    with styled():
        figure = Figure(figsize=(9.2, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        for i, (label, (x, f, gnorm)) in enumerate(lines.items()):
            gap = f - f_min
            floor = np.finfo(f.dtype).eps * max(1.0, abs(f_min))
            draw_band(left, band(x, np.where(gap > floor, gap, np.nan if not least_known else floor)), label, i)
            draw_band(right, band(x, np.where(gnorm > 0, gnorm, np.nan)), label, i)
        least = "f*" if least_known else "lowest f"
        for axes, what in ((left, f"f − {least}"), (right, "‖∇f‖∞")):
            axes.set(yscale="log", xlabel=against, ylabel=what)
            axes.margins(x=0.02)
        if len(lines) > 1:
            legend_beside(right, len(lines) if len(lines) > 5 else 2)
        if title:
            figure.suptitle(title)
    return figure


def _columns(run: Any, against: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(x, f, ‖g‖∞) of a run, each (rows,), or (runs, rows) of a batch; nan beyond its end."""
    if not isinstance(run, Result) or run.history is None:
        raise ArgumentError("history needs results of minimize(..., history=True), or of train.")
    f = np.asarray(run.history.f)
    gnorm = np.asarray(run.history.gnorm)
    x = (
        np.asarray(run.history.n_evals)
        if against == "evaluations"
        else np.broadcast_to(np.arange(f.shape[-1]), f.shape)
    )
    used = int(np.max(run.n_iters)) + 1
    x = np.where(np.isnan(f), np.nan, x)
    return x[..., :used], f[..., :used], gnorm[..., :used]


def band(x: np.ndarray, y: np.ndarray, points: int = 1000) -> Band:
    """The median and quartiles over the first axis of `y` (runs, k), each run known at its own `x` (runs, k).

    Between its points a run stays as it was: what is drawn at x is what it had reached by then. Before its first point
    it is at its start, and a run that has ended stays where it ended.
    """
    if y.ndim == 1:
        x, y = x[None], y[None]
    if len(y) == 1:
        keep = ~np.isnan(x[0]) & ~np.isnan(y[0])
        return Band(x[0][keep], y[0][keep], y[0][keep], y[0][keep])
    grid = np.unique(x[~np.isnan(x)])
    if len(grid) > points:
        grid = grid[np.unique(np.linspace(0, len(grid) - 1, points).astype(int))]
    rows = []
    for xs, ys in zip(x, y, strict=True):
        keep = ~np.isnan(xs) & ~np.isnan(ys)
        xs, ys = xs[keep], ys[keep]
        at = np.searchsorted(xs, grid, side="right") - 1
        rows.append(ys[np.maximum(at, 0)] if len(xs) else np.full(len(grid), np.nan))
    lower, median, upper = np.nanpercentile(np.array(rows), [25, 50, 75], axis=0)
    return Band(grid, median, lower, upper)


def draw_band(axes: Any, found: Band, label: str, i: int) -> None:
    """The line of the median, its end marked, over the shaded quartiles."""
    axes.plot(found.x, found.median, label=label or None, **look(i))
    if len(found.x):
        axes.plot(found.x[-1], found.median[-1], "o", ms=4, color=look(i)["color"])
    if np.any(found.lower != found.upper):
        axes.fill_between(found.x, found.lower, found.upper, color=look(i)["color"], alpha=0.15, lw=0)


def _training(runs: Mapping[str, Trained], title: str | None) -> Any:
    evaluated = sorted({name for run in runs.values() for name in run.history if name.startswith("eval/")})
    shown = [name for name in evaluated if name not in ("eval/step", "eval/seconds")]
    with styled():
        figure = Figure(figsize=(4.8 * (2 + bool(shown)), 3.6), layout="constrained")
        panels = figure.subplots(1, 2 + bool(shown))
        for i, (label, run) in enumerate(runs.items()):
            steps = run.history["step"]
            for axes, name in zip(panels, ("loss", "grad_norm"), strict=False):
                values = run.history[name].astype(float)
                axes.plot(steps, values, color=look(i)["color"], alpha=0.25, lw=0.8)
                axes.plot(steps, _smooth(values), label=label or None, **look(i))
            for j, name in enumerate(shown):
                values = run.history.get(name)
                if values is not None:
                    text = label if len(shown) == 1 else f"{label} {name.removeprefix('eval/')}".strip()
                    style = look(i if len(shown) == 1 else i * len(shown) + j)
                    panels[2].plot(
                        run.history["eval/step"], values, "o-", ms=3, label=text or None, color=style["color"]
                    )
        widths = {_width(run.history["step"]) for run in runs.values()} - {1}
        if widths:
            of = f"{min(widths)} to {max(widths)}" if len(widths) > 1 else f"{max(widths)}"
            for axes in panels[:2]:
                axes.set_title(f"pale: each step, full: mean of {of}", fontsize=8, color="#6b7280", loc="right")
        evaluation = shown[0].removeprefix("eval/") if len(shown) == 1 else "evaluation"
        for axes, name in zip(panels, ("loss", "‖gradient‖", evaluation), strict=False):
            axes.set(xlabel="step", ylabel=name)
            axes.margins(x=0.02)
        for axes in panels[:2]:
            axes.set_yscale("log" if all(_positive(line) for line in axes.lines) else "linear")
        if len(runs) > 1:
            legend_beside(panels[0], min(len(runs), 5))
        if len(shown) > 1 or (shown and len(runs) > 1):
            legend_beside(panels[2], 2)
        if title:
            figure.suptitle(title)
    return figure


def _positive(line: Any) -> bool:
    y = np.asarray(line.get_ydata(), float)
    return bool(np.all(y[np.isfinite(y)] > 0))


def _width(values: np.ndarray) -> int:
    return max(1, len(values) // 50)


def _smooth(values: np.ndarray) -> np.ndarray:
    """A centred mean over a fiftieth of the run, of what is finite; at the ends over what there is of it."""
    window = np.ones(_width(values))
    finite = np.isfinite(values)
    sums = np.convolve(np.where(finite, values, 0), window, mode="same")
    counts = np.convolve(finite.astype(float), window, mode="same")
    return np.where(counts > 0.5, sums / np.maximum(counts, 1), np.nan)


# -- trajectory


def trajectory(
    fun: Callable[[Any], Any],
    paths: Any,
    *,
    minima: Any = None,
    limits: tuple[tuple[float, float], tuple[float, float]] | None = None,
    title: str | None = None,
    axes: Any = None,
) -> Any:
    """The ways through the contours of a function of two variables.

    **Arguments:** `fun`: of a vector (2,), traceable by JAX. `paths`: points (k, 2), or a dict label → such. `minima`:
    points (m, 2) to mark with a star. `limits`: ((left, right), (bottom, top)); around the paths unless given.
    Contours are spaced evenly in log(f − lowest f), so that valleys show.
    """
    named = dict(paths) if isinstance(paths, Mapping) else {"": paths}
    ways = {label: np.asarray(path, float).reshape(-1, np.shape(path)[-1]) for label, path in named.items()}
    for label, way in ways.items():
        if way.shape[1:] != (2,) or not len(way):
            raise ArgumentError(f"a path needs points of two numbers, (k, 2), got {label!r} of shape {way.shape}.")
    marks = np.zeros((0, 2)) if minima is None else np.asarray(minima, float).reshape(-1, 2)
    points = np.concatenate([*ways.values(), marks])
    points = points[np.all(np.isfinite(points), axis=1)]
    ends = np.concatenate([*(way[[0, -1]] for way in ways.values()), marks])
    (left, right), (bottom, top) = limits or (_around(points[:, i], ends[:, i]) for i in (0, 1))
    xs, ys = np.linspace(left, right, 241), np.linspace(bottom, top, 241)
    grid = np.stack(np.meshgrid(xs, ys), axis=-1)
    values = np.asarray(jax.jit(jax.vmap(jax.vmap(fun)))(grid), float)
    separate = axes is None and len(ways) > 2  # more than two ways through one valley hide each other
    with styled():
        if separate:
            columns = min(3, len(ways))
            rows = -(-len(ways) // columns)
            figure = Figure(figsize=(3.4 * columns, 3.1 * rows + 0.3), layout="constrained")
            panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
            for panel in panels[len(ways) :]:
                panel.set_visible(False)
        else:
            figure = axes.figure if axes is not None else Figure(figsize=(6.0, 4.6), layout="constrained")
            panels = [axes if axes is not None else figure.subplots()] * len(ways)
        for panel in dict.fromkeys(panels[: len(ways)]):
            _contours(panel, xs, ys, values)
            panel.set(xlim=(left, right), ylim=(bottom, top))
        for i, (panel, (label, way)) in enumerate(zip(panels, ways.items(), strict=False)):
            color = COLORS[1] if separate else COLORS[(i + 1) % len(COLORS)]  # not blue on blue
            panel.plot(*way.T, marker=".", ms=5, lw=1.3, color=color, label=label or None)
            panel.plot(*way[-1], marker="o", ms=7, mfc=color, mec="white", mew=1.2, ls="none")
            panel.plot(*way[0], marker="s", ms=6, mfc="white", mec="black", mew=1.2, zorder=5, ls="none")
            if len(marks):
                panel.plot(*marks.T, "*", ms=13, mfc="gold", mec="black", mew=0.8, zorder=6, ls="none")
            if separate:
                panel.set_title(f"{label}: {len(way) - 1} steps", fontsize=10)
        if separate:
            figure.supxlabel("x₁", fontsize=10)
            figure.supylabel("x₂", fontsize=10)
            figure.suptitle(title or "")
        else:
            panels[0].set(xlabel="x₁", ylabel="x₂", title=title or "")
            if len(ways) > 1:
                panels[0].legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0)
    return figure


def _contours(axes: Any, xs: np.ndarray, ys: np.ndarray, values: np.ndarray) -> None:
    finite = values[np.isfinite(values)]
    if finite.size and finite.max() > finite.min():
        height = np.log10(np.maximum(values - finite.min(), 1e-9 * (finite.max() - finite.min())))
        low, high = np.percentile(height[np.isfinite(height)], [1, 100])
        levels = np.linspace(low, high, 18)
        axes.contourf(xs, ys, height, levels=levels, cmap="Blues", alpha=0.55, extend="both")
        axes.contour(xs, ys, height, levels=levels, colors="white", linewidths=0.5)
    axes.grid(False)


def _around(values: np.ndarray, ends: np.ndarray) -> tuple[float, float]:
    """Limits that hold what is within reach of the middle half, or of starts and ends: a wild trial must not decide."""
    low, high = np.percentile(values, [25, 75])
    ends = ends[np.isfinite(ends)]
    reach = 4 * max(high - low, 1e-3 * max(1.0, abs(low), abs(high)))
    far = 1.5 * np.ptp(ends)
    kept = values[(values >= min(low - reach, ends.min() - far)) & (values <= max(high + reach, ends.max() + far))]
    room = 0.12 * max(kept.max() - kept.min(), 1e-3)
    return float(kept.min() - room), float(kept.max() + room)


# -- profile


def profile(
    costs: Mapping[str, Sequence[float] | np.ndarray],
    *,
    kind: str = "performance",
    cost: str = "evaluations",
    title: str | None = None,
    axes: Any = None,
) -> Any:
    """Which share of the problems each method solves, at what cost.

    **Arguments:** `costs`: method → what each problem cost it (p,), inf where it was not solved; the same problems in
    the same order. `kind`: "performance": within what factor of the best method's cost; "data": within what cost.
    `cost`: what is counted, for the axis.
    **Source:** Dolan & Moré, *Benchmarking optimization software with performance profiles* (2002); Moré & Wild,
    *Benchmarking derivative-free optimization algorithms* (2009), with an evaluation of f and ∇f as the unit.
    """
    if kind not in ("performance", "data"):
        raise ArgumentError(f'kind must be "performance" or "data", got {kind!r}.')
    curves = performance_profile(costs) if kind == "performance" else data_profile(costs)
    with styled():
        figure = axes.figure if axes is not None else Figure(figsize=(6.2, 4.0), layout="constrained")
        axes = axes if axes is not None else figure.subplots()
        most = max(float(curve.x[-1]) for curve in curves.values())
        least = min(float(curve.x[0]) for curve in curves.values())
        most = max(most * 1.15, least * 2)
        order = sorted(curves, key=lambda name: -curves[name].share[-1])
        for i, name in enumerate(curves):
            curve = curves[name]
            x, share = np.append(curve.x, most), np.append(curve.share, curve.share[-1])
            axes.step(x, share, where="post", label=f"{name}  {curve.share[-1]:.0%}", **look(i))
        axes.set_xscale("log")
        axes.set(xlim=(least, most), ylim=(0, 1.03), ylabel="share of problems solved")
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        if kind == "performance":
            axes.set_xlabel(f"{cost}, as a multiple of the best method's")
            axes.set_xticks(_ratios(most))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}×"))
            axes.xaxis.set_minor_locator(NullLocator())
        else:
            axes.set_xlabel(cost)
        handles, labels = axes.get_legend_handles_labels()
        names = list(curves)
        picked = [names.index(name) for name in order]
        axes.legend(
            [handles[k] for k in picked], [labels[k] for k in picked], title="method, solved in the end",
            loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0, alignment="left",
        )  # fmt: skip
        if title:
            axes.set_title(title)
    return figure


def _ratios(most: float) -> list[float]:
    """Round factors from 1 to `most`, not more than ten."""
    if most > 300:
        return [10.0**k for k in range(int(np.log10(most)) + 1)]
    round_ones = [1, 1.5, 2, 3, 4, 6, 8] if most < 10 else [2.0**k for k in range(10)]
    return [x for x in round_ones if x <= most]
