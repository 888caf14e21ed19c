"""A model of a real shape is exported in a fresh process, below its bar of memory."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from gpt2simple.gpt2.tokenizer import Tokenizer
from tests.helpers.gguf_files import read_gguf
from tests.helpers.paths import BENCHMARKS
from tests.helpers.weight_layouts import CONFIG_124M


@pytest.fixture
def exporting(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import exporting

    return exporting


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_exporting_takes_less_memory_than_the_model(exporting: Any, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    exporting.write_model(folder, CONFIG_124M)
    for kind in exporting.KINDS:
        found = exporting.measure(folder, kind)
        assert found["peak_bytes"] <= 1.2 * 4 * CONFIG_124M.parameters, kind
    read = read_gguf(tmp_path / "q8_0.gguf")
    assert read.config.parameters == CONFIG_124M.parameters
    assert len(read.keys["tokenizer.ggml.merges"]) == CONFIG_124M.n_vocab - 257
    assert Tokenizer.load(folder).vocab_size == CONFIG_124M.n_vocab
