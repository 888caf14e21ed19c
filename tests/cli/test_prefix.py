"""Where the prefix of ``generate`` comes from, and what of it counts."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from gpt2simple.cli.options import read_prefix, read_words

BYTES = [
    (b"Dear diary,\n", "Dear diary,"),
    (b"Dear diary,\r\n", "Dear diary,"),
    (b"Dear diary,", "Dear diary,"),
    (b"AGNES\n\n", "AGNES\n"),
    (b"AGNES\r\n\r\n", "AGNES\r\n"),
    (b"\n", ""),
    (b"", ""),
    (b" \t spaces \t \n", " \t spaces \t "),
    (b"\nfirst", "\nfirst"),
    (b"\xef\xbb\xbfwith a mark\n", "with a mark"),
    (b"\xef\xbb\xbf", ""),
    ("zo\u00eb \u20ac5\n".encode(), "zo\u00eb \u20ac5"),
]


def pipe_in(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))


@pytest.mark.parametrize(("data", "prefix"), BYTES)
def test_a_file_and_standard_input_lose_a_mark_and_one_line_end_and_nothing_else(
    data: bytes, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "prefix.txt"
    path.write_bytes(data)
    assert read_prefix((), path) == prefix
    pipe_in(monkeypatch, data)
    assert read_prefix(("-",), None) == prefix
    pipe_in(monkeypatch, data)
    assert read_prefix((), Path("-")) == prefix


def test_each_line_of_a_file_is_a_prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = "\ufeffOnce upon\r\n\r\n  AGNES:\n \t\nzo\u00eb\u2028\x0c and on".encode()
    expected = ["Once upon", "  AGNES:", "zo\u00eb\u2028\x0c and on"]
    path = tmp_path / "prompts.txt"
    path.write_bytes(data)
    assert read_prefix((), lines=path) == expected
    pipe_in(monkeypatch, data)
    assert read_prefix((), lines=Path("-")) == expected
    path.write_bytes(b"one\n")
    assert read_prefix((), lines=path) == ["one"]
    path.write_bytes(b"\r\n \n")
    with pytest.raises(click.UsageError, match=r"^--prefix-lines .*prompts\.txt holds no prefix; expected one on each"):
        read_prefix((), lines=path)
    with pytest.raises(click.UsageError, match=r"^--prefix-lines .*absent cannot be read \(.*\); expected a text"):
        read_prefix((), lines=tmp_path / "absent")


def test_what_was_typed_stays_as_it_is_and_several_are_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_prefix((), None) == ""
    assert read_prefix(("AGNES\n",), None) == "AGNES\n"
    pipe_in(monkeypatch, b"read\n")
    assert read_prefix(("a\n", "-", ""), None) == ["a\n", "read", ""]


def test_standard_input_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe_in(monkeypatch, b"read\n")
    with pytest.raises(click.UsageError, match=r"^--prefix - was given 2 times; standard input can be read once\.$"):
        read_prefix(("-", "-"), None)


def test_what_cannot_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "latin").write_bytes(b"zo\xeb")
    for path, why in (
        (tmp_path / "absent", "No such file"),
        (tmp_path, "irectory|ermission"),
        (tmp_path / "latin", "utf-8"),
    ):
        with pytest.raises(click.UsageError, match=rf"^--prefix-file .* cannot be read \(.*{why}.*\); expected a text"):
            read_prefix((), path)
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(click.UsageError, match=r"^--prefix - cannot be read \(standard input is closed\); expected a"):
        read_prefix(("-",), None)


def test_a_word_that_stands_for_standard_input_must_be_utf_8(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe_in(monkeypatch, b"To be\n")
    assert read_words("TEXT", ("a", "-")) == ["a", "To be\n"]
    pipe_in(monkeypatch, b"\xe9")
    with pytest.raises(click.UsageError, match=r"^TEXT - cannot be read \(.*\); expected a text in utf-8\. Check"):
        read_words("TEXT", ("-",))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_takes_precedence_as_in_texts(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "prefix.txt"
    path.write_text("Élan\n", encoding=encoding)
    assert read_prefix((), path) == read_prefix((), path, encoding="cp1252") == "Élan"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such devices")
def test_a_device_that_never_ends_is_no_file_with_a_prefix() -> None:
    for names in ({"path": Path("/dev/zero")}, {"lines": Path("/dev/urandom")}):
        with pytest.raises(click.UsageError, match=r"is a device, which may never end\. Name a file, or - for s"):
            read_prefix((), **names)
