"""Text to token ids and back: byte-level BPE, as GPT-2 and every model made here has it."""

from gpt2simple.gpt2.tokenizer.tokenizer import Tokenizer

__all__ = ["Tokenizer"]
