"""Whether a message that a document quotes is one that the package writes: found among the strings of its sources."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from typing import NamedTuple

from tests.helpers.paths import PACKAGE

_FEWEST_LETTERS = 10  # that are fixed in a message; with fewer it says nothing
_VALUE = re.compile(r"\S{0,80}|(?!.*[.:!] ).{0,80}")  # what stands in a message's gap, if it is no message itself
_GAP = "\0"


class Message(NamedTuple):
    """A string of the sources: as a pattern with a group for each value, and the letters that are fixed."""

    pattern: re.Pattern[str]
    fixed: str


def strings(tree: ast.AST) -> Iterator[str]:
    """The strings of a source, with a mark in place of each value; parts of one string only together."""
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else _GAP for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value


@functools.cache
def messages() -> list[Message]:
    found: dict[str, Message] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for text in strings(ast.parse(path.read_text(encoding="utf-8"))):
            sentences = [text[: match.end() - 1] for match in re.finditer(r"[.:!] ", text)]
            for part in (text, *sentences):
                fixed = part.replace(_GAP, "").strip()
                if len(fixed) >= _FEWEST_LETTERS and part not in found:
                    words = re.escape(" ".join(part.split(" ")).strip())
                    found[part] = Message(re.compile(words.replace(re.escape(_GAP), "(.*?)"), re.DOTALL), fixed)
    return list(found.values())


@functools.cache
def is_held(quoted: str) -> bool:
    """Whether a message is one of the sources, or several of them one after the other, perhaps after a path."""
    path, _, rest = quoted.partition(" ")
    if ("/" in path and is_held(rest)) or any(fits(message, quoted) for message in messages()):
        return True
    ends = re.finditer(r"(?<=[.:`]) ", quoted)
    return any(is_held(quoted[: end.start()]) and is_held(quoted[end.end() :]) for end in ends)


def fits(message: Message, quoted: str) -> bool:
    match = message.pattern.fullmatch(quoted) or message.pattern.fullmatch(quoted.removesuffix("."))
    return match is not None and all(_VALUE.fullmatch(value) or is_held(value) for value in match.groups())
