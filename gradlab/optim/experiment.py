"""`experiment`: every method on every problem from every start, once; killed at any moment, it goes on where it was."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from ..api import jit, value_and_grad
from ..ir.errors import ArgumentError
from .methods import method_named
from .metrics import Bar
from .minimize import minimize
from .problems import Problem
from .report import Report
from .result import Result, Status
from .runs import OneRun, RunStore
from .solver import quick

_ERROR = "ERROR"


class _Entry(NamedTuple):
    """A method: `options` of `minimize`, or a `foreign` function; `said`: what of it goes into the hash."""

    label: str
    options: dict[str, Any]
    foreign: Callable | None
    said: Any


def experiment(
    problems: Any,
    methods: Any,
    seeds: int | Iterable[int] = 1,
    budget: int = 1000,
    *,
    path: str | os.PathLike = "experiment.sqlite",
    start: Callable[[Problem, int], Any] | None = None,
    gtol: float = 1e-6,
    trajectories: bool = True,
    progress: bool | None = None,
) -> Report:
    """Runs of each method on each problem from each seed's start, appended to one SQLite file, and their report.

    **Arguments:** `problems`: of `optim.problems`, or a dict name → (fun, x0) or (fun, x0, f_min). `methods`: names
    `minimize` knows, or a dict label → name, Optax transformation, dict of arguments of `minimize` (`{"method":
    "lbfgs", "options": ...}`), or a function (fun, x0) → anything, where fun(x) returns (f, ∇f) as NumPy's, counts,
    and ends the run when the budget is spent: `lambda fun, x0: scipy.optimize.minimize(fun, x0, jac=True)`.
    `seeds`: how many, or which. Seed 0 is the problem's own start, the others are normal around it, a tenth of
    max(1, ‖x0‖∞) wide; `start(problem, seed)` says otherwise. `budget`: evaluations of f with its gradient (products
    with Hessians are not counted). `path`: the file; a configuration (problem, start, method, budget, gtol) that is in
    it is not run again. `gtol`: as in `minimize`. `trajectories`: keep the way of the first seed for problems of two
    variables (one more run each).
    `progress`: a bar (None: on a terminal).
    **Returns:** `Report` of these runs: `.table()`, `.report(directory)`, or print it. All starts of a method on a
    problem run as one batch, and are timed on its second call. A run that raises is kept with status "ERROR", and tried
    again next time.
    **Raises:** `ArgumentError` before anything runs.
    """
    probs, entries = _problems(problems), _entries(methods)
    numbers = _seeds(seeds)
    if isinstance(budget, bool) or not isinstance(budget, int) or budget < 1:
        raise ArgumentError(f"budget must be a positive integer, evaluations of f, got {budget!r}.")
    store = RunStore(path)
    wanted: list[str] = []
    groups = []
    done = store.hashes()
    for problem in probs:
        starts = {seed: _start(problem, seed, start) for seed in numbers}
        for entry in entries:
            hashes = {seed: _hash(problem, starts[seed], entry, budget, gtol) for seed in numbers}
            wanted += hashes.values()
            missing = [seed for seed in numbers if done.get(hashes[seed], _ERROR) == _ERROR]
            if missing:
                groups.append((problem, entry, {seed: (hashes[seed], starts[seed]) for seed in missing}))
    bar = Bar(progress, len(groups), 0, unit="batch", what="experiment")
    try:
        for problem, entry, todo in groups:
            store.add(_batch(problem, entry, todo, budget, gtol, trajectories, numbers[0]))
            bar.advance(1, f"{entry.label} on {problem.name}")
    finally:
        bar.close()
    return Report(store.runs(wanted), [entry.label for entry in entries], [p.name for p in probs], _functions(probs))


# -- one method on one problem


def _batch(
    problem: Problem, entry: _Entry, todo: dict, budget: int, gtol: float, trajectories: bool, first: int
) -> list[OneRun]:
    f_min = problem.f_min
    shared: dict[str, Any] = {
        "problem": problem.name,
        "method": entry.label,
        "n": problem.n,
        "budget": budget,
        "config": {"method": entry.said, "gtol": gtol},
        "f_min": None if f_min is None else float(f_min),
        "minima": tuple(float(m) for m in problem.minima),
        "lanes": len(todo) if entry.foreign is None else 1,
    }
    try:
        starts = [x0 for _, x0 in todo.values()]
        follow = list(todo).index(first) if trajectories and problem.n == 2 and first in todo else None
        if entry.foreign is not None:
            found = _foreign(problem, entry.foreign, starts, budget, follow)
        else:
            found = _compiled(problem, entry.options, starts, budget, gtol)
            if follow is not None:
                found[follow]["path"] = _way(problem, entry.options, starts[follow], budget, gtol)
    except ArgumentError:
        raise
    except Exception as error:
        empty = np.zeros(0)
        failed = {
            "status": _ERROR, "message": f"{type(error).__name__}: {error}", "success": False, "f": np.nan,
            "gnorm": np.nan, "n_iters": 0, "n_evals": 0, "seconds": 0.0, "first_seconds": 0.0,
            "evals": empty, "fs": empty, "gnorms": empty, "x": empty,
        }  # fmt: skip
        found = [failed] * len(todo)
    return [
        OneRun(hash=key, seed=seed, **shared, **ended)
        for (seed, (key, _)), ended in zip(todo.items(), found, strict=True)
    ]


def _compiled(problem: Problem, options: dict, starts: Sequence[Any], budget: int, gtol: float) -> list[dict]:
    """All starts in one program: what became of each."""
    many = len(starts) > 1

    def solve(x0: Any) -> Result:
        return minimize(problem.fun, x0, history=True, **_limited(problem, options, budget, gtol))

    run = jax.jit(jax.vmap(solve), compiler_options=quick()) if many else solve
    x0 = jax.tree.map(lambda *leaves: jnp.stack(leaves), *starts) if many else starts[0]
    began = time.perf_counter()
    jax.block_until_ready(run(x0))
    first = time.perf_counter() - began
    began = time.perf_counter()
    result = jax.block_until_ready(run(x0))
    seconds = (time.perf_counter() - began) / len(starts)
    result = jax.tree.map(np.asarray, result)
    lanes = [jax.tree.map(lambda leaf, i=i: leaf[i], result) for i in range(len(starts))] if many else [result]
    return [_ended(lane) | {"seconds": seconds, "first_seconds": first} for lane in lanes]


def _limited(problem: Problem, options: dict, budget: int, gtol: float) -> dict:
    limits = {"gtol": gtol, "max_evals": budget, "max_iters": budget, "bounds": problem.bounds}
    return limits | options


def _ended(result: Result) -> dict[str, Any]:
    assert result.history is not None
    rows = int(result.n_iters) + 1
    return {
        "status": Status(int(result.code)).name,
        "message": result.message,
        "success": bool(result.success),
        "f": float(result.f),
        "gnorm": float(result.gnorm),
        "n_iters": int(result.n_iters),
        "n_evals": int(result.n_evals),
        "evals": np.asarray(result.history.n_evals[:rows], np.int64),
        "fs": np.asarray(result.history.f[:rows], np.float64),
        "gnorms": np.asarray(result.history.gnorm[:rows], np.float64),
        "x": _vector(result.x),
    }


def _way(problem: Problem, options: dict, x0: Any, budget: int, gtol: float) -> np.ndarray:
    """The points of each iteration, by a run that stops to look."""
    points = [_vector(x0)]

    def look(result: Result) -> bool:
        points.append(_vector(result.x))
        return False

    minimize(problem.fun, x0, callback=look, **_limited(problem, options, budget, gtol))
    return np.array(points)


class _Spent(Exception):
    """The budget is used up."""


class Counted:
    """What a foreign method is given: x ↦ (f, ∇f) for a vector x, counted, timed, and recorded.

    **Attributes:** `bounds`: (lower, upper), two vectors, or None.
    """

    def __init__(self, problem: Problem, x0: np.ndarray, both: Callable, budget: int):
        self._x0, self._both, self._budget = x0, both, budget
        self.fs: list[float] = []
        self.gnorms: list[float] = []
        self.way: list[np.ndarray] = []  # the points that were better than all before them
        self.bounds = None
        if problem.bounds is not None:
            lower, upper = problem.bounds
            self.bounds = _vector(lower), _vector(upper)

    def __call__(self, x: Any) -> tuple[float, np.ndarray]:
        if len(self.fs) >= self._budget:
            raise _Spent
        f, g = jax.device_get(self._both(jnp.asarray(x, self._x0.dtype)))
        f, g = float(f), np.asarray(g, np.float64)
        self.fs.append(f)
        self.gnorms.append(float(np.max(np.abs(g), initial=0)))
        if self.best is None or f < self.best[0] or np.isnan(self.best[0]):
            self.best = f, np.array(x, np.float64), self.gnorms[-1]
            self.way.append(self.best[1])
        return f, g

    best: tuple[float, np.ndarray, float] | None = None


def _foreign(problem: Problem, method: Callable, starts: Sequence[Any], budget: int, follow: int | None) -> list[dict]:
    """Each start by a method that is not ours; `follow`: which of them keeps its way."""
    _, unravel = ravel_pytree(starts[0])
    both = jit(value_and_grad(lambda x: problem.fun(unravel(x))))
    vectors = [np.asarray(ravel_pytree(x0)[0]) for x0 in starts]
    began = time.perf_counter()
    both(jnp.asarray(vectors[0]))
    compiling = time.perf_counter() - began
    ended = [_one_foreign(problem, method, x0, both, budget, i == follow) for i, x0 in enumerate(vectors)]
    return [one | {"first_seconds": compiling + ended[0]["seconds"]} for one in ended]


def _one_foreign(
    problem: Problem, method: Callable, x0: np.ndarray, both: Callable, budget: int, follow: bool
) -> dict[str, Any]:
    took = []
    for _ in range(2):  # the second time nothing is new to it
        counted, answer = Counted(problem, x0, both, budget), None
        began = time.perf_counter()
        try:
            answer = method(counted, x0.copy())
            status = "CONVERGED" if getattr(answer, "success", True) else "FAILED"
        except _Spent:
            status = Status.MAX_EVALS.name
        took.append(time.perf_counter() - began)
    if counted.best is None:
        raise ArgumentError("the method evaluated nothing: it must call the function it is given.")
    f, x, gnorm = counted.best
    return {
        "status": status,
        "message": str(getattr(answer, "message", "")),
        "success": status == "CONVERGED",
        "f": f,
        "gnorm": gnorm,
        "n_iters": int(getattr(answer, "nit", len(counted.fs))),
        "n_evals": len(counted.fs),
        "evals": np.arange(1, len(counted.fs) + 1),
        "fs": np.array(counted.fs),
        "gnorms": np.array(counted.gnorms),
        "x": x,
        "path": np.array(counted.way) if follow else None,
        "seconds": took[1],
    }


# -- what was asked for


def _problems(given: Any) -> list[Problem]:
    if isinstance(given, Problem):
        given = [given]
    if isinstance(given, Mapping):
        made = []
        for name, said in given.items():
            if isinstance(said, Problem):
                made.append(said)
            elif isinstance(said, tuple) and len(said) in (2, 3) and callable(said[0]):
                made.append(Problem(str(name), said[0], said[1], said[2] if len(said) == 3 else None, source=""))
            else:
                raise ArgumentError(f"problem {name!r} must be (fun, x0) or (fun, x0, f_min), got {said!r}.")
    else:
        made = list(given)
    for problem in made:
        if not isinstance(problem, Problem):
            raise ArgumentError(
                f"a problem must be one of optim.problems, or an entry name: (fun, x0) of a dict; got {problem!r}."
            )
    names = [problem.name for problem in made]
    if not made or len(set(names)) < len(names):
        raise ArgumentError(f"an experiment needs problems, each with a name of its own, got {names}.")
    return made


def _entries(given: Any) -> list[_Entry]:
    if isinstance(given, str):
        given = [given]
    if not isinstance(given, Mapping):
        names = list(given)
        for name in names:
            if not isinstance(name, str):
                raise ArgumentError(f"methods without a label must be names; put {name!r} into a dict label → method.")
        given = dict(zip(names, names, strict=True))
    if not given:
        raise ArgumentError("an experiment needs at least one method.")
    made = []
    for label, said in given.items():
        if isinstance(said, str | Mapping):
            options: dict[str, Any] = {"method": said} if isinstance(said, str) else dict(said)
            if isinstance(options.get("method", "lbfgs"), str):
                method_named(options.get("method", "lbfgs"), options.get("options"), bounded=False)
        if isinstance(said, str):
            made.append(_Entry(str(label), {"method": said}, None, said))
        elif isinstance(said, Mapping):
            made.append(
                _Entry(str(label), dict(said), None, {name: _said(value, str(label)) for name, value in said.items()})
            )
        elif isinstance(said, optax.GradientTransformation):
            # Two closures cannot be compared: the label stands for what is in them.
            made.append(_Entry(str(label), {"method": said}, None, f"optax: {label}"))
        elif callable(said):
            made.append(_Entry(str(label), {}, said, f"function: {label}"))
        else:
            raise ArgumentError(f"method {label!r} must be a name, an Optax transformation, a dict or a function.")
    return made


def _said(value: Any, label: str) -> Any:
    """What tells a setting from others, in the next process too: itself if it is plain, else its label."""
    if isinstance(value, str | int | float | None):
        return value
    if isinstance(value, Mapping):
        return {str(name): _said(part, label) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return [_said(part, label) for part in value]
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        return [str(value.dtype), np.asarray(value).tolist()]
    return f"{type(value).__name__}: {label}"


def _seeds(seeds: int | Iterable[int]) -> list[int]:
    if isinstance(seeds, int | np.integer) and not isinstance(seeds, bool):
        numbers = list(range(seeds))
    else:
        numbers = [int(seed) for seed in seeds]  # type: ignore[union-attr]
    if not numbers or len(set(numbers)) < len(numbers):
        raise ArgumentError(f"seeds must be how many, or distinct integers, got {seeds!r}.")
    return numbers


def _start(problem: Problem, seed: int, start: Callable | None) -> Any:
    if start is not None:
        return jax.tree.map(jnp.asarray, start(problem, seed))
    leaves, tree = jax.tree.flatten(jax.tree.map(np.asarray, problem.x0))
    if seed:
        draw = np.random.default_rng([seed, *problem.name.encode()])
        width = 0.1 * max([1.0, *(float(np.max(np.abs(leaf), initial=0)) for leaf in leaves)])
        leaves = [leaf + (width * draw.normal(size=leaf.shape)).astype(leaf.dtype) for leaf in leaves]
    return jax.tree.unflatten(tree, [jnp.asarray(leaf) for leaf in leaves])


def _hash(problem: Problem, x0: Any, entry: _Entry, budget: int, gtol: float) -> str:
    leaves, tree = jax.tree.flatten(x0)
    arrays = [(leaf.shape, str(leaf.dtype), np.asarray(leaf).tobytes().hex()) for leaf in leaves]
    bounds = None if problem.bounds is None else [_vector(bound).tolist() for bound in problem.bounds]
    said = [problem.name, problem.f_min, bounds, str(tree), arrays, entry.label, entry.said, budget, gtol]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _vector(tree: Any) -> np.ndarray:
    leaves = [np.ravel(np.asarray(leaf)) for leaf in jax.tree.leaves(tree)]
    return np.concatenate(leaves) if leaves else np.zeros(0)


def _functions(problems: Sequence[Problem]) -> dict[str, Callable]:
    """Of two variables in one vector: the ones whose contours can be drawn."""
    return {problem.name: problem.fun for problem in problems if np.shape(problem.x0) == (2,)}
