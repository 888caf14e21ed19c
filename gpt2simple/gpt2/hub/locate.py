"""Where a model lies: a known size, the built-in one, one of the hub, or a folder of the user's; and its config.

Knows names and folders; loads no weights.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.formats.adapter import BaseRecord, recorded_folder
from gpt2simple.gpt2.formats.detect import open_checkpoint
from gpt2simple.gpt2.hub.download import (
    download_gpt2,
    download_hub_model,
    hub_folder,
    hub_name,
    is_gpt2_downloaded,
)
from gpt2simple.gpt2.hub.registry import KNOWN_MODELS, find, unknown_model
from gpt2simple.gpt2.hub.repository import RECORD_FILE, HubName, HubRecord, look_up, named_commit


def model_folder(model_name: str, model_dir: Path) -> Path:
    """The folder of a model, downloaded first if it is a known size or one of the hub, and is not there.

    Args:
        model_name: a known name, the name of a folder in ``model_dir``, the path of a folder, or a name of the hub.

    Raises:
        SettingsError: it is none of these.
        DownloadError: it could not be fetched. CheckpointError: the model of the hub is no plain GPT-2.
    """
    if find(model_name):
        return download_gpt2(model_name, model_dir)
    named = hub_name(model_name, model_dir)
    for folder in (model_dir / model_name, Path(model_name)):
        # Path.is_dir() raises where a name is too long; what was fetched of a model of the hub may be a part of it.
        if os.path.isdir(folder) and (named is None or HubRecord.read(folder) is None):
            return folder
    if named is not None:
        return download_hub_model(named, model_dir)
    raise unknown_model(model_name)


def pinned_name(model_name: str, model_dir: Path) -> str:
    """The name of a model of the hub with the commit that lies in ``model_dir``; other names as they are."""
    named = None if find(model_name) else hub_name(model_name, model_dir)
    record = None if named is None else HubRecord.read(hub_folder(named, model_dir))
    return model_name if record is None else record.name


def hub_record(name: HubName, model_dir: Path) -> HubRecord | None:
    """What was recorded of a model of the hub when it was fetched, if it lies in ``model_dir`` at that commit."""
    record = HubRecord.read(hub_folder(name, model_dir))
    return record if record is not None and record.commit == name.revision else None


def fetched_from_hub(model_dir: Path) -> Iterator[tuple[Path, HubRecord]]:
    """The folders of ``model_dir`` that hold a model of the hub, or a part of one, in order."""
    for path in sorted(model_dir.glob(f"*/*/{RECORD_FILE}")):
        if (record := HubRecord.read(path.parent)) is not None:
            yield path.parent, record


def find_base(record: BaseRecord, *, model_dir: Path) -> Path:
    """Where the model of an adapter lies: a known one by its name, downloaded if need be, as is one of the hub that is
    not where it lay; another where it lay, or in ``model_dir`` under the end of its name.

    Raises:
        CheckpointError: it lies there no more. DownloadError: it could not be fetched.
    """
    if find(record.name):
        return model_folder(record.name, model_dir)
    if not os.path.isdir(record.folder) and (of_hub := hub_name(record.name, model_dir)) is not None:
        return download_hub_model(of_hub, model_dir)
    named = model_dir / Path(record.name).name
    moved = bool(record.digests) and not os.path.isdir(record.folder) and os.path.isdir(named)
    return named if moved else recorded_folder(record)


def model_config_of(model_name: str, model_dir: Path) -> ModelConfig:
    """The config of a model, found without loading or downloading it. Arguments as ``model_folder``.

    Raises:
        SettingsError: there is no such model. CheckpointError: its folder holds none.
    """
    known = find(model_name)
    named = hub_name(model_name, model_dir) if known is None else None
    if named is not None and not is_gpt2_downloaded(model_name, model_dir):
        config = look_up(named).known.config
        assert config is not None
        return config
    if known is None or known.config is None or is_gpt2_downloaded(model_name, model_dir):
        return folder_config(model_folder(model_name, model_dir), model_dir)  # nothing is fetched
    return known.config


def folder_config(folder: Path, model_dir: Path) -> ModelConfig:
    """The config of the model in a folder, of any layout; of an adapter, that of the two merged.

    Args:
        model_dir: where the model of an adapter lies, if it is a known size.

    Raises:
        CheckpointError: the folder holds no usable model.
    """
    with open_checkpoint(folder, partial(find_base, model_dir=model_dir)) as source:
        return replace(source.config, lora=None)


def name_of_config(config: ModelConfig) -> str | None:
    """The known size with that config; None: no published one."""
    return next((known.name for known in KNOWN_MODELS.values() if known.config == config), None)


def recorded_name(model_name: str) -> str:
    """The name under which runs record a model: of an absolute path the end, which means the same on other machines."""
    path = Path(model_name)
    if not path.is_absolute():
        return model_name
    return path.name if find(path.name) is None else Path(*path.parts[-2:]).as_posix()  # "124M" is OpenAI's


def is_same_model(one: str, other: str) -> bool:
    """Whether two names may mean one model: equal ones, or a path and its end, such as what runs record of it.

    A name of the hub without a revision may mean each of them.
    """
    if ("@" in one) != ("@" in other):
        one, other = (name.partition("@")[0] for name in (one, other))
    shorter, longer = sorted((Path(one).parts, Path(other).parts), key=len)
    return len(shorter) > 0 and longer[-len(shorter) :] == shorter


def with_revision(model_name: str, recorded: str) -> str:
    """The name that a run recorded, if a call names the same model of the hub without a revision; else the call's."""
    of_run = named_commit(recorded)
    return recorded if of_run is not None and of_run.repo == model_name else model_name


def canonical_name(model_name: str) -> str:
    """One spelling for each known model: "gpt2" and "117M" are "124M"; other names stay as they are."""
    known = find(model_name)
    return known.name if known else model_name
