"""A program probed at a point: directions, differences along them, whether two derivatives are the same to rounding.

The tolerances follow from the rounding unit u of the coarsest dtype in the program. Central differences at their best
step are right to u^(2/3) of the scale; what the extrapolation itself says of its error counts ten times (three times
in half precision, where only gross errors can be found). No derivative is called wrong on the word of a few steps: it
is looked at closely then, by steps of all lengths (see `settle`), in double precision where the program has one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import jax
import numpy as np

from ..ir.graph import Graph, Var, is_inexact
from ..lower.compile import Executable
from ..passes.pipeline import tidy
from ..trace.stage import inline, input_names, trace_graph
from ..transforms.jvp import jvp_graph
from ..transforms.linearize import linearize_graph
from ..transforms.transpose import transpose_graph
from .numeric import Estimate, extrapolate, unit
from .settle import Slope, Slopes, settled
from .widened import wide_value, widened

SAMPLES = 6  # points on either side at which a jvp is looked at again
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


@dataclass(eq=False)
class Probe:
    """A closed program (x*) -> (y*) and the point where it is looked at.

    **Arguments:** `inputs`: the values of x*, NumPy arrays; `active`: which of x* move; `names`: what the user calls
    them, and `results` what he calls y*; `label`: what the program computes.
    """

    graph: Graph
    inputs: list[Any]
    active: list[bool]
    names: list[str]
    results: list[str]
    label: str

    @cached_property
    def unit(self) -> float:
        """The rounding unit of the coarsest dtype anywhere in the program."""
        return coarsest(self.graph)

    @cached_property
    def moving(self) -> list[int]:
        """The inputs that move."""
        return [k for k, on in enumerate(self.active) if on]

    @cached_property
    def _primal(self) -> Callable[..., tuple]:
        return compiled(self.graph)

    @cached_property
    def forward(self) -> tuple[Graph, tuple[bool, ...]]:
        """(x*, dx*) -> (y*, dy*), and which y have a dy."""
        both, alive = jvp_graph(self.graph, self.active)
        return tidy(both), alive

    @cached_property
    def _forward(self) -> Callable[..., tuple]:
        return compiled(self.forward[0])

    @cached_property
    def reverse(self) -> tuple[Graph, tuple[bool, ...], tuple[bool, ...]]:
        """(x*, ct_y*) -> (ct_x*); which y have a cotangent, and which of the moving x get one."""
        lin = linearize_graph(self.graph, self.active, tidy)
        n_moving = len(lin.linear.inputs) - lin.n_residuals
        back, alive = transpose_graph(tidy(lin.linear), [False] * lin.n_residuals + [True] * n_moving)
        n, m = len(self.graph.inputs), len(self.graph.outputs)

        def run(builder, *args):
            outs = inline(lin.primal, builder, args[:n])
            return inline(back, builder, [*outs[m:], *args[n:]])

        seeds = [a.aval for a, on in zip(self.graph.outputs, lin.out_active, strict=True) if on]
        graph = trace_graph(run, [*self.graph.in_avals, *seeds], input_names(self.graph))
        return tidy(graph), lin.out_active, alive

    @cached_property
    def _reverse(self) -> Callable[..., tuple]:
        return compiled(self.reverse[0])

    def values(self, inputs: Sequence[Any] | None = None) -> list[np.ndarray]:
        """y* at the point, or at another."""
        return arrays(self._primal(*(self.inputs if inputs is None else inputs)))

    def jvp(self, direction: Sequence[Any], inputs: Sequence[Any] | None = None) -> list[np.ndarray]:
        """dy* along a direction, at the point or at another; for each y an array, zeros if it is structurally zero."""
        outs = arrays(self._forward(*(self.inputs if inputs is None else inputs), *direction))
        n, found = len(self.graph.outputs), []
        got = iter(outs[n:])
        for y, on in zip(outs[:n], self.forward[1], strict=True):
            found.append(next(got) if on else np.zeros(y.shape, y.dtype))
        return found

    def vjp(self, cts: Sequence[Any]) -> list[np.ndarray]:
        """The cotangent of each moving x, from one for each y."""
        _, seeded, alive = self.reverse
        found = arrays(self._reverse(*self.inputs, *(ct for ct, on in zip(cts, seeded, strict=True) if on)))
        got = iter(found)
        return [next(got) if on else np.zeros_like(self.inputs[k]) for k, on in zip(self.moving, alive, strict=True)]

    @cached_property
    def wide(self) -> Probe | None:
        """The same program at the same point in double precision; None if it is there already, or holds to a dtype."""
        graph = widened(self.graph)
        inputs = list(map(wide_value, self.inputs))
        return None if graph is None else Probe(graph, inputs, self.active, self.names, self.results, self.label)

    def verdicts(self, direction: Sequence[Any], closely: bool = True) -> dict[int, Verdict]:
        """For each result that has a derivative, how the jvp along a direction compares with differences.

        **Arguments:** `closely`: whether what the first differences contradict, or cannot tell, is looked at again.
        """
        moved, quick = self.jvp(direction), self.differences(direction)
        found = {i: compare(t, quick[i], self.unit) for i, t in enumerate(moved) if is_inexact(t.dtype)}
        if not closely or all(one.judged and not one.wrong for one in found.values()):
            return found
        if self.wide is None:
            closer = self._closely(direction, moved, quick)
        else:
            closer = self._widely(direction, moved, self.wide)
        return {i: one if one.judged and not one.wrong else closer[i] for i, one in found.items()}

    def _widely(self, direction: Sequence[Any], moved: Sequence[np.ndarray], wide: Probe) -> dict[int, Verdict]:
        """The verdicts on the same program in double precision; then on the digits that the narrow one has."""
        with jax.enable_x64(True):
            along = [wide_value(d) for d in direction]
            found = wide.verdicts(along)
            exact, slack = wide.jvp(along), wide.sensitivity(along, 8 * self.unit)
        for i, one in found.items():
            if one.judged and not one.wrong:
                own = compare(moved[i], Estimate(exact[i], slack[i]), self.unit)
                found[i] = own._replace(judged=True)
        return found

    def _closely(
        self, direction: Sequence[Any], moved: Sequence[np.ndarray], quick: Sequence[Estimate]
    ) -> dict[int, Verdict]:
        """The verdicts by differences of all lengths.

        A slope says nothing of a jvp that goes to and fro within its step: where that of most steps does not, that of
        the shortest counts. Where nothing goes to and fro, the function goes up otherwise than by its slopes.
        """
        slopes, found = self._settled(direction, quick), {}
        for i in (i for i, y in enumerate(moved) if is_inexact(y.dtype)):
            for slope in slopes[i]:
                one = compare(moved[i], slope, self.unit)
                if not one.wrong or self._is_calm(direction, slope, i, one):
                    break
                one = one._replace(wrong=False, judged=False)
            found[i] = one
        return found

    def _is_calm(self, direction: Sequence[Any], slope: Slope, i: int, found: Verdict) -> bool:
        """Whether the jvp changes little within the step of a slope, or so that it changes less in less of it."""
        step, off = slope.step.reshape(-1)[found.index], abs(found.got - found.wanted)
        changes = [self._change(direction, part * step, i, found.index) for part in (1.0, 1 / 8)]
        return 4 * changes[0] <= off or 2 * changes[1] <= changes[0]

    def _change(self, direction: Sequence[Any], step: float, i: int, index: int) -> float:
        """How much a number of the jvp changes within a step, to that side where it changes less."""
        rng = np.random.default_rng(4)

        def side(s: int) -> float:
            points = s * step * np.append(0.0, rng.random(SAMPLES))
            found = [self.jvp(direction, self.moved(direction, t))[i].reshape(-1)[index] for t in points]
            return max(float(abs(y - found[0])) for y in found)

        return min(side(1), side(-1))

    def slopes(self, direction: Sequence[Any]) -> list[Slope]:
        """dy* along a direction, by differences of all lengths; in double precision where the program has one."""
        if self.wide is None:
            return [one.latest for one in self._settled(direction, self.differences(direction))]
        with jax.enable_x64(True):
            return self.wide.slopes([wide_value(d) for d in direction])

    def _settled(self, direction: Sequence[Any], quick: Sequence[Estimate]) -> list[Slopes]:
        return settled(lambda t: self.values(self.moved(direction, t)), self.unit, quick)

    def sensitivity(self, direction: Sequence[Any], part: float) -> list[np.ndarray]:
        """How much the jvp along a direction changes when the point moves by such a part of itself."""
        rng = np.random.default_rng(3)
        signs = [rng.choice([-1.0, 1.0], d.shape).astype(d.dtype) for d in direction]
        near = self.moved([self.inputs[k] * sign for k, sign in zip(self.moving, signs, strict=True)], part)
        return [np.abs(a - b) for a, b in zip(self.jvp(direction), self.jvp(direction, near), strict=True)]

    def differences(self, direction: Sequence[Any]) -> list[Estimate]:
        """dy* along a direction by Richardson's differences; by finer ones where all these leave the domain."""
        found = self._differences(direction, steps_for(self.unit))
        if all(np.isfinite(one.value).all() for one in found):
            return found
        finer = self._differences(direction, finer_steps(self.unit))
        return [
            b if np.isfinite(b.value).sum() > np.isfinite(a.value).sum() else a
            for a, b in zip(found, finer, strict=True)
        ]

    def _differences(self, direction: Sequence[Any], steps: Sequence[float]) -> list[Estimate]:
        ahead, behind = ([self.values(self.moved(direction, s * t)) for t in steps] for s in (1, -1))
        return [
            extrapolate(steps, [row[i] for row in ahead], [row[i] for row in behind])
            for i in range(len(self.graph.outputs))
        ]

    def moved(self, direction: Sequence[Any], t: float) -> list[Any]:
        new = list(self.inputs)
        for k, d in zip(self.moving, direction, strict=True):
            x = np.asarray(new[k])
            new[k] = x + np.asarray(t, d.dtype) * d
        return new

    def directions(self, rng: np.random.Generator, relative: bool = False) -> list[np.ndarray]:
        """A random direction for each moving input, in proportion to what stands there."""
        return [direction(rng, np.asarray(self.inputs[k]), relative) for k in self.moving]


def compiled(graph: Graph) -> Callable[..., tuple]:
    """The graph under `jax.jit`, little optimised: a probe runs a few dozen times, so XLA's own time is what counts."""
    return jax.jit(Executable(graph).fn, compiler_options=QUICK)


def arrays(outs: Sequence[Any]) -> list[np.ndarray]:
    """Results as NumPy arrays; random keys as they are."""
    return [np.asarray(y) if isinstance(y.dtype, np.dtype) else y for y in outs]


def coarsest(graph: Graph) -> float:
    """The largest rounding unit of the inexact values of a program and of those it carries."""
    atoms = (a for eqn in graph.eqns for a in (*eqn.inputs, *eqn.outputs) if isinstance(a, Var))
    own = [unit(a.dtype) for a in (*graph.inputs, *atoms) if is_inexact(a.dtype)]
    return max([*own, *(coarsest(inner) for eqn in graph.eqns for _, inner in eqn.graphs)], default=2.0**-53)


def steps_for(u: float) -> list[float]:
    """Powers of two, from 2·u^(1/8), where truncation rules, down to u^(1/3), where rounding begins to."""
    first, last = math.floor(1 + math.log2(u) / 8), math.floor(math.log2(u) / 3)
    return [2.0**k for k in range(first, min(last, first - 2) - 1, -1)]


def finer_steps(u: float) -> list[float]:
    """Those below, down to √u: rounding leaves less of them, but a point may be that near the edge of the domain."""
    first = math.floor(math.log2(u) / 3) - 1
    return [2.0**k for k in range(first, math.floor(math.log2(u) / 2) - 1, -1)]


def direction(rng: np.random.Generator, x: np.ndarray, relative: bool) -> np.ndarray:
    """Random numbers of the size of those in `x`, of three binary digits each: so `x` and a step of it add exactly.

    **Arguments:** `relative`: no number moves by more than itself; else a small one moves with its neighbours.
    """
    size = np.abs(x).astype(np.float64)
    usual = float(np.sqrt(np.mean(size**2))) if size.size else 1.0
    size = np.where(size > 0, size, usual or 1.0) if relative else np.maximum(size, usual / 8 or 1.0)
    scale = 2.0 ** np.floor(np.log2(size))

    def digits() -> np.ndarray:
        return rng.integers(4, 8, x.shape) / 8 * rng.choice([-1.0, 1.0], x.shape)

    found = scale * digits() + (1j * scale * digits() if np.iscomplexobj(x) else 0)
    return found.astype(x.dtype)


class Verdict(NamedTuple):
    """Where two derivatives of one array differ most: the flat index, both numbers, the differences' own error.

    `wrong`: they differ by more than rounding. `judged`: the differences were sharp enough to tell.
    """

    wrong: bool
    judged: bool
    index: int
    got: Any
    wanted: Any
    error: float


def compare(got: np.ndarray, wanted: Estimate | Slope, u: float) -> Verdict:
    """A derivative against differences. What contradicts a slope that is not firm remains undecided."""
    wide = np.complex128 if np.iscomplexobj(got) else np.float64
    got = np.asarray(got).astype(wide).reshape(-1)
    value, error = np.asarray(wanted.value).reshape(-1), np.asarray(wanted.error).reshape(-1)
    if not got.size:
        return Verdict(False, True, 0, 0.0, 0.0, 0.0)
    finite = np.isfinite(value)
    scale = max(np.max(np.abs(value[finite]), initial=0.0), np.max(np.abs(got[np.isfinite(got)]), initial=0.0))
    slack, blunt = (10, 0.1) if u < 1e-5 else (3, 1.5)  # of 8 or 11 binary digits differences leave 1 to 4
    allowed = slack * error + min(100 * u ** (2 / 3), 0.1) * scale
    off = np.abs(got - value)
    over = np.where(finite, np.where(np.isfinite(off), off - allowed, np.inf), -np.inf)
    sharp = bool(np.any(finite & (slack * error <= blunt * scale))) or (scale == 0 and bool(finite.any()))
    firm = wanted.firm.reshape(-1) if isinstance(wanted, Slope) else np.ones(got.shape, bool)
    worst = int(np.argmax(over))
    if over[worst] > 0 and not firm[worst]:
        over = np.where(firm, over, -np.inf)
        sharp, worst = False, int(np.argmax(over)) if np.max(over) > 0 else worst
    return Verdict(bool(over[worst] > 0), sharp, worst, got[worst], value[worst], float(error[worst]))


def pairing(xs: Sequence[Any], ys: Sequence[Any]) -> tuple[float, float]:
    """Re Σ x·y over all arrays, and Σ |x·y|, its scale."""
    total = scale = 0.0
    for x, y in zip(xs, ys, strict=True):
        wide = np.complex128 if np.iscomplexobj(x) or np.iscomplexobj(y) else np.float64
        terms = np.asarray(x).astype(wide) * np.asarray(y).astype(wide)
        total += float(np.sum(np.real(terms)))
        scale += float(np.sum(np.abs(terms)))
    return total, scale
