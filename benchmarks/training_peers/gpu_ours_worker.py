"""This package on a GPU (or, with CUDA_VISIBLE_DEVICES=-1, on the CPU): random weights, defaults.

Arguments: size, precision ("auto": as a session chooses). Jobs: {"steps": n}; {"tokens": n, "rows": r} to write;
{"parity": path}, which trains a little and writes losses, logits and greedy token ids into an .npz file; and
{"told": "all"}, which answers what `finetune` expects a step to take.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from worker import N_CTX, N_VOCAB, SIZES, Job, serve, window

_PARITY_ROWS, _PARITY_STEPS, _PARITY_TOKENS = 64, 3, 40


def load() -> Job:
    from gpt2simple.backend import devices, precision, speed
    from gpt2simple.backend.memory import free_memory
    from gpt2simple.backend.tensorflow import tf
    from gpt2simple.generation.generator import Generator
    from gpt2simple.gpt2.config import ModelConfig
    from gpt2simple.gpt2.container import build_model, named_variables
    from gpt2simple.gpt2.network.loss import head_matrix, logits
    from gpt2simple.gpt2.network.transformer import flat_weights, hidden_states
    from gpt2simple.settings import FinetuneSettings, GenerateSettings
    from gpt2simple.testing import byte_tokenizer
    from gpt2simple.training.memory import estimate_memory, estimate_seconds_per_step
    from gpt2simple.training.task import LanguageModeling
    from gpt2simple.training.trainer import build_trainer

    layers, width, heads = SIZES[sys.argv[1]]
    config = ModelConfig(n_vocab=N_VOCAB, n_ctx=N_CTX, n_embd=width, n_head=heads, n_layer=layers)
    device = devices.start(None)
    chosen = precision.choose_precision(sys.argv[2])
    # Wide weights: with the usual 0.02 greedy text repeats a few tokens and proves little.
    model = build_model(config, seed=0, initializer_range=0.1 if sys.argv[2] == "float32" else 0.02)
    variables = named_variables(model)
    trainer = build_trainer(
        model, variables, config, FinetuneSettings(), LanguageModeling(np.ones(N_VOCAB)),
        dtype=tf.as_dtype(chosen.training), seed=1, last_step=None,
        gradient_checkpointing=False, compile_whole_step=devices.compiles_whole_step(),
    )  # fmt: skip

    def train(steps: int, length: int = N_CTX) -> list[float]:
        ids = window(length + 1)[None, None]  # (A, B, T + 1)
        batch = ids[..., :-1], ids[..., 1:], np.ones((1, 1, length), np.float32)
        history = trainer.fit(tf.data.Dataset.from_tensors(batch).repeat(), steps_per_epoch=1, epochs=steps, verbose=0)
        return history.history["loss"]

    def write(tokens: int, rows: int, **how: Any) -> list[tuple[int, ...]]:
        generator = Generator(variables, config, byte_tokenizer(), precision=chosen.generating)
        settings = GenerateSettings(length=tokens, min_length=tokens, batch_size=rows, seed=0, **how)
        samples = generator.generate([f"{row}: The king" for row in range(rows)], settings)
        generator.close()
        return [sample.tokens for sample in samples]

    def parity(path: str) -> None:
        tf.config.experimental.enable_tensor_float_32_execution(False)
        tokens = tf.constant(window(_PARITY_ROWS)[None])
        greedy = write(_PARITY_TOKENS, 1, temperature=0.0)
        states = tf.function(lambda: hidden_states(flat_weights(variables), tokens, config))()
        scores = logits(states, head_matrix(variables["wte.weight"], tf.float32)).numpy()
        np.savez(path, logits=scores, greedy=greedy, losses=train(_PARITY_STEPS, _PARITY_ROWS))

    def told() -> dict[str, Any]:
        rate, size = speed.product_rate(chosen.training), tf.as_dtype(chosen.training).size
        settings, where = FinetuneSettings(), {"gradient_checkpointing": False, "on_gpu": True}
        return {
            "products_per_second": rate,
            "least_seconds_per_step": estimate_seconds_per_step(config, settings, N_CTX, rate, None),
            "expected_peak_bytes": estimate_memory(config, settings, N_CTX, size, **where).total,
            "free_bytes": free_memory(4 * config.parameters),
        }

    def work(steps: int = 0, tokens: int = 0, rows: int = 1, **jobs: str) -> dict[str, Any]:
        if steps:
            train(steps)
        if tokens:
            write(tokens, rows, top_k=40, temperature=0.7)
        if "parity" in jobs:
            parity(jobs["parity"])
        answer: dict[str, Any] = {"device": device, "precision": chosen.training}
        if "told" in jobs:
            answer |= told()
        if devices.has_gpu():
            answer["device_peak_bytes"] = tf.config.experimental.get_memory_info("GPU:0")["peak"]
        return answer

    return work


serve(load)
