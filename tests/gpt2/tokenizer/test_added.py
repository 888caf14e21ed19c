"""Added tokens: read from every layout that transformers writes, found in texts as it finds them, and written again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2simple.errors import CheckpointError, SettingsError
from gpt2simple.gpt2.tokenizer import Tokenizer
from gpt2simple.gpt2.tokenizer.added import AddedToken
from gpt2simple.testing import byte_tokenizer, sample_text
from tests.helpers.added_tokens import ADDED, SPECIAL, TEXTS, save_as

trained = Tokenizer.train([sample_text(500)], 400)
FLAGGED = Tokenizer(
    replace(
        trained._vocabulary,
        added={
            **trained._vocabulary.added,
            "<a>": AddedToken(id=400),
            "<a>b": AddedToken(id=401, normalized=True, special=False),
            "<b 2>": AddedToken(id=402, lstrip=True),
            "<c>": AddedToken(id=403, rstrip=True, normalized=True),
            "Moon": AddedToken(id=404, single_word=True, special=False),
        },
    )
)
pieces = st.lists(
    st.sampled_from(["<a>", "b", "<b 2>", "<c>", "Moon", " ", "\n ", "é", "漢", "_", "the ", "<", ">", "2"])
)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """transformers' fast tokenizer over FLAGGED as it is saved."""
    from transformers import GPT2TokenizerFast

    folder = tmp_path_factory.mktemp("flagged")
    FLAGGED.save(folder)
    return GPT2TokenizerFast.from_pretrained(folder)


@pytest.mark.parametrize("layout", ["fast", "slow", "older"])
def test_every_layout_of_transformers_gives_its_ids(tmp_path: Path, layout: str) -> None:
    """`older`: as transformers before 4.34 wrote them, without flags for tokens that are not special."""
    reference = save_as(layout, tmp_path)
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.vocab_size == len(reference) == 257 + len(ADDED) + len(SPECIAL)
    # transformers' slow tokenizer does not look for whole words; the older files do not say which white space is lost.
    for text in TEXTS[: {"fast": None, "slow": -1, "older": -2}[layout]]:
        assert tokenizer.encode(text) == reference(text)["input_ids"], text
    assert tokenizer.decode(tokenizer.encode(TEXTS[0])) == TEXTS[0]


def test_the_ids_of_a_known_folder(tmp_path: Path) -> None:
    """What transformers 5.24 gives for what 4.57 saved."""
    save_as("fast", tmp_path)
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.encode("<speaker1>a<speaker10> <speaker1") == [257, 97, 258, 32, *b"<speaker1"]
    assert tokenizer.encode("a <spk 2> b") == [97, 259, 98]
    assert tokenizer.encode("Moon aMoon") == [260, *b" aMoon"]


@settings(max_examples=200, deadline=None)
@given(pieces.map("".join))
def test_tokens_are_found_as_transformers_finds_them(theirs: Any, text: str) -> None:
    ids = FLAGGED.encode(text)
    assert ids == theirs(text)["input_ids"] == FLAGGED.encode_array(text).tolist()
    assert FLAGGED.decode(ids) == theirs.decode(ids)
    assert int(FLAGGED.byte_lengths[ids].sum()) == len(FLAGGED.decode(ids).encode())


def test_a_saved_folder_has_the_same_ids_everywhere(tmp_path: Path) -> None:
    """With ids inside the vocabulary and behind a gap, which a list of added tokens alone would not keep."""
    from transformers import AutoTokenizer, GPT2Tokenizer

    ids = {data: index + 1 for data, index in trained._vocabulary.ids.items()}
    added = {"<pad>": AddedToken(id=0), "<|endoftext|>": AddedToken(id=401), "<s 1>": AddedToken(id=500, special=False)}
    tokenizer = Tokenizer(replace(trained._vocabulary, ids=ids, added=added))
    tokenizer.save(tmp_path)
    assert Tokenizer.load(tmp_path).fingerprint == tokenizer.fingerprint
    for kind in (AutoTokenizer, GPT2Tokenizer):
        reference = kind.from_pretrained(tmp_path)
        assert reference("<s 1>the<pad>")["input_ids"] == tokenizer.encode("<s 1>the<pad>")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).unlink()
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<pad>": 0, "<s 1>": 500}))
    assert Tokenizer.load(tmp_path).encode("<s 1>the<pad>") == tokenizer.encode("<s 1>the<pad>")


def test_the_end_of_text_stays_plain_beside_added_tokens() -> None:
    tokenizer = byte_tokenizer().with_added(["<a>", "<|endo"])
    assert tokenizer.encode("<|endoftext|><a>") == [258, *b"ftext|>", 257]
    assert tokenizer.encode("<|endoftext|><a>", allow_end_of_text=True) == [256, 257]
    assert tokenizer.decode([257, 256, 97]) == "<a>a"
    assert tokenizer.encode("") == tokenizer.encode_array("").tolist() == []


def test_the_fingerprint_depends_on_what_decides_the_ids() -> None:
    plain = byte_tokenizer()
    one, other, both = (plain.with_added(names) for names in (["<a>"], ["<b>"], ["<a>", "<b>"]))
    changed = [AddedToken(id=257, lstrip=True), AddedToken(id=257, normalized=True)]
    flagged = [Tokenizer(replace(plain._vocabulary, added={**plain._vocabulary.added, "<a>": t})) for t in changed]
    assert len({each.fingerprint for each in (plain, one, other, both, *flagged)}) == 6
    special = replace(plain._vocabulary, added={**plain._vocabulary.added, "<a>": AddedToken(id=257)})
    assert Tokenizer(special).fingerprint == one.fingerprint


def test_an_ordinary_token_may_be_declared_as_added(tmp_path: Path) -> None:
    """`add_tokens("the")` in transformers gives it no new id: it is cut out of words."""
    token, index = next((t, i) for t, i in trained._vocabulary.ids.items() if len(t) == 3 and t.isalpha())
    name = token.decode()
    trained.save(tmp_path)
    _declare(tmp_path, {"content": name, "id": index, "normalized": True})
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.encode(f"x{name}x") == [*trained.encode("x"), index, *trained.encode("x")]
    tokenizer.save(tmp_path / "again")
    assert Tokenizer.load(tmp_path / "again").fingerprint == tokenizer.fingerprint


def test_an_odd_entry_that_is_not_declared_is_never_read_from_a_text(tmp_path: Path) -> None:
    trained.save(tmp_path)
    _edit(tmp_path / "tokenizer.json", lambda values: values["model"]["vocab"].update({"<a 漢>": 400}))
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.encode("<a 漢>") == trained.encode("<a 漢>")
    assert tokenizer.decode([400]) == "<a 漢>"
    tokenizer.save(tmp_path / "again")
    assert Tokenizer.load(tmp_path / "again").fingerprint == tokenizer.fingerprint


def test_damaged_declarations_are_explained(tmp_path: Path) -> None:
    for entry, message in (({"id": 400}, "content"), ({"content": "<a>", "id": "x"}, r"'<a>' the id 'x'")):
        trained.save(tmp_path)
        _declare(tmp_path, entry)
        with pytest.raises(CheckpointError, match=message):
            Tokenizer.load(tmp_path)
    trained.save(tmp_path)
    _declare(tmp_path, {"content": "<a>", "id": 7})
    with pytest.raises(CheckpointError, match="gives one id to several tokens"):
        Tokenizer.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("the", r"holds 'the', and the model's vocabulary has a token of ordinary text for that already. Leave it out"),
        ("<|endoftext|>", r"has the end of text for that already"),
        ("a<|endoftext|>", r"has the end of text for that already"),
    ],
)
def test_tokens_that_the_vocabulary_has_cannot_be_added(name: str, message: str) -> None:
    tokenizer = Tokenizer.train(["the the the the"], 300)
    assert tokenizer.encode("the") == [tokenizer._vocabulary.ids[b"the"]]
    with pytest.raises(SettingsError, match=message):
        tokenizer.with_added([name])


def test_adding_a_token_again_changes_nothing() -> None:
    once = byte_tokenizer().with_added(["<a>"])
    assert once.with_added(["<a>"]) is once
    assert once.with_added(["<b>", "<a>"]).added == {"<|endoftext|>": 256, "<a>": 257, "<b>": 258}


def test_ids_without_a_token_are_known() -> None:
    vocabulary = byte_tokenizer()._vocabulary
    tokenizer = Tokenizer(replace(vocabulary, added={**vocabulary.added, "<a>": AddedToken(id=260)}))
    assert tokenizer.without_token(264).tolist() == [257, 258, 259, 261, 262, 263]


def _declare(folder: Path, entry: dict[str, Any]) -> None:
    _edit(folder / "tokenizer.json", lambda values: values["added_tokens"].append(entry))


def _edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    values = json.loads(path.read_text(encoding="utf-8"))
    change(values)
    path.write_text(json.dumps(values), encoding="utf-8")
