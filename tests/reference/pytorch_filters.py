"""Apply transformers' own PyTorch logits processors: python pytorch_filters.py IN.npz OUT.npz.

IN.npz holds `logits` [V] and `tokens` [T]; OUT.npz gets the filtered logits [V] by the name of each filter.
"""

import sys

import numpy as np
import torch
from transformers.generation import logits_process as theirs

data = np.load(sys.argv[1])
logits, tokens = torch.from_numpy(data["logits"])[None], torch.from_numpy(data["tokens"])[None]
filters = {
    "temperature": theirs.TemperatureLogitsWarper(0.7),
    "top_k": theirs.TopKLogitsWarper(17),
    "top_p": theirs.TopPLogitsWarper(0.83),
    "min_p": theirs.MinPLogitsWarper(0.07),
    "repetition_penalty": theirs.RepetitionPenaltyLogitsProcessor(1.3),
    "no_repeat_ngram": theirs.NoRepeatNGramLogitsProcessor(3),
    "bad_words": theirs.NoBadWordsLogitsProcessor([[97, 98], [1, 2], [5]], eos_token_id=200),
}
np.savez(sys.argv[2], **{name: one(tokens, logits.clone())[0].numpy() for name, one in filters.items()})
