"""This package's `classify`. Arguments: a classifier's folder, precision, a file with one text a line."""

from __future__ import annotations

import sys
from pathlib import Path

from worker import BATCH_SIZE, Job, serve


def load() -> Job:
    from gpt2simple.backend import devices
    from gpt2simple.evaluation.classification.classifier import TextClassifier
    from gpt2simple.gpt2.model import LoadedModel

    folder, precision, texts_file = sys.argv[1:]
    devices.start(None)
    classifier = TextClassifier(LoadedModel.load(Path(folder)), precision=precision)
    texts = Path(texts_file).read_text(encoding="utf-8").splitlines()

    def work(first: int, count: int) -> None:
        classifier.probabilities(texts[first : first + count], batch_size=2 * BATCH_SIZE)

    return work


serve(load)
