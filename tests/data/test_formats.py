"""The formats that hold several texts: CSV, TSV, JSON, Parquet and the files of gpt-2-simple."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpt2simple.data.export import encode_csv, encode_dataset
from gpt2simple.data.texts import read_texts
from gpt2simple.errors import DataError, SettingsError
from gpt2simple.settings.text import TextSettings
from tests.helpers.texts import BYTES, documents_in, encode, texts_of, write

# --- tables ---


def test_csv_with_quoted_newlines_by_name_number_and_template(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'title,body,year\r\nOne,"a ""b"",\r\nc",1\r\nTwo,d,2\r\n')
    cache = tmp_path / "cache"
    assert documents_in(path, cache, column="body") == ['a "b",\nc', "d"]
    assert documents_in(path, cache, column="1") == ['a "b",\nc', "d"]
    assert documents_in(path, cache, column=0, header=True) == ["One", "Two"]
    assert documents_in(path, cache, column=0, header=False) == ["title", "One", "Two"]
    assert documents_in(path, cache, template="{title}\n{body}") == ['One\na "b",\nc', "Two\nd"]
    assert documents_in(path, cache, template=r"{title}\t{body}") == ['One\ta "b",\nc', "Two\td"]  # as a shell gives it


def test_the_text_column_is_found_by_its_name_and_said(tmp_path: Path, messages: list[str]) -> None:
    path = write(tmp_path / "a.csv", "id,text\n1,It was a dark night.\n2,And stormy!\n")
    assert texts_of(encode(path, tmp_path / "cache")) == ["It was a dark night.", "And stormy!"]
    assert "the first row ('id', 'text') is taken as column names; header=False reads it as text" in messages[0]
    assert "the text is taken from 'text'; set column or template to change that" in messages[1]


def test_one_column_without_a_header_is_seen(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", '"Hello, world!"\nSecond tweet :)\n')
    assert documents_in(path, tmp_path / "cache") == ["Hello, world!", "Second tweet :)"]
    headed = write(tmp_path / "b.csv", "tweet\nHello world!\n")
    assert documents_in(headed, tmp_path / "cache") == ["Hello world!"]


def test_tsv_blank_rows_and_long_fields(tmp_path: Path) -> None:
    long = "word " * 50_000  # longer than the csv module allows by itself
    path = write(tmp_path / "a.tsv", f"label\ttext\n\n1\t{long}\n\n0\tshort, with comma\n")
    assert documents_in(path, tmp_path / "cache", column="text") == [long, "short, with comma"]


def test_headerless_columns_in_a_template(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "1,How are you?,Fine.\n")
    assert documents_in(path, tmp_path / "cache", header=False, template="{1}\n{2}") == ["How are you?\nFine."]


@pytest.mark.parametrize(
    ("content", "how", "message"),
    [
        (
            "a,b\n1,2\n",
            {"column": "text"},
            r"a\.csv has no column 'text'. It has: 'a', 'b'. Name one of them \(column=",
        ),
        ("a,b\n1,2\n", {"column": 2, "header": True}, r"has 2 columns, so there is no column 2 \(the first is 0\)"),
        ("a,b\n1,2\n", {"template": "{c}"}, r"has no column 'c'"),
        ("n,m\n1 x,2 y\n", {}, r"has several columns: 'n', 'm'. Say which one is the text"),
        ('a\n"never closed\n', {"header": True}, r"a\.csv, line 2: this is not a valid row .*Put fields"),
        ("text\nHello, world\n", {"header": True}, r"line 2: ',' separates 2 columns here, and 1 in the"),
    ],
)
def test_a_table_that_does_not_fit_is_explained(
    tmp_path: Path, content: str, how: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        encode(write(tmp_path / "a.csv", content), tmp_path / "cache", **how)


@pytest.mark.parametrize("template", ["{title", "no braces", "{}"])
def test_a_template_that_is_none_is_explained(tmp_path: Path, template: str) -> None:
    with pytest.raises(SettingsError, match=r"template is .*; expected (text such as|names in braces)"):
        encode(write(tmp_path / "a.csv", "a\nb c!\n"), tmp_path / "cache", template=template)


# --- JSON ---


def test_json_lines_of_objects_and_strings(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    rows = [{"title": "T", "text": "a\u2028b", "n": 1}, {"title": None, "text": "c", "n": 2}]
    path = write(tmp_path / "a.jsonl", "\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n\n")
    assert documents_in(path, cache) == ["a\u2028b", "c"]
    assert documents_in(path, cache, template="{title}: {text}") == ["T: a\u2028b", ": c"]
    assert documents_in(path, cache, column="n") == ["1", "2"]
    assert documents_in(write(tmp_path / "b.ndjson", '"x y"\n"z"\n'), cache) == ["x y", "z"]


def test_json_lists_objects_and_lines(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for content in (["x", "y"], [{"text": "x"}, {"text": "y"}], {"data": [{"body": "x"}, {"body": "y"}]}):
        assert documents_in(write(tmp_path / "a.json", json.dumps(content, indent=1)), cache) == ["x", "y"]
    assert documents_in(write(tmp_path / "b.json", '{"text": "x"}\n{"text": "y"}\n'), cache) == ["x", "y"]
    assert documents_in(write(tmp_path / "c.json", '{"text": "x", "id": 3}'), cache) == ["x"]


@pytest.mark.parametrize(
    ("name", "content", "how", "message"),
    [
        (
            "a.jsonl",
            '{"text": "x"}\n{"text": \n',
            {},
            r"a\.jsonl, line 2: this is not JSON .*give plain text the ending",
        ),
        ("a.jsonl", '{"text": "x"}\n{"id": 1}\n', {}, r"has a record without 'text', which the first one has"),
        ("a.jsonl", '{"a": 1}\n', {"column": "b"}, r"a\.jsonl, line 1, has no column 'b'. It has: 'a'"),
        ("a.jsonl", '{"text": ["x"]}\n', {}, r"line 1: 'text' holds a list; expected text"),
        ("a.jsonl", "3\n", {}, r"line 1: found 3; expected a string, or an object with a text in it"),
        ("a.json", "{not json", {}, r"a\.json is not JSON .*Repair it, or give plain text the ending \.txt"),
        ("a.json", "[1]", {}, r"entry 0: found 1; expected a string"),
    ],
)
def test_json_that_does_not_fit_is_explained(
    tmp_path: Path, name: str, content: str, how: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        encode(write(tmp_path / name, content), tmp_path / "cache", **how)


# --- Parquet ---


def test_parquet_by_column_and_template(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="the parquet extra is not installed")
    from pyarrow import parquet

    rows = 3000  # more than are read at once
    table = pyarrow.table({"id": list(range(rows)), "text": [f"text {i}" for i in range(rows)]})
    path = tmp_path / "a.parquet"
    parquet.write_table(table, path)
    cache = tmp_path / "cache"
    assert documents_in(path, cache) == [f"text {i}" for i in range(rows)]
    assert documents_in(path, cache, template="{id}: {text}")[-1] == "2999: text 2999"
    with pytest.raises(DataError, match=r"a\.parquet has no column 'body'. It has: 'id', 'text'"):
        encode(path, cache, column="body")
    cut = write(tmp_path / "cut.parquet", path.read_bytes()[:500])
    with pytest.raises(DataError, match=r"cut\.parquet is not a readable Parquet file"):
        encode(cut, cache)


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"needs pyarrow. Run `pip install pyarrow`"):
        encode(write(tmp_path / "a.parquet", b"PAR1xxxxPAR1"), tmp_path / "cache")


# --- gpt-2-simple's files ---


def test_npz_of_gpt_2_simple_gets_real_end_tokens(tmp_path: Path) -> None:
    """gpt-2-simple spelled the mark out; each array is a document or several."""
    chunks = [np.array(BYTES.encode(text)) for text in ("one<|endoftext|>\ntwo", "three 漢")]
    np.savez_compressed(tmp_path / "text_encoded.npz", *chunks)
    assert documents_in(tmp_path / "text_encoded.npz", tmp_path / "cache") == ["one", "two", "three 漢"]


def test_npz_of_something_else_is_explained(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    np.savez(tmp_path / "other.npz", np.array([1, 300]))
    with pytest.raises(DataError, match=r"holds the id 300, and the model's vocabulary has 257 tokens: it was encoded"):
        encode(tmp_path / "other.npz", cache)
    np.savez(tmp_path / "floats.npz", np.zeros((2, 2)))
    with pytest.raises(DataError, match=r"holds arr_0, float64 of shape \(2, 2\); expected token ids"):
        encode(tmp_path / "floats.npz", cache)
    np.savez(tmp_path / "objects.npz", np.array([{}], dtype=object))
    with pytest.raises(DataError, match=r"holds arr_0, object of shape \(1,\); expected token ids"):
        encode(tmp_path / "objects.npz", cache)


def test_texts_are_read_without_a_tokenizer(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "word " * 60_000 + "<|endoftext|>\r\nlast")
    parts = list(read_texts([path]))
    assert len(parts) > 2
    assert "".join(parts) == "word " * 60_000 + "last"
    np.savez(tmp_path / "a.npz", np.array([1]))
    with pytest.raises(DataError, match=r"a\.npz holds token ids, and text is needed here. Give the text itself"):
        list(read_texts(tmp_path / "a.npz"))
    told: list[tuple[int, int | None]] = []
    list(read_texts(path, progress=lambda done, total: told.append((done, total))))
    assert len(told) == len(parts)
    assert told[-1] == (path.stat().st_size, path.stat().st_size)


def test_encode_dataset_writes_what_it_reads(tmp_path: Path) -> None:
    texts = [f"text number {i}" for i in range(50)]
    corpus = encode_dataset(
        texts,
        BYTES,
        tmp_path / "out.npz",
        TextSettings(cache_dir=str(tmp_path / "cache")),
        combine=100,
        progress=lambda done, total: None,
    )
    with np.load(tmp_path / "out.npz") as arrays:
        assert len(arrays.files) == 7
        assert BYTES.decode(arrays["arr_0"].tolist()) == "".join(texts[:8])
    again = encode(tmp_path / "out.npz", tmp_path / "cache")
    assert texts_of(again) == texts
    assert again.fingerprint == corpus.fingerprint


def test_encode_csv_marks_rows_as_gpt_2_simple_does(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'text,more\nfirst,1\n"second, ""quoted""",2\n')
    assert encode_csv(path, tmp_path / "out.txt") == 2
    written = (tmp_path / "out.txt").read_text(encoding="utf-8")
    assert written == ('<|startoftext|>first<|endoftext|>\n<|startoftext|>second, "quoted"<|endoftext|>\n')
    assert documents_in(tmp_path / "out.txt", tmp_path / "cache") == [
        "<|startoftext|>first",
        '<|startoftext|>second, "quoted"',
    ]
    path = write(tmp_path / "b.csv", "text;more\nfirst, second;1\n")
    assert encode_csv(path, tmp_path / "b.txt") == 1
    assert (tmp_path / "b.txt").read_text(encoding="utf-8") == "<|startoftext|>first, second<|endoftext|>\n"
    with pytest.raises(DataError, match=r"a\.json is a json file; expected a table"):
        encode_csv(write(tmp_path / "a.json", "[]"), tmp_path / "out.txt")
