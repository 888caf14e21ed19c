"""llama.cpp (llama-cpp-python) with a random GPT-2, one text at a time. Argument: f32 or q8_0, of the matrices."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType, TokenType, quants
from llama_cpp import Llama
from worker import N_CTX, N_EMBD, N_HEAD, N_LAYER, N_VOCAB, TEMPERATURE, TOP_K, Generate, serve


def load() -> Generate:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.gguf")
        write_random_model(path, sys.argv[1])
        threads = os.cpu_count() or 1
        model = Llama(
            str(path), n_ctx=N_CTX, n_threads=threads, n_threads_batch=threads, use_mmap=False, verbose=False
        )  # fmt: skip

    def generate(prompts: Sequence[Sequence[int]], new_tokens: int) -> dict[str, float]:
        (prompt,) = prompts
        model.reset()
        new = model.generate(prompt, top_k=TOP_K, top_p=1.0, min_p=0.0, temp=TEMPERATURE, repeat_penalty=1.0)
        return {"tokens": sum(1 for _ in islice(new, new_tokens))}

    return generate


def write_random_model(path: Path, kind: str) -> None:
    """A GGUF file as llama.cpp's converter writes it for GPT-2."""
    whole = kind == "q8_0"
    writer = GGUFWriter(path, "gpt2")
    writer.add_block_count(N_LAYER)
    writer.add_context_length(N_CTX)
    writer.add_embedding_length(N_EMBD)
    writer.add_feed_forward_length(4 * N_EMBD)
    writer.add_head_count(N_HEAD)
    writer.add_layer_norm_eps(1e-5)
    writer.add_file_type(LlamaFileType.MOSTLY_Q8_0 if whole else LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([f"t{token}" for token in range(N_VOCAB)])
    writer.add_token_types([TokenType.NORMAL] * N_VOCAB)
    writer.add_token_merges(["t 1"])
    for name in ("bos", "eos"):
        getattr(writer, f"add_{name}_token_id")(N_VOCAB - 1)
    draw = np.random.default_rng(0)

    def matrix(name: str, *shape: int, kept_whole: bool = True) -> None:
        values = draw.standard_normal(shape, dtype=np.float32) * np.float32(0.02)
        if whole and kept_whole:
            packed = quants.quantize(values, GGMLQuantizationType.Q8_0)
            writer.add_tensor(name, packed, raw_dtype=GGMLQuantizationType.Q8_0)
        else:
            writer.add_tensor(name, values)

    def norm(name: str) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(N_EMBD, np.float32))
        writer.add_tensor(f"{name}.bias", np.zeros(N_EMBD, np.float32))

    matrix("token_embd.weight", N_VOCAB, N_EMBD)
    matrix("position_embd.weight", N_CTX, N_EMBD, kept_whole=False)
    for layer in range(N_LAYER):
        block = f"blk.{layer}"
        norm(f"{block}.attn_norm")
        norm(f"{block}.ffn_norm")
        for name, outputs, inputs in (
            ("attn_qkv", 3, 1), ("attn_output", 1, 1), ("ffn_up", 4, 1), ("ffn_down", 1, 4),
        ):  # fmt: skip
            matrix(f"{block}.{name}.weight", outputs * N_EMBD, inputs * N_EMBD)
            writer.add_tensor(f"{block}.{name}.bias", np.zeros(outputs * N_EMBD, np.float32))
    norm("output_norm")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


serve(load)
