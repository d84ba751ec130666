"""What engine.py measured, as a table in the terminal, a bar chart, and the table in README.md."""

from __future__ import annotations

import math
import os
import platform
import tomllib
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
MARK = "bench:engine"
FIELDS = ("eager", "stage", "first", "run")


def machine() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "jax": jax.__version__,
        "numpy": np.__version__,
        "gradlab": tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"],
        "device": jax.devices()[0].device_kind,
        "cpus": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
    }


def duration(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale or unit == "µs":
            value = seconds / scale
            return f"{value:.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"
    raise AssertionError


def size(n_bytes: float) -> str:
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= scale:
            return f"{n_bytes / scale:.3g} {unit}"
    return f"{n_bytes:.0f} B"


def times(value: float) -> str:
    return f"{value:.0f}×" if value >= 20 else f"{value:.1f}×" if value >= 3 else f"{value:.2f}×"


# -- the terminal


def print_table(rows: list[dict], header: bool = True) -> None:
    """One line a row: gradlab's time, and jax's as a multiple of it; above 1 gradlab is the faster one."""
    if header:
        print(
            "each field: gradlab's own, and how many times longer (larger) jax's is; eager also for the other peers\n"
        )
        titles = "".join(f"{f:>18}" for f in FIELDS)
        print(f"{'program':<16}{'':<9}{titles}{'memory':>18}  error    other peers, eager")
    for row in rows:
        cells = [f"{duration(row[f]['seconds']['gradlab'])} {times(row[f]['ratio']['jax']):>7}" for f in FIELDS]
        own, theirs = row["memory"]["gradlab"], row["memory"]["jax"]
        # Next to nothing is not a unit to count in.
        more = "=" if own == theirs else ">1000×" if theirs > 1000 * own else times(theirs / own)
        cells.append(f"{size(own)} {more:>7}")
        others = " ".join(f"{n} {times(r)}" for n, r in row["eager"]["ratio"].items() if n != "jax")
        line = f"{row['program']:<16}{row['derivative']:<9}{''.join(f'{c:>18}' for c in cells)}"
        print(f"{line}  {row['error']:.0e}  {others}", flush=True)


# -- the chart


def draw(rows: list[dict], path: Path) -> None:
    """A panel per field, a bar per program: how many times faster than jax, on a logarithmic axis around 1."""
    panels = {
        "eager": "eager call\nvs. jax.grad(f)(x)",
        "stage": "trace + transform + lower\nvs. jax.jit(jax.grad(f))",
        "first": "first call\nvs. jax.jit(jax.grad(f))",
        "run": "compiled run\nvs. jax.jit(jax.grad(f))",
    }
    blue, orange, dark = "#2563eb", "#ea580c", "#374151"
    plt.rcParams.update(
        {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False}
    )
    names = [row["program"] + (", Hessian" if row["derivative"] == "Hessian" else "") for row in rows]
    y = np.arange(len(rows))
    figure, axes = plt.subplots(1, len(panels), figsize=(13, 1.6 + 0.27 * len(rows)), sharey=True, layout="constrained")
    for axis, (field, title) in zip(axes, panels.items(), strict=True):
        values = np.array([row[field]["ratio"]["jax"] for row in rows])
        logs = np.log2(values)
        axis.barh(y, logs, height=0.66, color=np.where(values >= 0.95, blue, orange))
        low, high = min(-1.0, math.floor(logs.min())), max(1.0, math.ceil(logs.max()))
        for i, value in zip(y, values, strict=True):
            at = math.log2(value)
            side = 1 if at >= 0 else -1
            axis.text(
                at + side * 0.02 * (high - low),
                i,
                times(value),
                va="center",
                ha="left" if side > 0 else "right",
                color=dark,
                fontsize=8,
            )
        axis.axvline(0, color=dark, lw=0.8)
        axis.set_xlim(low - 0.12 * (high - low), high + 0.2 * (high - low))
        step = max(1, round((high - low) / 5))
        ticks = np.arange(math.ceil(low / step) * step, high + 1, step)
        axis.set_xticks(ticks, [f"{2.0**t:g}×" for t in ticks])
        axis.set_title(title, fontsize=10)
        axis.set_axisbelow(True)
        axis.grid(axis="x", alpha=0.25)
        axis.tick_params(axis="y", length=0)
    axes[0].set_yticks(y, names)
    axes[0].invert_yaxis()
    kind = machine()
    about = (
        f"JAX {kind['jax']}, float64, {kind['cpus']} CPUs"
        if kind["device"].lower() == "cpu"
        else f"JAX {kind['jax']}, {kind['device']}"
    )
    figure.suptitle(
        f"How many times faster gradlab is than JAX ({about}); each pair interleaved in one process", fontsize=11
    )
    figure.savefig(path, dpi=130)
    plt.close(figure)


# -- README.md


def renew_readme(results: dict) -> None:
    """Replace what stands between the marks in README.md by the table of `results`."""
    text = README.read_text()
    start, end = f"<!-- {MARK} -->", f"<!-- /{MARK} -->"
    head, tail = text.split(start)[0], text.split(end)[1]
    README.write_text(f"{head}{start}\n{readme_table(results)}\n{end}{tail}")


def readme_table(results: dict) -> str:
    lines = [
        "| derivative of | eager call | vs. `jax.grad` | trace + transform + lower vs. JAX | first call vs. `jax.jit` "
        "| compiled run vs. `jax.jit` | temporary memory (JAX's) |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in results["rows"]:
        order = ", Hessian" if row["derivative"] == "Hessian" else ""
        ratios = [times(row[f]["ratio"]["jax"]) for f in FIELDS]
        memory = f"{size(row['memory']['gradlab'])} ({size(row['memory']['jax'])})"
        cells = [
            f"{row['program']}{order}: {row['about']}",
            duration(row["eager"]["seconds"]["gradlab"]),
            *ratios,
            memory,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    kind = results["machine"]
    lines += [
        "",
        f"*JAX {kind['jax']}, Python {kind['python']}, float64, {kind['cpus']} CPU cores; above 1× gradlab is faster.*",
    ]
    return "\n".join(lines)
