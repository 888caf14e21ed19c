"""Sessions: what they hold, and what fine-tuning, loading and swapping models do to it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpt2simple
from gpt2simple import compat, testing
from gpt2simple.api.session import Session
from gpt2simple.backend import devices
from gpt2simple.backend.packages import versions
from gpt2simple.backend.tensorflow import tf
from gpt2simple.errors import CheckpointError, DataError, RunError, SettingsError
from gpt2simple.gpt2.model import LoadedModel
from gpt2simple.runs.description import RunInfo
from tests.helpers.run_folders import go_on
from tests.helpers.small_runs import (
    QUICK,
    differing,
    last_state,
    weights_of,
    write_model_and_text,
    write_small_model,
    write_text,
)
from tests.helpers.weight_layouts import canonical_weights, random_weights, write_tf1


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two small models, two texts, and the run "done" of four steps."""
    folder = tmp_path_factory.mktemp("sessions")
    write_model_and_text(folder)
    write_small_model(folder / "second", seed=1)
    write_text(folder / "other.txt", seed=1)
    with open_session(folder, "small", run_name="done") as session:
        session.finetune(folder / "text.txt", steps=4, **text_settings(folder))
    return folder


def open_session(place: Path, model: str | None = None, **arguments: Any) -> Session:
    arguments = {"precision": "float32", "model_dir": place, "checkpoint_dir": place / "runs"} | arguments
    return Session(model, **arguments)


def text_settings(place: Path) -> dict[str, Any]:
    return QUICK | {"cache_dir": str(place / "cache")}


def test_a_blank_at_the_end_of_the_prefix_is_pointed_out_once(place: Path, messages: list[str]) -> None:
    with open_session(place, "small") as session:
        session.generate("The king ", nsamples=3, length=2)
        session.generate(["A ", "B "], length=2)
        list(session.stream("C ", length=2))
    assert len([message for message in messages if "ends in a space" in message]) == 1


def test_windows_line_ends_in_a_prefix_give_the_text_of_plain_ones(place: Path) -> None:
    with open_session(place, "small") as session:
        (windows,), (plain,) = (session.samples(text, length=8, seed=1) for text in ("a\r\nb", "a\nb"))
    assert windows.tokens == plain.tokens
    assert windows.text == plain.text
    assert windows.text.startswith("a\nb")


def test_a_run_leaves_its_best_weights_in_the_session_and_on_disk(place: Path) -> None:
    with open_session(place, "small", run_name="best") as session:
        base = weights_of(session.model)
        result = session.finetune(place / "text.txt", steps=8, **text_settings(place))
        assert weights_of(session.model) != base
        assert (result.steps, result.reason, result.best_step) == (8, "finished", 8)
        assert json.loads(json.dumps(result.to_json()))["run_dir"] == str(place / "runs" / "best")
        assert "finished at step 8" in result.summary()
        held = weights_of(session.model)
        text = session.generate("The ", length=12, seed=3)
        base_text = session.generate("The ", length=12, temperature=0)
        session.use_model("small")
        assert weights_of(session.model) == base
        assert session.generate("The ", length=12, temperature=0) != base_text
    with open_session(place, run_name="best") as again:
        assert weights_of(again.model) == held
        assert again.model_name == "small"
        assert again.generate("The ", length=12, seed=3) == text


def test_the_models_variables_are_float32_and_keras_policy_untouched(place: Path) -> None:
    from gpt2simple.backend.keras import keras

    with open_session(place, "small", run_name="half", precision="bfloat16") as session:
        result = session.finetune(place / "text.txt", steps=2, **text_settings(place))
        assert result.steps == 2
        assert {variable.dtype.name for variable in session.model.variables} == {"float32"}
        assert session.precision == "bfloat16"
        assert len(session.generate("The ", length=5, include_prefix=False)) == 1
    assert keras.mixed_precision.global_policy().name == "float32"


def test_a_second_run_of_a_session_begins_with_the_model_and_not_with_the_first_run(place: Path) -> None:
    """The session once took its fine-tuned model for the base model: a second run began where the first had ended."""
    with open_session(place, "small", run_name="first") as session:
        session.finetune(place / "text.txt", steps=4, **text_settings(place))
        first = weights_of(session.model)
        session.run_name = "second"
        session.finetune(place / "text.txt", steps=4, **text_settings(place))
        assert weights_of(session.model) == first


def test_a_run_goes_on_to_more_steps_and_says_when_there_is_nothing_to_do(place: Path, messages: list[str]) -> None:
    with open_session(place, "small", run_name="longer") as session:
        session.finetune(place / "text.txt", steps=4, **text_settings(place))
        assert session.finetune(place / "text.txt", steps=6).steps == 6
        longer = weights_of(session.model)
        done = session.finetune(place / "text.txt", steps=6)
        assert (done.reason, done.steps) == ("done", 6)
        assert any("is done: it has 6 steps, and 6 were requested" in message for message in messages)
        assert weights_of(session.model) == longer


def test_another_text_or_model_is_refused_and_the_session_stays_usable(place: Path) -> None:
    with open_session(place, run_name="done") as session:
        before = weights_of(session.model)
        with pytest.raises(RunError, match=r"was trained on another text .*another run_name .*overwrite=True"):
            session.finetune(place / "other.txt", steps=8, cache_dir=str(place / "cache"))
        assert weights_of(session.model) == before
    with (
        open_session(place, "second", run_name="done") as session,
        pytest.raises(RunError, match=r"is a run of the model small, and this call names second\..*another run_name"),
    ):
        session.finetune(place / "text.txt", steps=8, cache_dir=str(place / "cache"))


def test_a_changed_validation_file_is_refused(place: Path, tmp_path: Path) -> None:
    own = write_text(tmp_path / "own.txt", seed=2)
    with open_session(place, "small", run_name="own") as session:
        session.finetune(place / "text.txt", steps=2, validation_file=own, **text_settings(place))
        assert session.finetune(place / "text.txt", steps=3).steps == 3
        write_text(own, seed=3)
        with pytest.raises(RunError, match=r"measured its held-out loss on another text than this call holds out"):
            session.finetune(place / "text.txt", steps=4)


def test_the_run_records_the_summary_of_its_text(place: Path) -> None:
    data = json.loads((place / "runs" / "done" / "run.json").read_text(encoding="utf-8"))["data"]["summary"]
    assert data["sources"] == [str(place / "text.txt")]
    assert (data["files"], data["duplicates"], data["notices"]) == (1, 0, [])
    assert data["held_out_share"] == data["held_out_tokens"] / (data["train_tokens"] + data["held_out_tokens"])
    assert data["tokens_per_parameter"] == data["train_tokens"] / data["parameters"]
    assert {"documents", "characters", "bytes", "tokens", "warning"} <= data.keys()


def test_the_run_does_not_record_where_on_this_disk_the_model_lies(place: Path, tmp_path: Path) -> None:
    """The run's folder moves; what is beside it, or below the folder of models, is named again."""
    path = str((place / "small").absolute())
    with open_session(place, path, run_name="absolute") as session:
        session.finetune(place / "text.txt", steps=2, **text_settings(place))
        assert session.finetune(place / "text.txt", steps=3).steps == 3
    folder = place / "runs" / "absolute"
    assert json.loads((folder / "run.json").read_text(encoding="utf-8"))["model_name"] == "small"
    for name in ("run.json", "metrics.jsonl", "step-000003/run.json", "config.json", "tokenizer_config.json"):
        assert path not in (folder / name).read_text(encoding="utf-8")
    with open_session(place, None, run_name="absolute") as session:
        assert session.finetune(place / "text.txt", steps=4).steps == 4


def test_the_run_records_what_was_chosen_for_it(
    place: Path, monkeypatch: pytest.MonkeyPatch, messages: list[str]
) -> None:
    def chosen(name: str) -> dict[str, str]:
        return json.loads((place / "runs" / name / "run.json").read_text(encoding="utf-8"))["environment"]

    assert chosen("done") == versions() | devices.thread_counts() | {
        "precision": "float32", "device": devices.device_name(), "gradient_checkpointing": "off",
        "replicas": "1",
    }  # fmt: skip
    monkeypatch.setattr("gpt2simple.api.finetune.free_memory", lambda counted: 1)
    with open_session(place, "small", run_name="short-of-memory") as session:
        session.finetune(place / "text.txt", steps=1, **text_settings(place))
        assert any("GB are free; the system may stop it" in message for message in messages)
    assert chosen("short-of-memory")["gradient_checkpointing"] == "on"
    with open_session(place, "small", run_name="short-of-memory") as session:
        session.finetune(place / "text.txt", steps=2, gradient_checkpointing=False)
    assert chosen("short-of-memory")["gradient_checkpointing"] == "off", "what a run goes on with is recorded too"


def test_a_run_begins_with_a_folder_of_another_size_and_loads_nothing_else(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The base model was loaded first (124M, a download, where none was named), and refused the other shape."""
    loaded: list[Path] = []
    load = LoadedModel.load

    def watched_load(folder: Path, *tokens: Any, **head: Any) -> LoadedModel:
        loaded.append(folder)
        return load(folder, *tokens, **head)

    monkeypatch.setattr(LoadedModel, "load", watched_load)
    monkeypatch.setattr("gpt2simple.api.session.model_folder", lambda *_: pytest.fail("looked for the base model"))
    begun_with = place / "runs" / "done"
    settings = text_settings(place) | {"learning_rate": 1e-30}  # a step that moves no float32 weight
    with open_session(place, run_name="from-folder") as session:
        session.finetune(place / "text.txt", steps=1, restore_from=str(begun_with), **settings)
        assert loaded == [begun_with / "step-000004"]
        held = weights_of(session.model)
        assert session.model_name == "small"
    with open_session(place, run_name="done") as session:
        assert held == weights_of(session.model)
    assert RunInfo.read(place / "runs" / "from-folder").description.model_name == "small"


def test_a_run_of_gpt_2_simple_begins_with_its_weights_whatever_their_size(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, messages: list[str]
) -> None:
    old = tmp_path / "old"
    old.mkdir()
    weights = random_weights(testing.SMALL_CONFIG)
    write_tf1(old, weights, testing.SMALL_CONFIG, name="model-7")
    testing.byte_tokenizer().save(tmp_path / "vocabulary")
    for ours, theirs in (("vocab.json", "encoder.json"), ("merges.txt", "vocab.bpe")):
        (tmp_path / "vocabulary" / ours).rename(old / theirs)
    monkeypatch.setattr("gpt2simple.api.session.model_folder", lambda *_: pytest.fail("looked for the base model"))
    settings = text_settings(place) | {"learning_rate": 1e-30}
    with open_session(place, run_name="old", checkpoint_dir=tmp_path) as session:
        session.finetune(place / "text.txt", steps=1, **settings)
        np.testing.assert_array_equal(canonical_weights(session.model)["wpe.weight"], weights["wpe.weight"])
        assert any("Continuing gpt-2-simple's checkpoint of step 7" in message for message in messages)


def test_a_text_that_cannot_be_read_leaves_no_run_behind(place: Path) -> None:
    with open_session(place, "small", run_name="never") as session:
        with pytest.raises(DataError, match=r"absent\.txt"):
            session.finetune(place / "absent.txt", **text_settings(place))
        assert not session.run_dir.exists()
        assert "The " in session.generate("The ", length=3)[0]


def test_two_sessions_live_side_by_side(place: Path) -> None:
    with open_session(place, "small") as one, open_session(place, "second") as two:
        first = one.generate("The ", length=8, temperature=0)
        second = two.generate("The ", length=8, temperature=0)
        assert first != second
        assert one.generate("The ", length=8, temperature=0) == first


def test_a_sessions_seed_makes_its_draws_repeatable(place: Path) -> None:
    with open_session(place, "small", seed=0) as one, open_session(place, "small", seed=0) as two:
        texts = [one.generate(length=8)[0] for _ in range(3)]
        assert texts == [two.generate(length=8)[0] for _ in range(3)]
        assert len(set(texts)) == 3


def test_asking_for_the_models_name_does_not_choose_one(place: Path) -> None:
    """Reading the property once made a session without a run generate with 124M instead of naming the runs."""
    with open_session(place) as session:
        assert session.model_name == "124M"
        with pytest.raises(RunError, match=r"There is no run 'run1' in .*The runs there: .*done"):
            session.generate()


def test_best_and_latest_are_loaded_and_nothing_else(place: Path) -> None:
    with open_session(place, run_name="done") as session:
        session.load("latest")
        assert session.model_name == "small"
        with pytest.raises(SettingsError, match=r'checkpoint is \'last\'; expected "best" or "latest"\.'):
            session.load("last")


def test_weights_that_cannot_be_loaded_leave_the_session_with_those_it_had(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A load that failed half-way once left half of each in the session's model."""
    with open_session(place, "small") as session:
        before = weights_of(session.model)
        session.run_name = "done"

        def half(self: LoadedModel, folder: Path) -> None:
            self.variables["wte.weight"].assign_add(tf.ones_like(self.variables["wte.weight"]))
            raise CheckpointError("torn")

        monkeypatch.setattr(LoadedModel, "refill", half)
        with pytest.raises(CheckpointError, match="torn"):
            session.load()
        assert weights_of(session.model) == before
        assert session.model_name == "small"


def test_training_that_fails_leaves_the_session_with_the_weights_it_had(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise DataError("broken")

    with open_session(place, "second", run_name="failed") as session:
        before = weights_of(session.model)
        monkeypatch.setattr("gpt2simple.api.finetune.finetune_run", broken)
        with pytest.raises(DataError, match="broken"):
            session.finetune(place / "text.txt", restore_from=str(place / "small"), steps=1)
        assert weights_of(session.model) == before
        assert session.model_name == "second"


def test_a_run_named_before_the_first_use_is_the_one_that_is_loaded(place: Path) -> None:
    with open_session(place, run_name="absent") as session, open_session(place, run_name="done") as done:
        session.run_name = "done"
        assert weights_of(session.model) == weights_of(done.model)
        session.run_name = "next"  # the run to write, and not what is in memory
        assert session.evaluate(place / "text.txt", cache_dir=str(place / "cache")).model == "done (small)"


def test_a_saved_model_opens_again_and_replaces_nothing(place: Path, tmp_path: Path) -> None:
    with open_session(place, run_name="done") as session:
        folder = session.save(tmp_path / "saved")
        saved = weights_of(session.model)
        with pytest.raises(SettingsError, match=r"saved is not empty, and nothing in it is replaced\. Name a new"):
            session.save(folder)
    with open_session(place, str(folder)) as again:
        assert weights_of(again.model) == saved


def test_a_closed_session_says_so_and_reset_gives_a_new_one(place: Path) -> None:
    session = open_session(place, "small")
    fresh = gpt2simple.reset_session(session)
    with pytest.raises(SettingsError, match=r"This session is closed\. Start another one with gpt2simple\.start_s"):
        session.generate()
    assert fresh.generate("The ", length=2)[0].startswith("The ")
    fresh.close()


def test_wrong_settings_are_refused_before_anything_is_written(place: Path) -> None:
    with open_session(place, "small", run_name="refused") as session:
        with pytest.raises(SettingsError, match=r"no setting named 'learning_rat'\. Did you mean learning_rate"):
            session.finetune(place / "text.txt", learning_rat=1)
        with pytest.raises(SettingsError, match=r"window is 64; this model reads at most 32 tokens"):
            session.finetune(place / "text.txt", window=64, cache_dir=str(place / "cache"))
        with pytest.raises(SettingsError, match=r"nsamples is 2; stream\(\) generates one\. Use generate\(nsamples=2"):
            session.stream(nsamples=2)
        assert not session.run_dir.exists()


def test_log_probabilities_are_given_where_they_can_be_and_refused_elsewhere(place: Path, tmp_path: Path) -> None:
    """generate() and stream() once computed and dropped them."""
    with open_session(place, "small") as session:
        (sample,) = session.samples("The ", length=5, seed=1, logprobs=True)
        assert sample.logprobs is not None
        assert len(sample.logprobs) == 5
        assert sample.to_json()["logprobs"] == list(sample.logprobs)
        pieces = session.pieces("The ", length=5, seed=1, logprobs=True)
        assert [value for piece in pieces for value in piece.logprobs or ()] == list(sample.logprobs)
        texts_alone: list[Callable[..., object]] = [
            session.generate,
            session.stream,
            partial(gpt2simple.generate, session=session),
            partial(gpt2simple.generate, session=session, return_as_list=True),
            partial(gpt2simple.generate, session=session, destination_path=tmp_path / "a.txt"),
            partial(gpt2simple.generate_to_file, tmp_path / "a.txt", session=session),
        ]
        for call in texts_alone:
            with pytest.raises(
                SettingsError,
                match=r"^logprobs is True, but this call returns plain texts\. session\.samples\(\.\.\.\) returns "
                r"log-probabilities too, as does gpt2simple generate --json\.$",
            ):
                call(logprobs=True)
        assert list(tmp_path.iterdir()) == []


def test_stream_and_pieces_join_to_the_list_form(place: Path) -> None:
    with open_session(place, "small") as session:
        text = session.generate("The ", length=10, seed=4)[0]
        assert "".join(session.stream("The ", length=10, seed=4)) == text
        pieces = list(session.pieces(["The ", "A "], length=4, seed=4))
        assert {piece.sample for piece in pieces} == {0, 1}


def test_an_unknown_precision_is_refused(place: Path) -> None:
    with pytest.raises(
        SettingsError, match=r"precision is 'float8'; expected 'auto', 'float32', 'bfloat16', 'float16' or 'int8'\."
    ):
        open_session(place, "small", precision="float8")


def test_a_tokenizer_larger_than_the_model_is_refused(place: Path, tmp_path: Path) -> None:
    from gpt2simple.gpt2.tokenizer import Tokenizer

    folder = write_small_model(tmp_path / "mixed")
    Tokenizer.train(["abab abab cdcd cdcd efef efef"] * 9, 300).save(folder)
    with (
        open_session(place, str(folder)) as session,
        pytest.raises(
            CheckpointError, match=r"has ids up to \d+, .* embedding has only 257 rows.*Put the tokenizer files"
        ),
    ):
        session.generate()


@pytest.mark.slow
def test_ten_cycles_of_loading_and_generating_do_not_grow(place: Path) -> None:
    import psutil

    def cycle() -> int:
        with open_session(place, "small") as session:
            session.generate("The ", length=8, seed=1)
        return int(psutil.Process().memory_info().rss)

    warm = [cycle() for _ in range(3)][-1]
    last = [cycle() for _ in range(10)][-1]
    assert last <= 1.05 * warm, f"{warm} -> {last} bytes"


def test_no_prefix_may_be_said_as_none_too(place: Path) -> None:
    with open_session(place, "small") as session:
        assert session.generate(None, length=4, seed=1) == session.generate("", length=4, seed=1)


def test_one_stop_string_needs_no_list(place: Path) -> None:
    """It is one string, not three letters, each of which would end the text sooner."""
    with open_session(place, "small") as session:

        def text(**settings: Any) -> str:
            return session.generate("The ", length=200, seed=1, temperature=2.0, **settings)[0]

        whole = text()
        stop = whole[12:15]
        assert text(stop=stop) == text(stop=[stop]) == whole[: whole.index(stop, 4)]
        assert text(stop=list(stop)) != text(stop=stop)
        assert text(bad_words=stop) == text(bad_words=[stop]) != text(bad_words=list(stop))


def test_a_run_that_was_killed_before_its_first_checkpoint_goes_on_as_it_was_started(
    place: Path, messages: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {name: value for name, value in text_settings(place).items() if name != "seed"} | {"window": 16}
    text, cache = place / "text.txt", str(place / "cache")
    for name in ("whole", "killed"):
        with monkeypatch.context() as patch, open_session(place, "small", run_name=name, seed=3) as session:
            if name == "killed":
                patch.setattr("gpt2simple.api.finetune.train", lambda *_, **__: pytest.fail("killed"))
                with pytest.raises(pytest.fail.Exception):
                    session.finetune(text, steps=2, **settings)
            else:
                session.finetune(text, steps=2, **settings)
    before = RunInfo.read(place / "runs" / "killed").description
    with open_session(place, run_name="killed", seed=4) as session:
        assert session.finetune(text, cache_dir=cache).steps == 2
    assert f"Continuing {place / 'runs' / 'killed'} from step 0." in messages
    after = RunInfo.read(place / "runs" / "killed").description
    assert (after.seed, after.model_name, after.settings) == (before.seed, "small", before.settings)
    assert after.settings.window == 16
    assert differing(last_state(place / "runs" / "killed"), last_state(place / "runs" / "whole")) == []


@pytest.mark.parametrize("method", ["load", "evaluate", "compat"])
def test_a_checkpoint_that_training_removes_before_it_is_opened_is_chosen_again(
    place: Path, monkeypatch: pytest.MonkeyPatch, messages: list[str], method: str
) -> None:
    """Also in the middle, between the tokenizer and the weights."""
    from gpt2simple.gpt2.tokenizer import Tokenizer

    for moment, module in enumerate((LoadedModel, Tokenizer)):
        folder = place / "runs" / f"{method}-{moment}"
        shutil.copytree(place / "runs" / "done", folder)
        left, load = [1], module.load

        def overtaken(path: Path, folder: Path = folder, left: list[int] = left, load: Any = load, **how: Any) -> Any:
            if left.pop() if left else False:
                go_on(folder)
            return load(path, **how)

        with monkeypatch.context() as patch:
            patch.setattr(module, "load", overtaken)
            if method == "compat":
                sess = compat.start_tf_sess()
                compat.load_gpt2(sess, run_name=folder.name, checkpoint_dir=str(folder.parent))
                compat.reset_session(sess)
            else:
                with open_session(place, run_name=folder.name) as session:
                    if method == "evaluate":
                        assert session.evaluate(place / "text.txt", cache_dir=str(place / "cache")).loss > 0
                    else:
                        session.load("latest")
        assert left == []
        assert [path.name for path in folder.glob("step-*")] == ["step-000005"]
    assert not [message for message in messages if "damaged" in message or "cannot be used" in message]
