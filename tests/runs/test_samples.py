"""Sample files and their index."""

from __future__ import annotations

import json
from pathlib import Path

from gpt2simple.runs import samples
from gpt2simple.runs.samples import SampleFiles
from tests.helpers.records import plan, sample


def write_samples(run_dir: Path, *steps: int, first_step: int = 0) -> None:
    files = SampleFiles(run_dir)
    files.on_start(plan(run_dir, first_step=first_step))
    for number in steps:
        files.on_sample(sample(number, f"written at {number}\r\nüber\n"))


def test_a_sample_is_a_text_file_named_after_its_step(tmp_path: Path) -> None:
    write_samples(tmp_path, 100)
    assert (tmp_path / "samples" / "step-000100.txt").read_bytes() == "written at 100\r\nüber\n".encode()


def test_samples_are_read_back_in_order_of_steps(tmp_path: Path) -> None:
    write_samples(tmp_path, 50, 100, 1_000_000)
    assert samples.read(tmp_path) == [sample(n, f"written at {n}\r\nüber\n") for n in (50, 100, 1_000_000)]


def test_a_run_without_samples_has_none(tmp_path: Path) -> None:
    assert samples.read(tmp_path) == []


def test_a_resumed_run_removes_the_samples_it_will_write_again_and_no_other_file(tmp_path: Path) -> None:
    write_samples(tmp_path, 0, 50, 100, 150)
    (tmp_path / "samples" / "mine.txt").write_text("a favourite", encoding="utf-8")
    write_samples(tmp_path, first_step=100)
    assert [record.step for record in samples.read(tmp_path)] == [0, 50, 100]
    assert not (tmp_path / "samples" / "step-000150.txt").exists()
    assert (tmp_path / "samples" / "mine.txt").exists()


def test_a_sample_that_the_user_deleted_is_left_out(tmp_path: Path) -> None:
    write_samples(tmp_path, 50, 100)
    (tmp_path / "samples" / "step-000050.txt").unlink()
    assert [record.step for record in samples.read(tmp_path)] == [100]


def test_an_index_that_names_files_elsewhere_makes_nothing_vanish(tmp_path: Path) -> None:
    treasure = tmp_path / "treasure.txt"
    treasure.write_text("keep me", encoding="utf-8")
    write_samples(tmp_path, 50)
    entries = [{"step": 60, "file": "../treasure.txt", "characters": 7}]
    (tmp_path / "samples" / "index.json").write_text(json.dumps({"samples": entries}), encoding="utf-8")
    write_samples(tmp_path, first_step=10)
    assert treasure.exists()
    assert samples.read(tmp_path) == []


def test_an_index_that_is_no_json_counts_as_empty(tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "index.json").write_text("{", encoding="utf-8")
    assert samples.read(tmp_path) == []
