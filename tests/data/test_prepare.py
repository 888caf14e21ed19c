"""One text, encoded and split the same way for everyone who trains, evaluates or compares on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from gpt2simple.data.encode import Progress, encode_corpus
from gpt2simple.data.prepare import prepare_text
from gpt2simple.data.split import split
from gpt2simple.errors import DataError, SettingsError
from gpt2simple.settings.text import TextSettings
from gpt2simple.testing import sample_text
from tests.helpers.texts import BYTES


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(sample_text(200))
    return path


def settings_in(tmp_path: Path, **given: object) -> TextSettings:
    return TextSettings(cache_dir=str(tmp_path / "cache"), **given)


def test_the_text_is_encoded_and_split_as_its_parts_do_it(tmp_path: Path, text: Path) -> None:
    settings = settings_in(tmp_path, validation_split=0.2)
    prepared = prepare_text(text, settings, BYTES, 16, n_ctx=32)
    corpus = encode_corpus(text, BYTES, settings)
    parts = split(corpus, settings, 16)
    assert prepared.corpus.fingerprint == corpus.fingerprint
    assert prepared.validation is None
    assert prepared.no_held_out_reason is None
    for found, expected in ((prepared.split.train, parts.train), (prepared.split.held_out, parts.held_out)):
        assert found is not None
        assert expected is not None
        np.testing.assert_array_equal(found.read(0, found.tokens), expected.read(0, expected.tokens))


def test_a_validation_file_is_held_out_whole(tmp_path: Path, text: Path) -> None:
    own = tmp_path / "own.txt"
    own.write_text(sample_text(30, seed=1))
    prepared = prepare_text(text, settings_in(tmp_path, validation_file=own), BYTES, None, n_ctx=32)
    assert prepared.validation is not None
    assert prepared.split.held_out is not None
    assert prepared.split.held_out.tokens == prepared.validation.tokens
    assert prepared.split.train.tokens == prepared.corpus.tokens


def test_an_encoded_text_is_taken_as_it_is(tmp_path: Path, text: Path) -> None:
    settings = settings_in(tmp_path)
    corpus = encode_corpus(text, BYTES, settings)
    text.unlink()
    assert prepare_text(corpus, settings, BYTES, None, n_ctx=32).corpus is corpus


def test_the_window_is_the_models_where_none_is_given_and_never_longer(tmp_path: Path, text: Path) -> None:
    settings = settings_in(tmp_path)
    assert prepare_text(text, settings, BYTES, None, n_ctx=32).window == 32
    assert prepare_text(text, settings, BYTES, 8, n_ctx=32).window == 8
    with pytest.raises(SettingsError, match=r"window is 33; this model reads at most 32 tokens\. .* up to 32\."):
        prepare_text(tmp_path / "missing.txt", settings, BYTES, 33, n_ctx=32)  # before anything is read


def test_why_nothing_is_held_out_is_a_sentence(tmp_path: Path, text: Path) -> None:
    none = prepare_text(text, settings_in(tmp_path, validation_split=0.0), BYTES, None, n_ctx=32)
    assert none.no_held_out_reason == "validation_split is 0."
    text.write_text("Short.")
    short = prepare_text(text, settings_in(tmp_path), BYTES, None, n_ctx=32)
    assert short.split.held_out is None
    assert short.no_held_out_reason is not None
    assert short.no_held_out_reason.startswith("Nothing is held out: 10% of the text is ")


def test_each_text_that_is_read_has_its_own_progress_bar(tmp_path: Path, text: Path) -> None:
    titles: list[str] = []

    @contextmanager
    def bar(title: str) -> Iterator[Progress]:
        calls: list[int] = []
        yield lambda done, total: calls.append(done)
        assert calls
        titles.append(title)

    own = tmp_path / "own.txt"
    own.write_text(sample_text(30, seed=1))
    prepare_text(text, settings_in(tmp_path, validation_file=own), BYTES, None, n_ctx=32, progress=bar)
    assert titles == ["Encoding", "Encoding validation_file"]


def test_a_text_that_is_all_held_out_leaves_nothing_to_train_on(tmp_path: Path, text: Path) -> None:
    prepared = prepare_text(text, settings_in(tmp_path, validation_file=text), BYTES, None, n_ctx=32)
    with pytest.raises(DataError, match="nothing would be left to train on"):
        _ = prepared.split
