"""Where batches come from: arrays shuffled by a seed, or anything that can be iterated, from any position on.

A position is (epoch, batches already used of it). Every source can start from one, so that a run can go on where it
was killed.
"""

from __future__ import annotations

import base64
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
    only once; `fingerprint`: what must be the same when a run goes on.
    """

    resident: Any = None
    length: int | None = None
    one_pass: bool = False
    fingerprint: tuple = ()

    def epoch(self, epoch: int, start: int) -> Iterator[Any]:
        """The batches of an epoch, from its `start`-th on."""
        raise NotImplementedError

    def rows(self, batch: Any) -> int | None:
        """How many examples a batch holds; None if it does not say."""
        leaves = jax.tree.leaves(batch)
        return leaves[0].shape[0] if leaves and getattr(leaves[0], "ndim", 0) else None

    def state(self) -> Any:
        """What the iterator itself calls its state, or None: faster to return to than by skipping batches."""
        return None

    def set_state(self, state: Any) -> None:
        """Make the next call of `epoch` start there."""


class Rows(Source):
    """Arrays whose first axis counts examples, or a sequence of examples, in batches and shuffled."""

    def __init__(self, data: Any, batch_size: int, shuffle: bool, seed: int, drop_last: bool, on_device: bool | None):
        self._items = data if _is_sequence_of_examples(data) else None
        self._columns = None if self._items is not None else jax.tree.map(_host, data)
        n = len(self._items) if self._items is not None else _rows_of(self._columns)
        if n == 0:
            raise ArgumentError("train needs data, got arrays of no rows.")
        if batch_size > n:
            raise ArgumentError(f"batch_size={batch_size} is more than the {n} examples of the data. Write {n}.")
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

    It must yield the same batches again when it is iterated again; a checksum of the last batch tells if it did not.
    """

    def __init__(self, data: Any):
        self._data = data
        self.one_pass = hasattr(data, "__next__")
        self._used = False
        self._iterator: Any = None
        self._returning: Any = None
        if not callable(data) and hasattr(data, "__len__"):
            self.length = len(data)
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
        self._iterator = iterator = iter(data)
        if self._returning is not None:
            iterator.set_state(_decoded(self._returning))
            self._returning = None
            start = 0
        for k, batch in enumerate(iterator):
            if k >= start:
                yield jax.tree.map(_host, batch)
            elif k == start - 1:
                self.skipped = checksum(jax.tree.map(_host, batch))

    skipped: int | None = None

    def state(self) -> Any:
        get = getattr(self._iterator, "get_state", None)
        if not callable(get) or not hasattr(self._iterator, "set_state"):
            return None
        state = get()
        return {"bytes": base64.b64encode(state).decode()} if isinstance(state, bytes) else {"json": state}

    def set_state(self, state: Any) -> None:
        self._returning = state


def _decoded(state: dict) -> Any:
    return base64.b64decode(state["bytes"]) if "bytes" in state else state["json"]


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
                f"sequences of examples; got {type(data).__name__}, which makes its own batches. Leave batch_size out."
            )
        return Rows(data, batch_size, shuffle, seed, drop_last, on_device)
    if on_device:
        raise ArgumentError("on_device=True needs arrays and a batch_size.")
    if _is_columns(data):
        raise ArgumentError(
            "data given as arrays needs a batch_size (that of all rows, for full batches). To give the batches "
            "themselves, put them in a list."
        )
    if not callable(data) and not hasattr(data, "__iter__") and not hasattr(data, "__getitem__"):
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
    array = np.asarray(leaf.detach().cpu() if hasattr(leaf, "detach") else leaf)
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
    return jax.tree.map(lambda *leaves: np.stack([_host(leaf) for leaf in leaves]), *examples)
