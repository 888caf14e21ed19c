"""One file over HTTP: goes on where a partial file stopped, tries again, verifies, renames.

Knows nothing of models. A file under its own name is complete and verified; what is on the way has a hidden name.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import requests
from tqdm import tqdm

from gpt2simple.download import faults
from gpt2simple.download.sources import Download
from gpt2simple.storage import atomic_write, move_into_place, sha256_of, storage_errors

_CHUNK_BYTES = 1 << 16  # what is lost at most when a connection drops
_TIMEOUT_SECONDS = (10.0, 60.0)  # to connect; between two pieces of an answer
_ATTEMPTS = 5  # in a row without a new byte
_ATTEMPTS_TO_CONNECT = 3  # without network nobody wants to wait long
_FIRST_WAIT_SECONDS = 1.0  # doubled each time
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Fetcher:
    """Fetches files into one folder.

    Args:
        folder: where they go; must exist when ``fetch`` is called.
        model_name: for messages.
        progress: show a bar on stderr.
        notify: receives a remark before each new attempt.
        sleep: waits that many seconds; tests pass their own.
    """

    def __init__(
        self,
        folder: Path,
        *,
        model_name: str,
        progress: bool,
        notify: Callable[[str], None],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.folder = folder
        self.model_name = model_name
        self.notify = notify
        self._progress = progress
        self._sleep = sleep
        self._session = requests.Session()

    def fetch(self, download: Download, *, all_names: list[str]) -> None:
        """Fetch one file, verified, under its own name.

        Args:
            download: which.
            all_names: the files that somebody without network has to put there; for the message.

        Raises:
            DownloadError: it could not be fetched, or is not what was published.
            StorageError: the disk is full or the folder cannot be written.
        """
        partial = partial_path(self.folder, download)
        furthest, attempt = _size(partial), 0
        while True:
            try:
                return self._attempt(download, partial)
            except faults.TransientError as fault:
                attempt = 0 if _size(partial) > furthest else attempt + 1
                furthest = max(furthest, _size(partial))
                kept = _size(partial)
                offline = isinstance(fault, faults.UnreachableError) and not kept
                if attempt >= (_ATTEMPTS_TO_CONNECT if offline else _ATTEMPTS):
                    raise faults.gave_up(fault, download, folder=self.folder, names=all_names, kept=kept) from fault
                asked = fault.wait_seconds
                wait = asked if asked is not None else _FIRST_WAIT_SECONDS * 2 ** max(attempt - 1, 0)
                self.notify(f"{download.file.name}: {fault}. Trying again in {wait:.0f} s.")
                self._sleep(wait)

    def _attempt(self, download: Download, partial: Path) -> None:
        start = _resumable_bytes(download, partial)
        with self._request(download, partial, start) as response:
            if response.status_code == 416:  # nothing follows what we have: it is whole, or it is not this file
                if start == 0 or _total_bytes(response, start) != start:
                    _discard(partial)
                    raise faults.TransientError("the partial file did not fit the server's", wait_seconds=0.0)
            elif response.status_code in (200, 206):
                start = start if response.status_code == 206 else 0
                self._receive(response, download, partial, start)
            else:
                raise faults.status_fault(response, download)
            digest = download.file.sha256 or _digest_from_hub(response)
        _verify(download, partial, digest, resumed=start > 0)
        move_into_place(partial, self.folder / download.file.name)
        _discard(partial)

    @contextlib.contextmanager
    def _request(self, download: Download, partial: Path, start: int) -> Iterator[requests.Response]:
        headers = {"Accept-Encoding": "identity"}  # compressed bytes could be neither resumed nor counted
        if start:
            headers["Range"] = f"bytes={start}-"
            if download.file.sha256 is None and (etag := _saved_etag(partial)):
                headers["If-Range"] = etag  # a changed file is then sent whole
        try:
            response = self._session.get(download.url, headers=headers, stream=True, timeout=_TIMEOUT_SECONDS)
        except requests.RequestException as error:
            raise faults.connection_fault(error, download.url) from error
        with response:
            yield response

    def _receive(self, response: requests.Response, download: Download, partial: Path, start: int) -> None:
        """Append the body to the partial file, or write it anew from byte 0."""
        if response.status_code == 206 and _first_byte(response) != start:
            _discard(partial)
            raise faults.TransientError("the server sent another part than the one asked for", wait_seconds=0.0)
        chunks = response.iter_content(_CHUNK_BYTES)
        total = _total_bytes(response, start)
        try:
            first = next(chunks, b"")
            faults.refuse_page(response, first if start == 0 else b"", download)
            if total is not None and download.file.n_bytes not in (None, total):
                _discard(partial)
                raise faults.wrong_size(download, total)
            with storage_errors(self.folder / download.file.name):
                if start == 0:
                    _save_etag(partial, response)
                self._write(partial, start, first, chunks, download, total)
        except requests.RequestException as error:
            raise faults.TransientError("the connection dropped") from error
        if total is not None and _size(partial) < total:
            raise faults.TransientError("the connection dropped")

    def _write(
        self, partial: Path, start: int, first: bytes, rest: Iterator[bytes], download: Download, total: int | None
    ) -> None:
        bar = tqdm(
            desc=f"{self.model_name} {download.file.name}",
            total=total or download.file.n_bytes,
            initial=start,
            unit="B",
            unit_scale=True,
            disable=not self._progress or sys.stderr is None,
            file=sys.stderr,
            mininterval=0.1 if sys.stderr is not None and sys.stderr.isatty() else 5.0,  # a log file needs fewer lines
        )
        with partial.open("ab" if start else "wb") as file, bar:
            for chunk in itertools.chain((first,), rest):
                file.write(chunk)
                bar.update(len(chunk))


def partial_path(folder: Path, download: Download) -> Path:
    """Where a file grows until it is whole; another revision or source grows elsewhere."""
    tag = hashlib.sha256(download.identity.encode()).hexdigest()[:8]
    return folder / f".part-{tag}-{download.file.name}"


def discard_partials(folder: Path) -> None:
    """Remove what was left half fetched, from other sources too; for when the folder is complete."""
    for path in folder.glob(".part-*"):
        path.unlink(missing_ok=True)


def _verify(download: Download, partial: Path, digest: str | None, *, resumed: bool) -> None:
    """Return if the partial file is the published one; otherwise raise, and remove it unless it is only short."""
    found_bytes, published = _size(partial), download.file.n_bytes
    if published is not None and found_bytes < published:
        raise faults.TransientError("the connection dropped")
    problem = None
    if published is not None and found_bytes > published:
        problem = faults.wrong_size(download, found_bytes)
    elif digest is not None and (found := sha256_of(partial)) != digest:
        problem = faults.wrong_digest(download, digest, found)
    if problem is None:
        return
    _discard(partial)
    if resumed:  # two halves of different files: worth one try from the start
        raise faults.TransientError("the resumed file is not the published one", wait_seconds=0.0)
    raise problem


def _resumable_bytes(download: Download, partial: Path) -> int:
    """How much of the partial file can be kept: without a digest, only what an ETag ties to the server's file."""
    have = _size(partial)
    tied = download.file.sha256 is not None or _saved_etag(partial) is not None
    return have if tied else 0


def _first_byte(response: requests.Response) -> int | None:
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def _total_bytes(response: requests.Response, start: int) -> int | None:
    """Length of the whole file as the server states it; None: it does not."""
    if match := re.search(r"/(\d+)$", response.headers.get("Content-Range", "")):
        return int(match[1])
    length = response.headers.get("Content-Length", "")
    if response.status_code not in (200, 206) or not length.isdigit() or "Content-Encoding" in response.headers:
        return None
    return start + int(length)


def _digest_from_hub(response: requests.Response) -> str | None:
    """The sha256 that Hugging Face sends for large files, on the redirect to where they are stored.

    ``X-Linked-Etag`` is meant for this; an ETag counts when it has the form of a sha256 and comes with a redirect.
    """
    for answer in (*response.history, response):
        etag = answer.headers.get("X-Linked-Etag") or (answer.headers.get("ETag") if response.history else None)
        if etag and _SHA256.fullmatch(digest := etag.strip('"').lower()):
            return digest
    return None


def _etag_path(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.etag")


def _saved_etag(partial: Path) -> str | None:
    path = _etag_path(partial)
    return path.read_text(encoding="ascii") if path.exists() else None


def _save_etag(partial: Path, response: requests.Response) -> None:
    etag = response.headers.get("ETag", "")
    if etag.startswith('"') and etag.isascii():  # a weak one (W/...) does not promise equal bytes
        atomic_write(_etag_path(partial), etag, durable=False)
    else:
        _etag_path(partial).unlink(missing_ok=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _discard(partial: Path) -> None:
    partial.unlink(missing_ok=True)
    _etag_path(partial).unlink(missing_ok=True)
