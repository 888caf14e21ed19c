"""Pairs as ids: the boundary between prompt and completion, what is cut, and what the loss is on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gpt2simple.data.packing import PackedBatches, packed_rows
from gpt2simple.data.pair_encoding import EncodedPairs, encode_pairs, pair_reader
from gpt2simple.data.pairs import read_pairs
from gpt2simple.errors import DataError
from gpt2simple.gpt2.tokenizer import Tokenizer
from gpt2simple.settings.pairs import PairTextSettings
from tests.helpers.paths import outside_data
from tests.helpers.texts import BYTES

END = BYTES.end_of_text


def encoded(dataset: Any, longest: int = 1024, tokenizer: Tokenizer = BYTES, **how: Any) -> EncodedPairs:
    pairs = read_pairs(dataset, PairTextSettings(**how))
    return encode_pairs(pairs.pairs, pairs.template, tokenizer, longest)


def test_prompt_and_completion_are_encoded_apart() -> None:
    found = encoded([("ab", "cd"), ("é", "x")])
    assert [bytes(prompt.tolist()) for prompt in found.prompts] == [b"ab\n###\n", "é\n###\n".encode()]
    assert [completion.tolist() for completion in found.completions] == [[*b"cd", END], [*b"x", END]]
    assert found.lengths.tolist() == [9, 8]
    assert {array.dtype for array in (*found.prompts, *found.completions)} == {np.dtype(np.int32)}
    assert found.hints() == []


def test_the_end_of_text_spelled_inside_is_text() -> None:
    found = encoded([("a<|endoftext|>", "b <|endoftext|> c")])
    assert END not in found.prompts[0]
    assert found.completions[0].tolist().count(END) == 1


def test_an_end_of_ones_own() -> None:
    found = encoded([("a", "b")], end=" END")
    assert bytes(found.completions[0].tolist()) == b"b END"


def test_the_mask_is_on_the_completion_and_its_end() -> None:
    inputs, targets, loss_mask = pair_reader(encoded([("ab", "cd")], separator="\n"))(0)
    assert inputs.tolist() == [*b"ab\ncd"]
    assert targets.tolist() == [*b"b\ncd", END]
    assert loss_mask.tolist() == [0, 0, 1, 1, 1]
    assert (inputs.dtype, targets.dtype, loss_mask.dtype) == (np.int32, np.int32, np.float32)
    assert pair_reader(encoded([("ab", "cd")], separator="\n"), loss_on="all")(0)[2].tolist() == [1] * 5


def test_a_prompt_of_one_token() -> None:
    inputs, targets, loss_mask = pair_reader(encoded([("a", "b")], separator=""))(0)
    assert (inputs.tolist(), targets.tolist(), loss_mask.tolist()) == ([*b"ab"], [*b"b", END], [1, 1])


def test_a_long_prompt_loses_its_beginning_and_the_completion_nothing() -> None:
    found = encoded([("0123456789", "abc"), ("9", "abc")], longest=10)
    assert [bytes(prompt.tolist()) for prompt in found.prompts] == [b"89\n###\n", b"9\n###\n"]
    assert found.lengths.tolist() == [10, 9]
    assert (found.truncated, found.left_out) == (1, ())
    assert found.hints() == [
        "Of 1 prompt only the end is read: with the completion, a pair has at most 11 tokens."
    ]  # fmt: skip


def test_a_completion_that_leaves_no_room_for_the_mark_before_it_is_left_out() -> None:
    found = encoded([("q", "abcdef"), ("q", "abcde"), ("q", "a" * 50)], longest=10)
    assert found.numbers.tolist() == [1]
    assert bytes(found.prompts[0].tolist()) == b"\n###\n"
    assert found.left_out == ("pairs of the program, entry 0", "pairs of the program, entry 2")
    assert found.hints()[1] == (
        "Left out: 2 pairs whose completion is too long for 11 tokens, the first at pairs of the program, entry 0."
    )
    assert pair_reader(found)(0)[2].tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 1, 1]


def test_nothing_left_is_an_error() -> None:
    with pytest.raises(
        DataError,
        match=r"^No completion fits into 11 tokens, of which the mark before it takes 5; the first is at pairs of the "
        r"program, entry 0\. Give shorter completions\.$",
    ):
        encoded([("q", "a" * 50)], longest=10)


@pytest.mark.parametrize("longest", range(6, 40))
def test_whatever_is_cut_every_pair_counts_its_whole_completion(longest: int) -> None:
    dataset = [("q" * asked, "a" * answered) for asked in (1, 7, 30) for answered in (0, 1, 5, 20)]
    dataset = [(prompt, completion or "b") for prompt, completion in dataset]
    found = encoded(dataset, longest=longest)
    read = pair_reader(found)
    for place, number in enumerate(found.numbers.tolist()):
        inputs, targets, loss_mask = read(place)
        assert len(inputs) == found.lengths[place] <= longest
        assert targets[loss_mask > 0].tolist() == [*dataset[number][1].encode(), END]


def test_a_conversation_without_a_prompt_begins_as_a_text_does() -> None:
    pairs = read_pairs([{"messages": [{"role": "assistant", "content": "Hi"}]}], PairTextSettings())
    plain = read_pairs([("a", "b")], PairTextSettings(separator="")).template
    assert encode_pairs(pairs.pairs, plain, BYTES, 10).prompts[0].tolist() == [END]


def test_packed_rows_hold_every_pair() -> None:
    found = encoded([("q" * number, "a" * (12 - number)) for number in range(1, 12)], longest=40)
    rows = packed_rows(found.lengths, pair_reader(found), batch_size=4)
    assert sum(batch.loss_mask.sum() for batch, _ in rows) == sum(map(len, found.completions))
    batches = PackedBatches(found.lengths, pair_reader(found), batch_size=4, accumulate=1, seed=0)
    epoch = [batches.batch(index) for index in range(batches.steps_per_epoch)]
    assert sum(batch.loss_mask.sum() for batch in epoch) == sum(map(len, found.completions))
    assert all((batch.targets[batch.loss_mask > 0] == END).any() for batch in epoch)


@pytest.mark.slow
def test_the_default_separator_has_the_same_ids_in_the_joined_text() -> None:
    tokenizer = Tokenizer.load(outside_data("gpt2-vocabulary"))
    found = encoded([("What is the capital of France?", "Paris.")], tokenizer=tokenizer)
    assert found.prompts[0][-3:].tolist() == [198, 21017, 198]
    joined = tokenizer.encode("What is the capital of France?\n###\nParis.")
    assert [*found.prompts[0], *found.completions[0]] == [*joined, 50256]
