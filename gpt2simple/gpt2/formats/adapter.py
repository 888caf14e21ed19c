"""A folder with an adapter: the weights of the model that it belongs to, unchanged or merged with it.

The adapter is in peft's format. Beside it this package writes `adapter_base.json`, which says which model it belongs to
and by digests whether that is still the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from gpt2simple.errors import CheckpointError
from gpt2simple.gpt2.config import CLASSIFIER_HEAD, ModelConfig
from gpt2simple.gpt2.formats import huggingface, peft
from gpt2simple.gpt2.formats.names import ADAPTER_BASE_FILE, INDEX_FILE, KERAS_FILE, WEIGHTS_FILE, pointed_prefix
from gpt2simple.gpt2.formats.peft import CONFIG_FILE, AdapterFile, adapter_config
from gpt2simple.gpt2.formats.reader import WeightSource, read_config
from gpt2simple.gpt2.formats.validate import read_json_object
from gpt2simple.gpt2.lora import ROWS, A, B, adapter_shapes, merged
from gpt2simple.storage.contents import quoted
from gpt2simple.storage.files import sha256_of

BASE_FILE = ADAPTER_BASE_FILE


@dataclass(frozen=True, kw_only=True)
class BaseRecord:
    """Which model an adapter belongs to.

    Attributes:
        name: as runs record it, such as "355M". folder: where it lay, as an absolute path.
        digests: sha256 of the files of its weights, by name.
    """

    name: str
    folder: str
    digests: dict[str, str]

    @classmethod
    def of(cls, folder: Path, name: str) -> BaseRecord:
        """Of a model's folder; reads the whole of its weights.

        Raises:
            CheckpointError: it holds none.
        """
        digests = {path.name: _digest(path) for path in _weight_files(folder)}
        if not digests:
            raise CheckpointError(f"{folder} holds no weights, which an adapter would belong to. Check the path.")
        return cls(name=name, folder=str(folder.absolute()), digests=digests)

    @classmethod
    def read(cls, folder: Path) -> BaseRecord | None:
        """From the folder of an adapter; None: this package did not write it.

        Raises:
            CheckpointError: the file is damaged.
        """
        if not (folder / BASE_FILE).is_file():
            return None
        values = read_json_object(folder / BASE_FILE)
        try:
            return cls(name=str(values["name"]), folder=str(values["folder"]), digests=dict(values["sha256"]))
        except (KeyError, TypeError, ValueError):
            raise CheckpointError(f"{folder / BASE_FILE} is damaged. Put it back from a copy.") from None

    def to_bytes(self) -> bytes:
        """The content of the file."""
        values = {"name": self.name, "folder": self.folder, "sha256": self.digests}
        return (json.dumps(values, indent=2) + "\n").encode()

    def require_unchanged(self, folder: Path, adapter: Path) -> None:
        """Raise CheckpointError unless a folder holds the model that the adapter was trained on."""
        if difference := self.difference(folder):
            raise CheckpointError(
                f"{adapter} is an adapter of {quoted(self.name)} in {folder}, of which {difference}: on another model "
                "it would mean nothing. Put the model back as it was, or train again."
            )

    def difference(self, folder: Path) -> str | None:
        """Which of the files with weights in a folder differs from those recorded, in words; None: none does."""
        if not self.digests:
            return None  # peft does not record any
        now = {path.name for path in _weight_files(folder)}
        for name in sorted({*self.digests, *now}):
            what = "is new" if name not in self.digests else "is missing" if name not in now else "has changed"
            if what != "has changed" or _digest(folder / name) != self.digests[name]:
                return f"{name} {what}"
        return None


def _weight_files(folder: Path) -> list[Path]:
    """The files that a model's weights are read from, of any layout."""
    if any((folder / name).is_file() for name in (WEIGHTS_FILE, INDEX_FILE)):
        return [path for path in huggingface.weight_files(folder) if path.is_file()]
    for name in (peft.WEIGHTS_FILE, KERAS_FILE):
        if (folder / name).is_file():
            return [folder / name]
    return sorted(folder.glob(f"{pointed_prefix(folder) or '*'}.data-*"))


def _digest(path: Path) -> str:
    """The sha256 of a file; read once in a process, while the file is as it was."""
    status = path.stat()
    return _sha256(path.absolute(), status.st_ino, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=256)
def _sha256(path: Path, *_: int) -> str:
    return sha256_of(path)


FindBase = Callable[[BaseRecord], Path]  # which model an adapter was trained on -> where that lies now


def recorded_folder(record: BaseRecord) -> Path:
    """Where the model lay when the adapter was trained.

    Raises:
        CheckpointError: it lies there no more.
    """
    folder = Path(record.folder)
    if folder.is_dir():
        return folder
    if not record.digests:
        raise CheckpointError(
            f"The adapter belongs to the model {quoted(record.name)}, and there is no such folder. Download that model "
            f"and write its folder as base_model_name_or_path into {CONFIG_FILE}."
        )
    raise CheckpointError(
        f"The adapter belongs to the model {quoted(record.name)}, which lay in {record.folder} and is not there any "
        f"more. Put it back, or into the folder that model_dir names, as {Path(record.name).name}."
    )


class AdapterSource(WeightSource):
    """The weights of a model and of an adapter beside them; the model's own are not changed by the adapter."""

    def __init__(self, folder: Path, base: WeightSource, base_name: str) -> None:
        """The adapter of a folder, beside an open model that is closed with it.

        Raises:
            CheckpointError: there is no adapter, or none for this model.
        """
        self.base = base
        self._adapter = AdapterFile(folder, base.config)
        try:
            config = self._config_of(folder)
        except BaseException:
            self._adapter.close()
            raise
        super().__init__(folder, f"peft's adapter of {base_name}", config)
        self._of_adapter = adapter_shapes(config)
        self._is_closed = False
        self._expected |= self._of_adapter

    def _config_of(self, folder: Path) -> ModelConfig:
        # A folder of this package has a config of its own, with the labels of a classifier.
        found = read_config(folder) if (folder / "config.json").is_file() else self.base.config
        if self._adapter.has_head and not found.labels:
            raise CheckpointError(
                f"{folder} is the adapter of a classifier, and neither its config.json nor that of its model names the "
                "classes. Write them into a config.json beside it: the model's, with id2label and with architectures "
                'as ["GPT2ForSequenceClassification"].'
            )
        return replace(found, lora=self._adapter.lora, n_vocab=max(found.n_vocab, self._adapter.n_vocab))

    def _stored(self, name: str) -> np.ndarray:
        of_adapter = name in self._of_adapter or (name == CLASSIFIER_HEAD and self._adapter.has_head)
        if of_adapter or name != "wte.weight":
            return self._adapter.read(name) if of_adapter else self.base[name]
        more = self.config.n_vocab - self.base.config.n_vocab
        rows = np.pad(self.base[name], [(0, more), (0, 0)]) if more else self.base[name]  # (V, E)
        if self._is_closed or not self.config.lora.rows:  # type: ignore[union-attr]
            return rows
        return with_rows(rows, self._adapter.read)

    def close_adapter(self) -> None:
        """Close the adapter's own file, which training may remove; the model's weights can be read as before, those of
        new tokens as zeros."""
        self._is_closed = True
        self._adapter.close()

    def close(self) -> None:
        self.close_adapter()
        self.base.close()


class MergedSource(WeightSource):
    """The same as a plain model: the adapter is added to each weight when that is read."""

    def __init__(self, source: AdapterSource) -> None:
        super().__init__(source.folder, source.layout, replace(source.config, lora=None))
        self._source = source

    def _stored(self, name: str) -> np.ndarray:
        return merged_weight(self._source.config, self._source.__getitem__, name)

    def close(self) -> None:
        self._source.close()


def adapter_files(config: ModelConfig, base: BaseRecord, *, dropout: float = 0.0) -> dict[str, bytes]:
    """The files beside an adapter's matrices that make a folder an adapter for peft and this package, by name.

    Args:
        config: of the model with its adapter. base: the model without it. dropout: of the adapter in training.
    """
    named = adapter_config(config, base.folder, dropout=dropout)
    return {CONFIG_FILE: named, BASE_FILE: base.to_bytes()}


def merged_weight(config: ModelConfig, read: Callable[[str], np.ndarray], name: str) -> np.ndarray:
    """A weight of the model with what its adapter adds; ``read`` gives weights and adapter by canonical name."""
    weight, prefix = read(name), name.removesuffix("weight")
    if name == "wte.weight" and config.lora is not None and config.lora.rows:
        return with_rows(np.array(weight, np.float32), read)
    if config.lora is None or prefix + A not in adapter_shapes(config):
        return weight
    return merged(np.array(weight, np.float32), read(prefix + A), read(prefix + B), config.lora)


def with_rows(embedding: np.ndarray, read: Callable[[str], np.ndarray]) -> np.ndarray:
    """The embedding [V, E] with the rows of new tokens that an adapter has, in the array given."""
    rows = read(ROWS)  # (n, E)
    embedding[-len(rows) :] = rows
    return embedding
