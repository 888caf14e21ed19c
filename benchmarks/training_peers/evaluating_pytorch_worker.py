"""The loss of each token by PyTorch's GPT2LMHeadModel. Arguments: precision; "compiled" or nothing."""

from __future__ import annotations

import sys

import numpy as np
import torch
from torch_model import random_model
from worker import N_CTX, N_VOCAB, Job, serve


def load() -> Job:
    model = random_model().eval()

    def losses(ids: torch.Tensor) -> torch.Tensor:
        logits = model(input_ids=ids[:, :-1]).logits  # (B, T, V)
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten(), reduction="none")

    compute = torch.compile(losses) if "compiled" in sys.argv else losses

    def work(windows: int) -> None:
        ids = np.random.default_rng(0).integers(N_VOCAB, size=(windows, N_CTX + 1))
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=sys.argv[1] == "bfloat16"):
            for first in range(0, windows, 4):
                compute(torch.tensor(ids[first : first + 4])).numpy()

    return work


serve(load)
