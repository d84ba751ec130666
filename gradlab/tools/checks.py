"""Is the derivative right? Forward mode against differences, reverse mode against forward, a Hessian against itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from ..api.arguments import Call, Selection, avals_to_differentiate, leaf_paths, name_of
from ..api.calling import Reading
from ..api.results import Results
from ..ir.errors import ArgumentError, DerivativeError, StructureError
from ..ir.graph import Graph, is_inexact
from ..passes.pipeline import tidy
from ..trace.avals import is_key_dtype
from .departure import Departure, dot_products, first_departure, first_mistransposed, seed
from .numeric import Estimate
from .probes import Probe, Verdict
from .reading import opened
from .settle import Slope

MODES = ("fwd", "rev")
_WIDER = (
    ", or check in double precision, where differences keep more digits: "
    "jax.config.update('jax_enable_x64', True), and arguments in float64."
)
SEPARATE = 16  # so many arguments are probed one by one, more of them together


def check_grads(f: Callable, args: Sequence[Any], order: int = 2, modes: Sequence[str] = MODES) -> None:
    """Nothing, if the derivatives of `f` at `args` are those of its values; an error that says where they part, if not.

    "fwd": the jvp in random directions against Richardson's differences. "rev": the vjp against the jvp (against the
    differences, if "fwd" is not asked for) by ⟨ct, J t⟩ = ⟨Jᵀ ct, t⟩. From order 2 on the same for the derivative as a
    function, and ⟨w, H v⟩ = ⟨v, H w⟩. Tolerances follow from the coarsest dtype in the program and the size of what is
    compared: in float64 a rule that is wrong by 1e-8 of the result is found, in float32 one by 1e-2. What a few
    differences contradict is looked at by steps of all lengths (a program in float32, in float64) before it is called
    wrong; where these give no one slope, as of sin(1e18 x), the error says that it cannot be decided.

    **Arguments:** `f`: numbers and arrays to a pytree of them; it is read once, at `args`, a list or tuple of pytrees
    (its branches are those taken there). `order`: how often it is differentiated.
    **Raises:** `DerivativeError`, an AssertionError: the argument and the result by name and index, both numbers, and
    the first equation at fault with the user's line. `ArgumentError`, `StructureError`, `DTypeError`.
    """
    __tracebackhide__ = True
    if order < 1 or not modes or not set(modes) <= set(MODES):
        raise ArgumentError(f'check_grads needs order ≥ 1 and modes out of "fwd", "rev"; got {order!r} and {modes!r}.')
    if not isinstance(args, tuple | list):
        raise StructureError(f"check_grads needs the arguments as a list or tuple, got {args!r}. Write ({args!r},).")
    with jax.default_matmul_precision("highest"):  # products of float32 on a GPU have float32's rounding then
        _check(_probe(f, tuple(args)), order, tuple(modes), np.random.default_rng(0))


def _probe(f: Callable, args: tuple) -> Probe:
    f, args, _ = opened(f, args, {})
    call = Call(Selection(f, tuple(range(len(args))), None, "check_grads"), args, {})
    avals = avals_to_differentiate(call, "check_grads", allow_int=True)
    reading = Reading(call, call.leaves, avals, names=call.input_names, fun=f)
    results = Results(reading, f)
    graph, inputs = reading.end()
    values = [
        x if is_key_dtype(getattr(x, "dtype", None)) else np.asarray(x, v.dtype)
        for x, v in zip(inputs, graph.inputs, strict=True)
    ]
    moves = [is_inexact(aval.dtype) for aval in avals]
    active = [*moves, *[False] * (len(inputs) - len(moves))]
    if not any(active):
        raise StructureError(f"check_grads found no real or complex number among the arguments of {name_of(f)}.")
    names = [call.leaf_name(k) for k in range(len(moves))] + ["a value closed over"] * (len(inputs) - len(moves))
    paths = [f"the result{path}" for path in leaf_paths(results.tree)]
    probe = Probe(tidy(graph), values, active, names, paths, name_of(f))
    for y, path in zip(probe.values(), paths, strict=True):
        if is_inexact(y.dtype) and not np.isfinite(y).all():
            place = _place(path, y, int(np.argmin(np.isfinite(y).reshape(-1))))
            raise DerivativeError(
                f"{name_of(f)} is not finite at these arguments, so it has no derivative there to check: {place}. "
                "Choose a point inside its domain."
            )
    return probe


def _check(probe: Probe, order: int, modes: tuple[str, ...], rng: np.random.Generator) -> None:
    __tracebackhide__ = True
    if "fwd" in modes:
        for along in _directions(probe, rng):
            _forward(probe, along)
    if "rev" in modes:
        _reverse(probe, rng, by_jvp="fwd" in modes)
    if order == 1:
        return
    if "fwd" in modes:
        _check(_jvp_of(probe, rng), order - 1, modes, rng)
    if "rev" in modes:
        gradient = _vjp_of(probe, rng)
        if gradient is not None:
            _symmetric(gradient, rng, by_jvp="fwd" in modes)
            _check(gradient, order - 1, modes, rng)


def _directions(probe: Probe, rng: np.random.Generator) -> list[list[np.ndarray]]:
    along = probe.directions(rng)
    n = len(along)
    if n > SEPARATE:
        return [along]
    return [[d if i == k else np.zeros_like(d) for i, d in enumerate(along)] for k in range(n)]


# -- forward


def _forward(probe: Probe, along: Sequence[np.ndarray]) -> None:
    """The jvp along a direction against differences."""
    __tracebackhide__ = True
    verdicts = probe.verdicts(along, closely=False)
    if all(v.judged and not v.wrong for v in verdicts.values()):
        return
    # A step that leaves the domain says nothing: let each number move by a part of itself only.
    other = probe.directions(np.random.default_rng(2), relative=True)
    along = [np.where(d != 0, e, 0).astype(d.dtype) for d, e in zip(along, other, strict=True)]
    verdicts, closely = probe.verdicts(along, closely=False), probe.verdicts(along)
    wrong = [i for i, v in closely.items() if v.wrong]
    if wrong:
        raise _disagrees(probe, along, lambda d: _worst(probe.verdicts(d), wrong))
    blind = [i for i, v in closely.items() if not v.judged]
    if blind and (len(blind) == len(verdicts) or any(verdicts[i].wrong for i in blind)):
        k = next((i for i in blind if verdicts[i].wrong), blind[0])
        place = _place(probe.results[k], probe.values()[k], closely[k].index)
        raise _undecided(
            probe,
            f"for {place} along a random direction, the jvp is {closely[k].got:.6g}, and differences by steps of all "
            f"lengths give no one slope ({closely[k].wanted:.6g} ± {closely[k].error:.1g})",
        )


def _undecided(probe: Probe, why: str) -> DerivativeError:
    narrow = probe.unit > 1e-10 and probe.wide is None
    dtype = "float64" if not narrow else next(np.asarray(probe.inputs[k]).dtype for k in probe.moving)
    return DerivativeError(
        f"whether the derivative of {probe.label} is right cannot be decided in {dtype} at these arguments: {why}. "
        "There is a jump, a pole or noise, or it oscillates within the shortest step. Choose another point"
        + (_WIDER if narrow else ".")
    )


def _worst(verdicts: dict[int, Verdict], among: Sequence[int]) -> tuple[int, Verdict] | None:
    return next(((i, verdicts[i]) for i in among if verdicts[i].wrong), None)


def _disagrees(probe: Probe, along: Sequence[Any], judge: Callable) -> DerivativeError:
    """The error for a jvp that is not what differences say, narrowed to one number of one argument."""
    k, i, along = _narrowed(probe, along, lambda d: judge(d) is not None)
    found = judge(along)
    assert found is not None
    result, verdict = found
    y = probe.values()[result]
    argument = _place(probe.names[probe.moving[k]], probe.inputs[probe.moving[k]], i)
    moved = 1.0 if i is None else along[k].reshape(-1)[i]  # a direction of one number is a partial derivative
    text = (
        f"the jvp of {probe.label} is not the slope of its values.\n"
        f"  argument:    {argument}\n"
        f"  result:      {_place(probe.results[result], y, verdict.index)}\n"
        f"  {'jvp:        ' if i is None else 'derivative: '} {verdict.got / moved}\n"
        f"  differences: {verdict.wanted / moved} ± {verdict.error / abs(moved):.1g}"
    )
    text += _kink(probe, along, result, verdict, moved)
    return _located(text, first_departure(probe, along))


def _kink(probe: Probe, along: Sequence[Any], result: int, verdict: Verdict, moved: Any) -> str:
    """A word more where the slopes of the two sides differ: then no derivative is right."""
    h = 1e3 * probe.unit ** (1 / 2)
    here, ahead, behind = (
        np.asarray(probe.values(probe.moved(along, t))[result]).reshape(-1)[verdict.index] for t in (0.0, h, -h)
    )
    right, left = (ahead - here) / h / moved, (here - behind) / h / moved
    if np.real(moved) < 0:
        left, right = right, left
    if abs(right - left) <= 0.05 * max(abs(right), abs(left)):
        return ""
    return (
        f"\n  The slopes to the left and to the right are {left:.4g} and {right:.4g}: there is a kink, move the point."
    )


def _narrowed(
    probe: Probe, along: Sequence[Any], fails: Callable[[Sequence[Any]], bool]
) -> tuple[int, int | None, Any]:
    """The argument and the index that are enough to fail, and a direction there: found by halving."""
    only = [[d if j == k else np.zeros_like(d) for j, d in enumerate(along)] for k in range(len(along))]
    k = next((k for k in range(len(along)) if np.any(along[k] != 0) and fails(only[k])), None)
    if k is None:
        return max(range(len(along)), key=lambda k: bool(np.any(along[k]))), None, along
    along = only[k]
    indices = np.flatnonzero(along[k].reshape(-1))
    while len(indices) > 1:
        for half in (indices[: len(indices) // 2], indices[len(indices) // 2 :]):
            part = np.zeros_like(along[k])
            part.reshape(-1)[half] = along[k].reshape(-1)[half]
            tried = [part if j == k else d for j, d in enumerate(along)]
            if fails(tried):
                indices, along = half, tried
                break
        else:
            return k, None, along
    return k, int(indices[0]), along


# -- reverse


def _reverse(probe: Probe, rng: np.random.Generator, by_jvp: bool) -> None:
    """⟨ct, J t⟩ = ⟨Jᵀ ct, t⟩ along random directions, one argument after the other."""
    __tracebackhide__ = True
    cts = [seed(rng, y) for y in probe.values()]
    cts = [ct if is_inexact(ct.dtype) else np.zeros_like(ct) for ct in cts]
    pulled = probe.vjp(cts)

    def products(along: Sequence[Any]) -> tuple[float, float, bool]:
        if by_jvp:
            return dot_products(cts, probe.jvp(along), pulled, along, probe.unit)
        moved, slack = _weighed(cts, probe.differences(along), probe.unit)
        found = dot_products(cts, moved, pulled, along, probe.unit, slack)
        if found[2]:
            return found
        moved, slack = _weighed(cts, probe.slopes(along), probe.unit)
        if not np.isfinite(slack):
            raise _undecided(probe, "differences by steps of all lengths give no one slope")
        return dot_products(cts, moved, pulled, along, probe.unit, slack)

    for along in _directions(probe, rng):
        if products(along)[2]:
            continue
        k, i, along = _narrowed(probe, along, lambda d: not products(d)[2])
        left, right, _ = products(along)
        size = 1.0 if i is None or np.iscomplexobj(along[k]) else along[k].reshape(-1)[i]
        how = "jvp" if by_jvp else "differences"
        text = (
            f"the vjp of {probe.label} is not the transpose of its {how}.\n"
            f"  argument:    {_place(probe.names[probe.moving[k]], probe.inputs[probe.moving[k]], i)}\n"
            f"  vjp:         {right / size}\n"
            f"  {how + ':':<12} {left / size}\n"
            "  (derivatives of a random combination of the results)"
        )
        fault = first_mistransposed(probe) if by_jvp else first_departure(probe, along)
        raise _located(text, fault)


def _weighed(cts: Sequence[Any], found: Sequence[Estimate | Slope], u: float) -> tuple[list[Any], float]:
    """J t by differences, and how far ⟨ct, J t⟩ may be off on their account."""
    slack = sum(float(np.sum(np.abs(ct) * 10 * d.error)) for ct, d in zip(cts, found, strict=True))
    scale = sum(float(np.sum(np.abs(ct * d.value))) for ct, d in zip(cts, found, strict=True))
    return [d.value for d in found], slack + 100 * u ** (2 / 3) * scale


# -- higher orders


def _jvp_of(probe: Probe, rng: np.random.Generator) -> Probe:
    """The jvp along a fixed direction as a program of the same arguments."""
    both, alive = probe.forward
    n = len(probe.graph.outputs)
    along = probe.directions(rng, relative=True)
    names = [f"the tangent of {probe.names[k]}" for k in probe.moving]
    results = [f"the tangent of {name}" for name, on in zip(probe.results, alive, strict=True) if on]
    graph = Graph(both.inputs, both.eqns, both.outputs[n:])
    active = [*probe.active, *[False] * len(along)]
    return Probe(
        tidy(graph), [*probe.inputs, *along], active, [*probe.names, *names], results, f"the jvp of {probe.label}"
    )


def _vjp_of(probe: Probe, rng: np.random.Generator) -> Probe | None:
    """The gradient of a fixed combination of the results as a program of the same arguments; None if it is zero."""
    graph, seeded, alive = probe.reverse
    if not any(alive):
        return None
    cts = [seed(rng, y) for y, on in zip(probe.values(), seeded, strict=True) if on]
    results = [f"the gradient for {probe.names[k]}" for k, on in zip(probe.moving, alive, strict=True) if on]
    active = [*probe.active, *[False] * len(cts)]
    names = [*probe.names, *["a cotangent"] * len(cts)]
    return Probe(graph, [*probe.inputs, *cts], active, names, results, f"the vjp of {probe.label}")


def _symmetric(gradient: Probe, rng: np.random.Generator, by_jvp: bool) -> None:
    """⟨w, H v⟩ = ⟨v, H w⟩ for the Jacobian H of a gradient."""
    __tracebackhide__ = True
    if not by_jvp or len(gradient.results) != len(gradient.moving):
        return
    v, w = gradient.directions(rng), gradient.directions(rng)
    if any(np.iscomplexobj(x) for x in v):
        return  # conventions put conjugates in between
    left, right, same = dot_products(w, gradient.jvp(v), gradient.jvp(w), v, gradient.unit)
    if not same:
        text = f"the Hessian by {gradient.label} is not symmetric: ⟨w, H v⟩ is {left}, ⟨v, H w⟩ is {right}."
        raise _located(text, first_departure(gradient, v))


# -- words


def _place(name: str, x: Any, i: int | None) -> str:
    """`params['w'][1, 2] = 0.3`."""
    x = np.asarray(x)
    if i is None:
        return f"{name} ({x.dtype}{list(x.shape)})"
    index = ", ".join(str(int(j)) for j in np.unravel_index(i, x.shape)) if x.shape else ""
    return f"{name}{f'[{index}]' if index else ''} = {x.reshape(-1)[i]}"


def _located(text: str, fault: Departure | None) -> DerivativeError:
    if fault is None:
        return DerivativeError(f"{text}\n  No single equation shows it at this point.")
    return DerivativeError(f"{text}\n  {fault}").at(fault.where)
