"""Print the losses that plain PyTorch computes: python pytorch_perplexity.py FOLDER IDS.npy WINDOW:STRIDE...

Runs in an environment of its own (torch, transformers). Written after transformers' guide to the perplexity of
fixed-length models, but for the first token of each window, which that guide leaves out.
"""

import json
import sys

import numpy as np
import torch
from transformers import GPT2LMHeadModel


def strided_loss(model, ids, window, stride):
    """Nats per token of ids [N]: each but the first predicted once, in the first window that reaches it."""
    ids = torch.from_numpy(np.asarray(ids, dtype=np.int64))
    last, done, nats = len(ids) - 1, 0, 0.0
    for begin in range(0, last, stride):
        end = min(begin + window, last)
        with torch.no_grad():
            logits = model(ids[None, begin:end]).logits[0]
        losses = torch.nn.functional.cross_entropy(logits, ids[begin + 1 : end + 1], reduction="none")
        nats += float(losses[done - begin :].double().sum())
        done = end
        if end == last:
            break
    return nats / last


if __name__ == "__main__":
    folder, ids_file, *cases = sys.argv[1:]
    model = GPT2LMHeadModel.from_pretrained(folder).float().eval()
    ids = np.load(ids_file)
    print(json.dumps([strided_loss(model, ids, *map(int, case.split(":"))) for case in cases]))
