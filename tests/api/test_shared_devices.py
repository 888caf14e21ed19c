"""Several devices of a machine write and measure what one does; here two virtual ones of the CPU."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import gpt2simple
from tests.helpers.pair_runs import pairs
from tests.helpers.shared_calls import computed
from tests.helpers.small_runs import QUICK, work_in, write_model_and_text

WRITE: dict[str, Any] = {"length": 12, "nsamples": 3, "batch_size": 2, "seed": 4}
READ: dict[str, Any] = {"batch_size": 2}
TRAIN: dict[str, Any] = {**QUICK, "model_name": "small", "steps": 3, "print_every": 100}


def call(function: str, session: dict[str, Any], *arguments: Any, **settings: Any) -> dict[str, Any]:
    return {"function": function, "session": session, "arguments": arguments, "settings": settings}


def assert_as_one(folder: Path, calls: list[dict[str, Any]]) -> None:
    """Two devices give what one gives, and both have worked."""
    one, two = computed(folder, 1, calls), computed(folder, 2, calls)
    for found in (*one["results"], *two["results"]):
        if isinstance(found, dict):
            found.pop("seconds", None)
    assert two["results"] == one["results"]
    assert (one["copied"], two["devices"]) == ([], ["CPU:0", "CPU:1"])
    assert set(two["copied"]) == {"CPU:1"}
    assert len(two["copied"]) >= len(calls)


def test_a_text_is_evaluated_and_samples_are_written_as_by_one(tmp_path: Path) -> None:
    write_model_and_text(tmp_path)
    model = {"model_name": "small"}
    calls = [call("generate", model, ["ab", "b"], **WRITE), call("evaluate", model, "text.txt", window=32, **READ)]
    assert_as_one(tmp_path, calls)


@pytest.mark.slow
def test_so_are_adapters_pairs_and_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work_in(monkeypatch, write_model_and_text(tmp_path))
    lines = [json.dumps({"prompt": prompt, "completion": completion}) for prompt, completion in pairs(40)]
    Path("pairs.jsonl").write_text("\n".join(lines), encoding="utf-8")
    rows = [f"{'uv'[n % 2]} {n},{'ab'[n % 2]}" for n in range(60)]
    Path("labels.csv").write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    gpt2simple.finetune("text.txt", run_name="adapter", lora_rank=2, **TRAIN)
    gpt2simple.finetune("pairs.jsonl", run_name="pairs", separator="=", **TRAIN)
    gpt2simple.finetune_classifier(
        "labels.csv", run_name="classes", **{n: v for n, v in TRAIN.items() if n != "sample_every"}
    )
    adapter, of_pairs, classes = ({"run_name": name} for name in ("adapter", "pairs", "classes"))
    calls = [
        call("generate", adapter, ["ab", "b"], **WRITE),
        call("evaluate", adapter, "text.txt", window=32, **READ),
        call("evaluate", of_pairs, "pairs.jsonl", part="all", **READ),
        call("evaluate", classes, "labels.csv", part="all", **READ),
    ]
    assert_as_one(tmp_path, calls)
