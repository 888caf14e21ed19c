"""Settings of pairs: what contradicts itself is refused, and what a command line passes on is understood."""

from __future__ import annotations

from typing import Any

import pytest

from gpt2simple.errors import SettingsError
from gpt2simple.settings.pairs import PairTextSettings


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (
            {"column": "text"},
            r"^column was given, which names a text, and pairs have a prompt and a completion; give pr",
        ),
        ({"template": "{a}"}, r"^template was given, which names a text, and pairs have"),
        ({"format": "lines"}, r"^format is 'lines', which has no pairs; expected csv, tsv, jsonl or json\.$"),
        ({"prompt_column": "q"}, r"^prompt_column was given alone; give prompt_column and completion_column\.$"),
        ({"completion_column": 1}, r"^completion_column was given alone; give"),
        (
            {"prompt_column": 0, "completion_column": 0},
            r"^prompt_column and completion_column are both 0; name two columns\.$",
        ),
        (
            {"prompt_column": "q", "completion_column": "a", "pair_format": "alpaca"},
            r"^prompt_column and pair_format were both given; give one of the two\.$",
        ),
        (
            {"pair_format": "messages", "separator": "\n"},
            r"^separator was given, and pair_format='messages' has marks of",
        ),
        (
            {"pair_format": "sharegpt"},
            r"pair_format is 'sharegpt'; expected 'prompt-completion', 'messages' or 'alpaca'",
        ),
        ({"end": ""}, r"^end is empty, so that no completion would end; expected text, such as"),
        ({"validation_split": 0.5, "test_split": 0.5}, r"^validation_split is 0\.5 and test_split is 0\.5, so nothing"),
        ({"test_split": 0.6}, r"^test_split is 0\.6; expected a finite number, at least 0\.0 and at most 0\.5\.$"),
    ],
)
def test_contradictions_are_refused(how: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        PairTextSettings(**how)


def test_line_ends_and_tabs_may_be_written_as_two_characters() -> None:
    settings = PairTextSettings(separator="\\n->\\t", end="\\nEND", delimiter="\\t")
    assert (settings.separator, settings.end, settings.delimiter) == ("\n->\t", "\nEND", "\t")


def test_half_and_half_is_allowed_beside_a_file_of_ones_own() -> None:
    assert PairTextSettings(validation_split=0.5, test_split=0.5, test_file="test.jsonl").test_split == 0.5
