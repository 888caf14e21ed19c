"""PyTorch's GPT2LMHeadModel through torch.compile with fused AdamW, random weights, no dropout.

Argument: float32 or bfloat16 (autocast). Needs a C++ compiler; what an experienced user writes without the Trainer.
"""

from __future__ import annotations

import sys

import torch
from transformers import GPT2Config, GPT2LMHeadModel
from worker import CLIP_NORM, LEARNING_RATE, N_CTX, WEIGHT_DECAY, Job, serve, window


def load() -> Job:
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
    compiled = torch.compile(model)
    ids = torch.tensor(window(N_CTX), dtype=torch.long)[None]

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
