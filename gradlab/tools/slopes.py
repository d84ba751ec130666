"""Does the tangent touch the curve? The function along random directions, its tangent by jvp, differences on top."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..ir.extras import Missing
from ..ir.graph import Graph
from ..lower.compile import Executable
from ..passes.pipeline import tidy
from ..transforms.jvp import jvp_graph
from .widened import wide_value, widened

try:
    import matplotlib
    from matplotlib.figure import Figure
except ImportError:
    matplotlib: Any = Missing("matplotlib", "plot", "the picture of the slopes")
    Figure: Any = matplotlib

POINTS = 61
REACH = 0.5  # how far to go either way, as a part of the arguments' size


class Curve(NamedTuple):
    """f(x + t d) at the steps t, its slope at t = 0 by jvp, and by central differences."""

    steps: np.ndarray
    values: np.ndarray
    slope: float
    difference: float


def curves(graph: Graph, inputs: Sequence[Any], active: Sequence[bool], count: int = 3) -> list[Curve]:
    """The program, of one real result, along random directions of its active inputs."""
    rng = np.random.default_rng(0)
    fn = Executable(graph).fn
    both = Executable(tidy(jvp_graph(graph, active)[0]))
    moving = [k for k, on in enumerate(active) if on]

    @jax.jit
    def along(directions: list[Any], steps: Any) -> Any:
        def at(t: Any) -> Any:
            xs = list(inputs)
            for k, d in zip(moving, directions, strict=True):
                xs[k] = jnp.asarray(xs[k]) + t.astype(d.dtype) * d
            return fn(*xs)[0]

        return jax.lax.map(at, steps)

    found, difference = [], _differences(graph, inputs)
    for _ in range(count):
        directions = [_direction(rng, np.asarray(inputs[k])) for k in moving]
        steps = np.linspace(-1.0, 1.0, POINTS)
        values = np.asarray(along(directions, jnp.asarray(steps)))
        outs = both.jitted(*inputs, *directions)
        slope = float(outs[1]) if len(outs) > 1 else 0.0
        found.append(Curve(steps, values, slope, difference(dict(zip(moving, directions, strict=True)))))
    return found


def _differences(graph: Graph, inputs: Sequence[Any]) -> Callable[[dict[int, Any]], float]:
    """The slope along directions of some inputs, by numbers: of the program in double precision, where it has one.

    There a step may be so short that few kinks lie within it.
    """
    wide = widened(graph)
    with nullcontext() if wide is None else jax.enable_x64(True):
        values = list(inputs) if wide is None else list(map(wide_value, inputs))
        fn = Executable(graph if wide is None else wide).jitted
        double = np.dtype(graph.outputs[0].dtype) == np.float64 or wide is not None
    h = 1e-6 if double else 5e-3

    def difference(along: dict[int, Any]) -> float:
        with nullcontext() if wide is None else jax.enable_x64(True):
            ahead, behind = (
                fn(
                    *(
                        np.asarray(x + t * wide_value(along[k]), x.dtype) if k in along else x
                        for k, x in enumerate(values)
                    )
                )
                for t in (h, -h)
            )
            return float(ahead[0] - behind[0]) / (2 * h)

    return difference


def _direction(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    size = REACH * (np.sqrt(np.mean(np.abs(x) ** 2)) if x.any() else 1.0)
    d = rng.standard_normal(x.shape)
    if np.iscomplexobj(x):
        d = d + 1j * rng.standard_normal(x.shape)
    return (size * d).astype(x.dtype)


def picture(found: Sequence[Curve]) -> str:
    """The curves as SVG."""
    with matplotlib.rc_context({"svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(3.2 * len(found), 2.6), layout="constrained")
        for k, (axes, one) in enumerate(zip(np.atleast_1d(figure.subplots(1, len(found))), found, strict=True)):
            start = one.values[len(one.values) // 2]
            axes.plot(one.steps, one.values, color="#2563eb", label="f(x + t d)")
            limits = axes.get_ylim()
            axes.plot(one.steps, start + one.slope * one.steps, color="#ea580c", label=f"jvp {one.slope:.6g}")
            few = one.steps[:: POINTS // 10]
            axes.plot(few, start + one.difference * few, "k.", ms=4, label=f"differences {one.difference:.6g}")
            span = 0.15 * (limits[1] - limits[0])
            axes.set_ylim(limits[0] - span, limits[1] + span)
            axes.set_title(f"direction {k + 1}", fontsize=9)
            axes.set_xlabel("t")
            axes.legend(fontsize=7, frameon=False)
        text = io.StringIO()
        figure.savefig(text, format="svg")
    return text.getvalue()[text.getvalue().index("<svg") :]
