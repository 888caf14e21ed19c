"""Weights in `tf_model.h5`, which transformers' TensorFlow classes wrote by default.

Imports h5py, so it is itself imported only when such a file is met. Knows nothing of TensorFlow.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from gpt2simple.errors import CheckpointError
from gpt2simple.gpt2.formats.names import KERAS_FILE, from_keras
from gpt2simple.gpt2.formats.reader import WeightSource, read_config
from gpt2simple.gpt2.formats.validate import require_data


class KerasH5Source(WeightSource):
    """A folder with `config.json` and `tf_model.h5`."""

    def __init__(self, folder: Path) -> None:
        """Open the file and check what it holds.

        Raises:
            CheckpointError: a file or weight is missing, damaged or of another shape.
        """
        super().__init__(folder, "TensorFlow h5", read_config(folder))
        path = folder / KERAS_FILE
        require_data(path)
        try:
            self._file = h5py.File(path, "r")
        except OSError as error:
            raise _damaged(path, error) from error
        try:
            self._places = _find_places(self._file)
            shapes = {name: self._file[place].shape for name, place in self._places.items()}
            self._require_complete(shapes, "config.json")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._file.close()

    def _stored(self, name: str) -> np.ndarray:
        try:
            return self._file[self._places[name]][()]
        except OSError as error:
            raise _damaged(self.folder / KERAS_FILE, error) from error


def _find_places(file: h5py.File) -> dict[str, str]:
    """The path of each weight inside the file, by canonical name."""
    places: dict[str, str] = {}

    def visit(path: str, item: h5py.Group | h5py.Dataset) -> None:
        name = from_keras(path) if isinstance(item, h5py.Dataset) else None
        if name is not None:
            places[name] = path

    file.visititems(visit)
    return places


def _damaged(path: Path, error: OSError) -> CheckpointError:
    return CheckpointError(
        f"{path} cannot be read as HDF5 ({error}): it is damaged or cut short. Copy or download it again."
    )
