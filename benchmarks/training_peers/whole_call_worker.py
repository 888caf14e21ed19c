"""A whole `Session.finetune` of this package, with a clock around the compiled step.

Arguments: a folder with a model, a text file. The job {"steps": n} fine-tunes for n steps, the held-out text looked at
and saved only at the end, and answers how the time between the first step's end and the last one's was spent.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from worker import Job, serve


class Clock:
    """When each compiled step began and ended; the batch is taken from the data before it begins."""

    def __init__(self) -> None:
        self.began: list[float] = []
        self.ended: list[float] = []

    def timed(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def run(iterator: Any) -> Any:
            batch = next(iterator)
            self.began.append(time.perf_counter())
            logs = step(batch)
            float(logs["loss"])  # waits for the device
            self.ended.append(time.perf_counter())
            return logs

        return run


def load() -> Job:
    from gpt2simple import start_session
    from gpt2simple.backend.tensorflow import tf
    from gpt2simple.training.trainer import Trainer

    model, text = sys.argv[1:]

    def work(steps: int) -> dict[str, Any]:
        clock = Clock()

        def make_train_function(trainer: Any, force: bool = False) -> Callable[..., Any]:
            return clock.timed(tf.function(trainer.train_step, jit_compile=trainer.jit_compile))

        Trainer.make_train_function = make_train_function
        with tempfile.TemporaryDirectory() as folder, start_session(model, checkpoint_dir=folder, seed=1) as session:
            session.finetune(text, steps=steps, eval_every=steps, save_every=steps, sample_every=0)
        whole = clock.ended[-1] - clock.ended[0]
        inside = sum(ended - began for began, ended in zip(clock.began[1:], clock.ended[1:], strict=True))
        return {"seconds_per_step": whole / (steps - 1), "share_outside_step": 1.0 - inside / whole}

    return work


serve(load)
