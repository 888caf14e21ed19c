"""The tokenizer: ids as GPT-2 has them, every text back unchanged, and files that other tools open."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2simple.errors import CheckpointError, DataError, SettingsError
from gpt2simple.gpt2.tokenizer import Tokenizer
from gpt2simple.gpt2.tokenizer.added import AddedToken
from gpt2simple.gpt2.tokenizer.encoder import _CUT, _MergesEncoder, _RankedEncoder, make_encoder, rule_is_ranked
from gpt2simple.gpt2.tokenizer.vocabulary import END_OF_TEXT, Vocabulary
from gpt2simple.testing import byte_tokenizer, sample_text, write_byte_vocabulary
from tests.helpers.paths import outside_data

unicode_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
words = st.lists(
    st.sampled_from(["the", " the", "  ", "\n", "\t", "'s", "'ll", "It's", "12", "½", "é", "漢", "😀", "!!", " ?"])
)


@pytest.fixture(scope="module")
def gpt2() -> Tokenizer:
    return Tokenizer.load(outside_data("gpt2-vocabulary"))


@pytest.fixture(scope="module")
def trained() -> Tokenizer:
    return Tokenizer.train([sample_text(2000)], 400)


def _reference(vocabulary: Path) -> tokenizers.Tokenizer:
    """The tokenizers library over the same files: what GPT2TokenizerFast is made of."""
    model = tokenizers.models.BPE.from_file(str(vocabulary / "encoder.json"), str(vocabulary / "vocab.bpe"))
    reference = tokenizers.Tokenizer(model)
    reference.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    return reference


# --- ids ---


def test_ids_are_the_published_ones(gpt2: Tokenizer) -> None:
    answers = json.loads(outside_data("known-answers", "tokenisation_vectors.json").read_text(encoding="utf-8"))
    assert len(answers["vectors"]) >= 30
    for vector in answers["vectors"]:
        assert gpt2.encode(vector["text"]) == vector["ids"], vector["text"]
    for special in answers["special"]:
        assert gpt2.encode(special["text"], allow_end_of_text=True) == special["ids_if_special_allowed"]


@pytest.mark.parametrize(
    "name", ["tinyshakespeare", "hamlet-screenplay", "udhr_multilingual", "blns", "wikitext-2-valid"]
)
def test_ids_equal_those_of_the_tokenizers_library(gpt2: Tokenizer, name: str) -> None:
    text = outside_data("text", f"{name}.txt").read_bytes().decode("utf-8")
    ids = _reference(outside_data("gpt2-vocabulary")).encode(text).ids
    assert gpt2.encode(text) == ids
    assert gpt2.decode(ids) == text
    assert gpt2.encode_array(text).tolist() == ids


def test_ids_equal_those_of_gpt2tokenizerfast(gpt2: Tokenizer, tmp_path: Path) -> None:
    """transformers' own class over the published files, on hostile text (naughty strings)."""
    from transformers.models.gpt2.tokenization_gpt2_fast import GPT2TokenizerFast

    source = outside_data("gpt2-vocabulary")
    fast = GPT2TokenizerFast(vocab_file=str(source / "encoder.json"), merges_file=str(source / "vocab.bpe"))
    text = outside_data("text", "blns.txt").read_text(encoding="utf-8")
    assert gpt2.encode(text) == fast(text)["input_ids"]


def test_known_counts_of_tiny_shakespeare(gpt2: Tokenizer) -> None:
    text = outside_data("text", "tinyshakespeare.txt").read_text(encoding="utf-8")
    cut = int(len(text) * 0.9)
    assert (len(gpt2.encode(text[:cut])), len(gpt2.encode(text[cut:]))) == (301_966, 36_059)


@pytest.mark.slow
def test_every_character_has_the_ids_of_the_tokenizers_library(gpt2: Tokenizer) -> None:
    """The two libraries have Unicode tables of their own; a difference would show in the pieces around a character."""
    reference = _reference(outside_data("gpt2-vocabulary"))
    characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    for start in range(0, len(characters), 20_000):
        texts = [f"a{c}b 1{c}1 !{c}! {c}  {c} \n{c}\n{c}{c}" for c in characters[start : start + 20_000]]
        for text, expected in zip(texts, reference.encode_batch(texts), strict=True):
            assert gpt2.encode(text) == expected.ids, ascii(text)


@pytest.mark.parametrize("run", ["a", " ", "\n", "!", "0", "漢", "😀", "ab"])
def test_long_runs_take_no_quadratic_time(gpt2: Tokenizer, run: str) -> None:
    """200,000 characters without a word boundary took minutes in tiktoken before 0.14; the test's time limit is one."""
    text = run * (200_000 // len(run))
    assert gpt2.decode(gpt2.encode(text)) == text


# --- there and back ---


@settings(max_examples=300, deadline=None)
@given(unicode_texts | words.map("".join))
def test_decoding_gives_the_text_back(text: str) -> None:
    for tokenizer in _two_tokenizers():
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text
        assert tokenizer.decode_bytes(ids) == text.encode()
        assert int(tokenizer.byte_lengths[ids].sum()) == len(text.encode())
        assert tokenizer.encode_array(text).tolist() == ids


@settings(max_examples=200, deadline=None)
@given(unicode_texts | words.map("".join))
def test_both_encoders_agree(text: str) -> None:
    vocabulary = _two_tokenizers()[1]._vocabulary
    assert make_encoder(vocabulary).encode(text) == _MergesEncoder(vocabulary).encode(text)


# All white space of Unicode, characters that are like it or that Python alone counts as such, and tiktoken's cut mark.
SPACES = [chr(code) for code in range(0x110000) if chr(code).isspace()] + ["\u180e", "\u200b", "\ufeff", _CUT]


def test_white_space_before_words_is_cut_as_by_the_tokenizers_library() -> None:
    runs = [f"{space * 8} {space * 4}\n{space * 2}a" for space in SPACES] * 2
    vocabulary = Tokenizer.train(runs, 600)._vocabulary  # joins them, so that other cuts give other ids
    ranked, merges = make_encoder(vocabulary), _MergesEncoder(vocabulary)
    assert isinstance(ranked, _RankedEncoder)
    draw = random.Random(0)
    for space in SPACES:
        pool = [space, space, space, " ", "\n", "a", "'ll", "1", "!", draw.choice(SPACES)]
        for _ in range(40):
            text = "".join(draw.choices(pool, k=draw.randrange(9)))
            assert ranked.encode(text) == merges.encode(text), ascii(text)


_cached: list[Tokenizer] = []


def _two_tokenizers() -> list[Tokenizer]:
    if not _cached:
        _cached.extend([byte_tokenizer(), Tokenizer.train([sample_text(1000)], 500)])
    return _cached


def test_bytes_are_their_own_ids_in_the_byte_tokenizer() -> None:
    tokenizer = byte_tokenizer()
    assert tokenizer.encode("aé") == [97, 0xC3, 0xA9]
    assert (tokenizer.vocab_size, tokenizer.end_of_text) == (257, 256)


def test_end_of_text_in_a_text_is_plain_unless_allowed() -> None:
    tokenizer = byte_tokenizer()
    assert 256 not in tokenizer.encode("a<|endoftext|>b")
    assert tokenizer.encode("a<|endoftext|>b", allow_end_of_text=True) == [97, 256, 98]
    assert tokenizer.decode([97, 256, 98]) == "ab"
    assert tokenizer.byte_lengths[256] == 0


def test_incomplete_characters_become_replacement_characters() -> None:
    assert byte_tokenizer().decode([97, 0xC3]) == "a\ufffd"


def test_an_id_outside_the_vocabulary_is_an_error() -> None:
    for strange in (257, -1):
        with pytest.raises(DataError, match=rf"The id {strange} is not in the vocabulary of 257 tokens"):
            byte_tokenizer().decode([97, strange])


def test_half_a_surrogate_pair_is_an_error() -> None:
    with pytest.raises(DataError, match=r"holds '\\ud83d' at character 1, an unpaired surrogate"):
        byte_tokenizer().encode("a\ud83d")


# --- which encoder ---


def test_merges_that_the_ranked_rule_would_not_follow_use_the_list_of_merges() -> None:
    """In 'abc', the list stops at a + bc; by ranks, a and bc would join because 'abc' is a token (through ab + c)."""
    vocabulary = _vocabulary_with(merges=[(b"b", b"c"), (b"a", b"b"), (b"ab", b"c")])
    assert not rule_is_ranked(vocabulary)
    tokenizer = Tokenizer(vocabulary)
    assert [tokenizer.decode([i]) for i in tokenizer.encode("abc")] == ["a", "bc"]


def test_one_token_made_by_two_merges_uses_the_list_of_merges() -> None:
    vocabulary = _vocabulary_with(merges=[(b"a", b"b"), (b"b", b"c"), (b"ab", b"c"), (b"a", b"bc")])
    assert not rule_is_ranked(vocabulary)


def test_trained_vocabularies_follow_the_ranked_rule(trained: Tokenizer) -> None:
    assert rule_is_ranked(trained._vocabulary)


def _vocabulary_with(merges: list[tuple[bytes, bytes]]) -> Vocabulary:
    ids = {bytes([byte]): byte for byte in range(256)}
    for left, right in merges:
        ids.setdefault(left + right, len(ids))
    return Vocabulary(ids=ids, merges=tuple(merges), added={END_OF_TEXT: AddedToken(id=len(ids))})


# --- files ---


def test_every_layout_gives_the_same_tokenizer(trained: Tokenizer, tmp_path: Path) -> None:
    full, pair, openai = tmp_path / "full", tmp_path / "pair", tmp_path / "openai"
    trained.save(full, max_length=32)
    assert sorted(p.name for p in full.iterdir()) == [
        "merges.txt",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.json",
    ]
    for folder, names in ((pair, ("vocab.json", "merges.txt")), (openai, ("encoder.json", "vocab.bpe"))):
        folder.mkdir()
        for source, target in zip(("vocab.json", "merges.txt"), names, strict=True):
            shutil.copy(full / source, folder / target)
    fingerprints = {Tokenizer.load(folder).fingerprint for folder in (full, pair, openai)}
    assert fingerprints == {trained.fingerprint}
    assert byte_tokenizer().fingerprint not in fingerprints


def test_saved_files_open_in_transformers(trained: Tokenizer, tmp_path: Path) -> None:
    from transformers.models.gpt2.tokenization_gpt2 import GPT2Tokenizer
    from transformers.models.gpt2.tokenization_gpt2_fast import GPT2TokenizerFast

    trained.save(tmp_path, max_length=32)
    text = sample_text(20) + " café 漢 😀  \n\n x"
    for kind in (GPT2TokenizerFast, GPT2Tokenizer):
        loaded = kind.from_pretrained(tmp_path)
        assert loaded(text, verbose=False)["input_ids"] == trained.encode(text)
        assert (len(loaded), loaded.eos_token_id) == (trained.vocab_size, trained.end_of_text)
        assert loaded.model_max_length == 32


def test_an_end_token_of_another_name_is_found_through_its_configuration(tmp_path: Path) -> None:
    write_byte_vocabulary(tmp_path)
    _edit(tmp_path / "vocab.json", lambda v: {("</s>" if k == END_OF_TEXT else k): i for k, i in v.items()})
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": {"content": "</s>"}}))
    tokenizer = Tokenizer.load(tmp_path)
    assert (tokenizer.end_of_text, tokenizer.end_of_text_name) == (256, "</s>")


def test_added_tokens_of_older_files_keep_their_ids(tmp_path: Path) -> None:
    write_byte_vocabulary(tmp_path)
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<pad>": 257}))
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.vocab_size == 258
    assert tokenizer.encode("a<pad>") == [97, 257]
    assert tokenizer.decode([97, 257]) == "a<pad>"
    tokenizer.save(tmp_path / "again")
    assert Tokenizer.load(tmp_path / "again").fingerprint == tokenizer.fingerprint


def _edit(path: Path, change: object) -> None:
    path.write_text(json.dumps(change(json.loads(path.read_text(encoding="utf-8")))), encoding="utf-8")  # type: ignore[operator]


def _without(path: Path, key: str) -> None:
    _edit(path, lambda values: {k: v for k, v in values.items() if k != key})


def _spoil(folder: Path, how: str) -> None:
    vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
    match how:
        case "nothing":
            vocabulary.unlink()
            merges.unlink()
        case "no merges":
            merges.unlink()
        case "no vocabulary":
            vocabulary.unlink()
        case "half":
            vocabulary.write_text(vocabulary.read_text(encoding="utf-8")[:50], encoding="utf-8")
        case "list":
            vocabulary.write_text("[1, 2]")
        case "pointer":
            vocabulary.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n")
        case "binary":
            vocabulary.write_bytes(b"\xff\xfe{}")
        case "bytes":
            _without(vocabulary, "a")
        case "end":
            _without(vocabulary, END_OF_TEXT)
        case "other merges":
            merges.write_text("#version: 0.2\nt h\n")
        case "odd merges":
            merges.write_text("#version: 0.2\nth\n")
        case "twice":
            _edit(vocabulary, lambda values: values | {"a": 98})
        case "words":
            _edit(vocabulary, lambda values: values | {"a": "x"})


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("nothing", r"holds no vocabulary: expected tokenizer.json, or vocab.json and merges.txt, or encoder.json and"),
        ("no merges", r"holds vocab.json but no merges.txt; both are needed. Copy the missing file"),
        ("no vocabulary", r"holds merges.txt but no vocab.json; both are needed"),
        ("half", r"vocab.json is not a valid JSON object .* it begins with .* Copy or download it again"),
        ("list", r"vocab.json is not a valid JSON object \(it is a list where an object was expected\)"),
        ("pointer", r"vocab.json is a Git LFS pointer, not the data.* Run .*`git lfs pull`"),
        ("binary", r"vocab.json is not UTF-8 text \(byte 0\)"),
        ("bytes", r"lacks 1 of the 256 single bytes, so it cannot represent every text. Use a byte-level BPE"),
        ("end", r"no token '<\|endoftext\|>' that ends a text. Use the files that came with the model"),
        ("other merges", r"names a token that the vocabulary does not hold: the two files belong to different models"),
        ("odd merges", r"holds a merge 'th'; expected two tokens"),
        ("twice", r"gives one id to several tokens, so the file is damaged"),
        ("words", r"gives 'a' the id 'x'; expected a number"),
    ],
)
def test_a_vocabulary_that_cannot_be_used_is_explained(tmp_path: Path, how: str, message: str) -> None:
    write_byte_vocabulary(tmp_path)
    _spoil(tmp_path, how)
    with pytest.raises(CheckpointError, match=message):
        Tokenizer.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"type": "Unigram"}}, r"tokenizer.json uses a Unigram model.*without it. Choose a model"),
        ({"normalizer": {"type": "NFC"}}, r"uses a normalizer"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, r"uses the pre-tokenizer Whitespace"),
        ({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True}}, r"uses add_prefix_space"),
        ({"model": {"type": "BPE"}}, r"is not a BPE tokenizer.json \(KeyError: 'merges'\)"),
    ],
)
def test_a_tokenizer_of_another_kind_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    byte_tokenizer().save(tmp_path)
    _edit(tmp_path / "tokenizer.json", lambda values: values | change)
    with pytest.raises(CheckpointError, match=message):
        Tokenizer.load(tmp_path)


# --- training ---


def test_training_gives_the_size_asked_for_with_the_end_of_text_last(trained: Tokenizer) -> None:
    assert (trained.vocab_size, trained.end_of_text) == (400, 399)
    text = sample_text(100, seed=7)
    assert len(trained.encode(text)) < len(text.encode()) / 2


def test_training_is_repeatable_and_knows_other_alphabets() -> None:
    texts = ["Все люди рождаются свободными", "人人生而自由,在尊严和权利上一律平等。"] * 5
    first, second = (Tokenizer.train(iter(texts), 400) for _ in range(2))
    assert first.fingerprint == second.fingerprint
    assert all(first.decode(first.encode(text)) == text for text in texts)
    assert len(first.encode(texts[0])) < 10


def test_a_small_text_gives_a_small_vocabulary() -> None:
    tokenizer = Tokenizer.train(["aa"], 10_000)
    assert 257 <= tokenizer.vocab_size < 300
    assert tokenizer.decode(tokenizer.encode("zoë")) == "zoë"


def test_training_refuses_too_few_tokens_and_no_text() -> None:
    with pytest.raises(SettingsError, match=r"vocab_size is 256; expected at least 257"):
        Tokenizer.train(["a"], 256)
    with pytest.raises(DataError, match=r"hold no characters. Give texts"):
        Tokenizer.train(["", ""], 300)


def test_several_threads_share_one_tokenizer(trained: Tokenizer) -> None:
    from concurrent.futures import ThreadPoolExecutor

    draw = random.Random(0)
    texts = [sample_text(draw.randint(1, 200), seed=i) for i in range(40)]
    with ThreadPoolExecutor(4) as pool:
        arrays = list(pool.map(trained.encode_array, texts))
    assert all(np.array_equal(a, trained.encode(t)) for a, t in zip(arrays, texts, strict=True))
