"""Print greedy continuations of a model folder by PyTorch: python pytorch_generation.py FOLDER NEW_TOKENS ID [ID ...].

Runs in an environment of its own (torch, transformers 4 or 5). The last line is a JSON list: the new ids.
"""

import json
import sys

import torch
from transformers import GPT2LMHeadModel

folder, new_tokens, *prompt = sys.argv[1:]
model = GPT2LMHeadModel.from_pretrained(folder).float().eval()
ids = torch.tensor([[int(token) for token in prompt]])
with torch.inference_mode():
    # Every token is allowed, the end of text too, so that the comparison runs over its whole length.
    written = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=int(new_tokens), do_sample=False, eos_token_id=None
    )
print(json.dumps(written[0, ids.shape[1] :].tolist()))
