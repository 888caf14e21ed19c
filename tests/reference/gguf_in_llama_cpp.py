"""Print what llama.cpp makes of a GGUF file: python gguf_in_llama_cpp.py FILE.gguf REQUEST.json.

Runs in an environment of its own (llama-cpp-python). The request has `texts`, `prompt` (ids) and `new_tokens`. The last
line is a JSON object: the ids of each text, without and with its control tokens (`ids`, `ids_with_control`), the text
of those (`again`), the `greedy` ids after the prompt, and the largest logit after each token of the prompt (`best`).
"""

import json
import os
import sys
from itertools import islice
from pathlib import Path

import numpy as np
from llama_cpp import Llama

path, request = sys.argv[1], json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
threads = os.cpu_count() or 1
model = Llama(path, n_ctx=256, logits_all=True, n_threads=threads, n_threads_batch=threads, verbose=False)
plain, with_control = (
    [model.tokenize(text.encode(), add_bos=False, special=special) for text in request["texts"]]
    for special in (False, True)
)
model.eval(request["prompt"])
logits = np.array(model.scores[: len(request["prompt"])])  # (T, V)
model.reset()
greedy = list(islice(model.generate(request["prompt"], temp=0.0, repeat_penalty=1.0), request["new_tokens"]))
print(
    json.dumps(
        {
            "ids": plain,
            "ids_with_control": with_control,
            "again": [model.detokenize(ids, special=True).decode() for ids in with_control],
            "greedy": greedy,
            "best": logits.max(axis=-1).tolist(),
        }
    )
)
