"""One file over HTTP: resumed where a partial file stopped, retried, verified, renamed.

For each thing that can go wrong between a server and this machine there is one message. Knows nothing of models. A file
under its own name is complete and verified; an unfinished one has a hidden name.
"""

from __future__ import annotations

import email.utils
import hashlib
import itertools
import logging
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import requests
from tqdm import tqdm

from gpt2simple.errors import DownloadError
from gpt2simple.gpt2.formats.validate import is_page
from gpt2simple.gpt2.hub.registry import Download
from gpt2simple.storage.disk import readable_size, storage_errors
from gpt2simple.storage.files import atomic_write, move_into_place, sha256_of

ResultT = TypeVar("ResultT")

logger = logging.getLogger(__name__)
_WORTH_ANOTHER_TRY = frozenset({408, 425, 429, 500, 502, 503, 504})
_LONGEST_WAIT_SECONDS = 120.0
_PAGE_TYPES = ("text/html", "application/xhtml", "application/xml", "text/xml")
_CONNECTION_PREFIX = re.compile(r"^(<[^>]*>|HTTPS?Connection\([^)]*\)): ")  # of no use to a user


class TransientError(Exception):
    """A fault that another attempt may not meet.

    Attributes:
        wait_seconds: how long the server wants us to wait; None: it did not say.
    """

    def __init__(self, message: str, *, wait_seconds: float | None = None) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds


class UnreachableError(TransientError):
    """No answer at all: the network, the name or the server is missing."""


def connection_fault(error: requests.RequestException, url: str) -> Exception:
    """What to raise when a request got no response: a DownloadError where trying again is pointless."""
    if isinstance(error, requests.exceptions.SSLError):
        return DownloadError(
            f"The certificate of {url} could not be verified ({innermost(error)}). Check this machine's clock; behind "
            "a company proxy, set the environment variable REQUESTS_CA_BUNDLE to its certificate file."
        )
    if isinstance(error, requests.exceptions.ProxyError):
        return DownloadError(
            f"The proxy did not let {url} through ({innermost(error)}). "
            "Check the environment variables HTTPS_PROXY, HTTP_PROXY and NO_PROXY."
        )
    if isinstance(error, (requests.ConnectionError, requests.Timeout)):
        return UnreachableError(innermost(error))
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return TransientError("the connection dropped")
    return DownloadError(f"{url} could not be requested ({innermost(error)}). Check base_url and the mirror variable.")


def status_fault(response: requests.Response, download: Download) -> Exception:
    """What to raise for a status that is neither 200 nor 206."""
    status, url = response.status_code, download.url
    other = f"Check base_url and {download.mirror_variable}, or use the other source (huggingface or openai)."
    if status in (404, 410):
        return DownloadError(f"{url} is not there (status {status}): this server does not carry the model. {other}")
    if status in (401, 403, 407):
        return DownloadError(f"The server refuses {url} (status {status}), or a proxy on the way does. {other}")
    return DownloadError(f"The server answered {status} for {url}; expected the file. {other}")


def refuse_page(response: requests.Response, first_bytes: bytes, download: Download) -> None:
    """Return if a response can be a model's file.

    Raises:
        DownloadError: it is a web page or an XML error, which some servers and captive portals send with status 200.
    """
    kind = response.headers.get("Content-Type", "").lower()
    if kind.startswith(_PAGE_TYPES) or is_page(first_bytes):
        raise DownloadError(
            f"{download.url} returned a web page or an error text instead of the file. This network may need a login "
            f"first: open the address in a browser. Otherwise check base_url and {download.mirror_variable}."
        )


def wrong_size(download: Download, n_bytes: int) -> DownloadError:
    return DownloadError(
        f"{download.url} is {n_bytes} bytes long, the published file has {download.file.n_bytes}. "
        f"Nothing of it was kept. Try again, or name another mirror in {download.mirror_variable}."
    )


def wrong_digest(download: Download, expected: str, found: str) -> DownloadError:
    return DownloadError(
        f"{download.url} is not the published file: its sha256 is {found}, expected {expected}. "
        f"Nothing of it was kept. Try again, or name another mirror in {download.mirror_variable}."
    )


def fetching_failed(
    fault: TransientError, download: Download, *, folder: Path, names: list[str], kept: int
) -> DownloadError:
    """The error after all attempts.

    Args:
        names: the files that make the folder complete by hand.
        kept: bytes of the file that wait for the next call.
    """
    kept_note = f"{readable_size(kept)} are kept: the same call continues from there." if kept else ""
    if isinstance(fault, UnreachableError):
        return DownloadError(
            f"There is no connection to {download.url} ({fault}). Either name a mirror in the environment variable "
            f"{download.mirror_variable}, or put these files into {folder} by hand: {', '.join(names)}, or use the "
            f'built-in model, which needs no network: model_name="tiny". {kept_note}'.rstrip()
        )
    return DownloadError(f"{download.url} could not be fetched whole: {fault}. {kept_note or 'Try again later.'}")


def _retry_after(response: requests.Response) -> float | None:
    """The seconds a server wants us to wait (a number or a date), within reason."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isdigit():
        return min(float(value), _LONGEST_WAIT_SECONDS)
    try:
        seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
    except (TypeError, ValueError):
        return None
    return min(max(seconds, 0.0), _LONGEST_WAIT_SECONDS)


def innermost(error: BaseException) -> str:
    """The innermost cause: urllib3 wraps its errors several times, and the last one describes what happened."""
    inner: BaseException = error
    while inner.args and isinstance(getattr(inner.args[0], "reason", inner.args[0]), BaseException):
        inner = getattr(inner.args[0], "reason", inner.args[0])
    return _CONNECTION_PREFIX.sub("", str(inner)) or type(inner).__name__


_CHUNK_BYTES = 1 << 16  # what is lost at most when a connection drops
_TIMEOUT_SECONDS = (10.0, 60.0)  # to connect; between two pieces of an answer
_ATTEMPTS = 5  # in a row without a new byte
_ATTEMPTS_TO_CONNECT = 3  # without network nobody wants to wait long
_FIRST_WAIT_SECONDS = 1.0  # doubled each time
_SHA256 = re.compile(r"[0-9a-f]{64}")


def get(url: str, *, session: requests.Session | None = None, **options: Any) -> requests.Response:
    """A server's answer, of any status but those that another attempt may not meet.

    Args:
        session: to ask by; None: a connection of its own. options: further ones of ``requests``.

    Raises:
        TransientError: there was no answer, or one of those. DownloadError: there will be none.
    """
    try:
        response = (session or requests).get(url, timeout=_TIMEOUT_SECONDS, **options)
    except requests.RequestException as error:
        raise connection_fault(error, url) from error
    if response.status_code in _WORTH_ANOTHER_TRY:
        response.close()
        raise TransientError(f"the server answered {response.status_code}", wait_seconds=_retry_after(response))
    return response


def try_again(
    attempt: Callable[[], ResultT],
    *,
    what: str,
    gave_up: Callable[[TransientError], DownloadError],
    sleep: Callable[[float], None],
    arrived: Callable[[], int] = lambda: 0,
) -> ResultT:
    """What an attempt returns, the first or, after growing waits, a later one.

    Args:
        what: it fetches, for messages. gave_up: the error after the last attempt.
        sleep: waits that many seconds.
        arrived: bytes that are kept for the next attempt; while they grow, no attempt was in vain.

    Raises:
        DownloadError: every attempt failed, or one met a fault that no other would get past.
    """
    furthest, in_vain = arrived(), 0
    while True:
        try:
            return attempt()
        except TransientError as fault:
            kept = arrived()
            in_vain = 0 if kept > furthest else in_vain + 1
            furthest = max(furthest, kept)
            offline = isinstance(fault, UnreachableError) and not kept
            if in_vain >= (_ATTEMPTS_TO_CONNECT if offline else _ATTEMPTS):
                raise gave_up(fault) from fault
            wait = fault.wait_seconds
            if wait is None:
                wait = _FIRST_WAIT_SECONDS * 2 ** max(in_vain - 1, 0)
            logger.info(f"{what}: {fault}. Trying again in {wait:.0f} s.")
            sleep(wait)


class Fetcher:
    """Fetches files into one folder.

    Args:
        folder: where they go; must exist when ``fetch`` is called.
        model_name: for messages.
        progress: show a bar on stderr.
        sleep: waits that many seconds; tests pass their own.
    """

    def __init__(
        self, folder: Path, *, model_name: str, progress: bool, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.folder, self.model_name = folder, model_name
        self._progress, self._sleep = progress, sleep
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

        def gave_up(fault: TransientError) -> DownloadError:
            return fetching_failed(fault, download, folder=self.folder, names=all_names, kept=_size(partial))

        try_again(
            lambda: self._attempt(download, partial),
            what=download.file.name,
            gave_up=gave_up,
            sleep=self._sleep,
            arrived=lambda: _size(partial),
        )

    def _attempt(self, download: Download, partial: Path) -> None:
        start = _resumable_bytes(download, partial)
        with self._request(download, partial, start) as response:
            if response.status_code == 416:  # nothing follows what we have: it is whole, or it is not this file
                if start == 0 or _total_bytes(response, start) != start:
                    _discard(partial)
                    raise TransientError("the partial file did not fit the server's", wait_seconds=0.0)
            elif response.status_code in (200, 206):
                start = start if response.status_code == 206 else 0
                self._receive(response, download, partial, start)
            else:
                raise status_fault(response, download)
            digest = download.file.sha256 or _digest_from_hub(response)
        _verify(download, partial, digest, resumed=start > 0)
        move_into_place(partial, self.folder / download.file.name)
        _discard(partial)

    def _request(self, download: Download, partial: Path, start: int) -> requests.Response:
        headers = {"Accept-Encoding": "identity"}  # compressed bytes could be neither resumed nor counted
        if start:
            headers["Range"] = f"bytes={start}-"
            if download.file.sha256 is None and (etag := _saved_etag(partial)):
                headers["If-Range"] = etag  # a changed file is then sent whole
        return get(download.url, session=self._session, headers=headers, stream=True)

    def _receive(self, response: requests.Response, download: Download, partial: Path, start: int) -> None:
        """Append the body to the partial file, or write it from byte 0."""
        sent = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if response.status_code == 206 and (sent is None or int(sent[1]) != start):
            _discard(partial)
            raise TransientError("the server sent another part than the requested one", wait_seconds=0.0)
        chunks = response.iter_content(_CHUNK_BYTES)
        total = _total_bytes(response, start)
        try:
            first = next(chunks, b"")
            refuse_page(response, first if start == 0 else b"", download)
            if total is not None and download.file.n_bytes not in (None, total):
                _discard(partial)
                raise wrong_size(download, total)
            with storage_errors(self.folder / download.file.name):
                if start == 0:
                    _save_etag(partial, response)
                self._write(partial, start, first, chunks, download, total)
        except requests.RequestException as error:
            raise TransientError("the connection dropped") from error
        if total is not None and _size(partial) < total:
            raise TransientError("the connection dropped")

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
        raise TransientError("the connection dropped")
    if published is not None and found_bytes > published:
        problem = wrong_size(download, found_bytes)
    elif digest is not None and (found := sha256_of(partial)) != digest:
        problem = wrong_digest(download, digest, found)
    else:
        return
    _discard(partial)
    if resumed:  # two halves of different files: worth one try from the start
        raise TransientError("the resumed file is not the published one", wait_seconds=0.0)
    raise problem


def _resumable_bytes(download: Download, partial: Path) -> int:
    """How much of the partial file can be kept: without a digest, only what an ETag ties to the server's file."""
    tied = download.file.sha256 is not None or _saved_etag(partial) is not None
    return _size(partial) if tied else 0


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
    return path.read_text(encoding="ascii", errors="ignore") if path.exists() else None


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
