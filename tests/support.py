"""What a test of a primitive is: `check_primitive` puts one function through every transformation, in one compilation.

A table of cases per family and one parametrised test make a test file:

    CASES = {
        "sin": Case(sin, (X,), jnp.sin, elementwise=True),
        "reduce_sum": Case(lambda x: reduce_sum(x, axes=(1,)), (M,), lambda x: jnp.sum(x, 1)),
        "reduce_sum.empty": Case(lambda x: reduce_sum(x, axes=(0,)), (np.zeros((0, 3)),), lambda x: jnp.sum(x, 0)),
    }

    @pytest.mark.parametrize("name", CASES)
    def test_primitive(name):
        CASES[name].check()

A key is the primitive's name, then optionally a dot and what sets the case apart; `test_registry` collects the tables
called CASES of all tests/ops/test_*.py and finds the primitives nobody tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradlab.ir.check import check
from gradlab.ir.graph import Aval, Graph, is_inexact
from gradlab.lower.compile import Executable
from gradlab.ops.operands import fill, kind
from gradlab.passes.cse import cse
from gradlab.passes.dce import dce
from gradlab.passes.fold import fold
from gradlab.trace.stage import inline, trace_graph
from gradlab.transforms.batch import batch_graph
from gradlab.transforms.jvp import jvp_graph
from gradlab.transforms.linearize import linearize_graph
from gradlab.transforms.transpose import transpose_graph

BATCH = 4
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
PARTS = ("inputs", "eqns", "outputs")
STEP = 1e-3
VALUE_RTOL = {"float64": 1e-12, "float32": 2e-5, "float16": 4e-3, "bfloat16": 3e-2}
NARROW = {
    "float32": {"f": np.dtype("float32"), "c": np.dtype("complex64")},
    "float16": {"f": np.dtype("float16"), "c": np.dtype("complex64")},
    "bfloat16": {"f": np.dtype(jnp.bfloat16), "c": np.dtype("complex64")},
}


# -- graphs


def stage(fn: Callable[..., Any], args: Sequence[Any]) -> Graph:
    """The checked graph of `fn` (tracers in, a tracer, a literal or a tuple of them out) at the types of `args`."""

    def run(builder, *xs):
        ys = fn(*xs)
        return ys if isinstance(ys, tuple | list) else (ys,)

    return check(trace_graph(run, [Aval(np.shape(a), np.asarray(a).dtype) for a in args]))


def vjp_graph(graph: Graph, active: Sequence[bool]) -> tuple[Graph, tuple[bool, ...], tuple[bool, ...]]:
    """(x*) -> (y*) becomes (x*, ct_y*) -> (ct_x*): linearize, then transpose, each checked.

    **Returns:** the graph, which outputs have a cotangent, and which active inputs get one.
    """
    linearized = linearize_graph(graph, active)
    check(linearized.primal)
    check(linearized.linear)
    n_moving = len(linearized.linear.inputs) - linearized.n_residuals
    back, alive = transpose_graph(linearized.linear, [False] * linearized.n_residuals + [True] * n_moving)
    check(back)
    n, m = len(graph.inputs), len(graph.outputs)

    def run(builder, *args):
        outs = inline(linearized.primal, builder, args[:n])
        return inline(back, builder, [*outs[m:], *args[n:]])

    seeds = [a.aval for a, on in zip(graph.outputs, linearized.out_active, strict=True) if on]
    return check(trace_graph(run, [*graph.in_avals, *seeds])), linearized.out_active, alive


def fresh(graph: Graph) -> Graph:
    """The same graph in variables of its own."""
    return check(trace_graph(lambda builder, *xs: inline(graph, builder, xs), graph.in_avals))


class Programs:
    """Graphs and references under one `jax.jit`: XLA is started once a case. `run` gives all outputs by name.

    Programs not in `moving` are never given other inputs; those of them that read the same arrays share XLA's work.
    """

    def __init__(self, moving: Sequence[str] = ()) -> None:
        self.moving = moving
        self.graphs: dict[str, Graph] = {}
        self.references: dict[str, Callable[..., Any]] = {}
        self.inputs: dict[str, list[np.ndarray]] = {}
        self._jitted: Callable[..., dict[str, Any]] | None = None

    def add(self, name: str, graph: Graph, inputs: Sequence[Any]) -> None:
        assert len(inputs) == len(graph.inputs), f"{name}: {len(graph.inputs)} inputs, {len(inputs)} values"
        for v, x in zip(graph.inputs, inputs, strict=True):
            assert v.aval[:2] == (np.shape(x), np.asarray(x).dtype), f"{name}: {v} given {np.shape(x)}"
        self.graphs[name] = check(graph)
        self.inputs[name] = list(inputs)
        check(dce(cse(fold(graph))))

    def run(self, **changed: Sequence[Any]) -> dict[str, list[np.ndarray]]:
        """Every graph's outputs at its own inputs, or at those given for it here; and every reference's."""
        if self._jitted is None:
            self._jitted = self._compile()
        assert not changed.keys() - set(self.moving)
        given = dict(zip(self._slots(), self._values(self.inputs | changed), strict=True))
        return {name: [np.asarray(y) for y in ys] for name, ys in self._jitted(list(given.values())).items()}

    def _values(self, inputs: Mapping[str, Sequence[np.ndarray]]) -> list[np.ndarray]:
        return [x for name in (*self.graphs, *self.references) for x in inputs[name]]

    def _slots(self) -> list[Any]:
        """For each value in turn what tells it from the others: its array, or its place in a program that moves."""
        places = [(name, i) for name in (*self.graphs, *self.references) for i in range(len(self.inputs[name]))]
        return [
            place if place[0] in self.moving else id(x)
            for place, x in zip(places, self._values(self.inputs), strict=True)
        ]

    def _compile(self) -> Callable[..., dict[str, Any]]:
        # The graphs share no variable, so that laid end to end they are one graph.
        parts = [list(chain.from_iterable(getattr(g, part) for g in self.graphs.values())) for part in PARTS]
        fn = Executable(check(Graph(*parts))).fn
        slots = self._slots()
        n = sum(len(g.inputs) for g in self.graphs.values())

        def run(arrays):
            given = dict(zip(dict.fromkeys(slots), arrays, strict=True))
            values = iter([given[slot] for slot in slots])
            flat = iter(fn(*islice(values, n)))
            outs: dict[str, Any] = {name: [next(flat) for _ in g.outputs] for name, g in self.graphs.items()}
            for name, reference in self.references.items():
                want = reference(*islice(values, len(self.inputs[name])))
                outs[f"reference {name}"] = want if isinstance(want, tuple | list) else (want,)
            return outs

        return jax.jit(run, compiler_options=QUICK)


# -- numbers


def random_like(rng: np.random.Generator, aval: Any) -> np.ndarray:
    """Normal numbers of the shape and dtype of an inexact array or aval."""
    x = rng.normal(size=aval.shape)
    if aval.dtype.kind == "c":
        x = x + 1j * rng.normal(size=aval.shape)
    return np.asarray(x, aval.dtype)


def assert_close(got: Any, want: Any, rtol: float, what: str) -> None:
    """Same shape, and |got − want| ≤ rtol·(|want| + the largest finite |want|); NaN and inf in the same places."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape, f"{what}: shape {got.shape}, wanted {want.shape}"
    if kind(want.dtype) in "biu":
        np.testing.assert_array_equal(got, want, err_msg=what)
        return
    wide = np.dtype("complex128") if want.dtype.kind == "c" else np.dtype("float64")
    got, want = got.astype(wide), want.astype(wide)
    finite = np.abs(want[np.isfinite(want)])
    atol = rtol * float(finite.max(initial=0.0)) + np.finfo(float).tiny
    np.testing.assert_allclose(got, want, rtol=rtol, atol=atol, err_msg=what)


def _pairing(cts: Sequence[np.ndarray], ts: Sequence[np.ndarray]) -> tuple[float, float]:
    """Re Σ ct·t, nothing conjugated (as JAX transposes), and Σ |ct·t|, the scale of its rounding."""
    products = [np.asarray(ct) * np.asarray(t) for ct, t in zip(cts, ts, strict=True)]
    return float(sum(np.sum(np.real(p)) for p in products)), float(sum(np.sum(np.abs(p)) for p in products))


def _narrowed(a: np.ndarray, width: str) -> np.ndarray:
    return a.astype(NARROW[width][kind(a.dtype)]) if kind(a.dtype) in "fc" else a


# -- the check


@dataclass(frozen=True)
class Case:
    """`check_primitive`'s arguments, as a row of a table."""

    fn: Callable[..., Any]
    args: tuple
    reference: Callable[..., Any] | None = None
    active: tuple[bool, ...] | None = None
    order: int = 2
    batch: bool | Sequence[tuple[int | None, ...]] = True
    elementwise: bool = False
    widths: tuple[str, ...] = ("float32", "float16", "bfloat16")
    vary: Callable[[np.ndarray, int], np.ndarray] | None = None
    rtol: float = 1e-6
    step: float = STEP

    def check(self) -> None:
        check_primitive(**self.__dict__)


def check_primitive(
    fn: Callable[..., Any],
    args: Sequence[Any],
    reference: Callable[..., Any] | None = None,
    *,
    active: Sequence[bool] | None = None,
    order: int = 2,
    batch: bool | Sequence[tuple[int | None, ...]] = True,
    elementwise: bool = False,
    widths: Sequence[str] = ("float32", "float16", "bfloat16"),
    vary: Callable[[np.ndarray, int], np.ndarray] | None = None,
    rtol: float = 1e-6,
    step: float = STEP,
) -> None:
    """Values, jvp, vjp, second order, batching, narrow dtypes and graph well-formedness of one function.

    * the value against `reference(*args)`, in float64 and in each of `widths`;
    * the jvp in a random direction against Richardson's central differences (a missing tangent counts as zero);
    * Re Σ ct·(J t) = Re Σ (Jᵀ ct)·t to rounding, for the function and, with `order` 2, for its jvp;
    * with `order` 2, the jvp of the jvp against differences of the jvp;
    * in float32, jvp and vjp have the right dtype and agree roughly with float64's;
    * `batch_graph` over many choices of axes, some operands unbatched, against one call a slice;
    * `check` of every graph made on the way, and of it after the passes.

    **Arguments:** `fn`: tracers to a tracer or a tuple of them, static parameters closed over. `args`: NumPy arrays in
    the *widest* dtypes (float64, complex128), at points where the function is smooth at distances up to 2·`step`.
    `reference`: the jax.numpy function of the same arguments; it is jitted too. `active`: which operands have tangents
    (default: the inexact ones). `order`: 0 no derivative, 1 first only, 2 both. `batch`: whether,
    or over which choices of axes (one or None an operand). `elementwise`: also try scalars,
    zero-size arrays, and a literal in place of each operand. `widths`: narrower dtypes to try. `vary(x, k)`: the k-th
    array of a batch, where rolling the elements of `x` by k places would leave the function's domain. `rtol`: for
    differences.
    """
    args = [np.asarray(a) for a in args]
    rng = np.random.default_rng(0)
    if active is None:
        active = [is_inexact(a.dtype) for a in args]
    active = [bool(a) and order > 0 for a in active]
    programs = Programs(moving=("value", "jvp of value"))
    programs.add("value", stage(fn, args), args)
    verify = [_against_reference(programs, "value", reference, VALUE_RTOL["float64"])]
    if any(active):
        jvp, first = _check_derivative(programs, "value", active, rng, rtol, step)
        verify.append(first)
        if order == 2:
            moving = [*active, *(True for on in active if on)]
            verify.append(_check_derivative(programs, jvp, moving, rng, rtol, step)[1])
    if batch:
        verify.append(_check_batching(programs, vary or _rolled, None if batch is True else batch))
    if any(is_inexact(a.dtype) for a in args):
        verify += [_check_width(programs, fn, active, reference, width) for width in widths]
    if elementwise:
        verify.append(_check_shapes(programs, fn, active, rng))
        verify.append(_check_literals(programs, fn))
    got = programs.run()
    for check_one in verify:
        check_one(got)


Verify = Callable[[dict[str, list[np.ndarray]]], None]


def _against_reference(programs: Programs, name: str, reference: Callable[..., Any] | None, rtol: float) -> Verify:
    """The program's outputs have the types it claims, and the reference's values."""
    if reference is not None:
        programs.references[name] = reference

    def verify(got):
        for aval, y in zip(programs.graphs[name].out_avals, got[name], strict=True):
            assert (y.shape, y.dtype) == aval[:2], f"infer says {aval}, the emitted program gave {y.dtype}{y.shape}"
        if reference is not None:
            for y, want in zip(got[name], got[f"reference {name}"], strict=True):
                assert y.dtype == want.dtype, f"{name} is {y.dtype}, the reference {want.dtype}"
                assert_close(y, want, rtol, name)

    return verify


def _check_derivative(
    programs: Programs, of: str, active: Sequence[bool], rng: np.random.Generator, rtol: float, step: float
) -> tuple[str, Verify]:
    """Adds the jvp and the vjp of the program `of`; returns the jvp's name and what to verify about both."""
    graph, args = programs.graphs[of], programs.inputs[of]
    along = [random_like(rng, a) for a, on in zip(args, active, strict=True) if on]
    forward, alive = jvp_graph(graph, active)
    jvp, vjp = f"jvp of {of}", f"vjp of {of}"
    programs.add(jvp, forward, [*args, *along])
    back, seeded, returned = vjp_graph(graph, active)
    cts = [random_like(rng, a) for a, on in zip(graph.out_avals, seeded, strict=True) if on]
    programs.add(vjp, back, [*args, *cts])

    def moved(h: float) -> list[np.ndarray]:
        steps = iter(along)
        return [a + h * next(steps) if on else a for a, on in zip(args, active, strict=True)]

    def verify(got):
        found = iter(got[jvp][len(graph.outputs) :])
        tangents = [next(found) if on else np.zeros(y.shape, y.dtype) for y, on in zip(got[of], alive, strict=True)]
        at = [programs.run(**{of: moved(h * step)})[of] for h in (-2, -1, 1, 2)]
        for t, *ys in zip(tangents, *at, strict=True):
            if is_inexact(t.dtype):
                quotient = (8 * (ys[2] - ys[1]) - (ys[3] - ys[0])) / (12 * step)
                assert t.dtype == quotient.dtype, f"{jvp}: {t.dtype}, wanted {quotient.dtype}"
                assert_close(t, quotient, rtol, f"{jvp} against differences")
        moving = [x for x, on in zip(along, returned, strict=True) if on]
        assert [(ct.shape, ct.dtype) for ct in got[vjp]] == [(x.shape, x.dtype) for x in moving]
        left, left_scale = _pairing(cts, [t for t, on in zip(tangents, seeded, strict=True) if on])
        right, right_scale = _pairing(got[vjp], moving)
        assert abs(left - right) <= 1e-12 * (left_scale + right_scale), f"{vjp}: <ct, J t> {left}, <Jt ct, t> {right}"

    return jvp, verify


def _rolled(x: np.ndarray, k: int) -> np.ndarray:
    return np.roll(x, k)


def _batch_choices(ndims: Sequence[int]) -> list[tuple[int | None, ...]]:
    """Every operand batched at the front, at the back, each one alone, and of three or more each one left out."""
    n = len(ndims)
    choices: list[tuple[int | None, ...]] = [(0,) * n, tuple(ndims)]
    for i in range(n if n > 1 else 0):
        choices.append(tuple(ndims[j] if j == i else None for j in range(n)))
        if n > 2:
            choices.append(tuple(None if j == i else min(1, ndims[j]) for j in range(n)))
    return list(dict.fromkeys(choices))


def _check_batching(programs: Programs, vary: Callable[[np.ndarray, int], np.ndarray], choices: Any) -> Verify:
    graph, args = programs.graphs["value"], programs.inputs["value"]
    expected = {}
    for dims in choices or _batch_choices([a.ndim for a in args]):
        name = f"batch {dims}"
        stacked = [
            a if d is None else np.stack([np.asarray(vary(a, k), a.dtype) for k in range(BATCH)], d)
            for a, d in zip(args, dims, strict=True)
        ]
        batched, out_dims = batch_graph(graph, dims, BATCH)
        programs.add(name, batched, stacked)
        expected[name] = (dims, out_dims)

    def verify(got):
        for name, (dims, out_dims) in expected.items():
            for k in range(BATCH):
                one = [a if d is None else np.asarray(vary(a, k), a.dtype) for a, d in zip(args, dims, strict=True)]
                want = programs.run(value=one)["value"]
                for y, w, d in zip(got[name], want, out_dims, strict=True):
                    assert_close(y if d is None else np.take(y, k, d), w, 1e-12, f"{name}, slice {k}")

    return verify


def _check_width(programs: Programs, fn: Any, active: Sequence[bool], reference: Any, width: str) -> Verify:
    args = programs.inputs["value"]
    narrow = [_narrowed(a, width) for a in args]
    graph = stage(fn, narrow)
    programs.add(width, graph, narrow)
    derivatives = {}
    if width == "float32" and any(active):
        for name, derived in (("jvp of value", jvp_graph(graph, active)), ("vjp of value", vjp_graph(graph, active))):
            avals = derived[0].in_avals[len(args) :]
            extra = programs.inputs[name][len(args) :]
            programs.add(
                f"narrow {name}",
                derived[0],
                [*narrow, *(np.asarray(x, a.dtype) for x, a in zip(extra, avals, strict=True))],
            )
            derivatives[f"narrow {name}"] = name

    against = _against_reference(programs, width, reference, VALUE_RTOL[width])

    def verify(got):
        against(got)
        for narrow_name, wide_name in derivatives.items():
            avals = programs.graphs[narrow_name].out_avals
            for y, want, aval in zip(got[narrow_name], got[wide_name], avals, strict=True):
                assert y.dtype == aval.dtype, f"{narrow_name}: infer says {aval}, the emitted program gave {y.dtype}"
                assert_close(y.astype(want.dtype), want, 2e-3, narrow_name)

    return verify


def _check_shapes(programs: Programs, fn: Any, active: Sequence[bool], rng: np.random.Generator) -> Verify:
    """Scalars and empty arrays go through value, jvp and vjp, and keep their shapes."""
    args = programs.inputs["value"]
    names = []
    for what, taken in (("scalar", [a.reshape(-1)[0] for a in args]), ("empty", [a.reshape(-1)[:0] for a in args])):
        graph = stage(fn, taken)
        if not any(active):
            programs.add(f"{what} value", graph, taken)
            names.append(f"{what} value")
            continue
        extra = [random_like(rng, a) for a, on in zip(taken, active, strict=True) if on]
        programs.add(f"{what} jvp", jvp_graph(graph, active)[0], [*taken, *extra])
        back, seeded, _ = vjp_graph(graph, active)
        cts = [random_like(rng, a) for a, on in zip(graph.out_avals, seeded, strict=True) if on]
        programs.add(f"{what} vjp", back, [*taken, *cts])
        names += [f"{what} jvp", f"{what} vjp"]

    def verify(got):
        for y, scalar in zip(got["value"], got[names[0]], strict=False):
            assert_close(scalar, y.reshape(-1)[0], 1e-12, "a scalar's value")
        for name in names:
            for y, aval in zip(got[name], programs.graphs[name].out_avals, strict=True):
                assert (y.shape, y.dtype) == aval[:2], f"{name}: infer says {aval}, got {y.dtype}{y.shape}"

    return verify


def _check_literals(programs: Programs, fn: Any) -> Verify:
    """A literal in place of each operand, and of all of them, changes neither value nor dtype."""
    args = programs.inputs["value"]
    if not args[0].size:
        return lambda got: None
    filled = [np.full(a.shape, a.reshape(-1)[0]) for a in args]
    n = len(args)
    masks = {tuple(i == j for j in range(n)) for i in range(n)} | {(True,) * n}
    expected, names = {}, {}
    for mask in masks:
        kept = [a for a, m in zip(args, mask, strict=True) if not m]

        def run(*xs, mask=mask):
            rest = iter(xs)
            lits = [fill(f.reshape(-1)[0].item(), Aval(f.shape, f.dtype)) for f in filled]
            return fn(*(lit if m else next(rest) for lit, m in zip(lits, mask, strict=True)))

        graph = stage(run, kept)
        programs.add(f"literal {mask}", graph, kept)
        folded = fold(graph)
        names[f"literal {mask}"] = mask
        if folded is not graph:
            programs.add(f"folded literal {mask}", fresh(folded), kept)
            names[f"folded literal {mask}"] = mask
        expected[mask] = [f if m else a for f, a, m in zip(filled, args, mask, strict=True)]

    def verify(got):
        wanted = {mask: programs.run(value=full)["value"] for mask, full in expected.items()}
        for name, mask in names.items():
            for y, w in zip(got[name], wanted[mask], strict=True):
                assert y.dtype == w.dtype, f"{name}: {y.dtype}, wanted {w.dtype}"
                assert_close(y, w, 1e-12, name)

    return verify


def derivative(fn: Callable[..., Any], at: Sequence[Any]) -> list[np.ndarray | None]:
    """Every operand's cotangent of `fn` at a point, for the cotangent 1; None where there is none."""
    args = [np.asarray(a) for a in at]
    graph = stage(fn, args)
    back, seeded, returned = vjp_graph(graph, [True] * len(args))
    programs = Programs()
    programs.add(
        "vjp", back, [*args, *(np.ones(a.shape, a.dtype) for a, s in zip(graph.out_avals, seeded, strict=True) if s)]
    )
    found = iter(programs.run()["vjp"])
    return [next(found) if on else None for on in returned]
