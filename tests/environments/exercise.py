"""What a user does, in whatever environment runs this: README's six lines, resuming, compat, evaluating, reporting.

    python tests/environments/exercise.py FOLDER begin|go-on|all

"begin" trains the first half of a run in FOLDER, "go-on" the second half, perhaps in another environment; "all" trains
the same run in one go and does everything else as well. Prints one JSON object: versions, the digest of the run's
weights, and what was generated.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import sys
from pathlib import Path

HALF, ALL = 4, 8
WORDS = "the rain fell on the slow river and nobody in the old house by the water spoke of it again until morning"


def text() -> str:
    """Sentences of a few words, none twice."""
    words = WORDS.split()
    rows = [" ".join(words[(i * 7 + k * (1 + i % 5)) % len(words)] for k in range(9)) for i in range(400)]
    return "".join(f"{number}: {row}.\n\n" for number, row in enumerate(rows))


def train(folder: Path, steps: int) -> None:
    import gpt2simple

    gpt2simple.finetune(
        str(folder / "text.txt"), model_name="tiny", run_name="run", steps=steps, eval_every=2, save_every=2,
        sample_every=0, batch_size=2, window=64, seed=7, checkpoint_dir=str(folder / "checkpoint"), threads=2,
    )  # fmt: skip


def use(folder: Path) -> dict[str, object]:
    """Everything else that the package does with a run."""
    import gpt2simple

    place = {"run_name": "run", "checkpoint_dir": str(folder / "checkpoint"), "threads": 2}
    texts = gpt2simple.generate(prefix="The rain", length=20, seed=3, return_as_list=True, **place)
    evaluated = gpt2simple.evaluate(str(folder / "text.txt"), part="held_out", **place)
    scores = gpt2simple.score("The rain fell", **place)
    report = gpt2simple.report("run", checkpoint_dir=place["checkpoint_dir"], dataset=str(folder / "text.txt"))
    with gpt2simple.start_session("tiny", threads=2) as session:
        variables = [variable.name for variable in session.model.trainable_variables]
        kind = type(session.model).__name__
        logits = session.model(__import__("numpy").array([[1, 2, 3]])).logits
        saved = session.save(folder / "saved")
    return {
        "texts": texts,
        "loss": round(evaluated.loss, 5),
        "score": round(sum(token.logprob for token in scores[0].tokens), 4),
        "report": report.path.is_file(),
        "model": kind,
        "variables": hashlib.sha256("\n".join(variables).encode()).hexdigest(),
        "shape": list(logits.shape),
        "saved": digests(saved),
        "compat": compat(folder),
    }


def compat(folder: Path) -> str:
    """gpt-2-simple's own lines."""
    from gpt2simple import compat as gpt2

    sess = gpt2.start_tf_sess(threads=2)
    with contextlib.redirect_stdout(io.StringIO()):
        gpt2.finetune(
            sess, str(folder / "text.txt"), steps=2, model_name="tiny", run_name="old", sample_every=0,
            checkpoint_dir=str(folder / "checkpoint"),
        )  # fmt: skip
        texts = gpt2.generate(sess, run_name="old", length=10, prefix="The", seed=1, return_as_list=True,
                              checkpoint_dir=str(folder / "checkpoint"))  # fmt: skip
    return texts[0]


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def main() -> None:
    folder, what = Path(sys.argv[1]), sys.argv[2]
    os.environ["GPT2SIMPLE_CACHE"] = str(folder / "cache")
    folder.mkdir(exist_ok=True)
    (folder / "text.txt").write_text(text(), encoding="utf-8")
    train(folder, HALF if what == "begin" else ALL)
    from gpt2simple.backend import packages

    weights = folder / "checkpoint" / "run" / f"step-{HALF if what == 'begin' else ALL:06d}"
    found: dict[str, object] = {"versions": packages.versions(), "weights": digests(weights)["model.safetensors"]}
    print(json.dumps(found | (use(folder) if what == "all" else {})))


if __name__ == "__main__":
    main()
