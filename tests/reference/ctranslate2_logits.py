"""Convert a model folder by ctranslate2's converter, and save the logits of a text's next tokens.

python ctranslate2_logits.py FOLDER CONVERTED IDS.npy LOGITS.npy    IDS is int [B, T]; LOGITS is float32 [B, T, V]
"""

import sys

import ctranslate2
import numpy as np
from ctranslate2.converters import TransformersConverter
from transformers import AutoTokenizer

folder, converted, given, out = sys.argv[1:]
TransformersConverter(folder).convert(converted, force=True)
generator = ctranslate2.Generator(converted, device="cpu", compute_type="float32", intra_threads=1)
tokenizer = AutoTokenizer.from_pretrained(folder)
tokens = [tokenizer.convert_ids_to_tokens(row) for row in np.load(given).tolist()]
np.save(out, np.array(generator.forward_batch(tokens), dtype=np.float32))
