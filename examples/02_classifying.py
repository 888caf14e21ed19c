"""Fine-tune GPT-2 to tell classes of texts apart, with figures that can be believed.

    python examples/02_classifying.py                       who speaks? the lines of two people in script.txt
    python examples/02_classifying.py reviews.csv 124M      a table with a column of texts and one of labels

Out: checkpoint/classes (a model folder that transformers opens as a GPT2ForSequenceClassification) with report.html; on
the screen the parts of the data, validation loss and accuracy during training, the figures on the test part beside a
bag of words, and the most confident mistakes.

What to look for: with so few lines the intervals are wide, so that the model and the bag of words cannot be told apart.
Accuracy on the training part is far higher than on the test part: the model has learned its lines by heart.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import gpt2simple

RUN = "classes"


def main(dataset: str = "", model_name: str = "tiny", epochs: str = "6") -> None:
    # A part of the texts trains, one chooses the best step, and one is kept for the test: 80, 10 and 10 percent, each
    # class in equal shares. 10 % of so short a text would be too few, so here it is a quarter.
    data: Any = dataset or spoken_lines(Path(__file__).with_name("script.txt"), "AGNES", "TILDA")
    settings: dict[str, Any] = {} if dataset else {"validation_split": 0.2, "test_split": 0.25, "batch_size": 8}
    with gpt2simple.start_session(model_name, run_name=RUN) as session:
        show(session, data, float(epochs), settings)
    print(gpt2simple.report(RUN, dataset=data).path)


def show(session: gpt2simple.Session, data: Any, epochs: float, settings: dict[str, Any]) -> None:
    result = gpt2simple.finetune_classifier(data, session=session, epochs=epochs, seed=1, **settings)
    print(result.summary())

    print("\nThe most confident mistakes:")
    for mistake in result.test.mistakes[:5] if result.test else ():
        text = " ".join(mistake.text.split())[:80]
        print(f"  {mistake.probability:.0%} {mistake.predicted}, but it is {mistake.label}: {text}")

    learned: Any = session.evaluate(data, part="train")
    print(f"\nAccuracy on what it learned from: {learned.accuracy:.1%}")
    for found in session.classify(["Seven. Eight if you count the teapot."]):
        print(f"{found.text} -> {found.label} ({found.probability:.0%})")


def spoken_lines(script: Path, *speakers: str) -> list[tuple[str, str]]:
    """What some people of a play say, each speech with its speaker."""
    speeches = re.split(r"\n\n+", script.read_text(encoding="utf-8"))
    heads = [speech.partition("\n") for speech in speeches]
    return [(words, name) for name, _, words in heads if name in speakers and words]


if __name__ == "__main__":
    main(*sys.argv[1:])
