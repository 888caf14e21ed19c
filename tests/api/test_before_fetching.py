"""A source that cannot be read is reported before a model is downloaded for it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import gpt2simple
import gpt2simple.compat as gpt2
from gpt2simple.cli.group import cli
from gpt2simple.data.sources import checked_source
from gpt2simple.errors import DataError
from gpt2simple.gpt2.hub.fetch import Fetcher
from gpt2simple.settings import TextSettings

CALLS: dict[str, Callable[[Any], Any]] = {
    "finetune": lambda source: gpt2simple.finetune(source),
    "session.finetune": lambda source: gpt2simple.start_session("124M").finetune(source),
    "validation_file": lambda source: gpt2simple.finetune(["A text."], validation_file=source),
    "evaluate": lambda source: gpt2simple.evaluate(source, model_name="124M"),
    "session.evaluate": lambda source: gpt2simple.start_session("124M").evaluate(source),
    "evaluate --checkpoint latest": lambda source: gpt2simple.evaluate(source, run_name="none", checkpoint="latest"),
    "compare": lambda source: gpt2simple.compare(source, ["124M", "355M"]),
    "encode_dataset": lambda source: gpt2simple.encode_dataset(source),
    "compat.finetune": lambda source: gpt2.finetune(gpt2.start_tf_sess(), source),
    "compat.encode_dataset": lambda source: gpt2.encode_dataset(source),
    "compat.cmd_finetune": lambda source: gpt2.cmd_finetune(
        source, "run1", "checkpoint", "124M", "models", 1, "latest", 1, 1, 1, "adam", False, False
    ),
}


@pytest.fixture(autouse=True)
def _offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_: Any, **__: Any) -> None:
        raise AssertionError("something is downloaded")

    monkeypatch.setattr(Fetcher, "fetch", fetch)
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("book.pdf").write_bytes(b"%PDF-1.7")
    Path("old.txt").write_bytes("Zoë was here.".encode("cp1252"))
    Path("wide.csv").write_text("id,a,b\n1,x,y\n2,z,w\n")


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nosuch.txt", r"There is no file 'nosuch\.txt'"),
        ("empty", r"The folder empty holds no text files"),
        ("book.pdf", r"book\.pdf is a PDF, not text"),
        ("old.txt", r"old\.txt: byte 2 \(0xeb\) is not utf-8"),
    ],
)
def test_what_cannot_be_read_costs_no_download(call: Callable[[Any], Any], source: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        call(source)


def test_a_column_that_is_not_there_costs_no_download() -> None:
    with pytest.raises(DataError, match=r"wide\.csv has no column 'text'. It has: 'id', 'a', 'b'"):
        gpt2simple.finetune("wide.csv", column="text")
    with pytest.raises(DataError, match=r"wide\.csv has several columns"):
        gpt2simple.evaluate(["book.txt", "wide.csv"] if Path("book.txt").exists() else "wide.csv", model_name="124M")


@pytest.mark.parametrize(
    "words", ["finetune", "evaluate --model-name 124M", "encode", "compare --model-name 124M --model-name 355M"]
)
def test_the_commands_say_so_too(words: str) -> None:
    found = CliRunner().invoke(cli, [*words.split(), "nosuch.txt"])
    assert "There is no file 'nosuch.txt'" in found.stderr
    assert found.exit_code != 0


def test_a_look_uses_nothing_up_and_logs_nothing(messages: list[str]) -> None:
    Path("good.csv").write_text("text,n\nOnce.,1\n")
    texts = iter(["One.", "Two."])
    for source in ("good.csv", texts, "-"):
        checked_source(source, TextSettings())
    assert messages == []
    assert next(texts) == "One."
    logging.getLogger("gpt2simple.data.files").info("heard")
    assert messages == ["heard"]
