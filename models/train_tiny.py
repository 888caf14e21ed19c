"""Make the built-in model `tiny` from a folder of plain texts.

    python models/train_tiny.py TEXTS OUTPUT [--steps N]

TEXTS is what models/prepare_texts.py writes. A byte-level BPE is trained on the texts, a GPT-2 of 3.6 million
parameters starts from random weights, and `gpt2simple.finetune` trains it; the best step by held-out loss is written to
OUTPUT in 16 bits. Stopped, and started again with the same arguments, it goes on where it was.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gpt2simple
from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.formats.huggingface import write_model_folder
from gpt2simple.gpt2.model import build_model, weight_reader
from gpt2simple.gpt2.tokenizer import Tokenizer

CONFIG = ModelConfig(n_vocab=4096, n_ctx=512, n_embd=192, n_head=6, n_layer=6)
SEED = 1
SETTINGS = {
    "batch_size": 8,  # x 512 tokens
    "learning_rate": 2e-3,
    "schedule": "cosine",
    "warmup_steps": 100,
    "weight_decay": 0.1,
    "seed": SEED,
    "validation_split": 0.05,
    "eval_every": 100,
    "save_every": 100,
    "sample_every": 500,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--steps", type=int, default=1200)
    arguments = parser.parse_args()
    start = arguments.output / "start"
    if not start.exists():
        write_start(arguments.texts, start)
    with gpt2simple.start_session(
        str(start), run_name="tiny", checkpoint_dir=arguments.output / "checkpoint"
    ) as session:
        result = session.finetune(arguments.texts, steps=arguments.steps, **SETTINGS)
        print(result.summary())
        model, tokenizer = session.model, session.tokenizer
        target = arguments.output / "tiny"
        write_model_folder(target, CONFIG, weight_reader(model), tokenizer, dtype="F16")
        print(f"The best step, in 16 bits: {target}")


def write_start(texts: Path, folder: Path) -> None:
    """A tokenizer of the texts and a model with random weights, as a folder to fine-tune from."""
    documents = [path.read_text(encoding="utf-8") for path in sorted(texts.glob("*.txt"))]
    tokenizer = Tokenizer.train(documents, CONFIG.n_vocab)
    model = build_model(CONFIG, seed=SEED)
    write_model_folder(folder, CONFIG, weight_reader(model), tokenizer)


if __name__ == "__main__":
    main()
