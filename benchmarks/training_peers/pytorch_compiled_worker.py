"""PyTorch's GPT2LMHeadModel through torch.compile with fused AdamW, random weights, no dropout.

Argument: float32 or bfloat16 (autocast). Needs a C++ compiler; what an experienced user writes without the Trainer.
"""

from __future__ import annotations

import sys

import torch
from torch_model import random_model
from worker import CLIP_NORM, LEARNING_RATE, N_CTX, WEIGHT_DECAY, Job, serve, windows


def load() -> Job:
    model = random_model().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
    compiled = torch.compile(model)
    ids = torch.tensor(windows(N_CTX), dtype=torch.long)

    def work(steps: int) -> None:
        for _ in range(steps):
            with torch.autocast("cpu", torch.bfloat16, enabled=sys.argv[1] == "bfloat16"):
                loss = compiled(input_ids=ids, labels=ids).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
            optimizer.step()
            optimizer.zero_grad()

    return work


serve(load)
