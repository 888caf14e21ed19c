"""Make the pictures of docs/overfitting.md, and the figures that it quotes, from runs on examples/script.txt.

    python docs/make_pictures.py [FOLDER]

The last tenth of the play is held out from every run, so that all held-out losses are of the same text. Three runs of
the built-in model read the first 4,000 characters of the rest, the first 12,000, or all of it; three models of other
sizes begin with random weights and read all of it. FOLDER is where the runs are made, else a temporary one. Takes some
ten minutes on two cores. tests/project/test_overfitting_page.py compares the page with docs/pictures/overfitting.json.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))  # the package beside this script, whether or not it is installed

from matplotlib.figure import Figure  # noqa: E402

import gpt2simple  # noqa: E402
from gpt2simple.evaluation.memorisation import TrainingText  # noqa: E402
from gpt2simple.runs.curves import Curves  # noqa: E402
from gpt2simple.runs.figure import loss_figure, to_png  # noqa: E402
from gpt2simple.runs.metrics import read as read_metrics  # noqa: E402

PICTURES = HERE / "pictures"
SIZES = {"4,000 characters": 4_000, "12,000 characters": 12_000, "the whole play": None}
LOOKS = (10, 20, 40, 60, 80, 100, 140, 180, 220, 260, 300)  # steps at which samples are compared with the text
MODELS = {"small": (2, 2, 64), "medium": (4, 4, 128), "large": (6, 8, 256)}  # layers, heads, width
COMMON: dict[str, Any] = {"eval_every": 10, "learning_rate": 5e-4, "sample_every": 0, "save_every": 100, "seed": 1}
NEW: dict[str, Any] = {"restore_from": "fresh", "overwrite": True}
SAMPLES: dict[str, Any] = {"nsamples": 24, "length": 120, "temperature": 0.7, "seed": 1}
COLOURS = ("#4c78a8", "#e4572e", "#54a24b")


def main(folder: str = "") -> None:
    place = Path(folder or tempfile.mkdtemp(prefix="gpt2simple-pictures-"))
    place.mkdir(parents=True, exist_ok=True)
    PICTURES.mkdir(exist_ok=True)
    play = (ROOT / "examples" / "script.txt").read_text(encoding="utf-8")
    end = play.rindex("\n\n", 0, len(play) * 9 // 10)
    held_out = place / "held-out.txt"
    held_out.write_text(play[end:].lstrip(), encoding="utf-8")

    texts = {name: run_on_text(place, name, play[:end][:size], held_out) for name, size in SIZES.items()}
    models = {name: run_model(place, name, play[:end], held_out) for name in MODELS}
    draw(place, texts, models)
    figures = {"texts": texts, "models": models}
    (PICTURES / "overfitting.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(f"Wrote {PICTURES}; the runs are in {place}")


def run_on_text(place: Path, name: str, text: str, held_out: Path) -> dict[str, Any]:
    """Train the built-in model on a text, stopping now and then to see how much of its samples is copied from it."""
    source = place / f"{name}.txt"
    source.write_text(text, encoding="utf-8")
    training = TrainingText([text], [held_out.read_text(encoding="utf-8")])
    copied = []
    with gpt2simple.start_session("tiny", run_name=name, checkpoint_dir=place) as session:
        for steps in LOOKS:
            start = NEW if steps == LOOKS[0] else {}
            session.finetune(source, steps=steps, validation_file=held_out, **COMMON, **start)
            session.load("latest")  # it holds the best weights, and these are to be those of this step
            found = training.find_copies(session.generate(**SAMPLES))
            longest = found.longest
            copied.append(
                {
                    "step": steps,
                    "share": found.share,
                    "longest_words": longest.words if longest else 0,
                    "longest": longest.source if longest else "",
                }
            )
    natural = training.find_copies(["A text."]).natural_share
    return {**curves(place / name), "characters": len(text), "copied": copied, "natural_share": natural}


def run_model(place: Path, name: str, text: str, held_out: Path) -> dict[str, Any]:
    """Train a model with random weights of one of the sizes; its vocabulary is that of the others."""
    source, folder = place / "model-text.txt", place / "models" / name
    source.write_text(text, encoding="utf-8")
    layers, heads, width = MODELS[name]
    if not folder.exists():
        gpt2simple.make_tokenizer(
            source, folder, vocab_size=1024, n_layer=layers, n_head=heads, n_embd=width, n_ctx=256
        )
    settings = {**COMMON, **NEW, "learning_rate": 1e-3, "batch_size": 4, "steps": 800}
    gpt2simple.finetune(
        source, model_name=folder, run_name=f"model-{name}", checkpoint_dir=place, validation_file=held_out, **settings
    )
    return curves(place / f"model-{name}")


def curves(run: Path) -> dict[str, Any]:
    """What a run recorded: held-out and smoothed training loss at each evaluation, the best step, the sizes."""
    metrics = read_metrics(run)
    found, start = Curves.of(metrics.steps, metrics.evaluations), metrics.starts[0]
    best, steps = found.trend.best, found.drawn()
    assert best is not None
    smooth = dict(zip(steps[0].tolist(), steps[2].tolist(), strict=True))
    return {
        "parameters": start.parameters,
        "train_tokens": start.train_tokens,
        "steps_per_epoch": start.steps_per_epoch,
        "best_step": best.step,
        "steps": [record.step for record in found.held_out],
        "held_out": [record.loss for record in found.held_out],
        "train": [smooth.get(max(record.step, 1)) for record in found.held_out],
    }


def draw(place: Path, texts: dict[str, dict[str, Any]], models: dict[str, dict[str, Any]]) -> None:
    whole = "the whole play"
    metrics = read_metrics(place / whole)
    one = loss_figure(
        Curves.of(metrics.steps, metrics.evaluations),
        title="tiny on the whole play",
        steps_per_epoch=texts[whole]["steps_per_epoch"],
    )
    write("one-run", one)
    write("text-sizes", panels(texts, "nats per token"))
    write("model-sizes", panels({label(name, run): run for name, run in models.items()}, "nats per token"))
    write("copied", copied_figure(texts))


def label(name: str, run: dict[str, Any]) -> str:
    return f"{name}, {run['parameters'] / 1e6:.1f} million parameters"


def panels(runs: dict[str, dict[str, Any]], y_label: str) -> Figure:
    """Training loss on the left and held-out loss on the right, on one scale; a star marks the best step."""
    figure = Figure(figsize=(8.4, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for (name, run), colour in zip(runs.items(), COLOURS, strict=True):
        left.plot(run["steps"], run["train"], color=colour, linewidth=2)
        right.plot(run["steps"], run["held_out"], color=colour, linewidth=2, label=name)
        best = run["steps"].index(run["best_step"])
        right.plot(run["best_step"], run["held_out"][best], "*", color=colour, markeredgecolor="black", markersize=13)
    left.set_title("text that was learned")
    right.set_title("text that was held out")
    left.set_ylabel(f"loss ({y_label})")
    return finished(figure, [left, right])


def copied_figure(texts: dict[str, dict[str, Any]]) -> Figure:
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.subplots()
    for (name, run), colour in zip(texts.items(), COLOURS, strict=True):
        steps, shares = ([look[key] for look in run["copied"]] for key in ("step", "share"))
        axes.plot(steps, [100 * share for share in shares], color=colour, linewidth=2, marker="o", label=name)
        axes.axvline(run["best_step"], color=colour, linestyle=":", linewidth=1.5)
    axes.set_ylabel("copied from the text, % of all runs of 8 words")
    axes.set_ylim(0, None)
    return finished(figure, [axes])


def finished(figure: Figure, all_axes: Sequence[Any]) -> Figure:
    for axes in all_axes:
        axes.set_xlabel("steps")
        axes.grid(alpha=0.25)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def write(name: str, figure: Figure) -> None:
    (PICTURES / f"{name}.png").write_bytes(to_png(figure))


if __name__ == "__main__":
    main(*sys.argv[1:])
