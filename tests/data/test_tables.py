"""CSV and TSV as programs write them: what separates the columns, which rows are headers, which column is the text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gpt2simple.errors import DataError
from tests.helpers.texts import documents_in, write

JOKES = ["A first joke.", "A second, joke."]


@pytest.mark.parametrize(
    "content",
    [
        ",text\n0,A first joke.\n1,'A second, joke.'\n",
        ",joke\n0,A first joke.\n1,'A second, joke.'\n",
        "Unnamed: 0,joke\n0,A first joke.\n1,'A second, joke.'\n",
        ",0\n0,A first joke.\n1,'A second, joke.'\n",  # pandas, of rows without names
        "0,1\n7,A first joke.\n8,'A second, joke.'\n",
        "0\nA first joke.\n'A second, joke.'\n",
        "'','joke'\n'1','A first joke.'\n'2','A second, joke.'\n",  # R
        "\ufeff'id','joke'\n1,A first joke.\n2,'A second, joke.'\n",
        "id,joke,score,date\n1,A first joke.,5,2020-01-01\n2,'A second, joke.',,2020-01-02\n",
        "id, joke\n1,A first joke.\n2,'A second, joke.'\n",
        "id,joke,,\n1,A first joke.,,\n2,'A second, joke.',,,,\n",  # a spreadsheet's empty columns
        "id (old),n°,Text\n1,1,A first joke.\n2,2,'A second, joke.'\n",
        "1,A first joke.,2020-01-01\n2,'A second, joke.',2020-01-02\n",  # no header
    ],
)
def test_header_and_text_are_found(tmp_path: Path, content: str) -> None:
    path = write(tmp_path / "a.csv", content.replace("'", '"'))
    assert documents_in(path, tmp_path / "cache") == JOKES


def test_an_index_column_is_counted_and_the_header_is_no_document(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", ",text\n0,A first joke.\n1,A second joke.\n")
    assert documents_in(path, tmp_path / "cache", column=1) == ["A first joke.", "A second joke."]
    assert documents_in(path, tmp_path / "cache", template="{Unnamed: 0}: {text}")[0] == "0: A first joke."


def test_columns_of_the_same_name_are_told_apart(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,text\none joke,two jokes\n")
    for column, expected in ((0, "one joke"), ("text.1", "two jokes")):
        assert documents_in(path, tmp_path / "cache", column=column, header=True) == [expected]


def test_a_text_column_that_is_empty_in_the_first_row_is_found(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "n,joke\n1,\n2,A joke!\n")
    assert documents_in(path, tmp_path / "cache") == ["A joke!"]


@pytest.mark.parametrize(
    ("name", "content", "separator", "expected"),
    [
        ("a.csv", "id;text\n1;Guten Morgen zusammen\n2;Na, du\n", ";", ["Guten Morgen zusammen", "Na, du"]),
        ("a.csv", "1;Guten Morgen, alle\n2;Na, du\n", ";", ["Guten Morgen, alle", "Na, du"]),
        ("a.csv", "1;3,5;Guten Morgen\n2;4,5;Na du\n", ";", ["Guten Morgen", "Na du"]),  # decimal commas
        ("a.csv", 'id;text\n1;"a;b"\n2;"c\nd;e"\n', ";", ["a;b", "c\nd;e"]),
        ("a.csv", "id\ttext\n1\tOne, two\n", "\t", ["One, two"]),
        ("a.csv", "id|text\n1|One, two\n", "|", ["One, two"]),
        ("a.tsv", "id,text\n1,One two\n", ",", ["One two"]),
        ("a.tab", "id;text\n1;One, two\n", ";", ["One, two"]),
    ],
)
def test_the_separator_is_found_and_said(
    tmp_path: Path, messages: list[str], name: str, content: str, separator: str, expected: list[str]
) -> None:
    path = write(tmp_path / name, content)
    assert documents_in(path, tmp_path / "cache") == expected
    assert messages[0] == f"{path}: the columns are separated by {separator!r}; set delimiter to change that."
    messages.clear()
    assert documents_in(path, tmp_path / "cache2", delimiter=separator) == expected
    assert not any("separated" in message for message in messages)


@pytest.mark.parametrize(
    "content",
    [
        "id,text\n1,one; two; three\n2,a | b\n",
        "1,one; two; three\n2,four; five; six\n",
        "id,text\n1,1;2\n2,3;4\n",
        "price,text\n3,one two\n",
    ],
)
def test_the_usual_separator_comes_first(tmp_path: Path, messages: list[str], content: str) -> None:
    path = write(tmp_path / "a.csv", content)
    expected = [line.split(",", 1)[1] for line in content.splitlines() if not line.endswith("text")]
    assert documents_in(path, tmp_path / "cache", column=1) == expected
    assert not any("separated" in message for message in messages)


def test_prose_in_one_column_is_not_split(tmp_path: Path, messages: list[str]) -> None:
    for number, content in enumerate(("One; two.\nThree; four.\n", "One; two.\nNo more.\n", "a | b\nnone\n")):
        path = write(tmp_path / f"{number}.csv", content)
        assert documents_in(path, tmp_path / "cache") == content.splitlines()
    assert f"{tmp_path / '0.csv'} is read as one column; if ';' separates its columns, set delimiter=';'." in messages
    plain = write(tmp_path / "a.txt", "a;b\nc;d\n")
    assert documents_in(plain, tmp_path / "cache") == ["a;b\nc;d\n"]


@pytest.mark.parametrize("content", ["text\nWell, well\n", "Oh!\nWell, well\n"])
def test_prose_with_commas_in_one_column_is_explained(tmp_path: Path, content: str) -> None:
    path = write(tmp_path / "a.csv", content)
    with pytest.raises(
        DataError, match=r"line 2: ',' separates 2 columns here, .* set delimiter .*\(--format lines\)\.$"
    ):
        documents_in(path, tmp_path / "cache")
    assert documents_in(path, tmp_path / "cache", format="lines") == content.splitlines()


def test_the_line_in_which_excel_names_the_separator_is_no_row(tmp_path: Path) -> None:
    content = 'sep=;\r\nid;text\r\n1;"One; two"\r\n2;"never closed\r\n'
    path = write(tmp_path / "a.csv", content)
    with pytest.raises(DataError, match=r"a\.csv, line 4: this is not a valid row"):
        documents_in(path, tmp_path / "cache")
    path = write(tmp_path / "b.csv", content[: content.index("2;")])
    assert documents_in(path, tmp_path / "cache") == ["One; two"]


def test_a_delimiter_that_is_given_holds(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,text~t\n1,2~One; two\n")
    assert documents_in(path, tmp_path / "cache", delimiter="~", column=1, header=True) == ["One; two"]
    tabs = write(tmp_path / "b.csv", "a,b\tc,d\n")
    assert documents_in(tabs, tmp_path / "cache", delimiter=r"\t", column=1, header=False) == ["c,d"]  # as typed


def test_an_export_of_excel_in_its_own_encoding(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id;text\r\n1;Schöne Grüße – „ja“\r\n".encode("cp1252"))
    with pytest.raises(DataError, match=r"a\.csv: byte 14 \(0xf6\) is not utf-8 .*encoding='cp1252'"):
        documents_in(path, tmp_path / "cache")
    assert documents_in(path, tmp_path / "cache", encoding="cp1252") == ["Schöne Grüße – „ja“"]


@pytest.mark.parametrize(
    ("content", "how", "message"),
    [
        ("label,joke\npos,Why so?\n", {}, r"has several columns: 'label', 'joke'\. Say which one is the text"),
        ("1,2\n3,4\n", {}, r"has several columns: '0', '1'\. Say which one is the text"),
        ("id;text\n1;One\n", {"delimiter": ","}, None),
        ("id;text\n", {}, r"a\.csv holds no text, or nothing but white space"),
    ],
)
def test_other_tables(tmp_path: Path, content: str, how: dict[str, Any], message: str | None) -> None:
    path = write(tmp_path / "a.csv", content)
    if message is None:
        assert documents_in(path, tmp_path / "cache", **how) == content.splitlines()
    else:
        with pytest.raises(DataError, match=message):
            documents_in(path, tmp_path / "cache", **how)
