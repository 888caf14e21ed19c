"""The callbacks of a run as one callback, in which a failing member does not stop the run."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partialmethod
from pathlib import Path
from typing import Any, TextIO

from gpt2simple.runs import records
from gpt2simple.runs.metrics import MetricsFiles
from gpt2simple.runs.samples import SampleFiles
from gpt2simple.training.callbacks.notebook import live_picture
from gpt2simple.training.callbacks.plot import LossPlot
from gpt2simple.training.callbacks.progress import Progress
from gpt2simple.training.callbacks.tensorboard import TensorBoardEvents

logger = logging.getLogger(__name__)


class CallbackGroup(records.TrainingCallback):
    """Calls its members in order; a member that raises is reported once and not called again.

    Only ``Exception`` is caught: Ctrl-C and ``SystemExit`` propagate.

    Args:
        callbacks: the members; order matters if one reads what another writes (metric files come first).
    """

    def __init__(self, callbacks: Iterable[records.TrainingCallback]) -> None:
        self._members = list(callbacks)

    @property
    def members(self) -> tuple[records.TrainingCallback, ...]:
        """The members that have not failed."""
        return tuple(self._members)

    def _call(self, method: str, *arguments: Any) -> None:
        for member in tuple(self._members):
            try:
                getattr(member, method)(*arguments)
            except Exception as error:  # a full disk or a bug must not cost hours of training
                self._members.remove(member)
                logger.info(
                    f"{type(member).__name__} failed in {method} ({type(error).__name__}: {error}); "
                    "training continues without it."
                )

    on_start = partialmethod(_call, "on_start")
    on_step = partialmethod(_call, "on_step")
    on_epoch = partialmethod(_call, "on_epoch")
    on_evaluation = partialmethod(_call, "on_evaluation")
    on_sample = partialmethod(_call, "on_sample")
    on_save = partialmethod(_call, "on_save")
    on_message = partialmethod(_call, "on_message")
    on_end = partialmethod(_call, "on_end")


def standard_callbacks(
    run_dir: Path, *, stream: TextIO | None = None, live: bool = True
) -> list[records.TrainingCallback]:
    """Metric files, samples, loss plot, TensorBoard events and progress for the run in ``run_dir``.

    The metric files come first: when a run is resumed, they drop records that the others must not read. Progress comes
    last, so that everything it reports is already on disk.

    Args:
        run_dir: the run's folder.
        stream: where progress is shown; None: standard error.
        live: whether a notebook shows the loss plot below its cell as it grows.
    """
    plot = LossPlot(run_dir, show=live_picture() if live else None)
    files = [MetricsFiles(run_dir), SampleFiles(run_dir), plot, TensorBoardEvents(run_dir)]
    return [*files, Progress(stream)]
