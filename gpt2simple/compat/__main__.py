"""``python -m gpt2simple.compat finetune script.txt``: the command that was called ``gpt_2_simple``."""

from __future__ import annotations

from gpt2simple.compat.command import cmd

cmd()
