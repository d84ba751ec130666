"""Text to executable: `exec` of exactly the text `emit` wrote, under `jax.jit`; and the bounded cache of them."""

from __future__ import annotations

import itertools
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ..ir.graph import Graph
from .emit import emit_with_natives, function_name
from .finish import finish

_serial = itertools.count()


class Executable:
    """A graph with its calls expanded, its source (`text`), the Python function made of that (`fn`), and `jitted`.

    **Arguments:** `keep_rules`: for a program that JAX may differentiate: the user's own derivative rules are kept, as
    jax.custom_jvp and jax.custom_vjp.
    """

    def __init__(self, graph: Graph, name: str = "f", keep_rules: bool = False):
        self.graph = finish(graph, keep_rules)
        self.name = function_name(name)
        self.text, natives = emit_with_natives(self.graph, self.name)
        made = {word: eqn.prim.native(**eqn.params) for word, eqn in natives.items() if eqn.prim.native}
        self.fn = load(self.text, self.name, made)

    @cached_property
    def jitted(self) -> Callable[..., tuple]:
        """`fn` under `jax.jit`."""
        STATS["compiles"] += 1
        return jax.jit(self.fn)

    def traced(self, inputs: Sequence[Any]) -> tuple:
        """`fn` inside a trace of JAX's own. (A NumPy array would answer the text's operators by NumPy's rules.)"""
        return self.fn(*[jnp.asarray(x) if isinstance(x, np.ndarray | np.generic) else x for x in inputs])


def load(text: str, name: str, natives: Mapping[str, Callable] = MappingProxyType({})) -> Callable[..., tuple]:
    """The function `name` that the source text defines, with only jax and numpy in reach."""
    scope: dict[str, Any] = {"jax": jax, "jnp": jnp, "lax": lax, "np": np, **natives}
    exec(compile(text, f"<gradlab {next(_serial)}>", "exec"), scope)
    fn = scope.pop(name)
    # No cycle from the function to itself by way of its globals, or to the parts of a long program that stand there:
    # an executable that is forgotten goes at once, and takes its megabytes along.
    weakref.finalize(fn, scope.clear).atexit = False
    return fn


class CacheInfo(NamedTuple):
    """What the graph cache has done: look-ups that hit and missed, programs compiled, entries held, and its bound."""

    hits: int
    misses: int
    compiles: int
    currsize: int
    maxsize: int


STATS = {"compiles": 0}  # for display: two threads that count at once may lose one


class LRU:
    """A bounded map that forgets what was used longest ago. Safe to use from several threads."""

    def __init__(self, maxsize: int):
        self.maxsize = maxsize
        self.hits = self.misses = 0
        self._held: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Any:
        """The value kept for `key`, or None."""
        with self._lock:
            found = self._held.get(key)
            if found is None:
                self.misses += 1
            else:
                self.hits += 1
                self._held.move_to_end(key)
            return found

    def put(self, key: Hashable, value: Any) -> Any:
        """Keep `value` for `key`, and return it."""
        with self._lock:
            self._held[key] = value
            while len(self._held) > self.maxsize:
                self._held.popitem(last=False)
        return value

    def clear(self) -> None:
        """Forget everything, the counts too."""
        with self._lock:
            self._held.clear()
            self.hits = self.misses = 0

    def __len__(self) -> int:
        return len(self._held)


SLICES = LRU(256)  # programs that compute a value Python asked for


def evaluate(graph: Graph, inputs: Sequence[Any]) -> tuple:
    """The graph's outputs on concrete inputs, compiled once per structure."""
    found = SLICES.get(graph)
    if found is None:
        found = SLICES.put(graph, Executable(graph))
    return found.jitted(*inputs)
