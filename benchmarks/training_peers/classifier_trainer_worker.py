"""PyTorch's GPT2ForSequenceClassification under transformers' Trainer in bfloat16, random weights, no dropout.

Argument: "padded", each batch to its longest text; or "grouped": texts of similar length together, torch.compile, fused
AdamW. Gradients are clipped at length 1, as by default.
"""

from __future__ import annotations

import sys
import tempfile
from typing import Any

import torch
from texts import labelled
from transformers import GPT2Config, GPT2ForSequenceClassification, Trainer, TrainingArguments
from turns import OneStepAtATime
from worker import BATCH_SIZE, CLIP_NORM, LEARNING_RATE, TEXTS, WEIGHT_DECAY, Job, serve

PADDING = 50256


class Texts(torch.utils.data.Dataset):
    def __init__(self) -> None:
        ids, labels = labelled(TEXTS)
        self._ids, self._labels = [text.tolist() for text in ids], labels.tolist()

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, number: int) -> dict[str, Any]:
        return {"input_ids": self._ids[number], "labels": self._labels[number]}


def collate(texts: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """A batch padded to its longest text."""
    longest = max(len(text["input_ids"]) for text in texts)
    more = [longest - len(text["input_ids"]) for text in texts]
    return {
        "input_ids": torch.tensor([text["input_ids"] + [PADDING] * n for text, n in zip(texts, more, strict=True)]),
        "attention_mask": torch.tensor([[1] * (longest - n) + [0] * n for n in more]),
        "labels": torch.tensor([text["labels"] for text in texts]),
    }


def load() -> Job:
    torch.manual_seed(0)
    model = GPT2ForSequenceClassification(
        GPT2Config(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, num_labels=2, pad_token_id=PADDING)
    )
    grouped = sys.argv[1] == "grouped"
    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(),
        max_steps=1_000_000,
        per_device_train_batch_size=BATCH_SIZE,
        train_sampling_strategy="group_by_length" if grouped else "random",
        torch_compile=grouped,
        optim="adamw_torch_fused",
        learning_rate=LEARNING_RATE,
        weight_decay=WEIGHT_DECAY,
        max_grad_norm=CLIP_NORM,
        lr_scheduler_type="linear",
        bf16=True,
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    turns = OneStepAtATime()
    trainer = Trainer(model=model, args=arguments, train_dataset=Texts(), data_collator=collate, callbacks=[turns])
    turns.start(trainer)

    def work(steps: int) -> None:
        turns.run(steps)

    return work


serve(load)
