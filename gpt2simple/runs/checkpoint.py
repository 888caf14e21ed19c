"""One resumable checkpoint: a folder that is whole or absent, and is also a model folder that transformers opens.

Knows the files of the folder; not what the tensors or the state mean, nor which other checkpoints there are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from gpt2simple.errors import RunError
from gpt2simple.gpt2.formats.safetensors_file import PYTORCH_METADATA, SafetensorsFile, Tensor, write_safetensors
from gpt2simple.runs.description import BestMark, FileRecord, Manifest, plain_number
from gpt2simple.runs.layout import MANIFEST_FILE, MODEL_FILE, OPTIMIZER_FILE, STATE_FILE
from gpt2simple.storage.contents import content_errors, read_json
from gpt2simple.storage.files import HashingWriter


@dataclass(frozen=True)
class StepCheckpoint:
    """A checkpoint on disk.

    Attributes:
        step: optimizer steps done.
        path: its folder.
    """

    step: int
    path: Path

    @property
    def state(self) -> dict[str, Any]:
        """What the caller of ``save`` gave as state."""
        with content_errors(self._unreadable_state):
            return read_json(self.path / STATE_FILE)

    def _unreadable_state(self, reason: str, _error: Exception) -> RunError:
        path = self.path / STATE_FILE
        return RunError(f"{path} cannot be read ({reason}). Put it back from a copy, or remove {self.path.name}.")

    @property
    def best(self) -> BestMark | None:
        """The best step as it was known when this checkpoint was written."""
        return Manifest.read(self.path).best

    def weights(self) -> Iterator[tuple[str, np.ndarray]]:
        """The weights under the names given to ``save``, float32, one at a time."""
        return _tensors(self.path / MODEL_FILE)

    def optimizer(self) -> Iterator[tuple[str, np.ndarray]]:
        """The optimizer's tensors under the names given to ``save``, one at a time."""
        return _tensors(self.path / OPTIMIZER_FILE)

    def damage(self, *, weights_only: bool = False) -> str | None:
        """What is wrong with it, in words; None where every byte is as it was written.

        Args:
            weights_only: check the weights alone (a third of the bytes), which is enough for generating.
        """
        try:
            manifest = Manifest.read(self.path)
        except ValueError as error:
            return str(error)
        needed = (MODEL_FILE,) if weights_only else (MODEL_FILE, OPTIMIZER_FILE, STATE_FILE)
        missing = [name for name in needed if name not in manifest.files]
        if missing or manifest.step != self.step:
            return f"{MANIFEST_FILE} is not this checkpoint's"
        return manifest.damage(self.path, needed if weights_only else None)


def write_checkpoint(
    folder: Path,
    step: int,
    *,
    weights: Iterable[Tensor],
    optimizer: Iterable[Tensor],
    state: Mapping[str, Any],
    best: BestMark | None,
    side_files: Mapping[str, bytes],
) -> None:
    """Write the files of a checkpoint into an empty folder, the manifest last.

    Args:
        folder: a temporary one, which the caller renames into place.
        step: optimizer steps done.
        weights, optimizer: made and written one tensor at a time.
        state: JSON values; NumPy numbers are taken too.
        best: the best step so far, this one included.
        side_files: further small files by name.
    """
    records = {
        MODEL_FILE: _write_tensors(folder / MODEL_FILE, weights),
        OPTIMIZER_FILE: _write_tensors(folder / OPTIMIZER_FILE, optimizer),
    }
    text = json.dumps(dict(state), indent=2, default=plain_number) + "\n"
    for name, content in {STATE_FILE: text.encode(), **side_files}.items():
        (folder / name).write_bytes(content)
        records[name] = FileRecord.of(content)
    Manifest(step, records, best).write(folder)


def _write_tensors(path: Path, tensors: Iterable[Tensor]) -> FileRecord:
    with path.open("wb") as file:
        writer = HashingWriter(file)
        write_safetensors(cast(BinaryIO, writer), tensors, PYTORCH_METADATA)
    return FileRecord(writer.bytes_written, writer.hexdigest())


def _tensors(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    with closing(SafetensorsFile(path)) as file:
        for name in file.tensors:
            yield name, file.read(name)
