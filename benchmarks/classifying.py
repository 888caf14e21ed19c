"""How fast a classifier is trained, and classifies, beside transformers on the same machine in the same minutes.

    python benchmarks/classifying.py [--cases training classify] [--rounds 5] [--steps 8] [--label WORDS]

GPT-2 124M with random weights and two classes; texts as long as rt-polarity's sentences (`training_peers/texts.py`).

"training": steps of 16 texts, both sides in bfloat16, beside transformers' Trainer: "padded" pads each batch to its
longest text; "grouped" has texts of similar length together, torch.compile and fused AdamW. "classify": one call after
another for 1,000 of 10,000 short texts, beside the pipeline with batches of 32, both sides in float32 and in bfloat16.

Each tool runs in a process of its own. They take turns, a few steps or one call each. Figures are medians of the
rounds, ratios medians of the rounds' ratios, with lowest and highest. Compilation is apart: first steps are not counted
(20 of the Trainer's, as torch.compile compiles for further lengths). The Python with PyTorch is named by
GPT2SIMPLE_BENCH_TORCH_PYTHON. Ends with one JSON line.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from harness import environment, finish, median_and_spread
from peers import Peer, available, workers

SCRIPTS = Path(__file__).parent / "training_peers"
sys.path.insert(0, str(SCRIPTS))
_TORCH = "GPT2SIMPLE_BENCH_TORCH_PYTHON"
TRAINERS = {
    name: Peer(SCRIPTS / "classifier_trainer_worker.py", (name.split()[-1],), _TORCH)
    for name in ("trainer bfloat16 padded", "trainer bfloat16 grouped")
}
BATCH_SIZE = 16
FIRST_STEPS = 20
TEXTS, TEXTS_A_CALL = 10_000, 1_000


def training(name: str, rounds: int, steps: int) -> dict[str, Any]:
    """Texts per second and peak memory of this package and one Trainer, taking turns."""
    ours = Peer(SCRIPTS / "classifier_ours_worker.py", ("bfloat16",))
    with workers({"gpt2simple": ours, name: TRAINERS[name]}) as running:
        mine, theirs = running["gpt2simple"], running[name]
        first = {tool: worker.run(steps=1) for tool, worker in running.items()}
        theirs.run(steps=FIRST_STEPS)
        mine.run(steps=3)
        turns = [(mine.run(steps=steps), theirs.run(steps=steps)) for _ in range(rounds)]
    measured = _beside([(a["seconds"], b["seconds"]) for a, b in turns], steps * BATCH_SIZE)
    measured |= {
        "precision": first["gpt2simple"]["precision"],
        "padding": first["gpt2simple"]["padding"],
        "peak_bytes": turns[-1][0]["peak_bytes"],
        "peer_peak_bytes": turns[-1][1]["peak_bytes"],
        "first_step_seconds": {tool: answer["seconds"] for tool, answer in first.items()},
    }
    _show(name, measured)
    return measured


def classify(precision: str, rounds: int, folder: Path, texts: Path) -> dict[str, Any]:
    """Texts per second of `classify` and the pipeline, taking turns."""
    arguments = (str(folder), precision, str(texts))
    peers = {
        "gpt2simple": Peer(SCRIPTS / "classify_ours_worker.py", arguments),
        "pipeline": Peer(SCRIPTS / "classify_pipeline_worker.py", arguments, _TORCH),
    }
    with workers(peers) as running:
        mine, theirs = running["gpt2simple"], running["pipeline"]
        for worker in running.values():
            worker.run(first=0, count=TEXTS_A_CALL)
        turns = []
        for number in range(rounds):
            part = {"first": number * TEXTS_A_CALL % TEXTS, "count": TEXTS_A_CALL}
            turns.append((mine.run(**part), theirs.run(**part)))
    measured = _beside([(a["seconds"], b["seconds"]) for a, b in turns], TEXTS_A_CALL)
    measured |= {"peak_bytes": turns[-1][0]["peak_bytes"], "peer_peak_bytes": turns[-1][1]["peak_bytes"]}
    _show(f"pipeline {precision}", measured)
    return measured


def _beside(seconds: list[tuple[float, float]], texts: int) -> dict[str, Any]:
    return {
        "texts_per_second": median_and_spread([texts / mine for mine, _ in seconds]),
        "peer_texts_per_second": median_and_spread([texts / theirs for _, theirs in seconds]),
        "ratio": median_and_spread([theirs / mine for mine, theirs in seconds]),
    }


def _show(name: str, measured: dict[str, Any]) -> None:
    print(f"{name}, random weights in both")
    for label, key, digits in (
        ("gpt2simple, texts/s", "texts_per_second", 1), (f"{name}, texts/s", "peer_texts_per_second", 1),
        ("ratio", "ratio", 2),
    ):  # fmt: skip
        low, median, high = (f"{measured[key][which]:.{digits}f}" for which in ("low", "median", "high"))
        print(f"  {label:40s} {median:>6s}  ({low} to {high})")
    mine, theirs = (measured[key] / 1e9 for key in ("peak_bytes", "peer_peak_bytes"))
    print(f"  peak memory, GB                          {mine:.2f} to {theirs:.2f}", flush=True)


def _make_classifier(folder: Path) -> Path:
    """A classifier of GPT-2 124M's shape with a small vocabulary, and texts that it knows; gives the texts' file."""
    import numpy as np
    from texts import lengths

    from gpt2simple.api.prepare import make_tokenizer
    from gpt2simple.gpt2.formats.huggingface import write_model_folder
    from gpt2simple.gpt2.model import LoadedModel, new_head
    from gpt2simple.testing import sample_text

    text = folder / "text.txt"
    text.write_text(sample_text(200_000), encoding="utf-8")
    make_tokenizer(str(text), folder / "base", vocab_size=2048, n_layer=12, n_head=12, n_embd=768, n_ctx=1024)
    loaded = LoadedModel.load(folder / "base", labels=("bad", "good"), head=new_head(0))
    write_model_folder(folder / "classifier", loaded.config, loaded.read, loaded.tokenizer)
    ids = loaded.tokenizer.encode_array(text.read_text(encoding="utf-8"))
    starts = np.random.default_rng(2).integers(len(ids) - 100, size=TEXTS)
    lines = [
        " ".join(loaded.tokenizer.decode(ids[start : start + length].tolist()).split()) or "nothing"
        for start, length in zip(starts.tolist(), lengths(TEXTS).tolist(), strict=True)
    ]
    texts = folder / "texts.txt"
    texts.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return texts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="*", default=["training", "classify"], choices=["training", "classify"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8, help="steps per job")
    parser.add_argument("--label", default="classifying")
    options = parser.parse_args()
    can, cannot = available(TRAINERS, TRAINERS)
    result: dict[str, Any] = {
        "weights": "random",
        "left_out": cannot,
        "rounds": options.rounds,
        "steps_per_job": options.steps,
        "batch_size": BATCH_SIZE,
    }
    if "training" in options.cases:
        result["training"] = {name: training(name, options.rounds, options.steps) for name in can}
    if "classify" in options.cases and can:
        with tempfile.TemporaryDirectory() as folder:
            texts = _make_classifier(Path(folder))
            result["classify"] = {
                precision: classify(precision, options.rounds, Path(folder, "classifier"), texts)
                for precision in ("float32", "bfloat16")
            }
    finish(options.label, environment("tensorflow", "tf-keras", "numpy"), result)


if __name__ == "__main__":
    main()
