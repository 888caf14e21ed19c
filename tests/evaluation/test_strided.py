"""Strided scoring: each target once, PyTorch's figures, errors that say what to do.

tests/golden/perplexity.json: what plain PyTorch computes in float64 (tests/golden/make_perplexity.py). The bound of
1e-4 on the perplexity is the promise; one target counted twice or left out of 300 costs over 1e-3.
"""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt2simple.backend.tensorflow import tf
from gpt2simple.data.corpus import TokenSet
from gpt2simple.errors import DataError, SettingsError
from gpt2simple.evaluation.measure import measure
from gpt2simple.evaluation.results import EvaluateResult
from gpt2simple.evaluation.scorer import Scorer, TokenScores
from gpt2simple.evaluation.windows import Protocol, strided_windows
from gpt2simple.settings import EvaluateSettings
from tests.helpers.paths import GOLDEN
from tests.helpers.weight_layouts import PARITY_CONFIG, random_weights

EXPECTED = json.loads((GOLDEN / "perplexity.json").read_text())
BYTE_LENGTHS = np.array([1] * 256 + [0])


def stream(ids):
    return TokenSet(np.asarray(ids), [(0, len(ids))])


class CountingScorer:
    """Costs each token its id in nats, and holds even ones likeliest."""

    def score_each(self, batches):
        for batch, (_, targets) in batches:
            yield batch, TokenScores(targets.astype(np.float32), 1 + targets % 2)


@pytest.fixture(scope="module")
def scorer():
    return Scorer({name: tf.Variable(value) for name, value in random_weights().items()}, PARITY_CONFIG)


@pytest.mark.parametrize("case", EXPECTED["cases"], ids=lambda c: f"{c['window']}-{c['stride']}")
def test_perplexity_is_pytorchs(case, scorer):
    protocol = Protocol(case["window"], case["stride"])
    found = measure(scorer, stream(EXPECTED["ids"]), protocol, byte_lengths=BYTE_LENGTHS, end_of_text=256, batch_size=3)
    assert found.total.targets == len(EXPECTED["ids"]) - 1
    assert found.total.figures.perplexity == pytest.approx(math.exp(case["loss"]), rel=1e-4)


@given(st.integers(2, 90), st.integers(1, 40), st.data())
def test_every_target_is_counted_once_with_the_context_promised(length, window, data):
    stride = data.draw(st.integers(1, window))
    batch = data.draw(st.integers(1, 5))
    seen = []
    for windows in strided_windows(stream(np.arange(length)), Protocol(window, stride), batch):
        rows, columns = np.nonzero(windows.counts)
        assert (windows.inputs[rows, columns] + 1 == windows.targets[rows, columns]).all()
        seen += windows.targets[windows.counts].tolist()
        # ids are places: with `column + 1` tokens of context, at least window - stride + 1 unless the text begins there
        for target, column in zip(windows.targets[windows.counts], columns, strict=True):
            assert column + 1 >= min(target, window - stride + 1)
    assert seen == list(range(1, length))


def test_documents_sum_to_the_total_whatever_the_windows():
    ids = [256, *[3, 4, 5, 256], *[7, 256], *[8] * 20, 256]
    found = measure(
        CountingScorer(), stream(ids), Protocol(6, 4), byte_lengths=BYTE_LENGTHS, end_of_text=256, batch_size=2,
        per_document=True,
    )  # fmt: skip
    assert [d.nats for d in found.documents] == [268.0, 263.0, 416.0]
    assert [d.targets for d in found.documents] == [4, 2, 21]
    assert [d.target_bytes for d in found.documents] == [3, 1, 20]
    assert [d.hits for d in found.documents] == [2, 1, 21]
    assert sum(d.nats for d in found.documents) == found.total.nats


def test_the_standard_error_is_that_of_a_ratio_over_windows():
    ids = np.random.default_rng(0).integers(0, 256, 41)
    found = measure(
        CountingScorer(), stream(ids), Protocol(10, 10), byte_lengths=BYTE_LENGTHS, end_of_text=256, batch_size=3
    )
    means = ids[1:].reshape(4, 10).mean(axis=1)
    assert found.standard_error == pytest.approx(means.std(ddof=1) / math.sqrt(4))
    alone = measure(
        CountingScorer(), stream(ids), Protocol(64, 64), byte_lengths=BYTE_LENGTHS, end_of_text=256, batch_size=3
    )
    assert alone.standard_error is None


@pytest.mark.parametrize("ids", [[], [256]])
def test_measuring_nothing_is_an_error(ids):
    with pytest.raises(DataError, match=r"nothing to measure: the text has \d tokens?, and .* Give a longer text"):
        list(strided_windows(stream(ids), Protocol(8, 8), 1))


def test_windows_and_strides_that_do_not_fit_are_refused():
    with pytest.raises(SettingsError, match=r"window is 33; this model reads at most 32 tokens\. .* up to 32"):
        Protocol.of(33, None, 32)
    with pytest.raises(SettingsError, match=r"stride is 33, more than the window of 32 tokens: .* at most 32"):
        Protocol.of(None, 33, 32)
    with pytest.raises(SettingsError, match=r"stride is 9, more than window, 8: .* at most 8"):
        EvaluateSettings(window=8, stride=9)
    assert Protocol.of(None, None, 32) == Protocol(32, 32)
    assert "windows of 32 tokens, stride 16" in Protocol(32, 16).text()


def test_the_result_speaks_to_people_programs_and_notebooks():
    found = measure(
        CountingScorer(), stream([256, 2, 4, 256]), Protocol(2, 2), byte_lengths=BYTE_LENGTHS, end_of_text=256,
        batch_size=1, per_document=True,
    )  # fmt: skip
    result = EvaluateResult.from_measurement(
        found, model="<small>", text="a text", protocol="windows", precision="float32", seconds=1.0
    )
    assert "<small> on a text: 3 tokens, 2 bytes" in result.summary()
    assert "100.0% of tokens" in result.summary()
    assert "&lt;small&gt;" in result._repr_html_()
    values = json.loads(json.dumps(result.to_json()))
    assert values["loss"] == pytest.approx(262 / 3)
    assert values["bits_per_byte"] == pytest.approx(262 / math.log(2) / 2)
    assert values["documents"][0]["tokens"] == 3
    assert '<td class="number">1</td><td class="number">3</td>' in result._repr_html_()
    many = replace(result, documents=result.documents * 21)
    assert many._repr_html_().count('<tr><td class="number">') == 20
    assert "1 more documents are not shown" in many._repr_html_()
