"""Settings that lie in a file: the run.json of a run that is to be repeated, or a TOML file of the user's own."""

from __future__ import annotations

import logging
import os
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from gpt2simple.errors import RunError, SettingsError
from gpt2simple.runs.description import RunInfo
from gpt2simple.runs.resume import RANDOM
from gpt2simple.settings import accepts, to_json
from gpt2simple.storage.contents import content_errors, counted
from gpt2simple.storage.files import is_endless

logger = logging.getLogger(__name__)


@accepts()
def read_settings(path: str | Path) -> dict[str, Any]:
    """The settings in a file, by name, to be given to a function: ``finetune("script.txt", **read_settings(path))``.

    Of a run's ``run.json`` these are all that its training depends on: the model, the precision, the seed, how it was
    trained and how the text was read. Its name is not among them, nor whether it replaced another run.

    Args:
        path: a run.json, recognised by ``.json``; any other file is read as TOML: a line such as ``steps = 500`` for
            each setting.

    Raises:
        SettingsError: the file is missing, or neither of both. The names and values in a TOML file are checked by the
            function that gets them.
    """
    return open_settings(Path(path)).settings


class FileSettings(NamedTuple):
    """What a file holds.

    Attributes:
        settings: by name. task: of the run that the file describes, as ``run.json`` names it; None: it is TOML.
    """

    settings: dict[str, Any]
    task: str | None


def open_settings(path: Path) -> FileSettings:
    """What ``read_settings`` reads. Raises as it does."""
    if is_endless(path):
        raise SettingsError(f"{path} is a device, which may never end. {_EXPECTED}")
    if not os.path.exists(path):  # Path.exists() raises where a name is too long
        raise SettingsError(f"There is no file {str(path)!r}. {_EXPECTED}")
    if path.suffix.lower() == ".json":
        return _of_a_run(path)
    with content_errors(lambda why, _: SettingsError(f"{path} cannot be read ({why}). {_EXPECTED}")):
        values = tomllib.loads(path.read_bytes().decode("utf-8-sig"))  # a byte-order mark is no TOML
    return FileSettings(values, None)


_EXPECTED = "Name the run.json of a run, or a TOML file with a line such as steps = 500 for each setting."


def _of_a_run(path: Path) -> FileSettings:
    try:
        info = RunInfo.read_file(path)
    except RunError as error:
        raise SettingsError(f"{error} {_EXPECTED}") from error
    recorded = info.description
    settings = {
        "model_name": recorded.model_name,
        "precision": recorded.environment.get("precision"),
        **to_json(recorded.text_settings),
        **to_json(recorded.settings),
        "seed": recorded.seed,
    }
    del settings["overwrite"]  # it is about one call, as is where that call began in this run
    if settings["restore_from"] != RANDOM and not Path(settings["restore_from"]).is_dir():
        del settings["restore_from"]
    if info.changes:
        logger.info(
            f"{path}: the run changed its settings {counted(len(info.changes), 'time')} on the way; the last ones are "
            "used from the start."
        )
    return FileSettings({name: value for name, value in settings.items() if value is not None}, recorded.task)
