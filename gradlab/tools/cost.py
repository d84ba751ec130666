"""What does it cost? Operations, traffic and memory of a program, equation by equation, beside what XLA says of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, wraps
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ..api.arguments import name_of, require_function
from ..api.looking import stage
from ..api.programs import value_and_grad_program, vjp_program
from ..ir.errors import MissingRuleError
from ..ir.graph import Aval, Eqn, Graph, Lit, Var, chained, is_inexact
from ..ir.work import work
from ..lower.compile import Executable
from ..lower.finish import finish
from ..passes.pipeline import tidy

SHOWN = 30  # equations in a printed table


class Row(NamedTuple):
    """One equation's cost, `times` as often as it runs: operations, and the bytes it reads and writes.

    `depth`: how many loops and branches it stands in. `unknown`: why its operations are not known; then they are None.
    """

    eqn: Eqn
    depth: int
    times: int
    flops: int | None
    transcendentals: int | None
    bytes: int
    unknown: str | None = None

    @property
    def line(self) -> str:
        """The user's line."""
        return "" if self.eqn.where is None else str(self.eqn.where)


class XlaCost(NamedTuple):
    """XLA's own count of the compiled program, after its fusions, [bytes]; None where the backend does not say.

    XLA counts the body of a loop once unless it knows the number of trips, and nothing for a call of a library.
    """

    flops: float | None
    transcendentals: float | None
    bytes_accessed: float | None
    argument_bytes: int | None
    output_bytes: int | None
    temporary_bytes: int | None


class Device(NamedTuple):
    """What a device was measured to do: [bytes/s] and [FLOP/s]."""

    bandwidth: float
    rate: float


class Roofline(NamedTuple):
    """A bound on the time [s] from traffic and operations; `limit` is "memory" or "compute"; `ridge` [FLOP/byte]."""

    seconds: float
    limit: str
    intensity: float
    ridge: float


@dataclass(eq=False)
class Cost:
    """What a program costs, and what its gradient does. Printed, it is a table.

    **Attributes:** `rows`: each equation's `Row`, in order, those of loops beneath the loop; `graph`: the program;
    `gradient`: the `Cost` of value and gradient together, None where nothing can be differentiated; `why_no_gradient`;
    `residual_bytes`: what the reverse pass keeps of the forward one, its arguments not counted.
    """

    name: str
    graph: Graph
    gradient: Cost | None = None
    residual_bytes: int | None = None
    why_no_gradient: str = ""
    rows: list[Row] = field(init=False)

    def __post_init__(self) -> None:
        self.rows = list(_rows(self.graph, 0, 1))

    @property
    def unknown(self) -> list[Row]:
        """The equations whose operations nobody can count before the program runs."""
        return [row for row in self.rows if row.unknown is not None]

    @property
    def flops(self) -> int:
        """FLOPs, two for a multiply-add; transcendentals are counted apart.

        **Raises:** `MissingRuleError` if an equation's cost is unknown: see `unknown`, and `known_flops` for the rest.
        """
        self._require_known()
        return self.known_flops

    @property
    def transcendentals(self) -> int:
        """Exponentials, logarithms, roots, sines and the like, one for each element.

        **Raises:** as `flops`.
        """
        self._require_known()
        return self.known_transcendentals

    @property
    def known_flops(self) -> int:
        """FLOPs of the equations that are known: a lower bound."""
        return sum(row.flops or 0 for row in self.rows)

    @property
    def known_transcendentals(self) -> int:
        """Transcendentals of the equations that are known: a lower bound."""
        return sum(row.transcendentals or 0 for row in self.rows)

    @property
    def bytes(self) -> int:
        """Bytes read and written if each equation ran by itself; XLA fuses many of them (`xla.bytes_accessed`)."""
        return sum(row.bytes for row in self.rows if not row.eqn.graphs)

    @property
    def argument_bytes(self) -> int:
        return _bytes(self.graph.in_avals)

    @property
    def output_bytes(self) -> int:
        return _bytes(self.graph.out_avals)

    @property
    def intensity(self) -> float:
        """Arithmetic intensity [FLOP/byte], equation by equation."""
        return (self.flops + self.transcendentals) / max(self.bytes, 1)

    @cached_property
    def peak_bytes(self) -> int:
        """The most memory alive at once, arguments and results included, in the order written and without fusion."""
        return _peak(self.graph)

    @property
    def ratio(self) -> float | None:
        """Operations of value and gradient over those of the value: theory promises 4 to 5 at most for reverse mode."""
        own = self.flops + self.transcendentals
        return None if self.gradient is None or not own else (self.gradient.flops + self.gradient.transcendentals) / own

    @cached_property
    def xla(self) -> XlaCost:
        """What XLA counts for the compiled program; the first look compiles it."""
        structs = [jax.ShapeDtypeStruct(v.shape, v.dtype) for v in self.graph.inputs]
        compiled = Executable(self.graph).jitted.lower(*structs).compile()
        counted = compiled.cost_analysis() or {}
        counted = counted[0] if isinstance(counted, list) else counted
        memory = compiled.memory_analysis()
        return XlaCost(
            counted.get("flops"),
            counted.get("transcendentals"),
            counted.get("bytes accessed"),
            getattr(memory, "argument_size_in_bytes", None),
            getattr(memory, "output_size_in_bytes", None),
            getattr(memory, "temp_size_in_bytes", None),
        )

    def roofline(self, device: Device | None = None) -> Roofline:
        """The least time the program can take on a device: its traffic at full bandwidth, its operations at full rate.

        **Arguments:** `device`: measured (`measure_device()`) unless given. The traffic is XLA's, where XLA says it.
        """
        device = measure_device() if device is None else device
        operations = self.flops + self.transcendentals
        traffic = self.xla.bytes_accessed or self.bytes
        by_memory, by_compute = traffic / device.bandwidth, operations / device.rate
        limit = "memory" if by_memory >= by_compute else "compute"
        return Roofline(max(by_memory, by_compute), limit, operations / max(traffic, 1), device.rate / device.bandwidth)

    def _require_known(self) -> None:
        for row in self.unknown:
            raise MissingRuleError(
                f"the cost of {self.name} is not known: {row.eqn.prim.name} has none ({row.unknown}). "
                "`known_flops` is the sum of the others, `unknown` lists what is missing."
            ).at(row.eqn.where)

    def __str__(self) -> str:
        return "\n".join(_table(self))

    def _repr_html_(self) -> str:
        return f"<pre>{str(self).replace('&', '&amp;').replace('<', '&lt;')}</pre>"


def cost(fun: Callable) -> Callable[..., Cost]:
    """A function of the same arguments that returns what `fun` costs there, and what its gradient does: a `Cost`.

    Counted are the equations that are compiled, after gradlab's passes and before XLA's; loops as often as they go
    round, a branch as the dearest of its alternatives. Nothing is run, and only `xla` and `roofline` compile.
    **Raises:** as `stage`. A cost that is not known is an error when it is asked for, never a zero.
    """
    require_function(fun, "cost")

    @wraps(fun)
    def costed(*args: Any, **kwargs: Any) -> Cost:
        staged = tidy(stage(fun)(*args, **kwargs))
        name = name_of(fun)
        own = Cost(name, finish(staged))
        try:
            graph, own.residual_bytes = _with_gradient(staged)
            own.gradient = Cost(f"value and gradient of {name}", finish(graph))
        except MissingRuleError as error:
            own.why_no_gradient = error.message
        return own

    return costed


def _with_gradient(graph: Graph) -> tuple[Graph, int]:
    """The program with its gradient for all real and complex inputs, and the bytes kept in between."""
    active = tuple([is_inexact(v.dtype) for v in graph.inputs])
    outputs = tuple([is_inexact(a.dtype) for a in graph.outputs])
    if not any(active) or not any(outputs):
        raise MissingRuleError("it maps no real or complex numbers to such")
    program = vjp_program(graph, active, outputs)
    (backward,) = program.parts
    n = len(graph.outputs)
    primal = program.graph
    residuals = primal.outputs[n:]
    kept = {a for a in residuals if isinstance(a, Var)} - set(primal.inputs)
    size = _bytes([v.aval for v in kept])
    if n == 1 and not graph.outputs[0].aval.shape and graph.outputs[0].dtype.kind != "c":
        return value_and_grad_program(graph, active, True, False).graph, size
    fresh = [Var(v.aval, v.name) for v in backward.graph.inputs[len(residuals) :]]
    eqns, cts = chained(primal, backward.graph, [*residuals, *fresh])
    return tidy(Graph([*primal.inputs, *fresh], eqns, [*primal.outputs[:n], *cts])), size


def _bytes(avals: Sequence[Aval]) -> int:
    return sum(aval.size * aval.dtype.itemsize for aval in avals)


def _rows(graph: Graph, depth: int, times: int) -> Iterator[Row]:
    for eqn in graph.eqns:
        traffic = times * _bytes([a.aval for a in (*eqn.inputs, *eqn.outputs) if not isinstance(a, Lit)])
        try:
            one = work(eqn)
        except MissingRuleError as error:
            yield Row(eqn, depth, times, None, None, traffic, error.message)
            continue
        yield Row(eqn, depth, times, times * one.flops, times * one.transcendentals, traffic)
        for inner, rounds in one.inside:
            yield from _rows(inner, depth + 1, times * rounds)


def _peak(graph: Graph) -> int:
    last: dict[Var, int] = {}
    for k, eqn in enumerate(graph.eqns):
        last.update({a: k for a in (*eqn.inputs, *eqn.outputs) if isinstance(a, Var)})
    forever = {*graph.inputs, *(a for a in graph.outputs if isinstance(a, Var))}
    alive = most = _bytes(graph.in_avals)
    ends: dict[int, list[Var]] = {}
    for v, k in last.items():
        if v not in forever:
            ends.setdefault(k, []).append(v)
    for k, eqn in enumerate(graph.eqns):
        alive += _bytes([v.aval for v in eqn.outputs])
        # What a loop needs for one turn is on top of what goes in and comes out.
        inside = max([_peak(g) - _bytes(g.in_avals) for _, g in eqn.graphs], default=0)
        most = max(most, alive + inside)
        alive -= _bytes([v.aval for v in ends.get(k, ())])
    return most


def measure_device(seconds: float = 0.2) -> Device:
    """What JAX's default device does: the bandwidth of adding 1 to a large array, the rate of a large float32 product.

    **Arguments:** `seconds`: how long each is tried, the best time counts.
    """
    n, m = 2**24, 1024
    x, a = jnp.zeros(n, jnp.float32), jnp.ones((m, m), jnp.float32)

    def best(call: Callable[[Any], Any], on: Any) -> float:
        run = jax.jit(call)
        run(on).block_until_ready()
        found, start = float("inf"), time.perf_counter()
        while time.perf_counter() - start < seconds or found == float("inf"):
            before = time.perf_counter()
            run(on).block_until_ready()
            found = min(found, time.perf_counter() - before)
        return found

    return Device(8 * n / best(lambda x: x + 1, x), 2 * m**3 / best(lambda a: a @ a, a))


# -- the table


def _table(cost: Cost) -> list[str]:
    bound = "≥ " if cost.unknown else ""
    lines = [
        f"{cost.name}: {bound}{_count(cost.known_flops)} FLOPs, {bound}{_count(cost.known_transcendentals)} "
        f"transcendentals, {_size(cost.bytes)} of traffic"
    ]
    if not cost.unknown:
        lines[0] += f" ({cost.intensity:.3g} FLOP/byte)"
    lines.append(
        f"  memory: {_size(cost.argument_bytes)} of arguments, {_size(cost.output_bytes)} of results, "
        f"{_size(cost.peak_bytes)} alive at most"
    )
    if cost.gradient is None and cost.why_no_gradient:
        lines.append(f"  no gradient: {cost.why_no_gradient}")
    if cost.gradient is not None:
        g = cost.gradient
        more = "" if cost.unknown or g.unknown or cost.ratio is None else f", {cost.ratio:.2f} times the value alone"
        lines.append(
            f"  with its gradient: {'≥ ' if g.unknown else ''}{_count(g.known_flops)} FLOPs, "
            f"{_count(g.known_transcendentals)} transcendentals{more}; "
            f"{_size(cost.residual_bytes or 0)} of residuals, {_size(g.peak_bytes)} alive at most"
        )
    if "xla" in vars(cost):
        x = cost.xla
        lines.append(
            f"  XLA counts {_count(x.flops)} FLOPs, {_count(x.transcendentals)} transcendentals, "
            f"{_size(x.bytes_accessed)} accessed, {_size(x.temporary_bytes)} of temporaries"
        )
    lines.append(f"  {'FLOPs':>9} {'transc.':>9} {'traffic':>9}  equation")
    for row in cost.rows[:SHOWN]:
        types = ", ".join(str(v.aval) for v in row.eqn.outputs)
        what = f"{'  ' * row.depth}{row.eqn.prim.name} -> {types}{f'  × {row.times}' if row.times > 1 else ''}"
        where = "" if row.eqn.where is None else f"  # line {row.eqn.where.lineno}: {row.eqn.where.text}"
        counts = ("?", "?") if row.unknown else (_count(row.flops), _count(row.transcendentals))
        lines.append(f"  {counts[0]:>9} {counts[1]:>9} {_size(row.bytes):>9}  {what}{where}")
    if len(cost.rows) > SHOWN:
        lines.append(f"  ... and {len(cost.rows) - SHOWN} more")
    return lines


def _count(n: float | None) -> str:
    if n is None:
        return "?"
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if n >= 10 * size:
            return f"{n / size:.4g} {unit}"
    return f"{n:.0f}"


def _size(n: float | None) -> str:
    if n is None:
        return "?"
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if n >= size:
            return f"{n / size:.3g} {unit}"
    return f"{n:.0f} B"
