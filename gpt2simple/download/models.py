"""``download_gpt2`` and ``is_gpt2_downloaded``: a whole model, by name.

Knows the order of things (look, lock, check the disk, fetch file by file, weights last); not how one file is fetched.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

from gpt2simple.download.fetch import Fetcher, discard_partials, partial_path
from gpt2simple.download.folders import holds_hub_model, holds_model, holds_openai_model
from gpt2simple.download.sources import Download, downloads_of
from gpt2simple.errors import CheckpointError, DownloadError
from gpt2simple.registry import KnownModel, resolve
from gpt2simple.storage import locked, make_folder, remove_leftovers, require_space
from gpt2simple.telling import tell


def download_gpt2(
    model_name: str = "124M",
    model_dir: str | Path = "models",
    *,
    source: str = "huggingface",
    base_url: str | None = None,
    progress: bool = True,
    notify: Callable[[str], None] | None = None,
) -> Path:
    """The folder that holds the model, downloaded first if it is not there yet.

    A download that was cut off goes on where it stopped. Two processes may ask at once: one downloads, the other waits.
    Nothing that is already in the folder is replaced, and a folder that holds a loadable model is left as it is.

    Args:
        model_name: "124M", "355M", "774M", "1558M", another name of one of these (such as "gpt2-medium"), or "tiny",
            the model inside this package, which needs no network.
        model_dir: the folder that holds one folder per model.
        source: "huggingface" (safetensors files at a pinned revision) or "openai" (the TensorFlow 1 checkpoint).
        base_url: a mirror of the source; None: the environment variable HF_ENDPOINT (for "openai":
            GPT2SIMPLE_OPENAI_URL), and without it the publisher.
        progress: show a progress bar on stderr.
        notify: receives remarks ("trying again in 4 s"); None: they go to stderr.

    Returns:
        ``<model_dir>/<size>``, such as ``models/124M``; for "tiny" a folder inside the package.

    Raises:
        SettingsError: no known model or source has that name.
        DownloadError: the model could not be fetched, or is not what was published.
        StorageError: the disk is full or the folder cannot be written.

    Example:
        >>> import gpt2simple
        >>> gpt2simple.download_gpt2("tiny").name
        'tiny'
    """
    return _fetch_model(
        resolve(model_name),
        Path(model_dir),
        source=source,
        base_url=base_url,
        progress=progress,
        notify=notify or tell,
    )


def is_gpt2_downloaded(model_name: str = "124M", model_dir: str | Path = "models") -> bool:
    """Whether ``<model_dir>/<size>`` holds a set of files that can be loaded, however they got there.

    Their content is not read; digests are checked while downloading. "tiny" is always there.

    Raises:
        SettingsError: no known model has that name.
    """
    known = resolve(model_name)
    return holds_model(_built_in_folder(known) if known.built_in else Path(model_dir) / known.name)


def _fetch_model(
    known: KnownModel,
    model_dir: Path,
    *,
    source: str,
    base_url: str | None,
    progress: bool,
    notify: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> Path:
    """``download_gpt2`` for any entry of a registry, and with a clock of the caller's."""
    downloads = downloads_of(known, source=source, base_url=base_url)
    if known.built_in:
        return _built_in_folder(known)
    folder = Path(model_dir) / known.name
    has_source = holds_hub_model if source == "huggingface" else holds_openai_model
    if _nothing_to_do(folder, has_source, notify):
        return folder
    make_folder(folder)
    with _sole_download(folder, notify):
        if _nothing_to_do(folder, has_source, notify):  # whoever held the lock did it
            return folder
        remove_leftovers(folder)
        missing = [download for download in downloads if not _is_there(folder, download)]
        require_space(folder, _bytes_to_come(folder, missing), f"Downloading {known.name}")
        fetcher = Fetcher(folder, model_name=known.name, progress=progress, notify=notify, sleep=sleep)
        for download in missing:
            fetcher.fetch(download, all_names=[d.file.name for d in downloads])
        discard_partials(folder)
    return folder


def _bytes_to_come(folder: Path, missing: list[Download]) -> int:
    partials = [partial_path(folder, download) for download in missing]
    there = sum(path.stat().st_size for path in partials if path.exists())
    return max(sum(download.expected_bytes for download in missing) - there, 0)


def _nothing_to_do(folder: Path, has_source: Callable[[Path], bool], notify: Callable[[str], None]) -> bool:
    if has_source(folder):
        return True
    if holds_model(folder):
        notify(f"{folder} holds the model already, in another layout; nothing was downloaded.")
        return True
    return False


@contextlib.contextmanager
def _sole_download(folder: Path, notify: Callable[[str], None]) -> Iterator[None]:
    """Wait for a download of the same folder by another process, however long it takes."""
    path, busy = folder / ".download.lock", f"Another process is downloading into {folder}."
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(path, busy, DownloadError))
        except DownloadError:
            notify(f"{busy} Waiting for it.")
            stack.enter_context(locked(path, busy, DownloadError, wait_seconds=-1))
        yield


def _is_there(folder: Path, download: Download) -> bool:
    path, published = folder / download.file.name, download.file.n_bytes
    if not path.exists():
        return False
    found = path.stat().st_size
    if published is not None and found != published:
        raise DownloadError(
            f"{path} has {found} bytes, the published file has {published}: it is another file, and is not replaced. "
            f"Move {folder} away to download the model anew, or complete it by hand."
        )
    return True


def _built_in_folder(known: KnownModel) -> Path:
    folder = Path(str(resources.files("gpt2simple"))) / known.name
    if not holds_model(folder):
        raise CheckpointError(
            f"The built-in model {known.name!r} is missing from {folder}. "
            "Run `pip install --force-reinstall gpt2simple`."
        )
    return folder
