"""Make perplexity.json: what plain PyTorch makes of a text by the strided protocol, with `random_weights()`.

Run from the repository's root with an interpreter that has torch and transformers (made with 2.13.0 and 5.23.0):

    PYTHONPATH=.:tests/reference python tests/golden/make_perplexity.py
"""

import json
from pathlib import Path

import numpy as np
import torch
from pytorch_perplexity import strided_loss
from transformers import GPT2Config, GPT2LMHeadModel

from tests.helpers.weight_layouts import PARITY_CONFIG, random_weights

IDS = np.random.RandomState(2).randint(0, 257, 301)

model = GPT2LMHeadModel(GPT2Config(**PARITY_CONFIG.to_huggingface(PARITY_CONFIG.n_vocab - 1))).eval()
state = {f"transformer.{name}": torch.from_numpy(value) for name, value in random_weights().items()}
model.load_state_dict(state, strict=False)
cases = [(32, 32), (32, 16), (32, 5), (20, 20), (20, 7), (32, 1)]
found = [{"window": w, "stride": s, "loss": strided_loss(model.double(), IDS, w, s)} for w, s in cases]
Path(__file__).with_name("perplexity.json").write_text(json.dumps({"ids": IDS.tolist(), "cases": found}) + "\n")
print(found)
