"""The files of a folder that are its parts, by their names."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpt2simple.data.folder_parts import file_to_look_at, folder_parts
from gpt2simple.errors import DataError
from tests.helpers.texts import write


def folder_of(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write(folder / name, "{}")
    return folder


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["train.jsonl"], "Parts from train.jsonl."),
        (
            ["train.jsonl.gz", "valid.jsonl.xz", "test.jsonl.gz", "README.md"],
            "Parts from train.jsonl.gz, valid.jsonl.xz, test.jsonl.gz.",
        ),
        (["Train.JSONL", "DEV.csv", "more.jsonl"], "Parts from Train.JSONL, DEV.csv; not read: more.jsonl."),
        (["train.tsv", "val.ndjson"], "Parts from train.tsv, val.ndjson."),
        (["train.json", "eval.parquet", "a/b.json"], "Parts from train.json, eval.parquet; not read: a/b.json."),
        (
            ["train.jsonl", *(f"{name}.jsonl" for name in "abcdef")],
            "Parts from train.jsonl; not read: a.jsonl, b.jsonl, c.jsonl, d.jsonl and 2 more.",
        ),
        (
            ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet",
             "data/test-00000-of-00001-0a1b.parquet"],
            "Parts from data/train-00000-of-00002.parquet, data/train-00001-of-00002.parquet, "
            "data/test-00000-of-00001-0a1b.parquet.",
        ),
        (["train/0.parquet", "train/1.parquet", "validation/0.parquet"],
         "Parts from train/0.parquet, train/1.parquet, validation/0.parquet."),
        (["train.jsonl", ".cache/train.jsonl", "__test.jsonl"], "Parts from train.jsonl; not read: __test.jsonl."),
    ],
)  # fmt: skip
def test_parts_by_their_names(tmp_path: Path, names: list[str], expected: str) -> None:
    folder = folder_of(tmp_path / "d", *names)
    for dataset in (folder, str(folder), [str(folder)]):
        parts = folder_parts(dataset)
        assert parts is not None
        assert parts.in_words(()) == expected
        assert file_to_look_at(dataset) == parts.files["train"][0]


def test_what_other_files_replace_is_not_read(tmp_path: Path) -> None:
    parts = folder_parts(folder_of(tmp_path, "train.jsonl", "test.jsonl", "more.jsonl"))
    assert parts is not None
    assert parts.in_words({"test", "validation"}) == "Parts from train.jsonl; not read: more.jsonl, test.jsonl."


def test_other_datasets_have_no_parts(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "a.jsonl", "b.jsonl", "trainer.jsonl", "train.txt", "pretest.csv")
    for dataset in (folder, folder / "a.jsonl", [("a", "b")], ["a" * 2000], "a\n" * 2000, "\0", "-", None, []):
        assert folder_parts(dataset) is file_to_look_at(dataset) is None


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train.jsonl", "valid.jsonl", "dev.jsonl"],
         r"holds dev\.jsonl and valid\.jsonl, for one part\. Leave one of them, or give the files themselves\.$"),
        (["train.jsonl", "train.jsonl.gz"], r"holds train\.jsonl and train\.jsonl\.gz, for one part"),
        (["en/train.jsonl", "de/train.jsonl"], r"holds de/train\.jsonl and en/train\.jsonl, for one part"),
        (["a.jsonl", "test.jsonl"], r"holds test\.jsonl, and no file that is named as the part to train on\. Name it "
         r"train, such as train\.jsonl, or give the files themselves\.$"),
        (["a.jsonl", "valid.jsonl"], r"holds valid\.jsonl, and no file that is named as the part to train on"),
    ],
)  # fmt: skip
def test_parts_that_are_not_certain_are_refused(tmp_path: Path, names: list[str], message: str) -> None:
    folder = folder_of(tmp_path, *names)
    with pytest.raises(DataError, match=message):
        folder_parts(folder)
    file_to_look_at(folder)  # says nothing: the folder may be of plain texts


def test_a_folder_with_parts_stands_alone(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "train.jsonl", "test.jsonl")
    with pytest.raises(DataError, match=r"has parts of its own, and stands in a list with others\. Give it alone\.$"):
        folder_parts([str(folder), "more.jsonl"])
    assert folder_parts([str(folder / "train.jsonl"), str(folder / "test.jsonl")]) is None
