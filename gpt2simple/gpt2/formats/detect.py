"""Which layout a folder's weights have, found by its files.

Knows which files tell the layouts apart, and the errors for a folder without any; each layout's reader is loaded
only when it is met.
"""

from __future__ import annotations

from pathlib import Path

from gpt2simple.errors import CheckpointError
from gpt2simple.gpt2.formats import peft
from gpt2simple.gpt2.formats.adapter import (
    BASE_FILE,
    AdapterSource,
    BaseRecord,
    FindBase,
    MergedSource,
    recorded_folder,
)
from gpt2simple.gpt2.formats.huggingface import SafetensorsSource
from gpt2simple.gpt2.formats.names import INDEX_FILE, KERAS_FILE, WEIGHTS_FILE
from gpt2simple.gpt2.formats.reader import WeightSource
from gpt2simple.gpt2.formats.validate import checkpoint_errors

_LAYOUTS = (
    "config.json with model.safetensors (Hugging Face, and this package's own runs), config.json with tf_model.h5, "
    "or hparams.json with a TensorFlow 1 checkpoint (model.ckpt.* of OpenAI, model-<step>.* of gpt-2-simple)"
)

_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
_NAMES_SHOWN = 8


def open_checkpoint(folder: Path, find_base: FindBase = recorded_folder) -> WeightSource:
    """Open the weights of a folder, whatever their layout.

    Where a folder holds several, safetensors come first (a gpt-2-simple run that this package continued holds both).
    An adapter is opened with the model that it belongs to; if that has one too, merged with it.

    Args:
        find_base: where the model of an adapter lies.

    Raises:
        CheckpointError: there is no such folder, it holds no weights, or weights that cannot or must not be used.
    """
    with checkpoint_errors(folder):
        return _open(folder, find_base)


def _open(folder: Path, find_base: FindBase) -> WeightSource:
    try:
        present = {path.name for path in folder.iterdir()}
    except (FileNotFoundError, NotADirectoryError) as error:
        kind = "is a file" if folder.exists() else "does not exist"
        message = f"{folder} {kind}, where a model's folder was expected: {_LAYOUTS}. Check the path."
        raise CheckpointError(message) from error
    if present & {WEIGHTS_FILE, INDEX_FILE}:
        return SafetensorsSource(folder)
    if peft.CONFIG_FILE in present:
        return _open_adapter(folder, find_base)
    if KERAS_FILE in present:
        from gpt2simple.gpt2.formats.keras_h5 import KerasH5Source  # here: loads h5py

        return KerasH5Source(folder)
    if any(name.endswith(".index") for name in present) or (folder / "checkpoint").is_file():
        from gpt2simple.gpt2.formats.tf1 import OpenAISource  # here: loads TensorFlow

        return OpenAISource(folder)
    if present & set(_PICKLES):
        raise CheckpointError(
            f"{folder} holds its weights as pytorch_model.bin, which executes code when it is opened: refused. "
            "Where you trust it and have PyTorch, convert it once: GPT2LMHeadModel.from_pretrained(folder)"
            ".save_pretrained(new_folder, safe_serialization=True); most models also offer model.safetensors."
        )
    shown = ", ".join(sorted(present)[:_NAMES_SHOWN]) + (", ..." if len(present) > _NAMES_SHOWN else "")
    raise CheckpointError(
        f"{folder} holds no GPT-2 weights; {'it holds ' + shown if present else 'it is empty'}. Expected: {_LAYOUTS}. "
        "Check the path, or download a model with `gpt2simple download`."
    )


def models_beneath(folder: Path, find_base: FindBase = recorded_folder) -> list[tuple[BaseRecord, Path]]:
    """Which model the adapter of a folder belongs to, and where it lies; where that has one too, its model, and so on.

    Raises:
        CheckpointError: one is not there, or belongs to itself.
    """
    found: list[tuple[BaseRecord, Path]] = []
    above = [folder]
    while (record := _base_of(above[-1])) is not None:
        place = find_base(record)
        if place.resolve() in {each.resolve() for each in above}:
            file = above[-1] / (BASE_FILE if (above[-1] / BASE_FILE).is_file() else peft.CONFIG_FILE)
            raise CheckpointError(
                f"{file} names {place} as the model of the adapter, which is this adapter itself, or belongs to it. "
                "Write the folder of the model that it was trained on there."
            )
        found.append((record, place))
        above.append(place)
    return found


def _base_of(folder: Path) -> BaseRecord | None:
    """Which model the adapter of a folder belongs to; None: the folder holds none, or whole weights."""
    if not (folder / peft.CONFIG_FILE).is_file() or any((folder / n).is_file() for n in (WEIGHTS_FILE, INDEX_FILE)):
        return None
    if (record := BaseRecord.read(folder)) is not None:
        return record
    named = peft.base_model_of(folder)  # of peft itself
    return BaseRecord(name=named, folder=named, digests={})


def _open_adapter(folder: Path, find_base: FindBase) -> AdapterSource:
    record, place = models_beneath(folder, find_base)[0]
    record.require_unchanged(place, folder)
    base = open_checkpoint(place, find_base)
    if isinstance(base, AdapterSource):
        base = MergedSource(base)
    try:
        return AdapterSource(folder, base, record.name)
    except BaseException:
        base.close()
        raise
