"""`jit(f, branches="specialize")`: one compiled program for each way Python's `if` and `while` went.

A program is read on the concrete arguments of a call. Each value that Python asked for is a guard: one more result of
the program, which says whether it is the right one for other arguments too. If not, another one is tried that agrees
with all guards so far, and the function is read again where there is none. A result counts only if all guards hold.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial, wraps
from typing import Any

import jax
import numpy as np

from ..control.guarding import guarded
from ..control.reroll import ROLLING, rerolling
from ..control.stacks import stacks_of
from ..ir.errors import ArgumentError, ConcretizationError
from ..ir.graph import Var
from ..lower.compile import Executable
from ..passes.pipeline import tidy
from ..trace.asking import Asked, Asking, in_bytes
from ..trace.avals import aval_of, is_jax_tracer
from ..trace.builder import AMBIENT, Builder, innermost
from .arguments import call_names, name_of, parameters, tree_flatten, tree_unflatten
from .calling import BUILDERS, Reading
from .results import Results

Path = tuple[bytes, ...]  # the answers to all that Python asked, in order


class _OtherSignature(Exception):
    """Raised under jax.jit by a program that was read for arguments of other types."""


def specialized(fun: Callable, plain: Callable, limit: int, reroll: bool, options: dict[str, Any]) -> Callable:
    """A compiled `fun` whose Python control flow follows the values of its arguments.

    **Arguments:** `plain`: what to call under a trace of JAX's own, where there are no values. `limit`: how many
    programs one combination of the arguments' types may have. `options`: those of `jax.jit`.
    """
    if limit < 1:
        raise ArgumentError(f"jit needs room for at least one specialization, got max_specializations={limit}.")
    donated = [name for name in options if name.startswith("donate")]
    if donated:
        raise ArgumentError(
            f'jit with branches="specialize" may run several programs on the same arguments, which {donated[0]} would '
            "have destroyed after the first. Leave it away, or write the branches with gradlab.cond and while_loop."
        )
    return _Specialized(fun, plain, limit, reroll, options).wrapped()


class _Arguments:
    """The arguments of a call: the arrays among them, and what else tells one program from another.

    **Attributes:** `leaves`: the arrays and numbers, `key`: their types and structure, and the static arguments.
    """

    __slots__ = ("_held", "_tree", "key", "leaves")

    def __init__(self, static: _Static, args: tuple, kwargs: dict):
        held = {i: args[i] for i in static.nums if i < len(args)}
        held |= {name: kwargs[name] for name in static.names if name in kwargs}
        moving = tuple([None if i in held else a for i, a in enumerate(args)]) if held else args
        named = {name: a for name, a in kwargs.items() if name not in held} if held else kwargs
        self.leaves, self._tree = tree_flatten((moving, named))
        self._held = held
        avals = tuple([aval_of(leaf) for leaf in self.leaves])
        self.key = (self._tree, avals, tuple([(k, type(v), v) for k, v in held.items()]))

    def names(self, fun: Callable) -> list[str]:
        """Identifiers for the leaves."""
        return call_names(fun, *tree_unflatten(self._tree, self.leaves))

    def call(self, fun: Callable, values: Sequence[Any]) -> Any:
        """The function's result with other leaves."""
        args, kwargs = tree_unflatten(self._tree, values)
        held = self._held
        if held:
            args = [held.get(i, a) for i, a in enumerate(args)]
            kwargs = kwargs | {name: v for name, v in held.items() if isinstance(name, str)}
        return fun(*args, **kwargs)


class _Static:
    """Which arguments are static: by position and, as in jax.jit, also by the name of that parameter."""

    def __init__(self, fun: Callable, options: dict[str, Any]):
        nums, names = options.get("static_argnums"), options.get("static_argnames")
        found = set((nums,) if isinstance(nums, int) else nums or ())
        self.names = set((names,) if isinstance(names, str) else names or ())
        positional = [name for name in parameters(fun) if _is_positional(fun, name)]
        self.nums = {i % len(positional) if i < 0 and positional else i for i in found}
        self.nums |= {positional.index(name) for name in self.names if name in positional}
        self.names |= {positional[i] for i in self.nums if i < len(positional)}


def _is_positional(fun: Callable, name: str) -> bool:
    parameter = inspect.signature(fun).parameters.get(name)
    return parameter is not None and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)


class Specialization:
    """One way through a function: its program, and the answers it was read on.

    **Attributes:** `compiled`: (the function's arguments) -> (its result, the answers found, as bytes of one array);
    `path`: the answers it needs, `expected` the same as one string.
    """

    def __init__(self, of: _Specialized, key: Any, reading: Reading, out_tree: Any):
        self.asked: list[Asked] = list(_asking(reading).asked)
        self.path: Path = tuple([guard.answer for guard in self.asked])
        self.expected = b"".join(self.path)
        self.key = key
        n = self.n_outs = len(reading.outs)
        for guard in self.asked:
            reading.take(guard.tracer)
        reading.builder.stacks = stacks_of(reading.builder)
        graph, captured = tidy(reading.graph()), reading.inputs()[len(reading.given) :]
        booleans = {
            v: guard.answer == b"\1"
            for v, guard in zip(graph.outputs[n:], self.asked, strict=True)
            if type(v) is Var and v.dtype == bool and not v.shape
        }
        graph = guarded(graph, booleans)
        executable = Executable(graph, name_of(of.fun))
        kinds = [guard.kind for guard in self.asked]

        @wraps(of.fun)
        def run(*args, **kwargs):
            given = _Arguments(of.static, args, kwargs)
            if given.key != key:
                raise _OtherSignature
            outs = executable.traced([*given.leaves, *captured])
            return tree_unflatten(out_tree, outs[:n]), in_bytes(outs[n:], kinds) if kinds else None

        options: dict[str, Any] = dict(of.options)
        if "out_shardings" in options:
            options["out_shardings"] = (options["out_shardings"], None)
        self.compiled = jax.jit(run, **options)

    def answers(self, found: bytes) -> Path:
        """The answers found, one by one."""
        path, start = [], 0
        for answer in self.path:
            path.append(found[start : start + len(answer)])
            start += len(answer)
        return tuple(path)

    def agreed(self, found: bytes) -> Path:
        """The answers found, up to and with the first that is not the one needed."""
        answers = self.answers(found)
        differs = next(k for k, (a, b) in enumerate(zip(answers, self.path, strict=True)) if a != b)
        return answers[: differs + 1]


def _asking(reading: Reading) -> Asking:
    builder = reading.builder
    assert isinstance(builder, Asking)
    return builder


def _found(packed: Any) -> bytes:
    return b"" if packed is None else np.asarray(packed).tobytes()


class _Specialized:
    """A function and its specializations, for each combination of the arguments' types those used last first."""

    def __init__(self, fun: Callable, plain: Callable, limit: int, reroll: bool, options: dict[str, Any]):
        self.fun, self.plain, self.limit, self.reroll, self.options = fun, plain, limit, reroll, options
        self.static = _Static(fun, options)
        self.known: dict[Any, list[Specialization]] = {}
        self.latest: Specialization | None = None  # of the only combination there is, if there is only one
        self.lock = threading.Lock()

    def wrapped(self) -> Callable:
        """The function the user calls."""

        @wraps(self.fun)
        def jitted(*args, **kwargs):
            latest = self.latest
            if latest is None or AMBIENT.stack:
                return self._called(args, kwargs)[0]
            try:
                out, packed = latest.compiled(*args, **kwargs)
                found = b"" if packed is None else np.asarray(packed).tobytes()
            except (_OtherSignature, TypeError):  # a TypeError: tracers, or a mistake that comes again below
                return self._called(args, kwargs)[0]
            return out if found == latest.expected else self._searched(args, kwargs, latest.key, latest, found)[0]

        def of_the_right_one(name: str) -> Callable:
            def ask(*args, **kwargs):
                one = self._called(args, kwargs)[1]
                found = getattr(self.plain if one is None else one.compiled, name)(*args, **kwargs)
                return found[0] if one is not None and name == "eval_shape" else found

            return ask

        for name in ("lower", "trace", "eval_shape"):
            setattr(jitted, name, of_the_right_one(name))
        setattr(jitted, "clear_cache", self._clear)  # noqa: B010
        return jitted

    def _clear(self) -> None:
        with self.lock:
            self.known, self.latest = {}, None

    def _called(self, args: tuple, kwargs: dict) -> tuple[Any, Specialization | None]:
        """The result, and the specialization that gave it, if one did."""
        leaves = tree_flatten((args, kwargs))[0]
        if AMBIENT.stack or innermost(leaves) is not None:
            return self.fun(*args, **kwargs), None
        if any(map(is_jax_tracer, leaves)):
            return self.plain(*args, **kwargs), None
        return self._searched(args, kwargs, _Arguments(self.static, args, kwargs).key)

    def _searched(
        self, args: tuple, kwargs: dict, key: Any, tried: Specialization | None = None, found: bytes = b""
    ) -> tuple[Any, Specialization | None]:
        """`_called`, for arguments of these types, after a wrong guess."""
        known = self.known.get(key, [])
        without, agreed = ([], ()) if tried is None else ([tried], tried.agreed(found))
        while True:
            one = next((s for s in list(known) if s not in without and s.path[: len(agreed)] == agreed), None)
            if one is None:
                return self._read_again(_Arguments(self.static, args, kwargs), args, kwargs)
            without.append(one)
            out, packed = one.compiled(*args, **kwargs)
            found = _found(packed)
            if found == one.expected:
                self._use(one)
                return out, one
            agreed = one.agreed(found)

    def _use(self, one: Specialization) -> None:
        with self.lock:
            known = self.known.get(one.key, [])
            self.known[one.key] = [one, *(s for s in known if s is not one)]
            self.latest = one if len(self.known) == 1 else None

    def _read_again(self, given: _Arguments, args: tuple, kwargs: dict) -> tuple[Any, Specialization | None]:
        """The result on a way not gone before, and its specialization.

        Python was answered by the parts of the program it asked about, and XLA may round the whole program otherwise.
        Then its own answers are tried; and where these are no more stable, the parts give the result too.
        """
        with self._reading(given) as (reading, out_tree):
            one = Specialization(self, given.key, reading, out_tree)
            known = self.known.get(given.key, [])
            if all(one.path != s.path for s in known):
                self._require_room(one, known)
                out, packed = one.compiled(*args, **kwargs)
                found = _found(packed)
                if found == one.expected:
                    self._use(one)
                    return out, one
                with self._reading(given, one.agreed(found)) as (again, its_tree):
                    two = Specialization(self, given.key, again, its_tree)
                out, packed = two.compiled(*args, **kwargs)
                if _found(packed) == two.expected:
                    self._use(two)
                    return out, two
            outs = [Builder.value_of(reading.builder, out, "a result") for out in reading.outs[: one.n_outs]]
            return tree_unflatten(out_tree, outs), None

    @contextmanager
    def _reading(self, given: _Arguments, answers: Path = ()) -> Iterator[tuple[Reading, Any]]:
        """The function read on values, its trace open; Python is given these answers first."""
        kept, BUILDERS.make = BUILDERS.make, partial(Asking, answers=answers)
        try:
            with rerolling(ROLLING.on and self.reroll):
                call = partial(given.call, self.fun)
                reading = Reading(call, given.leaves, names=lambda: given.names(self.fun), fun=self.fun)
                tree = Results(reading, self.fun).tree
                BUILDERS.make = kept
                yield reading, tree
        finally:
            BUILDERS.make = kept
        reading.builder.close()

    def _require_room(self, one: Specialization, known: Sequence[Specialization]) -> None:
        if len(known) < self.limit:
            return
        place, other = 0, known[0]
        for s in known:
            same = next((k for k, (a, b) in enumerate(zip(one.path, s.path, strict=False)) if a != b), 0)
            if same >= place:
                place, other = same, s
        raise ConcretizationError(
            f"{name_of(self.fun)} has been compiled for {len(known)} ways through its Python control flow "
            f"(max_specializations), and these arguments take another one: {one.asked[place]}\n"
            f"    where before {other.asked[place]}\n"
            "Write what depends on the value as a program (gradlab.cond, gradlab.while_loop, gradlab.numpy.where), or "
            "allow more with max_specializations=."
        )
