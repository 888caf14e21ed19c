"""Make parity_logits.npz: what PyTorch's GPT2LMHeadModel computes from `weight_layouts.random_weights()`.

Run from the repository's root with an interpreter that has torch and transformers (made with 2.13.0 and 5.23.0):

    PYTHONPATH=. python tests/golden/make_parity_logits.py
"""

from pathlib import Path

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from tests.helpers.weight_layouts import PARITY_CONFIG, PARITY_IDS, random_weights

model = GPT2LMHeadModel(GPT2Config(**PARITY_CONFIG.to_huggingface(PARITY_CONFIG.n_vocab - 1))).eval()
state = {f"transformer.{name}": torch.from_numpy(value) for name, value in random_weights().items()}
missing, unexpected = model.load_state_dict(state, strict=False)
assert missing == ["lm_head.weight"], missing
assert not unexpected, unexpected
with torch.no_grad():
    logits = model(torch.from_numpy(PARITY_IDS)).logits.numpy()
np.savez_compressed(Path(__file__).with_name("parity_logits.npz"), logits=logits)
print(logits.shape, "spread", logits.std(), "distinct maxima", len(set(logits.argmax(-1).ravel())))
