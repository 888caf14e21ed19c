"""Scores of single tokens: they add up to the loss, and the view shows each character once."""

import html
import json
import re

import numpy as np
import pytest

from gpt2simple.errors import DataError
from gpt2simple.evaluation.scorer import Scorer
from gpt2simple.evaluation.token_scores import score_texts, scores_page, whole_pieces
from gpt2simple.gpt2.container import named_variables
from gpt2simple.testing import SMALL_CONFIG, byte_tokenizer, small_model

TEXT = "The zoë-café cat: £5 <b>of</b> salt, and then some more of it."


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def scored(model):
    return score_texts(Scorer(named_variables(model), SMALL_CONFIG), byte_tokenizer(), [TEXT, "a"], SMALL_CONFIG.n_ctx)


def test_log_probabilities_are_the_models_own(model, scored):
    ids = [256, *TEXT.encode()]
    first = model(np.array([ids[:32]])).logits.numpy()[0].astype(np.float64)
    logprobs = first - np.log(np.exp(first).sum(-1, keepdims=True))
    for place in range(32):
        assert scored[0].tokens[place].logprob == pytest.approx(logprobs[place, ids[place + 1]], abs=1e-4)
        assert scored[0].tokens[place].rank == 1 + (first[place] > first[place, ids[place + 1]]).sum()
    assert len(scored[0].tokens) == len(ids) - 1 > 32, "longer than a window"


def test_windows_line_ends_are_scored_as_plain_ones(model):
    scorer = Scorer(named_variables(model), SMALL_CONFIG)
    windows, plain = score_texts(scorer, byte_tokenizer(), ["one\r\ntwo\r\n", "one\ntwo\n"], SMALL_CONFIG.n_ctx)
    assert windows == plain


def test_the_view_shows_each_character_once_and_hides_no_markup(scored):
    view = scored[0].to_html()
    shown = re.search(r"<div[^>]*>(.*)</div>", view, re.DOTALL)[1]
    assert html.unescape(re.sub(r"<[^>]+>", "", shown)) == TEXT
    assert "<b>" not in view
    assert scored[0].to_html() == scored[0]._repr_html_()
    assert view in scores_page(scored)


def test_json_and_summary_hold_the_figures(scored):
    values = json.loads(json.dumps(scored[0].to_json()))
    assert values["nats"] == pytest.approx(-sum(t["logprob"] for t in values["tokens"]))
    assert values["loss"] == pytest.approx(values["nats"] / len(values["tokens"]))
    assert "nats/token" in scored[0].summary()
    assert scored[1].tokens[0].text == "a"


@pytest.mark.parametrize(
    ("text", "message"), [("", "Text 1 is empty, .* Leave it out"), (3, r"Text 1 is 3; expected a string")]
)
def test_what_cannot_be_scored_is_refused(model, text, message):
    with pytest.raises(DataError, match=message):
        score_texts(Scorer(named_variables(model), SMALL_CONFIG), byte_tokenizer(), ["a", text], 32)


def test_a_character_cut_off_at_the_end_is_still_shown():
    pieces = list(whole_pieces(byte_tokenizer(), [*"ö".encode(), 0xC3]))
    assert pieces == [("ö", 2), ("�", 1)]
