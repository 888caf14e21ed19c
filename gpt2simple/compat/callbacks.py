"""What a notebook written for gpt-2-simple shows of a run: printed lines and samples."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from gpt2simple.api.request import Request
from gpt2simple.api.session import Session
from gpt2simple.runs.records import EndRecord, RunPlan, SampleRecord, StepRecord, TrainingCallback
from gpt2simple.settings import FinetuneSettings, GenerateSettings, PairSettings
from gpt2simple.training.callbacks.base import standard_callbacks
from gpt2simple.training.callbacks.progress import Progress

_SMOOTHING = 0.99  # of the printed average, per printed line


class PrintedLines(TrainingCallback):
    """Prints what gpt-2-simple printed, in its format, to stdout.

    Args:
        clock: returns seconds; tests pass their own.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = 0.0
        self._print_every = 1
        self._sum = self._weight = 0.0

    def on_start(self, plan: RunPlan) -> None:
        print("dataset has", plan.train_tokens, "tokens")
        print("Training...", flush=True)
        self._started = self._clock()
        self._print_every = plan.print_every

    def on_step(self, record: StepRecord) -> None:
        if record.step % self._print_every:
            return
        self._sum = self._sum * _SMOOTHING + record.loss
        self._weight = self._weight * _SMOOTHING + 1.0
        elapsed, average = self._clock() - self._started, self._sum / self._weight
        print(f"[{record.step} | {elapsed:2.2f}] loss={record.loss:2.2f} avg={average:2.2f}", flush=True)

    def on_sample(self, record: SampleRecord) -> None:
        print(record.text, flush=True)

    def on_save(self, step: int, path: Path) -> None:
        print("Saving", path, flush=True)

    def on_end(self, record: EndRecord) -> None:
        if record.reason == "interrupted":
            print("interrupted", flush=True)


class WatchedSession(Session):
    """A session whose runs are watched by ``PrintedLines`` instead of a progress bar.

    Args:
        sample_num: texts per sample while training. The other arguments are those of ``Session``.
    """

    def __init__(self, *arguments: Any, sample_num: int, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._sample_num = sample_num

    def _callbacks(self, request: Request) -> tuple[list[TrainingCallback], Callable[..., str]]:
        standard = standard_callbacks(self.run_dir, live=False)
        others = [callback for callback in standard if not isinstance(callback, Progress)]
        return [*others, PrintedLines()], lambda _, step: self._sample(request, step)

    def _sample(self, request: Request, step: int) -> str:
        assert isinstance(request.settings, (FinetuneSettings, PairSettings))
        length = min(request.settings.sample_length, self._in_memory().config.n_ctx - 1)
        wanted = GenerateSettings(
            length=length, temperature=1.0, top_k=40, nsamples=self._sample_num, seed=request.seed + step
        )
        with closing(self._new_generator()) as generator:
            texts = [sample.text for sample in generator.generate([""], wanted)]
        return "\n".join(f"======== SAMPLE {number} ========\n{text}\n" for number, text in enumerate(texts, 1))
