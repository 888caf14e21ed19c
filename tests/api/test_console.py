"""Standard output that cannot take a text: each time one clear error, or codes for what it lacks."""

from __future__ import annotations

import errno
import io
import logging
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gpt2simple.api.console import StandardOutput, show_messages
from gpt2simple.cli.group import cli
from gpt2simple.cli.output import show_line
from gpt2simple.errors import StorageError


class Plain:
    """What some notebooks and editors put in place of standard output: it has no encoding and cannot be closed."""

    def __init__(self, error: OSError | None = None) -> None:
        self.text, self.flushed, self._error = "", "", error

    def write(self, text: str) -> None:
        if self._error is not None:
            raise self._error
        self.text += text

    def flush(self) -> None:
        self.flushed = self.text


def test_text_goes_out_at_once(monkeypatch: pytest.MonkeyPatch, messages: list[str]) -> None:
    write = StandardOutput()
    monkeypatch.setattr(sys, "stdout", plain := Plain())
    write("zoë ")
    assert plain.flushed == "zoë "
    write("€5")
    assert (plain.flushed, messages) == ("zoë €5", [])


@pytest.mark.parametrize(
    ("encoding", "shown"), [("ascii", "zo\\xeb \\u20ac5 \\U0001f600"), ("cp1252", "zoë €5 \\U0001f600")]
)
def test_what_an_encoding_lacks_is_shown_as_codes_and_that_is_said_once(
    monkeypatch: pytest.MonkeyPatch, messages: list[str], encoding: str, shown: str
) -> None:
    data = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(data, encoding=encoding))
    write = StandardOutput()
    write("plain, ")
    assert messages == []
    write("zoë €5 😀")
    write("😀")
    assert data.getvalue().decode(encoding) == f"plain, {shown}\\U0001f600"
    assert messages == [
        f"Standard output is encoded in {encoding}, which lacks some characters of the text: they are shown as codes "
        "such as \\u20ac. Set PYTHONIOENCODING=utf-8 to see them."
    ]


def test_what_the_user_chose_for_characters_that_are_lacking_is_kept(
    monkeypatch: pytest.MonkeyPatch, messages: list[str]
) -> None:
    """PYTHONIOENCODING=ascii:replace"""
    data = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(data, encoding="ascii", errors="replace"))
    StandardOutput()("zoë")
    assert (data.getvalue(), messages) == (b"zo?", [])


def test_a_closed_standard_output_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    for stdout in (None, closed):
        monkeypatch.setattr(sys, "stdout", stdout)
        with pytest.raises(StorageError, match=r"^Cannot write standard output: it is closed\. Open it, or write"):
            StandardOutput()("text")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk that is always full")
def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    full = io.TextIOWrapper(io.FileIO("/dev/full", "w"), encoding="utf-8")  # type: ignore[type-var]
    monkeypatch.setattr(sys, "stdout", full)
    with pytest.raises(StorageError, match=r"^Cannot write standard output: the disk is full\. Free some space"):
        StandardOutput()("text")


def test_a_reader_that_is_gone_and_errors_that_are_not_the_disks_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    errors: list[Any] = [BrokenPipeError(errno.EPIPE, "Broken pipe"), OSError(errno.EBADF, "Bad file descriptor")]
    for error in errors:
        monkeypatch.setattr(sys, "stdout", Plain(error))
        with pytest.raises(OSError, match=error.strerror) as raised:
            StandardOutput()("text")
        assert raised.value is error


def test_messages_and_summaries_show_what_a_terminal_would_obey(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Names of runs and files may hold escape sequences; text that was generated goes out as it is."""
    package, shown = logging.getLogger("gpt2simple"), io.StringIO()
    monkeypatch.setattr(package, "handlers", [])
    monkeypatch.setattr(sys, "stderr", shown)
    show_messages()
    logging.getLogger("gpt2simple.test").info("run \x1b[31mred\u202e\n\tnext line")
    assert shown.getvalue() == "run \\x1b[31mred\\u202e\n\tnext line\n"
    monkeypatch.setattr(sys, "stdout", plain := Plain())
    StandardOutput()("gen\x1berated")
    show_line("sum\x1bmary")
    assert plain.text == "gen\x1berated" + "sum\\x1bmary\n"


def test_an_error_on_the_command_line_shows_what_a_terminal_would_obey(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["finetune", str(tmp_path / "\x1b[31mred\u202e"), "--model-name", "tiny"])
    assert result.exit_code == 1
    assert "\x1b" not in result.output
    assert "\u202e" not in result.output
