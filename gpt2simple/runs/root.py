"""The root of a run: the model folder that other tools open, kept equal to one of the checkpoints.

Knows the root's model files and where they come from; not which checkpoint should stand there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from gpt2simple.runs.checkpoint import StepCheckpoint
from gpt2simple.runs.layout import MODEL_FILE
from gpt2simple.runs.manifest import FileRecord, Manifest
from gpt2simple.storage import atomic_write, link_or_copy


def publish_weights(run: Path, checkpoint: StepCheckpoint) -> None:
    """Make the root's weights those of a checkpoint, in one step: a second name of the same file where the disk can."""
    link_or_copy(checkpoint.path / MODEL_FILE, run / MODEL_FILE)


def has_weights_of(run: Path, checkpoint: StepCheckpoint) -> bool:
    """Whether the root's weights are, byte for byte, those of a checkpoint."""
    root = run / MODEL_FILE
    if not root.is_file():
        return False
    if root.samefile(checkpoint.path / MODEL_FILE):
        return True
    return Manifest.read(checkpoint.path).files[MODEL_FILE].damage(root) is None


def restore_side_files(run: Path, checkpoint: StepCheckpoint, written: Mapping[str, FileRecord]) -> list[str]:
    """Put back config and tokenizer files of the root that are gone or torn, from a checkpoint's copies.

    A file that was edited on purpose stays as it is: torn means missing, JSON that does not end, or shorter than it
    was written.

    Args:
        run: the root.
        checkpoint: where whole copies are.
        written: the files as they were written when the run began.

    Returns:
        The names of those put back.
    """
    restored = []
    for name, record in written.items():
        source = checkpoint.path / name
        if _is_torn(run / name, record) and source.is_file():
            atomic_write(run / name, source.read_bytes())
            restored.append(name)
    return restored


def side_files(run: Path, written: Mapping[str, FileRecord]) -> dict[str, bytes]:
    """The root's config and tokenizer files, for the copy in a checkpoint; torn ones are left out."""
    return {name: (run / name).read_bytes() for name, record in written.items() if not _is_torn(run / name, record)}


def _is_torn(path: Path, record: FileRecord) -> bool:
    if not path.is_file():
        return True
    if path.suffix != ".json":
        return path.stat().st_size < record.n_bytes
    try:
        json.loads(path.read_bytes())
    except ValueError:
        return True
    return False
