"""TensorBoard events of a run, in its folder ``tensorboard/``; view them with ``tensorboard --logdir checkpoint``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpt2simple.backend.tensorflow import tf
from gpt2simple.runs import records

FOLDER_NAME = "tensorboard"


class TensorBoardEvents(records.TrainingCallback):
    """Writes the curves as scalars and the samples as text. Each session of a run adds a file.

    The training curves get a point every ``print_every`` steps (`RunPlan`): a point takes about a millisecond, which
    would slow down a small model at every step. metrics.jsonl has every step.

    Args:
        run_dir: the run's folder.
    """

    def __init__(self, run_dir: Path) -> None:
        self._folder = run_dir / FOLDER_NAME
        self._writer: Any = None
        self._steps_between = 1

    def on_start(self, plan: records.RunPlan) -> None:
        self._steps_between = plan.print_every
        self._writer = tf.summary.create_file_writer(str(self._folder))

    def on_step(self, record: records.StepRecord) -> None:
        if record.step % self._steps_between:
            return
        self._scalars(
            record.step,
            {
                "train/loss": record.loss,
                "train/smoothed_loss": record.smoothed_loss,
                "learning_rate": record.learning_rate,
                "gradient_norm": record.gradient_norm,
                "tokens_per_second": record.tokens_per_second,
            },
        )

    def on_epoch(self, record: records.EpochRecord) -> None:
        self._scalars(record.step, {"train/epoch_loss": record.train_loss})

    def on_evaluation(self, record: records.EvaluationRecord) -> None:
        values = {f"held_out/{name}": value for name, value in record.figures.best().items()}
        self._scalars(record.step, values)
        self._writer.flush()

    def on_sample(self, record: records.SampleRecord) -> None:
        # TensorBoard renders text as Markdown; indented by four spaces it is shown verbatim.
        shown = "\n".join(f"    {line}" for line in record.text.splitlines())
        with self._writer.as_default(step=record.step):
            tf.summary.text("sample", shown)

    def on_end(self, record: records.EndRecord) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _scalars(self, step: int, values: dict[str, float]) -> None:
        with self._writer.as_default(step=step):
            for name, value in values.items():
                tf.summary.scalar(name, value)
