"""Sources: files, folders, patterns, archives, pipes and iterables, and a clear message for each bad one."""

from __future__ import annotations

import dataclasses
import errno
import gzip
import io
import lzma
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpt2simple.data.file_types import type_named
from gpt2simple.data.files import Names
from gpt2simple.data.pairs import read_pairs
from gpt2simple.errors import DataError, SettingsError
from gpt2simple.settings.pairs import PairTextSettings
from gpt2simple.settings.text import TextSettings
from tests.helpers.texts import documents_in, encode, texts_of, write

STORY = "Once upon a time.\nThe end.\n"
OTHER = "Zoë saw 漢字.\n"


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


def test_a_folder_of_source_code_is_read_as_plain_text(tmp_path: Path, messages: list[str]) -> None:
    folder = tmp_path / "code"
    files = {
        "package.json": '{"name": "a", "version": "1"}\n',
        "broken.json": "{",
        "fixtures/rows.csv": 'a,b\n1,"x\n',
        "main.py": "print(1)\n",
    }
    for name, content in files.items():
        write(folder / name, content)
    write(folder / "notes.gz", gzip.compress(b"packed notes"))
    write(folder / "things.tar.gz", gzip.compress(b"things\0\0ustar"))
    write(folder / ".git" / "HEAD", "ref")
    write(folder / "a.pyc", b"\xcb\r\r\n\0\0")
    write(folder / "table.parquet", b"PAR1\x15\x04PAR1")
    np.savez(folder / "ids.npz", np.array([1]))
    with zipfile.ZipFile(folder / "icons.zip", "w") as archive:
        archive.writestr("a.bin", b"\0")
        archive.writestr("b.bin", b"\0")
    found = documents_in(folder, tmp_path / "cache", format="text")
    assert sorted(found) == sorted([*files.values(), "packed notes"])
    skipped = ["icons.zip", "ids.npz", "table.parquet", "things.tar.gz"]
    assert messages == [
        f"{folder}: skipped 1 files that are not text (a.pyc).",
        *[f"{folder / name} is skipped: it holds no text." for name in skipped],
    ]


def test_a_format_that_does_not_fit_a_file_is_explained(tmp_path: Path) -> None:
    for name in ("a.parquet", "a.npz"):
        path = write(tmp_path / name, b"PAR1\x15\x04PAR1")
        if name == "a.npz":
            np.savez(path, np.array([1]))
        with pytest.raises(DataError, match=rf"a\.\w+ is a binary file, {name[2:]}, not lines. Leave format="):
            encode(path, tmp_path / "cache", format="lines")


def test_each_line_is_a_document_where_that_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    data = "First, a joke.\r\n\r\n \t\n  Second; a joke.\u2028Still it.\nThird\rtoo".encode()
    lines = ["First, a joke.", "  Second; a joke.\u2028Still it.", "Third\rtoo"]
    for name in ("a.txt", "a.csv", "a.json", "README"):
        assert documents_in(write(tmp_path / name, data), cache, format="lines") == lines
    assert documents_in(write(tmp_path / "a.txt.gz", gzip.compress(data)), cache, format="lines") == lines
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="latin-1"))
    assert documents_in("-", cache, format="lines") == lines
    assert documents_in(tmp_path / "a.txt", cache) == [data.decode().replace("\r\n", "\n")]  # not from the cache


def test_a_format_replaces_the_type_that_a_name_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    assert documents_in(write(tmp_path / "a.txt", "text,n\nx y,1\n"), cache, format="csv") == ["x y"]
    assert documents_in(write(tmp_path / "a.log", '{"text": "x"}\n'), cache, format="jsonl") == ["x"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'["x", "y"]'), encoding="latin-1"))
    assert documents_in("-", cache, format="json") == ["x", "y"]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"format": "xml"}, r"^format is 'xml'; expected 'text', 'lines', 'csv', 'tsv', 'jsonl' or 'json'\.$"),
        ({"format": "lines", "column": 0}, r"^column was given, and format='lines' has no columns; give one"),
        ({"format": "text", "delimiter": ";"}, r"^delimiter was given, and format='text' has no columns"),
        ({"delimiter": ""}, r"^delimiter is ''; expected one character, such as ';' or a tab\.$"),
        ({"delimiter": ", "}, r"^delimiter is ', '; expected one character"),
        ({"delimiter": '"'}, r"^delimiter is '\"'; expected one character"),
    ],
)
def test_settings_of_reading_that_contradict_each_other_are_refused(how: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        TextSettings(**how)


def test_every_format_has_a_reader() -> None:
    (field,) = [field for field in dataclasses.fields(TextSettings) if field.name == "format"]
    for name in field.metadata["choices"]:
        assert type_named(name).name == name


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
    with pytest.raises(DataError, match=r"The list names files, but 'poems' is not one"):
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


PAIR = '{"prompt": "a", "completion": "b"}\n{"prompt": "c", "completion": "d"}\n'


def test_pairs_on_standard_input_are_not_learned_as_they_are_spelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def given() -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PAIR.encode())))

    given()
    with pytest.raises(
        DataError,
        match=r"^standard input is read as plain text, and begins with JSON\. It looks like pairs, which "
        r"finetune learns and looks for copies in: format='jsonl', pair_format='prompt-completion' \(--format jsonl "
        r"--pair-format prompt-completion\)\. To train on the text as it is spelled: format='text' \(--format text\)",
    ):
        encode("-", tmp_path / "cache")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'[{"instruction": "a", "output": "b"}]')))
    with pytest.raises(DataError, match="--format json --pair-format alpaca"):
        encode("-", tmp_path / "cache")
    given()
    assert texts_of(encode("-", tmp_path / "cache", format="text")) == [PAIR]
    given()
    settings = PairTextSettings(format="jsonl", pair_format="prompt-completion")
    assert [pair.completion for pair in read_pairs("-", settings).pairs] == ["b", "d"]
    given()
    with pytest.raises(
        DataError, match=r"Say which one is the text .* It looks like pairs, .*--pair-format prompt-com"
    ):
        encode("-", tmp_path / "cache", format="jsonl")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_pairs_in_a_pipe_are_not_learned_as_they_are_spelled(tmp_path: Path) -> None:
    import threading

    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(PAIR.encode(),), daemon=True)
    writer.start()
    with pytest.raises(DataError, match=r"pipe is read as plain text, and begins with JSON\. It looks like pairs"):
        documents_in(tmp_path / "pipe", tmp_path / "cache")
    writer.join()


@pytest.mark.parametrize("text", [STORY, "{", "{}\nwords", '{"text": "a"}', '["a"]', '{"prompt": 1,\n"completion": 2}'])
def test_other_text_on_standard_input_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert texts_of(encode("-", tmp_path / "cache")) == [text]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_read_like_a_file(tmp_path: Path) -> None:
    import threading

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(STORY.encode(),), daemon=True)
    writer.start()
    assert documents_in(pipe, tmp_path / "cache") == [STORY]
    writer.join()


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
        (["text", 3], r"Text 1 of the dataset is 3; expected a string"),
        (
            iter([{"prompt": "a", "completion": "b"}]),
            r"Text 0 of the dataset is \{.*\}; expected a string\. It looks like pairs, which finetune learns and "
            r"looks for copies in: pair_format='prompt-completion' \(--pair-format prompt-completion\)\.$",
        ),
        (iter([("a", "b")]), r"Text 0 of the dataset is \('a', 'b'\); expected a string\. It looks like pairs"),
        (iter([("a", 1)]), r"Text 0 of the dataset is \('a', 1\); expected a string\.$"),
        (iter([{"a": "b"}]), r"Text 0 of the dataset is \{'a': 'b'\}; expected a string\.$"),
        ("tex.txt", r"There is no file 'tex.txt' \(seen from .*\). Did you mean text.txt\?"),
        ("nothing/here.txt", r"There is no file 'nothing/here.txt' .*Check its name and folder"),
        (["tex.txt"], r"There is no file 'tex.txt'"),
        (["text.txt", "a story that is no file"], r"The list names files, but 'a story that is no file' is not one"),
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
        ("hidden.zip", r"hidden.zip is an archive without files\. Give one that holds texts\."),
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
    with zipfile.ZipFile("hidden.zip", "w") as archive:
        archive.writestr("folder/.notes.txt", "notes")
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


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such devices")
@pytest.mark.parametrize("name", ["/dev/zero", "/dev/full", "/dev/urandom"])
def test_a_device_that_never_ends_is_no_dataset(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=rf"{name} is a device, which may never end\. Give the name of a "):
        encode(Path(name), tmp_path / "cache")
