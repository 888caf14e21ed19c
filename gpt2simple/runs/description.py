"""run.json (what a run is, how far it is, what it was made with) and manifest.json (the files of one checkpoint).

Knows the fields of run.json and their history (schema numbers), and names, lengths and digests of a checkpoint's files,
by which a torn one is recognised; not what the files mean.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gpt2simple.errors import INSTALL_AGAIN, RunError
from gpt2simple.runs.layout import MANIFEST_FILE, RUN_FILE
from gpt2simple.settings import ReadingSettings, TrainingSettings, from_json, misfit, to_json
from gpt2simple.settings.fields import plain
from gpt2simple.settings.tasks import LANGUAGE_MODELING, TASK_SETTINGS, task_of
from gpt2simple.storage.contents import quoted, read_json, reason
from gpt2simple.storage.files import atomic_write, sha256_of


@dataclass(frozen=True)
class FileRecord:
    """Length in bytes and sha256 (64 hexadecimal digits) of a file."""

    n_bytes: int
    sha256: str

    @classmethod
    def of(cls, content: bytes) -> FileRecord:
        """Of a file that holds exactly this."""
        return cls(len(content), hashlib.sha256(content).hexdigest())

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> FileRecord:
        return cls(int(values["bytes"]), str(values["sha256"]))

    def to_json(self) -> dict[str, Any]:
        return {"bytes": self.n_bytes, "sha256": self.sha256}

    def damage(self, path: Path) -> str | None:
        """What is wrong with a file, in words, or None where it is as recorded."""
        try:
            n_bytes = path.stat().st_size
            if n_bytes != self.n_bytes:
                return f"{path.name} has {n_bytes} bytes, expected {self.n_bytes}"
            return None if sha256_of(path) == self.sha256 else f"the content of {path.name} has changed"
        except FileNotFoundError:
            return f"{path.name} is missing"
        except OSError as error:
            return f"{path.name} cannot be read ({error.strerror})"


@dataclass(frozen=True)
class BestMark:
    """The step with the lowest held-out loss so far, and its held-out figures."""

    step: int
    figures: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def checked(cls, step: Any, figures: Any) -> BestMark:
        """From values of a file. Raises ValueError if they are not a whole number and numbers by name."""
        known = type(step) is int and isinstance(figures, dict)
        if not known or not all(n is None or type(n) in (int, float) for n in figures.values()):
            raise ValueError(f"the best step is {quoted(step)} with {quoted(figures)}")
        return cls(step, figures)


def _file_records(values: Mapping[str, Any]) -> dict[str, FileRecord]:
    """The records of files by name. Raises ValueError for a name that is not of a file in the folder itself."""
    if odd := [name for name in values if "\0" in name or Path(name).name != name]:
        raise ValueError(f"it names the file {quoted(odd[0])}")
    return {name: FileRecord.from_json(record) for name, record in values.items()}


@dataclass(frozen=True)
class Manifest:
    """The files of one checkpoint, and the best step as it was known when the checkpoint was written.

    The best mark lies here, not only in run.json, because weights and mark must appear in one rename: a kill between
    two writes could otherwise leave a mark that does not fit the checkpoints.
    """

    step: int
    files: Mapping[str, FileRecord]
    best: BestMark | None = None

    def write(self, folder: Path) -> None:
        """Write it into a folder, in one step."""
        content = {
            "step": self.step,
            "best": None if self.best is None else {"step": self.best.step, "figures": dict(self.best.figures)},
            "files": {name: record.to_json() for name, record in sorted(self.files.items())},
        }
        atomic_write(folder / MANIFEST_FILE, json.dumps(content, indent=2) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """From a checkpoint folder.

        Raises:
            ValueError: it is missing or not whole; the message says which.
        """
        try:
            content = read_json(folder / MANIFEST_FILE)
            best = content["best"]
            return cls(
                step=int(content["step"]),
                files=_file_records(content["files"]),
                best=None if best is None else BestMark.checked(best["step"], best["figures"]),
            )
        except FileNotFoundError:
            raise ValueError(f"{MANIFEST_FILE} is missing") from None
        except Exception as error:
            raise ValueError(f"{MANIFEST_FILE} cannot be read") from error

    def damage(self, folder: Path, names: Iterable[str] | None = None) -> str | None:
        """The first thing wrong with the files of a folder, in words, or None where they are as recorded.

        Args:
            folder: the checkpoint.
            names: check only these files; None: all.
        """
        for name in self.files if names is None else names:
            record = self.files.get(name)
            if problem := f"{name} is not listed" if record is None else record.damage(folder / name):
                return problem
        return None


SCHEMA = 1

# From a schema number to the function that upgrades run.json to the next. A change of its fields adds one small named
# function here, and a test with a run.json of the old schema.
Upgrade = Callable[[dict[str, Any]], dict[str, Any]]
UPGRADES: Mapping[int, Upgrade] = {}


@dataclass(frozen=True, kw_only=True)
class RunDescription:
    """What identifies a run: recorded when it starts, compared when it continues."""

    model_name: str
    settings: TrainingSettings  # of its task
    text_settings: ReadingSettings
    data_fingerprint: str  # of the training texts: any string that differs when they do
    data_summary: Mapping[str, Any] = field(default_factory=dict)
    tokenizer_fingerprint: str
    seed: int
    environment: Mapping[str, str] = field(default_factory=dict)  # versions, and the precision, threads ... chosen
    validation_fingerprint: str | None = None  # of validation_file's text; None without one, or from before it was kept
    parameters: int = 0  # of the model, where a call asks for a run; not on record

    @property
    def task(self) -> str:
        """What the model is trained for: "language modeling" or "classification"."""
        return task_of(self.settings)


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """The content of run.json."""

    description: RunDescription
    model_files: Mapping[str, FileRecord]  # config and tokenizer files, as they were written
    created: str  # UTC, ISO 8601
    updated: str
    latest_step: int | None = None
    best: BestMark | None = None
    ended: str | None = None  # why training last ended: EndRecord.reason; None while it runs, or when it was killed
    changes: tuple[Mapping[str, Any], ...] = ()  # on the way: {"step": 120, "settings": {name: [before, after]}}

    def changed(self, **fields: Any) -> RunInfo:
        """A copy with other fields and the time of now."""
        return replace(self, updated=now(), **fields)

    def to_json(self) -> dict[str, Any]:
        d = self.description
        data: dict[str, Any] = {"fingerprint": d.data_fingerprint, "summary": dict(d.data_summary)}
        if d.validation_fingerprint is not None:
            data["validation_fingerprint"] = d.validation_fingerprint
        return {
            "schema": SCHEMA,
            **({} if d.task == LANGUAGE_MODELING else {"task": d.task}),  # there was no other at first
            "model_name": d.model_name,
            "settings": to_json(d.settings),
            "text_settings": to_json(d.text_settings),
            "data": data,
            "tokenizer_fingerprint": d.tokenizer_fingerprint,
            "seed": d.seed,
            "environment": dict(d.environment),
            "created": self.created,
            "updated": self.updated,
            "latest_step": self.latest_step,
            "best_step": self.best.step if self.best else None,
            "best_figures": dict(self.best.figures) if self.best else None,
            "ended": self.ended,
            "changes": [dict(change) for change in self.changes],
            "model_files": {name: record.to_json() for name, record in self.model_files.items()},
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> RunInfo:
        best_step = values["best_step"]
        of_training, of_text = TASK_SETTINGS[values.get("task", LANGUAGE_MODELING)]
        info = cls(
            description=RunDescription(
                model_name=values["model_name"],
                settings=from_json(of_training, values["settings"]),
                text_settings=from_json(of_text, values["text_settings"]),
                data_fingerprint=values["data"]["fingerprint"],
                data_summary=values["data"]["summary"],
                validation_fingerprint=values["data"].get("validation_fingerprint"),
                tokenizer_fingerprint=values["tokenizer_fingerprint"],
                seed=values["seed"],
                environment=values["environment"],
            ),
            model_files=_file_records(values["model_files"]),
            created=values["created"],
            updated=values["updated"],
            latest_step=values["latest_step"],
            best=None if best_step is None else BestMark.checked(best_step, values["best_figures"] or {}),
            ended=values["ended"],
            changes=tuple(values["changes"]),
        )
        for part in (info.description, info):
            if wrong := misfit(type(part), vars(part)):
                raise ValueError(f"{wrong} is {quoted(vars(part)[wrong])}")
        if not all(isinstance(change, dict) for change in info.changes):
            raise ValueError(f"changes is {quoted(list(info.changes))}")
        return info

    def write(self, run: Path) -> None:
        """Write it into the run's folder, in one step."""
        atomic_write(run / RUN_FILE, self.to_bytes())

    def to_bytes(self) -> bytes:
        """The content of run.json."""
        text = json.dumps(self.to_json(), indent=2, default=plain_number, ensure_ascii=False)
        return f"{text}\n".encode("utf-8", "replace")  # a file's name may hold bytes that are no UTF-8

    @classmethod
    def read(cls, folder: Path) -> RunInfo:
        """From a run's root, or from the copy in one of its checkpoints; raises as ``read_file`` does."""
        return cls.read_file(folder / RUN_FILE)

    @classmethod
    def read_file(cls, path: Path) -> RunInfo:
        """From a run.json, under whatever name.

        Raises:
            RunError: the file is missing, not whole, or of a newer version of this package.
        """
        try:
            values = read_json(path)
            return cls.from_json(upgraded(values, path))
        except RunError:
            raise
        except Exception as error:  # a SettingsError too
            raise RunError(
                f"{path} cannot be read ({reason(error)}). Every run has this file; put it back from a "
                "copy, or start over under another run_name."
            ) from error


def upgraded(values: dict[str, Any], path: Path, upgrades: Mapping[int, Upgrade] = UPGRADES) -> dict[str, Any]:
    """The content of a run.json in this version's schema.

    Args:
        values: as read; its "schema" says which fields it has.
        path: the file, for messages.
        upgrades: the steps from one schema to the next.

    Raises:
        RunError: a newer version of this package wrote it.
    """
    schema = values["schema"]
    if type(schema) is not int or schema < 1:
        raise ValueError(f"schema is {quoted(schema)}")
    newest = max(upgrades, default=SCHEMA - 1) + 1
    if schema > newest:
        raise RunError(
            f"{path} has schema {quoted(schema)}; this version of gpt2simple reads up to {newest}. "
            f"A newer version wrote it. {INSTALL_AGAIN}"
        )
    while schema < newest:
        values = {**upgrades[schema](values), "schema": schema + 1}
        schema += 1
    return values


def plain_number(value: Any) -> Any:
    """A NumPy number as Python's, for json.dumps."""
    if (number := plain(value)) is not value:
        return number
    raise TypeError(f"{type(value).__name__} is not a JSON value; give plain numbers, strings, lists or dictionaries.")


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
