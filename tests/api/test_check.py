"""What `check` finds in a text and in two, and how it tells it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import gpt2simple
from gpt2simple.errors import DataError
from tests.data.test_duplicates import replaced, story


def test_copies_and_near_copies_are_listed_with_where_they_are() -> None:
    texts = [story(0), story(1), story(0).upper() + "\n", replaced(story(1), 0.03)]
    result = gpt2simple.check(texts)
    assert (result.documents, result.copies, result.near_copies, result.near_pairs) == (4, 1, 1, 1)
    assert (result.copied[0].first, result.copied[0].second) == (1, 3)
    near = result.nearly_copied[0]
    assert (near.first, near.second) == (2, 4)
    assert 0.7 < near.share < 1
    lines = result.summary().split("\n")
    assert lines[:2] == ["4 documents: 1 copy, 1 near copy.", "Copies:"]
    assert lines[2].startswith(f'  document 1 and document 3: "{story(0)[:20]}')
    assert lines[4].startswith(f"  document 2 and document 4, {near.share:.0%}: ")
    assert json.loads(json.dumps(result.to_json()))["found"] is True


def test_what_two_texts_have_in_common_is_listed() -> None:
    quote = " ".join(story(2).split()[:40])
    result = gpt2simple.check(
        [story(i) for i in range(5)], against=[story(9), story(0).lower(), replaced(story(1), 0.03), story(8) + quote]
    )
    assert (result.copies, result.near_copies, result.found) == (0, 0, True)
    assert result.against is not None
    assert (result.against.documents, result.against.copies, result.against.near_copies) == (4, 1, 1)
    assert (result.against.copied[0].first, result.against.copied[0].second) == (1, 2)
    assert (result.against.nearly_copied[0].first, result.against.nearly_copied[0].second) == (2, 3)
    assert {passage.document for passage in result.against.passages} == {2, 3, 4}
    assert "Other text, 4 documents: 1 copy, 1 near copy, 3 with shared passages." in (result.summary())
    json.dumps(result.to_json())


def test_long_lists_are_cut_and_say_so() -> None:
    result = gpt2simple.check(["same"] * 50)
    assert (result.copies, len(result.copied)) == (49, 20)
    assert result.summary().endswith("\n  and 29 more")


def test_nothing_found() -> None:
    result = gpt2simple.check([story(0), story(1)], against=[story(2)])
    assert not result.found
    assert result.summary() == (
        "2 documents: 0 copies, 0 near copies.\n"
        "Other text, 1 document: 0 copies, 0 near copies, 0 with shared passages."
    )


def test_a_missing_text_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("some text", encoding="utf-8")
    with pytest.raises(DataError, match=r"There is no file .*missing\.txt"):
        gpt2simple.check(str(tmp_path / "a.txt"), against=str(tmp_path / "missing.txt"))
