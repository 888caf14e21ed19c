"""A classifier of the size of GPT-2 124M gives the logits of PyTorch's GPT2ForSequenceClassification.

Each program needs up to 4 GB of memory; they run one after the other.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpt2simple
from gpt2simple.api.classifier import checked_texts
from gpt2simple.evaluation.classification import classifier
from gpt2simple.gpt2.model import LoadedModel
from gpt2simple.testing import sample_text
from tests.helpers.reference import printed_by
from tests.helpers.small_runs import work_in, write_small_model
from tests.helpers.weight_layouts import CONFIG_124M

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

LABELS = ("good", "bad, or dull", "אין")
END = "<|endoftext|>"


def texts(lengths: list[int], seed: int = 0) -> list[str]:
    """Texts of so many tokens; each is a byte here, but for the end-of-text token."""
    draw, source = random.Random(seed), "".join(c for c in sample_text(400) if c.isascii())
    starts = [draw.randrange(len(source) - length) for length in lengths]
    found = [source[start : start + length].replace("\n", " ") for start, length in zip(starts, lengths, strict=True)]
    return [text if text.strip() else "x" * len(text) for text in found]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a classifier that began with random weights and learned for a few steps."""
    folder = tmp_path_factory.mktemp("classifier")
    write_small_model(folder / "model", seed=3, config=CONFIG_124M)
    pairs = [(text, LABELS[number % 3]) for number, text in enumerate(texts([20] * 12, seed=1))]
    options: dict[str, Any] = {
        "validation_split": 0,
        "test_split": 0,
        "batch_size": 4,
        "learning_rate": 1e-3,
        "seed": 1,
    }
    with pytest.MonkeyPatch.context() as patch:
        work_in(patch, folder)
        found = gpt2simple.finetune_classifier(pairs, model_name=str(folder / "model"), steps=4, **options)
    return folder / found.run_dir


@pytest.fixture(scope="module")
def some() -> list[str]:
    """24 texts of 1 to 400 tokens, of which some have the end-of-text token inside, and some at their end."""
    found = texts(
        [1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 100, 128, 144, 150, 200, 233, 256, 257, 300, 320, 377, 390, 398, 400]
    )
    found[4:20:4] = [f"{text[:3]}{END}{text[4:]}" for text in found[4:20:4]]
    found[1:21:5] = [f"{text[:-1]}.{END}" for text in found[1:21:5]]  # white space there would be left out
    random.Random(2).shuffle(found)
    return found


@pytest.mark.reference
@pytest.mark.parametrize("python", ["GPT2SIMPLE_REFERENCE_PYTHON", "GPT2SIMPLE_REFERENCE4_PYTHON"])
def test_the_logits_are_those_of_plain_transformers(
    run: Path, some: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, python: str
) -> None:
    (tmp_path / "texts.json").write_text(json.dumps(some), encoding="utf-8")
    theirs = json.loads(printed_by("reference/pytorch_classifier.py", run, tmp_path / "texts.json", python=python))
    loaded = LoadedModel.load(run)
    ours, _ = classifier.TextClassifier(loaded).probabilities(checked_texts(some), batch_size=8)  # (24, 3)
    np.testing.assert_allclose(ours, theirs["probabilities"], atol=1e-5)
    names = [loaded.config.labels[number] for number in ours.argmax(1)]
    assert names == theirs["labels"]
    assert theirs["names"] == [*loaded.config.labels] == sorted(LABELS)
    monkeypatch.setattr(classifier, "_softmax", lambda logits: logits)
    logits, _ = classifier.TextClassifier(loaded).probabilities(checked_texts(some), batch_size=8)  # (24, 3)
    assert logits.std(0).min() > 0.01  # of logits that are all alike, equality would prove little
    np.testing.assert_allclose(logits, theirs["logits"], rtol=0, atol=1e-4)


def test_a_prediction_depends_on_nothing_but_the_text(run: Path, some: list[str]) -> None:
    loaded = LoadedModel.load(run)
    together, _ = classifier.TextClassifier(loaded).probabilities(checked_texts(some), batch_size=24)  # (24, 3)
    for batch_size in (1, 5):
        turned, _ = classifier.TextClassifier(loaded).probabilities(checked_texts(some[::-1]), batch_size=batch_size)
        np.testing.assert_allclose(turned[::-1], together, atol=1e-5)
        assert (turned[::-1].argmax(1) == together.argmax(1)).all()
