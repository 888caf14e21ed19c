"""Three parts of labelled texts: the same share of each class, copies together, and the user's own texts kept apart."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2simple.data.label_split import Examples, LabelSplit, split_labelled
from gpt2simple.data.labelled import LabelledTexts, read_labelled
from gpt2simple.errors import DataError
from gpt2simple.settings.classify import LabelledTextSettings
from gpt2simple.storage.contents import quoted


def data_of(pairs: list[tuple[str, str]], names: tuple[str, ...] | None = None) -> LabelledTexts:
    return read_labelled(pairs, LabelledTextSettings(), names=names)


def texts(label: str, count: int, begin: int = 0) -> list[tuple[str, str]]:
    return [(f"{label} number {number}", label) for number in range(begin, begin + count)]


def split(data: LabelledTexts, seed: int = 0, validation: Any = None, test: Any = None, **how: Any) -> LabelSplit:
    return split_labelled(data, LabelledTextSettings(**how), seed, validation=validation, test=test)


def parts_of(found: LabelSplit) -> list[Examples]:
    return [part for part in (found.train, found.validation, found.test) if part is not None]


def counts(part: Examples | None) -> list[int]:
    assert part is not None
    return np.bincount(part.labels).tolist()


def test_each_class_has_its_share_of_each_part() -> None:
    data = data_of(texts("a", 100) + texts("b", 30) + texts("c", 10))
    found = split(data, validation_split=0.2, test_split=0.1)
    assert [counts(part) for part in parts_of(found)] == [[70, 21, 7], [20, 6, 2], [10, 3, 1]]
    assert found.messages == ()


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4)), min_size=12, max_size=40),
    st.floats(0.0, 0.4),
    st.floats(0.0, 0.4),
    st.integers(0, 2**32),
)
def test_whole_groups_of_copies_are_in_one_part(
    groups: list[tuple[int, int]], validation_split: float, test_split: float, seed: int
) -> None:
    groups = [(label, 1) for label in (0, 1, 2) for _ in range(3)] + groups
    pairs = [
        (f"Text {number}" + "!" * copy, "abc"[label])  # copies: punctuation makes no difference
        for number, (label, size) in enumerate(groups)
        for copy in range(size)
    ]
    data = data_of(pairs)
    found = split(data, seed, validation_split=validation_split, test_split=test_split)
    parts = parts_of(found)
    assert len(parts) == 1 + (validation_split > 0) + (test_split > 0)
    assert sorted(text for part in parts for text in part.texts) == sorted(text for text, _ in pairs)
    label_of = dict(pairs)
    for part in parts:
        assert [data.names[label] for label in part.labels] == [label_of[text] for text in part.texts]
        assert set(part.labels.tolist()) == {0, 1, 2}
        assert part.labels.dtype == np.int32
    seen = [{text.rstrip("!") for text in part.texts} for part in parts]
    assert sum(map(len, seen)) == len(set.union(*seen))
    for share, part in ((validation_split, found.validation), (test_split, found.test)):
        for label in range(3) if part is not None else ():
            target = share * int((data.labels == label).sum())
            assert abs(counts(part)[label] - target) <= max(4, 1)  # the largest group


STORY = "the old captain told us about a storm near the cape that broke his ship and left four men on a bare rock"


def test_near_copies_stay_together() -> None:
    edited = [(f"{STORY} {ending}", "a") for ending in ("for a week", "without water", "until help came at last")]
    for seed in range(10):
        found = split(data_of(texts("a", 57) + texts("b", 60) + edited), seed, validation_split=0.3, test_split=0.3)
        held = [[text for text in part.texts if text.startswith(STORY)] for part in parts_of(found)]
        assert sorted(map(len, held)) == [0, 0, 3]


def test_texts_from_one_template_are_split_all_the_same() -> None:
    filled = [(f"{STORY} number {number}", "a") for number in range(40)]
    found = split(data_of(filled + texts("b", 40)), validation_split=0.2, test_split=0.1)
    assert [counts(part) for part in parts_of(found)] == [[28, 28], [8, 8], [4, 4]]


def test_two_near_copies_in_a_small_class_may_be_parted() -> None:
    small = [(f"{STORY} once", "a"), (f"{STORY} twice", "a"), ("a short one", "a")]
    found = split(data_of(small + texts("b", 40)), validation_split=0.2, test_split=0.1)
    assert [counts(part)[0] for part in parts_of(found)] == [1, 1, 1]


def test_a_run_that_goes_on_in_a_later_version_has_the_same_parts() -> None:
    found = split(data_of(texts("a", 20) + texts("b", 20)), seed=5, validation_split=0.1, test_split=0.1)
    assert found.validation is not None
    assert found.test is not None
    assert found.validation.texts == ("a number 7", "a number 16", "b number 1", "b number 19")
    assert found.test.texts == ("a number 1", "a number 4", "b number 0", "b number 3")


def test_the_seed_decides() -> None:
    data = data_of(texts("a", 50) + texts("b", 50))
    one, same, other = split(data, 1), split(data, 1), split(data, 2)
    for part, again in zip(parts_of(one), parts_of(same), strict=True):
        assert part.texts == again.texts
    assert one.test is not None
    assert other.test is not None
    assert one.test.texts != other.test.texts
    assert one.test.texts != tuple(text for text in data.texts if text in one.test.texts[:5])


def test_without_fractions_everything_is_trained_on() -> None:
    data = data_of([("x", "a"), ("y", "b")])
    found = split(data, validation_split=0, test_split=0)
    assert found.train.texts == ("x", "y")
    assert found.validation is None
    assert found.test is None


def test_own_texts_take_the_place_of_a_fraction_and_copies_are_not_trained_on() -> None:
    data = data_of(texts("a", 40) + texts("b", 40))
    validation = data_of([("A NUMBER 0.", "a"), ("b number 1", "b")], data.names)
    test = data_of([("b number 2", "b"), ("new", "a")], data.names)
    found = split(data, validation=validation, test=test)
    assert found.validation is not None
    assert found.test is not None
    assert found.validation.texts == validation.texts
    assert found.test.labels.tolist() == [1, 0]
    assert len(found.train.texts) == 77
    assert not {"a number 0", "b number 1", "b number 2"} & {*found.train.texts}
    assert found.messages == (
        "Not trained on: 2 copies of texts in validation_file.",
        "Not trained on: 1 copy of a text in test_file.",
    )
    with_fraction = split(data, test=test, validation_split=0.25)
    assert counts(with_fraction.validation) == [10, 10]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (("pos", "neg", "Pos"), r"^'Pos', 'pos' are different classes, and"),
        (("new york", "rome", "newyork"), "^'new york', 'newyork' are different classes, and"),
        (("é", "e\u0301"), "^'e\u0301', 'é' are"),
        (("pos", "\ufeffpos"), r"^'pos', '\\ufeffpos' are"),
        (("1", "1.0", "01", "2"), r"^'01', '1', '1\.0' are"),
        (
            ("True", "true", "False", "false"),
            r"^'False', 'false' are.*look like one.*they are \(1 more such case\)\.$",
        ),
    ],
)
def test_labels_that_may_be_meant_to_be_one_are_told(labels: tuple[str, ...], message: str) -> None:
    found = split(data_of([(f"text {number}", label) for number, label in enumerate(labels * 3)]))
    assert re.search(message, found.messages[0])


def test_other_labels_are_not_taken_for_one() -> None:
    labels = ("12345678901234567890", "12345678901234567891", "-1", "1", "C", "C++", "😀", "😡", "1.5")
    assert split(data_of([(f"text {number}", label) for number, label in enumerate(labels * 3)])).messages == ()


def test_texts_that_the_users_own_files_share_are_told_and_stay_in_both() -> None:
    data = data_of(texts("a", 10) + texts("b", 10))
    validation = data_of([("new", "a"), ("newer", "b")], data.names)
    test = data_of([("New!", "a"), ("new", "a"), ("newest", "b")], data.names)
    found = split(data, validation=validation, test=test)
    assert found.messages == (
        "2 of the 3 texts in test_file are in validation_file too. Validation chooses the best step, so the figures on "
        "test_file may be too good. Better keep them apart.",
    )
    assert [part.texts for part in parts_of(found)[1:]] == [validation.texts, test.texts]
    assert len(found.train.texts) == 20
    assert split(data, validation=validation, test=data_of([("other", "a")], data.names)).messages == ()
    assert split(data, validation=test, test=validation).messages[0].startswith("1 of the 2 texts in test_file is in")


def test_different_labels_of_the_same_text_are_told() -> None:
    pairs = texts("a", 10) + texts("b", 10)
    found = split(data_of([*pairs, ("Same!", "a"), ("same", "b"), ("same", "b")]))
    assert found.messages == (
        "1 text occurs several times, case and punctuation aside, with different labels, such as 'Same!'. Hardly any "
        "classifier gets all of them right; correct the labels if you can.",
    )
    found = split(data_of([*pairs, ("one", "a"), ("one", "b"), ("two", "a"), ("two", "b")]))
    assert found.messages[0].startswith(
        "2 texts occur several times, case and punctuation aside, with different labels, such as 'one'."
    )


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (
            {},
            r"^The class 'b' has 2 texts \(copies count once, also those with other labels\), and 3 are needed: one to "
            r"train on, one to validate and one to test\. Give more texts of it, or set validation_split=0 or "
            r"test_split=0\.$",
        ),
        ({"test_split": 0, "few": 1}, r"'b' has 1 text .* 2 are needed: one to train on and one to validate\..* or set "
         r"validation_split=0\.$"),
        ({"validation_split": 0, "few": 1}, r"one to train on and one to test\. .* or set test_split=0\.$"),
        (
            {"validation_split": 0.5, "test_split": 0.5},
            r"^validation_split is 0\.5 and test_split is 0\.5, so nothing would be left to train on\. Set a smaller",
        ),
    ],
)  # fmt: skip
def test_too_few_texts_are_explained(how: dict[str, Any], message: str) -> None:
    few = how.pop("few", 2)
    data = data_of([*texts("a", 10), *texts("b", few), ("b number 0!", "b")])
    with pytest.raises(DataError, match=message):
        split(data, **how)


def test_three_texts_of_a_class_are_enough() -> None:
    found = split(data_of(texts("a", 3) + texts("b", 30)), validation_split=0.4, test_split=0.4)
    assert [counts(part)[0] for part in parts_of(found)] == [1, 1, 1]


def test_copies_take_no_part_away_from_the_others() -> None:
    data = data_of([*texts("a", 3), ("a number 2!", "a"), *texts("b", 30)])
    for seed in range(10):
        found = split(data, seed, validation_split=0.5, test_split=0.4)
        assert all(0 in part.labels for part in parts_of(found))


def test_own_texts_that_leave_nothing_are_refused() -> None:
    data = data_of(texts("a", 5) + texts("b", 5))
    with pytest.raises(
        DataError, match=r"^Every text of the dataset is in validation_file or test_file too, so nothing"
    ):
        split(data, validation=data)
    some = data_of(texts("b", 5), data.names)
    with pytest.raises(
        DataError, match=r"^Every text of the class 'b' is in validation_file or test_file too, so none"
    ):
        split(data, test=some)


def test_near_copies_in_the_users_own_files_are_told_and_stay() -> None:
    data = data_of(texts("a", 10) + texts("b", 10) + [(f"{STORY} for a week", "a")])
    test = data_of([(f"{STORY} without water", "a"), (f"{STORY} without water", "a"), ("new", "b")], data.names)
    found = split(data, test=test, validation_split=0)
    assert found.messages == (
        "2 of the 3 texts in test_file are nearly the same as ones that are trained on, such as "
        f"{quoted(test.texts[0])}. Figures on them may be too good; better leave them out.",
    )
    assert len(found.train.texts) == 21
    assert found.test is not None
    assert found.test.texts == test.texts
    assert split(data, test=data_of([("new", "b"), ("newer", "a")], data.names), validation_split=0).messages == ()
    held_out = split(data, validation=data_of([(f"{STORY} at last", "a"), ("new", "b")], data.names), test_split=0)
    assert held_out.messages[0].startswith("1 of the 2 texts in validation_file is nearly the same as one that is")
