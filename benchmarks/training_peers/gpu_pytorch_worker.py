"""PyTorch's GPT2LMHeadModel on a GPU, in bfloat16 under autocast, fused AdamW, random weights, no dropout.

Arguments: size; "eager" or "compiled" (torch.compile, for training). Jobs: {"steps": n}; {"tokens": n, "rows": r} to
write.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel
from worker import CLIP_NORM, LEARNING_RATE, N_CTX, SIZES, WEIGHT_DECAY, Job, serve, window


def load() -> Job:
    torch.manual_seed(0)
    device = torch.device("cuda")
    layers, width, heads = SIZES[sys.argv[1]]
    config = GPT2Config(
        n_layer=layers, n_embd=width, n_head=heads, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0
    )  # fmt: skip
    model = GPT2LMHeadModel(config).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
    trained = torch.compile(model) if sys.argv[2] == "compiled" else model
    ids = torch.tensor(window(N_CTX), dtype=torch.long, device=device)[None]

    def train(steps: int) -> None:
        model.train()
        for _ in range(steps):
            with torch.autocast("cuda", torch.bfloat16):
                loss = trained(input_ids=ids, labels=ids).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
            optimizer.step()
            optimizer.zero_grad()

    def write(tokens: int, rows: int) -> None:
        model.eval()
        prompts = ids[:, :8].repeat(rows, 1)
        with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16):
            model.generate(
                prompts, attention_mask=torch.ones_like(prompts), max_new_tokens=tokens, min_new_tokens=tokens,
                do_sample=True, top_k=40, temperature=0.7, pad_token_id=0,
            )  # fmt: skip

    def work(steps: int = 0, tokens: int = 0, rows: int = 1) -> dict[str, Any]:
        if steps:
            train(steps)
        if tokens:
            write(tokens, rows)
        torch.cuda.synchronize()
        return {"device_peak_bytes": torch.cuda.max_memory_allocated()}

    return work


serve(load)
