"""Every kind of source, each with a real file of its kind, and a clear message for each bad one."""

from __future__ import annotations

import errno
import gzip
import io
import json
import lzma
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpt2simple.data.export import encode_csv, encode_dataset
from gpt2simple.data.files import Names
from gpt2simple.data.texts import read_texts
from gpt2simple.errors import DataError, SettingsError
from gpt2simple.settings.text import TextSettings
from tests.helpers.texts import BYTES, documents_in, encode, texts_of

STORY = "Once upon a time.\nThe end.\n"
OTHER = "Zoë saw 漢字.\n"


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return path


# --- plain text ---


@pytest.mark.parametrize("name", ["a.txt", "a.md", "README", "a.py"])
@pytest.mark.parametrize("kind", [str, Path])
def test_a_plain_file_is_one_document(tmp_path: Path, name: str, kind: Callable[[Path], Any]) -> None:
    path = write(tmp_path / name, STORY + OTHER)
    assert documents_in(kind(path), tmp_path / "cache") == [STORY + OTHER]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_is_honoured(tmp_path: Path, encoding: str) -> None:
    path = write(tmp_path / "a.txt", (STORY + OTHER).encode(encoding))
    assert documents_in(path, tmp_path / "cache") == [STORY + OTHER]
    assert documents_in(path, tmp_path / "cache", encoding="latin-1") == [STORY + OTHER]


def test_another_encoding_by_option(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "Zoë – “quoted”".encode("cp1252"))
    assert documents_in(path, tmp_path / "cache", encoding="cp1252") == ["Zoë – “quoted”"]


@pytest.mark.parametrize("before", [0, 5, (1 << 20) - 1, 1 << 20, 3 << 20])
def test_an_undecodable_byte_is_named_with_its_place(tmp_path: Path, before: int) -> None:
    path = write(tmp_path / "a.txt", b"x" * before + "ë".encode("cp1252") + b" and so on")
    with pytest.raises(DataError, match=rf"a\.txt: byte {before} \(0xeb\) is not utf-8 .*encoding='cp1252'"):
        encode(path, tmp_path / "cache")


def test_a_character_cut_at_the_end_is_named_with_its_place(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", b"x" * ((1 << 20) - 1) + b"\xe6\xbc")
    with pytest.raises(DataError, match=rf"byte {(1 << 20) - 1} \(0xe6\) is not utf-8"):
        encode(path, tmp_path / "cache")


@pytest.mark.parametrize("wide", ["utf-16", "utf-32"])
def test_wide_text_without_a_mark_needs_the_order_of_its_bytes(tmp_path: Path, wide: str) -> None:
    path = write(tmp_path / "a.txt", STORY.encode(f"{wide}-le"))
    with pytest.raises(DataError, match=rf"a\.txt is n.* {wide}.*encoding='{wide}-le'"):
        encode(path, tmp_path / "cache", encoding=wide)
    assert documents_in(path, tmp_path / "cache", encoding=f"{wide}-le") == [STORY]


def test_an_unknown_encoding_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"encoding is 'utf-9'; expected a character encoding that Python knows"):
        encode(write(tmp_path / "a.txt", STORY), tmp_path / "cache", encoding="utf-9")


def test_windows_line_ends_become_newlines_everywhere(tmp_path: Path) -> None:
    long = "x" * ((1 << 20) - 1) + "\r\n" + "y\rz"  # the pair falls between two reads
    assert documents_in(write(tmp_path / "a.txt", long), tmp_path / "cache") == [long.replace("\r\n", "\n")]
    assert documents_in(["a\r\nb"], tmp_path / "cache") == ["a\nb"]


def test_end_marks_end_documents_and_start_marks_are_text(tmp_path: Path) -> None:
    text = "<|startoftext|>one<|endoftext|>\n<|startoftext|>two<|endoftext|>three\r\n<|endoftext|>\r\n \n"
    path = write(tmp_path / "a.txt", text)
    assert documents_in(path, tmp_path / "cache") == ["<|startoftext|>one", "<|startoftext|>two", "three\n"]


@pytest.mark.parametrize("shift", range(16))
def test_end_marks_are_found_across_reads(tmp_path: Path, shift: int) -> None:
    head = "x" * ((1 << 20) - shift)
    assert documents_in(write(tmp_path / "a.txt", head + "<|endoftext|>\ny"), tmp_path / "cache") == [head, "y"]


@pytest.mark.parametrize("content", ["", " \n\t\r\n", "\ufeff", "<|endoftext|>\n<|endoftext|>"])
def test_nothing_but_white_space_is_an_error(tmp_path: Path, content: str) -> None:
    with pytest.raises(DataError, match=r"a\.txt holds no text, or nothing but white space. Give a text to train on"):
        encode(write(tmp_path / "a.txt", content), tmp_path / "cache")


def test_one_word_is_enough(tmp_path: Path) -> None:
    corpus = encode(write(tmp_path / "a.txt", "x"), tmp_path / "cache")
    assert corpus.ids.tolist() == [256, 120, 256]


# --- several files ---


def test_several_sources_in_their_order(tmp_path: Path) -> None:
    paths = [write(tmp_path / name, text) for name, text in (("b.txt", "second"), ("a.txt", "first"))]
    write(tmp_path / "more" / "c.txt", "third")
    corpus = encode([*map(str, paths), tmp_path / "more"], tmp_path / "cache")
    assert texts_of(corpus) == ["second", "first", "third"]
    assert (corpus.files, len(corpus.sources)) == (3, 3)


def test_a_folder_gives_its_texts_and_says_what_it_passes_over(tmp_path: Path, messages: list[str]) -> None:
    folder = tmp_path / "texts"
    write(folder / "b.txt", "b")
    write(folder / "a" / "z.md", "a/z")
    write(folder / "c.jsonl", '"c"\n')
    write(folder / "d.txt.gz", gzip.compress(b"d"))
    write(folder / ".hidden", "no")
    write(folder / ".git" / "config", "no")
    write(folder / "picture.png", b"\x89PNG\r\n\x1a\n\0\0")
    corpus = encode(folder, tmp_path / "cache")
    assert texts_of(corpus) == ["a/z", "b", "c", "d"]
    assert messages == [f"{folder}: skipped 1 files that are not text (picture.png)."]


def test_a_pattern_gives_its_matches_in_order(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "c.md", "deep/d.txt"):
        write(tmp_path / "texts" / name, name)
    assert documents_in(str(tmp_path / "texts" / "*.txt"), tmp_path / "cache") == ["a.txt", "b.txt"]
    assert documents_in(str(tmp_path / "texts" / "**" / "*.txt"), tmp_path / "cache") == [
        "a.txt",
        "b.txt",
        "deep/d.txt",
    ]


def test_patterns_in_a_list_are_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("plays/a.txt", "books/b", "c1"):
        write(Path(name), name)
    assert documents_in(["plays/*", "books/*"], tmp_path / "cache") == ["plays/a.txt", "books/b"]
    assert documents_in(["plays/*", "c?"], tmp_path / "cache") == ["plays/a.txt", "c1"]
    with pytest.raises(DataError, match=r"No file matches 'poems/\*' .*Check the pattern"):
        encode(["plays/*", "poems/*"], tmp_path / "cache")
    with pytest.raises(DataError, match=r"The list names files, but 'poems' is none"):
        encode(["plays/*", "poems"], tmp_path / "cache")


def test_names_stay_names_whether_or_not_they_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("plays/a"), "a")
    assert documents_in(Names(["plays"]), tmp_path / "cache") == ["a"]
    with pytest.raises(DataError, match=r"There is no file 'corpsu'"):
        encode(Names(["plays", "corpsu"]), tmp_path / "cache")
    with pytest.raises(DataError, match=r"There is no file 'one text'"):
        encode(Names(["one text", "another text"]), tmp_path / "cache")


def test_a_name_with_brackets_is_that_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a[1].txt", "mine")
    assert documents_in(str(path), tmp_path / "cache") == ["mine"]


# --- compressed ---


def test_compressed_files_and_archives(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert documents_in(write(tmp_path / "a.txt.gz", gzip.compress(STORY.encode())), cache) == [STORY]
    assert documents_in(write(tmp_path / "a.txt.xz", lzma.compress(STORY.encode())), cache) == [STORY]
    assert documents_in(write(tmp_path / "no-suffix", gzip.compress(OTHER.encode())), cache) == [OTHER]
    assert documents_in(write(tmp_path / "a.jsonl.gz", gzip.compress(b'{"text": "x"}\n')), cache) == ["x"]
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("folder/b.txt", "b")
        archive.writestr("folder/a.csv", "text\nhello there\n")
        archive.writestr("__MACOSX/._b.txt", "no")
        archive.writestr("c.txt.gz", gzip.compress(b"c"))
    assert documents_in(tmp_path / "a.zip", cache) == ["c", "hello there", "b"]


def test_a_picture_in_an_archive_is_passed_over_as_in_a_folder(tmp_path: Path, messages: list[str]) -> None:
    picture = b"\x89PNG\r\n\x1a\n\0\0"
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("book/cover.png", picture)
        archive.writestr("book/text.txt", STORY)
    assert texts_of(encode(tmp_path / "a.zip", tmp_path / "cache")) == [STORY]
    assert messages == [f"{tmp_path / 'a.zip'}: skipped 1 files that are not text (cover.png)."]
    for number, message in (
        (1, r"b\.zip: 0\.png is a picture, not text"),
        (2, r"b\.zip holds no text files\. Give one"),
    ):
        with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
            for name in range(number):
                archive.writestr(f"{name}.png", picture)
        with pytest.raises(DataError, match=message):
            encode(tmp_path / "b.zip", tmp_path / "cache")


def test_damaged_archives_are_explained(tmp_path: Path) -> None:
    whole = gzip.compress(os.urandom(5000))
    noise = lzma.compress(os.urandom(5000))
    for name, content in (("a.gz", whole[:1000]), ("b.xz", noise[:1000]), ("c.zip", b"PK\x03\x04" + bytes(50))):
        with pytest.raises(DataError, match=rf"{name} is damaged or incomplete .* Copy or download it again"):
            encode(write(tmp_path / name, content), tmp_path / "cache", encoding="latin-1")


def test_an_encrypted_archive_is_explained(tmp_path: Path) -> None:
    plain = io.BytesIO()
    with zipfile.ZipFile(plain, "w") as archive:
        archive.writestr("a.txt", "secret")
    data = bytearray(plain.getvalue())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flag "encrypted" in both headers
        data[data.index(signature) + offset] |= 1
    with pytest.raises(DataError, match=r"a\.zip is protected by a password. Unpack it first"):
        encode(write(tmp_path / "a.zip", bytes(data)), tmp_path / "cache")


# --- standard input ---


def test_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(STORY.encode())))
    corpus = encode("-", tmp_path / "cache")
    assert texts_of(corpus) == [STORY]
    assert corpus.sources == ("standard input",)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_read_like_a_file(tmp_path: Path) -> None:
    import threading

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(STORY.encode(),), daemon=True)
    writer.start()
    assert documents_in(pipe, tmp_path / "cache") == [STORY]
    writer.join()


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
    assert "the text is taken from 'text'; column or template chooses otherwise" in messages[1]


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
        ('a\n"never closed\n', {"header": True}, r"a\.csv, line 2: this is no valid row .*Put fields with line breaks"),
        ("text\nHello, world\n", {"header": True}, r"line 2: the row has 2 columns, the first one has 1"),
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
    with pytest.raises(DataError, match=r'needs pyarrow. Run `pip install "gpt2simple\[parquet\]"`'):
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
    with pytest.raises(DataError, match=r"is not an \.npz file of token ids"):
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
    with pytest.raises(DataError, match=r"a\.json is a json file; expected a table"):
        encode_csv(write(tmp_path / "a.json", "[]"), tmp_path / "out.txt")


# --- the program's own texts ---


@pytest.mark.parametrize("kind", [list, tuple, iter, lambda texts: (text for text in texts)])
def test_iterables_of_strings_are_documents(tmp_path: Path, kind: Callable[[list[str]], Any]) -> None:
    texts = ["Once.", "upon a", "Zoë", "Who?", "~nobody: x", "*bold*", "and/or", "漢" * 300]
    corpus = encode(kind(texts), tmp_path / "cache")
    assert texts_of(corpus) == texts
    assert (corpus.files, corpus.sources) == (0, ("texts of the program",))


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (3, r"The dataset is a int; expected the name of a file or folder, a list of names or texts"),
        (b"text", r"The dataset is a bytes"),
        ([], r"The dataset is an empty list"),
        (["text", 3], r"Text 1 of the dataset is a int \('3'\); expected a string"),
        ("tex.txt", r"There is no file 'tex.txt' \(seen from .*\). Did you mean text.txt\?"),
        ("nothing/here.txt", r"There is no file 'nothing/here.txt' .*Check its name and folder"),
        (["tex.txt"], r"There is no file 'tex.txt'"),
        (["text.txt", "a story that is no file"], r"The list names files, but 'a story that is no file' is none"),
        ("*.doc", r"No file matches '\*.doc'"),
        ("https://example.com/a.txt", r"is an address, not a file. Download it first"),
        (["https://example.com/?page=1"], r"is an address, not a file. Download it first"),
        ("Once upon a time. " * 20, r"There is no file named 'Once upon .*To train on a string itself, give a list"),
        ("Why? " * 60, r"There is no file named 'Why\? .*To train on a string itself, give a list: \[text\]"),
        ("漢" * 90, r"There is no file named '漢.*To train on a string itself, give a list: \[text\]"),
        ("Once upon\na time", r"To train on a string itself, give a list: \[text\]"),
        ("empty", r"The folder empty holds no text files"),
        ("paper.pdf", r"paper.pdf is a PDF, not text. Save its content as plain text first"),
        ("report.docx", r"report.docx is an office document or e-book, not text"),
        ("zeros.bin", r"zeros.bin is not plain text: it holds zero bytes"),
    ],
)
def test_what_is_no_dataset_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dataset: Any, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("text.txt"), STORY)
    write(Path("paper.pdf"), b"%PDF-1.7 ...")
    write(Path("zeros.bin"), b"a\0\xff\xfea\0" * 10)
    Path("empty").mkdir()
    with zipfile.ZipFile("report.docx", "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
    with pytest.raises(DataError, match=message):
        encode(dataset, tmp_path / "cache")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_explained(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", STORY)
    path.chmod(0)
    with pytest.raises(DataError, match=r"a\.txt cannot be read: Permission denied"):
        encode(path, tmp_path / "cache")


@pytest.mark.parametrize("method", ["exists", "open"])
def test_what_the_system_refuses_in_a_folder_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """As `test_a_file_without_permission_is_explained`, for users to whom nothing is forbidden."""
    original = getattr(Path, method)

    def refused(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name == ("a.txt" if method == "open" else "texts"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return original(path, *arguments, **options)

    write(tmp_path / "texts" / "a.txt", STORY)
    monkeypatch.setattr(Path, method, refused)
    with pytest.raises(DataError, match=r"texts.* cannot be read: Permission denied\. Check the file and its permiss"):
        encode(tmp_path / "texts", tmp_path / "cache")
