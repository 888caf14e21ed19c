"""A real HTTP server on 127.0.0.1, for as long as a test wants it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol, TypeVar


class State(Protocol):
    """What a server knows; its base URL is set when it runs."""

    address: str


StateT = TypeVar("StateT", bound=State)


@contextlib.contextmanager
def running(state: StateT, handler: type[BaseHTTPRequestHandler]) -> Iterator[StateT]:
    """A server whose handler finds the state in its attribute ``state``."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (handler,), {"state": state}))
    server.daemon_threads = True
    state.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
