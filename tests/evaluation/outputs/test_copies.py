"""Which outputs stand in the training completions, and when that shows that the model repeats them."""

from __future__ import annotations

import pytest

from gpt2simple.errors import DataError
from gpt2simple.evaluation.outputs.copies import find_copies

LONG = "one two three four five six seven eight nine"


def test_outputs_that_equal_a_completion_are_marked_whatever_their_case_and_punctuation() -> None:
    figures, each = find_copies(
        ["Paris is big!", "paris", "Paris is not big", "", "...", "  paris   IS\nbig"],
        [["x"], ["paris"], ["x"], ["x"], ["x"], ["x"]],
        [False, True, False, False, False, False],
        ["Paris is big.", "Paris", "..."],
    )
    assert [one.is_completion for one in each] == [True, True, False, False, False, True]
    assert (figures.completions, figures.outputs, figures.repeated, figures.matched) == (3, 6, 3, 1)
    assert (figures.references, figures.only_output, figures.only_reference) == (1, 2, 0)


def test_words_of_any_script_are_compared() -> None:
    _, each = find_copies(
        ["巴黎是法国的首都", "caf\u00e9", "巴黎"], [["x"]] * 3, [False] * 3, ["巴黎,是法国的首都。", "CAFE\u0301"]
    )
    assert [one.is_completion for one in each] == [True, True, False]


def test_long_passages_are_found_where_they_stand() -> None:
    figures, each = find_copies(
        [f"Well: {LONG}. So", "one two three four five six seven", LONG],
        [["x"]] * 3, [False] * 3, [f"Before {LONG}, after", LONG],
    )  # fmt: skip
    assert [one.spans for one in each] == [((6, 6 + len(LONG)),), (), ((0, len(LONG)),)]
    assert (figures.repeated, figures.with_passage) == (1, 1), "one that is a completion is no further one"
    assert "1 further output holds a passage of 8 words or more of one." in figures.sentence()


@pytest.mark.parametrize(
    ("only_output", "only_reference", "is_memorised", "says"),
    [
        (9, 0, None, "cannot be told: in 9 cases only one of the two does, and a judgement needs 10."),
        (30, 10, True, "The model repeats its training completions more often than right answers do (exact sign test, "
         "30 to 10, p = 0.0022)."),
        (12, 10, False, "That is no more often than right answers do, as far as these outputs show (exact sign test, "
         "12 to 10, p = 0.83)."),
        (10, 40, False, "That is no more often than right answers do"),
    ],
)  # fmt: skip
def test_right_answers_that_stand_in_the_training_text_are_no_sign_of_memorisation(
    only_output: int, only_reference: int, is_memorised: bool | None, says: str
) -> None:
    both = 5
    outputs = ["yes"] * (only_output + both) + ["other"] * only_reference + ["new"]
    references = [["no idea"]] * only_output + [["yes", "other"]] * (both + only_reference) + [["new words"]]
    figures, _ = find_copies(outputs, references, [False] * len(outputs), ["yes"])
    assert (figures.only_output, figures.only_reference) == (only_output, only_reference)
    assert figures.is_memorised is is_memorised
    assert says in figures.sentence()
    assert figures.sentence().startswith(
        f"Of {len(outputs)} outputs, {only_output + both} equal one of the 1 training completions word for word, and 0 "
        f"of these match a reference; of the references, {both + only_reference} equal one."
    )


def test_without_completions_there_is_nothing_to_compare_with() -> None:
    with pytest.raises(DataError, match="no training text"):
        find_copies(["a"], [["a"]], [True], [])
