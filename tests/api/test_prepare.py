"""What is made before a run: from which texts, and which are refused."""

from __future__ import annotations

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
    with pytest.raises(SettingsError, match=r"validation_file is 3; expected str\."):
        TextSettings(validation_file=3)  # type: ignore[arg-type]
