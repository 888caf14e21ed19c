"""What the package logs for its user, in a list."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@contextlib.contextmanager
def collected_messages() -> Iterator[list[str]]:
    """A list to which each message of the package is added while the block runs, also from other threads."""
    package, collector = logging.getLogger("gpt2simple"), _Collector()
    level = package.level
    package.addHandler(collector)
    package.setLevel(logging.INFO)
    try:
        yield collector.messages
    finally:
        package.removeHandler(collector)
        package.setLevel(level)
