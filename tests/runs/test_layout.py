"""Names in a checkpoint folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpt2simple.errors import RunError, SettingsError
from gpt2simple.runs import layout
from gpt2simple.runs.layout import existing_run_path, list_runs, run_path
from tests.helpers.run_folders import begin


def legacy_run(folder: Path, *steps: int, pointer: str | None = None) -> Path:
    """What gpt-2-simple leaves, without the data."""
    folder.mkdir(parents=True)
    for step in steps:
        for ending in ("index", "meta", "data-00000-of-00001"):
            (folder / f"model-{step}.{ending}").write_bytes(b"legacy")
    for name in ("hparams.json", "encoder.json", "vocab.bpe"):
        (folder / name).write_bytes(b"legacy")
    (folder / "counter").write_text(f"{max(steps)}\n")
    if pointer is not None:
        (folder / "checkpoint").write_text(
            f'model_checkpoint_path: "{pointer}"\nall_model_checkpoint_paths: "{pointer}"'
        )
    return folder


def test_runs_are_listed_by_name_and_other_folders_are_not(tmp_path: Path) -> None:
    begin(tmp_path / "zebra", 3)
    begin(tmp_path / "apple")
    legacy_run(tmp_path / "old", 10, pointer="model-10")
    (tmp_path / "notes").mkdir()
    (tmp_path / "file").write_text("")
    assert list_runs(tmp_path) == ["apple", "old", "zebra"]
    assert list_runs(tmp_path / "absent") == []


def test_a_run_that_lost_its_run_json_is_still_listed(tmp_path: Path) -> None:
    begin(tmp_path / "run1", 3)
    (tmp_path / "run1" / "run.json").unlink()
    assert existing_run_path(tmp_path, "run1") == tmp_path / "run1"


def test_a_missing_run_is_told_with_those_that_exist(tmp_path: Path) -> None:
    begin(tmp_path / "apple")
    begin(tmp_path / "zebra")
    with pytest.raises(
        RunError,
        match=r"There is no run 'run1' in .*\. The runs there: apple, zebra\. "
        r'Train one with gpt2simple\.finetune\("script\.txt", run_name=\'run1\'\)',
    ):
        existing_run_path(tmp_path, "run1")


@pytest.mark.parametrize("name", ["n" * 300, "loop"])
def test_a_folder_that_cannot_be_looked_at_is_one_clear_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    for look in (list_runs, lambda folder: existing_run_path(folder, "run1")):
        with pytest.raises(RunError, match=r" cannot be read: (File name too|Too many levels).*\. Check its name"):
            look(tmp_path / name)


def test_a_missing_run_where_there_is_none_yet(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"There are no runs there yet\. Train one with"):
        existing_run_path(tmp_path, "run1")


ODD = ["", ".", "..", "a/b", "a\\b", "../x", "C:", "what?", "dot.", "blank ", "line\n", "caf\udce9", "ü" * 128]


@pytest.mark.parametrize("name", ODD)
def test_names_that_are_no_folder_names_everywhere_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=r"run_name is .*; expected a plain folder name.*checkpoint_dir"):
        run_path(tmp_path, name)


@pytest.mark.parametrize("name", ["run1", "my run", "école", "v1.2", ".hidden"])
def test_names_that_are_fine(tmp_path: Path, name: str) -> None:
    assert run_path(tmp_path, name) == tmp_path / name


def test_steps_sort_as_numbers_beyond_a_million(tmp_path: Path) -> None:
    for step in (5, 999_999, 1_000_000, 20):
        (tmp_path / layout.step_folder_name(step)).mkdir()
    (tmp_path / "step-5").mkdir()
    (tmp_path / "step-000007.old").mkdir()
    (tmp_path / "step-000008").write_text("a file")
    assert list(layout.step_folders(tmp_path)) == [5, 20, 999_999, 1_000_000]


def test_a_whole_replacement_stands_for_what_it_replaces(tmp_path: Path) -> None:
    (tmp_path / "step-000005").mkdir()
    (tmp_path / "step-000005.new").mkdir()
    assert layout.step_folders(tmp_path) == {5: tmp_path / "step-000005.new"}


@pytest.mark.parametrize(
    ("steps", "pointer", "expected"),
    [
        ((10, 20), "model-10", 10),  # the pointer decides
        ((10, 20), None, 20),
        ((10, 20), "model-30", 20),  # it points at what is not there
        ((10,), "/content/checkpoint/run1/model-10", 10),
        ((10,), "C:\\\\run1\\\\model-10", 10),
    ],
)
def test_the_newest_checkpoint_of_gpt_2_simple(
    tmp_path: Path, steps: tuple[int, ...], pointer: str | None, expected: int
) -> None:
    assert layout.legacy_step(legacy_run(tmp_path / "run1", *steps, pointer=pointer)) == expected


def test_a_folder_without_gpt_2_simples_files_has_no_such_step(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "model-10"')
    assert layout.legacy_step(tmp_path) is None
    assert layout.legacy_step(tmp_path / "absent") is None
