"""The public names, written a second time, so that growth of the surface shows in review."""

from __future__ import annotations

import pytest

import gpt2simple

PUBLIC_NAMES = [
    "CheckpointError",
    "CompareSettings",
    "EvaluateSettings",
    "ExportSettings",
    "FinetuneSettings",
    "GenerateSettings",
    "Gpt2SimpleError",
    "Session",
    "TextSettings",
    "__version__",
    "answer",
    "check",
    "classify",
    "compare",
    "compare_classifiers",
    "download_gpt2",
    "encode_csv",
    "encode_dataset",
    "errors",
    "evaluate",
    "export",
    "finetune",
    "finetune_classifier",
    "generate",
    "generate_to_file",
    "is_gpt2_downloaded",
    "load_gpt2",
    "make_tokenizer",
    "push",
    "report",
    "reset_session",
    "score",
    "start_session",
]


def test_the_public_names_are_the_ones_listed_here() -> None:
    assert sorted(gpt2simple.__all__) == PUBLIC_NAMES
    assert len(set(gpt2simple.__all__)) == len(gpt2simple.__all__)
    assert set(PUBLIC_NAMES) <= set(dir(gpt2simple))


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(
        AttributeError, match=r"has no attribute 'fine_tune'; it offers .*finetune, finetune_classifier"
    ):
        _ = gpt2simple.fine_tune


@pytest.mark.parametrize("name", PUBLIC_NAMES)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(gpt2simple, name)
    assert isinstance(value, str) or value.__doc__
