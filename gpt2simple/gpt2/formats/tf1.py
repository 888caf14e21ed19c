"""Weights in TensorFlow 1 checkpoints: OpenAI's own `model.ckpt.*` and gpt-2-simple's `model-<step>.*`.

Imports TensorFlow, which alone reads that format, so it is itself imported only when such files are met.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from gpt2simple.backend.tensorflow import tf
from gpt2simple.errors import CheckpointError
from gpt2simple.gpt2.formats.names import from_tf1, pointed_prefix
from gpt2simple.gpt2.formats.reader import WeightSource, read_hparams
from gpt2simple.gpt2.formats.validate import require_data

_STEP = re.compile(r"model-(\d+)")


class OpenAISource(WeightSource):
    """A folder with `hparams.json` and a TensorFlow 1 checkpoint."""

    def __init__(self, folder: Path) -> None:
        """Open the newest checkpoint and check what it holds.

        Raises:
            CheckpointError: a file or weight is missing, damaged or of another shape.
        """
        config = read_hparams(folder)
        prefix = folder / latest_prefix(folder)
        super().__init__(folder, f"TensorFlow 1 checkpoint {prefix.name}", config)
        data_files = _require_files(prefix)
        self._prefix = prefix
        try:
            self._reader = tf.train.load_checkpoint(str(prefix))
        except (tf.errors.OpError, ValueError) as error:
            raise self._damaged(error) from error
        stored = self._reader.get_variable_to_shape_map()
        self._places = {from_tf1(name): name for name in stored}
        self._require_complete({name: tuple(stored[place]) for name, place in self._places.items()}, "hparams.json")
        least, found = 4 * config.parameters, sum(path.stat().st_size for path in data_files)
        if found < least:  # before a minute is spent on reading them
            raise CheckpointError(
                f"{data_files[0]} is cut short: {found:,} bytes of at least {least:,}. Copy or download it again."
            )

    def _stored(self, name: str) -> np.ndarray:
        try:
            return self._reader.get_tensor(self._places[name])
        except (tf.errors.OpError, ValueError) as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> CheckpointError:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return CheckpointError(
            f"{self._prefix}.* cannot be read ({reason}): it is damaged. Copy or download the checkpoint again."
        )


def latest_prefix(folder: Path) -> str:
    """The name that the newest checkpoint's files share, such as `model-1000`.

    The file `checkpoint` says which it is; without it, the highest step is taken.

    Raises:
        CheckpointError: `checkpoint` names one that is not here.
    """
    present = sorted(path.name.removesuffix(".index") for path in folder.glob("*.index"))
    latest = pointed_prefix(folder)
    if latest is None:
        return max(present, key=_step)
    if latest not in present:
        raise CheckpointError(
            f"{folder / 'checkpoint'} names {latest or 'no checkpoint'}, whose .index file is missing; present are: "
            f"{', '.join(present) or 'none'}. Copy the missing files, or delete checkpoint to use the highest step."
        )
    return latest


def _step(prefix: str) -> int:
    step = _STEP.fullmatch(prefix)
    return int(step.group(1)) if step else -1


def _require_files(prefix: Path) -> list[Path]:
    """The data files of a checkpoint, all of which are there, and its index too.

    Raises:
        CheckpointError: a file is missing or a Git LFS pointer.
    """
    require_data(prefix.with_name(prefix.name + ".index"))
    data = sorted(prefix.parent.glob(f"{prefix.name}.data-*-of-*"))
    count = int(data[0].name.rsplit("-", 1)[1]) if data else 1
    wanted = [prefix.with_name(f"{prefix.name}.data-{i:05}-of-{count:05}") for i in range(count)]
    for path in wanted:
        require_data(path)
    return wanted
