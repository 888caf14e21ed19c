"""Torn files are noticed, said aloud, and made again or passed over."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from gpt2simple.errors import RunError
from gpt2simple.runs.writer import RunWriter
from tests.helpers.run_folders import MODEL_FILES, begin, require_repairable, save


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def remove(path: Path) -> None:
    path.unlink()


TEARS = [
    (cut, "model.safetensors", r"model\.safetensors has \d+ bytes, expected \d+"),
    (flip_a_bit, "model.safetensors", r"the content of model\.safetensors has changed"),
    (remove, "model.safetensors", r"model\.safetensors is missing"),
    (cut, "optimizer.safetensors", r"optimizer\.safetensors has \d+ bytes, expected \d+"),
    (flip_a_bit, "optimizer.safetensors", r"the content of optimizer\.safetensors has changed"),
    (flip_a_bit, "state.json", r"the content of state\.json has changed"),
    (remove, "state.json", r"state\.json is missing"),
    (remove, "manifest.json", r"manifest\.json is missing"),
    (cut, "manifest.json", r"manifest\.json cannot be read"),
]


def cut_twice(path: Path) -> None:
    """A manifest without its closing brace; the last byte is only a line end."""
    path.write_bytes(path.read_bytes()[:-2])


@pytest.mark.parametrize(("tear", "name", "damage"), TEARS)
def test_a_torn_checkpoint_is_skipped_aloud_and_the_one_before_is_used(
    tmp_path: Path, tear: Callable[[Path], None], name: str, damage: str, messages: list[str]
) -> None:
    begin(tmp_path / "run1", 3, 6)
    (cut_twice if (tear, name) == (cut, "manifest.json") else tear)(tmp_path / "run1" / "step-000006" / name)
    run = RunWriter(tmp_path / "run1")
    latest = run.latest()
    assert latest is not None
    assert latest.step == 3
    assert len(messages) == 1
    assert "step-000006 is damaged: " in messages[0]
    assert messages[0].endswith("Using step 3 instead.")
    assert re.fullmatch(damage, str(run.checkpoints()[-1].damage()))


def test_a_manifest_of_another_step_is_damage(tmp_path: Path) -> None:
    begin(tmp_path / "run1", 3)
    (tmp_path / "run1" / "step-000003").rename(tmp_path / "run1" / "step-000004")
    assert RunWriter(tmp_path / "run1").checkpoints()[0].damage() == "manifest.json is not this checkpoint's"


def test_generating_looks_at_the_weights_alone(tmp_path: Path) -> None:
    begin(tmp_path / "run1", 3, 6)
    cut(tmp_path / "run1" / "step-000006" / "optimizer.safetensors")
    assert RunWriter(tmp_path / "run1").model_folder("latest").name == "step-000006"


def test_a_run_with_every_checkpoint_damaged_is_an_error_that_names_the_ways_on(
    tmp_path: Path, messages: list[str]
) -> None:
    begin(tmp_path / "run1", 3, 6)
    for step in ("step-000003", "step-000006"):
        remove(tmp_path / "run1" / step / "manifest.json")
    run = RunWriter(tmp_path / "run1")
    with run.lock():
        run.repair()  # sets nothing aside: the next start would take the run for an empty one
    with pytest.raises(
        RunError,
        match=r"Every checkpoint of .*run1 is damaged\. Put the files back.*overwrite=True, or another run_name\. "
        r"If the root's model is whole, restore_from='.*run1' with another run_name uses it\.",
    ):
        run.latest()
    assert any("step-000003 is damaged" in message for message in messages)


def test_repair_sets_damaged_checkpoints_aside_and_publishes_what_is_whole(tmp_path: Path, messages: list[str]) -> None:
    begin(tmp_path / "run1", 3, 6, 9, best=6)
    flip_a_bit(tmp_path / "run1" / "step-000006" / "model.safetensors")  # the root's file too, where it is a link
    cut(tmp_path / "run1" / "step-000009" / "state.json")
    run = RunWriter(tmp_path / "run1")
    with run.lock():
        run.repair()
    assert [checkpoint.step for checkpoint in run.checkpoints()] == [3]
    assert (tmp_path / "run1" / "damaged-step-000006").is_dir()
    assert any("step-000009 is damaged and was renamed to damaged-step-000009." in message for message in messages)
    assert any("Restored from the checkpoints of" in message and "model.safetensors" in message for message in messages)
    require_repairable(tmp_path / "run1")
    with run.lock():  # the same step may be reached, and be damaged, again
        run.rewind(3)
        save(run, 6)
        cut(tmp_path / "run1" / "step-000006" / "state.json")
        run.repair()
    assert (tmp_path / "run1" / "damaged-step-000006-1").is_dir()


def test_a_damaged_best_checkpoint_gives_way_to_the_best_before_it(tmp_path: Path, messages: list[str]) -> None:
    run = begin(tmp_path / "run1", 3, best=3)
    with run.lock():
        for step, is_best in ((6, True), (9, False)):
            save(run, step, is_best=is_best)
    cut(tmp_path / "run1" / "step-000006" / "model.safetensors")
    best = run.best()
    assert best is not None
    assert best.step == 3
    assert "step 6, cannot be used: model.safetensors has" in messages[0]
    remove(tmp_path / "run1" / "step-000003" / "model.safetensors")
    assert run.model_folder("best").name == "step-000009"
    assert "step 3, cannot be used: model.safetensors is missing." in messages[-1]


def test_a_best_checkpoint_that_somebody_deleted_is_told(tmp_path: Path, messages: list[str]) -> None:
    run = begin(tmp_path / "run1", 3, 6, best=3)
    (tmp_path / "run1" / "step-000003").rename(tmp_path / "elsewhere")
    assert run.model_folder("best").name == "step-000006"
    assert messages == [f"The best checkpoint of {tmp_path / 'run1'}, step 3, cannot be used: it is gone."]


def test_a_torn_record_of_the_best_step_is_told(tmp_path: Path, messages: list[str]) -> None:
    run = begin(tmp_path / "run1", 3, 6, best=3)
    cut_twice(tmp_path / "run1" / "step-000006" / "manifest.json")
    assert run.model_folder("best").name == "step-000003"
    torn = tmp_path / "run1" / "step-000006"
    assert messages == [f"Which step is best is not known to {torn}: manifest.json cannot be read."]


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "merges.txt", "run.json"])
@pytest.mark.parametrize("tear", [cut, remove])
def test_the_roots_files_are_made_again(
    tmp_path: Path, name: str, tear: Callable[[Path], None], messages: list[str]
) -> None:
    begin(tmp_path / "run1", 3, 6, best=3)
    path = tmp_path / "run1" / name
    whole = path.read_bytes()
    path.unlink()
    if tear is cut:
        path.write_bytes(whole[: len(whole) // 2])
    require_repairable(tmp_path / "run1")
    if name == "run.json":
        assert "run.json cannot be read" in messages[-1]
        assert json.loads(path.read_bytes())["best_step"] == 3
    else:
        assert messages == [f"Restored from the checkpoints of {tmp_path / 'run1'}: {name}."]
        assert path.read_bytes() == whole


def test_a_torn_run_json_is_read_from_a_checkpoint_aloud(tmp_path: Path, messages: list[str]) -> None:
    begin(tmp_path / "run1", 3)
    cut_twice(tmp_path / "run1" / "run.json")
    assert RunWriter(tmp_path / "run1").info.description.model_name == "tiny"
    assert "run.json cannot be read" in messages[0]
    assert messages[0].endswith("For now, the copy in step-000003 is used.")


def test_a_run_json_that_no_checkpoint_has_is_an_error(tmp_path: Path) -> None:
    begin(tmp_path / "run1")
    (tmp_path / "run1" / "run.json").write_text("{}")
    with pytest.raises(RunError, match=r"run\.json cannot be read \(KeyError: 'schema'\).*under another run_name\."):
        _ = RunWriter(tmp_path / "run1").info


def test_a_config_that_the_user_edited_stays(tmp_path: Path) -> None:
    begin(tmp_path / "run1", 3)
    (tmp_path / "run1" / "config.json").write_text("{}")
    run = RunWriter(tmp_path / "run1")
    with run.lock():
        run.repair()
    assert (tmp_path / "run1" / "config.json").read_text() == "{}"
    assert (tmp_path / "run1" / "step-000003" / "config.json").read_bytes() == MODEL_FILES["config.json"]
