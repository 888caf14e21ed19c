"""A real HTTP server on 127.0.0.1 that serves files from memory and commits one fault after another on request.

The fixture ``server`` starts it.
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from tests.helpers.local_server import running

HTML = b"<!DOCTYPE html><html><body>Please log in</body></html>"
AZURE_XML = b'\xef\xbb\xbf<?xml version="1.0" encoding="utf-8"?><Error><Code>ResourceNotFound</Code></Error>'


@dataclass
class Fault:
    """What the server does instead of sending a file properly.

    Args:
        kind: "status", "page", "drop", "stall", "wait", "ignore_range" or "other_part".
        path_end: which files it concerns.
        times: how often it happens; -1: always.
    """

    kind: str
    path_end: str = ""
    times: int = 1
    status: int = 503
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    content_type: str = "application/octet-stream"
    after_bytes: int = 0
    event: threading.Event = field(default_factory=threading.Event)


@dataclass
class Request:
    path: str
    range: str | None
    if_range: str | None
    status: int


class FaultServer:
    """The server's state: files by path, faults to commit, and the requests it has seen."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.large: set[str] = set()  # names that are redirected to storage with X-Linked-Etag, as the hub does
        self.sends_linked_etag = True  # else the storage itself sends the digest as its ETag
        self.with_length = True
        self.address = ""
        self.lock = threading.Lock()

    def take_fault(self, path: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if path.endswith(fault.path_end) and fault.times != 0:
                    fault.times -= 1
                    return fault
        return None

    def count(self, name: str, status: int | None = None) -> int:
        found = [r for r in self.requests if r.path.endswith(name) and status in (None, r.status)]
        return len(found)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: FaultServer

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""

    def do_GET(self) -> None:
        path = self.path.removeprefix("/stored")
        content = self.state.files.get(path)
        if content is None:
            self._answer(404, AZURE_XML, {"Content-Type": "application/xml"})
            return
        name = path.rsplit("/", 1)[-1]
        digest = hashlib.sha256(content).hexdigest()
        if name in self.state.large and path == self.path:
            headers = {"Location": f"/stored{path}"}
            if self.state.sends_linked_etag:
                headers["X-Linked-Etag"] = f'"{digest}"'
            self._answer(302, b"", headers)
            return
        fault = self.state.take_fault(path)
        if fault is not None and fault.kind in ("status", "page"):
            status = fault.status if fault.kind == "status" else 200
            self._answer(status, fault.body, {"Content-Type": fault.content_type, **fault.headers})
            return
        self._send_file(content, fault)

    def _send_file(self, content: bytes, fault: Fault | None) -> None:
        by_digest = self.path.startswith("/stored") and not self.state.sends_linked_etag
        etag = f'"{(hashlib.sha256 if by_digest else hashlib.md5)(content).hexdigest()}"'
        start, status = 0, 200
        wanted = self.headers.get("Range")
        current = self.headers.get("If-Range") in (None, etag)
        headers = {"ETag": etag, "Content-Type": "application/octet-stream"}
        if wanted and current and not (fault and fault.kind == "ignore_range"):
            start, status = int(wanted.removeprefix("bytes=").rstrip("-")), 206
            if start >= len(content):
                self._answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
                return
            start += 1 if fault and fault.kind == "other_part" else 0
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        body = content[start:]
        if fault and fault.kind == "wait":
            fault.event.wait(10)
        if fault and fault.kind in ("drop", "stall"):
            self._answer(status, body[: fault.after_bytes], headers, length=len(body))
            if fault.kind == "stall":
                fault.event.wait(20)
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        self._answer(status, body, headers)

    def _answer(self, status: int, body: bytes, headers: dict[str, str], length: int | None = None) -> None:
        asked = Request(self.path, self.headers.get("Range"), self.headers.get("If-Range"), status)
        with self.state.lock:
            self.state.requests.append(asked)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if self.state.with_length or status != 200:
            self.send_header("Content-Length", str(len(body) if length is None else length))
        else:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        with contextlib.suppress(OSError):  # the other side may have gone
            self.wfile.write(body)
            self.wfile.flush()


def serving() -> AbstractContextManager[FaultServer]:
    """A running server; ``address`` is its base URL."""
    return running(FaultServer(), _Handler)


def closed_port() -> int:
    """A port of 127.0.0.1 on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
