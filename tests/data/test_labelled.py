"""Labelled texts: from every kind of source the same texts and labels, and a clear message where labels are missing."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gpt2simple.data.documents import END_MARK
from gpt2simple.data.labelled import LabelledTexts, check_labelled, read_labelled
from gpt2simple.errors import DataError, SettingsError
from gpt2simple.settings.classify import LabelledTextSettings
from tests.helpers.texts import write

PAIRS = [("A great film.", "good"), ("Dull, and long.", "bad"), ("Zoë shines.", "good")]
TEXTS, LABELS = zip(*PAIRS, strict=True)


def read(dataset: Any, names: tuple[str, ...] | None = None, **how: Any) -> LabelledTexts:
    settings = LabelledTextSettings(**how)
    if isinstance(dataset, (str, Path, list, tuple, dict)):
        check_labelled(dataset, settings)
    return read_labelled(dataset, settings, names=names)


def pairs(data: LabelledTexts) -> list[tuple[str, str]]:
    assert data.labels.dtype == np.int32
    return [(text, data.names[label]) for text, label in zip(data.texts, data.labels, strict=True)]


class Frame:
    """What looks like a data frame of pandas."""

    def __init__(self, columns: dict[Any, list[Any]]) -> None:
        self.columns, self._columns = list(columns), columns

    def __getitem__(self, name: Any) -> np.ndarray:
        return np.array(self._columns[name], object)


# --- values of a program ---


@pytest.mark.parametrize(
    "make",
    [
        lambda: PAIRS,
        lambda: iter(PAIRS),
        lambda: np.array(PAIRS),
        lambda: (list(TEXTS), list(LABELS)),
        lambda: (np.array(TEXTS), np.array(LABELS, object)),
        lambda: (np.array([text.encode() for text in TEXTS]), np.array([label.encode() for label in LABELS])),
        lambda: [(text.encode(), label.encode()) for text, label in PAIRS],
        lambda: {"text": list(TEXTS), "label": LABELS},
        lambda: {"film": TEXTS, "id": [1, 2, 3], "Sentiment": LABELS},
        lambda: Frame({"text": TEXTS, "verdict": LABELS}),
        lambda: [{"text": text, "label": label} for text, label in PAIRS],
    ],
)
def test_values_of_a_program(make: Callable[[], Any]) -> None:
    data = read(make())
    assert pairs(data) == PAIRS
    assert data.names == ("bad", "good")
    assert (data.sources, data.files) == (("texts of the program",), 0)


def test_a_table_of_arrow() -> None:
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table({"text": TEXTS, "label": LABELS})
    check_labelled(table, LabelledTextSettings())
    assert pairs(read(table)) == PAIRS


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (3, r"^The dataset is a int; expected the name of a file or folder, a list of names, pairs \(text, label\)"),
        (b"x", r"^The dataset is a bytes; expected"),
        ([], r"^The dataset is an empty list\. Expected the name"),
        (["one", "two"], r"^Entry 0 of the dataset is 'one'; expected a pair \(text, label\)\. The dataset may be the"),
        ([(1, "a")], r"^Text 0 of the dataset is 1; expected a string\. Give \(text, label\)\.$"),
        ([("x", "a"), ("y", None)], r"program, text 1: there is no label here, and every row needs one\. Add it, or"),
        ([("x", "a"), ("y", float("nan"))], r"text 1: there is no label here"),
        ([(b"\xff", "a")], r"^A record holds bytes that are not UTF-8 \(.*\)\. Decode them first, and pass strings\.$"),
        ([("x", ["a"])], r"text 0: the label is \['a'\]; expected a string or a number\.$"),
        ([("x", b"\xff")], r"text 0: the label holds bytes that are not UTF-8 \(.*\)\. Pass strings\.$"),
        ([("x", "\ud83d")], r"text 0: the label holds half a surrogate pair, which is not a character\. Remove it"),
        ((["x"], ["a", "b"]), r"^The dataset has 1 texts and 2 labels; expected as many labels as texts\. Give each"),
        (
            {"text": "x", "label": ["a"]},
            r"^The column 'text' of the dataset is 'x'; expected a list\. Give each column",
        ),
        (
            {"text": np.array("x"), "label": ["a"]},
            r"^The column 'text' of the dataset is array\('x'.*\); expected a list\. Give each column",
        ),
        (
            {"text": ["x"], "label": []},
            r"columns of the dataset are not equally long \('text' has 1, 'label' has 0\)\.",
        ),
        ({}, r"^The dataset is a dict without texts\. Expected the name"),
        (
            {"text": ["x"], 0: ["a"], "0": ["b"]},
            r"^The dataset has several columns named '0'\. Give each column its own",
        ),
        (
            SimpleNamespace(columns=["text", "text"]),
            r"^The dataset has several columns named 'text'\. Give each column",
        ),
        ([("x", "a" * 99), ("y", "a" * 99)], r"have the label 'a+\.\.\.a+'; expected two"),
        ([("x", "a"), ("y", "a")], r"^All 2 texts in texts of the program have the label 'a'; expected two labels or"),
        (
            [(" ", "a"), ("\n", "b")],
            r"^texts of the program holds no texts, or only blank ones\. Give labelled texts\.",
        ),
    ],
)
def test_wrong_values_are_explained(dataset: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(dataset)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (" pos ", "pos"),
        ("two\r\nlines", "two\nlines"),
        (3, "3"),
        (True, "True"),
        (np.int64(-1), "-1"),
        (np.float32(2.0), "2"),
        (0.5, "0.5"),
        (1e3, "1000"),
        (np.array(7), "7"),
        (np.bool_(False), "False"),
        (float("inf"), "inf"),
        (Decimal("4.0"), "4"),
        (b"caf\xc3\xa9", "café"),
    ],
)
def test_labels_become_strings(value: Any, name: str) -> None:
    assert pairs(read([("x", value), ("y", "other")])) == [("x", name), ("y", "other")]


def test_names_are_sorted_as_numbers_where_all_are_whole_numbers() -> None:
    assert read([("x", 10), ("y", 9), ("z", -1)]).names == ("-1", "9", "10")
    assert read([("x", 10), ("y", 9), ("z", "b")]).names == ("10", "9", "b")


def test_texts_stay_as_they_are_but_for_line_ends_and_end_marks() -> None:
    found = read(
        [(" a\r\nb ", 1), (f"c {END_MARK} \n{END_MARK}\n", 2), (f"{END_MARK} d", 1), (END_MARK, 1), (" ", None)]
    )
    assert found.texts == (" a\nb ", "c", f"{END_MARK} d")
    assert (found.blank, found.ended) == (2, 1)


def test_the_fingerprint_tells_texts_labels_and_names() -> None:
    found = [
        read(dataset).fingerprint
        for dataset in (
            [("x", "a"), ("y", "b")],
            [("x", "b"), ("y", "a")],
            [("x", "a"), ("y", "c")],
            [("xy", "a"), (".", "b")],
            [("x", "a"), ("y.", "b")],
        )
    ]
    assert len(set(found)) == 5
    assert found[0] == read([("x", "a"), ("y", "b")]).fingerprint
    assert len(found[0]) == 64


def test_the_labels_of_training_hold_for_other_texts() -> None:
    data = read([("x", "c")], names=("a", "b", "c"))
    assert (data.names, data.labels.tolist()) == (("a", "b", "c"), [2])
    message = (
        r"^The label 'x' occurs in texts of the program and never in training, which has 'a', 'b'\. Correct it, or"
    )
    with pytest.raises(DataError, match=message):
        read([("t", "a"), ("t", "x")], names=("a", "b"))
    with pytest.raises(DataError, match=r"^The label 'x+\.\.\.x+' occurs in"):
        read([("t", "a"), ("t", "x" * 99)], names=("a", "b"))


# --- tables and JSON ---


@pytest.mark.parametrize(
    ("name", "content", "how"),
    [
        ("a.csv", 'text,label\nA great film.,good\n"Dull, and long.",bad\nZoë shines.,good\n', {}),
        ("a.csv", 'label,text\ngood,A great film.\nbad,"Dull, and long."\ngood,Zoë shines.\n', {}),
        ("a.csv", 'film,Class\nA great film.,good\n"Dull, and long.",bad\nZoë shines.,good\n', {}),
        ("a.csv", 'good,A great film.\nbad,"Dull, and long."\ngood,Zoë shines.\n', {"header": False}),
        ("a.csv", 'A great film.,good\n"Dull, and long.",bad\nZoë shines.,good\n', {"header": False}),
        ("a.csv", ',text,x\n0,A great film.,good\n1,"Dull, and long.",bad\n2,Zoë shines.,good\n', {}),
        ("a.csv", 'x,y,z\n1,A great film.,good\n2,"Dull, and long.",bad\n3,Zoë shines.,good\n',
         {"column": "y", "label_column": "z"}),
        ("a.csv", '1,A great film.,good\n2,"Dull, and long.",bad\n3,Zoë shines.,good\n',
         {"column": 1, "label_column": 2}),
        ("a.csv", 'label,target\nA great film.,good\n"Dull, and long.",bad\nZoë shines.,good\n', {"column": "label"}),
        ("a.tsv", "sentence\tlabel\nA great film.\tgood\nDull, and long.\tbad\nZoë shines.\tgood\n", {}),
    ],
)  # fmt: skip
def test_tables(tmp_path: Path, name: str, content: str, how: dict[str, Any]) -> None:
    path = write(tmp_path / name, content)
    data = read(path, **how)
    assert pairs(data) == PAIRS
    assert (data.sources, data.files) == ((str(path),), 1)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_json(tmp_path: Path, name: str) -> None:
    rows = [{"data": {"t": text, "l": label}, "id": 1} for text, label in PAIRS]
    content = json.dumps(rows) if name == "a.json" else "\n".join(map(json.dumps, rows))
    path = write(tmp_path / name, content)
    assert pairs(read(path, column="data.t", label_column="data.l")) == PAIRS


def test_a_template_and_labels_in_a_list(tmp_path: Path) -> None:
    rows = [{"m": [{"t": t, "l": label} for t, label in PAIRS], "all": "same"}]
    path = write(tmp_path / "a.jsonl", json.dumps(rows[0]))
    assert pairs(read(path, template="{m.t}", label_column="m.l")) == PAIRS
    with pytest.raises(
        DataError, match=r"line 1: there is not one label for each text in 'm\.l'\. Name the label that"
    ):
        read(path, column="all", label_column="m.l")


def test_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="the parquet extra is not installed")
    from pyarrow import parquet

    rows = [{"text": text, "label": label, "more": 1} for text, label in PAIRS]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert pairs(read(tmp_path / "a.parquet")) == PAIRS
    assert pairs(read(tmp_path / "a.parquet", column="text", label_column="label")) == PAIRS
    parquet.write_table(pyarrow.Table.from_pylist([*rows, {"text": "x", "label": None}]), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet, row 3: there is no label here"):
        read(tmp_path / "a.parquet")


def test_the_guess_of_a_label_is_logged_once_when_it_is_read(tmp_path: Path, messages: list[str]) -> None:
    path = write(tmp_path / "a.csv", "text,label\nx y,a\nz,b\n")
    check_labelled(path, LabelledTextSettings())
    assert messages == []
    read(path)
    assert f"{path}: the label is taken from 'label'; set label_column to change that." in messages


@pytest.mark.parametrize(
    ("content", "how", "message"),
    [
        ("text,label\nx,a\ny,\n", {}, r"a\.csv, line 3: there is no label here, and every row needs one\. Add it"),
        ("text,label\nx,a\n", {"label_column": "y"},
         r"a\.csv has no column 'y'\. It has: 'text', 'label'\. Name one of them \(label_column=\.\.\., --label-"),
        ("text,label\nx,a\n", {"label_column": 5}, r"has no column 5\. It has: 'text', 'label'"),
        ("text,label\nx,a\n", {"column": "text", "label_column": "text"},
         r"line 2: 'text' was named as the text and as its label\. Name two columns \(column=\.\.\., label_column"),
        ("text\nx y\n", {}, r"a\.csv has 1 column: 'text'; expected a label beside each text\. Add a column"),
        ("text,x,y\nx,1,2\n", {}, r"has several columns beside the text: 'x', 'y'\. Say which one is the label"),
    ],
)  # fmt: skip
def test_a_table_without_labels_is_explained(tmp_path: Path, content: str, how: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "a.csv", content)
    with pytest.raises(DataError, match=message):
        read(path, **how)


def test_json_without_labels_is_explained(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '"a text"\n')
    with pytest.raises(DataError, match=r"a\.jsonl, line 1: there is no label here"):
        read(path)
    write(path, '{"text": "x", "label": "a"}\n{"text": "y"}\n')
    for how in ({}, {"label_column": "label"}, {"column": "text"}, {"column": "text", "label_column": "label"}):
        with pytest.raises(DataError, match=r"a\.jsonl, line 2: there is no label here"):
            read(path, **how)


def test_a_table_on_standard_input_needs_its_type(monkeypatch: pytest.MonkeyPatch) -> None:
    for how in ({"format": "csv"}, {}):
        given = io.TextIOWrapper(io.BytesIO(b"text,label\nx y,a\nz,b\n"), encoding="utf-8")
        monkeypatch.setattr("sys.stdin", given)
        if how:
            assert read("-", **how).names == ("a", "b")
            continue
        with pytest.raises(DataError, match=r"^standard input is read as plain text, .* name its type \(format"):
            read("-")


# --- files named by label ---


def test_a_folder_of_folders(tmp_path: Path) -> None:
    for number, (text, label) in enumerate(PAIRS):
        write(tmp_path / "d" / label / f"{number}.txt", text + "\nmore")
    data = read(tmp_path / "d")
    assert sorted(pairs(data)) == sorted((text + "\nmore", label) for text, label in PAIRS)
    assert data.files == 3
    assert len(read(tmp_path / "d", format="lines").texts) == 6
    write(tmp_path / "d" / "bad " / "0.txt", "White space at the end of a label is left out, as in tables.")
    assert read(tmp_path / "d").names == ("bad", "good")


@pytest.mark.parametrize("names", [("good.txt", "bad.txt"), ("film.good", "film.bad"), ("x.y.good", "x.y.bad")])
def test_a_file_of_lines_for_each_label(tmp_path: Path, names: tuple[str, str]) -> None:
    folder = tmp_path / "d"
    write(folder / names[0], "A great film.\r\n\nZoë shines.\n".encode("cp1252"))
    write(folder / names[1], "Dull, and long.\n")
    for dataset in (folder, [str(folder / name) for name in names], str(folder / "*")):
        data = read(dataset, encoding="cp1252")
        assert sorted(pairs(data)) == sorted(PAIRS)
        assert (data.files, data.blank) == (2, 1)
    with pytest.raises(DataError, match=r"is not utf-8"):
        read(folder)


def test_files_of_the_same_name_have_the_same_label(tmp_path: Path) -> None:
    names = [tmp_path / folder / f"{label}.txt" for folder in ("new", "old") for label in ("bad", "good")]
    for number, path in enumerate(names):
        write(path, f"text {number}\n")
    found = read([str(path) for path in [*names, names[0]]])
    assert (found.names, found.labels.tolist(), found.files) == (("bad", "good"), [0, 1, 0, 1, 0], 5)


@pytest.mark.parametrize(
    ("files", "names", "message"),
    [
        (
            ["a.txt"],
            ["a.txt"],
            r"a\.txt is plain text, in which nothing says the labels \(1 file\)\. Give a table",
        ),
        (
            ["a.txt", "b.csv"],
            ["a.txt", "b.csv"],
            r"a\.txt is plain text and .*b\.csv is not, so their labels cannot be",
        ),
        (
            ["a/1.txt", "b/1.txt"],
            ["a", "b"],
            r"a is a folder in a list\. Give the folder that holds it, or the names of",
        ),
        (
            ["a/1.txt", "b/1.txt", "c.txt"],
            [""],
            r"holds text both in its folders \(a, \.\.\.\) and beside them \(c\.txt, \.",
        ),
        (
            ["a/1.txt"],
            [""],
            r"holds only one folder with texts, 'a'; expected one for each of two labels or more\. Give",
        ),
        (
            ["a/x/1.txt", "b/1.txt"],
            [""],
            r"a holds no texts but those in its folders, so it is no label\. Give the folder",
        ),
    ],
)
def test_names_that_are_no_labels_are_explained(
    tmp_path: Path, files: list[str], names: list[str], message: str
) -> None:
    for file in files:
        write(tmp_path / "d" / file, "text,label\nsome,a\n")
    dataset = [str(tmp_path / "d" / name) for name in names]
    for function in (check_labelled, read_labelled):
        with pytest.raises(DataError, match=message):
            function(dataset if len(dataset) > 1 else dataset[0], LabelledTextSettings())


def test_check_uses_nothing_up_and_finds_a_wrong_encoding() -> None:
    entries = iter(PAIRS)
    check_labelled(entries, LabelledTextSettings())
    assert list(entries) == PAIRS
    with pytest.raises(SettingsError, match="encoding is 'nosuch'"):
        check_labelled(PAIRS, LabelledTextSettings(encoding="nosuch"))


# --- TensorFlow ---


@pytest.mark.parametrize("batch", [None, 2])
@pytest.mark.parametrize("form", ["tuple", "dict", "numbers"])
def test_a_tf_data_dataset(form: str, batch: int | None) -> None:
    from gpt2simple.backend.tensorflow import tf

    numbers = [int(label == "good") for label in LABELS]
    elements: Any = {"tuple": (TEXTS, LABELS), "dict": {"text": TEXTS, "label": LABELS}, "numbers": (TEXTS, numbers)}[
        form
    ]
    elements = tuple(map(list, elements)) if isinstance(elements, tuple) else {k: list(v) for k, v in elements.items()}
    dataset = tf.data.Dataset.from_tensor_slices(elements)
    data = read(dataset if batch is None else dataset.batch(batch))
    assert data.texts == TEXTS
    assert data.names == (("0", "1") if form == "numbers" else ("bad", "good"))
    assert data.labels.tolist() == numbers


def test_class_labels_of_the_catalogue_become_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import tensorflow_datasets as tfds

    examples = [{"tweet": text.encode(), "kind": np.int64(label == "good"), "n": 5} for text, label in PAIRS]
    features = {"tweet": tfds.features.Text(), "kind": tfds.features.ClassLabel(names=["bad", "good"])}
    info = SimpleNamespace(splits={"train": SimpleNamespace(num_examples=3)}, features=features)
    builder = SimpleNamespace(info=info, as_dataset=lambda **how: examples)
    monkeypatch.setattr(tfds, "builder", lambda name: builder)
    monkeypatch.setattr(tfds, "as_numpy", lambda dataset: dataset)
    assert pairs(read("tfds:tales")) == PAIRS
    examples.append({"tweet": b"x", "kind": np.int64(-1), "n": 5})
    with pytest.raises(DataError, match=r"tfds:tales, example 3: there is no label here"):
        read("tfds:tales")


def test_files_with_several_names_and_endings_say_no_label(tmp_path):
    for name in ("train.pos", "train.neg", "test.pos", "test.neg"):
        (tmp_path / name).write_text("a\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"2 files are named (test|train), with several endings"):
        read_labelled(str(tmp_path), LabelledTextSettings())


def test_what_a_data_frame_has_for_no_text_is_blank():
    found = read_labelled({"text": ["a", float("nan"), "b"], "label": ["x", "x", "y"]}, LabelledTextSettings())
    assert (found.texts, found.blank) == (("a", "b"), 1)
