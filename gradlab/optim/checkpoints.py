"""Checkpoints on disk, by Orbax, renamed when complete and again before they are deleted: none is half there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..ir.errors import ArgumentError
from ..ir.extras import Missing
from .fused import is_key

try:
    import orbax.checkpoint as ocp
except ImportError:
    ocp: Any = Missing("orbax-checkpoint", "train", "saving checkpoints")

_BIN = "deleted"  # within the directory, where old checkpoints go


class Checkpoints:
    """The checkpoints in a directory, the newest `keep` of them.

    Leaves are copied to the host when `save` is called and written by a thread after it returns.
    """

    def __init__(self, directory: str | Path, keep: int):
        path = Path(directory).absolute()
        if path.exists() and not path.is_dir():
            raise ArgumentError(f"checkpoint must be a directory, {path} is a file.")
        self._path, self._keep, self._bin = path, keep, path / _BIN
        self._open()

    def _open(self) -> None:
        self._empty_bin()
        options = ocp.CheckpointManagerOptions(
            max_to_keep=self._keep,
            enable_async_checkpointing=True,
            cleanup_tmp_directories=True,
            todelete_subdir=_BIN,
        )
        self._manager = ocp.CheckpointManager(self._path, options=options)

    @property
    def latest(self) -> int | None:
        """The step of the newest checkpoint, None if there is none."""
        return self._manager.latest_step()

    def save(self, step: int, tree: Any, host: dict, arrays: dict[str, np.ndarray]) -> None:
        """Write `tree`, the JSON `host` and named `arrays` as the checkpoint of a step."""
        leaves = {f"tree{i}": leaf for i, leaf in enumerate(map(_to_host, jax.tree.leaves(tree)))}
        leaves |= {f"array/{name}": np.asarray(array) for name, array in arrays.items()}
        host = host | {"types": {name: _type(leaf) for name, leaf in leaves.items()}, "tree": _described(tree)}
        kept = {name: leaf for name, leaf in leaves.items() if leaf.size}  # Orbax takes no empty ones
        self._empty_bin()
        items = ocp.args.Composite(leaves=ocp.args.StandardSave(kept), host=ocp.args.JsonSave(host))
        self._manager.save(step, args=items, force=True)

    def restore(self, like: Any) -> tuple[Any, dict, dict[str, np.ndarray]]:
        """The newest checkpoint: a tree like `like` (its placement too), the JSON, and the named arrays.

        **Raises:** `ArgumentError` if it was made by a run of other parameters or another optimizer.
        """
        step = self.latest
        host = self._manager.restore(step, args=ocp.args.Composite(host=ocp.args.JsonRestore())).host
        wanted = _described(like)
        if host["tree"] != wanted:
            differing = [f"{a} (saved) against {b}" for a, b in _pairs(host["tree"], wanted) if a != b]
            raise ArgumentError(
                f"the checkpoint in {self._path} is of another run: {'; '.join(differing[:3])}. "
                "Pass resume=False to start over, or another directory."
            )
        types = host.pop("types")
        empty = {name: np.zeros(shape, jnp.dtype(dtype)) for name, (shape, dtype) in types.items()}
        kept = {name: leaf for name, leaf in empty.items() if leaf.size}
        args = ocp.args.Composite(leaves=ocp.args.StandardRestore(kept))
        leaves = empty | dict(self._manager.restore(step, args=args).leaves)
        givens, structure = jax.tree.flatten(like)
        tree = [_from_host(leaves[f"tree{i}"], given) for i, given in enumerate(givens)]
        arrays = {name.removeprefix("array/"): np.array(x) for name, x in leaves.items() if name.startswith("array/")}
        return jax.tree.unflatten(structure, tree), host, arrays

    def clear(self) -> None:
        """Forget all of them, at once: one that is half deleted must not be taken for a checkpoint."""
        self._manager.close()
        away = self._path.with_name(self._path.name + ".deleted")
        shutil.rmtree(away, ignore_errors=True)
        os.replace(self._path, away)
        shutil.rmtree(away)
        self._open()

    def wait(self) -> None:
        """Return when all is on disk. **Raises:** what went wrong in writing."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """`wait`, and let go of the directory."""
        self._manager.close()
        self._empty_bin()
        if self._bin.exists():
            self._bin.rmdir()

    def _empty_bin(self) -> None:
        """Delete what Orbax has moved aside; who is killed meanwhile leaves no checkpoint with half of its files."""
        for old in self._bin.glob("*"):
            shutil.rmtree(old)


def _to_host(leaf: Any) -> np.ndarray:
    """A copy: the leaf's own buffer is donated to the next step, while a thread still writes."""
    return np.array(jax.random.key_data(leaf) if is_key(leaf) else leaf, copy=True)


def _from_host(saved: np.ndarray, like: Any) -> jax.Array:
    # A copy as well: on a CPU, device_put may share memory that the next step would be given to overwrite.
    if is_key(like):
        return jax.random.wrap_key_data(jnp.array(saved, copy=True), impl=jax.random.key_impl(like))
    return jax.device_put(jnp.array(saved, like.dtype, copy=True), like.sharding)


def _type(leaf: np.ndarray) -> tuple[list[int], str]:
    return list(leaf.shape), leaf.dtype.name


def _described(tree: Any) -> list[str]:
    """A line a leaf: where it stands, dtype, shape."""
    return [
        f"{jax.tree_util.keystr(path)} {leaf.dtype}{list(leaf.shape)}"
        for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]
    ]


def _pairs(a: list[str], b: list[str]) -> list[tuple[str, str]]:
    n = max(len(a), len(b))
    return list(zip(a + ["nothing"] * (n - len(a)), b + ["nothing"] * (n - len(b)), strict=True))
