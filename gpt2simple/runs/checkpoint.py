"""One resumable checkpoint: a folder that is whole or absent, and is also a model folder that transformers opens.

Knows the files of the folder; not what the tensors or the state mean, nor which other checkpoints there are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

import numpy as np

from gpt2simple.errors import CheckpointError, Gpt2SimpleError, RunError
from gpt2simple.gpt2.formats.safetensors_file import PYTORCH_METADATA, SafetensorsFile, Tensor, write_safetensors
from gpt2simple.runs.description import BestMark, FileRecord, Manifest, plain_number
from gpt2simple.runs.layout import MANIFEST_FILE, MODEL_SIDE_FILES, OPTIMIZER_FILE, STATE_FILE, weights_file
from gpt2simple.storage.contents import content_errors, read_json
from gpt2simple.storage.files import HashingWriter

T = TypeVar("T")


class CheckpointRemovedError(RunError):
    """A checkpoint was removed or replaced while it was read, as training does with old ones: choose again."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} was removed while it was read. Repeat the call.")


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
        """The best step as it was known when this checkpoint was written.

        Raises:
            ValueError: the manifest is torn. CheckpointRemovedError: the checkpoint is not there any more.
        """
        return _unless_removed(self.path, lambda: Manifest.read(self.path).best)

    @property
    def weights_file(self) -> str:
        """The name of the file with the weights.

        Raises:
            ValueError: the manifest is torn.
        """
        return weights_file(Manifest.read(self.path).files)

    def weights(self) -> Iterator[tuple[str, np.ndarray]]:
        """The weights under the names given to ``save``, float32, one at a time."""
        return _tensors(self.path / self.weights_file)

    def optimizer(self) -> Iterator[tuple[str, np.ndarray]]:
        """The optimizer's tensors under the names given to ``save``, one at a time."""
        return _tensors(self.path / OPTIMIZER_FILE)

    def damage(self, *, weights_only: bool = False) -> str | None:
        """What is wrong with it, in words; None where every byte is as it was written.

        Args:
            weights_only: leave out the optimizer's tensors (two thirds of the bytes), which generating does not need.

        Raises:
            CheckpointRemovedError: it is not there any more.
        """
        try:
            _unless_removed(self.path, lambda: self._require_whole(weights_only))
        except ValueError as error:
            return str(error)
        return None

    def _require_whole(self, weights_only: bool) -> None:
        manifest = Manifest.read(self.path)
        needed = {weights_file(manifest.files), OPTIMIZER_FILE, STATE_FILE}
        if manifest.step != self.step or not manifest.files.keys() >= needed:
            raise ValueError(f"{MANIFEST_FILE} is not this checkpoint's")
        names = manifest.files.keys() - ({OPTIMIZER_FILE} if weights_only else set())
        # What nobody recorded cannot be checked, and would change what the model reads and writes.
        strange = [name for name in MODEL_SIDE_FILES if name not in manifest.files and (self.path / name).exists()]
        if problem := manifest.damage(self.path, sorted(names)) or next((f"{n} is not listed" for n in strange), None):
            raise ValueError(problem)


def read_chosen(choose: Callable[[], Path], read: Callable[[Path], T]) -> T:
    """What ``read`` returns for the folder that ``choose`` names.

    Training removes old checkpoints at any time: if the folder was removed or replaced while it was read, both are
    called again. Errors of ``choose``, and of ``read`` while the folder is still there, propagate.
    """
    while True:
        folder = choose()
        try:
            return _unless_removed(folder, lambda: read(folder))  # noqa: B023 - called at once
        except CheckpointRemovedError:
            continue


def require_undamaged(folder: Path) -> None:
    """Check a model folder that a user named, if it is a checkpoint; other folders record no digests.

    Raises:
        CheckpointError: a file is not as it was written.
    """
    try:
        step = Manifest.read(folder).step
    except ValueError:
        return
    if problem := StepCheckpoint(step, folder).damage(weights_only=True):
        raise CheckpointError(
            f"The checkpoint {folder} is damaged: {problem}. Put that file back from a copy, or name another "
            "checkpoint of the run."
        )


def _unless_removed(folder: Path, read: Callable[[], T]) -> T:
    """What ``read`` returns; CheckpointRemovedError if the folder was removed or replaced meanwhile."""
    before = _state_of(folder)
    try:
        result = read()
    except (OSError, ValueError, Gpt2SimpleError) as error:
        if before is None or _state_of(folder) != before:
            raise CheckpointRemovedError(folder) from error
        raise
    if _state_of(folder) not in (before, None):  # parts of two checkpoints
        raise CheckpointRemovedError(folder)
    return result


def _state_of(folder: Path) -> bytes | None:
    """The bytes that tell a checkpoint from another of the same name; None where there is none."""
    try:
        return (folder / MANIFEST_FILE).read_bytes()
    except OSError:
        return b"" if folder.is_dir() else None


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
    model_file = weights_file(side_files)
    records = {
        model_file: _write_tensors(folder / model_file, weights),
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
