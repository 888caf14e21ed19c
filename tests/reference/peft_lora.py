"""LoRA by peft on PyTorch's GPT-2, in float32; runs in an environment of its own (torch, transformers 5, peft).

    python peft_lora.py logits BASE ADAPTER IDS.npy LOGITS.npy            of the adapter on the base
    python peft_lora.py make BASE ADAPTER IDS.npy LOGITS.npy RSLORA TARGET...   writes an adapter of rank 3 first
    python peft_lora.py curve BASE ADAPTER BATCHES.npz LOSSES.npy RATE DECAY    trains the adapter

BATCHES.npz has `inputs` and `targets`, int [steps, B, T]; LOSSES.npy gets the loss of each step before its update.
"""

import sys

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import GPT2LMHeadModel

what, base, adapter, given, out, *more = sys.argv[1:]
torch.set_num_threads(1)
torch.manual_seed(0)
model = GPT2LMHeadModel.from_pretrained(base).float()
if what == "make":
    rslora, *targets = more
    config = LoraConfig(
        r=3, lora_alpha=7, target_modules=targets, use_rslora=rslora == "rslora", init_lora_weights=False,
        fan_in_fan_out=True, task_type="CAUSAL_LM",
    )  # fmt: skip
    model = get_peft_model(model, config)
    model.save_pretrained(adapter)
else:
    model = PeftModel.from_pretrained(model, adapter, is_trainable=what == "curve")
model.eval()  # no dropout; gradients are the same
if what == "curve":
    rate, decay = map(float, more)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=decay)
    batches, losses = np.load(given), []
    for inputs, targets in zip(batches["inputs"], batches["targets"], strict=True):
        logits = model(input_ids=torch.from_numpy(inputs.astype(np.int64))).logits
        wanted = torch.from_numpy(targets.astype(np.int64)).reshape(-1)
        loss = torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), wanted)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        losses.append(loss.item())
    np.save(out, np.array(losses))
else:
    with torch.no_grad():
        np.save(out, model(input_ids=torch.from_numpy(np.load(given).astype(np.int64))).logits.numpy())
