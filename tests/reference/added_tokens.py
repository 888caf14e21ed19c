"""What PyTorch's transformers makes of added tokens.

    python added_tokens.py write FOLDER OUT     add tokens to FOLDER's tokenizer, save it in OUT/<class>
    python added_tokens.py read FOLDER          the tokenizer and the model that are in FOLDER

Runs in an environment of its own (torch, transformers 4 or 5). The last line is a JSON object: with `write`, by class,
the ids of each of the `inputs`; with `read`, those of AutoTokenizer, their text, the size of the vocabulary and the
shape of the logits.
"""

import json
import sys

import torch
from transformers import AddedToken, AutoTokenizer, GPT2LMHeadModel, GPT2Tokenizer, GPT2TokenizerFast

TEXTS = [
    "<speaker1> hi <speaker10>x",
    "a <spk 2> \nb",
    "Moon aMoon Moon.",
    "<A>hi<A> <pad>",
    "é<speaker1>",
    "<speaker1",
]
mode, folder = sys.argv[1:3]
if mode == "write":
    answer = {}
    kinds = {"GPT2Tokenizer": GPT2Tokenizer, "GPT2TokenizerFast": GPT2TokenizerFast}  # one class in transformers 5
    for name, kind in kinds.items():
        tokenizer = kind.from_pretrained(folder)
        moon, spaced = AddedToken("Moon", single_word=True), AddedToken("<spk 2>", lstrip=True, rstrip=True)
        tokenizer.add_tokens(["<speaker1>", "<speaker10>", moon, spaced])
        tokenizer.add_special_tokens({"additional_special_tokens": ["<A>"], "pad_token": "<pad>"})
        tokenizer.save_pretrained(f"{sys.argv[3]}/{name}")
        answer[name] = {text: tokenizer(text)["input_ids"] for text in TEXTS}
else:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model, report = GPT2LMHeadModel.from_pretrained(folder, output_loading_info=True)
    assert not any(report[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys")), report
    ids = [tokenizer(text)["input_ids"] for text in TEXTS]
    answer = {
        "ids": ids,
        "texts": [tokenizer.decode(each, skip_special_tokens=True) for each in ids],
        "size": len(tokenizer),
        "logits": list(model(torch.tensor(ids[:1])).logits.shape),
    }
print(json.dumps({"inputs": TEXTS, **answer}))
