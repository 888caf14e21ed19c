"""What this package's `evaluate` computes for each batch of windows. Argument: precision."""

from __future__ import annotations

import sys

import numpy as np
from worker import N_CTX, N_VOCAB, SIZE, SIZES, Job, serve


def load() -> Job:
    from gpt2simple.backend import devices
    from gpt2simple.evaluation.scorer import Scorer
    from gpt2simple.gpt2.config import ModelConfig
    from gpt2simple.gpt2.variables import make_variables, random_weights

    layers, width, heads = SIZES[SIZE]
    devices.start(None)
    config = ModelConfig(n_vocab=N_VOCAB, n_ctx=N_CTX, n_embd=width, n_head=heads, n_layer=layers)
    scorer = Scorer(make_variables(config, random_weights(config, seed=0)), config, sys.argv[1])

    def work(windows: int) -> None:
        ids = np.random.default_rng(0).integers(N_VOCAB, size=(windows, N_CTX + 1), dtype=np.int32)
        for first in range(0, windows, 4):
            batch = ids[first : first + 4]
            scorer.score(batch[:, :-1], batch[:, 1:])

    return work


serve(load)
