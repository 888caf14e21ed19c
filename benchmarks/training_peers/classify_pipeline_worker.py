"""transformers' text-classification pipeline, in batches. Arguments: a classifier's folder, dtype, texts by line."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from transformers import pipeline
from worker import BATCH_SIZE, Job, serve


def load() -> Job:
    folder, dtype, texts_file = sys.argv[1:]
    classify = pipeline("text-classification", model=folder, dtype=getattr(torch, dtype), device="cpu", top_k=None)
    texts = Path(texts_file).read_text(encoding="utf-8").splitlines()

    def work(first: int, count: int) -> None:
        classify(texts[first : first + count], batch_size=2 * BATCH_SIZE)

    return work


serve(load)
