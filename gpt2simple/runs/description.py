"""run.json: what a run is, how far it is, and what it was made with.

Knows the file's fields and their history (schema numbers); not the weights beside it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gpt2simple.errors import RunError, SettingsError
from gpt2simple.runs.layout import RUN_FILE
from gpt2simple.runs.manifest import BestMark, FileRecord
from gpt2simple.settings import FinetuneSettings, TextSettings, from_json, to_json
from gpt2simple.storage import atomic_write

SCHEMA = 1

# From a schema number to the function that makes the next one of it. A change of run.json's fields adds one small named
# function here, and a test with a run.json of the old kind.
Upgrade = Callable[[dict[str, Any]], dict[str, Any]]
UPGRADES: Mapping[int, Upgrade] = {}


@dataclass(frozen=True, kw_only=True)
class RunDescription:
    """What makes a run that run: given when it starts, compared when it continues."""

    model_name: str
    settings: FinetuneSettings
    text_settings: TextSettings
    data_fingerprint: str  # of the texts trained on, any spelling that differs when they do
    data_summary: Mapping[str, Any] = field(default_factory=dict)
    tokenizer_fingerprint: str
    seed: int
    environment: Mapping[str, str] = field(
        default_factory=dict
    )  # versions, and what was chosen: precision, threads ...
    validation_fingerprint: str | None = None  # of validation_file's text; None without one, or from before it was kept


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """Everything that run.json says."""

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
        return {
            "schema": SCHEMA,
            "model_name": d.model_name,
            "settings": to_json(d.settings),
            "text_settings": to_json(d.text_settings),
            "data": {"fingerprint": d.data_fingerprint, "summary": dict(d.data_summary), **_validation(d)},
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
            "model_files": {name: {"bytes": r.n_bytes, "sha256": r.sha256} for name, r in self.model_files.items()},
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> RunInfo:
        best_step = values["best_step"]
        return cls(
            description=RunDescription(
                model_name=values["model_name"],
                settings=from_json(FinetuneSettings, values["settings"]),
                text_settings=from_json(TextSettings, values["text_settings"]),
                data_fingerprint=values["data"]["fingerprint"],
                data_summary=values["data"]["summary"],
                validation_fingerprint=values["data"].get("validation_fingerprint"),
                tokenizer_fingerprint=values["tokenizer_fingerprint"],
                seed=values["seed"],
                environment=values["environment"],
            ),
            model_files={n: FileRecord(int(r["bytes"]), str(r["sha256"])) for n, r in values["model_files"].items()},
            created=values["created"],
            updated=values["updated"],
            latest_step=values["latest_step"],
            best=None if best_step is None else BestMark(int(best_step), values["best_figures"] or {}),
            ended=values["ended"],
            changes=tuple(values["changes"]),
        )

    def write(self, run: Path) -> None:
        """Write it into the run's folder, in one step."""
        atomic_write(run / RUN_FILE, self.to_bytes())

    def to_bytes(self) -> bytes:
        """The content of run.json."""
        return (json.dumps(self.to_json(), indent=2, default=plain_number) + "\n").encode()

    @classmethod
    def read(cls, folder: Path) -> RunInfo:
        """From a run's root, or from the copy in one of its checkpoints.

        Raises:
            RunError: the file is missing, not whole, or of a newer version of this package.
        """
        path = folder / RUN_FILE
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            return cls.from_json(upgraded(values, path))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, SettingsError) as error:
            raise RunError(
                f"{path} cannot be read ({type(error).__name__}: {error}). Every run has this file; put it back from a "
                "copy, or start anew under another run_name."
            ) from error


def upgraded(values: dict[str, Any], path: Path, upgrades: Mapping[int, Upgrade] = UPGRADES) -> dict[str, Any]:
    """The content of a run.json in this version's schema.

    Args:
        values: as read; its "schema" says which fields it has.
        path: where it stands, for messages.
        upgrades: the steps from one schema to the next.

    Raises:
        RunError: a newer version of this package wrote it.
    """
    schema = int(values["schema"])
    newest = max(upgrades, default=SCHEMA - 1) + 1
    if schema > newest:
        raise RunError(
            f"{path} has schema {schema}; this version of gpt2simple reads up to {newest}. A newer version wrote it: "
            "pip install --upgrade gpt2simple."
        )
    while schema < newest:
        values = {**upgrades[schema](values), "schema": schema + 1}
        schema += 1
    return values


def _validation(description: RunDescription) -> dict[str, str]:
    kept = description.validation_fingerprint
    return {} if kept is None else {"validation_fingerprint": kept}


def plain_number(value: Any) -> Any:
    """A NumPy number as Python's, for json.dumps."""
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        return value.item()
    raise TypeError(f"{type(value).__name__} is not a JSON value; give plain numbers, strings, lists or dictionaries.")


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
