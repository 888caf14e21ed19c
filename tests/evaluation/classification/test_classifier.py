"""How texts are computed together: in few shapes, so that little is compiled."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from gpt2simple.backend.tensorflow import tf
from gpt2simple.evaluation.classification import classifier
from gpt2simple.evaluation.classification.classifier import TextClassifier
from gpt2simple.gpt2.model import LoadedModel
from gpt2simple.testing import SMALL_CONFIG, byte_tokenizer


@pytest.mark.parametrize("batch_size", [1, 8, 32])
def test_one_call_computes_few_shapes(batch_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = []

    def classifying(_config: Any, _dtype: Any, shapes_of: Any, most: int, longest: int) -> Any:
        shapes.append((shapes_of, most, longest))
        return lambda *_: tf.zeros([most, 2])

    monkeypatch.setattr(classifier, "_classifying", classifying)
    loaded = Mock(
        LoadedModel, tokenizer=byte_tokenizer(), variables={}, config=replace(SMALL_CONFIG, labels=("a", "b")),
        devices=(),
    )  # fmt: skip
    draw = np.random.default_rng(0)
    for count in (1, 2, 5, 40, 300):
        shapes.clear()
        texts = ["x" * length for length in draw.integers(1, 30, count).tolist()]
        found, _ = TextClassifier(loaded).probabilities(texts, batch_size=batch_size)
        assert found.shape == (count, 2)
        assert len(set(shapes)) <= (3 if batch_size > 1 else 4)  # one text a row: rows differ as texts do
