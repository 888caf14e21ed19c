"""Print what transformers makes of conversations with a chat template, as JSON.

python chat_templates.py CASES.json    a list of [template, messages, whether the assistant is to write]
"""

import json
import sys
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(BPE()))
cases = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
texts = [
    tokenizer.apply_chat_template(messages, chat_template=template, add_generation_prompt=generate, tokenize=False)
    for template, messages, generate in cases
]
print(json.dumps(texts))
