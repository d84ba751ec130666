"""`GradientTape`: run first, ask for derivatives afterwards. Define-by-run, as TensorFlow's users know it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..api.arguments import tree_flatten, tree_unflatten
from ..api.calling import EXECUTABLES, Entry, run
from ..api.programs import Program, jacobian_program
from ..ir.errors import ArgumentError, DTypeError, ShapeError, StructureError, TapeError
from ..ir.graph import Aval, Graph, Var, chained, is_inexact
from ..ops.operands import fill, zeros_like
from ..ops.reduce import reduce_sum
from ..passes.pipeline import tidy
from ..trace.avals import aval_of
from ..trace.builder import AMBIENT, run_time
from ..trace.stage import inline, trace_graph
from ..trace.tracer import Tracer
from ..transforms.linearize import linearize_graph
from ..transforms.transpose import transpose_graph
from .recorder import Piece, Recorder
from .variable import Variable

_tokens = itertools.count(1)
NONE, ZEROS = "none", "zeros"


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

    def __exit__(self, *exc: object) -> None:
        if self._recording:
            self._stop()

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

    def accessed(self, held: Any, id: int) -> None:
        """A variable was read while the tape was recording; called by the recorder."""
        if id not in self._watched and ((self._automatic and held.trainable) or self._is_watched(held)):
            self._note(held, id, 0)

    def _is_watched(self, variable: Variable) -> bool:
        return __builtins_id(variable) in self._variables

    def _note(self, variable: Variable, id: int, since: int) -> None:
        self._watched[id] = since
        self._variables.setdefault(__builtins_id(variable), (variable, []))[1].append(id)

    def watch(self, tensor: Any) -> Any:
        """`tensor`, a tensor, a variable or an array or a pytree of them, watched from now on.

        **Returns:** the same as a tensor, or several. Compute with that: a plain array (or a tracer of a function
        being transformed) does not know of the tape, so what is done to it is not recorded.
        **Raises:** `TapeError` outside `with tape:`; `DTypeError` for integers.
        """
        if not self._recording:
            raise TapeError("watch is for a tape that is recording. Call it inside `with tape:`.")
        recorder = self._open()
        leaves, tree = tree_flatten(tensor)
        found = []
        for leaf in leaves:
            if not is_inexact(aval_of(leaf).dtype):
                raise DTypeError(f"a tape watches real and complex numbers, got {aval_of(leaf)}. Write .astype(float).")
            if isinstance(leaf, Variable):
                id = recorder.read(leaf).id
                if id not in self._watched:
                    self._note(leaf, id, len(recorder.rows))
                    self._renew()
            elif type(leaf) is Tracer and leaf.builder is recorder:
                id = leaf.id
                if id not in self._watched:
                    self._watched[id] = len(recorder.rows)
                    self._renew()
            else:
                id = recorder.source(leaf, aval_of(leaf))
                self._watched[id] = 0
                self._arrays[__builtins_id(leaf)] = (leaf, id)
            found.append(recorder.tracer(id))
        return tree_unflatten(tree, found)

    def _renew(self) -> None:
        """What was computed before does not count as recorded, should the same be computed again."""
        recorder, old = self._open(), self._token
        self._earlier = (*getattr(self, "_earlier", ()), old)
        self._token = next(_tokens)
        recorder.tapes[self._token] = recorder.tapes.pop(old)
        recorder.listen(recorder.listening - {old} | {self._token})

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
