"""`GradientTape`: run first, ask for derivatives afterwards. Define-by-run, as TensorFlow's users know it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp

from .. import numpy as gnp
from ..api.arguments import tree_flatten, tree_unflatten
from ..api.calling import EXECUTABLES, Entry, run
from ..api.programs import Program, jacobian_program
from ..control.reroll import ROLLING
from ..ir.errors import (
    ArgumentError,
    DTypeError,
    GradlabError,
    HandedTracerError,
    ShapeError,
    StructureError,
    TapeError,
)
from ..ir.graph import Graph, Var, chained, is_inexact
from ..ops.operands import fill, zeros_like
from ..ops.reduce import reduce_sum
from ..passes.pipeline import tidy
from ..trace.avals import aval_of, is_jax_tracer
from ..trace.builder import AMBIENT, run_time
from ..trace.stage import inline, trace_graph
from ..trace.tracer import Tracer
from ..transforms.linearize import linearize_graph
from ..transforms.transpose import transpose_graph
from .recorder import Piece, Recorder
from .variable import Variable

_tokens = itertools.count(1)
NONE, ZEROS = "none", "zeros"
TRACER = f"{Tracer.__module__}.{Tracer.__name__}"


class GradientTape:
    """Records what is computed inside `with`, to differentiate it afterwards.

        x, y = gl.Variable(3.0), gl.Variable(4.0)
        with gl.GradientTape() as tape:
            f = x * x * y + y + 2
        tape.gradient(f, [x, y])        # [24.0, 10.0]

    Python runs as usual and values may be looked at at any time (`print(f)`, `float(f)`, `f.numpy()`): what is asked
    for is computed then. A derivative is one compiled program, of the graph between sources and target, kept in the
    cache of all derivatives. Operations are recorded if they are gradlab's (operators on tensors and variables,
    gradlab.numpy, plain NumPy functions); wrap a function written in jax.numpy with `gradlab.from_jax`.

    **Arguments:** `persistent`: whether more than one derivative may be asked for. `watch_accessed_variables`: whether
    trainable variables are watched as soon as they are read.
    """

    def __init__(self, persistent: bool = False, watch_accessed_variables: bool = True):
        self._persistent, self._automatic = persistent, watch_accessed_variables
        self._token = next(_tokens)
        self._recorder: Recorder | None = None
        self._used = False
        self._forget()

    def _forget(self) -> None:
        self._watched: dict[int, int] = {}  # number of a value -> the row from which on it is watched
        self._variables: dict[int, tuple[Variable, list[int]]] = {}  # id -> the variable and its values' numbers
        self._arrays: dict[int, tuple[Any, int]] = {}

    # -- recording

    def __enter__(self) -> GradientTape:
        if self._recording:
            raise TapeError("the tape is recording already. Use another GradientTape inside it.")
        if self._recorder is None:
            top = AMBIENT.stack[-1] if AMBIENT.stack else None
            self._recorder = top if isinstance(top, Recorder) else Recorder()
        self._start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self._recording:
            self._stop()
        if isinstance(error, TypeError | ValueError) and not isinstance(error, GradlabError) and TRACER in str(error):
            raise HandedTracerError(
                "a function of jax.numpy, or of another library, was handed a tape's tensor, which it cannot "
                "read. Write it with gradlab.numpy in place of jax.numpy, or call it through gradlab.from_jax(f)(x); "
                f"for its value alone, x.numpy(). It said: {error}"
            ) from error

    @property
    def _recording(self) -> bool:
        return self._recorder is not None and self._token in self._recorder.listening

    def _start(self) -> None:
        recorder = self._open()
        recorder.tapes[self._token] = self
        recorder.listen(recorder.listening | {self._token})

    def _stop(self) -> None:
        recorder = self._open()
        recorder.listen(recorder.listening - {self._token})
        recorder.tapes.pop(self._token, None)

    def _open(self) -> Recorder:
        if self._recorder is None:
            raise TapeError("the tape has recorded nothing yet. Compute inside `with tape:`.")
        return self._recorder

    def accessed(self, held: Any, number: int) -> None:
        """A variable was read while the tape was recording; called by the recorder."""
        if number not in self._watched and ((self._automatic and held.trainable) or id(held) in self._variables):
            self._note(held, number, 0)

    def _note(self, variable: Variable, number: int, since: int) -> None:
        self._watched[number] = since
        self._variables.setdefault(id(variable), (variable, []))[1].append(number)

    def watch(self, tensor: Any) -> Any:
        """`tensor` (a tensor, a variable, an array, or a pytree of them), watched from now on.

        **Returns:** the same as a tensor, or several. Compute with that: a plain array, or a tracer of a function that
        is being transformed, does not know of the tape, so what is done to it is not recorded.
        **Raises:** `TapeError` outside `with tape:`; `DTypeError` for integers.
        """
        if not self._recording:
            raise TapeError("watch is for a tape that is recording. Call it inside `with tape:`.")
        leaves, tree = tree_flatten(tensor)
        return tree_unflatten(tree, [self._watch(leaf) for leaf in leaves])

    def _watch(self, leaf: Any) -> Tracer:
        recorder = self._open()
        if not is_inexact(aval_of(leaf).dtype):
            raise DTypeError(f"a tape watches real and complex numbers, got {aval_of(leaf)}. Write x.astype(float).")
        if isinstance(leaf, Variable):
            tensor = recorder.read(leaf)
            if tensor.id not in self._watched:
                self._note(leaf, tensor.id, len(recorder.rows))
                recorder.renew()
            return tensor
        if type(leaf) is Tracer and leaf.builder is recorder and not recorder.is_literal(leaf.id):
            if leaf.id not in self._watched:
                self._watched[leaf.id] = len(recorder.rows)
                recorder.renew()
            return leaf
        number = recorder.source(
            leaf.numpy() if type(leaf) is Tracer and leaf.builder is recorder else leaf, aval_of(leaf)
        )
        self._watched[number] = 0
        self._arrays[id(leaf)] = (leaf, number)
        return recorder.tracer(number)

    @contextmanager
    def stop_recording(self) -> Iterator[None]:
        """A context in which nothing is recorded: what is computed there is a constant for the tape."""
        if not self._recording:
            raise TapeError("stop_recording is for a tape that is recording. Call it inside `with tape:`.")
        self._stop()
        try:
            yield
        finally:
            self._start()

    def reset(self) -> None:
        """Forget all that was recorded and watched, and start anew."""
        was = self._recording
        if was:
            self._stop()
        self._token = next(_tokens)
        self._used = False
        self._forget()
        if was:
            self._start()

    def watched_variables(self) -> tuple[Variable, ...]:
        """The variables watched so far, in the order in which they were first read."""
        return tuple([variable for variable, _ in self._variables.values()])

    # -- derivatives

    def gradient(
        self,
        target: Any,
        sources: Any,
        *,
        unconnected: str = NONE,
        output_gradients: Any = None,
        unconnected_gradients: Any = None,
    ) -> Any:
        """The gradient of the sum of all numbers of `target` with respect to `sources`.

        **Arguments:** `target`: a tensor or a pytree of them, computed while the tape was recording. `sources`:
        variables, watched tensors or arrays, or tensors computed from them; a pytree. `unconnected`: the gradient of a
        source on which the target does not depend: None ("none") or zeros ("zeros"); `unconnected_gradients` is
        another name for it. `output_gradients`: weights of the target's numbers, of its structure and shapes.
        **Returns:** the structure of `sources`, each leaf of the source's shape and dtype; tensors while another tape
        is recording, arrays otherwise.
        **Raises:** `TapeError` if the tape has been used up, `StructureError`, `ShapeError`, `ArgumentError`.
        """
        zeros = _wants_zeros(unconnected, unconnected_gradients)
        self._use("gradient")
        leaves, tree = tree_flatten(target)
        if output_gradients is None:
            weights: list[Any] = [None] * len(leaves)
        else:
            weights, weights_tree = tree_flatten(output_gradients, is_leaf=lambda leaf: leaf is None)
            if len(weights) != len(leaves):
                raise StructureError(
                    f"output_gradients must have the structure of the target, {tree}, got {weights_tree}."
                )
            weights = [_weight(w, leaf) for w, leaf in zip(weights, leaves, strict=True)]
        pairs = [(n, w) for leaf, w in zip(leaves, weights, strict=True) if (n := self._target(leaf)) is not None]
        seeded = tuple([w is not None for _, w in pairs])

        def make(graph: Graph, nudged: Sequence[bool]) -> Program:
            return gradient_program(graph, nudged, seeded)

        numbers = [n for n, _ in pairs]
        given = [w for _, w in pairs if w is not None]
        return self._derive(("gradient", seeded), numbers, sources, make, given, len(numbers), zeros)

    def jacobian(self, target: Any, sources: Any, *, unconnected: str = NONE, unconnected_gradients: Any = None) -> Any:
        """The Jacobian of one tensor with respect to `sources`.

        **Arguments:** as `gradient`; `target` is one tensor.
        **Returns:** the structure of `sources`, each leaf ∂target/∂source of shape (*target.shape, *source.shape).
        **Raises:** as `gradient`.
        """
        zeros = _wants_zeros(unconnected, unconnected_gradients)
        self._use("jacobian")
        shape = aval_of(_one(target, "jacobian")).shape
        number = self._target(target)
        sizes = sum(aval_of(leaf).size for leaf in tree_flatten(sources)[0])
        mode = "fwd" if sizes <= aval_of(target).size else "rev"

        def make(graph: Graph, nudged: Sequence[bool]) -> Program:
            return without_nudges(jacobian_program(graph, (True,) * len(nudged), 1, mode, False), nudged)

        numbers = [] if number is None else [number]
        return self._derive(("jacobian", mode), numbers, sources, make, (), 0, zeros, shape)

    def batch_jacobian(
        self, target: Any, source: Any, *, unconnected: str = NONE, unconnected_gradients: Any = None
    ) -> Any:
        """One Jacobian for each row of a batch: target[i] depends on source[i] only.

        **Arguments:** `target`, `source`: tensors with the batch as their first axis. `unconnected`: as in `gradient`.
        **Returns:** an array of shape (batch, *target.shape[1:], *source.shape[1:]). Where a row of the target depends
        on other rows of the source, their derivatives are summed in: that is not checked.
        **Raises:** as `gradient`; `ShapeError` if the first axes differ.
        """
        zeros = _wants_zeros(unconnected, unconnected_gradients)
        self._use("batch_jacobian")
        y, x = aval_of(_one(target, "batch_jacobian")), aval_of(_one(source, "batch_jacobian"))
        if not y.shape or not x.shape or y.shape[0] != x.shape[0]:
            raise ShapeError(f"batch_jacobian needs a target and a source with one first axis, got {y} and {x}.")
        number = self._target(target)
        shape = y.shape[1:]

        def make(graph: Graph, nudged: Sequence[bool]) -> Program:
            def run_summed(builder, *xs):
                return [reduce_sum(inline(graph, builder, xs)[0], axes=(0,))]

            summed = trace_graph(run_summed, graph.in_avals)
            return without_nudges(jacobian_program(summed, (True,) * len(nudged), 1, "rev", False), nudged)

        numbers = [] if number is None else [number]
        found = self._derive(("batch_jacobian",), numbers, source, make, (), 0, zeros, shape)
        return None if found is None else gnp.moveaxis(found, len(shape), 0)

    def _use(self, what: str) -> None:
        self._open()
        if self._used and not self._persistent:
            raise TapeError(
                f"{what} was asked of a tape that has given a derivative already. Make it with persistent=True to ask "
                "for more than one."
            )
        self._used = True
        if self._recording and not self._persistent:
            self._stop()

    def _target(self, leaf: Any) -> int | None:
        """The number of a target; None for what the tape has not recorded."""
        recorder = self._open()
        if isinstance(leaf, Variable):
            known = self._variables.get(id(leaf))
            return None if known is None else known[1][-1]
        if type(leaf) is not Tracer or leaf.builder is not recorder or not is_inexact(leaf.dtype):
            return None
        return leaf.id if leaf.id in self._watched or recorder.heard(leaf.id, self._token) else None

    def _source(self, leaf: Any) -> list[int]:
        """The numbers of a source's values; none if the tape does not know it."""
        if isinstance(leaf, Variable):
            return self._variables.get(id(leaf), (leaf, []))[1]
        if type(leaf) is Tracer and leaf.builder is self._recorder:
            return [leaf.id] if leaf.id in self._watched or self._open().heard(leaf.id, self._token) else []
        known = self._arrays.get(id(leaf))
        if known is None and not hasattr(leaf, "dtype"):
            raise StructureError(f"a source must be a variable, a tensor or a watched array, got {leaf!r}.")
        return [] if known is None else [known[1]]

    def _derive(
        self,
        spec: tuple,
        targets: list[int],
        sources: Any,
        make: Callable[[Graph, Sequence[bool]], Program],
        given: Sequence[Any],
        n_values: int,
        zeros: bool,
        shape: tuple[int, ...] = (),
    ) -> Any:
        """The derivatives for each leaf of `sources`, by the program that `make` makes of the graph in between."""
        recorder = self._open()
        leaves, tree = tree_flatten(sources)
        numbers = [self._source(leaf) for leaf in leaves]
        since = {n: self._watched.get(n, 0) for group in numbers for n in group}
        found: dict[int, Any] = {}
        if targets and since:
            piece = Piece(recorder, self._token, since, targets)
            key = (spec, ROLLING.on, piece.key)
            entry = EXECUTABLES.get(key)
            if entry is None:
                entry = EXECUTABLES.put(key, Entry(piece))  # type: ignore[arg-type]
            program, varying = entry.program(piece, lambda graph: make(graph, piece.nudged))  # type: ignore[arg-type]
            scalars = [run_time(piece.scalars[k][1], recorder.aval(piece.scalars[k][0])) for k in varying]
            outs = recorder.inlined(lambda: run(program, [*piece.inputs(), *scalars, *given]))
            for n, value in zip(targets[:n_values], outs, strict=False):
                if not recorder.listening and isinstance(value, jax.Array) and not is_jax_tracer(value):
                    recorder.values.setdefault(n, value)
            got = outs[n_values:]
            if len(got) == sum(program.alive):
                got = iter(got)
                found = {n: next(got) for n, on in zip(since, program.alive, strict=True) if on}
            else:
                found = {n: x for n, x, on in zip(since, got, program.alive, strict=True) if on}
            found = self._moving(found, piece)
        results = []
        for leaf, group in zip(leaves, numbers, strict=True):
            parts = [found[n] for n in group if n in found]
            total = parts[0] if parts else None
            for part in parts[1:]:
                total = total + part
            aval = aval_of(leaf)
            results.append(jnp.zeros((*shape, *aval.shape), aval.dtype) if total is None and zeros else total)
        return tree_unflatten(tree, results)

    def _moving(self, found: dict[int, Any], piece: Piece) -> dict[int, Any]:
        """Without those sources that depend on nothing watched, and so were not on the tape."""
        recorder = self._open()
        computed = {n for n in found if n not in self._watched}
        if not computed:
            return found
        moving = set(self._watched)
        for number in piece.numbers:
            row = recorder.rows[number]
            if self._token in recorder.sets[row[3]] and any(
                i in moving and number >= self._watched.get(i, 0) for i in row[1]
            ):
                first, avals = recorder.memo[row]
                moving.update(range(first, first + len(avals)))
        return {n: x for n, x in found.items() if n in moving}


def gradient_program(graph: Graph, nudged: Sequence[bool], seeded: Sequence[bool]) -> Program:
    """(x*, rest*) -> (y*) becomes (x*, rest*, weights*) -> (y*, gradients of the weighted sum*).

    **Arguments:** `nudged`: per x, whether it is the zero added to a value; such a one is no input of the result.
    `seeded`: which y have weights; those of the others are ones.
    """
    n, rest = len(nudged), len(graph.inputs) - len(nudged)
    lin = linearize_graph(tidy(graph), [True] * n + [False] * rest, tidy)
    ys, residuals = lin.primal.outputs[: len(seeded)], lin.primal.outputs[len(seeded) :]
    weights = [Var(y.aval) if on else None for y, on in zip(ys, seeded, strict=True)]
    eqns, found, alive = list(lin.primal.eqns), [], (False,) * n
    if any(lin.out_active):
        backward, alive = transpose_graph(lin.linear, [False] * lin.n_residuals + [True] * n)
        cts = [w or fill(1.0, y.aval) for w, y, on in zip(weights, ys, lin.out_active, strict=True) if on]
        eqns, found = chained(lin.primal, backward, [*residuals, *cts])
    inputs = [*lin.primal.inputs, *(w for w in weights if w is not None)]
    return without_nudges(Program(tidy(Graph(inputs, eqns, [*ys, *found])), alive), nudged)


def without_nudges(program: Program, nudged: Sequence[bool]) -> Program:
    """The program with the zeros that were added to some values, its first inputs, no inputs any more."""
    if not any(nudged):
        return program
    graph = program.graph
    flags = [*nudged, *[False] * (len(graph.inputs) - len(nudged))]
    fresh = [Var(v.aval, v.name) for v in graph.inputs]
    feed = [zeros_like(v) if on else v for v, on in zip(fresh, flags, strict=True)]
    keep = [v for v, on in zip(fresh, flags, strict=True) if not on]
    eqns, outs = chained(Graph(keep, (), ()), graph, feed)
    return Program(tidy(Graph(keep, eqns, outs)), program.alive)


def _wants_zeros(unconnected: str, other: Any) -> bool:
    asked = unconnected if other is None else getattr(other, "value", other)
    asked = asked.lower() if isinstance(asked, str) else asked
    if asked not in (NONE, ZEROS, "zero"):
        raise ArgumentError(f'unconnected must be "none" or "zeros", got {asked!r}.')
    return asked != NONE


def _one(target: Any, of: str) -> Any:
    leaves, _ = tree_flatten(target)
    if len(leaves) != 1 or leaves[0] is not target:
        raise StructureError(f"{of} takes one tensor, got {target!r}. Call it for each, with persistent=True.")
    return target


def _weight(weight: Any, leaf: Any) -> Any:
    """A weight in the dtype of its target."""
    if weight is None:
        return None
    aval, got = aval_of(leaf), aval_of(weight)
    if got.shape != aval.shape:
        raise ShapeError(f"output_gradients must have the shape of the target, {aval}, got {got}.")
    weight = weight.read() if isinstance(weight, Variable) else weight
    return weight if got.dtype == aval.dtype else gnp.asarray(weight, aval.dtype)
