"""What can go wrong between a server and this machine, and the one message for each.

Decides which faults are worth another attempt; does no waiting and no reading.
"""

from __future__ import annotations

import codecs
import email.utils
import re
import time
from pathlib import Path

import requests

from gpt2simple.download.sources import Download
from gpt2simple.errors import DownloadError
from gpt2simple.storage import readable_size

_WORTH_ANOTHER_TRY = frozenset({408, 425, 429, 500, 502, 503, 504})
_LONGEST_WAIT_SECONDS = 120.0
_PAGE_TYPES = ("text/html", "application/xhtml", "application/xml", "text/xml")
_CONNECTION_PREFIX = re.compile(r"^(<[^>]*>|HTTPS?Connection\([^)]*\)): ")  # says nothing to a user
_PAGE_STARTS = (b"<!doctype", b"<html", b"<?xml", b"<error")


class TransientError(Exception):
    """A fault that another attempt may not meet.

    Attributes:
        wait_seconds: how long the server asked to wait; None: it did not say.
    """

    def __init__(self, message: str, *, wait_seconds: float | None = None) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds


class UnreachableError(TransientError):
    """No answer at all: the network, the name or the server is missing."""


def connection_fault(error: requests.RequestException, url: str) -> Exception:
    """What to raise when a request got no response: a TransientError, or a DownloadError where trying again is vain."""
    if isinstance(error, requests.exceptions.SSLError):
        return DownloadError(
            f"The certificate of {url} could not be verified ({_reason(error)}). Check this machine's clock; behind a "
            "company proxy, set the environment variable REQUESTS_CA_BUNDLE to its certificate file."
        )
    if isinstance(error, requests.exceptions.ProxyError):
        return DownloadError(
            f"The proxy did not let {url} through ({_reason(error)}). "
            "Check the environment variables HTTPS_PROXY, HTTP_PROXY and NO_PROXY."
        )
    if isinstance(error, (requests.ConnectionError, requests.Timeout)):
        return UnreachableError(_reason(error))
    return DownloadError(f"{url} could not be requested ({_reason(error)}). Check base_url and the mirror variable.")


def status_fault(response: requests.Response, download: Download) -> Exception:
    """What to raise for a status that is neither 200 nor 206."""
    status, url = response.status_code, download.url
    if status in _WORTH_ANOTHER_TRY:
        return TransientError(f"the server answered {status} for {url}", wait_seconds=_retry_after(response))
    other = f"Check base_url and {download.mirror_variable}, or use the other source (huggingface or openai)."
    if status in (404, 410):
        return DownloadError(f"{url} is not there (status {status}): this server does not carry the model. {other}")
    if status in (401, 403, 407):
        return DownloadError(f"The server refuses {url} (status {status}), or a proxy on the way does. {other}")
    return DownloadError(f"The server answered {status} for {url}; expected the file. {other}")


def refuse_page(response: requests.Response, first_bytes: bytes, download: Download) -> None:
    """Return if a response can be a model's file.

    Raises:
        DownloadError: it is a web page or an XML error, which some servers and log-in walls send with status 200.
    """
    kind = response.headers.get("Content-Type", "").lower()
    start = first_bytes.removeprefix(codecs.BOM_UTF8).lstrip().lower()  # Azure's errors begin with a byte-order mark
    if kind.startswith(_PAGE_TYPES) or start.startswith(_PAGE_STARTS):
        raise DownloadError(
            f"{download.url} gave a web page or an error text instead of the file. A log-in page of this network may "
            f"stand in between: open the address in a browser. Otherwise check base_url and {download.mirror_variable}."
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


def gave_up(fault: TransientError, download: Download, *, folder: Path, names: list[str], kept: int) -> DownloadError:
    """The last word after all attempts.

    Args:
        names: the files that make the folder complete by hand.
        kept: bytes of the file that wait for the next call.
    """
    kept_note = f"{readable_size(kept)} are kept: the same call goes on from there." if kept else ""
    if isinstance(fault, UnreachableError):
        ways = (
            f"There is no connection to {download.url} ({fault}). Either name a mirror in the environment variable "
            f"{download.mirror_variable}, or put these files into {folder} by hand: {', '.join(names)}, or use the "
            f'built-in model, which needs no network: model_name="tiny". {kept_note}'
        )
        return DownloadError(ways.rstrip())
    return DownloadError(f"{download.url} could not be fetched whole: {fault}. {kept_note or 'Try again later.'}")


def _retry_after(response: requests.Response) -> float | None:
    """The seconds a server asks to wait (a number or a date), within reason."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isdigit():
        return min(float(value), _LONGEST_WAIT_SECONDS)
    try:
        moment = email.utils.parsedate_to_datetime(value).timestamp()
    except (TypeError, ValueError):
        return None
    return min(max(moment - time.time(), 0.0), _LONGEST_WAIT_SECONDS)


def _reason(error: BaseException) -> str:
    """The innermost cause: urllib3 wraps its errors several times, and the last one says what happened."""
    inner: BaseException = error
    while inner.args and isinstance(getattr(inner.args[0], "reason", inner.args[0]), BaseException):
        inner = getattr(inner.args[0], "reason", inner.args[0])
    return _CONNECTION_PREFIX.sub("", str(inner)) or type(inner).__name__
