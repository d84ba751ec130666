"""The TensorBoard log of a run. A module of its own, for what writes it takes long to import."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..ir.extras import Missing
from .metrics import Record

try:
    from tensorboardX import SummaryWriter
except ImportError:
    SummaryWriter: Any = Missing("tensorboardX", "train", "writing to TensorBoard")


class TensorBoardLog:
    """Event files in a directory; those of steps beyond the checkpoint are marked as purged."""

    def __init__(self, path: Path, step: int):
        self._writer = SummaryWriter(str(path), purge_step=step + 1 if step else None)

    def write(self, records: list[Record]) -> None:
        """One scalar a value and step."""
        for record in records:
            for name, value in record.items():
                if name != "step":
                    self._writer.add_scalar(name, value, int(record["step"]))
        self._writer.flush()

    def close(self) -> None:
        """Close the files."""
        self._writer.close()
