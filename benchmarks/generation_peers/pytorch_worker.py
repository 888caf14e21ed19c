"""PyTorch's GPT2LMHeadModel.generate with a random GPT-2 124M. Argument: float32 or bfloat16."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import torch
from transformers import GPT2Config, GPT2LMHeadModel
from worker import TEMPERATURE, TOP_K, Generate, serve


def load() -> Generate:
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config()).eval().to(getattr(torch, sys.argv[1]))

    def generate(prompts: Sequence[Sequence[int]], new_tokens: int) -> dict[str, float]:
        ids = torch.tensor(prompts)
        with torch.inference_mode():
            written = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=new_tokens,
                min_new_tokens=new_tokens,
                do_sample=True,
                top_k=TOP_K,
                temperature=TEMPERATURE,
                pad_token_id=50256,
            )
        return {"tokens": (written.shape[1] - ids.shape[1]) * ids.shape[0]}

    return generate


serve(load)
