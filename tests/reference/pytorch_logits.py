"""Print what PyTorch makes of a model folder: python pytorch_logits.py FOLDER IDS.npy LOGITS.npz [TEXT].

Runs in an environment of its own (torch, transformers 4 or 5). LOGITS.npz gets the logits computed in float32, and as
`exact` those computed in float64. The last line is a JSON object; with TEXT it has the ids that transformers' tokenizer
of the folder gives for it.
"""

import json
import sys

import numpy as np
import torch
from transformers import AutoTokenizer, GPT2LMHeadModel

folder, ids_file, logits_file = sys.argv[1:4]
model, report = GPT2LMHeadModel.from_pretrained(folder, output_loading_info=True)
model.float().eval()
assert not report["missing_keys"], report
assert not report["unexpected_keys"], report
with torch.no_grad():
    ids = torch.from_numpy(np.load(ids_file))
    np.savez(logits_file, logits=model(ids).logits.numpy(), exact=model.double()(ids).logits.numpy())
answer = {"end_of_text": model.generation_config.eos_token_id}
if len(sys.argv) > 4:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    answer |= {"ids": tokenizer(sys.argv[4])["input_ids"], "length": tokenizer.model_max_length}
print(json.dumps(answer))
