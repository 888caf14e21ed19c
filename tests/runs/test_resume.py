"""Where a call starts, and what may change when a run goes on."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest

from gpt2simple.errors import RunError, SettingsError
from gpt2simple.gpt2.hub.locate import is_same_model, recorded_name
from gpt2simple.runs.description import RunDescription
from gpt2simple.runs.resume import CHANGES_TRAINING, FREE, Start, continues, decide_start, with_recorded
from gpt2simple.runs.writer import RunWriter
from gpt2simple.settings import (
    ClassifierSettings,
    FinetuneSettings,
    LabelledTextSettings,
    PairTextSettings,
    TextSettings,
)
from tests.helpers.run_folders import MODEL_FILES, begin, description, save
from tests.runs.test_layout import legacy_run

ANOTHER = r"another run_name for a run of its own, or restore_from=\"fresh\" with overwrite=True to replace this run\."


def decide(folder: Path, total_steps: int | None = 100, **wanted: Any) -> Start:
    return decide_start(RunWriter(folder), description(**wanted), total_steps=total_steps)


def test_a_new_run_starts_fresh(tmp_path: Path) -> None:
    assert decide(tmp_path / "run1") == Start(kind="fresh")
    assert not continues(RunWriter(tmp_path / "run1"), "latest")


def test_a_run_without_a_checkpoint_goes_on_from_step_0(tmp_path: Path) -> None:
    run = begin(tmp_path / "run1")
    going_on = f"Continuing {tmp_path / 'run1'} from step 0."
    assert decide(tmp_path / "run1") == Start(kind="fresh", messages=(going_on,))
    assert decide(tmp_path / "run1", restore_from="fresh") == Start(kind="fresh")
    assert continues(run, "latest")
    assert not continues(run, "best")
    assert not continues(run, "fresh")
    changed = decide(tmp_path / "run1", batch_size=4, steps=9, model_name="124M", data_fingerprint="text-2")
    assert changed.messages == (
        going_on,
        "It had no checkpoint yet, so it changes to: batch_size 4 instead of 1, model_name '124M' instead of 'tiny'.",
        "It had no checkpoint yet, so it changes to this text, which is not the one it was started on.",
    )


def test_a_run_without_a_checkpoint_goes_on_from_the_folder_that_it_was_started_from(tmp_path: Path) -> None:
    run = RunWriter(tmp_path / "run1")
    (tmp_path / "model").mkdir()
    with run.lock():
        run.create(description(restore_from=str(tmp_path / "model")), MODEL_FILES)
    assert decide(tmp_path / "run1").weights_from == tmp_path / "model"
    (tmp_path / "model").rmdir()
    with pytest.raises(
        RunError,
        match=r"run1 has no checkpoint yet and was started from the model folder '.*model', "
        r"which is not there any more\. Put it back, or start over with restore_from=\"fresh\", or another folder",
    ):
        decide(tmp_path / "run1")


def test_a_trained_model_whose_checkpoints_were_removed_is_not_replaced(tmp_path: Path) -> None:
    run = begin(tmp_path / "run1", 3)
    with run.lock():
        run.publish()
    shutil.rmtree(run.checkpoints()[0].path)
    for restore_from in ("latest", "best", "fresh"):
        with pytest.raises(RunError, match=r"whose checkpoints were removed, .* Start a run from this model under ano"):
            decide(tmp_path / "run1", restore_from=restore_from)
    assert decide(tmp_path / "run1", restore_from="fresh", overwrite=True).kind == "fresh"
    assert decide(tmp_path / "run2", restore_from=str(tmp_path / "run1")).weights_from == tmp_path / "run1"


@pytest.mark.parametrize(("restore_from", "step"), [("latest", 6), ("best", 3)])
def test_the_same_text_and_settings_continue(tmp_path: Path, restore_from: str, step: int) -> None:
    run = begin(tmp_path / "run1", 3, 6, best=3)
    start = decide(tmp_path / "run1", restore_from=restore_from)
    assert (start.kind, start.step, start.changes) == ("continue", step, {})
    assert start.checkpoint == {c.step: c for c in run.checkpoints()}[step]
    assert start.messages == (f"Continuing {tmp_path / 'run1'} from step {step}.",)
    assert continues(run, restore_from)
    assert not continues(run, "fresh")


@pytest.mark.parametrize("total_steps", [4, 6])
def test_a_run_that_is_long_enough_is_done_and_the_ways_on_are_named(tmp_path: Path, total_steps: int) -> None:
    begin(tmp_path / "run1", 3, 6)
    start = decide(tmp_path / "run1", total_steps)
    assert (start.kind, start.step) == ("done", 6)
    assert start.messages == (
        f"{tmp_path / 'run1'} is done: it has 6 steps, and {total_steps} were requested (steps count the run's total). "
        'Give more steps to continue, such as steps=106, or restore_from="fresh" with overwrite=True to start over, '
        "or another run_name.",
    )


def test_a_run_that_stopped_by_patience_is_done_until_more_is_asked_for(tmp_path: Path) -> None:
    run = begin(tmp_path / "run1", 3, 6, best=3)
    with run.lock():
        run.mark_ended("patience")
    start = decide(tmp_path / "run1", None)
    assert start.kind == "done"
    assert "its held-out loss stopped falling, at step 6. Give steps to continue anyway" in start.messages[0]
    assert "or a larger early_stopping_patience than 3, or restore_from" in start.messages[0]
    assert decide(tmp_path / "run1", None, early_stopping_patience=4).kind == "continue"
    assert decide(tmp_path / "run1", None, restore_from="best").kind == "continue"
    assert decide(tmp_path / "run1", 12).kind == "continue"
    with run.lock():
        save(run, 9)  # going on takes the mark back
    assert decide(tmp_path / "run1", None).kind == "continue"


@pytest.mark.parametrize("recorded", ["small", "models/small", "/home/me/models/small"])
def test_a_model_is_recognised_by_any_path_that_ends_in_its_recorded_name(tmp_path: Path, recorded: str) -> None:
    """Runs record no absolute paths, which mean nothing elsewhere; earlier versions did."""
    run = RunWriter(tmp_path / "run1")
    with run.lock():
        run.create(description(model_name=recorded), MODEL_FILES)
        save(run, 3)
    for same in (recorded, "/home/me/models/small", "small"):
        assert decide(run.path, model_name=same).kind == "continue"
    for other in ("/home/me/models/large", "small/large", "/home/me/models/xsmall"):
        with pytest.raises(RunError, match=rf"run1 is a run of the model {recorded}, and this call names {other}"):
            decide(run.path, model_name=other)


@pytest.mark.parametrize(
    ("name", "recorded"),
    [("/home/me/small", "small"), ("../small", "../small"), ("tiny", "tiny"), ("/home/me/124M", "me/124M")],
)
def test_an_absolute_path_is_recorded_by_its_end(name: str, recorded: str) -> None:
    assert recorded_name(name) == recorded
    assert is_same_model(name, recorded)


def test_another_model_is_refused(tmp_path: Path) -> None:
    begin(tmp_path / "run1", 3)
    with pytest.raises(
        RunError,
        match=r"run1 is a run of the model tiny, and this call names 124M\. "
        r"Give model_name='tiny' to continue it, or " + ANOTHER,
    ):
        decide(tmp_path / "run1", model_name="124M")


def test_another_tokenizer_is_refused(tmp_path: Path) -> None:
    begin(tmp_path / "run1", 3)
    with pytest.raises(RunError, match=r"run1 was trained with another tokenizer than this model's.*or " + ANOTHER):
        decide(tmp_path / "run1", tokenizer_fingerprint="bpe-2")


def test_another_text_is_refused(tmp_path: Path) -> None:
    begin(tmp_path / "run1", 3)
    with pytest.raises(
        RunError,
        match=r"run1 was trained on another text than this call names \(or the text has changed since\)\. "
        r"Give the text it began with to continue it, or " + ANOTHER,
    ):
        decide(tmp_path / "run1", data_fingerprint="text-2")


def test_another_text_in_the_validation_file_is_refused(tmp_path: Path) -> None:
    run = RunWriter(tmp_path / "run1")
    with run.lock():
        run.create(description(validation_fingerprint="held-out-1"), MODEL_FILES)
        save(run, 3)
    with pytest.raises(
        RunError,
        match=r"run1 measured its held-out loss on another text than this call holds out \(validation_file, or the "
        r"file of a folder\), so its best loss could not be compared\. Give the held-out text it began with to "
        r"continue it, or " + ANOTHER,
    ):
        decide(tmp_path / "run1", validation_fingerprint="held-out-2")
    assert decide(tmp_path / "run1", validation_fingerprint="held-out-1").kind == "continue"


def test_a_run_from_before_the_validation_text_was_recorded_goes_on(tmp_path: Path) -> None:
    run, own = RunWriter(tmp_path / "run1"), TextSettings(validation_file="own.txt")
    with run.lock():
        run.create(description(text_settings=own), MODEL_FILES)
        save(run, 3)
    wanted = description(text_settings=own, validation_fingerprint="held-out-1")
    assert decide_start(RunWriter(run.path), wanted, total_steps=100).kind == "continue"


def test_a_held_out_text_that_came_later_is_refused(tmp_path: Path) -> None:
    """Such as valid.jsonl in a folder of pairs: the settings name it neither before nor after."""
    begin(tmp_path / "run1", 3)
    with pytest.raises(RunError, match="run1 measured its held-out loss on another text than this call holds out"):
        decide(tmp_path / "run1", validation_fingerprint="held-out-1")


def test_another_way_of_reading_the_text_is_refused(tmp_path: Path) -> None:
    begin(tmp_path / "run1", 3)
    with pytest.raises(
        RunError,
        match=r"run1 reads its text with validation_split=0\.1, and this call with validation_split=0\.3: .*"
        r"Give validation_split=0\.1 to continue it, or " + ANOTHER,
    ):
        decide(tmp_path / "run1", text_settings=TextSettings(validation_split=0.3), data_fingerprint="text-2")
    with pytest.raises(RunError, match=r"reads its text with format=None, and this call with format='lines': "):
        decide(tmp_path / "run1", text_settings=TextSettings(format="lines"))
    with pytest.raises(RunError, match=r"reads its text with delimiter=None, and this call with delimiter=';': "):
        decide(tmp_path / "run1", text_settings=TextSettings(delimiter=";"))
    assert decide(tmp_path / "run1", text_settings=TextSettings(cache_dir="elsewhere")).kind == "continue"


def test_settings_that_the_saved_state_depends_on_are_refused(tmp_path: Path) -> None:
    begin(tmp_path / "run1", 3)
    with pytest.raises(
        RunError,
        match=r"run1 was started with batch_size=1, optimizer='adamw', and this call gives batch_size=4, "
        r"optimizer='sgd'.*Give batch_size=1, optimizer='adamw' to continue it, or "
        + ANOTHER
        + r" With another run_name, restore_from='.*run1' starts from what this run has learned\.",
    ):
        decide(tmp_path / "run1", batch_size=4, optimizer="sgd")


def test_the_seed_that_was_drawn_is_the_runs_seed(tmp_path: Path) -> None:
    begin(tmp_path / "run1", 3)  # seed 7, drawn: the settings say None
    same, other = (description(settings=FinetuneSettings(seed=seed)) for seed in (7, 8))
    assert decide_start(RunWriter(tmp_path / "run1"), same, total_steps=9).kind == "continue"
    with pytest.raises(RunError, match=r"was started with seed=7, and this call gives seed=8"):
        decide_start(RunWriter(tmp_path / "run1"), other, total_steps=9)


def test_settings_that_change_training_change_with_a_notice(tmp_path: Path) -> None:
    begin(tmp_path / "run1", 3)
    start = decide(tmp_path / "run1", learning_rate=5e-5, dropout=0.1, print_every=1, steps=100)
    assert start.kind == "continue"
    assert start.changes == {"learning_rate": (1e-4, 5e-5), "dropout": (0.0, 0.1)}
    assert start.messages[1] == (
        "From step 3 on: learning_rate 5e-05 instead of 0.0001, dropout 0.1 instead of 0.0. "
        "The result will differ from a run that had this from the start."
    )


def test_naming_what_the_run_has_by_default_changes_nothing(tmp_path: Path) -> None:
    run = RunWriter(tmp_path / "run1")
    with run.lock():
        run.create(description(lora_rank=4), MODEL_FILES)
        save(run, 3)
    every = ("mlp.c_proj", "attn.c_attn", "attn.c_proj", "mlp.c_fc")
    same = decide(run.path, lora_rank=4, lora_alpha=8.0, lora_targets=every, learning_rate=1e-3)
    assert (same.kind, same.changes, len(same.messages)) == ("continue", {}, 1)
    with pytest.raises(RunError, match=r"was started with lora_alpha=8\.0, and this call gives lora_alpha=4\.0"):
        decide(run.path, lora_rank=4, lora_alpha=4.0)


@pytest.mark.parametrize(("parameters", "rate"), [(10_000, 2e-4), (200_000_000, 5e-5)])
def test_the_default_rate_of_a_classifier_is_that_of_its_size(tmp_path: Path, parameters: int, rate: float) -> None:
    def asked(**settings: Any) -> RunDescription:
        texts = LabelledTextSettings()
        return description(settings=ClassifierSettings(**settings), text_settings=texts, parameters=parameters)

    assert ClassifierSettings().rate_for(parameters) == rate
    run = RunWriter(tmp_path / "run1")
    with run.lock():
        run.create(asked(), MODEL_FILES)
        save(run, 3)
    assert not decide_start(run, asked(learning_rate=rate), total_steps=100).changes
    assert decide_start(run, asked(learning_rate=0.5), total_steps=100).changes == {"learning_rate": (rate, 0.5)}


def test_more_steps_change_training_with_a_falling_rate_only(tmp_path: Path) -> None:
    for schedule in ("constant", "linear"):
        run = RunWriter(tmp_path / schedule)
        with run.lock():
            run.create(description(schedule=schedule, steps=10), {})
            save(run, 3)
    assert decide(tmp_path / "constant", steps=20).changes == {}
    assert decide(tmp_path / "linear", steps=20, schedule="linear").changes == {"steps": (10, 20)}


def test_another_environment_is_told(tmp_path: Path) -> None:
    begin(tmp_path / "run1", 3)
    start = decide(tmp_path / "run1", environment={"gpt2simple": "1.0.0", "precision": "bfloat16"})
    assert start.messages[1] == (
        "The run continues with precision bfloat16 instead of float32; "
        "it may differ in the last digits from one that kept them."
    )


def test_what_an_older_run_did_not_record_is_no_difference(tmp_path: Path) -> None:
    """Its file has no threads: "2 instead of None" would be said of every run."""
    begin(tmp_path / "run1", 3)
    chosen = {"gpt2simple": "1.0.0", "precision": "float32", "gradient_checkpointing": "on", "intra_op_threads": "2"}
    start = decide(tmp_path / "run1", environment=chosen)
    assert (start.kind, start.messages) == ("continue", (f"Continuing {tmp_path / 'run1'} from step 3.",))
    run = RunWriter(tmp_path / "run1")
    with run.lock():
        run.describe(description(environment=chosen), 3, {})
    start = decide(tmp_path / "run1", environment={**chosen, "gradient_checkpointing": "off", "intra_op_threads": "8"})
    assert start.messages[1] == (
        "The run continues with gradient_checkpointing off instead of on, intra_op_threads 8 instead of 2; "
        "it may differ in the last digits from one that kept them."
    )


def test_a_setting_that_is_changed_is_not_told_a_second_time_as_the_environment(tmp_path: Path) -> None:
    run = RunWriter(tmp_path / "run1")
    with run.lock():
        run.create(description(environment={"gradient_checkpointing": "off"}), MODEL_FILES)
        save(run, 3)
    start = decide(tmp_path / "run1", environment={"gradient_checkpointing": "on"}, gradient_checkpointing=True)
    assert len(start.messages) == 2
    assert start.messages[1].startswith("From step 3 on: gradient_checkpointing True instead of None. ")


def test_every_setting_has_one_rule() -> None:
    """A new setting is refused by default when it changes; whoever adds one decides here."""
    fixed = {"batch_size", "accumulate_gradients", "window", "optimizer", "only_train_transformer_layers",
             "train_last_n_layers", "seed", "special_tokens"}  # fmt: skip
    fixed |= {"max_length", "class_weights", "lora_rank", "lora_alpha", "lora_targets"}
    classes = (FinetuneSettings, ClassifierSettings)
    names = {field.name for cls in classes for field in dataclasses.fields(cls)}
    assert names == fixed | FREE | CHANGES_TRAINING
    assert not FREE & CHANGES_TRAINING


def test_a_run_is_replaced_only_when_told_to(tmp_path: Path) -> None:
    begin(tmp_path / "run1", 3)
    (tmp_path / "model").mkdir()
    for restore_from in ("fresh", str(tmp_path / "model")):
        with pytest.raises(
            RunError, match=r"run1 holds a run already, at step 3, .*Add overwrite=True to do so.*another run_name\."
        ):
            decide(tmp_path / "run1", restore_from=restore_from)
    assert decide(tmp_path / "run1", restore_from="fresh", overwrite=True) == Start(kind="fresh")
    start = decide(tmp_path / "run1", restore_from=str(tmp_path / "model"), overwrite=True)
    assert start == Start(kind="fresh", weights_from=tmp_path / "model")


def test_a_run_is_not_replaced_by_what_starts_from_it(tmp_path: Path) -> None:
    begin(tmp_path / "run1", 3)
    for inside in (tmp_path / "run1", tmp_path / "run1" / "step-000003"):
        with pytest.raises(RunError, match=r"inside the run .*run1 that would be replaced\. Choose another run_name"):
            decide(tmp_path / "run1", restore_from=str(inside), overwrite=True)
        assert decide(tmp_path / "run2", restore_from=str(inside)) == Start(kind="fresh", weights_from=inside)


def test_a_misspelt_restore_from_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        RunError, match=r"restore_from is 'lastest'; expected \"latest\", \"best\", \"fresh\", \"random\", or"
    ):
        decide(tmp_path / "run1", restore_from="lastest")


def test_the_best_of_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r'restore_from is "best", and .*run1 has no checkpoint.*Leave restore_from out'):
        decide(tmp_path / "run1", restore_from="best")


def test_a_run_of_gpt_2_simple_is_continued_until_ours_has_a_checkpoint(tmp_path: Path) -> None:
    folder = legacy_run(tmp_path / "run1", 10, pointer="model-10")
    start = decide(folder)
    assert (start.kind, start.step, start.weights_from) == ("legacy", 10, folder)
    assert start.messages == (
        f"Continuing gpt-2-simple's checkpoint of step 10 in {folder}; its files are kept, and new ones are added.",
    )
    assert decide(folder, restore_from="fresh") == Start(kind="fresh")
    begin(folder)
    assert decide(folder).kind == "legacy"
    begin(folder, 13)
    assert (decide(folder).kind, decide(folder).step) == ("continue", 13)


def test_settings_left_out_are_the_runs() -> None:
    recorded = FinetuneSettings(steps=100, learning_rate=1e-3, batch_size=4, restore_from="fresh", overwrite=True)
    assert with_recorded(recorded, {}) == FinetuneSettings(steps=100, learning_rate=1e-3, batch_size=4)
    assert with_recorded(recorded, {"batch_size": 1}).batch_size == 1
    assert with_recorded(recorded, {"steps": None}).steps is None


def test_steps_and_epochs_are_one_choice() -> None:
    assert with_recorded(FinetuneSettings(steps=100), {"epochs": 2.0}) == FinetuneSettings(epochs=2.0)
    assert with_recorded(FinetuneSettings(epochs=2.0), {"steps": 100}) == FinetuneSettings(steps=100)
    with pytest.raises(SettingsError, match="give one of the two"):
        with_recorded(FinetuneSettings(), {"steps": 100, "epochs": 2.0})


def test_other_choices_that_exclude_each_other_are_one_choice_too() -> None:
    recorded = FinetuneSettings(train_last_n_layers=2)
    assert with_recorded(recorded, {"only_train_transformer_layers": True}).train_last_n_layers is None
    assert with_recorded(TextSettings(column="a"), {"template": "{a}"}) == TextSettings(template="{a}")


def test_naming_columns_and_naming_a_format_of_pairs_are_one_choice() -> None:
    columns = PairTextSettings(prompt_column="q", completion_column="a", end=".")
    with_separator = with_recorded(PairTextSettings(separator="="), {"pair_format": "messages"})
    assert with_separator == PairTextSettings(pair_format="messages")
    assert with_recorded(PairTextSettings(separator="="), {"pair_format": "prompt-completion"}).separator == "="
    assert with_recorded(columns, {"pair_format": "messages"}) == PairTextSettings(pair_format="messages", end=".")
    assert with_recorded(columns, {"completion_column": "b"}).prompt_column == "q"
    named = {"prompt_column": "q", "completion_column": "a"}
    assert with_recorded(PairTextSettings(pair_format="alpaca", end="."), named) == columns
