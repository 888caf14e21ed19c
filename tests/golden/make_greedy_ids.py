"""Make greedy_ids.json: what PyTorch's GPT2LMHeadModel writes from `weight_layouts.random_weights()`, likeliest first.

Run from the repository's root with an interpreter that has torch and transformers (made with 2.13.0 and 5.23.0):

    PYTHONPATH=. python tests/golden/make_greedy_ids.py
"""

import json
from pathlib import Path

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from tests.helpers.weight_layouts import PARITY_CONFIG, random_weights

model = GPT2LMHeadModel(GPT2Config(**PARITY_CONFIG.to_huggingface(PARITY_CONFIG.n_vocab - 1))).eval()
state = {f"transformer.{name}": torch.from_numpy(value) for name, value in random_weights().items()}
model.load_state_dict(state, strict=False)
written = {}
for prompt in ([5], [72, 105], [1, 2, 3, 4, 5, 6, 7]):
    ids = torch.tensor([prompt])
    with torch.inference_mode():
        out = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=PARITY_CONFIG.n_ctx - len(prompt),
            do_sample=False,
            eos_token_id=None,
        )
    written[" ".join(map(str, prompt))] = out[0, len(prompt) :].tolist()
Path(__file__).with_name("greedy_ids.json").write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
print({prompt: (len(ids), len(set(ids))) for prompt, ids in written.items()})
