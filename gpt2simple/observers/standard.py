"""The observers that every run has, in the order in which they must be called."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

from gpt2simple.observers.metrics import MetricsFiles
from gpt2simple.observers.plot import LossPlot
from gpt2simple.observers.progress import Progress
from gpt2simple.observers.samples import SampleFiles
from gpt2simple.observers.tensorboard import TensorBoardEvents
from gpt2simple.records import Observer


def standard_observers(run_dir: Path, *, stream: TextIO | None = None) -> list[Observer]:
    """Metric files, samples, picture, TensorBoard events and progress for the run in ``run_dir``.

    The metric files come first: when a run is resumed they drop what the others must not read. Progress comes last, so
    that what it announces is on the disk.

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
