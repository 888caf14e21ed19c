"""Fine-tune GPT-2 on a text and print what it writes.

    python examples/01_quickstart.py                       the built-in small model, no download
    python examples/01_quickstart.py 124M your-text.txt    OpenAI's GPT-2, 0.5 GB to download once

In: a text file, such as examples/script.txt:

    AGNES
    How many is that?

    TILDA
    Seven. Eight if you count the teapot.

Out: checkpoint/run1 (a model folder with checkpoints, metrics, loss.png, samples), and three new texts on the screen.
"""

from __future__ import annotations

import sys
from pathlib import Path

import gpt2simple


def main(model_name: str = "tiny", text: str = str(Path(__file__).with_name("script.txt"))) -> None:
    # Without steps or epochs, training stops by itself when the loss on the held-out tenth of the text stops falling.
    result = gpt2simple.finetune(text, model_name=model_name)
    print(result.summary())

    # This uses the step with the lowest held-out loss. The same seed gives the same texts.
    gpt2simple.generate(prefix="TILDA\n", length=150, temperature=0.8, top_k=40, nsamples=3, seed=1)


if __name__ == "__main__":
    main(*sys.argv[1:])
