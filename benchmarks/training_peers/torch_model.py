"""PyTorch's GPT-2 of the size and shape that is measured, for workers."""

from __future__ import annotations

import torch
from transformers import GPT2Config, GPT2LMHeadModel
from worker import N_CTX, N_VOCAB, SIZE, SIZES


def random_model() -> GPT2LMHeadModel:
    """With random weights and without dropout."""
    torch.manual_seed(0)
    layers, width, heads = SIZES[SIZE]
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=N_VOCAB, n_positions=N_CTX, n_layer=layers, n_embd=width, n_head=heads, resid_pdrop=0.0,
            embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=N_VOCAB - 1, eos_token_id=N_VOCAB - 1,
        )
    )  # fmt: skip
