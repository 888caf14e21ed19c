"""What the workers of a fine-tuning call tell one another, and what each does where one fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import gpt2simple
from gpt2simple.api import workers
from gpt2simple.api.workers import Team, kind_for_all
from gpt2simple.backend.replicas import Replicas
from gpt2simple.errors import DataError, SettingsError, WorkerError
from gpt2simple.runs.folder import RunFolder


class Two(Replicas):
    """Two workers, of which the other one answers as told; all that is done is recorded."""

    count = workers = 2

    def __init__(self, worker: int, *answers: Any) -> None:
        self.worker, self.answers, self.done = worker, list(answers), list[Any]()

    def gather(self, value: Any) -> list[Any]:
        self.done.append(value)
        both = [value, self.answers.pop(0)]
        return both if self.worker == 0 else both[::-1]

    def barrier(self) -> None:
        self.done.append("barrier")


def fail() -> None:
    raise DataError("no such file.")


def test_what_fails_here_is_told_and_nobody_ends_before_all_know() -> None:
    replicas = Two(0, {"told": None})
    with pytest.raises(DataError, match=r"^no such file\.$"):
        Team(replicas).together(fail)
    assert replicas.done == [{"error": "DataError: no such file."}, "barrier"]


def test_what_fails_elsewhere_names_the_worker() -> None:
    replicas = Two(0, {"error": "DataError: no such file."})
    with pytest.raises(WorkerError, match=r"^worker 1 has ended with DataError: no such file\. Correct that"):
        Team(replicas).together(lambda: 1)
    assert replicas.done[-1] == "barrier"


def test_ctrl_c_waits_for_nobody() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    replicas = Two(0)
    with pytest.raises(KeyboardInterrupt):
        Team(replicas).together(interrupted)
    assert replicas.done == []


def test_what_differs_is_named_and_nobody_ends_before_all_know() -> None:
    replicas = Two(0, {"told": {"text": "b", "model": "m"}})
    with pytest.raises(WorkerError, match=r"^worker 1 has another text than the chief, worker 0: 'b', not 'a'\."):
        Team(replicas).together(lambda: 1, lambda _: {"text": "a", "model": "m"})
    assert replicas.done[-1] == "barrier"


def test_the_chief_says_whether_a_dataset_holds_pairs(tmp_path: Path) -> None:
    """Others have no run, and their reading of the dataset might find something else."""
    (tmp_path / "text.txt").write_text("no pairs\n", encoding="utf-8")
    run = RunFolder(tmp_path / "absent")
    chief, other = Two(0, {"told": None}), Two(1, {"told": "pairs"})
    assert kind_for_all(Team(chief), str(tmp_path / "text.txt"), {}, run) is workers.LANGUAGE
    assert chief.done == [{"told": workers.LANGUAGE.name}]
    other.answers = [{"told": workers.PAIRS.name}]
    assert kind_for_all(Team(other), str(tmp_path / "text.txt"), {}, run) is workers.PAIRS


def test_a_control_is_for_one_process(tmp_path: Path) -> None:
    session = gpt2simple.start_session("tiny", checkpoint_dir=tmp_path)
    session._replicas = Two(0)
    with pytest.raises(
        SettingsError, match=r'^control is true, and several workers train together\. Train .* strategy="single", which'
    ):
        session.finetune_classifier("labels.csv", control=True)
