"""What is made before a run: from which texts, and which are refused."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

import gpt2simple
from gpt2simple.api import prepare
from gpt2simple.errors import DataError, SettingsError
from gpt2simple.gpt2.tokenizer import Tokenizer
from gpt2simple.settings import TextSettings


def test_a_tokenizer_is_trained_on_parts_that_cut_no_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is read a megabyte at a time; the word at that place once came in two halves."""
    path = tmp_path / "long.txt"
    path.write_text("word " * 250_000, encoding="utf-8")
    train, seen = Tokenizer.train, list[str]()

    def watched(texts: Iterable[str], vocab_size: int) -> Tokenizer:
        seen.extend(texts)
        return train(seen, vocab_size)

    monkeypatch.setattr(Tokenizer, "train", watched)
    assert gpt2simple.make_tokenizer(path, tmp_path / "made", vocab_size=260).vocab_size == 260
    assert len(seen) > 1
    assert {word for part in seen for word in part.split()} == {"word"}


def test_encoded_text_makes_no_tokenizer(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", np.array([1, 2]))
    with pytest.raises(DataError, match=r"a\.npz holds token ids, and text is needed here\. Give the text itself"):
        gpt2simple.make_tokenizer(tmp_path / "a.npz", tmp_path / "made")


def test_a_table_of_another_encoding(tmp_path: Path) -> None:
    table, out = tmp_path / "a.csv", tmp_path / "out.txt"
    table.write_bytes("tale\nZoë\n".encode("cp1252"))
    with pytest.raises(DataError, match=r"a\.csv: byte 7 \(0xeb\) is not utf-8 .*encoding='cp1252'"):
        prepare.encode_csv(table, out)
    written = prepare.encode_csv(table, out, encoding="cp1252").read_text(encoding="utf-8")
    assert written == "<|startoftext|>Zoë<|endoftext|>\n"
    with pytest.raises(SettingsError, match=r"encoding is 'cp1'; expected a character encoding that Python knows"):
        prepare.encode_csv(table, out, encoding="cp1")


def test_a_path_is_a_name_in_the_settings(tmp_path: Path) -> None:
    settings = TextSettings(validation_file=tmp_path / "own.txt", cache_dir=tmp_path)  # type: ignore[arg-type]
    assert settings == TextSettings(validation_file=str(tmp_path / "own.txt"), cache_dir=str(tmp_path))
    with pytest.raises(SettingsError, match=r"validation_file is 3; expected Path or str\."):
        TextSettings(validation_file=3)  # type: ignore[arg-type]


def test_no_output_replaces_what_the_user_wrote(tmp_path: Path) -> None:
    book, table = tmp_path / "book.txt", tmp_path / "t.csv"
    book.write_text("A long story.")
    table.write_text("tale\nOnce.\n")
    for name in (book, tmp_path / "link.txt"):
        (tmp_path / "link.txt").unlink(missing_ok=True)
        (tmp_path / "link.txt").symlink_to("book.txt")
        with pytest.raises(SettingsError, match=r"would be overwritten by its output\. Name another file"):
            gpt2simple.encode_dataset(book, name, model_name="tiny")
    with pytest.raises(SettingsError, match=r"t\.csv is read by this call, and would be overwritten"):
        gpt2simple.encode_csv(table, table)
    with pytest.raises(SettingsError, match=r"book\.txt exists, so it is not overwritten"):
        gpt2simple.encode_csv(table, book)
    assert (book.read_text(), table.read_text()) == ("A long story.", "tale\nOnce.\n")


def test_an_encoded_text_replaces_an_earlier_one_unless_it_is_read(tmp_path: Path) -> None:
    out, theirs = tmp_path / "out.npz", tmp_path / "theirs.npz"
    np.savez(theirs, np.arange(9))
    with pytest.raises(SettingsError, match=r"theirs\.npz exists and is not an encoded text of gpt2simple, so it"):
        gpt2simple.encode_dataset(["one"], theirs, model_name="tiny")
    for text in ("one", "one and two"):
        gpt2simple.encode_dataset([text], out, model_name="tiny", cache_dir=str(tmp_path / "cache"))
    with np.load(out) as arrays:
        assert len(arrays["arr_0"]) == 3
    with pytest.raises(SettingsError, match=r"out\.npz is read by this call"):
        gpt2simple.encode_dataset([str(out)], out, model_name="tiny")


def test_a_text_is_encoded_to_no_file_for_its_number_of_tokens(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("To be, or not to be.")
    assert (
        gpt2simple.encode_dataset(tmp_path / "text.txt", os.devnull, model_name="tiny", cache_dir=str(tmp_path)).tokens
        > 1
    )


def test_a_folder_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def torn(tokenizer: Tokenizer, folder: Path) -> None:
        (folder / "vocab.json").touch()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Tokenizer, "save", torn)
        with pytest.raises(KeyboardInterrupt):
            gpt2simple.make_tokenizer(["some text"] * 9, tmp_path / "made", vocab_size=260)
    assert list(tmp_path.iterdir()) == []
    gpt2simple.make_tokenizer(["some text"] * 9, tmp_path / "made", vocab_size=260)
    assert len(list((tmp_path / "made").iterdir())) == 4
