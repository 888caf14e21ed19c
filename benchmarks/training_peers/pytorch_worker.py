"""PyTorch's GPT2LMHeadModel under transformers' Trainer, random weights, no dropout. Argument: float32 or bfloat16.

The Trainer's own loop runs in a thread; a callback holds it before each step until a job asks for one. Its defaults
otherwise: fused AdamW, gradients clipped at length 1.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments
from worker import CLIP_NORM, LEARNING_RATE, N_CTX, WEIGHT_DECAY, Job, serve, window


class Windows(torch.utils.data.Dataset):
    """The same window again and again."""

    def __init__(self) -> None:
        self._ids = torch.tensor(window(N_CTX), dtype=torch.long)

    def __len__(self) -> int:
        return 1_000_000

    def __getitem__(self, number: int) -> dict[str, Any]:
        return {"input_ids": self._ids, "labels": self._ids}


class OneStepAtATime(TrainerCallback):
    """Lets the loop go on for as many steps as were asked for."""

    def __init__(self) -> None:
        self._allowed, self._done = threading.Semaphore(0), threading.Semaphore(0)

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self._allowed.release()
        for _ in range(steps):
            self._done.acquire()

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._allowed.acquire()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self._done.release()


def load() -> Job:
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0))
    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(),
        max_steps=1_000_000,
        per_device_train_batch_size=1,
        learning_rate=LEARNING_RATE,
        weight_decay=WEIGHT_DECAY,
        max_grad_norm=CLIP_NORM,
        lr_scheduler_type="constant",
        bf16=sys.argv[1] == "bfloat16",
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    steps_of = OneStepAtATime()
    trainer = Trainer(model=model, args=arguments, train_dataset=Windows(), callbacks=[steps_of])
    threading.Thread(target=trainer.train, daemon=True).start()

    def work(steps: int) -> None:
        steps_of.run(steps)

    return work


serve(load)
