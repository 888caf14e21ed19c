"""A GPT-2 of the Hugging Face hub under any name: which revision is meant, and which of its files are to be fetched.

The hub's API says to which commit a revision belongs, and names the files there with their lengths and digests. What a
folder holds is recorded beside it, so that a download that was cut off goes on with the same commit, and a run can say
which one it started from. Fetches nothing but that answer and the model's config.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from gpt2simple.errors import CheckpointError, DownloadError
from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.formats.names import INDEX_FILE, KERAS_FILE, WEIGHTS_FILE
from gpt2simple.gpt2.hub.fetch import get, try_again
from gpt2simple.gpt2.hub.registry import KnownModel, PublishedFile, base_address
from gpt2simple.storage.contents import json_object, quoted, read_json
from gpt2simple.storage.files import atomic_write

RECORD_FILE = "hub_model.json"
_NAME = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([A-Za-z0-9][\w.-]*))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
_MAIN = "main"

# What may be beside the weights; the vocabulary in either form.
_SIDE_FILES = (
    "config.json", "generation_config.json", "vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json",
)  # fmt: skip
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")


@dataclass(frozen=True)
class HubName:
    """A model of the hub, as a user names it.

    Attributes:
        repo: such as "distilbert/distilgpt2". revision: a commit, branch or tag; None: whatever is there.
    """

    repo: str
    revision: str | None = None

    @classmethod
    def of(cls, model_name: str, *, here: bool = False) -> HubName | None:
        """From ``owner/name`` or ``owner/name@revision``; None: it cannot be one, or begins with a folder that is here.

        So a misspelt path stays an error of its own and is not looked for on the hub.

        Args:
            here: whether it was fetched already, so that there is such a folder.
        """
        match = _NAME.fullmatch(model_name)
        if match is None or (not here and os.path.isdir(match[1].split("/")[0])):
            return None
        return cls(match[1], match[2])

    @property
    def is_commit(self) -> bool:
        """Whether it names one state of the model, which cannot change."""
        return self.revision is not None and _COMMIT.fullmatch(self.revision) is not None

    def __str__(self) -> str:
        return self.repo if self.revision is None else f"{self.repo}@{self.revision}"


def named_commit(model_name: str) -> HubName | None:
    """The model of the hub and its commit, from a name that a run recorded; None: it is no such name."""
    match = _NAME.fullmatch(model_name)
    found = None if match is None else HubName(match[1], match[2])
    return found if found is not None and found.is_commit else None


@dataclass(frozen=True, kw_only=True)
class HubRecord:
    """Which model of the hub a folder holds.

    Attributes:
        repo: its name. commit: its state. license, languages: as its publisher says; None and empty: not said.
    """

    repo: str
    commit: str
    license: str | None = None
    languages: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """By which the same weights can be fetched again."""
        return f"{self.repo}@{self.commit}"

    @classmethod
    def read(cls, folder: Path) -> HubRecord | None:
        """From a folder; None: there is none, or it is damaged."""
        try:
            values = read_json(folder / RECORD_FILE)
            found = cls(
                repo=str(values["repo"]),
                commit=str(values["commit"]),
                license=values.get("license"),
                languages=tuple(map(str, values.get("languages", ()))),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found if named_commit(found.name) else None

    def write(self, folder: Path) -> None:
        """Write it into a folder."""
        values = {"repo": self.repo, "commit": self.commit, "license": self.license, "languages": list(self.languages)}
        atomic_write(folder / RECORD_FILE, json.dumps(values, indent=2) + "\n")


@dataclass(frozen=True, kw_only=True)
class HubModel:
    """A model of the hub that this package can load.

    Attributes:
        record: which it is. known: its config and files, for the downloader.
    """

    record: HubRecord
    known: KnownModel


def look_up(name: HubName, *, base_url: str | None = None, sleep: Callable[[float], None] = time.sleep) -> HubModel:
    """What the hub says of a model, checked to be a GPT-2 whose files can be read.

    Args:
        base_url: a mirror; None: as for every download.

    Raises:
        DownloadError: the hub cannot be asked, or has no such model. CheckpointError: it is no plain GPT-2, or its
            weights lie only in files that execute code when they are opened.
    """
    base, variable = base_address("huggingface", base_url)
    revision = name.revision or _MAIN
    hub = _Hub(name, variable, sleep)
    answer = hub.ask(f"{base}/api/models/{name.repo}/revision/{revision}?blobs=true")
    commit, files = answer.get("sha"), _files_of(answer)
    if not isinstance(commit, str) or not _COMMIT.fullmatch(commit) or not files:
        raise DownloadError(
            f"{base} does not say which commit {name} is, or which files it has. Check base_url and {variable}: a "
            "mirror must have the hub's API."
        )
    chosen = _chosen(name, files)
    config = _checked_config(name, hub.ask(f"{base}/{name.repo}/resolve/{commit}/config.json"))
    card = answer.get("cardData")
    card = card if isinstance(card, Mapping) else {}
    languages = card.get("language") or ()
    record = HubRecord(
        repo=name.repo,
        commit=commit,
        license=card["license"] if isinstance(card.get("license"), str) else None,
        languages=(languages,) if isinstance(languages, str) else tuple(map(str, languages)),
    )
    return HubModel(
        record=record,
        known=KnownModel(
            name=name.repo, config=config, hub_repo=name.repo, hub_revision=commit, hub_files=chosen
        ),
    )  # fmt: skip


def _files_of(answer: Mapping[str, Any]) -> dict[str, PublishedFile]:
    """The files of a model by name, with what the hub says of each."""
    found = {}
    for entry in answer.get("siblings") or ():
        if isinstance(entry, Mapping) and isinstance(file_name := entry.get("rfilename"), str):
            lfs = entry.get("lfs")
            digest = lfs.get("sha256") if isinstance(lfs, Mapping) else None
            size, known = entry.get("size"), isinstance(digest, str) and _SHA256.fullmatch(digest)
            found[file_name] = PublishedFile(file_name, size if type(size) is int else None, digest if known else None)
    return found


def _chosen(name: HubName, files: Mapping[str, PublishedFile]) -> tuple[PublishedFile, ...]:
    """The files to fetch, weights last."""
    if "config.json" not in files:
        raise CheckpointError(f"{name} has no config.json, so it is no GPT-2 model. Check the name.")
    if "tokenizer.json" not in files and not {"vocab.json", "merges.txt"} <= files.keys():
        raise CheckpointError(
            f"{name} has neither tokenizer.json nor vocab.json with merges.txt, so its tokenizer is not known. Choose "
            "another model."
        )
    side = [files[side] for side in _SIDE_FILES if side in files]
    if WEIGHTS_FILE in files:
        return (*side, files[WEIGHTS_FILE])
    if INDEX_FILE in files:
        return (*side, files[INDEX_FILE], *(file for shard, file in files.items() if _SHARD.fullmatch(shard)))
    if KERAS_FILE in files:
        return (*side, files[KERAS_FILE])
    if any(pickle in files for pickle in _PICKLES):
        raise CheckpointError(
            f"{name} has its weights only as pytorch_model.bin, which executes code when it is opened: refused. Where "
            "you trust it and have PyTorch, convert it once: GPT2LMHeadModel.from_pretrained(...).save_pretrained("
            "new_folder, safe_serialization=True), and name that folder."
        )
    raise CheckpointError(
        f"{name} has no weights that can be read: expected {WEIGHTS_FILE}, its shards, or {KERAS_FILE}. Choose another "
        "model."
    )


def _checked_config(name: HubName, values: Mapping[str, Any]) -> ModelConfig:
    try:
        return ModelConfig.from_huggingface(values)
    except CheckpointError as error:
        raise CheckpointError(f"{name} on the hub: {error}") from error


class _Hub:
    """Asks the hub for JSON, again where that may help."""

    def __init__(self, name: HubName, variable: str, sleep: Callable[[float], None]) -> None:
        self._name, self._variable, self._sleep = name, variable, sleep

    def ask(self, url: str) -> dict[str, Any]:
        """The object at an address.

        Raises:
            DownloadError: there is none, or it cannot be fetched.
        """
        return try_again(
            lambda: self._answer(url),
            what=str(self._name),
            gave_up=lambda fault: self._unknown(
                f"{url} could not be asked ({fault})",
                f"Check the network, or name a mirror in the environment variable {self._variable}",
            ),
            sleep=self._sleep,
        )

    def _answer(self, url: str) -> dict[str, Any]:
        response = get(url)
        status, name = response.status_code, self._name
        if status in (401, 403, 404, 410):
            which = "" if name.revision is None else f" at {quoted(name.revision)}"
            private = ", or it is private or asks for a licence first" if status in (401, 403) else ""
            raise self._unknown(f"the hub has no model {quoted(name.repo)}{which}{private} (status {status})")
        if status != requests.codes.ok:
            raise DownloadError(f"The server answered {status} for {url}. Check base_url and {self._variable}.")
        try:
            return json_object(response.content.decode("utf-8"))
        except ValueError as error:
            raise DownloadError(
                f"{url} returned something else than JSON: a web page, perhaps, because this network needs a login. "
                f"Otherwise check base_url and {self._variable}."
            ) from error

    def _unknown(self, why: str, advice: str = "Check the name") -> DownloadError:
        return DownloadError(
            f"model_name is {quoted(str(self._name))}: there is no folder of that name here, and {why}. {advice}; a "
            "model that you fetched by other means is named by its folder."
        )
