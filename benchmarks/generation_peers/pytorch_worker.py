"""PyTorch's GPT2LMHeadModel.generate with a random GPT-2. Argument: float32 or bfloat16."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import torch
from transformers import GPT2Config, GPT2LMHeadModel
from worker import N_CTX, N_EMBD, N_HEAD, N_LAYER, N_VOCAB, TEMPERATURE, TOP_K, Generate, serve


def load() -> Generate:
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=N_VOCAB, n_positions=N_CTX, n_embd=N_EMBD, n_head=N_HEAD, n_layer=N_LAYER, bos_token_id=N_VOCAB - 1,
        eos_token_id=N_VOCAB - 1,
    )  # fmt: skip
    model = GPT2LMHeadModel(config).eval().to(getattr(torch, sys.argv[1]))

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
                pad_token_id=N_VOCAB - 1,
            )
        return {"tokens": (written.shape[1] - ids.shape[1]) * ids.shape[0]}

    return generate


serve(load)
