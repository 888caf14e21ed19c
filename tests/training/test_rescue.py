"""What is saved of a run that another worker's end breaks off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import gpt2simple
from gpt2simple.errors import WorkerError
from gpt2simple.runs.metrics import read as read_metrics
from gpt2simple.training.trainer import Trainer
from tests.helpers.small_runs import QUICK, differing, last_state, work_in, write_model_and_text


def test_a_worker_that_is_lost_in_an_evaluation_costs_its_step_and_the_run_goes_on_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step is not saved without its evaluation, which going on would leave out."""
    work_in(monkeypatch, write_model_and_text(tmp_path))
    settings = {**QUICK, "model_name": "small", "steps": 10, "save_every": 3, "dropout": 0.1}
    gpt2simple.finetune("text.txt", run_name="straight", **settings)
    evaluate = Trainer.evaluate_batches

    def lost(trainer: Trainer, batches: Any, *, alone: bool = False) -> Any:
        if int(trainer.optimizer.iterations.numpy()) == 8 and not alone:
            raise WorkerError("Worker 1 is lost.")
        return evaluate(trainer, batches, alone=alone)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "evaluate_batches", lost)
        with pytest.raises(WorkerError, match=r"^Worker 1 is lost\.$"):
            gpt2simple.finetune("text.txt", run_name="lost", **settings)
    gpt2simple.finetune("text.txt", run_name="lost", **settings)
    straight, other = Path("checkpoint/straight"), Path("checkpoint/lost")
    assert differing(last_state(straight), last_state(other)) == []
    assert [record.step for record in read_metrics(other).evaluations] == [0, 4, 8, 10]
