"""PyTorch's GPT2LMHeadModel under transformers' Trainer, random weights, no dropout. Argument: float32 or bfloat16.

The Trainer's defaults otherwise: fused AdamW, gradients clipped at length 1.
"""

from __future__ import annotations

import sys
import tempfile
from typing import Any

import torch
from torch_model import random_model
from transformers import Trainer, TrainingArguments
from turns import OneStepAtATime
from worker import CLIP_NORM, LEARNING_RATE, N_CTX, ROWS, WEIGHT_DECAY, Job, serve, window


class Windows(torch.utils.data.Dataset):
    """The same window again and again."""

    def __init__(self) -> None:
        self._ids = torch.tensor(window(N_CTX), dtype=torch.long)

    def __len__(self) -> int:
        return 1_000_000

    def __getitem__(self, number: int) -> dict[str, Any]:
        return {"input_ids": self._ids, "labels": self._ids}


def load() -> Job:
    model = random_model()
    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(),
        max_steps=1_000_000,
        per_device_train_batch_size=ROWS,
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
    steps_of.start(trainer)

    def work(steps: int) -> None:
        steps_of.run(steps)

    return work


serve(load)
