"""Messages and bars on standard error: of the package's own accord only, once, and never among the results."""

from __future__ import annotations

import contextlib
import io
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO, TypeVar

import pytest

from gpt2simple.api import console
from tests.helpers.paths import ROOT

StreamT = TypeVar("StreamT", bound=TextIO)

PACKAGE = logging.getLogger("gpt2simple")


@pytest.fixture(autouse=True)
def _a_process_that_has_set_up_nothing() -> Iterator[None]:
    before = PACKAGE.handlers[:], PACKAGE.level, PACKAGE.propagate
    PACKAGE.handlers[:], PACKAGE.propagate = [], True
    PACKAGE.setLevel(logging.NOTSET)
    yield
    PACKAGE.handlers[:], level, PACKAGE.propagate = before
    PACKAGE.setLevel(level)


@contextlib.contextmanager
def handler_of(logger: logging.Logger, stream: StreamT, level: int = logging.NOTSET) -> Iterator[StreamT]:
    """A program's own handler, which writes to a stream."""
    handler = logging.StreamHandler(stream)
    handler.setLevel(level)
    logger.addHandler(handler)
    yield stream
    logger.removeHandler(handler)


def log(text: str) -> None:
    logging.getLogger("gpt2simple.api.session").info(text)


def test_a_message_goes_to_stderr_and_nothing_else_does(capsys: pytest.CaptureFixture[str]) -> None:
    console.show_messages()
    log("A message.")
    logging.getLogger("gpt2simple.api.session").debug("A detail.")
    logging.getLogger("another_package").info("Its message.")
    assert tuple(capsys.readouterr()) == ("", "A message.\n")


def test_it_goes_to_stderr_as_it_is_at_that_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    console.show_messages()
    monkeypatch.setattr(sys, "stderr", later := io.StringIO())
    log("A message.")
    assert later.getvalue() == "A message.\n"


def test_without_stderr_a_message_does_not_go_among_the_results(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It once went to stdout, in front of the JSON."""
    console.show_messages()
    monkeypatch.setattr(sys, "stderr", None)
    log("A message.")
    assert capsys.readouterr().out == ""


def test_a_program_that_adds_a_handler_later_shows_each_message_once(capsys: pytest.CaptureFixture[str]) -> None:
    """`from gpt2simple import finetune` has set up the package's own by then."""
    console.show_messages()
    with handler_of(PACKAGE, sys.stderr), handler_of(PACKAGE, io.StringIO()) as in_a_file:
        log("A message.")
    assert tuple(capsys.readouterr()) == ("", "A message.\n")
    with handler_of(PACKAGE, in_a_file), handler_of(PACKAGE, sys.stderr, level=logging.ERROR):
        log("Another one.")
    assert tuple(capsys.readouterr()) == ("", "Another one.\n")
    assert in_a_file.getvalue() == "A message.\nAnother one.\n"


def test_a_log_file_that_is_not_open_yet_does_not_silence_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    console.show_messages()
    PACKAGE.addHandler(logging.FileHandler(tmp_path / "log.txt", delay=True))
    monkeypatch.setattr(sys, "stdout", None)
    log("A message.")
    assert capsys.readouterr().err == "A message.\n"


def test_a_program_with_a_handler_of_its_own_is_left_to_it(capsys: pytest.CaptureFixture[str]) -> None:
    with handler_of(PACKAGE, io.StringIO()) as shown:
        PACKAGE.setLevel(logging.WARNING)
        console.show_messages()
        log("A message.")
        PACKAGE.setLevel(logging.INFO)
        log("Another one.")
        assert PACKAGE.propagate
    assert shown.getvalue() == "Another one.\n"
    assert tuple(capsys.readouterr()) == ("", "")


def test_the_level_that_a_program_has_set_stays(capsys: pytest.CaptureFixture[str]) -> None:
    PACKAGE.setLevel(logging.WARNING)
    console.show_messages()
    log("A message.")
    PACKAGE.warning("A warning.")
    assert capsys.readouterr().err == "A warning.\n"


def test_handlers_of_the_root_logger_do_not_show_a_message_a_second_time(capsys: pytest.CaptureFixture[str]) -> None:
    """A notebook's root logger has one."""
    with handler_of(logging.getLogger(), io.StringIO()) as shown:
        console.show_messages()
        log("A message.")
    assert (shown.getvalue(), capsys.readouterr().err) == ("", "A message.\n")


def test_called_twice_a_message_is_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    console.show_messages()
    console.show_messages()
    log("A message.")
    assert capsys.readouterr().err == "A message.\n"


def test_importing_the_package_sets_up_nothing_and_using_it_does() -> None:
    program = (
        "import logging, gpt2simple; print(logging.getLogger('gpt2simple').handlers)\n"
        "gpt2simple.FinetuneSettings; logging.getLogger('gpt2simple.api').info('A message.')"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "A message.\n")


def test_without_stderr_a_text_is_read_without_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    monkeypatch.setattr(console, "BAR_DELAY", 0.0)
    with console.reading_bar("Reading") as show:
        show(1, 2)
        show(2, 2)
