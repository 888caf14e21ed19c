"""The callbacks of a run as one callback, in which a failing member never costs the user the run.

Knows the standard members and their order; nothing of what they do.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from gpt2simple.runs import records
from gpt2simple.runs.metrics import MetricsFiles
from gpt2simple.runs.samples import SampleFiles
from gpt2simple.training.callbacks.plot import LossPlot
from gpt2simple.training.callbacks.progress import Progress
from gpt2simple.training.callbacks.tensorboard import TensorBoardEvents

logger = logging.getLogger(__name__)


class CallbackGroup(records.TrainingCallback):
    """Calls its members in order; a member that raises is reported once and not called again.

    Only ``Exception`` is caught: Ctrl-C and ``SystemExit`` propagate.

    Args:
        callbacks: the members; the order matters where one reads what another writes (metric files come first).
    """

    def __init__(self, callbacks: Iterable[records.TrainingCallback]) -> None:
        self._members = list(callbacks)

    @property
    def members(self) -> tuple[records.TrainingCallback, ...]:
        """The members still called."""
        return tuple(self._members)

    def on_start(self, plan: records.RunPlan) -> None:
        self._call("on_start", plan)

    def on_step(self, record: records.StepRecord) -> None:
        self._call("on_step", record)

    def on_epoch(self, record: records.EpochRecord) -> None:
        self._call("on_epoch", record)

    def on_evaluation(self, record: records.EvaluationRecord) -> None:
        self._call("on_evaluation", record)

    def on_sample(self, record: records.SampleRecord) -> None:
        self._call("on_sample", record)

    def on_save(self, step: int, path: Path) -> None:
        self._call("on_save", step, path)

    def on_message(self, text: str) -> None:
        self._call("on_message", text)

    def on_end(self, record: records.EndRecord) -> None:
        self._call("on_end", record)

    def _call(self, method: str, *arguments: Any) -> None:
        for member in tuple(self._members):
            try:
                getattr(member, method)(*arguments)
            except Exception as error:  # a full disk or a user's bug: not worth hours of training
                self._members.remove(member)
                logger.info(
                    f"{type(member).__name__} failed in {method} ({type(error).__name__}: {error}); "
                    "training continues without it."
                )


def standard_callbacks(run_dir: Path, *, stream: TextIO | None = None) -> list[records.TrainingCallback]:
    """Metric files, samples, picture, TensorBoard events and progress for the run in ``run_dir``.

    The metric files come first: when a run is resumed they drop what the others must not read. Progress comes last, so
    that what it reports is already on disk.

    Args:
        run_dir: the run's folder.
        stream: where progress is shown; None: standard error.
    """
    return [
        MetricsFiles(run_dir),
        SampleFiles(run_dir),
        LossPlot(run_dir),
        TensorBoardEvents(run_dir),
        Progress(stream),
    ]
