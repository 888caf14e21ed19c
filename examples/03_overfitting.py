"""When does a model learn, and when does it memorise? Texts of two sizes, then models of three sizes.

    python examples/03_overfitting.py
    python examples/03_overfitting.py my-text.txt 300

Out: in ``overfitting/`` a page on both texts (report.html) and one on the models (sizes/compare.html); on the screen:

    the first 10,000 characters: Overfitted. Held-out loss was lowest at step 80 ...
    the whole text: Stopped learning, not yet overfitted. ...
    model   parameters  tokens/parameter  best step  held-out bits/byte  final gap  copied  ...

What to look for: training loss falls in every run, while held-out loss rises again, sooner for a shorter text or a
larger model. From then on the samples copy whole passages of the text.
"""

from __future__ import annotations

import sys
from pathlib import Path

import gpt2simple

PLACE = Path("overfitting")
SHAPES = {"small": {"n_layer": 2, "n_head": 2, "n_embd": 64}, "medium": {"n_layer": 4, "n_head": 4, "n_embd": 128}}


def main(text: str = str(Path(__file__).with_name("script.txt")), steps: str = "200") -> None:
    texts_of_several_sizes(Path(text), int(steps))
    models_of_several_sizes(Path(text), int(steps))


def texts_of_several_sizes(text: Path, steps: int) -> None:
    PLACE.mkdir(exist_ok=True)
    beginning = PLACE / "beginning.txt"
    beginning.write_text(text.read_text(encoding="utf-8")[:10_000], encoding="utf-8")

    # With a number of steps the run does not stop when held-out loss rises; to see that happen is the experiment.
    for run_name, source in (("beginning", beginning), ("whole", text)):
        gpt2simple.finetune(
            source,
            model_name="tiny",
            run_name=run_name,
            checkpoint_dir=PLACE,
            steps=steps,
            eval_every=max(steps // 20, 1),
            sample_every=max(steps // 4, 1),
            learning_rate=5e-4,
            seed=1,
        )

    # The verdict on each run, and how much of its samples is copied word for word from the text.
    result = gpt2simple.report(["beginning", "whole"], checkpoint_dir=PLACE)
    for name, run in zip(("the first 10,000 characters", "the whole text"), result.runs, strict=True):
        print(f"{name}: {run.verdict.summary()}")
        if run.memorisation is not None:
            print(run.memorisation.summary())
    print(f"Curves, passages, samples: {result.path}\n")


def models_of_several_sizes(text: Path, steps: int) -> None:
    # Two models with random weights, to compare with "tiny", which already knows English.
    for name, shape in SHAPES.items():
        if not (PLACE / "models" / name).exists():
            gpt2simple.make_tokenizer(text, PLACE / "models" / name, vocab_size=1024, n_ctx=256, **shape)

    # The same text, split and number of tokens for each. Interrupted and called again, it continues.
    result = gpt2simple.compare(
        text,
        [*SHAPES, "tiny"],
        name="sizes",
        model_dir=PLACE / "models",
        checkpoint_dir=PLACE,
        tokens=steps * 512,
        learning_rate=1e-3,
    )
    print(result.summary())


if __name__ == "__main__":
    main(*sys.argv[1:])
