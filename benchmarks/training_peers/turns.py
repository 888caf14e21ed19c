"""transformers' Trainer, one step at a time: its own loop runs in a thread, and waits before each step for a job."""

from __future__ import annotations

import threading
from typing import Any

from transformers import Trainer, TrainerCallback


class OneStepAtATime(TrainerCallback):
    """Lets the loop go on for as many steps as were asked for."""

    def __init__(self) -> None:
        self._allowed, self._done = threading.Semaphore(0), threading.Semaphore(0)

    def start(self, trainer: Trainer) -> None:
        """Begin a training, which has this among its callbacks."""
        threading.Thread(target=trainer.train, daemon=True).start()

    def run(self, steps: int) -> None:
        """Take so many steps."""
        for _ in range(steps):
            self._allowed.release()
        for _ in range(steps):
            self._done.acquire()

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._allowed.acquire()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self._done.release()
