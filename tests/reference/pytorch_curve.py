"""Train in plain PyTorch: python pytorch_curve.py FOLDER BATCHES.npz LOSSES.npy LEARNING_RATE WEIGHT_DECAY.

Runs in an environment of its own (torch, transformers 4 or 5). BATCHES.npz has `inputs` and `targets`, int [steps, B,
T]. LOSSES.npy gets the loss of each step before its update. AdamW in float32 with clipping to 1.0, epsilon 1e-8, no
dropout, and decay on matrices only.
"""

import sys

import numpy as np
import torch
from transformers import GPT2LMHeadModel

folder, batches_file, losses_file, rate, decay = sys.argv[1:6]
torch.set_num_threads(1)  # so small a model is not faster on more, and far slower where the cores are busy
model = GPT2LMHeadModel.from_pretrained(folder).float().eval()  # eval: no dropout; gradients are the same
groups = [
    {"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": float(decay)},
    {"params": [p for p in model.parameters() if p.dim() <= 1], "weight_decay": 0.0},
]
optimizer = torch.optim.AdamW(groups, lr=float(rate), betas=(0.9, 0.999), eps=1e-8)
batches = np.load(batches_file)
losses = []
for inputs, targets in zip(batches["inputs"], batches["targets"], strict=True):
    logits = model(torch.from_numpy(inputs.astype(np.int64))).logits
    loss = torch.nn.functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]), torch.from_numpy(targets.astype(np.int64)).reshape(-1)
    )
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    losses.append(loss.item())
np.save(losses_file, np.array(losses))
