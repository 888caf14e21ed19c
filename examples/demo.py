"""What `make demo` runs: the built-in small model learns a play, in about a minute on two cores.

    python examples/demo.py [--steps N]

Before: the small model continues "AGNES" like the old plays it was trained on. After: it writes short lines, stage
directions in brackets, and the characters of examples/script.txt. Nothing is downloaded; all files are in ./demo.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import gpt2simple

SCRIPT = Path(__file__).with_name("script.txt")
FOLDER = Path("demo")
PROMPT = "AGNES\n"
STEPS = 200


def show(title: str, session: gpt2simple.Session) -> None:
    """Print two samples, drawn with the same seed each time."""
    print(f"\n===== {title} =====")
    for text in session.generate(prefix=PROMPT, length=120, temperature=0.8, top_k=40, nsamples=2, seed=7):
        print(f"{text.strip()}\n-----")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=STEPS, help=f"training steps (default {STEPS})")
    steps = parser.parse_args().steps

    started = time.monotonic()
    with gpt2simple.start_session(model_name="tiny", checkpoint_dir=FOLDER) as session:
        show("before: the model as it comes", session)
        # A small model learns well at ten times the rate that suits 124M. The next `make demo` replaces this run.
        result = session.finetune(SCRIPT, steps=steps, learning_rate=1e-3, restore_from="fresh", overwrite=True, seed=7)
        show(f"after {result.steps} steps", session)
        print(f"\n{result.summary()}")

    print(
        f"The run, a model folder that transformers opens too: {result.run_dir.absolute()}\n"
        f"All of it took {time.monotonic() - started:.0f} s. What to do next:\n"
        "  your own text:  .venv/bin/gpt2simple finetune your-text.txt --model-name tiny\n"
        "  a notebook:     examples/01_quickstart.ipynb, step by step, in Jupyter or Colab\n"
        f"  a page on it:   .venv/bin/gpt2simple report {result.run_dir.name} --checkpoint-dir {FOLDER}"
    )


if __name__ == "__main__":
    main()
