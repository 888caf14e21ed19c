"""``download_gpt2`` and ``is_gpt2_downloaded``: a whole model, by name.

A folder counts as holding a model by the names of its files; whether weights and config fit is found out when they are
loaded. Knows the order of things (check, lock, check the disk, fetch file by file, weights last); not how one file is
fetched.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path

from gpt2simple.errors import INSTALL_AGAIN, CheckpointError, DownloadError, SettingsError
from gpt2simple.gpt2.formats.names import INDEX_FILE, KERAS_FILE, WEIGHTS_FILE
from gpt2simple.gpt2.hub.fetch import Fetcher, discard_partials, partial_path
from gpt2simple.gpt2.hub.registry import Download, KnownModel, downloads_of, find, resolve
from gpt2simple.gpt2.hub.repository import RECORD_FILE, HubModel, HubName, HubRecord, look_up
from gpt2simple.settings.arguments import accepts
from gpt2simple.settings.session import DEFAULT_MODEL
from gpt2simple.storage.contents import read_json
from gpt2simple.storage.disk import make_folder, require_space
from gpt2simple.storage.locks import wait_for_lock
from gpt2simple.storage.temporary import remove_leftovers

logger = logging.getLogger(__name__)
_LOCK = ".download.lock"


def holds_model(folder: Path) -> bool:
    """Whether a folder has the files of a loadable model, in Hugging Face's or OpenAI's layout."""
    return holds_hub_model(folder) or holds_openai_model(folder)


def holds_hub_model(folder: Path) -> bool:
    """Whether a folder has config.json, a vocabulary and weights (one file, shards with their index, or HDF5)."""
    has_vocabulary = _has(folder, "tokenizer.json") or _has(folder, "vocab.json", "merges.txt")
    return has_vocabulary and _has(folder, "config.json") and _has_hub_weights(folder)


def holds_openai_model(folder: Path) -> bool:
    """Whether a folder has the five files that loading a TensorFlow 1 checkpoint takes.

    ``checkpoint`` and ``model.ckpt.meta`` (the graph of the program that wrote it) are not read.
    """
    return _has(
        folder, "hparams.json", "encoder.json", "vocab.bpe", "model.ckpt.index", "model.ckpt.data-00000-of-00001"
    )


def _has_hub_weights(folder: Path) -> bool:
    if _has(folder, WEIGHTS_FILE) or _has(folder, KERAS_FILE):
        return True
    try:
        shards = set(read_json(folder / INDEX_FILE)["weight_map"].values())
        return bool(shards) and _has(folder, *shards)
    except Exception:  # no index, or one that loading will refuse
        return False


def _has(folder: Path, *names: str) -> bool:
    paths = [folder / name for name in names]
    return all(path.is_file() and path.stat().st_size > 0 for path in paths)


@accepts()
def download_gpt2(
    model_name: str = DEFAULT_MODEL,
    model_dir: str | Path = "models",
    *,
    source: str = "huggingface",
    base_url: str | None = None,
    progress: bool = True,
) -> Path:
    """The folder that holds the model, downloaded first if it is not there yet.

    A download that was cut off continues where it stopped. Of two processes at once, one downloads and the other waits.
    Nothing that is already in the folder is replaced, and a folder that holds a loadable model is left as it is.

    Args:
        model_name: "124M", "355M", "774M", "1558M", another name of one of these (such as "gpt2-medium"), or "tiny",
            the model inside this package, which needs no network; or a GPT-2 of the Hugging Face hub, such as
            "distilbert/distilgpt2", at a commit, branch or tag if one follows: "distilbert/distilgpt2@v1". Without one
            it is the newest commit, which the folder then records and keeps.
        model_dir: the folder that holds one folder per model.
        source: "huggingface" (safetensors files at a pinned revision) or "openai" (the TensorFlow 1 checkpoint).
        base_url: a mirror of the source; None: the environment variable HF_ENDPOINT (for "openai":
            GPT2SIMPLE_OPENAI_URL), and without it the publisher.
        progress: show a progress bar on stderr.

    Returns:
        ``<model_dir>/<size>``, such as ``models/124M``, or ``<model_dir>/<owner>/<name>``; for "tiny" a folder inside
        the package.

    Raises:
        SettingsError: no known model or source has that name.
        DownloadError: the model could not be fetched, or is not what was published.
        CheckpointError: the model of the hub is no plain GPT-2, or has no weights that can be read safely.
        StorageError: the disk is full or the folder cannot be written.

    Example:
        >>> import gpt2simple
        >>> gpt2simple.download_gpt2("tiny").name
        'tiny'
    """
    if find(model_name) is None and (named := hub_name(model_name, Path(model_dir))) is not None:
        if source != "huggingface":
            raise SettingsError(
                f"source is {source!r}, and {model_name!r} is on the Hugging Face hub. Leave source out."
            )
        return download_hub_model(named, Path(model_dir), base_url=base_url, progress=progress)
    known = resolve(model_name)
    return _fetch_model(known, Path(model_dir) / known.name, source=source, base_url=base_url, progress=progress)


@accepts()
def is_gpt2_downloaded(model_name: str = DEFAULT_MODEL, model_dir: str | Path = "models") -> bool:
    """Whether ``<model_dir>/<name>`` holds a set of files that can be loaded, however they got there.

    Their content is not read; digests are checked while downloading. "tiny" is always there.

    Raises:
        SettingsError: no known model has that name.
    """
    if find(model_name) is None and (named := hub_name(model_name, Path(model_dir))) is not None:
        return holds_model(hub_folder(named, Path(model_dir)))
    known = resolve(model_name)
    return holds_model(_built_in_folder(known) if known.built_in else Path(model_dir) / known.name)


def hub_name(model_name: str, model_dir: Path) -> HubName | None:
    """The model of the hub that a name means: one that was fetched into ``model_dir``, or what can be one, or None."""
    with contextlib.suppress(OSError, ValueError):  # a name that the disk refuses
        if (model_dir / model_name / RECORD_FILE).is_file():
            return HubName.of(model_name, here=True)
    return HubName.of(model_name)


def hub_folder(name: HubName, model_dir: Path) -> Path:
    """Where a model of the hub lies, or would lie: under its name with the revision, if one was named.

    A commit may also lie under the plain name, which was given first.
    """
    folder, plain = model_dir / str(name), model_dir / name.repo
    if name.is_commit and not folder.is_dir():
        record = HubRecord.read(plain)
        return plain if record is not None and record.commit == name.revision else folder
    return folder


def download_hub_model(
    name: HubName,
    model_dir: Path,
    *,
    base_url: str | None = None,
    progress: bool = True,
    sleep: Callable[[float], None] = time.sleep,
) -> Path:
    """``download_gpt2`` for a model of the hub; one that is there already is not asked for again."""
    folder = hub_folder(name, model_dir)
    if not _nothing_to_do(folder, holds_hub_model):
        found = _looked_up(name, folder, base_url, sleep)  # before there is a folder, which would be taken for a model
        make_folder(folder)
        with wait_for_lock(folder / _LOCK, f"Another process is downloading into {folder}."):
            if not _nothing_to_do(folder, holds_hub_model):
                if (begun := HubRecord.read(folder)) is not None and begun != found.record:
                    found = _looked_up(name, folder, base_url, sleep)  # by a process that asked at another time
                found.record.write(folder)
                downloads = downloads_of(found.known, base_url=base_url)
                _fetch_files(found.known, folder, downloads, progress=progress, sleep=sleep)
    _tidy(folder)
    return folder


def _looked_up(name: HubName, folder: Path, base_url: str | None, sleep: Callable[[float], None]) -> HubModel:
    """What the hub says of a model, at the commit of which a part is in the folder already."""
    begun = HubRecord.read(folder)
    return look_up(name if begun is None else HubName(name.repo, begun.commit), base_url=base_url, sleep=sleep)


def _fetch_model(
    known: KnownModel,
    folder: Path,
    *,
    source: str,
    base_url: str | None,
    progress: bool,
    sleep: Callable[[float], None] = time.sleep,
) -> Path:
    """``download_gpt2`` for any entry of a registry, and with a clock of the caller's."""
    downloads = downloads_of(known, source=source, base_url=base_url)
    if known.built_in:
        return _built_in_folder(known)
    has_source = holds_hub_model if source == "huggingface" else holds_openai_model
    if not _nothing_to_do(folder, has_source):
        make_folder(folder)
        with wait_for_lock(folder / _LOCK, f"Another process is downloading into {folder}."):
            if not _nothing_to_do(folder, has_source):  # else the process that held the lock did it
                _fetch_files(known, folder, downloads, progress=progress, sleep=sleep)
    _tidy(folder)
    return folder


def _fetch_files(
    known: KnownModel, folder: Path, downloads: list[Download], *, progress: bool, sleep: Callable[[float], None]
) -> None:
    remove_leftovers(folder)
    missing = [download for download in downloads if not _is_there(folder, download)]
    partials = [partial_path(folder, download) for download in missing]
    there = sum(path.stat().st_size for path in partials if path.exists())
    to_come = max(sum(download.expected_bytes for download in missing) - there, 0)
    require_space(folder, to_come, f"Downloading {known.name}")
    fetcher = Fetcher(folder, model_name=known.name, progress=progress, sleep=sleep)
    for download in missing:
        fetcher.fetch(download, all_names=[d.file.name for d in downloads])


def _tidy(folder: Path) -> None:
    """Remove what only an unfinished download needs: a process may have been killed when all but this was done.

    The lock guards nothing any more: whoever waits for it, or makes a new one, finds the model.
    """
    with contextlib.suppress(OSError):  # a folder that may only be read
        remove_leftovers(folder)
        discard_partials(folder)
        (folder / _LOCK).unlink(missing_ok=True)


def _nothing_to_do(folder: Path, has_source: Callable[[Path], bool]) -> bool:
    if has_source(folder):
        return True
    if holds_model(folder):
        logger.info(f"{folder} already holds the model, in another layout; nothing was downloaded.")
        return True
    return False


def _is_there(folder: Path, download: Download) -> bool:
    path, published = folder / download.file.name, download.file.n_bytes
    if not path.exists():
        return False
    found = path.stat().st_size
    if published is not None and found != published:
        raise DownloadError(
            f"{path} has {found} bytes, the published file has {published}: it is another file, and is not replaced. "
            f"Move {folder} away to download the model again, or complete it by hand."
        )
    return True


def _built_in_folder(known: KnownModel) -> Path:
    folder = Path(str(resources.files("gpt2simple.gpt2"))) / known.name
    if not holds_model(folder):
        raise CheckpointError(f"The built-in model {known.name!r} is missing from {folder}. {INSTALL_AGAIN}")
    return folder
