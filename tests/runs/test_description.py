"""run.json and its history."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gpt2simple.errors import RunError
from gpt2simple.runs.description import SCHEMA, UPGRADES, RunInfo, upgraded
from gpt2simple.runs.writer import RunWriter
from gpt2simple.settings import TextSettings
from tests.helpers.run_folders import begin, description


def test_everything_comes_back_as_it_was(tmp_path: Path) -> None:
    wanted = description(steps=30, dropout=0.1, text_settings=TextSettings(column="body", validation_split=0.2))
    run = RunWriter(tmp_path / "run1")
    with run.lock():
        run.create(wanted, {})
    assert RunWriter(tmp_path / "run1").info == run.info
    assert RunWriter(tmp_path / "run1").info.description == wanted


def test_a_file_of_a_newer_version_is_refused_with_the_way_out(tmp_path: Path) -> None:
    begin(tmp_path / "run1")
    path = tmp_path / "run1" / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 99}))
    with pytest.raises(
        RunError,
        match=r"run\.json has schema 99; this version of gpt2simple reads up to 1\. .*repository.*pip install --force-",
    ):
        RunInfo.read(path.parent)


def test_older_files_are_upgraded_one_schema_at_a_time() -> None:
    def rename_name(values: dict[str, Any]) -> dict[str, Any]:
        return {"schema": 1, "model": values["name"]}

    def add_seed(values: dict[str, Any]) -> dict[str, Any]:
        return {**values, "seed": 0}

    upgrades = {1: rename_name, 2: add_seed}
    assert upgraded({"schema": 1, "name": "tiny"}, Path("run.json"), upgrades) == {
        "schema": 3,
        "model": "tiny",
        "seed": 0,
    }
    assert upgraded({"schema": 2, "model": "tiny"}, Path("run.json"), upgrades)["seed"] == 0
    assert upgraded({"schema": 3, "model": "tiny"}, Path("run.json"), upgrades) == {"schema": 3, "model": "tiny"}


def test_there_is_an_upgrade_from_every_older_schema() -> None:
    assert sorted(UPGRADES) == list(range(1, SCHEMA))


def test_settings_of_a_later_version_are_left_out(tmp_path: Path) -> None:
    begin(tmp_path / "run1")
    path = tmp_path / "run1" / "run.json"
    values = json.loads(path.read_text())
    values["settings"]["warp_speed"] = 9
    path.write_text(json.dumps(values))
    assert RunInfo.read(path.parent).description == description()
