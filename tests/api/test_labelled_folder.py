"""A folder of labelled tables that are named as parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpt2simple.api.classification import open_labelled
from gpt2simple.errors import DataError
from gpt2simple.settings.classify import LabelledTextSettings


def write(folder: Path, name: str, *texts: str, label: str = "good") -> None:
    folder.mkdir(exist_ok=True)
    rows = [f"{text},{label}" for text in texts] + [f"not {text},bad" for text in texts]
    (folder / name).write_text("\n".join(["text,label", *rows]), encoding="utf-8")


def test_tables_named_as_parts_are_the_parts(tmp_path: Path) -> None:
    folder = tmp_path / "reviews"
    write(folder, "train.csv", "one", "two")
    write(folder, "dev.csv", "three")
    write(folder, "test.csv", "four")
    data = open_labelled(folder, LabelledTextSettings())
    assert data.validation is not None
    assert data.test is not None
    assert data.texts.texts == ("one", "two", "not one", "not two")
    assert (data.validation.texts, data.test.texts) == (("three", "not three"), ("four", "not four"))
    assert data.messages == ("Parts from train.csv, dev.csv, test.csv.",)


def test_a_file_that_is_named_takes_the_place_of_a_part(tmp_path: Path) -> None:
    folder = tmp_path / "reviews"
    write(folder, "train.csv", "one", "two")
    write(folder, "test.csv", "four")
    write(tmp_path, "mine.csv", "five")
    data = open_labelled(str(folder), LabelledTextSettings(test_file=str(tmp_path / "mine.csv")))
    assert data.validation is None
    assert data.test is not None
    assert data.test.texts == ("five", "not five")
    assert data.messages == ("Parts from train.csv; not read: test.csv.",)


def test_a_label_that_training_lacks_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "train.csv", "one")
    write(tmp_path, "test.csv", "two", label="great")
    with pytest.raises(DataError, match="great"):
        open_labelled(tmp_path, LabelledTextSettings())


def test_a_folder_of_tables_with_other_names_is_read_as_one(tmp_path: Path) -> None:
    write(tmp_path, "may.csv", "one")
    write(tmp_path, "june.csv", "two")
    data = open_labelled(tmp_path, LabelledTextSettings())
    assert sorted(data.texts.texts) == ["not one", "not two", "one", "two"]
    assert (data.validation, data.test, data.messages) == (None, None, ())
