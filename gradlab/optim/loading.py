"""Where batches come from: arrays shuffled by a seed, or anything that can be iterated, from any position on.

A position is (epoch, batches already used of it). Every source can start from one, so that a run can go on where it
was killed.
"""

from __future__ import annotations

import base64
import sys
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..ir.errors import ArgumentError, DTypeError, ShapeError

RESIDENT_BYTES = 2**29  # a data set up to this size is put on the device once, and batches are picked there
_LOOKED_AT = 4096  # bytes of each leaf that a checksum reads: enough to tell batches apart, cheap for large ones


class Position(NamedTuple):
    """How far the data has been used: the epoch, and the batches of it that are done."""

    epoch: int = 0
    batch: int = 0


class Source:
    """Batches, epoch by epoch.

    **Attributes:** `resident`: arrays on the device that batches of row numbers are picked from, or None; `length`:
    batches an epoch, None if not known; `rows`: examples a batch, None if not known; `one_pass`: it can be iterated
    only once; `fingerprint`: what must be the same when a run goes on; `skips`: whether the pass at hand goes through
    batches that were used before, `skipped`: the checksum of the last of them, once it is reached.
    """

    resident: Any = None
    length: int | None = None
    one_pass: bool = False
    fingerprint: tuple = ()
    skips: bool = False
    skipped: int | None = None

    def epoch(self, epoch: int, start: int) -> Iterator[Any]:
        """The batches of an epoch, from its `start`-th on."""
        raise NotImplementedError

    def rows(self, batch: Any) -> int | None:
        """How many examples a batch holds; None if it does not say."""
        leaves = jax.tree.leaves(batch)
        return leaves[0].shape[0] if leaves and getattr(leaves[0], "ndim", 0) else None

    def state(self, between: bool = False) -> Any:
        """What the data itself says of where it stands, after a batch or between two passes, as JSON can hold it.

        None: a pass is gone through again to come there, and those before it where passes differ.
        """
        return None

    def set_state(self, state: Any) -> None:
        """Make the next call of `epoch` start there."""

    def passes_to_repeat(self, at: Position, alike: bool) -> int:
        """How many passes a new process must go through before it is where an old one was.

        **Arguments:** `alike`: whether the first pass and the one at hand are known to begin with the same batch.
        """
        return 0


class Rows(Source):
    """Arrays whose first axis counts examples, or a sequence of examples, in batches and shuffled."""

    def __init__(self, data: Any, batch_size: int, shuffle: bool, seed: int, drop_last: bool, on_device: bool | None):
        self._items = data if _is_sequence_of_examples(data) else None
        self._columns = None if self._items is not None else jax.tree.map(_host, data)
        n = len(self._items) if self._items is not None else _rows_of(self._columns)
        if n == 0:
            raise ArgumentError("train needs data, got arrays of no rows.")
        if batch_size > n:
            listed = " (a list is one of examples: for arrays side by side write a tuple)" if type(data) is list else ""
            raise ArgumentError(
                f"batch_size={batch_size} is more than the {n} examples of the data{listed}. Write {n}."
            )
        self._n, self._size, self._shuffle, self._seed, self._drop = n, batch_size, shuffle, seed, drop_last
        self.length = n // batch_size if drop_last else -(-n // batch_size)
        sample = self._columns if self._columns is not None else _collate([data[0]])
        self.fingerprint = (n, batch_size, shuffle, seed, drop_last, checksum(sample))
        if self._columns is not None:
            size = sum(leaf.nbytes for leaf in jax.tree.leaves(self._columns))
            if on_device or (on_device is None and size <= RESIDENT_BYTES):
                self.resident = jax.tree.map(jnp.asarray, self._columns)
        elif on_device:
            raise ArgumentError("on_device=True needs arrays; a sequence of examples is read one by one.")

    def epoch(self, epoch: int, start: int) -> Iterator[Any]:
        order = np.arange(self._n)
        if self._shuffle:
            order = np.random.default_rng([self._seed, epoch]).permutation(self._n)
        order = order.astype(np.int32)
        for k in range(start, self.length or 0):
            chosen = order[k * self._size : (k + 1) * self._size]
            if self.resident is not None:
                yield chosen
            elif self._items is not None:
                yield _collate([self._items[int(i)] for i in chosen])
            else:
                yield jax.tree.map(lambda column, chosen=chosen: column[chosen], self._columns)


class Batches(Source):
    """Anything that yields batches: a list, a generator, a loader of torch, grain or tf.data, a function of the epoch.

    It must yield the same batches again when it is iterated again in a new process: then a checksum of the last batch
    tells if it did not. Of torch's DataLoader the random generators are put back to where they were; a loader that
    shuffles by a seed of its own, anew on each pass (tf.data), is gone through from its first pass on.
    """

    def __init__(self, data: Any):
        self._data = data
        self.one_pass = hasattr(data, "__next__")
        self._used = False
        self._iterator: Any = None
        self._returning: Any = None
        self._generators = _torch_generators(data)
        self._at_start: Any = None
        self.length = _length(data)
        if self.length == 0:
            raise ArgumentError(f"train needs data, got an empty {type(data).__name__}.")

    def epoch(self, epoch: int, start: int) -> Iterator[Any]:
        data: Any = self._data
        if callable(data):
            data = data(epoch)
        else:
            for owner in (data, getattr(data, "sampler", None)):
                if callable(getattr(owner, "set_epoch", None)):
                    owner.set_epoch(epoch)  # type: ignore[union-attr]
        if self.one_pass and self._used:
            return
        self._used = True
        returning, self._returning = self._returning, None
        if self._generators:
            if returning is not None:
                _put_back(self._generators, returning["generators"])
            self._at_start = _states(self._generators)
        self._iterator = iterator = iter(data)
        if returning is not None and not self._generators and "fresh" not in returning:
            try:
                iterator.set_state(_decoded(returning))
                start = 0
            except Exception:
                # Grain's DataLoader refuses states of a data source with another repr, as one has in each process
                # that does not define it. Batches are skipped instead, and the checksum tells if they are the same.
                self._iterator = iterator = iter(data)
        self.skips, self.skipped = start > 0, None
        for k, batch in enumerate(iterator):
            if k >= start:
                yield jax.tree.map(_host, batch)
            elif k == start - 1:
                self.skipped = checksum(jax.tree.map(_host, batch))

    def state(self, between: bool = False) -> Any:
        if self._generators:
            return {"generators": _states(self._generators) if between else self._at_start}
        get = getattr(self._iterator, "get_state", None)
        if not callable(get) or not hasattr(self._iterator, "set_state"):
            return None
        if between:
            return {"fresh": True}
        state = get()
        return {"bytes": base64.b64encode(state).decode()} if isinstance(state, bytes) else {"json": state}

    def set_state(self, state: Any) -> None:
        self._returning = state

    def passes_to_repeat(self, at: Position, alike: bool) -> int:
        data = self._data
        by_epoch = callable(data) or any(hasattr(x, "set_epoch") for x in (data, getattr(data, "sampler", None)))
        if self._returning is not None or self.one_pass or by_epoch or isinstance(data, list | tuple):
            return 0
        return 0 if alike and at >= Position(1, 1) else at.epoch


def _decoded(state: dict) -> Any:
    return base64.b64decode(state["bytes"]) if "bytes" in state else state["json"]


def _length(data: Any) -> int | None:
    """How many batches a pass has, None if it does not say."""
    if callable(data) or not hasattr(data, "__len__"):
        return None
    try:
        return len(data)
    except TypeError:  # loaders of streams have a __len__ that raises
        return None


def _torch_generators(data: Any) -> list[Any]:
    """What a DataLoader of torch draws its order from; empty for anything else, and where a sampler is not torch's."""
    if not all(hasattr(data, name) for name in ("sampler", "batch_sampler", "generator")) or "torch" not in sys.modules:
        return []
    samplers = [sampler for sampler in (data.sampler, data.batch_sampler) if sampler is not None]
    if any(type(sampler).__module__.split(".")[0] != "torch" for sampler in samplers):
        return []
    own = data.generator if data.generator is not None else sys.modules["torch"].default_generator
    found = [own, getattr(data.sampler, "generator", None)]
    return [generator for i, generator in enumerate(found) if generator is not None and generator not in found[:i]]


def _states(generators: list[Any]) -> list[str]:
    return [base64.b64encode(generator.get_state().numpy().tobytes()).decode() for generator in generators]


def _put_back(generators: list[Any], states: list[str]) -> None:
    for generator, state in zip(generators, states, strict=True):
        tensor = generator.get_state()
        tensor.numpy()[:] = np.frombuffer(base64.b64decode(state), np.uint8)
        generator.set_state(tensor)


def source_of(
    data: Any, batch_size: int | None, shuffle: bool, seed: int, drop_last: bool, on_device: bool | None
) -> Source:
    """The source that train's arguments describe.

    **Raises:** `ArgumentError` where data is empty, no data, or arrays without a batch_size.
    """
    if batch_size is not None:
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ArgumentError(f"batch_size must be a positive integer or None, got {batch_size!r}.")
        if hasattr(data, "__next__") or callable(data) or not (_is_sequence_of_examples(data) or _is_columns(data)):
            raise ArgumentError(
                "batch_size is for arrays, or a tuple or dict of them, whose first axis counts examples, and for "
                f"sequences of examples; got {type(data).__name__}, which is iterated. Leave batch_size out and let "
                "it make the batches (of a tf.data.Dataset: data.batch(n))."
            )
        return Rows(data, batch_size, shuffle, seed, drop_last, on_device)
    if on_device:
        raise ArgumentError("on_device=True needs arrays and a batch_size.")
    if _is_columns(data):
        raise ArgumentError(
            "data given as arrays needs a batch_size (that of all rows, for full batches). To give the batches "
            "themselves, put them in a list."
        )
    if not callable(data) and not hasattr(data, "__iter__"):
        if _is_sequence_of_examples(data):
            raise ArgumentError(
                f"data of type {type(data).__name__} gives examples by their number: write batch_size=..., or put it "
                "into a loader that makes batches."
            )
        raise ArgumentError(f"data must be arrays, or yield batches when iterated, got {type(data).__name__}.")
    return Batches(data)


def checksum(batch: Any) -> int:
    """A number that tells batches apart: of the shapes, the dtypes and the first bytes of each leaf."""
    found = 0
    for leaf in jax.tree.leaves(batch):
        leaf = np.asarray(leaf)
        found = zlib.crc32(f"{leaf.shape}{leaf.dtype}".encode(), found)
        flat = leaf.reshape(-1)[: max(1, _LOOKED_AT // max(1, leaf.itemsize))]
        found = zlib.crc32(np.ascontiguousarray(flat).tobytes(), found)
    return found


def _host(leaf: Any) -> Any:
    """A leaf as an array: JAX's stay where they are, everything else is NumPy's.

    **Raises:** `DTypeError` for what holds no numbers.
    """
    if isinstance(leaf, jax.Array):
        return leaf
    if hasattr(leaf, "detach"):
        leaf = leaf.detach().cpu()
    try:
        array = np.asarray(leaf)
    except TypeError:  # torch's bfloat16, of which NumPy alone knows nothing; sparse and quantised ones stay refused
        try:
            array = np.asarray(jax.dlpack.from_dlpack(leaf))
        except Exception as error:
            raise DTypeError(f"a batch must hold dense arrays of numbers, got {type(leaf).__name__}: {error}") from None
    if array.dtype.kind not in "biufcV" or array.dtype.fields:
        raise DTypeError(f"a batch must hold numbers, got {type(leaf).__name__} of dtype {array.dtype}: encode it.")
    return array


def _is_array(x: Any) -> bool:
    return hasattr(x, "shape") and hasattr(x, "dtype")


def _is_columns(data: Any) -> bool:
    """An array, or a tuple or mapping of them at any depth (a list is a sequence of batches or examples)."""
    if isinstance(data, tuple) and data:
        return all(_is_columns(x) for x in data)
    if isinstance(data, dict) and data:
        return all(_is_columns(x) for x in data.values())
    return _is_array(data)


def _is_sequence_of_examples(data: Any) -> bool:
    return not _is_columns(data) and hasattr(data, "__len__") and hasattr(data, "__getitem__") and not callable(data)


def _rows_of(columns: Any) -> int:
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(columns)]
    if not all(shapes) or len({shape[0] for shape in shapes}) != 1:
        raise ShapeError(f"the arrays of the data need the same first axis, the examples; got shapes {shapes}.")
    return shapes[0][0]


def _collate(examples: Sequence[Any]) -> Any:
    def stack(*leaves: Any) -> np.ndarray:
        arrays = [_host(leaf) for leaf in leaves]
        if len({array.shape for array in arrays}) > 1:
            raise ShapeError(
                f"examples of one batch need one shape, got {sorted({array.shape for array in arrays})}. Pad them; or, "
                "if these are arrays side by side, put them into a tuple in place of a list."
            )
        return np.stack(arrays)

    return jax.tree.map(stack, *examples)
