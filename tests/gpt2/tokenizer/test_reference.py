"""Added tokens in both directions between this package and PyTorch's transformers, 4 and 5."""

import json

import pytest

from gpt2simple.gpt2.formats.huggingface import write_model_folder
from gpt2simple.gpt2.model import LoadedModel
from gpt2simple.gpt2.tokenizer import Tokenizer
from tests.helpers.reference import printed_by
from tests.helpers.small_runs import write_small_model

pytestmark = pytest.mark.reference


def answer(*arguments, python):
    return json.loads(printed_by("reference/added_tokens.py", *arguments, python=python).splitlines()[-1])


@pytest.mark.parametrize("python", ["GPT2SIMPLE_REFERENCE_PYTHON", "GPT2SIMPLE_REFERENCE4_PYTHON"])
def test_added_tokens_have_the_ids_of_transformers_there_and_back(tmp_path, python):
    small = write_small_model(tmp_path / "small")
    said = answer("write", small, tmp_path, python=python)
    for kind in ("GPT2Tokenizer", "GPT2TokenizerFast"):
        tokenizer = Tokenizer.load(tmp_path / kind)
        for text, ids in said[kind].items():
            if "Moon" not in text or kind == "GPT2TokenizerFast":  # transformers 4's slow one ignores single_word
                assert tokenizer.encode(text) == ids, text
        loaded = LoadedModel.load(small, [name for name in tokenizer.added if name != tokenizer.end_of_text_name])
        write_model_folder(tmp_path / f"{kind}-again", loaded.config, loaded.read, loaded.tokenizer)
        tokenizer.save(tmp_path / f"{kind}-again")
        read = answer("read", tmp_path / f"{kind}-again", python=python)
        assert read["ids"] == [tokenizer.encode(text) for text in read["inputs"]]
        assert (read["size"], read["logits"][-1]) == (tokenizer.vocab_size, loaded.config.n_vocab)


@pytest.mark.parametrize("python", ["GPT2SIMPLE_REFERENCE_PYTHON", "GPT2SIMPLE_REFERENCE4_PYTHON"])
def test_special_tokens_of_ours_are_in_the_text_of_transformers(tmp_path, python):
    loaded = LoadedModel.load(write_small_model(tmp_path / "small"), ["<speaker1>", "<speaker10>"])
    write_model_folder(tmp_path / "grown", loaded.config, loaded.read, loaded.tokenizer)
    read = answer("read", tmp_path / "grown", python=python)
    assert read["ids"] == [loaded.tokenizer.encode(text) for text in read["inputs"]]
    assert read["texts"] == read["inputs"]
    assert (read["size"], read["logits"][-1]) == (259, 259)
