"""Make the built-in model `tiny` from a folder of plain texts.

    python models/train_tiny.py TEXTS OUTPUT [--steps N] [--entries N] [--layers N] [--width N]

TEXTS is what models/prepare_texts.py writes. A byte-level BPE is trained on the texts, a GPT-2 of some 3.6 million
parameters starts from random weights, and `gpt2simple.finetune` trains it; the best step by held-out loss is written to
OUTPUT/tiny in 16 bits. Stopped, and started again with the same arguments, it goes on where it was.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gpt2simple
from gpt2simple.gpt2.formats.huggingface import write_model_folder
from gpt2simple.gpt2.model import LoadedModel
from gpt2simple.runs.folder import read_named_model

SEED = 1
WIDTH_OF_A_HEAD = 32
SETTINGS = {
    "batch_size": 8,  # x 512 tokens
    "learning_rate": 3e-3,
    "schedule": "cosine",
    "warmup_steps": 200,
    "weight_decay": 0.1,
    "seed": SEED,
    "eval_every": 500,
    "save_every": 250,
    "sample_every": 1000,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--entries", type=int, default=7168, help="size of the vocabulary")
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--width", type=int, default=192)
    arguments = parser.parse_args()
    start = arguments.output / "start"
    if not start.exists():
        gpt2simple.make_tokenizer(
            arguments.texts / "train",
            start,
            vocab_size=arguments.entries,
            n_layer=arguments.layers,
            n_head=arguments.width // WIDTH_OF_A_HEAD,
            n_embd=arguments.width,
            n_ctx=512,
            seed=SEED,
        )
    checkpoints = arguments.output / "checkpoint"
    with gpt2simple.start_session(str(start), run_name="tiny", checkpoint_dir=checkpoints) as session:
        result = session.finetune(
            arguments.texts / "train",
            validation_file=arguments.texts / "held_out",
            steps=arguments.steps,
            **SETTINGS,
        )
    print(result.summary())
    target = arguments.output / "tiny"
    best = read_named_model(checkpoints / "tiny", LoadedModel.load)
    write_model_folder(target, best.config, best.read, best.tokenizer, dtype="F16")
    print(f"The best step, in 16 bits: {target}")


if __name__ == "__main__":
    main()
