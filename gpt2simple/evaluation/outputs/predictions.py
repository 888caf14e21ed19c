"""A file of all outputs, as JSON Lines."""

from __future__ import annotations

from gpt2simple.evaluation.outputs.metrics import OutputFigures
from gpt2simple.storage.contents import json_text
from gpt2simple.storage.outputs import OutputKind

GENERATOR = "gpt2simple outputs"  # by which pages and files of outputs are recognised, and may be replaced
PREDICTIONS = OutputKind("outputs with their scores of gpt2simple", b"{", f'"generator": "{GENERATOR}"'.encode())


def predictions(figures: OutputFigures) -> str:
    """All outputs as JSON Lines, in their order: prompt, references, output, exact_match, f1, and who wrote the file.

    ``output_file`` with the kind `PREDICTIONS` replaces an earlier file of the kind alone.
    """
    lines = (
        {
            "prompt": one.prompt, "references": one.references, "output": one.output, "exact_match": one.exact_match,
            "f1": one.f1, "generator": GENERATOR,
        }
        for one in figures.scored
    )  # fmt: skip
    return "".join(f"{json_text(line)}\n" for line in lines)
