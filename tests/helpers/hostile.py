"""Contents of files that are damaged, or made to do harm, and the one thing that may come of reading them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpt2simple.errors import Gpt2SimpleError

LONGEST_MESSAGE = 500  # characters, without the path of the test's folder
DEEP = "[" * 100_000

# Whatever a file of JSON is for.
JSON = {
    "empty": b"",
    "zeros": bytes(64),
    "deep": DEEP.encode(),
    "deep object": b'{"a":' * 100_000,
    "deep and closed": b"[" * 900 + b"]" * 900,
    "deep member": b'{"a":' + b"[" * 900 + b"]" * 900 + b"}",
    "not UTF-8": b'{"a": "\xe9"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "number": b"1e999",
    "long number": b"9" * 10_000,
    "null": b"null",
    "text": b'"' + b"x" * 10_000 + b'"',
    "list": b"[1, 2]",
    "half a surrogate": b'{"a": "\\ud83d"}',
    "long key": json.dumps({"k" * 10_000: 1}).encode(),
    "cut": b'{"a": [1, ',
}

# Whatever a value is for.
VALUES = (
    None,
    True,
    -1,
    0,
    2**31,
    10**12,
    10**400,
    float("inf"),
    float("nan"),
    0.5,
    "x" * 10_000,
    "\0",
    "",
    [],
    [[]],
    {},
    {"": None},
)


def changed(values: dict[str, Any], *keys: str) -> list[dict[str, Any]]:
    """Copies of a JSON object, each with one hostile value at a key, or without the key; nested keys in a path."""
    found = []
    for key in keys or tuple(values):
        path = key.split("/")
        for value in (*VALUES, KeyError):
            copy = json.loads(json.dumps(values))
            inner = copy
            for name in path[:-1]:
                inner = inner[name]
            if value is KeyError:
                inner.pop(path[-1], None)
            else:
                inner[path[-1]] = value
            found.append(copy)
    return found


def require_clear(read: Callable[[], Any], folder: Path) -> str | None:
    """Read; the message of our error if there was one. Fails if another error comes, or an endless message."""
    try:
        read()
    except Gpt2SimpleError as error:
        message = str(error).replace(str(folder), "")
        assert len(message) <= LONGEST_MESSAGE, message
        message.encode("utf-8")
        return message
    except Exception as error:
        pytest.fail(f"{type(error).__name__}: {str(error)[:300]}")
    return None
