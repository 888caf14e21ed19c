"""docs/troubleshooting.md quotes messages as the package writes them: each is held to the strings of the sources."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.helpers.documents import DOCS, blocks, text_of
from tests.helpers.paths import PACKAGE

QUOTED = [" ".join(block.split()) for block in blocks("text", text_of(DOCS / "troubleshooting.md"))]
MORE = " ..."  # a quotation that ends so leaves the other sentences out
_FEWEST_LETTERS = 10  # that are fixed in a message; with fewer it says nothing
_VALUE = re.compile(r"\S{0,80}|(?!.*[.:!] ).{0,60}")  # what stands in a message's gap, if it is no message itself
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


@pytest.mark.parametrize("quoted", QUOTED, ids=[quoted[:60] for quoted in QUOTED])
def test_each_message_is_one_that_the_package_writes(quoted: str) -> None:
    assert is_held(quoted.removesuffix(MORE))


def test_there_are_as_many_as_a_user_meets() -> None:
    assert len(set(QUOTED)) == len(QUOTED) > 40


@pytest.mark.parametrize(
    "changed",
    [
        "This session is over. Start another one with gpt2simple.start_session(...).",
        "There is no run 'plya' in checkpoint. Something else. Train one.",
        "model.safetensors is a Git LFS pointer, not the data: it was cloned without Git.",
    ],
)
def test_a_message_that_was_changed_is_found_out(changed: str) -> None:
    assert not is_held(changed)
