"""peft's LoRA on PyTorch's GPT2LMHeadModel with fused AdamW, random weights, no dropout.

Arguments: size; "eager" or "compiled" (torch.compile, needs a C++ compiler). The base in bfloat16, the adapter in
float32 under autocast, on the same four projections as ours.
"""

from __future__ import annotations

import sys

import torch
from peft import LoraConfig, get_peft_model
from transformers import GPT2Config, GPT2LMHeadModel
from worker import (
    CLIP_NORM,
    LEARNING_RATE,
    LORA_ALPHA,
    LORA_RANK,
    N_CTX,
    SIZES,
    WEIGHT_DECAY,
    Job,
    serve,
    window,
)  # fmt: skip


def load() -> Job:
    torch.manual_seed(0)
    layers, width, heads = SIZES[sys.argv[1]]
    shape = {"n_layer": layers, "n_embd": width, "n_head": heads}
    model = GPT2LMHeadModel(GPT2Config(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, **shape)).to(torch.bfloat16)
    adapter = LoraConfig(
        r=LORA_RANK, lora_alpha=LORA_ALPHA, target_modules=["c_attn", "c_proj", "c_fc"], fan_in_fan_out=True,
        task_type="CAUSAL_LM",
    )  # fmt: skip
    model = get_peft_model(model, adapter).train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
    called = torch.compile(model) if sys.argv[2] == "compiled" else model
    ids = torch.tensor(window(N_CTX), dtype=torch.long)[None]

    def work(steps: int) -> dict[str, int]:
        for _ in range(steps):
            with torch.autocast("cpu", torch.bfloat16):
                loss = called(input_ids=ids, labels=ids).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, CLIP_NORM)
            optimizer.step()
            optimizer.zero_grad()
        return {"trained_parameters": sum(parameter.numel() for parameter in trained)}

    return work


serve(load)
