"""Print what PyTorch's transformers answers to prompts, greedily and one by one, and the loss of completions.

python pytorch_pairs.py MODEL_FOLDER PAIRS.json LENGTH
"""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoTokenizer, GPT2LMHeadModel

folder, pairs, length = sys.argv[1], json.loads(Path(sys.argv[2]).read_text(encoding="utf-8")), int(sys.argv[3])
model, tokenizer = GPT2LMHeadModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
end = tokenizer.eos_token_id
answers, nats, tokens = [], 0.0, 0
for prompt, completion in pairs:
    messages = [{"role": "user", "content": prompt}]
    text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    ids = tokenizer(text, return_tensors="pt").input_ids
    with torch.no_grad():
        written = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=length, do_sample=False, pad_token_id=end,
        )  # fmt: skip
        answers.append(tokenizer.decode(written[0, ids.shape[1] :], skip_special_tokens=True))
        target = torch.tensor([[*tokenizer(completion).input_ids, end]])
        labels = torch.cat([torch.full_like(ids, -100), target], dim=1)
        loss = model(input_ids=torch.cat([ids, target], dim=1), labels=labels).loss
    nats, tokens = nats + float(loss) * target.shape[1], tokens + target.shape[1]
print(json.dumps({"answers": answers, "loss": nats / tokens}))
