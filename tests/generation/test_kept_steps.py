"""Texts are the same whether their steps were compiled in this process or read from disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

# A lone text, with a draft model where the precision has one; and several at once.
PROGRAM = """
import gpt2simple
from gpt2simple.generation import generator
from gpt2simple.gpt2.network.decode_weights import draft_pays
generator.draft_pays = lambda weights: draft_pays(weights, smallest=1)
for precision in ("float32", "int8"):
    with gpt2simple.start_session("tiny", precision=precision) as session:
        print(*session.generate(prefix="The old man", length=30, seed=1))
        print(*session.generate(prefix="The old man", length=20, nsamples=2, batch_size=2, seed=2))
"""


def texts(cache: Path | str) -> str:
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True,
        env={**os.environ, "GPT2SIMPLE_COMPILE_CACHE": str(cache)},
    )  # fmt: skip
    return process.stdout


@pytest.mark.slow
def test_texts_do_not_depend_on_what_is_kept(tmp_path: Path) -> None:
    compiled = texts(tmp_path)
    kept = sorted(tmp_path.rglob("*.pb"))
    assert len(kept) > 7
    assert texts(tmp_path) == compiled
    assert sorted(tmp_path.rglob("*.pb")) == kept  # nothing was compiled
    assert texts("off") == compiled
