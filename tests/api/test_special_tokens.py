"""Special tokens from the text of a run to generated text, in new runs, continued ones and those begun from others."""

from __future__ import annotations

import json
import random
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpt2simple
from gpt2simple.api.session import Session
from gpt2simple.errors import CheckpointError, RunError, SettingsError
from gpt2simple.gpt2.formats.safetensors_file import SafetensorsFile
from gpt2simple.gpt2.model import LoadedModel
from gpt2simple.gpt2.tokenizer import Tokenizer
from gpt2simple.runs import metrics
from tests.helpers.small_runs import QUICK, differing, last_state, weights_of, work_in, write_model_and_text

TOKENS = ("<speaker1>", "<speaker2>")
SETTINGS: dict[str, Any] = {**QUICK, "window": 16, "batch_size": 4, "eval_every": 20}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder with the model `small`, the text chat.txt and the run `chat` of 60 steps."""
    folder = write_model_and_text(tmp_path_factory.mktemp("chat"))
    draw = random.Random(1)
    turns = (f"<speaker1>{draw.choice(['hi', 'ho'])}<speaker2>{draw.choice(['so', 'no'])}" for _ in range(400))
    (folder / "chat.txt").write_text("".join(turns), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        work_in(patch, folder)
        gpt2simple.finetune(
            "chat.txt", model_name="small", run_name="chat", steps=60, special_tokens=TOKENS, **SETTINGS
        )
        yield folder


@pytest.fixture(autouse=True)
def _inside(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work_in(monkeypatch, place)


def opened(**names: str) -> Session:
    return gpt2simple.start_session(**names)


def test_the_tokens_are_learned_and_written(place: Path) -> None:
    losses = [each.loss for each in metrics.read(place / "checkpoint" / "chat").evaluations]
    assert losses[-1] < 0.5 * losses[0]
    with opened(run_name="chat") as session:
        (text,) = session.generate("<speaker1>", length=30, seed=1)
        assert text.count("<speaker1>") > 2 < text.count("<speaker2>")
        sample = session.samples("<speaker1>h", length=30, seed=1, truncate="<speaker1>", include_prefix=False)[0]
        assert (sample.finish_reason, sample.tokens[-1]) == ("stop", 257)
        assert "<speaker2>" in sample.text
        assert "".join(session.stream("<speaker1>", length=30, seed=1)) == text
    with opened(run_name="chat", precision="int8") as session:
        assert "<speaker2>" in session.generate("<speaker1>h", length=8, seed=1)[0]


def test_the_run_is_a_model_folder_with_the_tokens(place: Path) -> None:
    run = place / "checkpoint" / "chat"
    assert json.loads((run / "config.json").read_text())["vocab_size"] == 259
    assert json.loads((run / "run.json").read_text())["settings"]["special_tokens"] == [*TOKENS]
    for folder in (run, *run.glob("step-*")):
        assert Tokenizer.load(folder).encode("<speaker2>a") == [258, 97]
    with opened(run_name="chat") as of_run, opened(model_name=str(run)) as of_folder:
        assert of_run.generate("<speaker1>", length=9, seed=2) == of_folder.generate("<speaker1>", length=9, seed=2)
        saved = of_run.save(place / "saved")
    assert Tokenizer.load(saved).added["<speaker1>"] == 257


def test_it_is_evaluated_scored_and_encoded_with_them(place: Path) -> None:
    held_out = gpt2simple.evaluate("chat.txt", run_name="chat", part="held_out")
    best = metrics.read(place / "checkpoint" / "chat").evaluations[-1].loss
    assert held_out.loss == pytest.approx(best, rel=0.1)
    (score,) = gpt2simple.score("<speaker1>hi", run_name="chat")
    assert [token.text for token in score.tokens] == ["<speaker1>", "h", "i"]
    assert [piece for piece, _ in score.pieces] == ["<speaker1>", "h", "i"]
    gpt2simple.encode_dataset("chat.txt", "chat.npz", model_name="checkpoint/chat")
    ids = np.load("chat.npz")["arr_0"]
    assert (ids == 257).sum() == 400
    whole = gpt2simple.evaluate("chat.npz", run_name="chat")
    assert whole.loss == pytest.approx(gpt2simple.evaluate("chat.txt", run_name="chat").loss)


def test_a_continued_run_has_them_and_equals_one_without_a_stop(place: Path) -> None:
    for name, stops in (("whole", [8]), ("parts", [4, 8])):
        for steps in stops:
            given: dict[str, Any] = {"special_tokens": TOKENS} if steps == stops[0] else {}
            how = SETTINGS | {"eval_every": 4} | given
            gpt2simple.finetune("chat.txt", model_name="small", run_name=name, steps=steps, **how)
    assert not differing(*(last_state(place / "checkpoint" / name) for name in ("whole", "parts")))


@pytest.mark.parametrize("others", [("<speaker3>",), (), TOKENS[::-1], (*TOKENS, "<speaker3>")])
def test_other_tokens_are_refused_for_a_run_that_has_begun(place: Path, others: tuple[str, ...]) -> None:
    message = (
        r"was started with special_tokens=\['<speaker1>', '<speaker2>'\], and this call gives .*: a run's vocabulary "
        r"cannot change\. Give special_tokens=\['<speaker1>', '<speaker2>'\] to continue it, or another run_name"
    )
    before = last_state(place / "checkpoint" / "chat")
    with pytest.raises(RunError, match=message):
        gpt2simple.finetune("chat.txt", run_name="chat", steps=80, special_tokens=others)
    assert not differing(before, last_state(place / "checkpoint" / "chat"))


@pytest.mark.parametrize(
    "begun",
    [
        {"model_name": "checkpoint/chat"},
        pytest.param({"model_name": "small", "restore_from": "checkpoint/chat"}, marks=pytest.mark.slow),
    ],
)
def test_a_run_may_begin_with_one_that_has_them_and_add_more(place: Path, begun: dict[str, str]) -> None:
    how = {**SETTINGS, "learning_rate": 1e-30, "early_stopping_patience": 9}
    gpt2simple.finetune("chat.txt", run_name="more", steps=1, special_tokens=["<speaker2>", "<new>"],
                        overwrite=True, **how, **({"restore_from": "fresh"} | begun))  # fmt: skip
    assert Tokenizer.load(place / "checkpoint" / "more").added["<new>"] == 259
    with opened(run_name="more") as more, opened(run_name="chat") as chat:
        rows = [session.model.transformer.wte.embeddings.numpy() for session in (more, chat)]
    np.testing.assert_array_equal(rows[0][:259], rows[1])
    np.testing.assert_allclose(rows[0][259], rows[1][list(b"<new>")].mean(axis=0), rtol=1e-5)


def test_a_session_goes_from_a_run_with_them_to_one_without_and_back(place: Path) -> None:
    gpt2simple.finetune("chat.txt", model_name="small", run_name="bare", steps=2, **SETTINGS)
    with opened(model_name="small", run_name="chat") as session:
        weights = weights_of(session.model)
        for name, size in (("bare", 257), ("chat", 259)):
            session.run_name = name
            session.load()
            assert session.tokenizer.vocab_size == size
        assert weights_of(session.model) == weights
        session.run_name = "bare"
        assert session.finetune("chat.txt", steps=3).steps == 3
        with pytest.raises(RunError, match=r"was started with special_tokens=\[\], and this call gives \['<speaker1>'"):
            session.finetune("chat.txt", steps=4, special_tokens=TOKENS)
        assert session.tokenizer.vocab_size == 257
        session.use_model("small")
        session.generate("x", length=1)
        session.run_name = "third"
        session.finetune("chat.txt", steps=1, special_tokens="<|startoftext|>", **SETTINGS)
        assert session.tokenizer.encode("<|startoftext|>") == [257]


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("a", r"holds 'a', and the model's vocabulary has a token of ordinary text for that"),
        ("<|endoftext|>", "the end"),
    ],
)
def test_a_token_that_the_model_has_leaves_no_run_behind(place: Path, token: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        gpt2simple.finetune("chat.txt", model_name="small", run_name="none", steps=1, special_tokens=token, **SETTINGS)
    assert not (place / "checkpoint" / "none" / "run.json").exists()


@pytest.mark.slow
def test_models_with_them_are_compared_and_reported(place: Path) -> None:
    result = gpt2simple.compare(
        "chat.txt", ["checkpoint/chat", "small"], name="both", nsamples=1, tokens=64, evaluations=4, window=16, length=9
    )
    with_tokens, without = result.rows
    assert with_tokens.bits_per_byte < without.bits_per_byte
    assert "<speaker1>" in (place / "checkpoint" / "both" / "train.jsonl").read_text()
    assert "&lt;speaker1&gt;" in gpt2simple.report("chat").path.read_text()


@pytest.fixture(scope="module")
def adapter(place: Path) -> Path:
    """A run of an adapter that has the tokens."""
    with pytest.MonkeyPatch.context() as patch:
        work_in(patch, place)
        how = SETTINGS | {"special_tokens": TOKENS, "lora_rank": 4, "learning_rate": 3e-2}
        gpt2simple.finetune("chat.txt", model_name="small", run_name="adapter", steps=60, **how)
    return place / "checkpoint" / "adapter"


def test_beside_an_adapter_only_their_rows_are_learned_and_saved(place: Path, adapter: Path) -> None:
    losses = [each.loss for each in metrics.read(adapter).evaluations]
    assert min(losses) < 0.8 * losses[0]
    with opened(run_name="adapter") as session, opened(model_name="small") as base:
        learned, before = (each._in_memory().read("wte.weight") for each in (session, base))
        np.testing.assert_array_equal(learned[:257], before)
        assert np.abs(learned[257:] - before[list(b"<speaker1>")].mean(axis=0)).max() > 0.1
        text = session.generate("<speaker1>", length=30, seed=1)
        saved = session.save(place / "merged")
        np.testing.assert_array_equal(session.model.transformer.wte.embeddings.numpy(), learned)
    with opened(model_name=str(saved)) as session:
        np.testing.assert_array_equal(session._in_memory().read("wte.weight"), learned)
        assert session.generate("<speaker1>", length=30, seed=1) == text
    values = json.loads((adapter / "adapter_config.json").read_text())
    assert values["trainable_token_indices"] == {"wte": [257, 258]}
    with closing(SafetensorsFile(adapter / "adapter_model.safetensors")) as file:
        rows = file.read("base_model.model.transformer.wte.token_adapter.trainable_tokens_delta")
    np.testing.assert_array_equal(rows, learned[257:])


@pytest.mark.parametrize(
    "base_precision", ["auto", *(pytest.param(base, marks=pytest.mark.slow) for base in ("float32", "int8"))]
)
def test_an_adapter_with_tokens_goes_on_bit_for_bit(place: Path, tmp_path: Path, base_precision: str) -> None:
    given: dict[str, Any] = {"special_tokens": TOKENS, "lora_rank": 4, "base_precision": base_precision}
    for name, stops in (("whole", [8]), ("parts", [4, 8])):
        for steps in stops:
            how = SETTINGS | {"eval_every": 4} | (given if steps == stops[0] else {})
            gpt2simple.finetune(
                "chat.txt", model_name="small", run_name=name, steps=steps, checkpoint_dir=tmp_path, **how
            )
    assert not differing(*(last_state(tmp_path / name) for name in ("whole", "parts")))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"wte": [3, 258]}, r"has trainable_token_indices=.*; this package reads rows of new tokens, the last of the"),
        ({"wte": [258, 259]}, r"has trainable_token_indices="),
        ({"wte": [258]}, r"has trainable_token_indices="),
        (None, r"has trainable_token_indices=None"),
        ("all", r"has trainable_token_indices='all'"),
        ({"wte": [257, 258, 259]}, r"does not hold 3 rows of 16 numbers as .*tokens_delta, which adapter_config\.json"),
    ],
)
def test_rows_of_an_adapter_that_mean_something_else_are_refused(
    adapter: Path, tmp_path: Path, change: Any, message: str
) -> None:
    folder = shutil.copytree(adapter, tmp_path / "other")
    values = json.loads((folder / "adapter_config.json").read_text()) | {"trainable_token_indices": change}
    (folder / "adapter_config.json").write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match=message):
        LoadedModel.load(folder)
