"""Live comparison of perplexity with plain PyTorch, in an environment of its own."""

import json
import math

import numpy as np
import pytest

from gpt2simple.data.corpus import TokenSet
from gpt2simple.evaluation.measure import measure
from gpt2simple.evaluation.scorer import Scorer
from gpt2simple.evaluation.windows import Protocol
from gpt2simple.gpt2.container import build_model, named_variables
from gpt2simple.gpt2.formats.huggingface import write_model_folder
from gpt2simple.testing import SMALL_CONFIG, byte_tokenizer
from tests.helpers.models import weight_reader
from tests.helpers.reference import printed_by
from tests.helpers.weight_layouts import CONFIG_124M

pytestmark = [pytest.mark.reference, pytest.mark.slow]

SHAPES = {
    "small": (SMALL_CONFIG, 500),
    "124M": (CONFIG_124M, 1600),
}


@pytest.mark.parametrize("name", SHAPES)
def test_perplexity_is_that_of_plain_pytorch(name, tmp_path):
    """Stride equal to the window, and half of it; 1e-4 relative."""
    config, length = SHAPES[name]
    model = build_model(config, seed=3, initializer_range=0.05)
    write_model_folder(tmp_path / "model", config, weight_reader(model), byte_tokenizer())
    ids = np.random.RandomState(4).randint(0, config.n_vocab, length)
    np.save(tmp_path / "ids.npy", ids)
    cases = [(config.n_ctx, config.n_ctx), (config.n_ctx, config.n_ctx // 2)]
    asked = (f"{window}:{stride}" for window, stride in cases)
    printed = printed_by("reference/pytorch_perplexity.py", tmp_path / "model", tmp_path / "ids.npy", *asked)
    theirs = json.loads(printed.splitlines()[-1])
    scorer = Scorer(named_variables(model), config)
    for (window, stride), loss in zip(cases, theirs, strict=True):
        found = measure(
            scorer, TokenSet(ids, [(0, length)]), Protocol(window, stride),
            byte_lengths=np.ones(config.n_vocab, np.int64), end_of_text=config.n_vocab - 1, batch_size=1,
        )  # fmt: skip
        assert found.total.figures.perplexity == pytest.approx(math.exp(loss), rel=1e-4)
